"""Mixtures: a variable that has one of several laws, each with a probability."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import sympy as sp
from numpy import ndarray

from warptheory.core.errors import ArgumentError
from warptheory.core.expressions import rational
from warptheory.fields.laws._law import ARGUMENT, Law
from warptheory.fields.laws.normal import normal

Components = Sequence[tuple[object, Law]]


def mixture(components: Components | None = None, name: str = "mixture") -> Law:
    """Build the law of a variable that has one of several laws.

    Args:
        components: pairs of a probability and a law, whose location and scale are in units of the mixture's
            scale; by default the contaminated normal law, N(0, 1) three times out of four, else N(0, 3²).
        name: the name to print.

    Raises:
        ArgumentError: no components, a location or scale that is a symbol, or probabilities that are not
            positive or do not sum to one.
    """
    if components is None:
        components = ((sp.Rational(3, 4), normal().at(0, 1)), (sp.Rational(1, 4), normal().at(0, 3)))
    if not all(isinstance(law, Law) for _, law in components):
        raise ArgumentError("components", expected="pairs of a probability and a Law", received=repr(components))
    weighted = tuple((rational("components", probability), law) for probability, law in components)
    _check(weighted)
    densities = [
        None
        if law.density is None
        else p * law.density.subs(ARGUMENT, (ARGUMENT - law.location) / law.scale) / law.scale
        for p, law in weighted
    ]
    return Law(
        name=name,
        canonical=sp.Add(*(p * law.characteristic_function(ARGUMENT) for p, law in weighted)),
        density=None if None in densities else sp.Add(*densities),
        components=weighted,
        draw=_Draw(weighted),
        of_uniform=_OfUniform(weighted),
        scale=sp.Symbol("s", positive=True),
        source="J. W. Tukey, in Contributions to Probability and Statistics, 1960, p. 448 (the contaminated normal)",
    )


def _check(components: tuple[tuple[sp.Expr, Law], ...]) -> None:
    probabilities = [probability for probability, _ in components]
    if not components or not all(p.is_positive for p in probabilities) or sum(probabilities) != 1:
        raise ArgumentError(
            "components", expected="positive probabilities that sum to one", received=[str(p) for p in probabilities]
        )
    for _, law in components:
        if not (law.location.is_number and law.scale.is_number):
            raise ArgumentError(
                "components",
                expected="numbers for location and scale of each law",
                received=f"{law.location}, {law.scale}",
            )


@dataclass(frozen=True)
class _Draw:
    """Draws of one mixture; an object, so that laws that are built alike are equal."""

    components: tuple[tuple[sp.Expr, Law], ...]

    def __call__(self, generator: np.random.Generator, shape: tuple[int, ...]) -> ndarray:
        chosen = generator.choice(len(self.components), size=shape, p=[float(p) for p, _ in self.components])
        return np.choose(chosen, [law.sample(generator, shape) for _, law in self.components])


@dataclass(frozen=True)
class _OfUniform:
    """Values at uniform numbers: the interval is shared out, and each part stretched to one of its own."""

    components: tuple[tuple[sp.Expr, Law], ...]

    def __call__(self, uniform: ndarray) -> ndarray:
        values, start = np.empty_like(uniform), 0.0
        ends = np.cumsum([float(probability) for probability, _ in self.components])
        chosen = np.minimum(np.searchsorted(ends, uniform, side="right"), len(self.components) - 1)
        for number, (end, (_, law)) in enumerate(zip(ends, self.components, strict=True)):
            here = chosen == number
            inside = (uniform[here] - start) / (end - start)
            values[here] = float(law.location) + float(law.scale) * law.of_uniform(_opened(inside))
            start = end
        return values


def _opened(uniform: ndarray) -> ndarray:
    """Return numbers of the open interval (0, 1); rounding may have reached an end."""
    return np.asarray(np.clip(uniform, np.finfo(float).tiny, 1 - np.finfo(float).epsneg))
