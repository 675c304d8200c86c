"""The Matérn covariance, whose fields have ⌈ν⌉ − 1 mean-square derivatives."""

from dataclasses import dataclass
from typing import Any

import sympy as sp

from warptheory.fields._parameters import positive
from warptheory.fields.covariance._radial import RadialCovariance


@dataclass(frozen=True)
class Matern(RadialCovariance):
    """C(τ) = σ² 2^{1−ν}/Γ(ν) zᵛ K_ν(z), z = √(2ν)|τ|/ℓ.

    Attributes:
        nu: the smoothness ν > 0; derivatives of order n have a variance for n < ν.

    Source: C. E. Rasmussen, C. K. I. Williams, Gaussian Processes for Machine Learning, 2006, equation 4.14.
    """

    nu: Any = "3/2"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "nu", positive("nu", self.nu))

    def correlation(self, distance: sp.Expr) -> sp.Expr:
        """Return the correlation; for ν = p + 1/2 an exponential times a polynomial (equation 4.16 there)."""
        z = sp.sqrt(2 * self.nu) * distance / self.length
        degree = self.nu - sp.Rational(1, 2)
        if degree.is_Integer:
            terms = (
                sp.binomial(degree + i, 2 * i) * sp.factorial(2 * i) / sp.factorial(i) * (2 * z) ** (degree - i)
                for i in range(int(degree) + 1)
            )
            return sp.exp(-z) * sp.factorial(degree) / sp.factorial(2 * degree) * sp.Add(*terms)
        if distance == 0:
            return sp.Integer(1)
        value = 2 ** (1 - self.nu) / sp.gamma(self.nu) * z**self.nu * sp.besselk(self.nu, z)
        return sp.Piecewise((1, sp.Eq(distance, 0)), (value, True))

    def radial_spectrum(self, wavenumber: sp.Expr) -> sp.Expr:
        """Return 2ᵈ π^{d/2} Γ(ν + d/2)/Γ(ν) · (2ν/ℓ²)^ν (2ν/ℓ² + k²)^{−ν−d/2}."""
        half, rate = sp.Rational(self.dim, 2), 2 * self.nu / self.length**2
        constant = 2**self.dim * sp.pi**half * sp.gamma(self.nu + half) / sp.gamma(self.nu)
        return constant * rate**self.nu * (rate + wavenumber**2) ** (-self.nu - half)

    def radial_moment(self, order: int) -> sp.Expr:
        """Return (2ν/ℓ²)^{p/2} Γ((d + p)/2) Γ(ν − p/2)/(Γ(d/2) Γ(ν)), ∞ from p = 2ν on."""
        half, power = sp.Rational(self.dim, 2), sp.Rational(order, 2)
        if order == 0:
            return sp.Integer(1)
        if (self.nu - power).is_positive is not True:
            return sp.oo if self.nu.is_number else self._undecided(order)
        gammas = sp.gamma(half + power) * sp.gamma(self.nu - power) / (sp.gamma(half) * sp.gamma(self.nu))
        return sp.gammasimp(gammas) * (2 * self.nu / self.length**2) ** power

    def _undecided(self, order: int) -> sp.Expr:
        half, power = sp.Rational(self.dim, 2), sp.Rational(order, 2)
        gammas = sp.gamma(half + power) * sp.gamma(self.nu - power) / (sp.gamma(half) * sp.gamma(self.nu))
        finite = sp.gammasimp(gammas) * (2 * self.nu / self.length**2) ** power
        return sp.Piecewise((finite, self.nu > power), (sp.oo, True))

    @property
    def integral_scale(self) -> sp.Expr:
        """ℓ √π Γ(ν + 1/2)/(√(2ν) Γ(ν)) · 1, half of S on a line at frequency zero."""
        return (
            sp.sqrt(sp.pi)
            * sp.gamma(self.nu + sp.Rational(1, 2))
            / sp.gamma(self.nu)
            * self.length
            / sp.sqrt(2 * self.nu)
        )
