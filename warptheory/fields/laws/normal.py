"""The normal law."""

import sympy as sp

from warptheory.fields.laws._law import ARGUMENT, Law


def normal() -> Law:
    """Build N(location, scale²)."""
    return Law(
        name="normal",
        canonical=sp.exp(-(ARGUMENT**2) / 2),
        density=sp.exp(-(ARGUMENT**2) / 2) / sp.sqrt(2 * sp.pi),
        draw=lambda generator, shape: generator.standard_normal(shape),
        scale=sp.Symbol("s", positive=True),
        source="N. L. Johnson, S. Kotz, N. Balakrishnan, Continuous Univariate Distributions 1, 1994, chapter 13",
    )
