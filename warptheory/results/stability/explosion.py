"""G2: how much larger the gradient of the rest is than that of the twin whose offset heads are zeroed.

A trunk makes features x and guides u, homogeneous fields that are linear in its parameters: x = Σ aₖφₖ, u = Σ bₖψₖ. L
warps act on the features one after the other, each with offsets ε_l = αu_l of guides of its own. The gradient in the
parameters has, for white g of deviation one, the energy Σₖ E(∂y/∂aₖ)² + Σₖ E(∂y/∂bₖ)², which is the mean square of the
derivative of y along parameters drawn anew: features z and guides v of the same laws as x and u, independent of them,

    W_L…W₁z + Σ_l W_L…W_{l+1} α Σᵢ vᵢ_l (∂ᵢy_{l−1})∘φ_l.

A warp keeps one-point laws (C1), so that a term of the sum has the mean square α² E v² d λ₂(y_{l−1}), and C3 gives λ₂.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import warping
from warptheory.results._depth import LAYERS
from warptheory.results._experiment import DerivedExperiment
from warptheory.results._ranges import Range, whole
from warptheory.results._result import Result
from warptheory.results.fields._fields import EXACT, LENGTH, OFFSET_LENGTH, SPREAD, check_length
from warptheory.results.fields.roughening import SlopeVarianceOfLayers
from warptheory.results.stability._steps import CountedSum
from warptheory.symbolic import DEVIATION, Step

result = Result(
    "G2",
    "The gradient of the rest over that of the zeroed twin",
    "A trunk makes features of length ℓ and guides of length ℓ_e, and L warps move the features by ε_l = su_l. The "
    "gradient that comes back to the trunk's parameters has R² = 1 + (ℓ_e²/ℓ²)((1 + dτ²)ᴸ − 1) times the energy that "
    "it has in the twin without offsets, τ = s/ℓ_e the slope of the offsets. For guides as smooth as the features that "
    "is R² = (1 + dτ²)ᴸ: the excess explodes as the features roughen (C3), although no warp changes the energy of "
    "features or of their gradients. R² is a mean; typical positions have less (K1, K3), stacks whose heads read what "
    "they move have more where rough places persist (F5).",
    assumptions=(
        "Features and guides are independent homogeneous Gaussian fields with squared-exponential covariances, linear "
        "in the trunk's parameters; every layer and axis has a guide of its own, of deviation one.",
        "g is white, of deviation one, and independent of all else.",
        "Fields are read between their pixels without error: checked on a grid that is fine against x, by cubic "
        "splines.",
    ),
    source="theory label G2; C1, C3 and F3",
    meaning="What comes back through offset heads is paid in proportion to the features' squared slopes, layer after "
    "layer, so that Ldτ² alone tells when gradients of everything else explode. An R above ten at the start is an "
    "alarm, and the remedy is a smaller α or a zeroed head.",
    kernels=EXACT,
    dims=(1, 2),
    values={
        "l": Range(3.0, 2.6, 4.0),
        "l_e": Range(4.0, 3.0, 5.0),
        "s": Range(1.2, 0.8, 1.6),
    },
    notation={"R": "the gradient of all parameters but the heads' over that of the twin whose heads are zeroed"},
)


@dataclass(frozen=True)
class GradientOverTwin(DerivedExperiment):
    """R², by automatic differentiation of the stack in white noise that both fields are made of."""

    text = "R²"
    symbols = frozenset({LENGTH.name, OFFSET_LENGTH.name, SPREAD.name, LAYERS.name})
    pixels: ClassVar[Mapping[int, int]] = {1: 64, 2: 24}

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from a sum over the layers; raises as C3's."""
        dim = self.setting.dim
        number = sp.Symbol("j", integer=True, nonnegative=True)
        slopes = SlopeVarianceOfLayers(self.setting).derive().result  # of the features after L layers
        share = dim * SPREAD**2 * slopes.subs(LAYERS, number) / DEVIATION**2
        ratio = sp.cancel(slopes.subs(LAYERS, 2) / slopes.subs(LAYERS, 1))
        geometric = share.subs(number, 0) * (ratio**LAYERS - 1) / (ratio - 1)
        closed = 1 + sp.simplify(share.subs(number, 0) / (ratio - 1)) * (ratio**LAYERS - 1)
        return (
            Step(
                "Differentiate along parameters",
                "the features' path keeps the energy C(0) (C1); the head of a layer adds s²d times the squared slope "
                "of the features before it (C3); guides of different layers are independent",
                1 + CountedSum(share, number, 0, LAYERS - 1),
            ),
            Step("Sum the geometric series", "each layer multiplies the squared slope by 1 + dτ²", 1 + geometric),
            Step("Cancel", "τ = s/ℓ_e", closed),
        )

    def check_values(self, values: Mapping[str, float]) -> None:
        """Check that the grid holds both fields; raises as `check_length`."""
        for name in (LENGTH.name, OFFSET_LENGTH.name):
            check_length(name, values[name], 2.0, self.grid[0])

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels that a row draws, over its fields."""
        return int((2 + self.setting.dim * values[LAYERS.name]) * super().row_elements(values))

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw noise, and return the energy of its gradient over that of the twin; shape (rows,)."""
        layers, dim, grid = int(values[LAYERS.name]), self.setting.dim, self.grid
        noise = torch.from_numpy(generator.standard_normal((rows, 1 + layers * dim, *grid))).to(device)
        noise.requires_grad_()
        g = torch.from_numpy(1.0 - 2.0 * generator.integers(0, 2, (rows, 1, *grid))).to(device)
        axes = list(range(2, 2 + dim))
        y = _smoothed(noise[:, :1], values[LENGTH.name], axes)
        guides = _smoothed(noise[:, 1:], values[OFFSET_LENGTH.name], axes).reshape(rows, layers, dim, *grid)
        for layer in range(layers):
            y = warping.warp(y, values[SPREAD.name] * guides[:, layer], self.setting.kernel, "periodic")
        (gradient,) = torch.autograd.grad((g * y).sum(), noise)
        return gradient.square().flatten(1).sum(1) / math.prod(grid)


def _smoothed(noise: Float[Tensor, "rows C *S"], length: float, axes: list[int]) -> Float[Tensor, "rows C *S"]:
    """Return fields of deviation one and the covariance exp(−|τ|²/2ℓ²) on a torus, linear in white noise.

    Fields of one row and channel are independent; their shape is that of the noise, (rows, C, *S).
    """
    waves = torch.fft.rfftn(noise, dim=axes)
    for axis in axes:
        size = noise.shape[axis]
        frequency = torch.fft.rfftfreq(size) if axis == axes[-1] else torch.fft.fftfreq(size)
        amplitude = torch.exp(-((math.pi * length * frequency.double()) ** 2))
        full = torch.exp(-2 * (math.pi * length * torch.fft.fftfreq(size).double()) ** 2)
        shape = [1] * noise.ndim
        shape[axis] = len(amplitude)
        waves = waves * (amplitude / full.mean().sqrt()).reshape(shape).to(waves.device)
    return cast("Tensor", torch.fft.irfftn(waves, s=[noise.shape[axis] for axis in axes], dim=axes))


result.quantity("energy over that of the zeroed twin", smallest_effect=0.03, values={LAYERS.name: whole(3, 1, 4)})(
    GradientOverTwin
)
