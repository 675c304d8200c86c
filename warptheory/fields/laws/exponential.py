"""The exponential law, skewed and one-sided."""

import numpy as np
import sympy as sp

from warptheory.fields.laws._law import ARGUMENT, Law


def exponential() -> Law:
    """Build location + Exp(mean = scale)."""
    return Law(
        name="exponential",
        canonical=1 / (1 - sp.I * ARGUMENT),
        density=sp.Piecewise((sp.exp(-ARGUMENT), ARGUMENT >= 0), (0, True)),
        draw=lambda generator, shape: generator.standard_exponential(shape),
        of_uniform=lambda u: -np.log1p(-u),
        scale=sp.Symbol("b", positive=True),
        source="N. L. Johnson, S. Kotz, N. Balakrishnan, Continuous Univariate Distributions 1, 1994, chapter 19",
    )
