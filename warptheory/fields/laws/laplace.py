"""The Laplace (two-sided exponential) law."""

import numpy as np
import sympy as sp
from numpy import ndarray

from warptheory.fields.laws._law import ARGUMENT, Law


def laplace() -> Law:
    """Build the law with density exp(−|x − location| / scale) / (2·scale)."""
    return Law(
        name="laplace",
        canonical=1 / (1 + ARGUMENT**2),
        density=sp.exp(-sp.Abs(ARGUMENT)) / 2,
        draw=_draw,
        of_uniform=_of_uniform,
        scale=sp.Symbol("b", positive=True),
        scipy=("laplace",),
        source="N. L. Johnson, S. Kotz, N. Balakrishnan, Continuous Univariate Distributions 2, 1995, chapter 24",
    )


def _draw(generator: np.random.Generator, shape: tuple[int, ...]) -> ndarray:
    return generator.laplace(size=shape)


def _of_uniform(u: ndarray) -> ndarray:
    return np.asarray(np.where(u < 0.5, np.log(2 * u), -np.log(2 * (1 - u))))
