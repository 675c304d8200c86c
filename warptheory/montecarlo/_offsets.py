"""Offsets of a row that are known, or computed from a field by a head; and what offsets are told by and depend on."""

import math
from collections.abc import Callable, Iterable

import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import symbolic
from warptheory.montecarlo._drawing import number
from warptheory.montecarlo._extent import Values
from warptheory.symbolic import HeadTap, InputField, OffsetField
from warptheory.symbolic.head_laws import offset_laws
from warptheory.symbolic.offset_fields import Given, given_offsets

# What a tap of a head reads of a field at every pixel, shape (rows, 1, *size).
Read = Callable[[InputField, HeadTap], Tensor]


def constant_offsets(given: Given, shape: tuple[int, ...], values: Values, device: str) -> Float[Tensor, "rows d *S"]:
    """Return the offsets that a statistic is conditional on, of a shape (rows, d, *S)."""
    fixed = [number(symbol, values) for symbol in given.symbols]
    dim = len(shape) - 2
    return torch.tensor(fixed, dtype=torch.float64, device=device).reshape(1, -1, *[1] * dim).expand(shape)


def computed_offsets(source: OffsetField, read: Read, values: Values) -> Float[Tensor, "rows d *S"]:
    """Return αh, weighted sums of what the taps of the offsets' head read, shape (rows, d, *S)."""
    head = source.head
    assert head is not None
    components = [sum(number(tap.weight, values) * read(head.field, tap) for tap in taps) for taps in head.components]
    return number(source.scale, values) * torch.cat([torch.as_tensor(component) for component in components], dim=1)


def parameters_of(source: OffsetField, given: Given | None) -> list[sp.Expr]:
    """Return the expressions that need a number before offsets can be drawn."""
    if source.head is not None:
        return [source.scale, *source.head.free_symbols]
    law, is_given = source.axis_law, given_offsets(given) == source
    found: list[sp.Expr] = [*given.symbols] if given is not None and is_given else [source.correlation]
    if source.covariance is not None:
        found += source.covariance.free_symbols
    if not is_given:
        found += [part for _, law_part in law.parts for part in (law_part.location, law_part.scale)]
    return found


def described_offsets(fields: Iterable[OffsetField], given: Given | None, values: Values) -> str:
    """Return offset fields and what they are at some values, as text."""
    return "; ".join(sorted(_described(offsets, given, values) for offsets in dict.fromkeys(fields)))


def _described(offsets: OffsetField, given: Given | None, values: Values) -> str:
    if offsets.head is not None:
        deviations = (math.sqrt(symbolic.evaluate(variance, values)) for _, variance in offset_laws(offsets))
        known = [f"computed, of deviation {', '.join(f'{each:g}' for each in deviations)}"]
    elif given is not None and given_offsets(given) == offsets.source:
        known = [f"{symbol} = {symbolic.evaluate(symbol, values):g}" for symbol in given.symbols]
    else:
        law = offsets.axis_law
        parts = (("location", law.location), ("scale", law.scale))
        known = [f"{name} {symbolic.evaluate(part, values):g}" for name, part in parts]
    moved = [f"{symbolic.evaluate(part, values):g}" for part in offsets.displacement if part != 0]
    known += [f"displaced by {', '.join(moved)}"] * bool(moved)
    return f"{offsets.name}: {', '.join(known)}"
