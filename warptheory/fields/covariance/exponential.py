"""The exponential covariance, of rough fields: continuous, and without a mean-square derivative."""

from dataclasses import dataclass

import sympy as sp

from warptheory.core.checks import check_integer
from warptheory.core.expressions import real
from warptheory.fields.covariance._radial import RadialCovariance


@dataclass(frozen=True)
class Exponential(RadialCovariance):
    """C(τ) = σ² exp(−|τ|/ℓ), the Matérn covariance of ν = 1/2.

    Source: C. E. Rasmussen, C. K. I. Williams, Gaussian Processes for Machine Learning, 2006, section 4.2.1.
    """

    def correlation(self, distance: sp.Expr) -> sp.Expr:
        """Return exp(−r/ℓ)."""
        return sp.exp(-real("distance", distance) / self.length)

    def radial_spectrum(self, wavenumber: sp.Expr) -> sp.Expr:
        """Return 2ᵈ π^{(d−1)/2} Γ((d + 1)/2) ℓᵈ (1 + ℓ²k²)^{−(d+1)/2}."""
        power = sp.Rational(self.dim + 1, 2)
        constant: sp.Expr = (
            2**self.dim * sp.pi ** sp.Rational(self.dim - 1, 2) * sp.gamma(power) * self.length**self.dim
        )
        return constant * (1 + self.length**2 * real("frequency", wavenumber) ** 2) ** -power

    def radial_moment(self, order: int) -> sp.Expr:
        """Return ∞ for every derivative, 1 for the variance."""
        return sp.Integer(1) if check_integer("order", order, least=0) == 0 else sp.oo

    @property
    def integral_scale(self) -> sp.Expr:
        """ℓ."""
        return self.length
