"""A linear sampling pattern on the CPU, by the compiled loops that take all taps of a block of pixels at once."""

import math
from functools import cache, lru_cache
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import kernels, warping
from warptheory.patterns._taps import Taps
from warptheory.patterns.lattice import Lattice

_BACKEND = "cpu"


def applies(x: Float[Tensor, "B C *S"], pattern: Taps) -> bool:
    """Return whether the loops can take images (B, C, *S) and a pattern, and no other backend is asked for."""
    tensors = [each for each in (pattern.offsets, pattern.weights, pattern.filters) if each is not None]
    if not x.is_cpu or pattern.knot != "right" or any(each.device != x.device for each in tensors):
        return False
    # Offsets of half precision lose nothing when they are widened.
    if torch.promote_types(pattern.offsets.dtype, x.dtype) != x.dtype:
        return False
    if kernels.get(pattern.kernel) != kernels.get("linear") or _split(pattern.lattice) is None:
        return False
    backend = warping.backend(x, kernel=pattern.kernel, boundary=pattern.boundary)
    return backend.name == _BACKEND and _loops().unsupported(x, _linear_taps(x, pattern)) is None


def sampled(x: Float[Tensor, "B C *S"], pattern: Taps) -> Float[Tensor, "B D *T"]:
    """Return the outcome (B, D, *T) of images (B, C, *S), laid out as they are."""
    return cast("Tensor", _loops().sample(x, _linear_taps(x, pattern)))


def gradients(g: Float[Tensor, "B D *T"], x: Float[Tensor, "B C *S"], pattern: Taps, needs: Any) -> list[Tensor | None]:
    """Return the gradients that are needed of images (B, C, *S), offsets, weights and filters, given the outcome's."""
    loops = _loops()
    image, offsets, weights, filters = loops.differentiate(g, x, _linear_taps(x, pattern), loops.Needs(*needs))
    if weights is not None and pattern.weights is not None:
        weights = weights.to(pattern.weights.dtype)
    offsets = None if offsets is None else offsets.to(pattern.offsets.dtype)
    return [image, offsets, weights, filters]


@cache
def _loops() -> ModuleType:
    """Import the compiled loops, which numba makes slow to import."""
    return import_module("warptheory.warping.engines.taps.sampling")


def _linear_taps(x: Tensor, pattern: Taps) -> Any:
    parts = _split(pattern.lattice)
    assert parts is not None
    offsets = pattern.offsets.to(x.dtype)
    if parts.rest is not None:
        offsets = offsets + parts.rest.displacement(offsets)
    weights = None if pattern.weights is None else pattern.weights.to(x.dtype)
    arguments = (offsets, parts.origins, parts.pace, pattern.taps, weights, pattern.filters, pattern.boundary)
    return _loops().LinearTaps(*arguments)


class _Parts(NamedTuple):
    """A lattice of whole pixels, and what its places are off by: `rest.displacement`, or None for nothing."""

    origins: tuple[tuple[int, ...], ...]
    pace: tuple[int, ...]
    rest: Lattice | None


@lru_cache(maxsize=256)
def _split(lattice: Lattice) -> _Parts | None:
    """Return the whole pixels of a lattice, which are exact as integers, and the rest; None if it is not finite."""
    if not all(map(math.isfinite, (*lattice.spacing, *(place for origin in lattice.origins for place in origin)))):
        return None
    pace = tuple(map(round, lattice.spacing))
    origins = tuple(tuple(map(round, origin)) for origin in lattice.origins)
    spacing = tuple(1 + step - whole for step, whole in zip(lattice.spacing, pace, strict=True))
    rest = Lattice(
        spacing,
        tuple(
            tuple(place - whole for place, whole in zip(*each, strict=True))
            for each in zip(lattice.origins, origins, strict=True)
        ),
    )
    is_whole = rest.is_unit or (all(step == 1 for step in spacing) and not any(map(any, rest.origins)))
    return _Parts(origins, pace, None if is_whole else rest)
