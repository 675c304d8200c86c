"""M_ν(z) = 2^{1−ν}/Γ(ν) zᵛ K_ν(z), the shape of Matérn correlations and of rational quadratic spectra; M_ν(0) = 1.

K_ν overflows at small z, and zᵛ and Γ(ν) at large ν, long before their product leaves the numbers of double precision:
it is put together from parts that do not.
"""

import math
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import sympy as sp
from jaxtyping import Float
from numpy import ndarray
from scipy import special

from warptheory.core.errors import ArgumentError

# From this order on Debye's expansion is exact to rounding: its first term that is left out is below 1e-15.
_LARGE = 25.0
_DEBYE_TERMS = 13
# Below, K_ν is computed. It overflows where z is so small that the next terms of the power series are below 1e-24.
_SMALL_ARGUMENT, _SMALL_ORDER = 1e-4, 3.0
_NEAR = 500.0  # exp(−z) alone would underflow soon
_MOST_OF_SERIES = 0.01
_FAR = 1e5  # zᵛ exp(−z) underflows for all orders below 25
# Smaller or larger shapes are no different from the limits, in double precision nearly so.
_LEAST_SHAPE, _MOST_SHAPE = sp.Rational(1, 10**9), sp.Integer(10) ** 9
_MOST_EXACT = 10
_ASYMPTOTIC = 1e4  # from here on four terms give Γ(x + 1/2)/Γ(x) to 1e-19


def matern_function(nu: float, z: Float[ndarray, "*N"] | float) -> Float[ndarray, "*N"]:
    """Return M_ν(z), z ≥ 0, shape (*N), to about 1e-13 of its value.

    Source: NIST Digital Library of Mathematical Functions, 10.41.4 (Debye's expansion) and 5.11.1 (Stirling's).
    """
    z = np.asarray(z, dtype=float)
    with np.errstate(all="ignore"):
        return np.asarray(_of_large_order(nu, z) if nu >= _LARGE else _of_small_order(nu, z))


def _of_large_order(nu: float, z: Float[ndarray, "*N"]) -> Float[ndarray, "*N"]:
    """Return exp(ν(log(1 + δ/2) − δ))/√w · Σₖ (−1)ᵏ Uₖ(1/w)/νᵏ / exp(Stirling's series), w = √(1 + z²/ν²) = 1 + δ."""
    x = np.minimum(z / nu, 1e100)
    w = np.hypot(1, x)
    delta = x * (x / (1 + w))
    series = sum((-1 / nu) ** k * np.polynomial.polynomial.polyval(1 / w, u) for k, u in enumerate(_DEBYE))
    stirling = 1 / (12 * nu) - 1 / (360 * nu**3) + 1 / (1260 * nu**5) - 1 / (1680 * nu**7)
    return np.asarray(np.exp(nu * (np.log1p(delta / 2) - delta) - np.log1p(delta) / 2 - stirling) * series)


def _of_small_order(nu: float, z: Float[ndarray, "*N"]) -> Float[ndarray, "*N"]:
    constant, scaled = np.exp2(1 - nu) * special.rgamma(nu), special.kve(nu, z)
    far = constant * np.exp(nu * np.log(z) - z) * scaled
    direct = np.where(z > _NEAR, far, constant * (z**nu * scaled) * np.exp(-z))
    # Where K_ν overflows, or z is too small for it: 1 − Γ(1 − ν)/Γ(1 + ν) (z/2)^{2ν}, which is 1 for larger orders.
    nearest = -np.expm1(2 * nu * np.log(z / 2) + _log_gamma_ratio(nu)) if nu < 1 else 1.0
    direct = np.where(np.isinf(scaled), nearest, direct)
    if nu > _SMALL_ORDER:
        quarter = z * z / 4
        series = 1 - quarter / (nu - 1) * (1 - quarter / (2 * (nu - 2)))
        direct = np.where(z < _SMALL_ARGUMENT, series, direct)
    return np.where(z == 0, 1.0, np.where(z > _FAR, 0.0, direct))


def _log_gamma_ratio(nu: float) -> float:
    """Return log Γ(1 − ν)/Γ(1 + ν) = 2γν + 2ζ(3)ν³/3 + 2ζ(5)ν⁵/5 + …, 0 < ν < 1."""
    if nu > _MOST_OF_SERIES:
        return float(special.gammaln(1 - nu) - special.gammaln(1 + nu))
    return 2 * nu * (np.euler_gamma + nu**2 * (special.zeta(3) / 3 + nu**2 * special.zeta(5) / 5))


def _debye_polynomials(count: int) -> list[list[float]]:
    """Return the coefficients of U₀, U₁, …: Uₖ₊₁ = p²(1 − p²)Uₖ′/2 + ∫₀ᵖ (1 − 5t²)Uₖ dt/8 (10.41.9 there)."""
    found = [[Fraction(1)]]
    while len(found) < count:
        last = found[-1]
        following = [Fraction(0)] * (len(last) + 3)
        for power, coefficient in enumerate(last):
            if power:
                following[power + 1] += power * coefficient / 2
                following[power + 3] -= power * coefficient / 2
            following[power + 1] += coefficient / (8 * (power + 1))
            following[power + 3] -= 5 * coefficient / (8 * (power + 3))
        found.append(following)
    return [list(map(float, polynomial)) for polynomial in found]


_DEBYE = _debye_polynomials(_DEBYE_TERMS)


class MaternFunction(sp.Function):
    """M_ν(z) with a number ν, z ≥ 0, as an expression that has numbers in double precision: args (ν, z)."""

    nargs = 2

    @classmethod
    def eval(cls, nu: sp.Expr, z: sp.Expr) -> sp.Expr | None:
        """Return the value at zero, and at decimals."""
        if z.is_zero:
            return sp.Integer(1)
        return sp.Float(float(matern_function(float(nu), float(z)))) if z.is_Float else None

    def _eval_is_real(self) -> bool | None:
        is_real: bool | None = self.args[1].is_nonnegative
        return is_real

    def _eval_evalf(self, prec: int) -> sp.Expr:
        z = self.args[1]._eval_evalf(prec)
        return MaternFunction(self.args[0], z) if z is not None and z.is_Float else self

    def fdiff(self, argindex: int = 2) -> sp.Expr:
        """Return ∂M_ν/∂z = −2^{1−ν}/Γ(ν) zᵛ K_{ν−1}(z), by M of another order."""
        if argindex != 2:
            raise sp.ArgumentIndexError(self, argindex)
        nu, z = self.args
        if nu > 1:
            return -z / (2 * (nu - 1)) * MaternFunction(nu - 1, z)
        # K_{ν−1} = K_{1−ν}, and M itself is left to K where that is zero.
        constant = sp.Float(float(special.rgamma(float(nu)) * special.gamma(float(1 - nu)) * 2 ** (1 - 2 * float(nu))))
        return -z * sp.besselk(0, z) if nu == 1 else -constant * z ** (2 * nu - 1) * MaternFunction(1 - nu, z)

    @staticmethod
    def _imp_(nu: Any, z: Any) -> Any:
        """Evaluate numbers or arrays; sympy's lambdify finds it by this name."""
        return matern_function(float(nu), np.asarray(z, dtype=float))

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        nu, z = map(printer._print, self.args)
        shown = rf"M_{{{nu}}}\left({z}\right)"
        return shown if exp is None else rf"{shown}^{{{exp}}}"


def check_shape(argument: str, shape: sp.Expr) -> sp.Expr:
    """Return a shape parameter that functions are computed for.

    Raises:
        ArgumentError: a number outside of 1e-9 … 1e9.
    """
    if shape.is_number and not _LEAST_SHAPE <= shape <= _MOST_SHAPE:
        expected = "a number from 1e-9 to 1e9 (beyond, take the limit: constant, or the squared exponential)"
        raise ArgumentError(argument, expected=expected, received=f"{float(shape):g}")
    return shape


def has_formula(shape: sp.Expr) -> bool:
    """Return whether formulas are written out: for symbols, and for whole and half numbers that are not large."""
    return bool(shape.free_symbols) or bool((2 * shape).is_Integer and shape <= _MOST_EXACT)


def gamma_ratio(base: sp.Expr, shift: sp.Rational) -> sp.Expr:
    """Return Γ(x + shift)/Γ(x), exact where it has a formula or a whole shift.

    Args:
        base: x.
        shift: a whole or half number.
    """
    whole = int(sp.floor(shift))
    start = base + (shift - whole)
    steps = sp.Mul(*(start + j for j in (range(whole) if whole > 0 else range(whole, 0))))
    product = steps if whole > 0 else 1 / steps
    return product if shift.is_Integer else product * _half_step(base)


def _half_step(base: sp.Expr) -> sp.Expr:
    """Return Γ(x + 1/2)/Γ(x)."""
    half = sp.Rational(1, 2)
    if has_formula(base):
        return sp.gamma(base + half) / sp.gamma(base)
    x = float(base)
    if x < _ASYMPTOTIC:
        with mpmath.workdps(30):
            return sp.Float(float(mpmath.gammaprod([mpmath.mpf(x) + 0.5], [mpmath.mpf(x)])))
    return sp.Float(math.sqrt(x) * (1 - 1 / (8 * x) + 1 / (128 * x**2) + 5 / (1024 * x**3)))
