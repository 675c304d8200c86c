"""A one-dimensional law: its characteristic function is the definition, its moments follow from it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np
import sympy as sp
from jaxtyping import Float
from numpy import ndarray

from warptheory.core import html
from warptheory.core.checks import check_integer, check_number
from warptheory.core.errors import ArgumentError
from warptheory.core.expressions import check_name, expression
from warptheory.core.formulas import latex
from warptheory.core.presented import Presented, cell_of

ARGUMENT = sp.Symbol("t", real=True)


@dataclass(frozen=True)
class Law(Presented):
    """The law of location + scale·Z, where Z has the canonical law of that name.

    Attributes:
        name: the law's name in the catalogue.
        canonical: characteristic function E exp(itZ), a sympy expression in `ARGUMENT`.
        draw: (generator, shape) → float64 samples of Z of that shape.
        of_uniform: maps numbers that are uniform on (0, 1) to values of Z, float64, of the same shape.
        density: density of Z in `ARGUMENT`, or None where Z has atoms.
        atoms: pairs (value, probability) of a discrete Z; empty where Z has a density.
        components: pairs (probability, law of Z) of a mixture; empty for other laws.
        location: sympy expression, in the unit of the variable.
        scale: sympy expression ≥ 0, in the unit of the variable.
        source: where the characteristic function is published.
        scipy: name of the law of Z in `scipy.stats`, and its arguments there, which tests compare with; empty where
            it has none.
    """

    name: str
    canonical: sp.Expr
    draw: Callable[[np.random.Generator, tuple[int, ...]], Float[ndarray, "..."]]
    of_uniform: Callable[[Float[ndarray, "..."]], Float[ndarray, "..."]]
    source: str
    density: sp.Expr | None = None
    atoms: tuple[tuple[sp.Expr, sp.Expr], ...] = ()
    components: tuple[tuple[sp.Expr, "Law"], ...] = ()
    location: sp.Expr = sp.S.Zero
    scale: sp.Expr = sp.S.One
    scipy: tuple[str | float, ...] = ()

    def __post_init__(self) -> None:
        check_name("name", self.name)
        for argument in ("canonical", "location", "scale", "density"):
            value = getattr(self, argument)
            if not isinstance(value, sp.Expr) and not (argument == "density" and value is None):
                raise ArgumentError(argument, expected="a sympy expression", received=repr(value))
        if not all(isinstance(part, sp.Expr) for atom in self.atoms for part in atom):
            raise ArgumentError("atoms", expected="pairs of sympy expressions", received=repr(self.atoms))
        if not self.components and (self.density is None) == (not self.atoms):
            raise ArgumentError(
                "density", expected="a density or atoms, one of them", received=f"{self.density}, {self.atoms}"
            )

    def __str__(self) -> str:
        return f"{self.name}[{self.canonical}]({self.location},{self.scale})"

    def _parts(self) -> Iterable[str]:
        return [repr(self.name), f"location={self.location}", f"scale={self.scale}"]

    def _subtitle(self) -> str:
        return f"{self.name}: the law of location + scale·Z"

    def _card(self) -> Iterable[object]:
        if self.density is not None:
            yield html.formula(f"p_Z(t) = {latex(self.density)}", "the density of Z")
        for value, probability in self.atoms:
            yield html.formula(rf"\operatorname{{P}}(Z = {latex(value)}) = {latex(probability)}")
        yield html.formula(
            rf"\operatorname{{E}} e^{{i t Z}} = {latex(self.canonical)}", "the characteristic function of Z"
        )
        named = (("location", self.location), ("scale", self.scale), ("mean", self.mean), ("variance", self.variance))
        yield html.properties([*((name, cell_of(value)) for name, value in named), ("source", self.source)])

    def _repr_latex_(self) -> str:
        return rf"$\displaystyle \operatorname{{E}} e^{{i t X}} = {latex(self.characteristic_function(ARGUMENT))}$"

    @property
    def parts(self) -> tuple[tuple[sp.Expr, "Law"], ...]:
        """The laws that this one mixes, with their probabilities; the law itself if it is no mixture."""
        return tuple(
            (probability * share, inner)
            for share, law in self.components
            for probability, inner in law.at(self.location + self.scale * law.location, self.scale * law.scale).parts
        ) or ((sp.Integer(1), self),)

    @property
    def free_symbols(self) -> set[sp.Symbol]:
        """Symbols of location and scale; the laws that a mixture is made of have none."""
        return set(self.location.free_symbols | self.scale.free_symbols)

    def at(self, location: object = None, scale: object = None) -> "Law":
        """Return the law with another location or scale; None keeps it.

        Args:
            location: a number, a sympy expression, or text such as "1/2".
            scale: the same, not negative.

        Raises:
            ArgumentError: a negative or infinite scale, or an infinite location.
        """
        moved = replace(
            self,
            location=self.location if location is None else self._finite("location", location),
            scale=self.scale if scale is None else self._finite("scale", scale),
        )
        if moved.scale.is_negative:
            raise ArgumentError("scale", expected=f"a finite scale ≥ 0 for {self.name}", received=repr(scale))
        return moved

    def _finite(self, argument: str, value: object) -> sp.Expr:
        bound = " ≥ 0" if argument == "scale" else ""
        return expression(argument, value, f"a finite {argument}{bound} for {self.name}")

    def standardised(self, mean: object, deviation: object) -> "Law":
        """Return the law of this shape with the given mean and standard deviation.

        Raises:
            ArgumentError: the law is constant, so it has no shape to scale.
        """
        variance = self._canonical_cumulant(2)
        if variance == 0:
            raise ArgumentError("law", expected="a law with positive variance", received=repr(self.name))
        scale = expression("deviation", deviation) / sp.sqrt(variance)
        return self.at(expression("mean", mean) - scale * self._canonical_cumulant(1), scale)

    def characteristic_function(self, argument: sp.Expr) -> sp.Expr:
        """Return χ(t) = E exp(itX) as a sympy expression in `argument`."""
        argument = expression("argument", argument)
        return sp.exp(sp.I * self.location * argument) * self.canonical.subs(ARGUMENT, self.scale * argument)

    def cumulant(self, order: int) -> sp.Expr:
        """Return the cumulant κ of that order ≥ 1: the mean, the variance, E(X−μ)³, E(X−μ)⁴ − 3σ⁴.

        Raises:
            ArgumentError: order < 1.
        """
        check_integer("order", order)
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

    @cached_property
    def distribution(self) -> sp.Expr:
        """The distribution function P(Z ≤ t) in `ARGUMENT`, integrated from the density or summed over the atoms."""
        if self.components:
            return sp.Add(*(share * law._distribution_at(ARGUMENT) for share, law in self.components))
        if self.density is None:
            return sp.Add(*(sp.Piecewise((p, value <= ARGUMENT), (0, True)) for value, p in self.atoms))
        return _integrate_from_left(self.density)

    def _distribution_at(self, argument: sp.Expr) -> sp.Expr:
        return self.distribution.subs(ARGUMENT, (argument - self.location) / self.scale)

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
        return scaled(self.draw(generator, shape), shift, stretch)

    def _number(self, parameter: str, given: float | None) -> float:
        value = getattr(self, parameter) if given is None else sp.Float(check_number(parameter, given))
        if not value.is_number:
            raise ArgumentError(
                parameter, expected=f"a number for the {parameter} of {self.name}", received=f"the symbol {value}"
            )
        return float(value)

    def _canonical_cumulant(self, order: int) -> sp.Expr:
        return self._cumulants_up_to_four[order - 1] if order <= 4 else _cumulants(self.canonical, order)[order - 1]

    @cached_property
    def _cumulants_up_to_four(self) -> tuple[sp.Expr, ...]:
        return _cumulants(self.canonical, 4) if not self.components else _mixed_cumulants(self.components, 4)


def scaled(canonical: Float[ndarray, "..."], location: float, scale: float) -> Float[ndarray, "..."]:
    """Return location + scale·Z, shape (*shape) as that of Z, in whose memory it is."""
    canonical *= scale
    if location != 0:
        canonical += location
    return canonical


def _mixed_cumulants(components: tuple[tuple[sp.Expr, Law], ...], order: int) -> tuple[sp.Expr, ...]:
    """Return κ₁ … κ_order of a mixture: raw moments mix, mₙ = Σ C(n−1, k−1) κₖ mₙ₋ₖ."""
    mixed: list[sp.Expr] = [sp.Integer(1)]
    parts: list[tuple[sp.Expr, list[sp.Expr], Law]] = [(share, [sp.Integer(1)], law) for share, law in components]
    for n in range(1, order + 1):
        for _, moments, law in parts:
            moments.append(
                sp.Add(*(sp.binomial(n - 1, k - 1) * law.cumulant(k) * moments[n - k] for k in range(1, n + 1)))
            )
        mixed.append(sp.Add(*(probability * moments[n] for probability, moments, _ in parts)))
    cumulants: list[sp.Expr] = []
    for n in range(1, order + 1):
        known = sp.Add(*(sp.binomial(n - 1, k - 1) * cumulants[k - 1] * mixed[n - k] for k in range(1, n)))
        cumulants.append(sp.expand(mixed[n] - known))
    return tuple(cumulants)


@cache
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


def _integrate_from_left(density: sp.Expr) -> sp.Expr:
    """Return ∫_{−∞}^t of a density; each side of zero on its own, where |t| and the like have one meaning."""
    low, high = sp.Dummy(negative=True), sp.Dummy(nonnegative=True)
    left, right = (density.xreplace({ARGUMENT: side}) for side in (low, high))
    end, start = sp.Dummy(negative=True), sp.Dummy(nonnegative=True)
    below = sp.expand(sp.integrate(left, (low, -sp.oo, end)))
    above = sp.expand(sp.integrate(left, (low, -sp.oo, 0)) + sp.integrate(right, (high, 0, start)))
    return sp.Piecewise((below.xreplace({end: ARGUMENT}), ARGUMENT < 0), (above.xreplace({start: ARGUMENT}), True))
