"""The power law of natural images, with cut-offs that leave its variance finite."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import mpmath
import numpy as np
import sympy as sp
from jaxtyping import Float
from numpy import ndarray

from warptheory.fields._parameters import positive
from warptheory.fields.covariance._radial import RadialCovariance

# The trapezoidal rule in log t errs by exp(−2πw/spacing) for an integrand analytic up to the distance w = π/2.
_SPACING = 0.25
_TAIL = 40.0  # exp(−40) < 1e−17; the ends of the rule are below that, so that they need no halves


@dataclass(frozen=True)
class PowerLaw(RadialCovariance):
    """S(ω) ∝ (1/ℓ² + |ω|²)^{−β/2} exp(−|ω|² w²/2): |ω|^−β between the outer scale ℓ and the inner scale w.

    Without the inner scale it is von Kármán's spectrum, a Matérn covariance of ν = (β − d)/2; the factor
    is that of a Gaussian blur of deviation w/√2, so that every derivative has a variance. C is a mixture of
    squared exponentials, over whose widths it is summed.

    Attributes:
        length: the outer scale ℓ, in pixels: frequencies below 1/ℓ are as strong as that one.
        exponent: β > 0; photographs have β ≈ 2 in d = 2.
        inner: the inner scale w, in pixels.

    Source: D. L. Ruderman, W. Bialek, Phys. Rev. Lett. 73(6), 1994 (the exponent of natural images);
        T. von Kármán, Proc. Natl. Acad. Sci. 34(11), 1948 (the outer scale).
    """

    length: Any = 100
    exponent: Any = 2
    inner: Any = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("exponent", "inner"):
            object.__setattr__(self, name, positive(name, getattr(self, name)))

    def correlation(self, distance: sp.Expr) -> sp.Expr:
        """Return ∫ t^{β/2−1} e^{−t/ℓ²} (t + w²/2)^{−d/2} e^{−r²/(4t+2w²)} dt over its value at r = 0, unevaluated."""
        t = sp.Symbol("t", positive=True)
        width = t + self.inner**2 / 2
        weight = t ** (self.exponent / 2 - 1) * sp.exp(-t / self.length**2) * width ** -sp.Rational(self.dim, 2)
        if distance == 0:
            return sp.Integer(1)
        values = (sp.exp(-(distance**2) / (4 * width)) * weight, weight)
        total, norm = (sp.Integral(value, (t, 0, sp.oo)) for value in values)
        return total / norm

    def radial_spectrum(self, wavenumber: sp.Expr) -> sp.Expr:
        """Return the density, normalised to a variance of one."""
        shape = (1 / self.length**2 + wavenumber**2) ** (-self.exponent / 2)
        return shape * sp.exp(-(wavenumber**2) * self.inner**2 / 2) / self._power(0)

    def radial_moment(self, order: int) -> sp.Expr:
        """Return ∫ |ω|ᵖ S over ∫ S, confluent hypergeometric functions of w²/2ℓ²."""
        return sp.Integer(1) if order == 0 else self._power(order) / self._power(0)

    def _power(self, order: int) -> sp.Expr:
        """Return (2π)⁻ᵈ ∫ |ω|ᵖ (1/ℓ² + ω²)^{−β/2} e^{−ω²w²/2} dω, a confluent hypergeometric function U."""
        sphere = 2 * sp.pi ** sp.Rational(self.dim, 2) / sp.gamma(sp.Rational(self.dim, 2)) / (2 * sp.pi) ** self.dim
        if (self.length * self.exponent * self.inner).free_symbols:
            k = sp.Symbol("k", positive=True)
            shape = (1 / self.length**2 + k**2) ** (-self.exponent / 2) * sp.exp(-(k**2) * self.inner**2 / 2)
            return sphere * sp.Integral(shape * k ** (order + self.dim - 1), (k, 0, sp.oo))
        a = sp.Rational(order + self.dim, 2)
        b, z = a + 1 - self.exponent / 2, self.inner**2 / (2 * self.length**2)
        return sphere / 2 * self.length ** (self.exponent - 2 * a) * sp.gamma(a) * sp.Float(_tricomi(a, b, z))

    @property
    def integral_scale(self) -> sp.Expr:
        """∫₀^∞ ρ dr, by the integral of each squared exponential of the mixture, √π times its half-width."""
        weights, widths = self._mixture
        return sp.Float(math.sqrt(math.pi) * float(weights @ np.sqrt(widths)))

    @cached_property
    def _mixture(self) -> tuple[Float[ndarray, "nodes"], Float[ndarray, "nodes"]]:
        """Weights, summing to one, and t + w²/2 of the squared exponentials: the trapezoidal rule in log t."""
        length, exponent, inner = (self._number(name) for name in ("length", "exponent", "inner"))
        # The integrand is largest at t = β ℓ²/2 or before, and narrower in log t by the root of that.
        ends = math.log(inner**2) - 2 * _TAIL / exponent, math.log(length**2 * (2 * _TAIL + exponent))
        spacing = _SPACING / math.sqrt(1 + exponent / 4)
        logarithms = np.arange(ends[0], ends[1] + spacing, spacing)
        t = np.exp(logarithms)
        widths = t + inner**2 / 2
        powers = exponent / 2 * logarithms - t / length**2 - self.dim / 2 * np.log(widths)
        weights = np.exp(powers - powers.max())
        return weights / weights.sum(), widths

    @cached_property
    def _correlation(self) -> Callable[[Any], Any]:
        weights, widths = self._mixture

        def value(distance: Any) -> Any:
            exponents = -np.square(np.asarray(distance, dtype=float))
            pairs = zip(weights, widths, strict=True)
            return sum(weight * np.exp(exponents / (4 * width)) for weight, width in pairs)

        return value


def _tricomi(a: sp.Expr, b: sp.Expr, z: sp.Expr) -> mpmath.mpf:
    """Return U(a, b, z)."""
    return mpmath.hyperu(*(mpmath.mpf(number.p) / number.q for number in map(sp.Rational, (a, b, z))))
