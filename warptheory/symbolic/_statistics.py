"""Statistics of random expressions: written once, then derived here or simulated by `montecarlo`."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sympy as sp

from warptheory.symbolic import _reduction
from warptheory.symbolic._derivation import Derivation, Step
from warptheory.symbolic._nodes import ExpectedValue
from warptheory.symbolic._reduction import NotReducible, Sample, split_samples
from warptheory.symbolic._variables import Conditional, Given, PixelValue, RandomAtom


@dataclass(frozen=True)
class Statistic(ABC):
    """A statistic of random expressions, not yet evaluated.

    Attributes:
        given: an offset field or its fraction, to be conditioned on; None averages over it.
    """

    @property
    @abstractmethod
    def operands(self) -> tuple[sp.Expr, ...]:
        """The random expressions that the statistic is of."""

    @abstractmethod
    def moments(self) -> sp.Expr:
        """Return the statistic in terms of expected monomials, `ExpectedValue` nodes."""

    @property
    def condition(self) -> Given | None:
        """What the statistic is conditional on."""
        given: Given | None = getattr(self, "given", None)
        return given

    def derive(self) -> Derivation:
        """Return the steps that lead to the closed form.

        Raises:
            NotReducible: the algebra cannot reduce a term; the message names it.
            NoClosedFormError: a functional of the kernel has no closed form that is needed here.
        """
        return _derive(self)

    def doit(self) -> sp.Expr:
        """Return the closed form."""
        return self.derive().result


@dataclass(frozen=True)
class _OfOneExpression(Statistic):
    """A statistic of one expression, which may be written as `expression | given`."""

    expression: Any
    given: Given | None = None

    def __post_init__(self) -> None:
        _unpack_condition(self, "expression")


@dataclass(frozen=True)
class Expectation(_OfOneExpression):
    """E[expression], or E[expression | given].

    Attributes:
        expression: a polynomial in random variables such as y[n].
        given: an offset field or its fraction, or None.
    """

    @property
    def operands(self) -> tuple[sp.Expr, ...]:
        """The expression."""
        return (self.expression,)

    def moments(self) -> sp.Expr:
        """Return E[expression] by linearity."""
        return _expected(self.expression)

    def __str__(self) -> str:
        return f"E[{self.expression}{_given_text(self.given)}]"


@dataclass(frozen=True)
class Variance(_OfOneExpression):
    """Var[expression], or Var[expression | given].

    Attributes:
        expression: a polynomial in random variables such as y[n].
        given: an offset field or its fraction, or None.
    """

    @property
    def operands(self) -> tuple[sp.Expr, ...]:
        """The expression, twice: a variance is a covariance with itself."""
        return (self.expression, self.expression)

    def moments(self) -> sp.Expr:
        """Return E[a²] − E[a]²."""
        return _expected(self.expression**2) - _expected(self.expression) ** 2

    def __str__(self) -> str:
        return f"Var[{self.expression}{_given_text(self.given)}]"


@dataclass(frozen=True)
class Covariance(Statistic):
    """Cov[first, second], or Cov[first, second | given].

    Attributes:
        first: a polynomial in random variables such as y[n].
        second: another one.
        given: an offset field or its fraction, or None.
    """

    first: Any
    second: Any
    given: Given | None = None

    def __post_init__(self) -> None:
        _unpack_condition(self, "first")
        _unpack_condition(self, "second")

    @property
    def operands(self) -> tuple[sp.Expr, ...]:
        """The two expressions."""
        return (self.first, self.second)

    def moments(self) -> sp.Expr:
        """Return E[ab] − E[a] E[b]."""
        return _expected(self.first * self.second) - _expected(self.first) * _expected(self.second)

    def __str__(self) -> str:
        return f"Cov[{self.first}, {self.second}{_given_text(self.given)}]"


def E(expression: Any, given: Given | None = None) -> sp.Expr:  # noqa: N802 -- the field's notation
    """Return the expectation of a random expression in closed form.

    Args:
        expression: a polynomial in values such as y[n], or `expression | eps.fraction`.
        given: an offset field or its fraction, to be conditioned on.

    Raises:
        NotReducible: the algebra cannot reduce a term; the message names it.
        NoClosedFormError: a functional of the kernel has no closed form that is needed here.
    """
    return Expectation(expression, given).doit()


def Var(expression: Any, given: Given | None = None) -> sp.Expr:  # noqa: N802 -- the field's notation
    """Return the variance of a random expression in closed form; arguments as in `E`."""
    return Variance(expression, given).doit()


def Cov(first: Any, second: Any, given: Given | None = None) -> sp.Expr:  # noqa: N802 -- the field's notation
    """Return the covariance of two random expressions in closed form; arguments as in `E`."""
    return Covariance(first, second, given).doit()


def _derive(statistic: Statistic) -> Derivation:
    moments = statistic.moments()
    given = statistic.condition

    def rewrite(rule: Callable[[Sample], sp.Expr]) -> sp.Expr:
        return moments.replace(
            lambda node: isinstance(node, ExpectedValue), lambda node: _apply(rule, node.args[0], given)
        )

    functionals = rewrite(_reduction.name_functionals)
    separated = sp.factor_terms(sp.expand(rewrite(_reduction.separate_axes)))
    steps = [
        Step("Moments", "write the statistic by expectations of monomials", moments),
        Step(
            "Expand over taps",
            "y[n] = Σ k(ε − m) x[n + m]; condition on the offsets, which are independent of x",
            rewrite(_reduction.expand_over_taps),
        ),
        Step(
            "Use independence",
            "pixels are independent: joint moments are sums over partitions into blocks of equal pixels",
            rewrite(_reduction.use_independence),
        ),
        Step(
            "Kernel functionals",
            "each tap sum depends on the fraction alone; sums of one factor are 1 or 0",
            functionals,
        ),
        Step("Separate the axes", "offsets along the axes are independent; collect", separated),
        Step(
            "Average over the fraction",
            _reduction.averaging_reason(separated),
            _reduction.evaluate_averages(separated),
        ),
    ]
    kept = [
        step
        for step, before in zip(steps, [None, *steps], strict=False)
        if before is None or step.expression != before.expression
    ]
    return Derivation(str(statistic), tuple(kept))


def _apply(rule: Callable[[Sample], sp.Expr], monomial: sp.Expr, given: Given | None) -> sp.Expr:
    samples, pixel_groups = split_samples(monomial, given)
    return sp.Mul(*map(rule, samples), *map(_raw_moment, pixel_groups))


def _raw_moment(pixels: list[PixelValue]) -> sp.Expr:
    """Return E ∏ x[mᵢ] for pixels of one field at known indices."""
    total = sp.Integer(0)
    for partition in _reduction.set_partitions(tuple(range(len(pixels)))):
        if all(len({pixels[i].index for i in block}) == 1 for block in partition):
            total += sp.Mul(*(pixels[0].field.cumulant(len(block)) for block in partition))
    return total


def _expected(expression: sp.Expr) -> sp.Expr:
    """Return E[expression] by linearity, as a sum over expected monomials."""
    atoms = sorted(expression.atoms(RandomAtom), key=str)
    if not atoms:
        return expression
    if not expression.is_polynomial(*atoms):
        raise NotReducible(expression, "it has to be a polynomial in the random variables")
    total = sp.Integer(0)
    for powers, coefficient in sp.Poly(expression, *atoms).terms():
        monomial = sp.Mul(*(atom**power for atom, power in zip(atoms, powers, strict=True)))
        total += coefficient * (ExpectedValue(monomial) if monomial != 1 else 1)
    return total


def _unpack_condition(statistic: Statistic, name: str) -> None:
    """Accept `expression | given` in place of an expression."""
    value = getattr(statistic, name)
    if isinstance(value, Conditional):
        object.__setattr__(statistic, name, value.expression)
        object.__setattr__(statistic, "given", value.given)
    else:
        object.__setattr__(statistic, name, sp.sympify(value))


def _given_text(given: Given | None) -> str:
    return "" if given is None else f" | {', '.join(str(symbol) for symbol in given.symbols)}"
