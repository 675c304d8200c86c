"""A law on two points, with unequal probabilities."""

from dataclasses import dataclass

import numpy as np
import sympy as sp
from numpy import ndarray

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
        draw=_Draw(float(p)),
        of_uniform=_OfUniform(float(p)),
        scale=sp.Symbol("r", positive=True),
        scipy=("bernoulli", float(p)),
        source="N. L. Johnson, A. W. Kemp, S. Kotz, Univariate Discrete Distributions, 2005, section 3.2",
    )


@dataclass(frozen=True)
class _Draw:
    """Draws of one law; an object, so that laws that are built alike are equal."""

    probability: float

    def __call__(self, generator: np.random.Generator, shape: tuple[int, ...]) -> ndarray:
        return (generator.random(shape) < self.probability).astype(float)


@dataclass(frozen=True)
class _OfUniform:
    """Values of one law at uniform numbers."""

    probability: float

    def __call__(self, u: ndarray) -> ndarray:
        return (u >= 1 - self.probability).astype(float)
