"""Splats of a Gaussian field by independent offsets: the exact double sum over its pixels, and its limit.

With w(j) = E k(j + ε) the smoothed kernel and independent offsets, for g of mean μ and covariance C,

    E (Wᵀg)[m]² = (C(0) + μ²) E Σ k² + Σ_{n ≠ n′} w(n − m) w(n′ − m) (C(n − n′) + μ²),

for pixels n ≠ n′ have offsets of their own, and E (Wᵀg)[m] = μ.
"""

from dataclasses import dataclass
from functools import reduce

import numpy as np
import sympy as sp
from jaxtyping import Float
from numpy import ndarray

from warptheory import kernels
from warptheory.core.errors import ArgumentError
from warptheory.fields import SquaredExponential
from warptheory.montecarlo import Experiment, Simulation
from warptheory.results._setting import HALF_WIDTH, PIXEL, Setting
from warptheory.symbolic import (
    DEVIATION,
    MEAN,
    Derivation,
    Expectation,
    GaussianField,
    IIDField,
    OffsetField,
    SplattedField,
    Statistic,
    Step,
    Variance,
    kernel_mean,
    splat,
)
from warptheory.symbolic._nodes import Node, Opaque, _edges
from warptheory.symbolic._quadrature import Environment, Evaluate, quadrature
from warptheory.symbolic._reading import kernel_values

LENGTH = sp.Symbol("l", positive=True)  # ℓ of the field, in pixels


class _SumOverPixels(Node):
    """Σ_{n ≠ n′} w(n) w(n′) (C(n − n′) + μ²): args (splatted field,)."""

    @property
    def free_symbols(self) -> set[sp.Symbol]:
        """Symbols of the field and of the offsets."""
        splatted = self.args[0].content
        parts = [part for _, law in splatted.offsets.axis_law.parts for part in (law.location, law.scale)]
        return {symbol for part in (*parts, *splatted.field.parameters) for symbol in part.free_symbols}

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Add up over both pixels, or over their distance; offsets are averaged by Gauss–Legendre panels."""
        splatted = self.args[0].content
        field, offsets, kernel = splatted.field, splatted.offsets, splatted.kernel
        points, mass = quadrature(offsets.axis_law, environment, evaluate, {0.0, 0.5, *_edges(kernel)})
        reach = int(np.ceil(np.abs(points).max())) + kernel.reach
        smoothed = mass @ kernel_values(kernel, points[:, None] + np.arange(-reach, reach + 1))
        lags = np.arange(-2 * reach, 2 * reach + 1)
        given = {symbol.name: environment[symbol] for symbol in field.covariance.free_symbols}
        grid = np.stack(np.meshgrid(*[lags] * offsets.dim, indexing="ij"), axis=-1).astype(float)
        moments = field.covariance.subs(given).at(grid) + float(evaluate(field.mean, environment)) ** 2
        return self.total(smoothed, moments)

    def total(self, smoothed: Float[ndarray, "M"], moments: Float[ndarray, "*L"]) -> float:
        """Return the sum over different pixels, of w along an axis and of E g[n]g[n′] by their distance."""
        raise NotImplementedError


class DoubleSum(_SumOverPixels):
    """The sum over all pairs of pixels: numbers one pixel after the other."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the double sum."""
        n, other = sp.symbols("n n'", integer=True)
        w, covariance = sp.Function("w"), sp.Function("C")
        term = w(n) * w(other) * (covariance(n - other) + MEAN**2) * (1 - sp.KroneckerDelta(n, other))
        return sp.Sum(term, (n, -sp.oo, sp.oo), (other, -sp.oo, sp.oo))

    def total(self, smoothed: Float[ndarray, "M"], moments: Float[ndarray, "*L"]) -> float:
        """Return the sum, pixel by pixel."""
        dim, length = moments.ndim, len(smoothed)
        weights = reduce(np.multiply.outer, [smoothed] * dim)
        own = moments[(length - 1,) * dim]
        total = 0.0
        for place in np.ndindex(*weights.shape):
            window = tuple(slice(length - 1 - n, 2 * length - 1 - n) for n in place)
            total += weights[place] * (np.sum(weights * moments[window]) - weights[place] * own)
        return float(total)


class SumOverLags(_SumOverPixels):
    """The sum over the distance of two pixels: numbers from the autocorrelation of w along an axis."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the sum over lags."""
        lag, n = sp.symbols("r n", integer=True)
        w, covariance = sp.Function("w"), sp.Function("C")
        pairs = sp.Sum(w(n) * w(n + lag), (n, -sp.oo, sp.oo))
        term = (covariance(lag) + MEAN**2) * pairs * (1 - sp.KroneckerDelta(lag, 0))
        return sp.Sum(term, (lag, -sp.oo, sp.oo))

    def total(self, smoothed: Float[ndarray, "M"], moments: Float[ndarray, "*L"]) -> float:
        """Return the sum, lag by lag."""
        pairs = reduce(np.multiply.outer, [np.correlate(smoothed, smoothed, "full")] * moments.ndim)
        pairs[(len(smoothed) - 1,) * moments.ndim] = 0.0
        return float(np.sum(pairs * moments))


@dataclass(frozen=True)
class CorrelatedSplatVariance(Statistic):
    """Var (Wᵀg)[m] for g of mean μ and covariance σ² exp(−|τ|²/2ℓ²).

    Attributes:
        setting: kernel, law of the offsets and number of axes.
    """

    setting: Setting

    @property
    def splatted(self) -> SplattedField:
        """The field Wᵀg."""
        return gaussian_splat(self.setting, OffsetField(self.setting.offsets, self.setting.dim))

    @property
    def variance(self) -> Variance:
        """The statistic as it is simulated."""
        return Variance(self.splatted[PIXEL])

    def derive(self) -> Derivation:
        """Return the steps from the double sum to one over lags; raises as `Statistic.derive`."""
        whole = Opaque(self.splatted)
        one = splat(IIDField("g", mean=0, deviation=1), self.splatted.offsets, self.setting.kernel)
        own = (DEVIATION**2 + MEAN**2) * Variance(one[PIXEL]).doit()
        return Derivation(
            str(self),
            (
                Step(
                    "Use independence",
                    "two pixels have offsets of their own, so that E k k′ = w w′, w(j) = E k(j + ε); a pixel with "
                    "itself adds (C(0) + μ²) E Σ k², and the mean of Wᵀg is μ",
                    own + DoubleSum(whole) - MEAN**2,
                ),
                Step("Collect lags", "C depends on the distance alone", own + SumOverLags(whole) - MEAN**2),
            ),
        )

    def __str__(self) -> str:
        return f"Var (Wᵀg)[m], g Gaussian, d = {self.setting.dim}"


@dataclass(frozen=True)
class WideSplatVariance(Statistic):
    """The limit of the same for offsets that are spread widely against the length of g.

    Attributes:
        setting: kernel and number of axes.
    """

    setting: Setting

    @property
    def variance(self) -> Variance:
        """The statistic as it is simulated."""
        return Variance(gaussian_splat(self.setting, OffsetField("uniform", self.setting.dim))[PIXEL])

    def derive(self) -> Derivation:
        """Return the limit of the sum over lags, term by term."""
        gain = kernel_mean(kernels.get(self.setting.kernel), 0, 0) ** self.setting.dim
        reason = (
            "w spreads out: Σ w(n)w(n + r) tends to 0 for every lag, and so does the sum of C against it; that of μ² "
            "is μ²(1 − Σ w²) → μ², which the square of the mean takes away; E Σ k² → ρ̄ᵈ, every fraction equally likely"
        )
        limit = (DEVIATION**2 + MEAN**2) * gain
        return Derivation(str(self), (Step("Wide offsets", reason, limit), Step("Evaluate", "ρ̄ = ∫k²", limit.doit())))

    def __str__(self) -> str:
        return f"lim ({HALF_WIDTH} → ∞) of Var (Wᵀg)[m], g Gaussian, d = {self.setting.dim}"


@dataclass(frozen=True)
class SmoothSplatVariance(Statistic):
    """The limit of the same for g that is long against the spread of the offsets.

    Attributes:
        setting: kernel, number of axes and law of the offsets.
    """

    setting: Setting

    @property
    def variance(self) -> Variance:
        """The statistic as it is simulated."""
        return CorrelatedSplatVariance(self.setting).variance

    def derive(self) -> Derivation:
        """Return the steps of E (Wᵀ1)², by which g is multiplied; raises as `Statistic.derive`."""
        offsets = OffsetField(self.setting.offsets, self.setting.dim)
        ones = splat(IIDField("g", mean=1, deviation=0), offsets, self.setting.kernel)
        reason = (
            "over the reach of w the covariance is constant, C(n − n′) → C(0), with an error of order s²/ℓ²; the sums "
            "over pixels are those for g = 1, times C(0) + μ²: "
        )
        steps = Expectation(ones[PIXEL] ** 2).derive().steps
        return Derivation(
            str(self),
            tuple(
                Step(
                    step.name,
                    reason * (number == 0) + step.reason,
                    (DEVIATION**2 + MEAN**2) * step.expression - MEAN**2,
                )
                for number, step in enumerate(steps)
            ),
        )

    def __str__(self) -> str:
        return f"lim (ℓ → ∞) of Var (Wᵀg)[m], g Gaussian, d = {self.setting.dim}"


def gaussian_splat(setting: Setting, offsets: OffsetField) -> SplattedField:
    """Return Wᵀg for g of mean μ and covariance σ² exp(−|τ|²/2ℓ²)."""
    covariance = SquaredExponential(length=LENGTH, variance=DEVIATION**2, dim=setting.dim)
    return splat(GaussianField("g", covariance, mean=MEAN), offsets, setting.kernel)


def splatted(statistic: Statistic, setting: Setting) -> Experiment:
    """Return the experiment that draws g and the offsets, and splats."""
    if not isinstance(statistic, CorrelatedSplatVariance | WideSplatVariance | SmoothSplatVariance):
        raise ArgumentError("statistic", expected="the variance of a splatted field", received=str(statistic))
    return Simulation(statistic.variance, setting.inputs)
