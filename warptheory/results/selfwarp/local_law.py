"""F4: the energy that offsets receive, position by position."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from warptheory import warping
from warptheory.fields.covariance.squared_exponential import SquaredExponential
from warptheory.results._experiment import DerivedExperiment
from warptheory.results._ranges import Range, whole
from warptheory.results._result import Result
from warptheory.results._setting import PIXEL, Setting
from warptheory.symbolic import Covariance, GaussianField, OffsetField, Step, warp_gradient
from warptheory.symbolic.nodes import FractionMean

result = Result(
    "F4",
    "The gradient energy that offsets receive, position by position",
    "E |∂L/∂ε(t)|² = C u(t) λ(t) at every position t, u(t) = E g_c(t)² the energy of the gradient in a channel, λ(t) = "
    "Σᵢ(∂ᵢy(t))², averaged over the C channels, the local squared slope of the features. Averaged over positions this "
    "is C E[uλ], and not C E u · E λ: for u = σ_g²(1 + κλ), energy that gathers where features are rough, the two "
    "differ by the factor (1 + κ E λ²/E λ)/(1 + κ E λ), and that in every layer.",
    assumptions=(
        "Given the features, g has mean 0, equal energy in all channels, and no correlation between them.",
        "Experiment: the channels are independent Gaussian fields of squared-exponential covariance on a grid of "
        "spacing 1; every fraction is equally likely and all channels share it.",
    ),
    source="arXiv 2511.20800, self-warp networks; theory label F4",
    meaning="What an offset is taught is loudest where features are rough and gradients strong, so that average "
    "norms of gradients and of features underrate it wherever the two go together. Judge the learning "
    "rate of offsets by the sum of |g|²λ over positions, or smooth the features that are warped.",
    kernels=("linear",),
    values={
        "C": whole(3, 1, 6),
        "kappa": Range(2.0, 0.5, 4.0, "log"),
        "l": Range(1.5, 1.0, 3.0),
    },
    notation={
        "C": "the number of channels that share an offset",
        "kappa": "how strongly the energy of the gradient follows the roughness of the features, in pixels²",
        "u": "the energy of the gradient in a channel at a position",
    },
)

_CHANNELS, _FOLLOWING = sp.Symbol("C", positive=True), sp.Symbol("kappa", positive=True)
_LENGTH, _SENT = sp.Symbol("l", positive=True), sp.Symbol("sigma_g", positive=True)
_DEVIATION = sp.Symbol("sigma", positive=True)


@dataclass(frozen=True)
class _SlopeMoments:
    """Moments of the slopes at a position, over the fractions of the grid.

    Attributes:
        given: Λ(f), the covariance of the d slopes of a channel given the fraction.
        fractions: f₁ … f_d.
    """

    given: sp.Matrix
    fractions: tuple[sp.Symbol, ...]

    @classmethod
    def of(cls, setting: Setting) -> "_SlopeMoments":
        """Derive Λ(f) for a setting."""
        dim = setting.dim
        eps = OffsetField("uniform", dim, scale="1/2")
        x = GaussianField("x", SquaredExponential(length=_LENGTH, variance=_DEVIATION**2, dim=dim), spacing=1)
        slopes = [warp_gradient(x, eps, axis, setting.kernel)[PIXEL] for axis in range(dim)]

        def entry(i: int, j: int) -> sp.Expr:
            return Covariance(slopes[i], slopes[j], given=eps.fraction).doit() if i <= j else entry(j, i)

        return cls(sp.Matrix(dim, dim, entry), eps.fraction.symbols)

    def mean(self, of_fraction: sp.Expr) -> sp.Expr:
        """Return ∫ over the fractions, not done yet."""
        return FractionMean(of_fraction, *self.fractions)

    @property
    def first(self) -> sp.Expr:
        """E λ given f, tr Λ."""
        mean: sp.Expr = self.given.trace()
        return mean

    @property
    def second(self) -> sp.Expr:
        """E λ² given f, (tr Λ)² + (2/C) tr Λ²."""
        square: sp.Expr = self.given.trace() ** 2 + 2 * (self.given**2).trace() / _CHANNELS
        return square

    def integrated(self, of_fraction: sp.Expr) -> sp.Expr:
        """Return ∫ over the fractions of a polynomial in them."""
        terms = sp.Poly(of_fraction, *self.fractions).terms()
        return sp.expand(sp.Add(*(factor / math.prod(power + 1 for power in powers) for powers, factor in terms)))


def _steps(setting: Setting, write: Callable[[sp.Expr, sp.Expr], sp.Expr]) -> tuple[Step, ...]:
    """Return the steps to a function of E λ and E λ²."""
    slopes = _SlopeMoments.of(setting)
    return (
        Step(
            "Local law",
            "given the features, Σ_c g_c ∇y_c has the mean square u Σ_c |∇y_c|² = C u λ, since the channels of the "
            "gradient are uncorrelated and alike; what is left are moments of λ. Given the fraction the slopes of a "
            "channel are Gaussian, with the covariance Λ(f): E λ = tr Λ and, by Isserlis, E λ² = (tr Λ)² + (2/C) tr Λ²",
            write(slopes.mean(slopes.first), slopes.mean(slopes.second)),
        ),
        Step(
            "Average over the fraction",
            "Λ is a polynomial of the fraction, which is uniform",
            write(slopes.integrated(slopes.first), slopes.integrated(slopes.second)),
        ),
    )


class LocalExperiment(DerivedExperiment):
    """Smooth features, a gradient whose energy follows their roughness, and what the offsets receive of it."""

    symbols = frozenset({"C", "kappa", "l", "sigma", "sigma_g"})
    pixels: ClassVar[Mapping[int, int]] = {1: 128, 2: 16}

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels of a row, over its channels."""
        return int(values["C"]) * super().row_elements(values)

    def _drawn(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return |∂L/∂ε(t)|², u(t) and λ(t), each averaged over a row's positions, of shape (rows,)."""
        channels, dim = int(values["C"]), self.setting.dim
        covariance = SquaredExponential(values["l"], values["sigma"] ** 2, dim)
        x = covariance.sample(rows * channels, self.grid, generator, periodic=True, device=device)
        x = x.reshape(rows, channels, *self.grid)
        offsets = torch.from_numpy(generator.uniform(-0.5, 0.5, (rows, dim, *self.grid))).to(device)
        slopes = warping.warp_gradient(x, offsets, self.setting.kernel, "periodic")
        roughness = slopes.square().sum(2).mean(1)
        energy = values["sigma_g"] ** 2 * (1 + values["kappa"] * roughness)
        g = torch.from_numpy(generator.standard_normal(x.shape)).to(device) * energy.sqrt()[:, None]
        offsets.requires_grad_()
        loss = (g * warping.warp(x, offsets, self.setting.kernel, "periodic")).sum()
        (received,) = torch.autograd.grad(loss, offsets)
        every = (received.square().sum(1), energy, roughness)
        return tuple(each.flatten(1).mean(1) for each in every)  # type: ignore[return-value]


# Squares of slopes times squares of gradients have heavy tails; two percent are small beside the excess of a quarter
# and more over the law with spatial averages.
@result.quantity("received energy", smallest_effect=0.02)
@dataclass(frozen=True)
class ReceivedEnergy(LocalExperiment):
    """E |∂L/∂ε|², averaged over positions, for u = σ_g²(1 + κλ)."""

    text = "E |∂L/∂ε|²"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps to C E[uλ]."""
        sent = _CHANNELS * _SENT**2
        return _steps(self.setting, lambda first, second: sent * (first + _FOLLOWING * second))

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw what the offsets of a row receive; shape (rows,)."""
        return self._drawn(generator, rows, values, device)[0]


# In the plane it is made of the same two moments, of which the received energy there shows each.
@result.quantity("received energy over spatial averages", smallest_effect=0.02, dims=(1,))
@dataclass(frozen=True)
class OverAverages(LocalExperiment):
    """E |∂L/∂ε|² over C E u · E λ: by how much the law with spatial averages fails."""

    text = "E |∂L/∂ε|²/(C E u E λ)"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps to E[uλ]/(E u E λ)."""
        return _steps(
            self.setting,
            lambda first, second: (first + _FOLLOWING * second) / (first * (1 + _FOLLOWING * first)),
        )

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows k"]:
        """Draw received energy, u and λ; shape (rows, 3)."""
        return torch.stack(self._drawn(generator, rows, values, device), 1)

    def combine(self, means: Float[ndarray, "k"], values: Mapping[str, float]) -> tuple[float, Float[ndarray, "k"]]:
        """Return the ratio and its gradient, shape (k,), at means of shape (k,)."""
        received, energy, roughness = means
        ratio = received / (values["C"] * energy * roughness)
        return float(ratio), ratio * np.array([1 / received, -1 / energy, -1 / roughness])
