"""Normal variables: density, tail, and means of polynomials."""

from collections.abc import Mapping

import sympy as sp


def normal_density(value: sp.Expr, mean: sp.Expr, variance: sp.Expr) -> sp.Expr:
    """Return the density of N(mean, variance) at a value."""
    return sp.exp(-((value - mean) ** 2) / (2 * variance)) / sp.sqrt(2 * sp.pi * variance)


def normal_tail(value: sp.Expr) -> sp.Expr:
    """Return Φ(−value), the probability that a standard normal variable lies beyond it."""
    return (1 - sp.erf(value / sp.sqrt(2))) / 2


def gaussian_mean(polynomial: sp.Expr, variances: Mapping[sp.Symbol, sp.Expr]) -> sp.Expr:
    """Return the mean of a polynomial in independent N(0, variance) symbols: E xᵏ = (k − 1)!! variance^(k/2)."""
    symbols = list(variances)
    total = sp.Integer(0)
    for powers, coefficient in sp.Poly(polynomial, *symbols).terms():
        if all(power % 2 == 0 for power in powers):
            moments = (
                sp.factorial2(power - 1) * variances[symbol] ** (power // 2)
                for symbol, power in zip(symbols, powers, strict=True)
            )
            total += coefficient * sp.Mul(*moments)
    return sp.expand(total)
