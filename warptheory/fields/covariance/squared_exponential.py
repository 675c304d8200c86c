"""The squared exponential (Gaussian) covariance, of fields that are smooth to every order."""

import math
from dataclasses import dataclass

import numpy as np
import sympy as sp

from warptheory.core.checks import check_integer
from warptheory.core.expressions import real
from warptheory.fields.covariance._matern_function import gamma_ratio
from warptheory.fields.covariance._radial import MOST_ORDER, RadialCovariance


@dataclass(frozen=True)
class SquaredExponential(RadialCovariance):
    """C(τ) = σ² exp(−|τ|²/2ℓ²).

    Source: C. E. Rasmussen, C. K. I. Williams, Gaussian Processes for Machine Learning, 2006, equation 4.9.
    """

    def correlation(self, distance: sp.Expr) -> sp.Expr:
        """Return exp(−r²/2ℓ²)."""
        return sp.exp(-(real("distance", distance) ** 2) / (2 * self.length**2))

    def radial_spectrum(self, wavenumber: sp.Expr) -> sp.Expr:
        """Return (2π)^{d/2} ℓᵈ exp(−ℓ²k²/2)."""
        wavenumber = real("frequency", wavenumber)
        return (
            (2 * sp.pi) ** sp.Rational(self.dim, 2)
            * self.length**self.dim
            * sp.exp(-(self.length**2) * wavenumber**2 / 2)
        )

    def radial_moment(self, order: int) -> sp.Expr:
        """Return the moment of the length of a normal vector of deviation 1/ℓ: 2^{p/2} Γ((d + p)/2)/Γ(d/2)/ℓᵖ."""
        power = sp.Rational(check_integer("order", order, least=0, most=MOST_ORDER), 2)
        return 2**power * gamma_ratio(sp.Rational(self.dim, 2), power) / self.length**order

    @property
    def integral_scale(self) -> sp.Expr:
        """√(π/2) ℓ."""
        return sp.sqrt(sp.pi / 2) * self.length

    def _mean_over_offsets(self, spread: float) -> float:
        """Return σ² det(I + s²AᵀA/ℓ²)^−½, which is σ² (1 + s²/ℓ²)^−d/2 of the isotropic field."""
        scaled = np.array(self._map, dtype=float) * spread / self._length
        return self._number("variance") / math.sqrt(np.linalg.det(np.eye(self.dim) + scaled.T @ scaled))
