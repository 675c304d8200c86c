"""C5: the variance of the gradient that an offset receives."""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import warping
from warptheory.fields import CovarianceFunction, SquaredExponential, White
from warptheory.montecarlo import Experiment
from warptheory.results._quantity import Quantity
from warptheory.results._ranges import Range
from warptheory.results._result import Result
from warptheory.results._setting import PIXEL, Setting
from warptheory.results.fields._fields import CONTINUUM, EXACT, check_length, smooth_field, smooth_offsets
from warptheory.results.iid.channels import GRADIENT_DEVIATION
from warptheory.symbolic import (
    DEVIATION,
    Field,
    GaussianField,
    IIDField,
    OffsetField,
    Statistic,
    Variance,
    compose,
    warp,
)

_PIXELS = {1: 512, 2: 40}  # of a row along each axis: many lengths of the fields
_FINEST = 2.5  # pixels; the slope of the spline through a field of this length has 0.2 % too little variance


def gradient(setting: Setting) -> Variance:
    """State Var ∂L/∂ε₁[n] for a smooth field."""
    return _gradient(compose(smooth_field(setting.dim), smooth_offsets(setting.dim)).diff(0))


def gradient_of_white_input(setting: Setting) -> Variance:
    """State Var ∂L/∂ε₁[n] for white noise on the grid, read at uniform fractions."""
    x = GaussianField("x", White(DEVIATION**2, setting.dim))
    return _gradient(warp(x, OffsetField("uniform", setting.dim, scale="1/2"), setting.kernel).diff(0))


def _gradient(derivative: Field) -> Variance:
    """State the variance of g[n] times a derivative in the offset, the chain rule of one channel."""
    return Variance(IIDField("g", mean=0, deviation=GRADIENT_DEVIATION)[PIXEL] * derivative[PIXEL])


@dataclass(frozen=True)
class BackwardExperiment:
    """The gradient that automatic differentiation sends to the offsets of `warp`, its mean square over a row.

    Attributes:
        kernel: name of the kernel.
        dim: number d of axes.
        is_white: whether x is white noise and fractions are uniform; else x and the offsets are smooth fields.
    """

    kernel: str
    dim: int
    is_white: bool

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels."""
        return int(_PIXELS[self.dim] ** self.dim)

    @property
    def symbols(self) -> Set[str]:
        """Deviations of the field and of the gradient, and for smooth fields lengths and spread."""
        return {"sigma", "sigma_g"} | (set() if self.is_white else {"l", "l_e", "s"})

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Return the mean of (∂L/∂ε₁)² over the pixels, L = Σ g·y with white g, shape (rows,)."""
        size = (_PIXELS[self.dim],) * self.dim
        x = self._field(values).sample(rows, size, generator, periodic=True, device=device)
        offsets = self._offsets(generator, rows, size, values, device).requires_grad_()
        sent = values["sigma_g"] * torch.from_numpy(generator.standard_normal(x.shape)).to(device)
        (sent * warping.warp(x, offsets, self.kernel, "periodic")).sum().backward()
        assert offsets.grad is not None
        return offsets.grad[:, 0].square().flatten(1).mean(1)

    def _field(self, values: Mapping[str, float]) -> CovarianceFunction:
        variance = values["sigma"] ** 2
        return White(variance, self.dim) if self.is_white else SquaredExponential(values["l"], variance, self.dim)

    def _offsets(
        self,
        generator: np.random.Generator,
        rows: int,
        size: tuple[int, ...],
        values: Mapping[str, float],
        device: str,
    ) -> Float[Tensor, "rows d *S"]:
        if self.is_white:
            return torch.from_numpy(generator.random((rows, self.dim, *size))).to(device)
        covariance = SquaredExponential(values["l_e"], values["s"] ** 2, self.dim)
        drawn = covariance.sample(rows * self.dim, size, generator, periodic=True, device=device)
        return drawn.reshape(rows, self.dim, *size)


def _experiment(is_white: bool) -> Callable[[Statistic, Setting], Experiment]:
    return lambda _, setting: BackwardExperiment(setting.kernel, setting.dim, is_white)


def check_grid(setting: Setting, values: Mapping[str, float]) -> None:
    """Check that the grid is fine against the field, and much larger."""
    check_length("l", values["l"], _FINEST, float(_PIXELS[setting.dim]))


RESULT = Result(
    label="C5",
    title="The gradient that offsets receive from a homogeneous field",
    statement=(
        "Var(∂L/∂εᵢ) = σ_g² λ₂ per channel, λ₂ = Var ∂ᵢx, for a white gradient g of variance σ_g² that is independent "
        "of x: it does not depend on the offsets, and grows with the roughness of the field. On a grid λ₂ is the "
        "variance of the interpolant's slope (C4); white x has that of A7, σ_g² σ² δ̄ ρ̄ᵈ⁻¹, 2σ_g²σ²(2/3)ᵈ⁻¹ for linear."
    ),
    assumptions=(
        "x is a homogeneous field; the gradient g sent back is white and independent of x and of the offsets.",
        "The offsets are independent of x; for white input every fraction is equally likely.",
        "Smooth x: the grid is fine against it, so that the kernel (cubic splines) differentiates it exactly.",
    ),
    source="arXiv 2511.20800, homogeneous random fields; theory label C5",
    quantities=(
        Quantity(
            "offset gradient",
            gradient,
            smallest_effect=0.02,
            simulation=_experiment(is_white=False),
            check_drawn=check_grid,
        ),
        Quantity(
            "offset gradient, white input",
            gradient_of_white_input,
            smallest_effect=0.015,
            kernels=("linear", "keys"),
            simulation=_experiment(is_white=True),
        ),
    ),
    kernels=EXACT,
    values={**CONTINUUM, "l": Range(3.0, 2.6, 6.0)},
)
