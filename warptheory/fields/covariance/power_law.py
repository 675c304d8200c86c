"""The power law of natural images, with cut-offs that leave its variance finite."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import sympy as sp
from jaxtyping import Float
from numpy import ndarray
from scipy import special

from warptheory.core.checks import check_integer
from warptheory.core.errors import ArgumentError
from warptheory.core.expressions import positive, real
from warptheory.fields.covariance._matern_function import gamma_ratio
from warptheory.fields.covariance._radial import MOST_ORDER, RadialCovariance, log_one_plus_square

_LEAST_EXPONENT, _MOST_EXPONENT = sp.Rational(1, 1000), sp.Integer(1000)
# The trapezoidal rule in log t errs by exp(−2πw/spacing) for an integrand analytic up to the distance w = π/2.
_SPACING = 0.25
_NEAR = 45.0  # exp(−45) < 1e−19: t is negligible against w²/2 from there down, and all of that has one width
_FAR = 800.0  # exp(−800) underflows, and so does C beyond
# Integrated over, and so no symbols of a caller's.
_WIDTH, _WAVENUMBER = sp.Dummy("t", positive=True), sp.Dummy("k", positive=True)
_ELEMENTS = 2**16  # of a matrix of nodes and distances, made at a time
_NEAREST = 2.0  # outer or inner scales up to which one rule serves


class _Mixture(NamedTuple):
    """Squared exponentials exp(−r²/4v) of widths v in pixels², with weights whose sum is one.

    The logarithm of the sum before it was divided is that of ∫ t^{β/2−1} e^{−t/ℓ²} v^{−d/2} dt.
    """

    weights: Float[ndarray, "nodes"]
    widths: Float[ndarray, "nodes"]
    logarithm: float


@dataclass(frozen=True)
class PowerLaw(RadialCovariance):
    """S(ω) ∝ (1/ℓ² + |ω|²)^{−β/2} exp(−|ω|² w²/2): |ω|^−β between the outer scale ℓ and the inner scale w.

    Without the inner scale it is von Kármán's spectrum, a Matérn covariance of ν = (β − d)/2; the factor
    is that of a Gaussian blur of deviation w/√2, so that every derivative has a variance. C is a mixture of
    squared exponentials, over whose widths it is summed.

    Attributes:
        length: the outer scale ℓ, in pixels: frequencies below 1/ℓ are as strong as that one.
        exponent: β, from 1e-3 to 1e3; photographs have β ≈ 2 in d = 2.
        inner: the inner scale w, in pixels.

    Source: D. L. Ruderman, W. Bialek, Phys. Rev. Lett. 73(6), 1994 (the exponent of natural images);
        T. von Kármán, Proc. Natl. Acad. Sci. 34(11), 1948 (the outer scale).
    """

    length: sp.Expr | Any = 100
    exponent: sp.Expr | Any = 2
    inner: sp.Expr | Any = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("exponent", "inner"):
            object.__setattr__(self, name, positive(name, getattr(self, name)))
        if self.exponent.is_number and not _LEAST_EXPONENT <= self.exponent <= _MOST_EXPONENT:
            raise ArgumentError("exponent", expected="a number from 1e-3 to 1e3", received=f"{float(self.exponent):g}")

    def correlation(self, distance: sp.Expr) -> sp.Expr:
        """Return ∫ t^{β/2−1} e^{−t/ℓ²} (t + w²/2)^{−d/2} e^{−r²/(4t+2w²)} dt over its value at r = 0.

        A number for numbers, else unevaluated.
        """
        distance = real("distance", distance)
        if distance == 0:
            return sp.Integer(1)
        if distance.is_number and not self._symbols:
            return sp.Float(float(self._correlation(float(distance))))
        t = _WIDTH
        width = t + self.inner**2 / 2
        weight = t ** (self.exponent / 2 - 1) * sp.exp(-t / self.length**2) * width ** -sp.Rational(self.dim, 2)
        values = (sp.exp(-(distance**2) / (4 * width)) * weight, weight)
        total, norm = (sp.Integral(value, (t, 0, sp.oo)) for value in values)
        return total / norm

    @property
    def _symbols(self) -> set[sp.Symbol]:
        return set((self.length * self.exponent * self.inner).free_symbols)

    def radial_spectrum(self, wavenumber: sp.Expr) -> sp.Expr:
        """Return the density, normalised to a variance of one."""
        wavenumber = real("frequency", wavenumber)
        blur = sp.exp(-(wavenumber**2) * self.inner**2 / 2)
        if self._symbols:
            return (1 / self.length**2 + wavenumber**2) ** (-self.exponent / 2) * blur / self._power(0)
        if wavenumber.is_number:
            return sp.Float(self._spectrum(float(wavenumber)))
        fall = (1 + self.length**2 * wavenumber**2) ** sp.Float(-self.exponent / 2)
        return sp.Float(self._spectrum(0.0)) * fall * blur

    @cached_property
    def _spectrum(self) -> Callable[[float], float]:
        length, exponent, inner = self._numbers
        mixture = self._mixture(_NEAREST)
        # (1/ℓ² + ω²)^{−β/2} is the transform of t^{β/2−1} e^{−t/ℓ²}/Γ(β/2); each part has the variance (4πv)^{−d/2}.
        logarithm = exponent * math.log(length) + special.gammaln(exponent / 2) - mixture.logarithm
        logarithm += self.dim / 2 * math.log(4 * math.pi)

        def value(wavenumber: float) -> float:
            fall = exponent / 2 * log_one_plus_square(length * wavenumber) + min(wavenumber * inner, 1e100) ** 2 / 2
            return math.exp(logarithm - fall)

        return value

    def radial_moment(self, order: int) -> sp.Expr:
        """Return ∫ |ω|ᵖ S over ∫ S: the mean over the mixture of Γ((d + p)/2)/Γ(d/2) v^{−p/2}."""
        power = sp.Rational(check_integer("order", order, least=0, most=MOST_ORDER), 2)
        if order == 0:
            return sp.Integer(1)
        if self._symbols:
            return self._power(order) / self._power(0)
        weights, widths, _ = self._mixture(_NEAREST, order)
        return sp.Float(float(weights @ widths ** -float(power))) * gamma_ratio(sp.Rational(self.dim, 2), power)

    def _power(self, order: int) -> sp.Expr:
        """Return (2π)⁻ᵈ ∫ |ω|ᵖ (1/ℓ² + ω²)^{−β/2} e^{−ω²w²/2} dω, unevaluated."""
        sphere = 2 * sp.pi ** sp.Rational(self.dim, 2) / sp.gamma(sp.Rational(self.dim, 2)) / (2 * sp.pi) ** self.dim
        k = _WAVENUMBER
        shape = (1 / self.length**2 + k**2) ** (-self.exponent / 2) * sp.exp(-(k**2) * self.inner**2 / 2)
        return sphere * sp.Integral(shape * k ** (order + self.dim - 1), (k, 0, sp.oo))

    @property
    def integral_scale(self) -> sp.Expr:
        """∫₀^∞ ρ dr, by the integral of each squared exponential of the mixture, √π times its half-width."""
        weights, widths, _ = self._mixture(_NEAREST)
        return sp.Float(math.sqrt(math.pi) * float(weights @ np.sqrt(widths)))

    @property
    def _numbers(self) -> tuple[float, float, float]:
        length, exponent, inner = (self._number(name) for name in ("length", "exponent", "inner"))
        return length, exponent, inner

    def _mixture(self, lengths: float, order: int = 0) -> _Mixture:
        """Return the mixture by the trapezoidal rule in log t, for distances of so many outer or inner scales.

        For a moment of that order narrow widths v count v^{−p/2} times: at most 3^{p/2} times those at t = w².

        The integrand is largest at t = (β + r/ℓ) ℓ²/2 or before, and narrower in log t by the root of that.
        """
        length, exponent, inner = self._numbers
        start = 2 * math.log(min(inner, length)) - min((2 * _NEAR + order * math.log(3)) / exponent, _NEAR)
        end = 2 * math.log(length) + math.log(_FAR + exponent)
        spacing = _SPACING / math.sqrt(1 + exponent / 4 + lengths)
        logarithms = np.arange(start, end + spacing, spacing)
        t = np.exp(logarithms)
        widths = t + inner**2 / 2
        powers = exponent / 2 * logarithms - t / length**2 - self.dim / 2 * np.log(widths)
        weights = np.exp(powers - powers.max())
        # Below the first node t is nothing in a width, and the rest of the rule a geometric series.
        weights[0] /= -math.expm1(-exponent * spacing / 2)
        total = weights.sum()
        return _Mixture(weights / total, widths, float(powers.max() + math.log(total * spacing)))

    @cached_property
    def _correlation(self) -> Callable[[Any], Any]:
        mixtures: dict[float, _Mixture] = {}
        reach = max(self._length, self._number("inner"))

        def value(distance: Any) -> Any:
            distances = np.asarray(distance, dtype=float)
            values = np.zeros(distances.shape)
            bounds = [0.0, *(_NEAREST * 2.0**octave for octave in range(1 + math.ceil(math.log2(_FAR))))]
            for low, high in itertools.pairwise(bounds):
                here = (distances >= low * reach) & (distances < high * reach)
                if here.any():
                    if high not in mixtures:
                        mixtures[high] = self._mixture(high)
                    values[here] = _sum(mixtures[high], distances[here])
            return values if len(values.shape) else float(values)

        return value


def _sum(mixture: _Mixture, distances: Float[ndarray, "N"]) -> Float[ndarray, "N"]:
    """Return the mixture of squared exponentials at distances, shape (N,), in the order of the nodes."""
    exponents, sums = -np.square(distances), np.zeros(len(distances))
    most = max(1, _ELEMENTS // len(distances))
    for first in range(0, len(mixture.widths), most):
        weights, widths = (x[first : first + most, None] for x in (mixture.weights, mixture.widths))
        terms = weights * np.exp(exponents / (4 * widths))
        sums = np.cumsum(np.vstack([sums, terms]), axis=0)[-1]
    return sums
