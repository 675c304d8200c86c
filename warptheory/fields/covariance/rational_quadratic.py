"""The rational quadratic covariance: smooth, with correlations that fall as a power of the distance."""

from dataclasses import dataclass
from typing import Any

import sympy as sp

from warptheory.fields._parameters import positive
from warptheory.fields.covariance._radial import RadialCovariance


@dataclass(frozen=True)
class RationalQuadratic(RadialCovariance):
    """C(τ) = σ² (1 + |τ|²/2αℓ²)^−α, a mixture of squared exponentials whose 1/ℓ² has a gamma law.

    Attributes:
        alpha: the shape α > 0; the squared exponential is its limit for α → ∞.

    Source: C. E. Rasmussen, C. K. I. Williams, Gaussian Processes for Machine Learning, 2006, equation 4.19.
    """

    alpha: Any = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "alpha", positive("alpha", self.alpha))

    def correlation(self, distance: sp.Expr) -> sp.Expr:
        """Return (1 + r²/2αℓ²)^−α."""
        return (1 + distance**2 / (2 * self.alpha * self.length**2)) ** -self.alpha

    def radial_spectrum(self, wavenumber: sp.Expr) -> sp.Expr:
        """Return 2 π^{d/2} bᵈ/Γ(α) · (bk/2)^{α−d/2} K_{α−d/2}(bk), b² = 2αℓ²; its limit at k = 0, ∞ for α ≤ d/2."""
        half = sp.Rational(self.dim, 2)
        width = sp.sqrt(2 * self.alpha) * self.length
        order = self.alpha - half
        constant = 2 * sp.pi**half * width**self.dim / sp.gamma(self.alpha)
        at_zero = constant * sp.gamma(order) / 2 if order.is_positive else sp.oo
        value = constant * (width * wavenumber / 2) ** order * sp.besselk(order, width * wavenumber)
        if wavenumber == 0:
            return at_zero
        return sp.Piecewise((at_zero, sp.Eq(wavenumber, 0)), (value, True))

    def radial_moment(self, order: int) -> sp.Expr:
        """Return E|ω|ᵖ over 1/ℓ² ~ gamma(α): the squared exponential's times Γ(α + p/2)/(Γ(α) α^{p/2})."""
        half, power = sp.Rational(self.dim, 2), sp.Rational(order, 2)
        normal = 2**power * sp.gamma(half + power) / sp.gamma(half) / self.length**order
        return normal * sp.gammasimp(sp.gamma(self.alpha + power) / sp.gamma(self.alpha)) / self.alpha**power

    @property
    def integral_scale(self) -> sp.Expr:
        """ℓ √(πα/2) Γ(α − 1/2)/Γ(α), ∞ for α ≤ 1/2."""
        half = sp.Rational(1, 2)
        if (self.alpha - half).is_positive is False:
            return sp.oo
        return self.length * sp.sqrt(sp.pi * self.alpha / 2) * sp.gamma(self.alpha - half) / sp.gamma(self.alpha)
