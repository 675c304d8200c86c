"""Fourier-Bessel functions on the grids of small filters, the bases of dynamic filter atoms."""

import itertools
import math

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy import special

from warptheory.core.errors import ArgumentError

_LAST_ORDER = 15


def fourier_bessel_bases(kernel_size: int, count: int) -> Float[NDArray[np.float64], "F K K"]:
    """Return the first functions on the grids of 3, 5, …, kernel_size pixels, in the middle of the largest.

    On a grid of 2s + 1 pixels they are J_k(j r)·cos kφ and J_k(j r)·sin kφ on the disc of radius s + ½, with j a zero
    of J_k, in the order of the zeros. All functions of a grid, also those that are not asked for, have a mean squared
    norm of 1: they are neither orthogonal nor of one norm.

    Args:
        kernel_size: odd number of pixels of the largest grid.
        count: number of functions of each grid.

    Returns:
        The functions, shape (kernel_size // 2 · count, kernel_size, kernel_size), the smallest grid first.

    Raises:
        ArgumentError: more functions than the smallest grid has.

    Source: Z. Wang et al., arXiv 2108.07895; ZeWang95/ACDA, fb.py, after xycheng/DCFNet.
    """
    found = []
    for reach in range(1, kernel_size // 2 + 1):
        functions = _on_grid(reach)
        if count > len(functions):
            raise ArgumentError("num_bases", expected=f"at most {len(functions)}", received=count)
        margin = kernel_size // 2 - reach
        found.append(np.pad(functions[:count], ((0, 0), (margin, margin), (margin, margin))))
    return np.concatenate(found)


def _on_grid(reach: int) -> NDArray[np.float64]:
    """Return all functions (F, 2s + 1, 2s + 1) on the grid that reaches s pixels to each side."""
    radius = reach + 0.5
    places = np.arange(-reach, reach + 1) / radius
    y, x = np.meshgrid(places, places, indexing="ij")
    distance, angle = np.hypot(y, x), np.arctan2(x, y)
    found = []
    for zero, order in _zeros(math.pi * radius * (2 if reach < 2 else 1.5)):
        radial = special.jv(order, distance * zero) / np.abs(special.jv(order + 1, zero))
        radial = np.where(distance < 1, radial, 0)
        waves = [np.cos(order * angle), np.sin(order * angle)] if order else [np.sqrt(0.5)]
        found += [math.sqrt(2) * radial * wave for wave in waves]
    functions: NDArray[np.float64] = np.array(found[: (2 * reach + 1) ** 2 - 1], np.float64)
    return functions / math.sqrt(float((functions**2).sum((1, 2)).mean()))


def _zeros(limit: float) -> list[tuple[float, int]]:
    """Return the zeros of J_k whose next zero lies below a limit, with k, in ascending order."""
    found = []
    for order in range(_LAST_ORDER + 1):
        zeros = special.jn_zeros(order, math.ceil(limit / math.pi) + 2)
        found += [(float(zero), order) for zero, after in itertools.pairwise(zeros) if after <= limit]
    return sorted(found)
