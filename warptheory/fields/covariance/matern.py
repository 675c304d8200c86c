"""The Matérn covariance, whose fields have ⌈ν⌉ − 1 mean-square derivatives."""

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

_FAR = 1e5  # exp(−z) zᵖ is zero there for the degrees p that have formulas


@dataclass(frozen=True)
class Matern(RadialCovariance):
    """C(τ) = σ² 2^{1−ν}/Γ(ν) zᵛ K_ν(z), z = √(2ν)|τ|/ℓ.

    Attributes:
        nu: the smoothness ν, from 1e-9 to 1e9; derivatives of order n have a variance for n < ν.

    Source: C. E. Rasmussen, C. K. I. Williams, Gaussian Processes for Machine Learning, 2006, equation 4.14.
    """

    nu: sp.Expr | Any = "3/2"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "nu", check_shape("nu", positive("nu", self.nu)))

    def correlation(self, distance: sp.Expr) -> sp.Expr:
        """Return the correlation; for ν = p + 1/2 an exponential times a polynomial (equation 4.16 there)."""
        z = sp.sqrt(2 * self.nu) * real("distance", distance) / self.length
        if not has_formula(self.nu):
            return MaternFunction(self.nu, z)
        if self._degree is not None:
            terms = (coefficient * z**power for power, coefficient in enumerate(_polynomial(self._degree)))
            return sp.exp(-z) * sp.Add(*terms)
        if z == 0:
            return sp.Integer(1)
        value = 2 ** (1 - self.nu) / sp.gamma(self.nu) * z**self.nu * sp.besselk(self.nu, z)
        return sp.Piecewise((1, sp.Eq(distance, 0)), (value, True))

    @property
    def _degree(self) -> int | None:
        """The degree p of the polynomial, None where there is none."""
        degree = self.nu - sp.Rational(1, 2)
        return int(degree) if degree.is_Integer and has_formula(self.nu) else None

    @cached_property
    def _correlation(self) -> Callable[[Any], Any]:
        nu, length = self._number("nu"), self._length
        rate = math.sqrt(2 * nu) / length
        if self._degree is None:
            return lambda distance: matern_function(nu, rate * np.asarray(distance, dtype=float))
        coefficients = [float(coefficient) for coefficient in _polynomial(self._degree)]

        def value(distance: Any) -> Any:
            z = np.minimum(rate * np.asarray(distance, dtype=float), _FAR)
            return np.exp(-z) * np.polynomial.polynomial.polyval(z, coefficients)

        return value

    def radial_spectrum(self, wavenumber: sp.Expr) -> sp.Expr:
        """Return 2ᵈ π^{d/2} Γ(ν + d/2)/Γ(ν) · (2ν/ℓ²)^ν (2ν/ℓ² + k²)^{−ν−d/2}."""
        wavenumber = real("frequency", wavenumber)
        half, rate = sp.Rational(self.dim, 2), 2 * self.nu / self.length**2
        constant: sp.Expr = 2**self.dim * sp.pi**half * gamma_ratio(self.nu, half)
        if has_formula(self.nu):
            return constant * rate**self.nu * (rate + wavenumber**2) ** (-self.nu - half)
        if wavenumber.is_number and rate.is_number:
            return sp.Float(self._spectrum(float(wavenumber)))
        return constant / rate**half * (1 + wavenumber**2 / rate) ** sp.Float(-self.nu - half)

    @cached_property
    def _spectrum(self) -> Callable[[float], float]:
        nu, length, half = self._number("nu"), self._length, self.dim / 2
        rate = math.sqrt(2 * nu) / length
        constant = (2 * math.sqrt(math.pi) / rate) ** self.dim * float(gamma_ratio(self.nu, sp.Rational(self.dim, 2)))
        return lambda wavenumber: constant * math.exp(-(nu + half) * log_one_plus_square(wavenumber / rate))

    def radial_moment(self, order: int) -> sp.Expr:
        """Return (2ν/ℓ²)^{p/2} Γ((d + p)/2) Γ(ν − p/2)/(Γ(d/2) Γ(ν)), ∞ from p = 2ν on."""
        power = sp.Rational(check_integer("order", order, least=0, most=MOST_ORDER), 2)
        if order == 0:
            return sp.Integer(1)
        if (self.nu - power).is_positive is False:
            return sp.oo
        half = sp.Rational(self.dim, 2)
        finite = gamma_ratio(half, power) * gamma_ratio(self.nu, -power) * (2 * self.nu / self.length**2) ** power
        if (self.nu - power).is_positive:
            return finite
        return sp.Piecewise((finite, self.nu > power), (sp.oo, True))

    @property
    def integral_scale(self) -> sp.Expr:
        """ℓ √π Γ(ν + 1/2)/(√(2ν) Γ(ν)) · 1, half of S on a line at frequency zero."""
        return sp.sqrt(sp.pi) * gamma_ratio(self.nu, sp.Rational(1, 2)) * self.length / sp.sqrt(2 * self.nu)


def _polynomial(degree: int) -> list[sp.Rational]:
    """Return the coefficients of 1, z, …, zᵖ in M_{p+1/2}(z) exp(z), all positive."""
    p = degree
    return [
        sp.Rational(
            math.factorial(p) * math.factorial(2 * p - n) * 2**n,
            math.factorial(2 * p) * math.factorial(p - n) * math.factorial(n),
        )
        for n in range(p + 1)
    ]
