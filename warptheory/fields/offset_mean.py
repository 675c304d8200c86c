"""The mean of a function of the lag over one Gaussian offset, by quadrature in polar coordinates."""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from numpy import ndarray

LagFunction = Callable[[Float[ndarray, "*N d"]], Float[ndarray, "*N"]]

_FARTHEST = 9.0  # deviations of an offset; a component beyond has a probability of 1e−18
_RELATIVE = 1e-9  # of the value at zero, between one refinement and the next
_LEVELS, _LEVELS_IN_SPACE = 7, 4
_PANELS, _DIRECTIONS = 4, 8  # at the first level; each doubles them
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)


def mean_over_offset(values: LagFunction, dim: int, spread: float, is_radial: bool) -> float | None:
    """Return E f(ε), ε ~ N(0, s²I), refined until it settles; None if it does not.

    Args:
        values: f of lags in pixels, shape (*N, d) → (*N); f(−τ) = f(τ).
        dim: number d of axes.
        spread: s > 0 in pixels.
        is_radial: whether f depends on |τ| alone.
    """
    accuracy = _RELATIVE * abs(float(values(np.zeros(dim))))
    before = math.inf
    for level in range(_LEVELS if is_radial or dim == 2 else _LEVELS_IN_SPACE):
        directions, shares = _sphere(dim, 1 if is_radial else _DIRECTIONS * 2**level)
        lengths, weights = _lengths(dim, _PANELS * 2**level)
        found = float(weights @ values(spread * np.multiply.outer(lengths, directions)) @ shares)
        if abs(found - before) <= accuracy:
            return found
        before = found
    return None


def _lengths(dim: int, panels: int) -> tuple[Float[ndarray, "Q"], Float[ndarray, "Q"]]:
    """Return lengths q² of an offset of deviation one, and weights with their density.

    The square takes the edge off functions that leave f(0) like a root of the lag.
    """
    from scipy import stats  # a second that most users never need

    half = math.sqrt(_FARTHEST) / panels / 2
    q = (half * (2 * np.arange(panels)[:, None] + 1 + _NODES)).ravel()
    return q**2, np.tile(half * _WEIGHTS, panels) * stats.chi.pdf(q**2, dim) * 2 * q


def _sphere(dim: int, count: int) -> tuple[Float[ndarray, "N d"], Float[ndarray, "N"]]:
    """Return directions, the first axis for a count of one, and their shares of the sphere.

    f(−τ) = f(τ): half of the sphere will do, `count` angles, in space for each of as many heights.
    """
    if count == 1:
        return np.eye(dim)[:1], np.ones(1)
    angle = math.pi * (np.arange(count) + 0.5) / count
    circle = np.stack([np.cos(angle), np.sin(angle)], -1)
    if dim == 2:
        return circle, np.full(count, 1 / count)
    height, weight = np.polynomial.legendre.leggauss(count)
    ring = np.sqrt(1 - height**2)[:, None, None] * circle
    points = np.concatenate([np.broadcast_to(height[:, None, None], (count, count, 1)), ring], -1)
    return points.reshape(-1, 3), np.repeat(weight / 2 / count, count)
