"""The Rademacher law: a fair sign."""

import numpy as np
import sympy as sp
from numpy import ndarray

from warptheory.fields.laws._law import ARGUMENT, Law


def rademacher() -> Law:
    """Build location ± scale, each with probability one half."""
    half = sp.Rational(1, 2)
    return Law(
        name="rademacher",
        canonical=sp.cos(ARGUMENT),
        atoms=((sp.Integer(-1), half), (sp.Integer(1), half)),
        draw=_draw,
        of_uniform=_of_uniform,
        scale=sp.Symbol("r", positive=True),
        source="N. L. Johnson, A. W. Kemp, S. Kotz, Univariate Discrete Distributions, 2005, section 3.2",
    )


def _draw(generator: np.random.Generator, shape: tuple[int, ...]) -> ndarray:
    return 2.0 * generator.integers(0, 2, shape) - 1.0


def _of_uniform(u: ndarray) -> ndarray:
    return np.where(u < 0.5, -1.0, 1.0)
