"""The rational quadratic covariance: smooth, with correlations that fall as a power of the distance."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import sympy as sp

from warptheory.core.checks import check_integer
from warptheory.core.expressions import positive, real
from warptheory.fields.covariance._matern_function import (
    MaternFunction,
    check_shape,
    gamma_ratio,
    has_formula,
    matern_function,
)
from warptheory.fields.covariance._radial import MOST_ORDER, RadialCovariance, log_one_plus_square


@dataclass(frozen=True)
class RationalQuadratic(RadialCovariance):
    """C(τ) = σ² (1 + |τ|²/2αℓ²)^−α, a mixture of squared exponentials whose 1/ℓ² has a gamma law.

    Attributes:
        alpha: the shape α, from 1e-9 to 1e9; the squared exponential is its limit for α → ∞.

    Source: C. E. Rasmussen, C. K. I. Williams, Gaussian Processes for Machine Learning, 2006, equation 4.19.
    """

    alpha: sp.Expr | Any = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "alpha", check_shape("alpha", positive("alpha", self.alpha)))

    def correlation(self, distance: sp.Expr) -> sp.Expr:
        """Return (1 + r²/2αℓ²)^−α."""
        square = real("distance", distance) ** 2 / (2 * self.alpha * self.length**2)
        if has_formula(self.alpha):
            return (1 + square) ** -self.alpha
        if square.is_number:
            return sp.Float(float(self._correlation(float(distance))))
        return (1 + square) ** sp.Float(-self.alpha)

    @cached_property
    def _correlation(self) -> Callable[[Any], Any]:
        alpha, width = self._number("alpha"), self._width
        return lambda distance: np.exp(-alpha * log_one_plus_square(np.asarray(distance, dtype=float) / width))

    @property
    def _width(self) -> float:
        """√(2α) ℓ."""
        return math.sqrt(2 * self._number("alpha")) * self._length

    def radial_spectrum(self, wavenumber: sp.Expr) -> sp.Expr:
        """Return 2 π^{d/2} bᵈ/Γ(α) · (bk/2)^{α−d/2} K_{α−d/2}(bk), b² = 2αℓ²; its limit at k = 0, ∞ for α ≤ d/2."""
        wavenumber = real("frequency", wavenumber)
        half = sp.Rational(self.dim, 2)
        width, order = sp.sqrt(2 * self.alpha) * self.length, self.alpha - half
        at_zero = (sp.pi**half * width**self.dim / gamma_ratio(order, half)) if order.is_positive else sp.oo
        if wavenumber == 0:
            return at_zero
        z = width * wavenumber
        if has_formula(self.alpha):
            value = 2 * sp.pi**half * width**self.dim / sp.gamma(self.alpha) * (z / 2) ** order * sp.besselk(order, z)
        elif z.is_number:
            return sp.Float(self._spectrum(float(wavenumber)))
        elif order.is_positive:
            return at_zero * MaternFunction(order, z)
        else:
            value = sp.Float(self._rough) * width**self.dim * (z / 2) ** (2 * order) * MaternFunction(-order, z)
        return sp.Piecewise((at_zero, sp.Eq(wavenumber, 0)), (value, True))

    @property
    def _rough(self) -> float:
        """π^{d/2} Γ(d/2 − α)/Γ(α), for α < d/2; with z^{−2m} M_m it makes z^{−m} K_m of m = d/2 − α."""
        alpha = self._number("alpha")
        return math.pow(math.pi, self.dim / 2) * math.gamma(self.dim / 2 - alpha) / math.gamma(alpha)

    @cached_property
    def _spectrum(self) -> Callable[[float], float]:
        order, width = float(self.alpha - sp.Rational(self.dim, 2)), self._width
        if order > 0:
            ratio = float(gamma_ratio(self.alpha - sp.Rational(self.dim, 2), sp.Rational(self.dim, 2)))
            constant = math.pi ** (self.dim / 2) * width**self.dim / ratio
            return lambda wavenumber: constant * float(matern_function(order, width * wavenumber))
        if order == 0:
            expression = sp.lambdify([_K], self.radial_spectrum(_K), ["scipy", "numpy"])
            return lambda wavenumber: float(expression(wavenumber))

        def value(wavenumber: float) -> float:
            z = width * wavenumber
            if z == 0:
                return math.inf
            with np.errstate(over="ignore"):  # near zero it has no number in double precision
                rising = float(np.float64(z / 2) ** (2 * order))
            return self._rough * width**self.dim * rising * float(matern_function(-order, z))

        return value

    def radial_moment(self, order: int) -> sp.Expr:
        """Return E|ω|ᵖ over 1/ℓ² ~ gamma(α): the squared exponential's times Γ(α + p/2)/(Γ(α) α^{p/2})."""
        power = sp.Rational(check_integer("order", order, least=0, most=MOST_ORDER), 2)
        normal = 2**power * gamma_ratio(sp.Rational(self.dim, 2), power) / self.length**order
        return normal * gamma_ratio(self.alpha, power) / self.alpha**power

    @property
    def integral_scale(self) -> sp.Expr:
        """ℓ √(πα/2) Γ(α − 1/2)/Γ(α), ∞ for α ≤ 1/2."""
        half = sp.Rational(1, 2)
        if (self.alpha - half).is_positive is False:
            return sp.oo
        return self.length * sp.sqrt(sp.pi * self.alpha / 2) / gamma_ratio(self.alpha - half, half)


_K = sp.Dummy("k", positive=True)
