"""Numerical weights of a kernel: its taps compiled from the exact expressions to torch."""

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from warptheory.core.errors import ArgumentError
from warptheory.kernels._dirichlet import dirichlet_weights
from warptheory.kernels._kernel import Kernel
from warptheory.kernels._periodic import FRACTION, PeriodicFunction
from warptheory.kernels._sinc import SincDerivative

SIDES = ("left", "right")

_DIGITS_OF_FLOAT64 = 17


def tap_weights(
    kernel: Kernel,
    fraction: Float[Tensor, "*T"],
    order: int = 0,
    size: int | None = None,
    side: str = "right",
) -> list[tuple[int, Float[Tensor, "*T"]]]:
    """Evaluate the weights k⁽ᵒʳᵈᵉʳ⁾(f − j) of the pixels j around a position.

    With a `kernel.prefilter` they are the weights of the coefficients that the filter makes of the pixels.

    Args:
        kernel: the kernel.
        fraction: f = p − ⌊p⌋ of each position p, shape (*T), in [0, 1]; gradients flow through it.
        order: number of derivatives in p, from 0 on.
        size: number of pixels of a periodic axis; needed by, and only by, kernels that are not
            `is_compact`. Their taps j are a complete residue system modulo `size`.
        side: which weight holds at a knot: "right", the one of positions just above, or "left", of
            positions just below; for "left" the fraction is in (0, 1], an integer position p being
            ⌊p⌋ − 1 with fraction 1.

    Returns:
        Pairs of a tap j and its weights, shape (*T), dtype of `fraction`.

    Raises:
        ArgumentError: a negative order, an unknown side, or no size where one is needed.
    """
    if order < 0:
        raise ArgumentError("order", expected="a number of derivatives ≥ 0", received=order)
    if side not in SIDES:
        raise ArgumentError("side", expected=" or ".join(SIDES), received=repr(side))
    if kernel.is_compact:
        compiled = _compile(kernel, order)
        return list(zip(compiled.taps, compiled(fraction, side), strict=True))
    if size is None or size < 1:
        raise ArgumentError(
            "size", expected=f"the number of pixels of the periodic axis, which {kernel.name} reads", received=size
        )
    return dirichlet_weights(fraction, order, size)


@dataclass(frozen=True)
class PolynomialTaps:
    """Weights that are polynomials in the fraction f on each cell of [0, 1), as numbers.

    Attributes:
        taps: the pixels j that are read, shape (K,), int64.
        upper: upper ends of the cells, ascending, the last of them 1, shape (cells,).
        coefficients: of fⁿ, f⁰ first, n < powers, of each cell and tap, shape (cells, K, powers).
    """

    taps: Int[ndarray, "K"]
    upper: Float[ndarray, "cells"]
    coefficients: Float[ndarray, "cells K powers"]


@cache
def polynomial_taps(kernel: Kernel, order: int = 0) -> PolynomialTaps | None:
    """Return the weights k⁽ᵒʳᵈᵉʳ⁾(f − j) as polynomials, arrays over (cells, K, powers); None if they are none.

    Args:
        kernel: a compact kernel.
        order: number of derivatives in f, from 0 on.
    """
    weights = _derivatives(kernel, order)
    cells = [[weight.on(low, high) for weight in weights.values()] for low, high in _cells(weights)]
    if not all(expression.is_polynomial(FRACTION) for cell in cells for expression in cell):
        return None
    polynomials = [[sp.Poly(expression, FRACTION) for expression in cell] for cell in cells]
    degree = max(0, *(polynomial.degree() for cell in polynomials for polynomial in cell))
    powers = range(int(degree) + 1)
    return PolynomialTaps(
        np.array(list(weights), np.int64),
        np.array([float(high) for _, high in _cells(weights)]),
        np.array([[[float(p.coeff_monomial(FRACTION**n)) for n in powers] for p in cell] for cell in polynomials]),
    )


@dataclass(frozen=True)
class _CompiledCell:
    """The weights of all taps on one cell of [0, 1], as one torch function."""

    lower: float
    upper: float
    weights: Callable[[Tensor], list[Tensor]]


@dataclass(frozen=True)
class _CompiledTaps:
    """The taps of a kernel, and their weights cell by cell."""

    taps: tuple[int, ...]
    cells: tuple[_CompiledCell, ...]

    def __call__(self, fraction: Tensor, side: str) -> list[Tensor]:
        """Evaluate the weights of each tap, shape (*T); a cell is closed on the left, or with side "left" on the right.

        The last cell also takes f = 1, which rounding of f = ε − ⌊ε⌋ produces for tiny negative ε.
        """
        values = self.cells[-1].weights(self._confined(fraction, len(self.cells) - 1, side))
        for place in reversed(range(len(self.cells) - 1)):
            below = self._is_below(fraction, self.cells[place].upper, side)
            here = self.cells[place].weights(self._confined(fraction, place, side))
            values = [torch.where(below, ours, others) for ours, others in zip(here, values, strict=True)]
        return values

    def _confined(self, fraction: Tensor, place: int, side: str) -> Tensor:
        """Move fractions outside a cell to its middle: a value that is not used must not be inf or NaN.

        Its gradient would be 0·inf = NaN otherwise, as of a quotient of exponentials that overflow.
        """
        cell = self.cells[place]
        outside = torch.zeros_like(fraction, dtype=torch.bool)
        if place > 0:
            outside = outside | self._is_below(fraction, cell.lower, side)
        if place < len(self.cells) - 1:
            outside = outside | ~self._is_below(fraction, cell.upper, side)
        return torch.where(outside, (cell.lower + cell.upper) / 2, fraction) if len(self.cells) > 1 else fraction

    @staticmethod
    def _is_below(fraction: Tensor, edge: float, side: str) -> Tensor:
        return fraction < edge if side == "right" else fraction <= edge


@cache
def _compile(kernel: Kernel, order: int) -> _CompiledTaps:
    taps = _derivatives(kernel, order)
    cells = tuple(
        _CompiledCell(float(low), float(high), _compile_cell([weight.on(low, high) for weight in taps.values()]))
        for low, high in _cells(taps)
    )
    return _CompiledTaps(tuple(taps), cells)


def _derivatives(kernel: Kernel, order: int) -> dict[int, PeriodicFunction]:
    """Return the derivatives of the weights, by tap."""
    taps = dict(kernel.taps)
    for _ in range(order):
        taps = {tap: weight.differentiate() for tap, weight in taps.items()}
    return taps


def _cells(taps: Mapping[int, PeriodicFunction]) -> list[tuple[sp.Expr, sp.Expr]]:
    """Return the intervals of [0, 1) on which every weight is one expression."""
    edges = sorted({edge for weight in taps.values() for cell in weight.cells for edge in (cell.lower, cell.upper)})
    return list(itertools.pairwise(edges))


def _compile_cell(expressions: list[sp.Expr]) -> Callable[[Tensor], list[Tensor]]:
    """Compile the weights of all taps together, so that a normaliser they share is computed once."""
    compiled = sp.lambdify([FRACTION], [_numerical_form(e) for e in expressions], modules="torch", cse=True)

    def weights(fraction: Tensor) -> list[Tensor]:
        return [
            value if isinstance(value, Tensor) else torch.full_like(fraction, float(value))
            for value in compiled(fraction)
        ]

    return weights


def _numerical_form(expression: sp.Expr) -> sp.Expr:
    """Return an equal expression that is accurate, and cheap, to evaluate for f in [0, 1]."""
    if expression.is_polynomial(FRACTION):
        return sp.horner(expression)
    regular = expression.replace(
        lambda node: isinstance(node, SincDerivative) and _is_away_from_zero(node.args[1]),
        lambda node: node.rewrite(sp.sin),
    )
    # torch's functions take no plain numbers, such as in exp(-3) or π².
    return regular.replace(
        lambda node: node.is_number and not node.is_Rational, lambda node: sp.Float(node, _DIGITS_OF_FLOAT64)
    )


def _is_away_from_zero(argument: sp.Expr) -> bool:
    """Return whether a linear function of f keeps a distance from zero on [0, 1] that quotients can bear."""
    ends = [float(argument.subs(FRACTION, end)) for end in (0, 1)]
    return ends[0] * ends[1] > 0 and min(map(abs, ends)) >= math.pi / 3
