"""The functions of moments: expectation, variance, covariance, cumulants, and what is derived another way."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import sympy as sp

from warptheory.core import formulas
from warptheory.core.checks import check_integer
from warptheory.core.errors import ArgumentError
from warptheory.core.expressions import expression as read
from warptheory.core.expressions import real
from warptheory.core.notation import latex_notation
from warptheory.symbolic import _limits
from warptheory.symbolic._derivation import Derivation, Step
from warptheory.symbolic._terms import NotReducible
from warptheory.symbolic.composition import ComposedField, ComposedValue, SlopeValue
from warptheory.symbolic.input_fields import Field
from warptheory.symbolic.moved_fields import MovedValue, SplattedField, WarpedField
from warptheory.symbolic.nodes import set_partitions
from warptheory.symbolic.offset_fields import Conditional, Given, OffsetField
from warptheory.symbolic.statistic import Averaging, Centre, MomentStatistic, by_linearity
from warptheory.symbolic.values import RandomAtom


@dataclass(frozen=True)
class _OfExpressions(MomentStatistic):
    """A statistic that may be conditional: `given`, or as one of its expressions is written, `expression | given`."""

    # Names of the attributes that are its expressions, and how it is written before these.
    _names: ClassVar[tuple[str, ...]] = ("expression",)
    _notation: ClassVar[str]
    # The expectation of a constant is that constant; its variance, zero, is a slip more likely than a question.
    _takes_constants: ClassVar[bool] = False

    def __post_init__(self) -> None:
        written = dict(zip(self._names, self._expressions, strict=True))
        expressions, given = _unpacked(written, self.condition)
        for name, expression in zip(self._names, expressions, strict=True):
            if not self._takes_constants:
                _check_random(name, expression)
            object.__setattr__(self, name, expression)
        object.__setattr__(self, "given", given)

    @property
    def condition(self) -> Given | None:
        """What the statistic is conditional on."""
        given: Given | None = self.given  # type: ignore[attr-defined]  # a field of every subclass, behind its expressions
        return given

    @property
    def operands(self) -> tuple[sp.Expr, ...]:
        """The expressions."""
        return self._expressions

    @property
    def _expressions(self) -> tuple[sp.Expr, ...]:
        return tuple(getattr(self, name) for name in self._names)

    def __str__(self) -> str:
        return f"{self._notation}[{', '.join(map(str, self._expressions))}{_given_text(self.condition)}]"

    def latex(self) -> str:
        """Return it in LaTeX."""
        return latex_notation(self._notation) + _bracketed(self._expressions, self.condition)


@dataclass(frozen=True)
class _OfOneExpression(_OfExpressions):
    """A statistic of one expression, which may be written as `expression | given`."""

    expression: Any
    given: Given | None = None


@dataclass(frozen=True)
class Expectation(_OfOneExpression):
    """E[expression], or E[expression | given].

    Attributes:
        expression: a polynomial in random variables such as y[n], or a constant.
        given: an offset field or its fraction, or None.
    """

    _notation: ClassVar[str] = "E"
    _takes_constants: ClassVar[bool] = True

    def moments(self, expected: Averaging = by_linearity) -> sp.Expr:
        """Return E[expression]."""
        return expected(self.expression)


@dataclass(frozen=True)
class Variance(_OfOneExpression):
    """Var[expression], or Var[expression | given].

    Attributes:
        expression: a polynomial in random variables such as y[n].
        given: an offset field or its fraction, or None.
    """

    _notation: ClassVar[str] = "Var"

    @property
    def operands(self) -> tuple[sp.Expr, ...]:
        """The expression, twice: a variance is a covariance with itself."""
        return (self.expression, self.expression)

    def moments(self, expected: Averaging = by_linearity) -> sp.Expr:
        """Return E[a²] − E[a]²."""
        return expected(self.expression**2) - expected(self.expression) ** 2

    def centred(self, centre: Centre) -> "Variance":
        """Return the variance of the expression less a constant."""
        return Variance(self.expression - centre(self.expression), self.given)


@dataclass(frozen=True)
class Covariance(_OfExpressions):
    """Cov[first, second], or Cov[first, second | given].

    Attributes:
        first: a polynomial in random variables such as y[n].
        second: another one.
        given: an offset field or its fraction, or None.
    """

    first: Any
    second: Any
    given: Given | None = None

    _names: ClassVar[tuple[str, ...]] = ("first", "second")
    _notation: ClassVar[str] = "Cov"

    def moments(self, expected: Averaging = by_linearity) -> sp.Expr:
        """Return E[ab] − E[a] E[b]."""
        return expected(self.first * self.second) - expected(self.first) * expected(self.second)

    def centred(self, centre: Centre) -> "Covariance":
        """Return the covariance of both expressions less constants."""
        return Covariance(self.first - centre(self.first), self.second - centre(self.second), self.given)


@dataclass(frozen=True, init=False)
class JointCumulant(_OfExpressions):
    """The joint cumulant κ[a, b, …] of up to four expressions, or κ[a, b, … | given].

    Attributes:
        expressions: polynomials in random variables such as y[n]; `order=3` repeats a lone one three times.
        given: an offset field or its fraction, or None.

    Raises:
        ArgumentError: no or more than four expressions, or a constant: Cumulant(y[0], 3) would be zero.
    """

    expressions: tuple[Any, ...]
    given: Given | None

    _notation: ClassVar[str] = "κ"

    def __init__(self, *expressions: Any, given: Given | None = None, order: int | None = None) -> None:
        if order is not None:
            if len(expressions) != 1:
                raise ArgumentError("order", expected="one expression, to be repeated", received=len(expressions))
            expressions *= check_integer("order", order, most=4)
        if not 1 <= len(expressions) <= 4:
            raise ArgumentError("expressions", expected="one to four of them", received=len(expressions))
        names = [f"expressions[{number}]" for number in range(len(expressions))]
        bare, condition = _unpacked(dict(zip(names, expressions, strict=True)), given)
        for name, expression in zip(names, bare, strict=True):
            _check_random(name, expression)
        object.__setattr__(self, "expressions", bare)
        object.__setattr__(self, "given", condition)

    @property
    def _expressions(self) -> tuple[sp.Expr, ...]:
        return self.expressions

    def latex(self) -> str:
        """Return it in LaTeX: one expression that is repeated stands once."""
        if len(set(self.expressions)) > 1:
            return super().latex()
        return rf"\kappa_{{{len(self.expressions)}}}" + _bracketed(self.expressions[:1], self.given)

    def moments(self, expected: Averaging = by_linearity) -> sp.Expr:
        """Return Σ over set partitions of (−1)^(blocks−1) (blocks−1)! ∏ E[product over a block]."""
        total = sp.Integer(0)
        for partition in set_partitions(tuple(range(len(self.expressions)))):
            sign = (-1) ** (len(partition) - 1) * math.factorial(len(partition) - 1)
            total += sign * sp.Mul(*(expected(sp.Mul(*(self.expressions[i] for i in b))) for b in partition))
        return total

    def centred(self, centre: Centre) -> "JointCumulant":
        """Return the cumulant of the expressions less constants; of one alone, its mean, as it is."""
        if len(self.expressions) == 1:
            return self
        return JointCumulant(*(part - centre(part) for part in self.expressions), given=self.given)


@dataclass(frozen=True)
class ExcessKurtosis(_OfOneExpression):
    """κ₄[expression]/Var[expression]², or the same given offsets: 0 for a normal law, −2 at least.

    Attributes:
        expression: a polynomial in random variables such as y[n].
        given: an offset field or its fraction, or None.
    """

    @property
    def operands(self) -> tuple[sp.Expr, ...]:
        """The expression, four times."""
        return (self.expression,) * 4

    def moments(self, expected: Averaging = by_linearity) -> sp.Expr:
        """Return κ₄/Var² in terms of expected monomials."""
        return JointCumulant(*self.operands).moments(expected) / Variance(self.expression).moments(expected) ** 2

    def centred(self, centre: Centre) -> "ExcessKurtosis":
        """Return the excess kurtosis of the expression less a constant."""
        return ExcessKurtosis(self.expression - centre(self.expression), self.given)

    def size(self, value: float) -> float:
        """Return E(y − Ey)⁴/Var² = 3 + value: an error of the fourth moment is relative to that moment."""
        return 3.0 + value

    def __str__(self) -> str:
        return f"excess kurtosis of {self.expression}{_given_text(self.given)}"

    def latex(self) -> str:
        """Return it in LaTeX."""
        return r"\text{excess kurtosis}\, " + _bracketed((self.expression,), self.given)


@dataclass(frozen=True)
class ExchangeableVariance(MomentStatistic):
    """The variance of a sum of any number of exchangeable terms, such as channels that share their offsets.

    Attributes:
        first: one of the terms.
        second: another one; every pair has the joint law of these two.
        count: the number of terms, a sympy expression.
    """

    first: Any
    second: Any
    count: sp.Expr | Any

    def __post_init__(self) -> None:
        for name in ("first", "second"):
            object.__setattr__(self, name, _random_expression(name, getattr(self, name)))
            _check_random(name, getattr(self, name))
        object.__setattr__(self, "count", real("count", self.count))

    @property
    def operands(self) -> tuple[sp.Expr, ...]:
        """The two terms."""
        return (self.first, self.second)

    def moments(self, expected: Averaging = by_linearity) -> sp.Expr:
        """Return C·Var[first] + C(C − 1)·Cov[first, second]."""
        pairs = self.count * (self.count - 1) * Covariance(self.first, self.second).moments(expected)
        return self.count * Variance(self.first).moments(expected) + pairs

    def centred(self, centre: Centre) -> "ExchangeableVariance":
        """Return the variance of the sum of the terms less constants."""
        return ExchangeableVariance(self.first - centre(self.first), self.second - centre(self.second), self.count)

    def __str__(self) -> str:
        return f"Var[{self.first} + {self.second} + … ({self.count} terms)]"

    def latex(self) -> str:
        """Return it in LaTeX."""
        first, second, count = map(formulas.latex, (self.first, self.second, self.count))
        return (
            rf"\operatorname{{Var}}\Bigl[\underbrace{{{first} + {second} + \cdots}}_{{{count} \text{{ terms}}}}\Bigr]"
        )


@dataclass(frozen=True)
class Rederived(MomentStatistic):
    """A statistic that is derived another way, or in a limit, and simulated as it is.

    Attributes:
        statistic: the statistic.
    """

    statistic: MomentStatistic

    @property
    def operands(self) -> tuple[sp.Expr, ...]:
        """Those of the statistic."""
        return self.statistic.operands

    @property
    def condition(self) -> Given | None:
        """That of the statistic."""
        return self.statistic.condition

    def moments(self, expected: Averaging = by_linearity) -> sp.Expr:
        """Return the statistic in terms of expected monomials."""
        return self.statistic.moments(expected)

    def centred(self, centre: Centre) -> MomentStatistic:
        """Return the statistic that is simulated, centred."""
        return self.statistic.centred(centre)

    def size(self, value: float) -> float:
        """Return that of the statistic."""
        return self.statistic.size(value)


@dataclass(frozen=True)
class WideOffsets(Rederived):
    """The limit of a statistic as the scale of the offsets grows without bound.

    Attributes:
        statistic: the statistic at a finite scale.
        scale: the symbol that grows, the scale of one or more offset fields.
    """

    scale: sp.Symbol

    def __post_init__(self) -> None:
        scales = {
            symbol
            for offsets in self._offsets()
            for _, law in offsets.axis_law.parts
            for symbol in law.scale.free_symbols
        }
        if self.scale not in scales:
            known = ", ".join(sorted(f"{symbol} ({_assumptions(symbol)})" for symbol in scales)) or "there is none"
            raise ArgumentError(
                "scale", expected=f"the symbol in a scale of the offset fields: {known}", received=repr(self.scale)
            )

    def derive(self) -> Derivation:
        """Return the steps of the statistic, and the limit as the last one; raises as `Statistic.derive`."""
        self._check_offsets()
        if any(operand.has(ComposedValue, SlopeValue) for operand in self.operands):
            raise NotReducible(self, "values of the continuum; known are limits of warped and splatted ones")
        finite = self.statistic.derive()
        limit = Step(
            "Take the limit of wide offsets",
            f"as {self.scale} → ∞ harmonics vanish, χ(2πj) → 0 (Riemann–Lebesgue), and so do sums over pixels of two "
            "or more averages, which fall as the largest probability that one pixel is hit",
            _limits.take_wide_limit(finite.result, self.scale),
        )
        return self.derivation((*finite.steps, limit))

    def _check_offsets(self) -> None:
        """Check that every offset field which depends on the scale spreads out with it.

        Raises:
            NotReducible: one that does something else.
        """
        for offsets in self._offsets():
            if not _limits.is_still_or_spreads(offsets, self.scale):
                raise NotReducible(offsets, f"its law has to widen in proportion to {self.scale}, about a fixed centre")

    def _offsets(self) -> Iterator[OffsetField]:
        """Yield the offset fields of every layer."""
        for operand in self.operands:
            for atom in operand.atoms(MovedValue):
                yield atom.site.offsets
                field = atom.field
                while isinstance(field, WarpedField | SplattedField | ComposedField):
                    yield field.offsets
                    field = field.field

    def __str__(self) -> str:
        return f"lim ({self.scale} → ∞) of {self.statistic}"

    def latex(self) -> str:
        """Return it in LaTeX."""
        return rf"\lim_{{{formulas.latex(self.scale)} \to \infty}} \, {self.statistic.latex()}"


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


def Cumulant(  # noqa: N802 -- the field's notation
    *expressions: Any, given: Given | None = None, order: int | None = None
) -> sp.Expr:
    """Return the joint cumulant of one to four random expressions in closed form.

    Args:
        *expressions: polynomials in values such as y[n].
        given: an offset field or its fraction, to be conditioned on.
        order: how often a lone expression is repeated, for its own cumulant of that order, 1 to 4.

    Raises:
        ArgumentError: more than four expressions, or a constant among them.
        NotReducible: the algebra cannot reduce a term; the message names it.
    """
    return JointCumulant(*expressions, given=given, order=order).doit()


def _unpacked(written: Mapping[str, Any], given: Given | None) -> tuple[tuple[sp.Expr, ...], Given | None]:
    """Return the expressions, by the names they are written under, and the one condition of all.

    Raises:
        ArgumentError: what is no random expression, or several conditions.
    """
    conditions = [given, *(value.given for value in written.values() if isinstance(value, Conditional))]
    found = list(dict.fromkeys(condition for condition in conditions if condition is not None))
    if not all(isinstance(condition, Given) for condition in found):
        raise ArgumentError("given", expected="an offset field or its fraction", received=repr(given))
    if len(found) > 1:
        raise ArgumentError("given", expected="one condition", received=" and ".join(map(str, found)))
    expressions = (
        _random_expression(name, value.expression if isinstance(value, Conditional) else value)
        for name, value in written.items()
    )
    return tuple(expressions), found[0] if found else None


def _random_expression(name: str, value: Any) -> sp.Expr:
    """Return a polynomial in random values as sympy has it.

    Raises:
        ArgumentError: a field that is not indexed, or no expression at all.
    """
    expected = "an expression in random values such as y[0]"
    if isinstance(value, Field):
        field = getattr(value, "name", type(value).__name__)
        raise ArgumentError(name, expected=expected, received=f"the field {field} without an index")
    if isinstance(value, str):
        raise ArgumentError(name, expected=expected, received=repr(value))
    return read(name, value, expected)


def _check_random(name: str, expression: sp.Expr) -> None:
    """Check that an expression has random values.

    Raises:
        ArgumentError: a constant.
    """
    if not expression.has(RandomAtom):
        expected = "an expression in random values such as y[0], not a constant"
        raise ArgumentError(name, expected=expected, received=expression)


def _assumptions(symbol: sp.Symbol) -> str:
    return ", ".join(sorted(name for name, value in symbol._assumptions_orig.items() if value)) or "no assumptions"


def _bracketed(expressions: tuple[sp.Expr, ...], given: Given | None) -> str:
    """Return expressions and what they are conditional on in brackets, in LaTeX."""
    listed = r",\, ".join(map(formulas.latex, expressions))
    condition = "" if given is None else rf" \,\middle|\, {', '.join(map(formulas.latex, given.symbols))}"
    return rf"\left[{listed}{condition}\right]"


def _given_text(given: Given | None) -> str:
    return "" if given is None else f" | {', '.join(str(symbol) for symbol in given.symbols)}"
