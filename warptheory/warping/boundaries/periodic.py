"""Periodic: the image repeats, b c d | a b c d | a b c."""

import torch
from jaxtyping import Int
from torch import Tensor

ALIASES = {"circular": "periodic", "grid-wrap": "periodic"}  # of torch.nn.functional.pad and of scipy.ndimage


def periodic(positions: Int[Tensor, "*T"], size: int) -> tuple[Int[Tensor, "*T"], None]:
    """Return the positions (*T) modulo the size."""
    return torch.remainder(positions, size), None
