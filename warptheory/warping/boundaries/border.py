"""Border: outside stand copies of the border pixel, a a a | a b c d | d d d."""

from jaxtyping import Int
from torch import Tensor

ALIASES = {"replicate": "border", "edge": "border"}  # of torch.nn.functional.pad and of numpy.pad


def border(positions: Int[Tensor, "*T"], size: int) -> tuple[Int[Tensor, "*T"], None]:
    """Return the clamped positions (*T)."""
    return positions.clamp(0, size - 1), None
