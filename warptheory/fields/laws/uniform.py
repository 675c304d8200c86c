"""The uniform law on an interval."""

import sympy as sp

from warptheory.fields.laws._law import ARGUMENT, Law


def uniform() -> Law:
    """Build the uniform law on [location − scale, location + scale)."""
    return Law(
        name="uniform",
        canonical=sp.sinc(ARGUMENT),
        density=sp.Piecewise((sp.Rational(1, 2), (ARGUMENT >= -1) & (ARGUMENT < 1)), (0, True)),
        draw=lambda generator, shape: generator.uniform(-1.0, 1.0, shape),
        of_uniform=lambda u: 2 * u - 1,
        scale=sp.Symbol("a", positive=True),
        source="N. L. Johnson, S. Kotz, N. Balakrishnan, Continuous Univariate Distributions 2, 1995, chapter 26",
    )
