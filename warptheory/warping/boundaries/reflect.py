"""Reflection at the outer edge of the border pixel (half-sample symmetry), c b a | a b c d | d c b.

numpy.pad calls it "symmetric": pixel n covers [n − ½, n + ½], and the image is continued without stretching any pixel.
"reflection" means what it means in `torch.nn.functional.grid_sample` by default, with align_corners=False; with
align_corners=True torch reflects at the centre of the border pixel, which is "mirror" here.
"""

import torch
from jaxtyping import Int
from torch import Tensor

ALIASES = {"reflection": "reflect", "symmetric": "reflect"}


def reflect(positions: Int[Tensor, "*T"], size: int) -> tuple[Int[Tensor, "*T"], None]:
    """Return the positions (*T) in a period of 2·size, run back in its second half."""
    phase = torch.remainder(positions, 2 * size)
    return torch.where(phase < size, phase, 2 * size - 1 - phase), None
