"""Zeros: outside there is nothing, 0 0 0 | a b c d | 0 0 0."""

from jaxtyping import Bool, Int
from torch import Tensor


def zeros(positions: Int[Tensor, "*T"], size: int) -> tuple[Int[Tensor, "*T"], Bool[Tensor, "*T"]]:
    """Return the clamped positions (*T), and which of them lie inside (*T)."""
    return positions.clamp(0, size - 1), (positions >= 0) & (positions < size)
