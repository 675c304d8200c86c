"""Point sets in the open unit cube: independent, antithetic, stratified, or a scrambled Sobol sequence.

Every point by itself is uniform, so the mean over a set is unbiased; together the points lie more evenly than chance
would have them. Sets that are drawn apart are independent: the scatter of their means gives the standard error.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import cast

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from warptheory.core.errors import UnknownNameError

Design = Callable[[np.random.Generator, int, int], Float[ndarray, "points dims"]]

# The numbers of a scrambled sequence are multiples of 2^-_BITS; half a step more keeps them inside.
_BITS = 52


def independent(generator: np.random.Generator, points: int, dims: int) -> Float[ndarray, "points dims"]:
    """Return independent points, shape (points, dims)."""
    return _inside(generator.random((points, dims)))


def antithetic(generator: np.random.Generator, points: int, dims: int) -> Float[ndarray, "points dims"]:
    """Return pairs of points u and 1 − u, shape (points, dims): what is odd about the centre cancels.

    Source: J. M. Hammersley, K. W. Morton, A new Monte Carlo technique: antithetic variates, 1956.
    """
    half = independent(generator, (points + 1) // 2, dims)
    return np.concatenate([half, _inside(1 - half)])[:points]


def stratified(generator: np.random.Generator, points: int, dims: int) -> Float[ndarray, "points dims"]:
    """Return a Latin hypercube, shape (points, dims): along each axis one point in each stratum.

    Source: M. D. McKay, R. J. Beckman, W. J. Conover, 1979, as `scipy.stats.qmc.LatinHypercube` has it.
    """
    from scipy.stats import qmc  # a second that most users never need

    return _inside(qmc.LatinHypercube(dims, rng=_child(generator)).random(points))


def sobol(generator: np.random.Generator, points: int, dims: int) -> Float[ndarray, "points dims"]:
    """Return a scrambled Sobol sequence, shape (points, dims); it is balanced where points is a power of two.

    Source: A. B. Owen, Scrambling Sobol' and Niederreiter-Xing points, 1998, as `scipy.stats.qmc.Sobol` has it.
    """
    from scipy.stats import qmc  # a second that most users never need

    return qmc.Sobol(dims, scramble=True, bits=_BITS, rng=_child(generator)).random(points) + 0.5 ** (_BITS + 1)


DESIGNS: Mapping[str, Design] = MappingProxyType(
    {design.__name__: design for design in (independent, antithetic, stratified, sobol)}
)


def get_design(name: str) -> Design:
    """Return a design by name.

    Raises:
        UnknownNameError: no design of that name.
    """
    if name not in DESIGNS:
        raise UnknownNameError("design", name, DESIGNS)
    return DESIGNS[name]


def _child(generator: np.random.Generator) -> np.random.Generator:
    """Return a generator with a seed of its own, which SciPy asks for and counter-based streams lack."""
    return np.random.default_rng(generator.integers(0, 2**32, 8))


def _inside(uniform: Float[ndarray, "points dims"]) -> Float[ndarray, "points dims"]:
    """Return numbers of [0, 1] with the ends, whose quantiles are infinite, moved into the open interval."""
    return cast("ndarray", np.clip(uniform, np.finfo(float).tiny, 1 - np.finfo(float).epsneg))
