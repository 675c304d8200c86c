"""The exponential law, skewed and one-sided."""

import numpy as np
import sympy as sp
from numpy import ndarray

from warptheory.fields.laws._law import ARGUMENT, Law


def exponential() -> Law:
    """Build location + Exp(mean = scale)."""
    return Law(
        name="exponential",
        canonical=1 / (1 - sp.I * ARGUMENT),
        density=sp.Piecewise((sp.exp(-ARGUMENT), ARGUMENT >= 0), (0, True)),
        draw=np.random.Generator.standard_exponential,
        of_uniform=_of_uniform,
        scale=sp.Symbol("b", positive=True),
        scipy=("expon",),
        source="N. L. Johnson, S. Kotz, N. Balakrishnan, Continuous Univariate Distributions 1, 1994, chapter 19",
    )


def _of_uniform(u: ndarray) -> ndarray:
    return np.asarray(-np.log1p(-u))
