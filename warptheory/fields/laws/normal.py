"""The normal law."""

import sympy as sp
from scipy import special

from warptheory.core.normals import standard_normal
from warptheory.fields.laws._law import ARGUMENT, Law


def normal() -> Law:
    """Build N(location, scale²)."""
    return Law(
        name="normal",
        canonical=sp.exp(-(ARGUMENT**2) / 2),
        density=sp.exp(-(ARGUMENT**2) / 2) / sp.sqrt(2 * sp.pi),
        draw=standard_normal,
        of_uniform=special.ndtri,
        scale=sp.Symbol("s", positive=True),
        scipy=("norm",),
        source="N. L. Johnson, S. Kotz, N. Balakrishnan, Continuous Univariate Distributions 1, 1994, chapter 13",
    )
