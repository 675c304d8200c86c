"""Statistics of random expressions: written once, then derived here or simulated by `montecarlo`."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import sympy as sp

from warptheory.core.checks import check_integer
from warptheory.core.errors import ArgumentError
from warptheory.core.expressions import check_symbols, real
from warptheory.core.expressions import expression as read
from warptheory.symbolic import _averages, _continuum, _limits, _reduction, _spectra
from warptheory.symbolic._composition import ComposedField, ComposedValue, SlopeValue
from warptheory.symbolic._derivation import Derivation, Step
from warptheory.symbolic._nodes import (
    ExpectedValue,
    FractionMean,
    OffsetAverage,
    SpectralMoment,
    known_covariances,
    set_partitions,
)
from warptheory.symbolic._stacks import StackCovariance, is_stacked, stacked_moment
from warptheory.symbolic._terms import Group, NotReducible, split_groups
from warptheory.symbolic._variables import (
    Conditional,
    Field,
    GaussianField,
    Given,
    IIDField,
    MovedValue,
    OffsetField,
    RandomAtom,
    SampledValue,
    SplattedField,
    SplatValue,
    WarpedField,
    input_field,
    symbols_in,
)


class Statistic(ABC):
    """A statistic, written down and not yet evaluated; `str` gives it in plain text."""

    @abstractmethod
    def derive(self) -> Derivation:
        """Return the steps that lead to the closed form.

        Raises:
            NotReducible: the algebra cannot reduce a term; the message names it.
            NoClosedFormError: a functional of the kernel has no closed form that is needed here.
        """

    def doit(self) -> sp.Expr:
        """Return the closed form."""
        return self.derive().result

    def size(self, value: float) -> float:
        """Return the size that a relative error of a value is measured by: |value|, unless that misleads."""
        return abs(value)

    def check_values(self, values: Mapping[str, float]) -> None:  # noqa: B027, it may be left as it is
        """Check that what is drawn stands for the statistic at these numbers for symbols, by name; all do, by default.

        Raises:
            ArgumentError: a number at which it does not, such as a length that a grid does not hold.
        """


def by_linearity(expression: sp.Expr) -> sp.Expr:
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


# What stands for the expected value of an expression.
Averaging = Callable[[sp.Expr], sp.Expr]

# What is about as large as an expression, a constant.
Centre = Callable[[sp.Expr], sp.Expr]


@dataclass(frozen=True)
class MomentStatistic(Statistic):
    """A statistic that is a function of moments of random expressions."""

    @property
    @abstractmethod
    def operands(self) -> tuple[sp.Expr, ...]:
        """The random expressions that the statistic is of."""

    @abstractmethod
    def moments(self, expected: Averaging = by_linearity) -> sp.Expr:
        """Return the statistic in terms of expected values.

        Args:
            expected: what stands for the expected value of an expression: sums over expected monomials by default, for
                the algebra; a simulation averages whole expressions, in which large monomials do not cancel.
        """

    def centred(self, centre: Centre) -> "MomentStatistic":
        """Return the same statistic of its expressions less constants, where it does not depend on those.

        Args:
            centre: returns a constant for an expression; one near its mean leaves nothing large to cancel.
        """
        return self

    @property
    def condition(self) -> Given | None:
        """What the statistic is conditional on: an offset field or its fraction; None averages over everything."""
        return None

    def check_symbols(self) -> None:
        """Check that no two symbols of its fields, offsets and conditions have one name, by which they get numbers.

        Raises:
            ArgumentError: two that do.
        """
        found = set(self.condition.symbols) if self.condition is not None else set()
        for operand in self.operands:
            found |= operand.free_symbols.union(*map(symbols_in, operand.atoms(RandomAtom)))
        check_symbols("statistic", found)

    def derive(self) -> Derivation:
        """Return the steps that lead to the closed form; raises as `Statistic.derive` and `check_symbols`."""
        return _derive(self)

    def doit(self) -> sp.Expr:
        """Return the closed form; the steps that only show how it comes about are left out."""
        if type(self).derive is not MomentStatistic.derive:
            return self.derive().result
        return _Reduced.of(self).closed_form


@dataclass(frozen=True)
class _Conditional(MomentStatistic):
    """A statistic that may be conditional: `given`, or as one of its expressions is written, `expression | given`."""

    # The expectation of a constant is that constant; its variance, zero, is a slip more likely than a question.
    _takes_constants: ClassVar[bool] = False

    def _unpack(self, *names: str) -> None:
        """Set the expressions of these names and `given` from what the caller wrote.

        Raises:
            ArgumentError: what is no random expression, or several conditions.
        """
        written = {name: getattr(self, name) for name in names}
        expressions, given = _unpacked(written, self.given)  # type: ignore[attr-defined]
        for name, expression in zip(names, expressions, strict=True):
            if not self._takes_constants:
                _check_random(name, expression)
            object.__setattr__(self, name, expression)
        object.__setattr__(self, "given", given)

    @property
    def condition(self) -> Given | None:
        """What the statistic is conditional on."""
        given: Given | None = self.given  # type: ignore[attr-defined]
        return given


@dataclass(frozen=True)
class _OfOneExpression(_Conditional):
    """A statistic of one expression, which may be written as `expression | given`."""

    expression: Any
    given: Given | None = None

    def __post_init__(self) -> None:
        self._unpack("expression")


@dataclass(frozen=True)
class Expectation(_OfOneExpression):
    """E[expression], or E[expression | given].

    Attributes:
        expression: a polynomial in random variables such as y[n], or a constant.
        given: an offset field or its fraction, or None.
    """

    _takes_constants: ClassVar[bool] = True

    @property
    def operands(self) -> tuple[sp.Expr, ...]:
        """The expression."""
        return (self.expression,)

    def moments(self, expected: Averaging = by_linearity) -> sp.Expr:
        """Return E[expression]."""
        return expected(self.expression)

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

    def moments(self, expected: Averaging = by_linearity) -> sp.Expr:
        """Return E[a²] − E[a]²."""
        return expected(self.expression**2) - expected(self.expression) ** 2

    def centred(self, centre: Centre) -> "Variance":
        """Return the variance of the expression less a constant."""
        return Variance(self.expression - centre(self.expression), self.given)

    def __str__(self) -> str:
        return f"Var[{self.expression}{_given_text(self.given)}]"


@dataclass(frozen=True)
class Covariance(_Conditional):
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
        self._unpack("first", "second")

    @property
    def operands(self) -> tuple[sp.Expr, ...]:
        """The two expressions."""
        return (self.first, self.second)

    def moments(self, expected: Averaging = by_linearity) -> sp.Expr:
        """Return E[ab] − E[a] E[b]."""
        return expected(self.first * self.second) - expected(self.first) * expected(self.second)

    def centred(self, centre: Centre) -> "Covariance":
        """Return the covariance of both expressions less constants."""
        return Covariance(self.first - centre(self.first), self.second - centre(self.second), self.given)

    def __str__(self) -> str:
        return f"Cov[{self.first}, {self.second}{_given_text(self.given)}]"


@dataclass(frozen=True, init=False)
class JointCumulant(_Conditional):
    """The joint cumulant κ[a, b, …] of up to four expressions, or κ[a, b, … | given].

    Attributes:
        expressions: polynomials in random variables such as y[n]; `order=3` repeats a lone one three times.
        given: an offset field or its fraction, or None.

    Raises:
        ArgumentError: no or more than four expressions, or a constant: Cumulant(y[0], 3) would be zero.
    """

    expressions: tuple[Any, ...]
    given: Given | None

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
    def operands(self) -> tuple[sp.Expr, ...]:
        """The expressions."""
        return self.expressions

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

    def __str__(self) -> str:
        return f"κ[{', '.join(map(str, self.expressions))}{_given_text(self.given)}]"


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
    count: Any

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
        return Derivation(str(self), (*finite.steps, limit))

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


@dataclass(frozen=True)
class _Reduced:
    """What the algebra makes of a statistic.

    Attributes:
        statistic: the statistic.
        separated: its moments, with the axes separated.
        averaged: those, with averages over fractions in closed form where they have one.
    """

    statistic: MomentStatistic
    separated: sp.Expr
    averaged: sp.Expr

    @classmethod
    def of(cls, statistic: MomentStatistic) -> "_Reduced":
        """Reduce a statistic; raises as `Statistic.derive`."""
        statistic.check_symbols()
        _check_cumulants(statistic, [node.args[0] for node in statistic.moments().atoms(ExpectedValue)])
        separated = _collected(_rewritten(statistic, _reduction.separate_axes))
        averaged = _averages.evaluate_averages(separated)
        averages = separated.atoms(OffsetAverage, FractionMean)
        if averages and averages == averaged.atoms(OffsetAverage, FractionMean):
            averaged = separated  # none had a closed form
        if averaged.has(sp.nan, sp.zoo):
            raise NotReducible(statistic, "the variance is zero, and the quotient by it is not defined")
        return cls(statistic, separated, averaged)

    @property
    def closed_form(self) -> sp.Expr:
        """The closed form, with what is known of the inputs' covariances."""
        inserted = [step.expression for step in _insertions(self.averaged)]
        return inserted[-1] if inserted else self.averaged


def _rewritten(statistic: MomentStatistic, rule: Callable[[Group], sp.Expr]) -> sp.Expr:
    """Return the moments of a statistic, each expected monomial rewritten by a rule."""
    moments, given = statistic.moments(), statistic.condition
    return moments.xreplace({node: _apply(rule, node.args[0], given) for node in moments.atoms(ExpectedValue)})


def _derive(statistic: MomentStatistic) -> Derivation:
    reduced = _Reduced.of(statistic)
    separated, averaged = reduced.separated, reduced.averaged

    def rewrite(rule: Callable[[Group], sp.Expr]) -> sp.Expr:
        return _rewritten(statistic, rule)

    steps = [
        Step("Moments", "write the statistic by expectations of monomials", statistic.moments()),
        Step("Expand over taps", _expansion_reason(statistic), rewrite(_reduction.expand_over_taps)),
        Step(
            "Use independence",
            _independence_reason(statistic),
            rewrite(_reduction.use_independence),
        ),
        Step(
            "Kernel functionals",
            "a tap sum at one offset depends on its fraction alone; sums of one factor are 1 or 0",
            rewrite(_reduction.name_functionals),
        ),
        Step("Separate the axes", "offsets along the axes are independent; collect", separated),
        Step("Average over the fraction", _averages.averaging_reason(separated, averaged), averaged),
    ]
    if separated.has(StackCovariance):
        steps = [steps[0], Step("Pass the layers", _STACK_REASON, averaged)]
    steps += _insertions(averaged)
    # A last step that leaves an average says that it is evaluated numerically.
    kept = [
        step
        for step, before in zip(steps, [None, *steps], strict=False)
        if before is None
        or step.expression != before.expression
        or (step is steps[-1] and step.expression.has(OffsetAverage, FractionMean))
    ]
    return Derivation(str(statistic), tuple(kept))


def _check_cumulants(statistic: MomentStatistic, monomials: Iterable[sp.Expr]) -> None:
    """Check that κ₃, κ₄, … stand for the cumulants of one law only.

    Raises:
        NotReducible: third or higher moments of fields whose law is open, and whose deviations differ.
    """
    deviations = set()
    for monomial in monomials:
        orders: dict[IIDField, int] = {}
        for value, power in monomial.as_powers_dict().items():
            field = input_field(value)
            if isinstance(field, IIDField):
                orders[field] = orders.get(field, 0) + int(power)
        deviations |= {field.deviation for field, order in orders.items() if order > 2 and field.law is None}
    if len(deviations - {sp.Integer(0)}) > 1:
        found = ", ".join(sorted(map(str, deviations)))
        raise NotReducible(
            statistic, f"its fields of open law have deviations {found} and cumulants of their own; give each a law"
        )


_STACK_REASON = (
    "with ŵ(θ) = Σ E k(ε + m) exp(imθ) and R̂(θ) = E |Σ k(ε − m) exp(imθ)|² a layer takes the spectral density S to "
    "|ŵ|² S + ∫(R̂ − |ŵ|²) S dθ/2π (warp) or |ŵ|² S + (R̂ − |ŵ|²)(∫S dθ/2π + μ²) (splat); with "
    "W_l = |ŵ|² and R_l = R̂ of layer l, the last layer's covariance is the integral of its spectrum"
)


def _insertions(expression: sp.Expr) -> Iterator[Step]:
    """Yield the steps that insert what is known of the inputs' covariances."""
    waves = _spectra.averages_as_spectra(expression)
    if waves != expression:
        yield Step("Sum over waves", _spectra.reason(waves), waves)
    inserted = known_covariances(waves)
    if inserted != waves:
        yield Step("Insert the covariance", "C(Δ) and spectral moments of the field, where they are left", inserted)
    closed = _spectra.closed_smoothing(inserted)
    if closed != inserted:
        yield Step("Integrate", "Gaussian integrals over the waves", closed)


def _independence_reason(statistic: MomentStatistic) -> str:
    """Say by which theorem the moments of the inputs are found."""
    values = {atom for operand in statistic.operands for atom in operand.atoms(RandomAtom)}
    kinds = {type(input_field(value)) for value in values}
    reasons = {
        IIDField: "joint moments of independent variables are sums over partitions into blocks that share a pixel",
        GaussianField: "joint moments of Gaussian variables are sums over pairings of products of C (Wick's theorem)",
    }
    return "; ".join(reason for kind, reason in reasons.items() if kind in kinds)


def _expansion_reason(statistic: MomentStatistic) -> str:
    """Say what is inserted for the values that occur."""
    atoms = {type(atom) for operand in statistic.operands for atom in operand.atoms(RandomAtom)}
    formulas = {
        SampledValue: "y[n] = Σ k(ε − m) x[n + m]",
        SplatValue: "z[m] = Σ k(n + ε[n] − m) g[n]",
        ComposedValue: "(x∘φ)(t) = x(t + ε(t))",
        SlopeValue: "∂ⱼ(x∘φ) = Σᵢ (δᵢⱼ + ∂ⱼεᵢ) (∂ᵢx)∘φ",
    }
    inserted = " and ".join(formula for kind, formula in formulas.items() if kind in atoms)
    inserted = inserted or "write the values at their places"
    return f"{inserted}; condition on the offsets, which are independent of the input"


def _collected(expression: sp.Expr) -> sp.Expr:
    """Collect terms; in a quotient, those of numerator and denominator apart; spectral moments alone as factors."""
    moments = {node: sp.Dummy() for node in expression.atoms(SpectralMoment)}
    bare = expression.xreplace(moments)
    if moments and bare.is_polynomial(*moments.values()) and bare.free_symbols <= set(moments.values()):
        return sp.factor(expression)
    numerator, denominator = sp.fraction(expression, exact=True)
    return sp.factor_terms(sp.expand(numerator)) / sp.factor_terms(sp.expand(denominator))


def _apply(rule: Callable[[Group], sp.Expr], monomial: sp.Expr, given: Given | None) -> sp.Expr:
    groups = split_groups(monomial, given)
    return sp.Mul(*(_moment_of(group, rule) for group in groups))


def _moment_of(group: Group, rule: Callable[[Group], sp.Expr]) -> sp.Expr:
    if _continuum.is_continuous(group):
        return _CONTINUUM[rule](group)
    return stacked_moment(group) if is_stacked(group) else rule(group)


# What the steps of the algebra are where a field is read between its pixels.
_CONTINUUM: Mapping[Callable[[Group], sp.Expr], Callable[[Group], sp.Expr]] = {
    _reduction.expand_over_taps: _continuum.expand,
    _reduction.use_independence: _continuum.by_pairs,
    _reduction.name_functionals: _continuum.by_pairs,
    _reduction.separate_axes: _continuum.average,
}


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


def _given_text(given: Given | None) -> str:
    return "" if given is None else f" | {', '.join(str(symbol) for symbol in given.symbols)}"
