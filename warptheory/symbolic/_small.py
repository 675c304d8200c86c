"""Expansions in a small parameter: the leading term of a statistic, such as a discretization error as h → 0."""

import itertools
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import sympy as sp

from warptheory.core.errors import ArgumentError
from warptheory.core.notation import latex_notation
from warptheory.symbolic._derivation import Derivation, Step
from warptheory.symbolic._spectra import SmoothedCovariance
from warptheory.symbolic._terms import NotReducible
from warptheory.symbolic.averages import closed_mean
from warptheory.symbolic.covariance_nodes import FieldCovariance, SpectralMoment, field_covariance, known_covariances
from warptheory.symbolic.moments import Rederived
from warptheory.symbolic.nodes import FractionMean, OffsetAverage
from warptheory.symbolic.statistic import MomentStatistic

# Powers of the parameter that are looked through for the first that does not vanish.
_HIGHEST = 12


@dataclass(frozen=True)
class LeadingTerm(Rederived):
    """The leading term of a statistic as a parameter goes to zero; it is simulated where that is small.

    Attributes:
        statistic: the statistic at a finite value.
    """

    @property
    @abstractmethod
    def vanishing(self) -> sp.Symbol:
        """The parameter that goes to zero."""

    def __str__(self) -> str:
        return f"leading term ({self.vanishing} → 0) of {self.statistic}"

    def latex(self) -> str:
        """Return it in LaTeX."""
        return latex_notation(f"leading term ({self.vanishing} → 0) of ") + r"\ " + self.statistic.latex()


@dataclass(frozen=True)
class SmallSpacing(LeadingTerm):
    """The leading term of a statistic as the spacing h of a Gaussian field's grid goes to zero.

    Where the field has the derivatives that are needed its covariance is expanded in spectral moments; a covariance
    with a formula is expanded as it is, which also gives the fractional powers of rough fields.

    Attributes:
        statistic: the statistic at a finite spacing.
        spacing: the symbol h, the spacing of the field.
        by_formula: whether the covariance's formula is expanded, and not the general one in spectral moments.
    """

    spacing: sp.Symbol
    by_formula: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.spacing, sp.Symbol) or not self.spacing.is_positive:
            raise ArgumentError("spacing", expected="a positive symbol", received=repr(self.spacing))

    def derive(self) -> Derivation:
        """Return the steps of the statistic before its covariance is inserted, and the leading term.

        Raises:
            NotReducible: no term up to the 12th power, or a field too rough for the expansion in spectral moments.
        """
        steps = [step for step in self.statistic.derive().steps if step.expression.has(FieldCovariance, SpectralMoment)]
        if not steps:
            raise NotReducible(self, "it has no covariance to expand")
        finite = steps[-1].expression
        self._check_averages(finite)
        if self.by_formula:
            return self.derivation((*steps, *self._by_formula(finite)))
        self._check_powers(finite)
        leading = _leading(finite, self.spacing)
        steps.append(Step("Expand in the spacing", _TAYLOR, leading))
        return self.derivation((*steps, *inserted_moments(self, leading)))

    def _check_averages(self, finite: sp.Expr) -> None:
        """Check that all covariances are of fields on this grid, at lags of pixels, averaged over fractions alone.

        Raises:
            NotReducible: other fields, lags or averages.
        """
        if finite.has(OffsetAverage, SmoothedCovariance):
            raise NotReducible(self, "averages over offsets; known are offsets for which fractions are equally likely")
        nodes = finite.atoms(FieldCovariance, SpectralMoment)
        if any(node.field.spacing != self.spacing for node in nodes):
            raise NotReducible(self, f"a field whose spacing is not {self.spacing}, or offsets with a covariance")
        if any(self.spacing in node.lag.free_symbols for node in finite.atoms(FieldCovariance)):
            raise NotReducible(self, f"points whose distance in pixels depends on {self.spacing}; known are pixels")

    def _check_powers(self, finite: sp.Expr) -> None:
        """Check that every term is a covariance, or a derivative of one per pixel, times one common power of h.

        Raises:
            NotReducible: terms of other kinds, which would mix the orders.
        """
        bare = finite.replace(lambda node: isinstance(node, FractionMean), lambda node: node.args[0])
        marks = {node: sp.Dummy() for node in bare.atoms(FieldCovariance)}
        marks |= {node: sp.Dummy() / self.spacing ** sum(node.orders) for node in bare.atoms(SpectralMoment)}
        dummies = [symbol for mark in marks.values() for symbol in mark.free_symbols - {self.spacing}]
        marked = sp.expand(bare.xreplace(marks))
        if not marked.is_polynomial(*dummies) or any(sum(p) != 1 for p in sp.Poly(marked, *dummies).monoms()):
            raise NotReducible(self, "products of covariances, or terms without one; known are second moments")
        powers = {term.as_coeff_exponent(self.spacing) for term in sp.Add.make_args(marked)}
        if len({power for _, power in powers}) > 1 or any(rest.has(self.spacing) for rest, _ in powers):
            raise NotReducible(self, f"coefficients of different powers of {self.spacing}")

    def _by_formula(self, finite: sp.Expr) -> Iterator[Step]:
        inserted = known_covariances(finite)
        yield Step("Insert the covariance", "C at the lags that are left", inserted)
        expanded = inserted.replace(
            lambda node: isinstance(node, FractionMean),
            lambda node: FractionMean(_series(node.args[0], self.spacing), *node.args[1:]),
        )
        summed = _series(
            expanded.replace(lambda node: isinstance(node, FractionMean), lambda node: closed_mean(_expanded(node))),
            self.spacing,
        )
        term = sp.powsimp(sp.simplify(_first(summed, self.spacing)))
        yield Step("Expand in the spacing", "the first power of h with a coefficient other than zero", term)

    @property
    def vanishing(self) -> sp.Symbol:
        """The parameter that goes to zero."""
        return self.spacing


@dataclass(frozen=True)
class SmallOffsets(LeadingTerm):
    """The leading term of a statistic as the spread of normal offsets goes to zero.

    Of a statistic that does not vanish with the offsets this is its value without them.

    Attributes:
        statistic: the statistic at a finite spread.
        spread: the symbol s, the standard deviation of the offsets.
    """

    spread: sp.Symbol

    def derive(self) -> Derivation:
        """Return the steps of the statistic as a sum over waves, and the leading term.

        Raises:
            NotReducible: no sum over waves that are damped by the offsets, no term up to the 12th power, or a field
                too rough for its expansion.
        """
        whole = self.statistic.derive().steps
        found = [number for number, step in enumerate(whole) if step.expression.has(SmoothedCovariance)]
        if not found:
            raise NotReducible(self, "it needs normal offsets by which a covariance is smoothed")
        self._check(whole[found[0]].expression)
        leading = self._leading(whole[found[0]].expression)
        steps = [*whole[: found[0] + 1], Step("Expand in the spread", _EXPONENTIAL, leading)]
        return self.derivation((*steps, *inserted_moments(self, leading)))

    def _check(self, expression: sp.Expr) -> None:
        """Check that s is in the variances of lags alone, as a factor s² of each, and that nothing is multiplied.

        Raises:
            NotReducible: another dependence on s, products of smoothed covariances, or other averages.
        """
        marks = {node: sp.Dummy() for node in expression.atoms(SmoothedCovariance)}
        marked = sp.expand(expression.xreplace(marks))
        dummies = list(marks.values())
        if not marked.is_polynomial(*dummies) or any(sum(p) > 1 for p in sp.Poly(marked, *dummies).monoms()):
            raise NotReducible(self, "products of smoothed covariances; known are second moments")
        if any(self.spread in sp.simplify(node.spread / self.spread**2).free_symbols for node in marks):
            raise NotReducible(self, f"lags whose variance is not in proportion to {self.spread}²")
        if self.spread in marked.free_symbols.union(*(node.lag.free_symbols for node in marks)):
            raise NotReducible(self, f"{self.spread} has to be the spread of the offsets alone")
        if marked.has(OffsetAverage):
            raise NotReducible(self, "averages over offsets other than of a covariance")

    def _leading(self, expression: sp.Expr) -> sp.Expr:
        total: sp.Expr = sp.Integer(0)
        for order in range(_HIGHEST // 2 + 1):
            kept = expression if order == 0 else _only_smoothed(expression)
            terms = kept.replace(
                lambda node: isinstance(node, SmoothedCovariance), lambda node, n=order: _damping_term(node, n)
            )
            total = sp.factor(sp.expand(terms))
            if total != 0:
                return total
        raise NotReducible(expression, f"its expansion in {self.spread} has no term up to the power {_HIGHEST}")

    @property
    def vanishing(self) -> sp.Symbol:
        """The parameter that goes to zero."""
        return self.spread


_EXPONENTIAL = "exp(−v|ω|²/2) = Σ (−v|ω|²/2)ⁿ/n!, and (2π)⁻ᵈ ∫ S ω^2α cos(ω·Δ) dω = (−1)^|α| ∂^2α C(Δ)"


def _only_smoothed(expression: sp.Expr) -> sp.Expr:
    """Return the terms that hold a smoothed covariance."""
    return sp.Add(*(term for term in sp.Add.make_args(sp.expand(expression)) if term.has(SmoothedCovariance)))


def _damping_term(node: SmoothedCovariance, order: int) -> sp.Expr:
    """Return the n-th term (−v/2)ⁿ/n! ∫ S |ω|²ⁿ cos of the expansion in the variance of the lag."""
    field, dim = node.field, len(node.lag)
    total: sp.Expr = sp.Integer(0)
    for powers in itertools.product(range(order + 1), repeat=dim):
        if sum(powers) == order:
            multiplicity = sp.factorial(order) / sp.Mul(*map(sp.factorial, powers))
            total += multiplicity * field_covariance(field, tuple(node.lag), tuple(2 * power for power in powers))
    return (node.spread / 2) ** order / sp.factorial(order) * total


def inserted_moments(statistic: MomentStatistic, leading: sp.Expr) -> Iterator[Step]:
    """Yield the step that inserts the spectral moments of the field, where they are known.

    Raises:
        NotReducible: one of them is infinite.
    """
    inserted = known_covariances(leading)
    if inserted.has(sp.oo, sp.nan, sp.zoo):
        moments = leading.atoms(SpectralMoment)
        infinite = ", ".join(sorted(str(moment) for moment in moments if moment.inserted() == sp.oo))
        raise NotReducible(
            statistic, f"{infinite} is infinite: the field is too rough for an expansion in spectral moments"
        )
    if inserted != leading:
        yield Step("Insert the covariance", "the spectral moments of the field", inserted)


_TAYLOR = (
    "C(hΔ) = Σ (−1)^(|α|/2) λ_α (hΔ)^α/α! over α of even |α|, λ_α the spectral moments; the first power of h is left"
)


def _leading(expression: sp.Expr, spacing: sp.Symbol) -> sp.Expr:
    """Return the first term in powers of the spacing, with spectral moments for derivatives at lag zero.

    The expression is linear in the covariance, as second moments are, so that each order can be had by itself.
    """
    for order in range(0, _HIGHEST + 1, 2):
        moments = {
            node: node if sum(node.orders) == order else sp.Integer(0) for node in expression.atoms(SpectralMoment)
        }
        expanded = expression.xreplace(moments).replace(
            lambda node: isinstance(node, FieldCovariance), lambda node, n=order: _taylor_term(node, n)
        )
        averaged = expanded.replace(
            lambda node: isinstance(node, FractionMean), lambda node: closed_mean(_expanded(node))
        )
        found = sp.factor(sp.expand(averaged))
        if found != 0:
            return found
    raise NotReducible(expression, f"its expansion in {spacing} has no term up to the power {_HIGHEST}")


def _expanded(node: FractionMean) -> FractionMean:
    mean: FractionMean = FractionMean(sp.expand(node.args[0]), *node.args[1:])
    return mean


def _taylor_term(node: FieldCovariance, order: int) -> sp.Expr:
    """Return the terms of the expansion of ∂^orders c(Δ) in which c is differentiated that many times."""
    missing = order - sum(node.orders)
    powers = (power for power in itertools.product(range(missing + 1), repeat=len(node.lag)) if sum(power) == missing)
    return sp.Add(
        *(
            field_covariance(node.field, [0] * len(power), tuple(map(sum, zip(power, node.orders, strict=True))))
            * sp.Mul(*(part**p / sp.factorial(p) for part, p in zip(node.lag, power, strict=True)))
            for power in powers
        )
    )


def _series(expression: sp.Expr, spacing: sp.Symbol) -> sp.Expr:
    """Return the terms of a series in the spacing up to the fifth power."""
    return sp.expand(sp.series(sp.expand(expression), spacing, 0, 6).removeO())


def _first(expression: sp.Expr, spacing: sp.Symbol) -> sp.Expr:
    """Return the term of the lowest power of the spacing."""
    by_power = sp.collect(sp.expand(expression), spacing, evaluate=False)
    terms: dict[sp.Expr, sp.Expr] = {power: sp.simplify(coefficient) for power, coefficient in by_power.items()}
    exponents = {power: power.as_base_exp()[1] if power != 1 else sp.Integer(0) for power in terms}
    known = [power for power in terms if terms[power] != 0]
    if not known:
        raise NotReducible(expression, f"its expansion in {spacing} has no term up to the fifth power")
    lowest = min(known, key=lambda power: exponents[power])
    return terms[lowest] * lowest
