"""The mean of (Wᵀ1)² as a sum over pairs of outputs, for Gaussian offsets that are smooth on the scale of the grid.

Two outputs r apart read at p and p + r + Δ, Δ ~ N(0, v_r I), v_r = 2(K(0) − K(r)). The mean over the phase of p of the
product of their weights at one pixel is a(r + Δ), a the autocorrelation of the kernel along each axis, so that

    E (Wᵀ1)² = Σ_r E ∏ᵢ a(rᵢ + Δᵢ).
"""

import itertools

import numpy as np
import sympy as sp
from jaxtyping import Float
from numpy import ndarray

from warptheory.symbolic.nodes import Node
from warptheory.symbolic.quadrature import Environment, Evaluate

# Deviations of the offsets, in pixels, at which the sum is taken; the corrections to its logarithm fall as their
# squares. What is left of them after the fit is below 1e-10 of the coefficient for d = 1, 2, and below 1e-5 for d = 3.
_SPREADS = {1: 2.0 ** np.arange(3, 9), 2: 2.0 ** np.arange(2, 5.75, 0.5), 3: 2.0 ** np.arange(1, 3.75, 0.5)}
_REACH = 12  # deviations of an offset; a density beyond is below 1e-15 of that at 0
_NODES = 10  # of the Gauss–Legendre rule on each piece of the autocorrelation


class LagSumGrowth(Node):
    """What Σ_r E ∏ᵢ a(rᵢ + Δᵢ) grows by when the length of the offsets doubles, at large lengths: args (d, τ).

    Its number is that of the linear kernel and offsets of a squared-exponential covariance with slopes of deviation τ:
    exact sums at some lengths, to which a logarithm, a constant and their corrections are fitted.
    """

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the limit of the difference of two sums."""
        length, lag = sp.Symbol("ell", positive=True), sp.Symbol("r", integer=True)
        correlation = sp.Function("E a")

        def total(scale: int) -> sp.Expr:
            deviation = sp.sqrt(sp.Function("v")(lag / (scale * length)))
            return sp.Sum(correlation(lag + scale * length * deviation * sp.Symbol("Z")), (lag, -sp.oo, sp.oo))

        return sp.Limit(total(2) - total(1), length, sp.oo)

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Fit the sums at the lengths that give the offsets their deviations."""
        dim, tau = int(self.args[0]), float(evaluate(self.args[1], environment))
        spreads = _SPREADS[dim]
        sums = [lag_sum(dim, float(spread), tau) for spread in spreads]
        orders = range(1, (len(spreads) - 2) // 2 + 1)
        corrections = [spreads ** (-2 * k) * np.log(spreads) ** power for k, power in itertools.product(orders, (0, 1))]
        columns = np.column_stack([np.log(spreads), np.ones_like(spreads), *corrections])
        scale = np.abs(columns).max(0)
        fitted = np.linalg.lstsq(columns / scale, np.array(sums), rcond=None)[0] / scale
        return float(np.log(2) * fitted[0])


def lag_sum(dim: int, spread: float, tau: float) -> float:
    """Return Σ_{r ≠ 0} E ∏ᵢ a(rᵢ + Δᵢ) for the linear kernel, v_r = 2s²(1 − exp(−r²τ²/2s²)).

    Args:
        dim: number d of axes.
        spread: deviation s of an offset, in pixels.
        tau: deviation τ of its slopes, without unit.
    """
    lags, multiplicity = _lags(dim, int(_REACH * spread) + 4)
    square = np.sum(lags**2, axis=0)
    variance = -2 * spread**2 * np.expm1(-square * tau**2 / (2 * spread**2))
    return float(np.sum(multiplicity * np.prod([_smoothed_correlation(lag, variance) for lag in lags], axis=0)))


def _lags(dim: int, reach: int) -> tuple[Float[ndarray, "d M"], Float[ndarray, "M"]]:
    """Return the lags r₁ ≥ … ≥ r_d ≥ 0 within reach but for 0, and how many lags each stands for."""
    lags = np.arange(reach + 1.0)[None]
    for _ in range(dim - 1):
        counts = lags[-1].astype(int) + 1
        first = np.repeat(np.cumsum(counts) - counts, counts)
        lags = np.concatenate([np.repeat(lags, counts, axis=1), np.arange(counts.sum())[None] - first])
        lags = lags[:, np.sum(lags**2, axis=0) <= reach**2]
    lags = lags[:, lags[0] > 0]
    signs = 2.0 ** np.count_nonzero(lags, axis=0)
    orders = {1: 1, 2: 2, 3: 6}[dim] * np.ones(lags.shape[1])
    equal = np.sum(np.diff(lags, axis=0) == 0, axis=0)
    return lags, signs * np.where(equal == dim - 1, 1, orders / (1 + equal))


def _smoothed_correlation(lag: Float[ndarray, "M"], variance: Float[ndarray, "M"]) -> Float[ndarray, "M"]:
    """Return E a(r + N(0, v)), a the cubic B-spline, by the Gauss–Legendre rule on each of its four pieces."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    total = np.zeros_like(variance)
    for piece, (node, weight) in itertools.product(range(-2, 2), zip(nodes, weights, strict=True)):
        place = (node + 1) / 2 + piece
        far = abs(place)
        spline = 2 / 3 - far**2 + far**3 / 2 if far < 1 else (2 - far) ** 3 / 6
        total += weight / 2 * spline * np.exp(-((place - lag) ** 2) / (2 * variance))
    return total / np.sqrt(2 * np.pi * variance)
