"""The uniform law on an interval."""

import numpy as np
import sympy as sp
from numpy import ndarray

from warptheory.fields.laws._law import ARGUMENT, Law


def uniform() -> Law:
    """Build the uniform law on [location − scale, location + scale)."""
    return Law(
        name="uniform",
        canonical=sp.sinc(ARGUMENT),
        density=sp.Piecewise((sp.Rational(1, 2), (ARGUMENT >= -1) & (ARGUMENT < 1)), (0, True)),
        draw=_draw,
        of_uniform=_of_uniform,
        scale=sp.Symbol("a", positive=True),
        scipy=("uniform", -1.0, 2.0),
        source="N. L. Johnson, S. Kotz, N. Balakrishnan, Continuous Univariate Distributions 2, 1995, chapter 26",
    )


def _draw(generator: np.random.Generator, shape: tuple[int, ...]) -> ndarray:
    return generator.uniform(-1.0, 1.0, shape)


def _of_uniform(u: ndarray) -> ndarray:
    return 2 * u - 1
