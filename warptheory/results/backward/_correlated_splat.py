"""Splats of a Gaussian field by independent offsets: the exact double sum over its pixels, and its limit.

With w(j) = E k(j + ε) the smoothed kernel and independent offsets, for g of mean μ and covariance C,

    E (Wᵀg)[m]² = (C(0) + μ²) E Σ k² + Σ_{n ≠ n′} w(n − m) w(n′ − m) (C(n − n′) + μ²),

for pixels n ≠ n′ have offsets of their own, and E (Wᵀg)[m] = μ.
"""

from abc import abstractmethod
from dataclasses import dataclass, field
from functools import reduce

import numpy as np
import sympy as sp
from jaxtyping import Float
from numpy import ndarray

from warptheory.results._setting import HALF_WIDTH, PIXEL, Setting
from warptheory.results.backward._reading import kernel_values
from warptheory.results.fields._fields import smooth_covariance
from warptheory.symbolic import (
    DEVIATION,
    MEAN,
    Derivation,
    Expectation,
    GaussianField,
    IIDField,
    OffsetField,
    SplattedField,
    Step,
    Variance,
    kernel_mean,
    restated,
    splat,
)
from warptheory.symbolic.nodes import Node, Opaque, edges_of
from warptheory.symbolic.quadrature import Environment, Evaluate, quadrature


class _SumOverPixels(Node):
    """Σ_{n ≠ n′} w(n) w(n′) (C(n − n′) + μ²): args (splatted field,)."""

    @property
    def free_symbols(self) -> set[sp.Symbol]:
        """Symbols of the field and of the offsets."""
        splatted = self.args[0].content
        return {s for part in (splatted.offsets.axis_law, *splatted.field.parameters) for s in part.free_symbols}

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Add up over both pixels, or over their distance; offsets are averaged by Gauss–Legendre panels."""
        splatted = self.args[0].content
        field, offsets, kernel = splatted.field, splatted.offsets, splatted.kernel
        points, mass = quadrature(offsets.axis_law, environment, evaluate, {0.0, 0.5, *edges_of(kernel)})
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
class GaussianSplatVariance(Variance):
    """Var (Wᵀg)[m] for a Gaussian field g, which is drawn as it is written; a subclass derives it.

    Attributes:
        expression: (Wᵀg)[m].
        splatted: the field Wᵀg.
    """

    splatted: SplattedField = field(kw_only=True)

    @classmethod
    def of(cls, setting: Setting, offsets: str) -> "GaussianSplatVariance":
        """Return it for g of mean μ and covariance σ² exp(−|τ|²/2ℓ²), and offsets of a law."""
        g = GaussianField("g", smooth_covariance(setting.dim), mean=MEAN)
        splatted = splat(g, OffsetField(offsets, setting.dim), setting.kernel)
        return cls(splatted[PIXEL], splatted=splatted)

    def derive(self) -> Derivation:
        """Return the steps that lead to the closed form; raises as `Statistic.derive`."""
        return self.derivation(self.steps())

    @abstractmethod
    def steps(self) -> tuple[Step, ...]:
        """Return the steps; raises as `Statistic.derive`."""

    def __str__(self) -> str:
        return "Var (Wᵀg)[m]"


class FiniteSplatVariance(GaussianSplatVariance):
    """The variance as it is."""

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from the double sum over pixels to one over lags; raises as `Statistic.derive`."""
        whole = Opaque(self.splatted)
        one = splat(IIDField("g", mean=0, deviation=1), self.splatted.offsets, self.splatted.kernel)
        own = (DEVIATION**2 + MEAN**2) * Variance(one[PIXEL]).doit()
        return (
            Step(
                "Use independence",
                "two pixels have offsets of their own, so that E k k′ = w w′, w(j) = E k(j + ε); a pixel with "
                "itself adds (C(0) + μ²) E Σ k², and the mean of Wᵀg is μ",
                own + DoubleSum(whole) - MEAN**2,
            ),
            Step("Collect lags", "C depends on the distance alone", own + SumOverLags(whole) - MEAN**2),
        )


class WideSplatVariance(GaussianSplatVariance):
    """The limit of the variance for offsets that are spread widely against the length of g."""

    def steps(self) -> tuple[Step, ...]:
        """Return the limit of the sum over lags, term by term."""
        gain = kernel_mean(self.splatted.kernel, 0, 0) ** self.splatted.offsets.dim
        reason = (
            "w spreads out: Σ w(n)w(n + r) tends to 0 for every lag, and so does the sum of C against it; that of μ² "
            "is μ²(1 − Σ w²) → μ², which the square of the mean takes away; E Σ k² → ρ̄ᵈ, every fraction equally likely"
        )
        limit = (DEVIATION**2 + MEAN**2) * gain
        return Step("Wide offsets", reason, limit), Step("Evaluate", "ρ̄ = ∫k²", limit.doit())

    def __str__(self) -> str:
        return f"lim ({HALF_WIDTH} → ∞) of {super().__str__()}"


class SmoothSplatVariance(GaussianSplatVariance):
    """The limit of the variance for g that is long against the spread of the offsets."""

    def steps(self) -> tuple[Step, ...]:
        """Return the steps of E (Wᵀ1)², by which g is multiplied; raises as `Statistic.derive`."""
        ones = splat(IIDField("g", mean=1, deviation=0), self.splatted.offsets, self.splatted.kernel)
        reason = (
            "over the reach of w the covariance is constant, C(n − n′) → C(0), with an error of order s²/ℓ²; the sums "
            "over pixels are those for g = 1, times C(0) + μ²: "
        )
        steps = Expectation(ones[PIXEL] ** 2).derive().steps
        return restated(steps, reason, lambda one: (DEVIATION**2 + MEAN**2) * one - MEAN**2)

    def __str__(self) -> str:
        return f"lim (ℓ → ∞) of {super().__str__()}"
