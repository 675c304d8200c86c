"""The constant law: a variable that is always its location."""

import numpy as np
import sympy as sp
from numpy import ndarray

from warptheory.fields.laws._law import Law


def constant() -> Law:
    """Build the law of the constant `location`."""
    return Law(
        name="constant",
        canonical=sp.Integer(1),
        atoms=((sp.Integer(0), sp.Integer(1)),),
        draw=_draw,
        of_uniform=np.zeros_like,
        location=sp.Symbol("c", real=True),
        source="The point mass",
    )


def _draw(generator: np.random.Generator, shape: tuple[int, ...]) -> ndarray:
    return np.zeros(shape)
