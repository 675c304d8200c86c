"""What every result has to satisfy; a new result is checked by these tests without an edit.

Each check is a function of the entry, so that a wrong entry can be handed to it and has to be refused.
"""

import functools
import io
import itertools
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from typing import Any, ClassVar
from xml.etree import ElementTree

import mpmath
import numpy as np
import pytest
import sympy as sp
import torch

import warptheory as wt
from tests.cards import check_line, check_shows_itself, text_of
from tests.simulated import check_simulation, covering, shared_out
from warptheory import kernels, montecarlo, results
from warptheory.cli import main
from warptheory.results import Quantity, Range, Result, Setting
from warptheory.symbolic import (
    Derivation,
    IIDField,
    LeadingTerm,
    MomentStatistic,
    OffsetField,
    Statistic,
    Step,
    Variance,
    WideOffsets,
    evaluate,
    latex,
    mathml,
    warp,
)
from warptheory.symbolic.covariance_nodes import known_covariances
from warptheory.symbolic.derivation_text import formula_text
from warptheory.symbolic.moved_fields import SampledValue
from warptheory.symbolic.nodes import ExpectedValue, FractionMean, KernelValue, OffsetAverage
from warptheory.symbolic.offset_fields import Fraction
from warptheory.symbolic.values import RandomAtom

RESULTS = results.match(["*"])
QUANTITIES = [
    pytest.param(result, quantity, id=f"{result.label}-{quantity.name}")
    for result in RESULTS
    for quantity in result.quantities
]

# E over x of a polynomial of degree ≤ 5 in normal pixels, exactly: three-point Gauss–Hermite quadrature.
NODES = ((-np.sqrt(3), 1 / 6), (0.0, 2 / 3), (np.sqrt(3), 1 / 6))
MOST_INPUTS = 10**4

# Half-width of uniform offsets, in pixels, from which on a limit is approached as 1/aᵈ.
WIDE_ENOUGH = 16.0


# --- how it shows itself ----------------------------------------------------------------------------------------------

# Cards hold the closed form, which some results take seconds to derive.
SHOWN = RESULTS[::9]


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: result.label)
def test_its_line_is_short(result):
    check_line(result)
    assert repr(result).startswith(f"Result({result.label!r}, ")
    for quantity in result.quantities:
        check_line(quantity)


@pytest.mark.parametrize("result", SHOWN, ids=lambda result: result.label)
def test_its_card_states_it(result):
    card = check_shows_itself(result)
    shown = text_of(card)
    assert result.statement in shown
    assert all(quantity.name in shown for quantity in result.quantities)
    assert [each for each in card.iter() if each.tag.endswith("math")]
    assert result._repr_latex_() == rf"$\displaystyle {result.derive().left} = {result.latex()}$"
    derivation = check_shows_itself(result.derive())
    assert len(list(derivation.iter("li"))) == len(result.derive().steps)


# --- the statement -------------------------------------------------------------------------------------------------


def check_statement(result: Result) -> None:
    assert result.title
    assert len(re.findall(r"[.!?](?=\s|$)", result.meaning)) == 2
    assert result.statement.endswith(".")
    assert result.assumptions
    assert all(assumption.endswith((".", ".)")) for assumption in result.assumptions)
    assert result.label in result.source
    assert result.quantities
    for quantity in result.quantities:
        for other in quantity.checked_by:
            assert not result.get(other).checked_by


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: result.label)
def test_is_stated(result):
    check_statement(result)
    assert results.get(result.label) is result
    assert result.latex() == latex(result.expression)


@pytest.mark.parametrize(
    "change",
    [
        {"title": ""},
        {"meaning": "Offsets that move apart lose variance."},
        {"statement": "Var y = σ²"},
        {"assumptions": ()},
        {"source": "theory label B1"},
        {"quantities": ()},
        {"quantities": (Quantity("mean", lambda setting: None, checked_by=("none such",)),)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_result_that_is_not_stated_is_refused(change):
    with pytest.raises((AssertionError, wt.core.errors.UnknownNameError)):
        check_statement(replace(results.get("A4"), **change))


@pytest.fixture(scope="module")
def listed():
    """What `warptheory list` says of results, by their labels; it reads their files and imports nothing."""
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as printed:
        patch.setattr(sys, "argv", ["warptheory", "list", "--json"])
        with pytest.raises(SystemExit):
            main()
    return json.loads(printed.getvalue())


def check_listed(result: Result, listed: Mapping[str, Any]) -> None:
    (found,) = [each for each in listed["results"] if each["label"] == result.label]
    assert found["title"] == result.title
    assert found["quantities"] == [{"name": each.name, "label": each.label} for each in result.quantities]
    names = {symbol["name"] for symbol in listed["symbols"]}
    for quantity in result.quantities:
        for name in result.standard(quantity, result.setting_of(quantity.name)):
            # Those along several axes are numbered: omega_1, omega_2.
            assert name in names or name.rpartition("_")[0] in names, name


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: result.label)
def test_is_listed_as_it_is(result, listed):
    check_listed(result, listed)


def test_a_result_that_is_listed_otherwise_is_refused(listed):
    with pytest.raises(AssertionError):
        check_listed(replace(results.get("A4"), title="Another"), listed)
    with pytest.raises(AssertionError):
        check_listed(replace(results.get("A4"), quantities=results.get("A7").quantities), listed)


# --- the simulation ------------------------------------------------------------------------------------------------

CLAIMED = [parameter for parameter in QUANTITIES if not parameter.values[1].checked_by]


def first_claims(result: Result, quantity: Quantity) -> Iterator[Setting]:
    """Yield the settings with the default kernel and the first laws: `warptheory verify` simulates all of them."""
    for setting in result.settings(quantity.name):
        if (
            setting.kernel == (quantity.kernels or result.kernels)[0]
            and setting.offsets == (result.offsets or (setting.offsets,))[0]
            and setting.inputs == result.inputs[0]
        ):
            yield setting


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: result.label)
def test_simulation_verifies_it_and_refutes_a_planted_error(result):
    """Of each result the first quantity on its fewest axes; the reproduction and `make test-slow` have the others."""
    quantity = next(quantity for quantity in result.quantities if not quantity.checked_by)
    setting = min(first_claims(result, quantity), key=lambda setting: setting.dim)
    check_simulation(result, quantity, setting, family=len(QUANTITIES))


@pytest.mark.slow
@pytest.mark.parametrize(("result", "quantity"), CLAIMED)
def test_simulation_verifies_every_quantity(result, quantity):
    for setting in first_claims(result, quantity):
        check_simulation(result, quantity, setting, family=len(QUANTITIES))


class OffByTwoPercent(montecarlo.Simulation):
    """Rows that are too large."""

    def sample(self, generator, rows, values, device="cpu"):
        return 1.02 * super().sample(generator, rows, values, device)


def test_an_experiment_that_draws_something_else_is_refused():
    wrong = Quantity("variance", lambda setting: OffByTwoPercent(results.get("A3").get().states(setting)))
    with pytest.raises(AssertionError, match="refuted"):
        check_simulation(replace(results.get("A3"), quantities=(wrong,)), wrong, Setting(), family=1)


# --- the derivation ------------------------------------------------------------------------------------------------


def check_derivation(result: Result, quantity: Quantity, setting: Setting) -> int:
    """Every step that has a number equals the next one; return how many pairs were compared.

    Averages are found by Gauss–Legendre quadrature on one side and by closed forms on the other. A series is summed to
    1e-13 of its value, and the quadrature is exact to rounding on 10⁵ points; what is computed by recursions claims
    1e-9, by the transform of a lattice of weights (B5) 2e-8 in absolute terms.
    """
    statistic, steps = quantity.states(setting), quantity.derive(setting).steps
    values = numbers_for(result, quantity, setting, steps)
    compared = compare_numbers(statistic, quantity, steps, setting.dim, values)
    if reads_one_position(statistic) and is_tractable(kernels.get(setting.kernel), setting.dim):
        compared += compare_at_a_position(statistic, [step.expression for step in steps], values)
    return compared


def check_derivations(result: Result, quantity: Quantity, settings: Iterable[Setting]) -> None:
    """Steps are compared in every setting; where nothing could be, the experiment is held against the closed form."""
    compared = {setting: check_derivation(result, quantity, setting) for setting in settings}
    if not any(compared.values()):
        assert not quantity.checked_by, f"no step of {result.label} {quantity.name} is compared with anything"
        check_simulation(result, quantity, next(iter(compared)), family=len(QUANTITIES))


def compare_numbers(
    statistic: Statistic, quantity: Quantity, steps: Sequence[Step], dim: int, values: Mapping[str, float]
) -> int:
    """Compare steps without random values that are left; return how many pairs were compared."""
    simulated, at = values["a"], dict(values)
    if isinstance(statistic, WideOffsets):
        at["a"] = WIDE_ENOUGH
    numbers = [number_of(step, at, dim) for step in steps]
    compared = 0
    if isinstance(statistic, WideOffsets):
        # The limit is not the finite value. They approach each other as 1/aᵈ (tests/symbolic/test_cumulants.py), so
        # that where it is simulated they are within 15 % of the smallest effect.
        *numbers, before, limit = numbers
        numbers.append(before)
        gap = abs(before - limit) * (WIDE_ENOUGH / simulated) ** dim
        assert gap <= 0.15 * quantity.smallest_effect * statistic.size(limit)
        compared += 1
    # Of a leading term that is drawn in a way of its own, what is drawn.
    if isinstance(statistic, LeadingTerm) or isinstance(getattr(statistic, "statistic", None), LeadingTerm):
        # The leading term is not the value before it either, but where it is simulated close to it.
        place = next(n for n, step in enumerate(steps) if step.name.startswith("Expand in the sp"))
        before, leading = precise(steps[place - 1].expression, at, numbers[place - 1]), numbers[place]
        assert abs(before - leading) <= 0.2 * quantity.smallest_effect * statistic.size(leading)
        numbers = numbers[place:]
        compared += 1
    known = [number for number in numbers if number is not None]
    for before, after in itertools.pairwise(known):
        assert after == pytest.approx(before, rel=2e-7, abs=1e-10)
    return compared + max(0, len(known) - 1)


def compare_at_a_position(statistic: Statistic, steps: Sequence[sp.Expr], values: Mapping[str, float]) -> int:
    """Compare steps at a random position, as long as the offsets are not averaged out; return how many pairs were."""
    compared = 0
    for before, after in itertools.pairwise(steps):
        averaged = after.has(OffsetAverage) != before.has(OffsetAverage) or is_line(after) != is_line(before)
        if compared and (averaged or is_line(after)):
            continue
        found, expected = (pointwise(step, values, statistic) for step in (after, before))
        assert found == pytest.approx(expected, rel=1e-12, abs=1e-12)
        compared += 1
    return compared


@pytest.mark.parametrize(("result", "quantity"), QUANTITIES)
def test_every_step_equals_the_next(result, quantity):
    """In settings of which those of a result have every kernel, number of axes and law; the slow test has all of them.

    And the symbols of what is derived have ranges, and its formulas are formulas.
    """
    settings = quick_settings(result.label)[quantity.name]
    check_derivations(result, quantity, settings)
    check_formulas(result, quantity.derive(settings[0]))
    if not quantity.checked_by:
        check_ranges(result, quantity, settings[0])


@pytest.mark.slow
@pytest.mark.parametrize(("result", "quantity"), QUANTITIES)
def test_every_step_equals_the_next_in_every_setting(result, quantity):
    check_derivations(result, quantity, derived_settings(result, quantity))


@functools.cache
def quick_settings(label: str) -> dict[str, list[Setting]]:
    """Return for each quantity of a result the settings of a quick run."""
    result = results.get(label)
    return shared_out({quantity.name: derived_settings(result, quantity) for quantity in result.quantities})


def test_settings_cover_what_there_is():
    names, laws = ("linear", "keys", "nearest"), ("normal", "uniform")
    every = [Setting(kernel, dim, law) for kernel in names for dim in (1, 2) for law in laws]
    found = [(setting.kernel, setting.dim, setting.offsets) for setting in covering(every)]
    assert found == [("linear", 1, "normal"), ("keys", 2, "uniform"), ("nearest", 1, "normal")]
    shared = shared_out({"a": every, "b": every[1:2]})
    assert shared == {"a": [Setting(), Setting("keys", 2), Setting("nearest")], "b": [Setting(offsets="uniform")]}


def derived_settings(result: Result, quantity: Quantity) -> list[Setting]:
    """Return the settings that are checked, and of what reads one position all kernels that can be enumerated."""
    found = dict.fromkeys(
        setting for setting in result.settings(quantity.name) if setting.inputs == result.inputs[0]
    ) or {result.setting_of(quantity.name): None}
    for kernel in quantity.kernels or kernels.names():
        setting = result.setting_of(quantity.name, kernel=kernel)
        if is_tractable(kernels.get(kernel), setting.dim) and reads_one_position(quantity.states(setting)):
            found[setting] = None
    return list(found)


class Misderived(Variance):
    """A variance, one step of whose derivation is wrong by a millionth."""

    wrong: ClassVar[int]

    def derive(self) -> Derivation:
        steps = list(super().derive().steps)
        steps[self.wrong] = replace(
            steps[self.wrong], expression=(1 + sp.Rational(1, 10**6)) * steps[self.wrong].expression
        )
        return Derivation(str(self), tuple(steps))


@pytest.mark.parametrize("kernel", ["linear", "keys"])
@pytest.mark.parametrize("wrong", [0, 1, 2, 3, -1])
def test_a_wrong_step_is_refused(wrong, kernel):
    def states(setting):
        y = warp(IIDField("x"), OffsetField("normal", setting.dim), setting.kernel)
        variance = Misderived(y[results.PIXEL])
        object.__setattr__(variance, "wrong", wrong)
        return variance

    quantity = Quantity("variance", states)
    with pytest.raises(AssertionError):
        check_derivation(replace(results.get("A4"), quantities=(quantity,)), quantity, Setting(kernel))


# What SymPy, Python or a record would write where a formula should stand.
IN_TEXT = re.compile(r"\*\*|\b(?:sqrt|oo|ell|rho|sigma|epsilon|None|EulerGamma|besselk|factorial)\b")
NOT_A_FORMULA = re.compile(r"\*\*|\w\*\w|\w_\(|[Pp]iecewise|\b(?:sqrt|oo|ell|rho|sigma|epsilon|None)\b|[\\∧]|\{dim")


def check_formulas(result: Result, derivation: Derivation) -> None:
    """Both sides and every step are MathML without a name of code in it, and all symbols of the form are explained."""
    for written in (derivation.left, *(step.latex() for step in derivation.steps)):
        pieces = list(ElementTree.fromstring(mathml(written)).itertext())
        for shown in ("".join(pieces), " ".join(pieces)):  # letters of a word are pieces, and so is an index
            assert not NOT_A_FORMULA.search(shown), shown
    for step in derivation.steps:
        form = formula_text(step.expression)
        for text in (form.linear, *form.lines):
            assert not IN_TEXT.search(text), text
    for symbol in derivation.result.free_symbols:
        assert results.meaning_of(symbol.name, result.label) is not None, f"{result.label}: {symbol}"


@pytest.mark.parametrize("left", ["E[y[n]**2]", "y*x", "1/sqrt(s)", r"P_{\text{oo}}(t)", r"z\wedge N"])
def test_code_in_place_of_a_formula_is_refused(left):
    with pytest.raises(AssertionError):
        check_formulas(results.get("A3"), Derivation("", results.get("A3").derive().steps, left))


def test_a_symbol_that_nobody_explains_is_refused():
    steps = (Step("", "", sp.Symbol("unheard")),)
    with pytest.raises(AssertionError, match="unheard"):
        check_formulas(results.get("A3"), Derivation("Var y", steps))


def check_ranges(result: Result, quantity: Quantity, setting: Setting) -> None:
    """Every symbol of a claim has a range, a tenth of the value wide at least, or is a limit.

    Cumulants have none: they follow from a law.
    """
    standard, drawn = result.standard(quantity, setting), quantity.experiment(setting).symbols
    for name in {symbol.name for symbol in quantity.derive(setting).result.free_symbols}.union(drawn):
        if not name.startswith("kappa_"):
            value = standard[name]
            assert isinstance(value, Range), f"{result.label} {quantity.name}: {name}"
            assert value.low == value.high == value or value.high - value.low >= 0.1 * abs(value)


@pytest.mark.parametrize("value", [0.3, Range(0.3, 0.29, 0.31)])
def test_a_symbol_without_a_wide_range_is_refused(value):
    result = replace(results.get("A4"), values={"s": value})
    with pytest.raises(AssertionError):
        check_ranges(result, result.get(), Setting())


class OneStep(Variance):
    """A variance that is asserted, not derived."""

    def derive(self) -> Derivation:
        return Derivation(str(self), super().derive().steps[-1:])


def test_what_is_asserted_without_a_derivation_is_refused():
    def states(setting):
        return OneStep(warp(IIDField("x"), OffsetField("normal", setting.dim), setting.kernel)[results.PIXEL])

    quantity = Quantity("variance", states, checked_by=("variance",))
    with pytest.raises(AssertionError, match="is compared with anything"):
        check_derivations(replace(results.get("A4"), quantities=(quantity,)), quantity, [Setting()])


# --- numbers for steps ---------------------------------------------------------------------------------------------


def numbers_for(result: Result, quantity: Quantity, setting: Setting, steps: Sequence[Step]) -> dict[str, float]:
    """Return a number for every symbol of the steps: those that the result names for itself, random ones for others."""
    generator = np.random.default_rng(sum(map(ord, f"{result.label}{quantity.name}{setting}")))
    symbols = sorted({str(symbol) for step in steps for symbol in free_symbols(step.expression)})
    drawn = dict(zip(symbols, generator.uniform(0.1, 0.9, len(symbols)), strict=True))
    # The deviation is kept near one so that absolute tolerances are relative to the size of the terms; normal pixels
    # are enumerated.
    common = {"mu": 0.6, "sigma": generator.uniform(0.8, 1.4), "a": 0.35, "kappa_3": 0.0, "kappa_4": 0.0}
    return {**common, **drawn, **common, **result.values, **quantity.standard(setting)}


def free_symbols(expression: sp.Expr) -> set[sp.Symbol]:
    """Return the symbols of an expression, of its random values, and of the integrands of its averages."""
    averages = expression.atoms(OffsetAverage)
    atoms = {symbol for atom in expression.atoms(SampledValue) for symbol in atom.site.offsets.symbols}
    return expression.free_symbols.union(atoms, *(node.args[0].free_symbols for node in averages))


def is_tractable(kernel: kernels.Kernel, dim: int) -> bool:
    """Whether the algebra reduces every result for a kernel, and all inputs that a position reads can be enumerated."""
    if not kernel.is_compact or kernel.prefilter is not None:
        return False
    reduces = all(cell.expression.is_polynomial(kernels.FRACTION) for cell in kernel.tap_sum((0, 0)).cells)
    return reduces and len(NODES) ** pixels_read(kernel) ** dim <= MOST_INPUTS


def pixels_read(kernel: kernels.Kernel) -> int:
    """Number of pixels along an axis that positions in (0, 1) read."""
    return max(kernel.taps) - min(kernel.taps) + 1


def reads_one_position(statistic: Statistic) -> bool:
    """Whether all random values are read at one position that is not displaced, from fields of independent pixels.

    Of two values at most: the sum over the taps of four is checked by the enumerations in `tests/symbolic`.
    """
    if not isinstance(statistic, MomentStatistic) or len(statistic.operands) > 2:
        return False
    atoms = {atom for operand in statistic.operands for atom in operand.atoms(RandomAtom)}
    if not all(isinstance(atom, SampledValue) and isinstance(atom.field, IIDField) for atom in atoms):
        return False
    offsets = [atom.site.offsets for atom in atoms]
    if any(each.head is not None for each in offsets):  # which given, say something of the input
        return False
    plain = not any(any(each.displacement) for each in offsets) and all(atom.knot == "right" for atom in atoms)
    return plain and len({atom.site for atom in atoms}) == 1 and len({atom.field for atom in atoms}) == 1


def number_of(step: Step, values: Mapping[str, float], dim: int) -> float | None:
    """The value of a step, None where it is still random or would take a sum over too many pixels and positions."""
    expression = step.expression
    if expression.atoms(RandomAtom) or expression.atoms(ExpectedValue):
        return None
    several = {len(total.limits) for total in expression.atoms(sp.Sum) if total.has(KernelValue)}
    by_taps = expression.has(sp.Sum) and step.name in ("Expand over taps", "Use independence")
    if max(several, default=0) > 1 or (dim > 1 and by_taps):
        return None
    if dim > 1 and any(node.offsets.dim > 1 for node in expression.atoms(OffsetAverage)):
        return None
    try:
        return evaluate(expression, values)
    except NotImplementedError:
        return None


def precise(expression: sp.Expr, values: Mapping[str, float], number: float | None) -> float:
    """A mean over the fraction on a line in 40 digits, for terms of order one that cancel to 10⁻¹⁵; else its number."""
    means = expression.atoms(FractionMean)
    if not means or any(len(mean.args) > 2 for mean in means):
        assert number is not None
        return number
    ((fraction,),) = {mean.args[1:] for mean in means}
    plain = known_covariances(expression).replace(FractionMean, lambda integrand, _: integrand)
    given = {symbol: sp.Float(values[symbol.name], 40) for symbol in plain.free_symbols - {fraction}}
    with mpmath.workdps(40):
        return float(mpmath.quad(sp.lambdify(fraction, plain.subs(given), "mpmath"), [0, 0.5, 1]))


def is_line(expression: sp.Expr) -> bool:
    """Whether averages are over one axis each, so that no common position can be inserted any more."""
    nodes = expression.atoms(OffsetAverage)
    return any(not node.args[0].has(sp.Sum) and node.offsets.dim == 1 and not node.args[0].is_Add for node in nodes)


def pointwise(expression: sp.Expr, values: Mapping[str, float], statistic: MomentStatistic) -> float:
    """Evaluate with the offsets fixed instead of averaged: each average becomes its integrand."""
    stripped = expression.replace(lambda node: isinstance(node, OffsetAverage), lambda node: node.args[0])
    exact = stripped.replace(
        lambda node: isinstance(node, ExpectedValue),
        lambda node: sp.Float(enumerate_inputs(node.args[0], values, statistic), 30),
    )
    return evaluate(exact, values)


def enumerate_inputs(monomial: sp.Expr, values: Mapping[str, float], statistic: MomentStatistic) -> float:
    """E[monomial] at the given position by the real operator on every combination of quadrature nodes.

    Independent of the algebra: no cumulants and no tap sums enter.
    """
    site = next(iter(monomial.atoms(SampledValue))).site
    dim = site.offsets.dim
    given = statistic.condition
    symbols = given.symbols if isinstance(given, Fraction) else site.offsets.symbols
    position = torch.tensor([values[symbol.name] for symbol in symbols], dtype=torch.float64)
    width = pixels_read(site.kernel)
    combinations = list(itertools.product(NODES, repeat=width**dim))
    x = torch.tensor([[node for node, _ in combination] for combination in combinations], dtype=torch.float64)
    field = next(iter(monomial.atoms(SampledValue))).field
    x = (evaluate(field.mean, values) + evaluate(field.deviation, values) * x).reshape(-1, 1, *[width] * dim)
    weight = torch.tensor([np.prod([w for _, w in combination]) for combination in combinations], dtype=torch.float64)
    # One output pixel, moved to where its first tap is the first pixel of x.
    offsets = (position - min(site.kernel.taps)).reshape(1, dim, *[1] * dim).expand(len(x), dim, *[1] * dim)
    product = torch.ones(len(x), dtype=torch.float64)
    for atom, power in monomial.as_powers_dict().items():
        if sum(atom.orders):
            sampled = wt.warp_gradient(x, offsets, site.kernel)[:, 0, atom.orders.index(1)]
        else:
            sampled = wt.warp(x, offsets, site.kernel)[:, 0]
        product = product * sampled.flatten() ** int(power)
    return float((weight * product).sum())
