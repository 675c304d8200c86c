"""K7: both exponents of a stack in the plane, in closed form."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory.results._experiment import DerivedExperiment
from warptheory.results._ranges import Range
from warptheory.results._result import Result
from warptheory.results._setting import TAU
from warptheory.results.backward._folded_fields import offsets_of_waves
from warptheory.results.typical._drawing import PERIOD, lattice_normals
from warptheory.results.typical._log_determinants import log_jacobian_steps
from warptheory.results.typical._slope_length import exponent
from warptheory.symbolic import Step
from warptheory.warping.jacobian import determinant, offset_jacobian

result = Result(
    "K7",
    "Both exponents in the plane",
    "E log|det(I + A)| = E₁(1/τ²) − e^{−1/2τ²} Shi(1/2τ²) for d = 2, −τ² − 2τ⁴ − 8τ⁶ − … for small slopes, positive "
    "beyond τ ≈ 1.08. The second exponent is what is left of it by λ₂ = ½E₁(1/2τ²): slopes across the direction that "
    "grows shrink by about τ² a layer, so that ∇y turns into one direction and the image of a patch into a thread.",
    assumptions=(
        "The four slopes at a position are independent N(0, τ²).",
        "The offsets of layers are independent of each other and of the feature, which is smooth.",
        "Positions are drawn uniformly from those of the output.",
    ),
    source="theory label K7; the sum of Lyapunov exponents is the mean logarithm of the determinant: V. I. Oseledets, "
    "Trans. Moscow Math. Soc. 19, 1968",
    meaning="Stacked warps in the plane squeeze neighbourhoods into threads: one direction keeps its size and the "
    "other shrinks by a factor e in about 1/τ² layers. Where features have to stay two-dimensional, lead a shortcut "
    "past the warps, or keep Lτ² below one.",
    notation={"K": "the shape of the gamma law that |J|/τ² has in the plane, a random number"},
    kernels=("linear",),
    dims=(2,),
    values={"tau": Range(0.5, low=0.35, high=0.65, scale="log")},
)

_POINTS = 64


class PlaneExponents(DerivedExperiment):
    """Means over the slopes at the pixels of offset fields whose waves are evenly spread."""

    symbols = frozenset({TAU.name})

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels of a row, over the components."""
        return int(_POINTS * 4 * (PERIOD + 1) ** 2)

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw fields, take I + A by forward differences, and average; shape (rows,)."""
        normals = lattice_normals(generator, rows, _POINTS, 8).reshape(-1, 2, 2, 2)
        slopes = offset_jacobian(offsets_of_waves(normals.to(device), values[TAU.name], PERIOD))
        slopes = slopes + torch.eye(2, dtype=slopes.dtype, device=slopes.device).reshape(1, 2, 2, 1, 1)
        return self.logarithm(slopes).reshape(rows, -1).mean(1)

    def logarithm(self, matrix: Float[Tensor, "B 2 2 *N"]) -> Float[Tensor, "B *N"]:
        """Return what is averaged of I + A, shape (B, *N)."""
        return determinant(matrix).abs().log()


@result.quantity("mean log-determinant", smallest_effect=0.02)  # log|J| scatters by one, three times its mean
class LogDeterminant(PlaneExponents):
    """E log|det(I + A)|, the sum of both exponents."""

    text = "E log|det(I + A)|"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from a mean over the slopes."""
        return log_jacobian_steps(2)


@result.quantity("second exponent", smallest_effect=0.02)
class SecondExponent(PlaneExponents):
    """E log|det(I + A)| − E log‖(I + A)ᵀu‖."""

    text = "E log|det(I + A)|/‖(I + A)ᵀu‖"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps of the sum of the exponents, less the first (K1)."""
        reason = "the exponents add up to E log|det(I + A)|, whose first is λ₂ (K1): "
        first = exponent(2)
        return tuple(
            Step(step.name, reason * (number == 0) + step.reason, step.expression - first)
            for number, step in enumerate(log_jacobian_steps(2))
        )

    def logarithm(self, matrix: Float[Tensor, "B 2 2 *N"]) -> Float[Tensor, "B *N"]:
        """Return the logarithm of how much more the area than a length grows, shape (B, *N)."""
        return super().logarithm(matrix) - matrix[:, 0].square().sum(1).log() / 2
