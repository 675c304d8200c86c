"""A statistic, and the steps by which a function of moments is brought to its closed form.

A function of moments is derived in this order, each step an expression of the same value:

1. by linearity it becomes a sum of expected monomials in random values (`by_linearity`);
2. the factors of a monomial are sorted into independent groups (`_terms.split_groups`), and each group is written four
   ways: by sums over the kernel's taps, by cumulants or pairings of the input, by functionals of the kernel, and with
   the axes apart (`_reduction`; `_continuum` between pixels, `stacks` for layers); the last goes on;
3. averages over offsets get closed forms where they have one (`averages`);
4. covariances averaged over normal lags become integrals over waves (`_spectra.averages_as_spectra`), the other
   covariances get what is known of them (`covariance_nodes.known_covariances`), and integrals over waves get closed
   forms where they have one (`_spectra.closed_smoothing`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import sympy as sp

from warptheory.core import expressions, html
from warptheory.core.notation import latex_notation
from warptheory.core.presented import Presented, fields_table
from warptheory.symbolic import _continuum, _head_cells, _heads, _reduction, _spectra, averages
from warptheory.symbolic._derivation import Derivation, Step
from warptheory.symbolic._terms import Group, NotReducible, split_groups
from warptheory.symbolic.composition import ComposedValue, SlopeValue
from warptheory.symbolic.covariance_nodes import SpectralMoment, known_covariances
from warptheory.symbolic.input_fields import GaussianField, IIDField
from warptheory.symbolic.moved_fields import SampledValue, SplatValue, input_field, symbols_in
from warptheory.symbolic.nodes import ExpectedValue, FractionMean, OffsetAverage
from warptheory.symbolic.offset_fields import Given
from warptheory.symbolic.stacks import StackCovariance, is_stacked, stacked_moment
from warptheory.symbolic.values import RandomAtom, in_order


class Statistic(Presented, ABC):
    """A statistic, written down and not yet evaluated; `str` gives it in plain text, `latex` as a formula."""

    def latex(self) -> str:
        """Return the statistic in LaTeX: what its text says."""
        return latex_notation(str(self))

    def derivation(self, steps: Iterable[Step]) -> Derivation:
        """Return steps as the derivation of this statistic."""
        return Derivation(str(self), tuple(steps), self.latex())

    @abstractmethod
    def derive(self) -> Derivation:
        """Return the steps that lead to the closed form.

        Raises:
            NotReducible: the algebra cannot reduce a term; the message names it.
            NoClosedFormError: a functional of the kernel has no closed form that is needed here.
        """

    def _subtitle(self) -> str:
        return str(self)

    def _card(self) -> Iterable[object]:
        yield html.formula(self.latex())
        yield fields_table(self)

    def _repr_latex_(self) -> str:
        return rf"$\displaystyle {self.latex()}$"

    def doit(self) -> sp.Expr:
        """Return the closed form; an average that has none is left as a node, which `evaluate` computes."""
        return self.derive().result

    def size(self, value: float) -> float:
        """Return the size that a relative error of a value is measured by: |value|, unless that misleads."""
        return abs(value)

    def check_values(self, values: Mapping[str, float]) -> None:
        """Check that what is drawn stands for the statistic at these numbers for symbols, by name; all do, by default.

        Raises:
            ArgumentError: a number at which it does not, such as a length that a grid does not hold.
        """


def by_linearity(expression: sp.Expr) -> sp.Expr:
    """Return E[expression] by linearity, as a sum over expected monomials."""
    atoms = in_order(expression.atoms(RandomAtom))
    if not atoms:
        return expression
    if not expression.is_polynomial(*atoms):
        raise NotReducible(expression, "it has to be a polynomial in the random variables")
    total = sp.Integer(0)
    for powers, coefficient in sp.Poly(expression, *atoms).terms():
        monomial = sp.Mul(*(atom**power for atom, power in zip(atoms, powers, strict=True)))
        total += coefficient * (ExpectedValue(monomial) if monomial != 1 else 1)
    return total


# How E of an expression is written: the algebra sums over expected monomials, a simulation averages what it draws.
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
        """Return the statistic in terms of expected values; a condition is applied to each of them later.

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
        expressions.check_symbols("statistic", found)

    def derive(self) -> Derivation:
        """Return the steps that lead to the closed form; raises as `Statistic.derive` and `check_symbols`."""
        return _derive(self)

    def doit(self) -> sp.Expr:
        """Return the closed form; the steps that only show how it comes about are left out."""
        if type(self).derive is not MomentStatistic.derive:  # a statistic that is derived in another way
            return self.derive().result
        return Reduced.of(self).closed_form


@dataclass(frozen=True)
class Reduced:
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
    def of(cls, statistic: MomentStatistic) -> "Reduced":
        """Reduce a statistic; raises as `Statistic.derive`."""
        statistic.check_symbols()
        _check_cumulants(statistic, [node.args[0] for node in statistic.moments().atoms(ExpectedValue)])
        separated = _collected(_rewritten(statistic, _reduction.as_axis_averages))
        averaged = averages.evaluate_averages(_head_cells.closed_integrals(separated))
        open_averages = separated.atoms(OffsetAverage, FractionMean)
        if open_averages and open_averages == averaged.atoms(OffsetAverage, FractionMean):
            averaged = separated  # none had a closed form, beside which those of functionals would tell nothing
        if averaged.has(sp.nan, sp.zoo):
            raise NotReducible(statistic, "the variance is zero, and the quotient by it is not defined")
        return cls(statistic, separated, averaged)

    @property
    def closed_form(self) -> sp.Expr:
        """The closed form, with what is known of the inputs' covariances."""
        inserted = [step.expression for step in _insertions(self.averaged)]
        return inserted[-1] if inserted else self.averaged


# How the moment of a group is written (`_reduction`).
Rendering = Callable[[Group], sp.Expr]

# The same for a group that reads a field between its pixels; two of the four are one there, and a derivation leaves out
# steps that change nothing. A group that reads a stack of layers has a single way, `stacked_moment`.
_CONTINUUM: Mapping[Rendering, Rendering] = {
    _reduction.as_tap_sums: _continuum.expand,
    _reduction.as_blocks: _continuum.by_pairs,
    _reduction.as_functionals: _continuum.by_pairs,
    _reduction.as_axis_averages: _continuum.average,
}

# The same for a group whose offsets a head computes.
_HEADS: Mapping[Rendering, Rendering] = {
    _reduction.as_tap_sums: _heads.condition_on_offsets,
    _reduction.as_blocks: _heads.by_stein,
    _reduction.as_functionals: _heads.by_parts,
    _reduction.as_axis_averages: _heads.by_parts,
}


def _rewritten(statistic: MomentStatistic, rendering: Rendering) -> sp.Expr:
    """Return the moments of a statistic, each expected monomial in one rendering."""
    moments, given = statistic.moments(), statistic.condition
    return moments.xreplace({node: _apply(rendering, node.args[0], given) for node in moments.atoms(ExpectedValue)})


def _apply(rendering: Rendering, monomial: sp.Expr, given: Given | None) -> sp.Expr:
    groups = split_groups(monomial, given)
    return sp.Mul(*(_moment_of(group, rendering) for group in groups))


def _moment_of(group: Group, rendering: Rendering) -> sp.Expr:
    if _heads.has_head(group):
        return _HEADS[rendering](group)
    if _continuum.is_continuous(group):
        return _CONTINUUM[rendering](group)
    return stacked_moment(group) if is_stacked(group) else rendering(group)


def _derive(statistic: MomentStatistic) -> Derivation:
    reduced = Reduced.of(statistic)
    steps = [Step("Moments", "write the statistic by expectations of monomials", statistic.moments())]
    if reduced.separated.has(StackCovariance):
        steps.append(Step("Pass the layers", _STACK_REASON, reduced.averaged))
    elif _heads.have_head(atom for operand in statistic.operands for atom in operand.atoms(RandomAtom)):
        steps += _steps_of_heads(reduced)
    else:
        steps += _steps_of_one_layer(reduced)
    steps += _insertions(reduced.averaged)
    # A last step that leaves an average says that it is evaluated numerically.
    kept = [
        step
        for step, before in zip(steps, [None, *steps], strict=False)
        if before is None
        or step.expression != before.expression
        or (step is steps[-1] and step.expression.has(OffsetAverage, FractionMean))
    ]
    return statistic.derivation(kept)


def _steps_of_one_layer(reduced: Reduced) -> Iterator[Step]:
    """Yield the steps from moments to averages: the four renderings, then closed forms of the averages."""
    statistic, separated, averaged = reduced.statistic, reduced.separated, reduced.averaged
    tap_sums = _rewritten(statistic, _reduction.as_tap_sums)
    yield Step("Expand over taps", _expansion_reason(statistic), tap_sums)
    yield Step("Use independence", _independence_reason(statistic), _rewritten(statistic, _reduction.as_blocks))
    yield Step(
        "Kernel functionals",
        "a tap sum at one offset depends on its fraction alone; sums of one factor are 1 or 0",
        _rewritten(statistic, _reduction.as_functionals),
    )
    yield Step("Separate the axes", "offsets along the axes are independent; collect", separated)
    yield Step("Average over the fraction", averages.averaging_reason(separated, averaged), averaged)


def _steps_of_heads(reduced: Reduced) -> Iterator[Step]:
    """Yield the steps from moments to integrals over offsets that a head computes, and their closed forms."""
    statistic = reduced.statistic
    for name, reason, rendering in (
        ("Expand over taps", f"{_insertions_of(statistic)}; {_CONDITION_REASON}", _reduction.as_tap_sums),
        ("Stein's lemma", _STEIN_REASON, _reduction.as_blocks),
        ("Move the derivatives onto the density", _PARTS_REASON, _reduction.as_functionals),
    ):
        yield Step(name, reason, _rewritten(statistic, rendering))
    yield Step("Integrate", _CELLS_REASON, reduced.averaged)


_CONDITION_REASON = (
    "given the offsets ε = αh the input is normal, with the mean cᵀV⁻¹h and the covariance C − cᵀV⁻¹c, where "
    "c[m] = Cov(h, x[m]) and V = Cov h, and its moments are averaged over the normal law of the offsets"
)
_STEIN_REASON = (
    "Gaussian integration by parts: E x[m] x[m′] F(ε) = C(m − m′) E F + α² Σᵢₗ cᵢ[m] cₗ[m′] E ∂ᵢ∂ₗF, and for other "
    "numbers of factors alike, each of them paired with another or differentiating F; the sums over the taps make "
    "c_k(u) = Σ c[m] k(u − m) of c, between the pixels c(u) itself"
)
_PARTS_REASON = "∫ q ∂F = −∫ F ∂q, q the density of the offsets: the kernel need not be differentiable"
_CELLS_REASON = (
    "polynomials in each cell against q, by Φ and q at its ends; functions of period one by Poisson summation; "
    "along independent components of the head one integral after the other; what is left is evaluated numerically"
)


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
    closed = _head_cells.gaussian_integrals(_spectra.closed_smoothing(inserted))
    if closed != inserted:
        yield Step("Integrate Gaussians", "over waves, or against the density of the offsets", closed)


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
    """Say what is inserted, and what that allows."""
    return f"{_insertions_of(statistic)}; condition on the offsets, which are independent of the input"


def _insertions_of(statistic: MomentStatistic) -> str:
    """Say what is inserted for the values that occur."""
    atoms = {type(atom) for operand in statistic.operands for atom in operand.atoms(RandomAtom)}
    formulas = {
        SampledValue: "y[n] = Σ k(ε − m) x[n + m]",
        SplatValue: "z[m] = Σ k(n + ε[n] − m) g[n]",
        ComposedValue: "(x∘φ)(t) = x(t + ε(t))",
        SlopeValue: "∂ⱼ(x∘φ) = Σᵢ (δᵢⱼ + ∂ⱼεᵢ) (∂ᵢx)∘φ",
    }
    inserted = " and ".join(formula for kind, formula in formulas.items() if kind in atoms)
    return inserted or "write the values at their places"


def _collected(expression: sp.Expr) -> sp.Expr:
    """Collect terms; in a quotient, those of numerator and denominator apart; spectral moments alone as factors."""
    moments = {node: sp.Dummy() for node in expression.atoms(SpectralMoment)}
    bare = expression.xreplace(moments)
    if moments and bare.is_polynomial(*moments.values()) and bare.free_symbols <= set(moments.values()):
        return sp.factor(expression)
    numerator, denominator = sp.fraction(expression, exact=True)
    return sp.factor_terms(sp.expand(numerator)) / sp.factor_terms(sp.expand(denominator))
