"""Numbers of a kernel on a grid, as its plots show them."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import sympy as sp
from jaxtyping import Float
from numpy import ndarray

_PER_PIXEL = 64


def sampled(form: sp.Expr, symbol: sp.Symbol, places: Float[ndarray, "N"]) -> Float[ndarray, "N"]:
    """Return the values of an expression of one symbol at places, shape (N,)."""
    function = _compiled(form, symbol)
    with np.errstate(all="ignore"):  # of the branches that do not hold at a place
        return np.asarray(np.zeros(places.shape) + function(places))


def transformed(form: sp.Expr, symbol: sp.Symbol, reach: int, frequencies: Float[ndarray, "N"]) -> Float[ndarray, "N"]:
    """Return |∫ k(u) exp(−iωu) du| by the midpoint rule over |u| ≤ reach, to what a plot shows.

    Args:
        form: k as an expression of the symbol.
        symbol: u, in pixels.
        reach: where k ends, in pixels.
        frequencies: ω in radians per pixel, shape (N,).
    """
    places = (np.arange(-reach * _PER_PIXEL, reach * _PER_PIXEL) + 0.5) / _PER_PIXEL
    waves = np.exp(-1j * frequencies[:, None] * places)
    return np.asarray(np.abs(waves @ sampled(form, symbol, places)) / _PER_PIXEL)


@lru_cache(maxsize=32)
def _compiled(form: sp.Expr, symbol: sp.Symbol) -> Callable[..., Any]:
    compiled: Callable[..., Any] = sp.lambdify([symbol], form, ["numpy", "scipy"])
    return compiled
