"""Ideal resampling of periodic images along an axis, and the one frequency that it cannot resample."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def without_nyquist(x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B C *S"]:
    """Remove from images (B, C, *S) what alternates along an axis of even size."""
    for axis, n in enumerate(x.shape[2:], start=2):
        if n % 2 == 0:
            sign = 1 - 2 * (torch.arange(n, device=x.device) % 2)
            sign = sign.to(x.dtype).reshape(-1, *[1] * (x.ndim - axis - 1))
            x = x - sign * (sign * x).mean(axis, keepdim=True)
    return x


def interpolation(size: int, up: int, like: Float[Tensor, "B C *S"]) -> Float[Tensor, "M N"]:
    """Return the matrix (up·N, N) of ideal interpolation without a Nyquist frequency, dtype of images (B, C, *S).

    Its entries are sin(πKq/M)/(N sin(πq/M)), M = up·N, for q = m − up·n and K = 2⌈N/2⌉ − 1 frequencies.
    """
    finer, kept = up * size, 2 * math.ceil(size / 2) - 1
    pixels, places = torch.arange(size, device=like.device), torch.arange(finer, device=like.device)
    distance = places[:, None] - up * pixels
    # Whole turns are taken off before rounding, which would grow with the angle.
    above = torch.sin(math.pi / finer * (kept * distance % (2 * finer)).double())
    below = torch.sin(math.pi / finer * (distance % (2 * finer)).double())
    here = distance % finer == 0
    found = torch.where(here, kept, above / torch.where(here, 1, below)) / size
    return found.to(like.dtype)
