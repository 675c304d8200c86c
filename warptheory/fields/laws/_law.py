"""A one-dimensional law: its characteristic function is the definition, its moments follow from it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import sympy as sp
from jaxtyping import Float
from numpy import ndarray

from warptheory.core.errors import ArgumentError

ARGUMENT = sp.Symbol("t", real=True)


@dataclass(frozen=True)
class Law:
    """The law of location + scale·Z, where Z has the canonical law of that name.

    Attributes:
        name: the law's name in the catalogue.
        canonical: characteristic function E exp(itZ), a sympy expression in `ARGUMENT`.
        draw: (generator, shape) → float64 samples of Z of that shape.
        density: density of Z in `ARGUMENT`, or None where Z has atoms.
        atoms: pairs (value, probability) of a discrete Z; empty where Z has a density.
        location: sympy expression, in the unit of the variable.
        scale: sympy expression ≥ 0, in the unit of the variable.
        source: where the characteristic function is published.
    """

    name: str
    canonical: sp.Expr
    draw: Callable[[np.random.Generator, tuple[int, ...]], Float[ndarray, "..."]]
    source: str
    density: sp.Expr | None = None
    atoms: tuple[tuple[sp.Expr, sp.Expr], ...] = ()
    location: sp.Expr = sp.S.Zero
    scale: sp.Expr = sp.S.One

    def __post_init__(self) -> None:
        if (self.density is None) == (not self.atoms):
            raise ArgumentError(
                "density", expected="a density or atoms, one of them", received=f"{self.density}, {self.atoms}"
            )

    def at(self, location: object = None, scale: object = None) -> "Law":
        """Return the law with another location or scale (anything that sympy reads; None keeps it).

        Raises:
            ArgumentError: a negative or infinite scale, or an infinite location.
        """
        moved = replace(
            self,
            location=self.location if location is None else sp.sympify(location, rational=True),
            scale=self.scale if scale is None else sp.sympify(scale, rational=True),
        )
        if moved.scale.is_negative or moved.scale.is_finite is False or moved.scale is sp.nan:
            raise ArgumentError("scale", expected=f"a finite scale ≥ 0 for {self.name}", received=scale)
        if moved.location.is_finite is False or moved.location is sp.nan:
            raise ArgumentError("location", expected=f"a finite location for {self.name}", received=location)
        return moved

    def standardised(self, mean: object, deviation: object) -> "Law":
        """Return the law of this shape with the given mean and standard deviation.

        Raises:
            ArgumentError: the law is constant, so it has no shape to scale.
        """
        variance = self._canonical_cumulant(2)
        if variance == 0:
            raise ArgumentError("law", expected="a law with positive variance", received=repr(self.name))
        scale = sp.sympify(deviation, rational=True) / sp.sqrt(variance)
        return self.at(sp.sympify(mean, rational=True) - scale * self._canonical_cumulant(1), scale)

    def characteristic_function(self, argument: sp.Expr) -> sp.Expr:
        """Return χ(t) = E exp(itX) as a sympy expression in `argument`."""
        return sp.exp(sp.I * self.location * argument) * self.canonical.subs(ARGUMENT, self.scale * argument)

    def cumulant(self, order: int) -> sp.Expr:
        """Return the cumulant κ of that order ≥ 1: the mean, the variance, E(X−μ)³, E(X−μ)⁴ − 3σ⁴.

        Raises:
            ArgumentError: order < 1.
        """
        if order < 1:
            raise ArgumentError("order", expected="an integer ≥ 1", received=order)
        shift = self.location if order == 1 else sp.Integer(0)
        return shift + self.scale**order * self._canonical_cumulant(order)

    @property
    def mean(self) -> sp.Expr:
        """The mean, as a sympy expression."""
        return self.cumulant(1)

    @property
    def variance(self) -> sp.Expr:
        """The variance, as a sympy expression."""
        return self.cumulant(2)

    def sample(
        self,
        generator: np.random.Generator,
        shape: tuple[int, ...],
        location: float | None = None,
        scale: float | None = None,
    ) -> Float[ndarray, "..."]:
        """Draw float64 samples of shape (*shape); symbolic parameters need their numbers here.

        Args:
            generator: source of the randomness.
            shape: shape (*shape) of the result.
            location: number for the location; by default the law's own, if it is one.
            scale: number for the scale; by default the law's own, if it is one.

        Raises:
            ArgumentError: a parameter is still a symbol.
        """
        shift = self._number("location", location)
        stretch = self._number("scale", scale)
        return shift + stretch * self.draw(generator, shape)

    def _number(self, parameter: str, given: float | None) -> float:
        value = getattr(self, parameter) if given is None else sp.Float(given)
        if not value.is_number:
            raise ArgumentError(
                parameter, expected=f"a number for the {parameter} of {self.name}", received=f"the symbol {value}"
            )
        return float(value)

    def _canonical_cumulant(self, order: int) -> sp.Expr:
        return self._cumulants_up_to_four[order - 1] if order <= 4 else _cumulants(self.canonical, order)[order - 1]

    @cached_property
    def _cumulants_up_to_four(self) -> tuple[sp.Expr, ...]:
        return _cumulants(self.canonical, 4)


def _cumulants(characteristic: sp.Expr, order: int) -> tuple[sp.Expr, ...]:
    """Read κ₁ … κ_order off the expansion log χ(t) = Σ κₙ (it)ⁿ / n!."""
    series = sp.series(characteristic, ARGUMENT, 0, order + 1).removeO()
    # log(1 + z) = z − z²/2 + …, with z = χ − 1 of order t.
    excess = sp.expand(series - 1)
    logarithm = sum((-1) ** (n + 1) * excess**n / sp.Integer(n) for n in range(1, order + 1))
    coefficients = sp.Poly(sp.expand(logarithm), ARGUMENT)
    return tuple(
        sp.simplify(coefficients.coeff_monomial(ARGUMENT**n) * sp.factorial(n) / sp.I**n) for n in range(1, order + 1)
    )
