"""Singular values of the real warp on band-limited signals, and what of them does not depend on the band.

On M frequencies W*W is a Toeplitz matrix (M by M), whose symbol is 1/|J| at the place that is read. The sum of a
function over its eigenvalues is M times the mean over the symbol, plus a constant for the two ends of the band, up to
terms that fall exponentially in M (H. Widom, Szegő's theorem of second order). So the difference between two bands,
over the difference of their lengths, is free of the ends. On d axes the ends are faces and edges of a block of
frequencies, the sum is a polynomial of degree d in the length of the block, and its d-th difference is taken.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import warping

# It takes 4e-5 off a wave of sixteen pixels, and less off longer ones.
_ACCURATE = "bspline3(prefilter=True)"


@dataclass(frozen=True)
class BandLimitedWarp:
    """The warp of a periodic grid on blocks of low frequencies.

    Attributes:
        dim: number d of axes.
        period: N, pixels along each axis; several for every frequency.
        bands: lengths of the blocks, odd, at equal distances; d + 1 of them for means that are free of the ends.
    """

    dim: int
    period: int
    bands: tuple[int, ...]

    @property
    def elements(self) -> int:
        """Number of pixels of what one field warps, over the waves of the largest block."""
        return int((self.period * self.bands[-1]) ** self.dim)

    def singular_values(self, offsets: Float[Tensor, "rows d *T"]) -> list[Float[Tensor, "rows M"]]:
        """Return the singular values on each block, in ascending order.

        Args:
            offsets: ε in pixels, shape (rows, d, *T).

        Returns:
            For each block of frequencies a tensor (rows, M), M its number of waves.
        """
        waves, highest = self._waves(offsets.device)
        warped = warping.warp(waves.expand(len(offsets), *waves.shape[1:]), offsets, _ACCURATE, "periodic")
        flat = warped.flatten(2) / math.sqrt(self.period**self.dim)
        found = []
        for band in self.bands:
            inside = flat[:, highest <= band // 2]
            found.append(torch.linalg.eigvalsh(inside @ inside.mT).clamp(min=0).sqrt())
        return found

    def mean(self, function: Callable[[Tensor], Tensor], offsets: Float[Tensor, "rows d *T"]) -> Float[Tensor, "rows"]:
        """Return the mean of a function of the singular values, free of the ends of the band, shape (rows,).

        Args:
            function: of tensors (rows, M), one by one.
            offsets: ε in pixels, shape (rows, d, *T).
        """
        sums = torch.stack([function(values).sum(1) for values in self.singular_values(offsets)])
        counts = torch.tensor([float(band**self.dim) for band in self.bands], dtype=sums.dtype, device=sums.device)
        return torch.diff(sums, n=self.dim, dim=0)[0] / torch.diff(counts, n=self.dim)[0]

    def _waves(self, device: torch.device) -> tuple[Float[Tensor, "1 M *S"], Float[Tensor, "M"]]:
        """Return orthonormal real waves of the largest block, up to √Nᵈ, and the highest frequency of each."""
        half = self.bands[-1] // 2
        angle = 2 * math.pi * torch.arange(self.period, dtype=torch.float64, device=device) / self.period
        phases = torch.arange(1, half + 1, dtype=torch.float64, device=device)[:, None] * angle
        line = torch.cat([torch.ones_like(angle)[None], math.sqrt(2) * phases.cos(), math.sqrt(2) * phases.sin()])
        order = torch.arange(1, half + 1, dtype=torch.float64, device=device)
        frequency = torch.cat([torch.zeros_like(order[:1]), order, order])
        waves, highest = line, frequency
        for _ in range(self.dim - 1):
            waves = torch.einsum("m...,kt->mk...t", waves, line).flatten(0, 1)
            highest = torch.maximum(highest[:, None], frequency).flatten()
        return waves[None], highest


def squared_distance(singular_values: Float[Tensor, "rows M"]) -> Float[Tensor, "rows M"]:
    """Return (1 − σ)², what each singular value adds to the distance from an isometry, shape (rows, M) as given."""
    return (1 - singular_values).square()


def wave_offsets(
    amplitudes: Float[Tensor, "rows d d"], phases: Float[Tensor, "rows d d"], period: int
) -> Float[Tensor, "rows d *T"]:
    """Return εᵢ(n) = (N/2π) Σⱼ Aᵢⱼ sin(2πnⱼ/N + θᵢⱼ) on a periodic grid, whose slopes are waves of amplitude Aᵢⱼ.

    Args:
        amplitudes: A, without unit, shape (rows, d, d).
        phases: θ, shape (rows, d, d).
        period: N, pixels along each axis.

    Returns:
        Offsets in pixels, shape (rows, d, *T).
    """
    rows, dim, _ = amplitudes.shape
    angle = 2 * math.pi * torch.arange(period, dtype=amplitudes.dtype, device=amplitudes.device) / period
    waves = period / (2 * math.pi) * amplitudes[..., None] * torch.sin(angle + phases[..., None])
    along = [waves[:, :, axis].reshape(rows, dim, *_on_axis(axis, dim, period)) for axis in range(dim)]
    return functools.reduce(torch.add, along)


def _on_axis(axis: int, dim: int, period: int) -> list[int]:
    shape = [1] * dim
    shape[axis] = period
    return shape


def random_phases(generator: np.random.Generator, rows: int, dim: int, device: str) -> Float[Tensor, "rows d d"]:
    """Draw phases θ of waves, uniform, shape (rows, d, d)."""
    return torch.from_numpy(2 * math.pi * generator.random((rows, dim, dim))).to(device)
