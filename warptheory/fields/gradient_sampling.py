"""Sampling of gradient fields ∇Ψ, Ψ a homogeneous Gaussian field: offsets that do not turn.

Ψ is drawn on a torus by circulant embedding (`sampling.py`), where its derivative along an axis is a product with the
frequency: ∂ⱼΨ is exact for the torus' own spectrum. Highest frequencies of an even axis, whose derivative has no sign,
are left out.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from scipy import fft
from torch import Tensor

from warptheory.core.checks import check_integer, is_whole
from warptheory.core.errors import ArgumentError
from warptheory.core.normals import NormalNumbers
from warptheory.core.text import shown
from warptheory.fields.covariance import CovarianceFunction
from warptheory.fields.sampling import FieldSampler

_CACHED = 2**18  # complex numbers: the tori of small fields are transformed together, large ones one by one
_NOISE: dict[torch.dtype, type[np.floating]] = {torch.float32: np.float32, torch.float64: np.float64}


@dataclass(frozen=True)
class GradientSampler:
    """Draws gradients of homogeneous Gaussian fields on one grid.

    The component ∂ᵢΨ has the covariance −∂ᵢ∂ᵢC, two of them −∂ᵢ∂ⱼC; the slopes ∂ⱼ∂ᵢΨ are symmetric.

    Attributes:
        potential: draws Ψ; its covariance, grid and torus are those of the gradient.

    Raises:
        ArgumentError: no sampler, or one of a field that has no derivative.
    """

    potential: FieldSampler

    def __post_init__(self) -> None:
        if not isinstance(self.potential, FieldSampler):
            received = shown(self.potential)
            raise ArgumentError("potential", expected="a FieldSampler, which draws the potential", received=received)
        covariance = self.potential.covariance
        if isinstance(covariance, CovarianceFunction) and not all(
            math.isfinite(float(covariance.second_moment(axis))) for axis in range(covariance.dim)
        ):
            raise ArgumentError("potential", expected="a sampler of a differentiable field", received=covariance)

    def spectral_moments(self, order: int = 2) -> Float[ndarray, "d"]:
        """Return Σ λ ωⱼⁿ/N of the torus for each axis, shape (d,): what is drawn, and not what C has.

        Those of order 2 are the variances of the components, those of order 4 of their slopes along their own axis.
        They are less than ∂ⱼⁿC(0) by what is finer than the grid, and more by what the embedding clips.

        Args:
            order: n, an even number.

        Raises:
            ArgumentError: an odd or negative order.
            NotPositiveDefinite: as `FieldSampler`.
        """
        if check_integer("order", order, least=0) % 2:
            raise ArgumentError("order", expected="an even number", received=order)
        eigenvalues = self.potential.eigenvalues
        return np.array([float((eigenvalues * frequency**order).mean()) for frequency in self._frequencies()])

    def sample(
        self,
        batch: int,
        generator: np.random.Generator,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float64,
    ) -> Float[Tensor, "B d *S"]:
        """Draw independent gradients, shape (batch, d, *size), in the unit of Ψ per pixel.

        Args:
            batch: number of fields B.
            generator: NumPy generator; `core.streams.Stream.generator()` gives reproducible ones.
            device: device on which they are made; the noise comes from the generator on every device.
            dtype: torch.float32 or torch.float64.

        Raises:
            ArgumentError: a negative batch, or another dtype.
            NotPositiveDefinite: as `FieldSampler`.
        """
        if not (is_whole(batch) and batch >= 0):
            raise ArgumentError("batch", expected="batch ≥ 0", received=batch)
        if dtype not in _NOISE:
            raise ArgumentError("dtype", expected="torch.float32 or torch.float64", received=dtype)
        torus, size = self.potential.torus, self.potential.size
        fields = torch.empty((batch, len(size), *size), dtype=dtype, device=device)
        roots = np.sqrt(self.potential.eigenvalues / math.prod(torus))
        frequencies = [torch.from_numpy(part).to(device, dtype) for part in self._frequencies()]
        colour, numbers = torch.from_numpy(roots).to(device, dtype), NormalNumbers(generator)
        pairs = max(1, _CACHED // math.prod(torus))  # real and imaginary part are two independent fields
        noise = np.empty((pairs, *torus, 2), _NOISE[dtype])
        grid = (slice(None), *(slice(n) for n in size))
        axes = tuple(range(1, 1 + len(size)))
        for first in range(0, batch, 2 * pairs):
            block = fields[first : first + 2 * pairs]
            drawn = noise[: -(-len(block) // 2)]
            numbers.fill(drawn)
            waves = torch.view_as_complex(torch.from_numpy(drawn.copy()).to(device)) * colour
            for axis, frequency in enumerate(frequencies):
                both = torch.view_as_real(torch.fft.fftn(waves * (-1j * frequency), dim=axes)[grid])
                block[:, axis] = both.movedim(-1, 1).flatten(0, 1)[: len(block)]
        return fields

    def _frequencies(self) -> list[Float[ndarray, "*M"]]:
        """Return ωⱼ of the torus in radians per pixel, one array for each axis that broadcasts over the torus."""
        found = []
        for axis, count in enumerate(self.potential.torus):
            frequency = 2 * np.pi * fft.fftfreq(count, self.potential.spacing)
            if count % 2 == 0:
                frequency[count // 2] = 0.0
            shape = [1] * len(self.potential.torus)
            shape[axis] = count
            found.append(frequency.reshape(shape))
        return found
