"""One step of gradient descent on one output: what it moves, by parameters that act through positions or otherwise."""

from collections.abc import Sequence

import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import kernels
from warptheory.symbolic.nodes import Node
from warptheory.symbolic.quadrature import Environment, Evaluate

ALPHA = sp.Symbol("alpha", positive=True)  # scale of the offsets
MULTIPLIER = sp.Symbol("m", positive=True)  # of the learning rate of offset heads
CHANNELS = sp.Symbol("C", positive=True, integer=True)
INPUTS = sp.Symbol("P", positive=True, integer=True)  # of a head: taps times channels

NOTATION = {
    "alpha": "the scale of the offsets, which multiplies what the head returns",
    "m": "the multiplier of the learning rate of the offset heads",
    "C": "the number of channels that an offset moves",
    "P": "the number of inputs that a head reads, its taps times their channels",
}

RATE = 1e-6  # of the step that is drawn: linear to 1e-6, and far above rounding
PIXELS = 5  # of the grid along each axis: the kernels read two pixels on either side


class CountedSum(Node):
    """A sum over whole numbers, term by term: args (term, number, first, last)."""

    bound = slice(1, 2)

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the sum."""
        term, number, first, last = self.args
        return sp.Sum(term, (number, first, last))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Add the terms."""
        term, number, first, last = self.args
        ends = (int(evaluate(end, environment)) for end in (first, last + 1))
        return float(sum(evaluate(term, {**environment, number: float(count)}) for count in range(*ends)))


SIDES = "E D⁺(D⁺ + D⁻)/2: the right-hand derivative is promised, and the step goes to either side of the knot"


def delivered_energy(kernel: str) -> sp.Expr:
    """Return E D⁺D of white features of deviation one at zero offsets, D the derivative on the side of the step.

    Autograd promises E(D⁺)²; a step that goes left at a knot delivers D⁺D⁻, and half of the steps do.

    Args:
        kernel: name of the kernel.
    """
    taps = kernels.get(kernel).taps
    origin = sp.Integer(0)
    right = {m: weight.differentiate().at(origin) for m, weight in taps.items()}
    # From the left the cell before the pixel is left at its end, where taps are numbered from one pixel before.
    left = {m - 1: weight.differentiate().from_left(sp.Integer(1)) for m, weight in taps.items()}
    energy: sp.Expr = sum((w * (w + left.get(m, origin)) / 2 for m, w in right.items()), origin)
    simple: sp.Expr = sp.simplify(energy)
    return simple


def centre(field: Float[Tensor, "rows C *S"]) -> Float[Tensor, "rows C"]:
    """Return the values at the middle of the grid, shape (rows, C)."""
    for length in field.shape[2:]:
        field = field[:, :, length // 2]
    return field


def unit_rows(values: Float[Tensor, "rows C"]) -> Float[Tensor, "rows C"]:
    """Return rows of length one, shape (rows, C)."""
    return values / values.square().sum(1, keepdim=True).sqrt()


def gradients(output: Float[Tensor, "rows"], parameters: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return the gradient of every row's output in its own parameters, of their shapes."""
    return torch.autograd.grad(output.sum(), list(parameters))
