"""C5: the variance of the gradient that an offset receives."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import warping
from warptheory.fields import CovarianceFunction
from warptheory.fields.covariance.squared_exponential import SquaredExponential
from warptheory.fields.covariance.white import White
from warptheory.results._experiment import MomentExperiment
from warptheory.results._ranges import Range
from warptheory.results._result import Result
from warptheory.results._setting import PIXEL
from warptheory.results.fields._fields import (
    CONTINUUM,
    EXACT,
    check_length,
    smooth_field,
    smooth_offsets,
    uniform_offsets,
)
from warptheory.results.iid.channels import GRADIENT_DEVIATION
from warptheory.symbolic import DEVIATION, Field, GaussianField, IIDField, Variance, compose, warp

result = Result(
    "C5",
    "The gradient that offsets receive from a homogeneous field",
    "Var(∂L/∂εᵢ) = σ_g² λ₂ per channel, λ₂ = Var ∂ᵢx, for a white gradient g of variance σ_g² that is independent "
    "of x: it does not depend on the offsets, and grows with the roughness of the field. On a grid λ₂ is the "
    "variance of the interpolant's slope (C4); white x has that of A7, σ_g² σ² δ̄ ρ̄ᵈ⁻¹, 2σ_g²σ²(2/3)ᵈ⁻¹ for linear.",
    assumptions=(
        "x is a homogeneous field; the gradient g sent back is white and independent of x and of the offsets.",
        "The offsets are independent of x; for white input every fraction is equally likely.",
        "Smooth x: the grid is fine against it, so that the kernel (cubic splines) differentiates it exactly.",
    ),
    source="arXiv 2511.20800, homogeneous random fields; theory label C5",
    meaning="Offsets learn as fast as their features are rough, whatever the offsets are at the moment. Give "
    "rough layers a smaller multiplier than smooth ones, in inverse proportion to √λ₂.",
    kernels=EXACT,
    values={**CONTINUUM, "l": Range(3.0, 2.6, 6.0)},
)

_FINEST = 2.5  # pixels; the slope of the spline through a field of this length has 0.2 % too little variance


@result.quantity("offset gradient", smallest_effect=0.02)
@dataclass(frozen=True)
class OffsetGradient(MomentExperiment):
    """Var ∂L/∂ε₁[n] for a smooth field, L = Σ g·y with white g.

    A row is the mean square, over its pixels, of what automatic differentiation sends to the offsets of `warp`.
    """

    symbols = frozenset({"sigma", "sigma_g", "l", "l_e", "s"})
    pixels: ClassVar[Mapping[int, int]] = {1: 512, 2: 40}  # many lengths of the fields

    @property
    def statistic(self) -> Variance:
        """The variance of g[n] times a derivative in the offset, the chain rule of one channel."""
        return Variance(IIDField("g", mean=0, deviation=GRADIENT_DEVIATION)[PIXEL] * self._derivative[PIXEL])

    def check_values(self, values: Mapping[str, float]) -> None:
        """Check that the grid is fine against the field, and much larger."""
        check_length("l", values["l"], _FINEST, float(self.grid[0]))

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Return the mean of (∂L/∂ε₁)² over the pixels, shape (rows,)."""
        x = self._field(values).sample(rows, self.grid, generator, periodic=True, device=device)
        offsets = self._offsets(generator, rows, values).to(device).requires_grad_()
        sent = values["sigma_g"] * torch.from_numpy(generator.standard_normal(x.shape)).to(device)
        torch.autograd.backward((sent * warping.warp(x, offsets, self.setting.kernel, "periodic")).sum())
        assert offsets.grad is not None
        return offsets.grad[:, 0].square().flatten(1).mean(1)

    @property
    def _derivative(self) -> Field:
        """∂₁y."""
        return compose(smooth_field(self.setting.dim), smooth_offsets(self.setting.dim)).diff(0)

    def _field(self, values: Mapping[str, float]) -> CovarianceFunction:
        """Return the covariance of x."""
        return SquaredExponential(values["l"], values["sigma"] ** 2, self.setting.dim)

    def _offsets(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float]
    ) -> Float[Tensor, "rows d *S"]:
        covariance = SquaredExponential(values["l_e"], values["s"] ** 2, self.setting.dim)
        drawn = covariance.sample(rows * self.setting.dim, self.grid, generator, periodic=True)
        return drawn.reshape(rows, self.setting.dim, *self.grid)


@result.quantity("offset gradient, white input", smallest_effect=0.015, kernels=("linear", "keys"))
@dataclass(frozen=True)
class OffsetGradientOfWhiteInput(OffsetGradient):
    """The same for white noise on the grid, read at uniform fractions."""

    symbols = frozenset({"sigma", "sigma_g"})

    def check_values(self, values: Mapping[str, float]) -> None:
        """Check nothing: white noise has no length."""

    @property
    def _derivative(self) -> Field:
        x = GaussianField("x", White(DEVIATION**2, self.setting.dim))
        return warp(x, uniform_offsets(self.setting.dim), self.setting.kernel).diff(0)

    def _field(self, values: Mapping[str, float]) -> CovarianceFunction:
        return White(values["sigma"] ** 2, self.setting.dim)

    def _offsets(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float]
    ) -> Float[Tensor, "rows d *S"]:
        return torch.from_numpy(generator.random((rows, self.setting.dim, *self.grid)))
