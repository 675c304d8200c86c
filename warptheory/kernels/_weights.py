"""Numerical weights of a kernel: its taps compiled from the exact expressions to torch."""

from collections.abc import Callable
from functools import cache

import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory.kernels._kernel import Kernel
from warptheory.kernels._periodic import FRACTION, Cell, PeriodicFunction


def tap_weights(kernel: Kernel, fraction: Float[Tensor, "*T"], order: int = 0) -> list[tuple[int, Float[Tensor, "*T"]]]:
    """Evaluate the weights k⁽ᵒʳᵈᵉʳ⁾(f − j) of the pixels j around a position.

    Args:
        kernel: the kernel.
        fraction: f = p − ⌊p⌋ of each position p, shape (*T), in [0, 1]; gradients flow through it.
        order: number of derivatives in p.

    Returns:
        Pairs of a tap j and its weights, shape (*T), dtype of `fraction`. At a knot the weight is the
        right-hand one.
    """
    return [(tap, weight(fraction)) for tap, weight in _compiled_taps(kernel, order)]


@cache
def _compiled_taps(kernel: Kernel, order: int) -> list[tuple[int, Callable[[Tensor], Tensor]]]:
    taps = dict(kernel.taps)
    for _ in range(order):
        taps = {tap: weight.differentiate() for tap, weight in taps.items()}
    return [(tap, _compile(weight)) for tap, weight in taps.items()]


def _compile(function: PeriodicFunction) -> Callable[[Tensor], Tensor]:
    branches = [(float(cell.upper), _compile_cell(cell)) for cell in function.cells]

    def evaluate(fraction: Tensor) -> Tensor:
        # The last cell also takes f = 1, which rounding of f = ε − ⌊ε⌋ produces for tiny negative ε.
        value = branches[-1][1](fraction)
        for upper, branch in reversed(branches[:-1]):
            value = torch.where(fraction < upper, branch(fraction), value)
        return value

    return evaluate


def _compile_cell(cell: Cell) -> Callable[[Tensor], Tensor]:
    expression = sp.horner(cell.expression) if cell.expression.is_polynomial(FRACTION) else cell.expression
    if not expression.has(FRACTION):
        constant = float(expression)
        return lambda fraction: torch.full_like(fraction, constant)
    compiled: Callable[[Tensor], Tensor] = sp.lambdify([FRACTION], expression, modules="torch")
    return compiled
