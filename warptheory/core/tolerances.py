"""Tolerances by dtype, each with its reason; tests take theirs from here."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Tolerance:
    """A bound on |computed − true| ≤ absolute + relative·|true|.

    Attributes:
        relative: relative part, without unit.
        absolute: absolute part, in the unit of the compared value.
        reason: where the two numbers come from.
    """

    relative: float
    absolute: float
    reason: str


def rounding(dtype: torch.dtype, operations: int, magnitude: float = 1.0) -> Tolerance:
    """Tolerance for a sum of products that differs only by rounding.

    Args:
        dtype: floating dtype of the arithmetic.
        operations: number of rounded operations on the longest path to one output value.
        magnitude: sum of absolute values of the terms, in the unit of the compared value.

    Returns:
        γₙ = n·u/(1 − n·u) with unit roundoff u (Higham, Accuracy and Stability of Numerical
        Algorithms, section 3.1), doubled because both sides of a comparison are rounded.
    """
    unit_roundoff = torch.finfo(dtype).eps / 2
    gamma = operations * unit_roundoff / (1 - operations * unit_roundoff)
    return Tolerance(2 * gamma, 2 * gamma * magnitude, f"γ_{operations} of {dtype}, both sides rounded")
