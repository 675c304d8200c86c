"""A law on two points, with unequal probabilities."""

import sympy as sp

from warptheory.core.errors import ArgumentError
from warptheory.core.expressions import rational
from warptheory.fields.laws._law import ARGUMENT, Law


def two_point(probability: object = sp.Rational(1, 4)) -> Law:
    """Build location + scale·Z, where Z is 1 with the given probability, and 0 otherwise.

    Args:
        probability: the probability of one; exact, so that 0.1 is 1/10.

    Raises:
        ArgumentError: not a probability in (0, 1).
    """
    expected = "a number in (0, 1)"
    p = rational("probability", probability, expected)
    if not (p.is_finite and 0 < p < 1):
        raise ArgumentError("probability", expected=expected, received=probability)
    return Law(
        name="two_point",
        canonical=1 - p + p * sp.exp(sp.I * ARGUMENT),
        atoms=((sp.Integer(0), 1 - p), (sp.Integer(1), p)),
        draw=lambda generator, shape: (generator.random(shape) < float(p)).astype(float),
        of_uniform=lambda u: (u >= 1 - float(p)).astype(float),
        scale=sp.Symbol("r", positive=True),
        source="N. L. Johnson, A. W. Kemp, S. Kotz, Univariate Discrete Distributions, 2005, section 3.2",
    )
