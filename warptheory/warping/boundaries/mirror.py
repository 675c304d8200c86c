"""Reflection at the centre of the border pixel (whole-sample symmetry), d c b | a b c d | c b a.

numpy.pad calls it "reflect", as does torch.nn.ReflectionPad2d: the border pixel is not repeated. An axis of one pixel
is constant.
"""

import torch
from jaxtyping import Int
from torch import Tensor


def mirror(positions: Int[Tensor, "*T"], size: int) -> tuple[Int[Tensor, "*T"], None]:
    """Return the positions (*T) in a period of 2·size − 2, run back in its second half."""
    phase = torch.remainder(positions, max(2 * size - 2, 1))
    return torch.where(phase < size, phase, 2 * size - 2 - phase), None
