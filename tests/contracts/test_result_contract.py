"""What every result has to satisfy; a new result is checked by these tests without an edit."""

import itertools
from dataclasses import asdict

import mpmath
import numpy as np
import pytest
import sympy as sp
import torch

import warptheory as wt
from warptheory import kernels, montecarlo, results
from warptheory.montecarlo import Judgement
from warptheory.symbolic import IIDField, LeadingTerm, MomentStatistic, WideOffsets, evaluate
from warptheory.symbolic.covariance_nodes import known_covariances
from warptheory.symbolic.moved_fields import SampledValue
from warptheory.symbolic.nodes import ExpectedValue, FractionMean, KernelValue, OffsetAverage
from warptheory.symbolic.offset_fields import Fraction
from warptheory.symbolic.values import RandomAtom

RESULTS = results.match(["*"])


def simulated(result, quantity, setting):
    """One claim; of each result the first quantity on its fewest axes, the others only in the long run.

    `warptheory verify` simulates the truth of all of them.
    """
    first = min(other.dim for other in result.settings(quantity.name))
    is_first = quantity is next(q for q in result.quantities if not q.checked_by) and setting.dim == first
    marks = [] if is_first else [pytest.mark.slow]
    name = f"{result.label}-{quantity.name}-{setting.kernel}-{setting.dim}"
    return pytest.param(result, quantity, setting, id=name, marks=marks)


# Simulated here: the default kernel with the first law of offsets and of input. Other settings are simulated by
# `warptheory verify`, and by the reproduction.
CLAIMS = [
    simulated(result, quantity, setting)
    for result in RESULTS
    for quantity in result.quantities
    for setting in result.settings(quantity.name)
    if setting.kernel == (quantity.kernels or result.kernels)[0]
    and setting.offsets == (result.offsets or (setting.offsets,))[0]
    and setting.inputs == result.inputs[0]
]


def is_tractable(kernel, dim):
    """Whether the algebra reduces every result for a kernel, and all inputs that a position reads can be enumerated."""
    if not kernel.is_compact or kernel.prefilter is not None:
        return False
    reduces = all(cell.expression.is_polynomial(kernels.FRACTION) for cell in kernel.tap_sum((0, 0)).cells)
    return reduces and len(NODES) ** pixels_read(kernel) ** dim <= MOST_INPUTS


def pixels_read(kernel):
    """Number of pixels along an axis that positions in (0, 1) read."""
    return max(kernel.taps) - min(kernel.taps) + 1


def reads_one_position(statistic):
    """Whether all random values are read at one position that is not displaced, from fields of independent pixels.

    Of two values at most: the sum over the taps of four is checked by the enumerations in `tests/symbolic`.
    """
    if not isinstance(statistic, MomentStatistic) or len(statistic.operands) > 2:
        return False
    atoms = {atom for operand in statistic.operands for atom in operand.atoms(RandomAtom)}
    if not all(isinstance(atom, SampledValue) and isinstance(atom.field, IIDField) for atom in atoms):
        return False
    plain = all(not any(atom.site.offsets.displacement) and atom.knot == "right" for atom in atoms)
    return plain and len({atom.site for atom in atoms}) == 1 and len({atom.field for atom in atoms}) == 1


# E over x of a polynomial of degree ≤ 5 in normal pixels, exactly: three-point Gauss–Hermite quadrature.
NODES = ((-np.sqrt(3), 1 / 6), (0.0, 2 / 3), (np.sqrt(3), 1 / 6))
MOST_INPUTS = 10**4

# Half-width of uniform offsets, in pixels, from which on a limit is approached as 1/aᵈ.
WIDE_ENOUGH = 16.0

DERIVATIONS = [
    pytest.param(
        result, quantity, setting, id=f"{result.label}-{quantity.name}-{'-'.join(map(str, asdict(setting).values()))}"
    )
    for result in RESULTS
    for quantity in result.quantities
    for kernel in quantity.kernels or kernels.names()
    for dim in quantity.dims or (1, 2)
    if is_tractable(kernels.get(kernel), dim)
    for offsets in result.offsets or ("normal",)
    for setting in [result.setting(kernel=kernel, dim=dim, offsets=offsets)]
    if reads_one_position(quantity.states(setting))
]

CHAINS = [
    pytest.param(
        result, quantity, setting, id=f"{result.label}-{quantity.name}-{'-'.join(map(str, asdict(setting).values()))}"
    )
    for result in RESULTS
    for quantity in result.quantities
    for setting in result.settings(quantity.name)
    if setting.inputs == result.inputs[0]
]


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: result.label)
def test_is_documented(result):
    assert result.title
    assert result.statement.endswith(".")
    assert result.assumptions
    assert result.label in result.source
    assert results.get(result.label) is result
    assert result.latex() == sp.latex(result.expression)


@pytest.mark.parametrize(("result", "quantity", "setting"), CLAIMS)
def test_simulation_verifies_it_and_refutes_a_planted_error(result, quantity, setting):
    """The same machinery, the same family of claims, two estimates; planted formulas are too large and too small."""
    claim = result.claim(quantity.name, **asdict(setting))
    judgement = Judgement(claim, seed=0, z=montecarlo.allowed_deviation(len(CLAIMS)), twice=True)
    montecarlo.run_here(judgement)
    truth = judgement.verdict
    assert truth.verdict == "verified", str(truth)
    assert truth.power >= montecarlo.POWER
    for sign in (1, -1):
        assert judgement.refuses(claim.theory + sign * claim.absolute_effect), str(truth)


@pytest.mark.parametrize(("result", "quantity", "setting"), DERIVATIONS)
def test_every_step_equals_the_one_before_at_a_position(result, quantity, setting):
    """At random parameter values, and as long as the offsets are not averaged out, at a random position."""
    statistic = quantity.states(setting)
    steps = [step.expression for step in statistic.derive().steps]
    values = random_values(setting.dim, seed=sum(map(ord, f"{result.label}{setting.kernel}{setting.dim}")))
    assert pointwise(steps[0], values, statistic) == pytest.approx(
        pointwise(steps[1], values, statistic), rel=1e-12, abs=1e-12
    )
    for before, after in itertools.pairwise(steps[1:]):
        averaged = after.has(OffsetAverage) != before.has(OffsetAverage) or is_line(after) != is_line(before)
        if not averaged and not is_line(after):
            assert pointwise(after, values, statistic) == pytest.approx(
                pointwise(before, values, statistic), rel=1e-12, abs=1e-12
            )


@pytest.mark.parametrize(("result", "quantity", "setting"), CHAINS)
def test_every_step_that_has_a_number_equals_the_next(result, quantity, setting):
    """Averages by Gauss–Legendre quadrature on one side, closed forms on the other, at random parameter values.

    A series is summed to 1e-13 of its value and the quadrature is exact to rounding on 10⁵ points; what is computed
    by recursions claims 1e-9, by the transform of a lattice of weights (B5) 2e-8 in absolute terms.
    """
    statistic = quantity.states(setting)
    derivation = statistic.derive()
    values = random_values(setting.dim, seed=sum(map(ord, f"{result.label}{quantity.name}{setting}")))
    values |= {**result.values, **quantity.standard(setting)}
    simulated = values.get("a")
    if isinstance(statistic, WideOffsets):
        values["a"] = WIDE_ENOUGH
    numbers = [number_of(step, values, setting.dim) for step in derivation.steps]
    if isinstance(statistic, WideOffsets):
        # The limit is not the finite value. They approach each other as 1/aᵈ (tests/symbolic/test_cumulants.py), so
        # that where it is simulated they are within 15 % of the smallest effect.
        *numbers, before, limit = numbers
        numbers.append(before)
        gap = abs(before - limit) * (WIDE_ENOUGH / simulated) ** setting.dim
        assert gap <= 0.15 * quantity.smallest_effect * statistic.size(limit)
    if isinstance(statistic, LeadingTerm):
        # The leading term is not the value before it either, but where it is simulated close to it.
        place = next(n for n, step in enumerate(derivation.steps) if step.name.startswith("Expand in the sp"))
        before, leading = precise(derivation.steps[place - 1].expression, values, numbers[place - 1]), numbers[place]
        assert abs(before - leading) <= 0.2 * quantity.smallest_effect * statistic.size(leading)
        numbers = numbers[place:]
    known = [number for number in numbers if number is not None]
    assert known, "no step has a number"
    for before, after in itertools.pairwise(known):
        assert after == pytest.approx(before, rel=2e-7, abs=1e-10)


@pytest.mark.parametrize(("result", "quantity", "setting"), DERIVATIONS)
def test_a_wrong_step_would_be_seen(result, quantity, setting):
    """The comparison above is sensitive: a last step off by 10⁻⁶ differs from the one before."""
    last = quantity.states(setting).derive().result
    values = random_values(setting.dim, seed=1)
    exact = evaluate(last, values)
    if exact != 0:
        assert evaluate(last * (1 + sp.Rational(1, 10**6)), values) != pytest.approx(exact, rel=1e-8, abs=1e-10)


def number_of(step, values, dim):
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


def precise(expression, values, number):
    """A mean over the fraction on a line in 40 digits, for terms of order one that cancel to 10⁻¹⁵; else its number."""
    means = expression.atoms(FractionMean)
    if not means or any(len(mean.args) > 2 for mean in means):
        return number
    ((fraction,),) = {mean.args[1:] for mean in means}
    plain = known_covariances(expression).replace(FractionMean, lambda integrand, _: integrand)
    given = {symbol: sp.Float(values[symbol.name], 40) for symbol in plain.free_symbols - {fraction}}
    with mpmath.workdps(40):
        return float(mpmath.quad(sp.lambdify(fraction, plain.subs(given), "mpmath"), [0, 0.5, 1]))


def random_values(dim, seed):
    generator = np.random.default_rng(seed)
    names = [
        "mu",
        "sigma",
        "s",
        "a",
        "b",
        "c",
        "r",
        "Delta",
        "step",
        "omega",
        "sigma_g",
        "C",
        "h",
        "nu",
        "delta",
        "t_1",
        "t_2",
        "t_3",
        "f",
        "epsilon",
        *(f"{n}_{i}" for n in ("f", "epsilon") for i in (1, 2, 3)),
    ]
    values = dict(zip(names, generator.uniform(0.1, 0.9, len(names)), strict=True))
    # The sigma is kept near one so that absolute tolerances are relative to the size of the terms.
    return {**values, "sigma": generator.uniform(0.8, 1.4), "kappa_3": 0.0, "kappa_4": 0.0}


def is_line(expression):
    """Whether averages are over one axis each, so that no common position can be inserted any more."""
    nodes = expression.atoms(OffsetAverage)
    return any(not node.args[0].has(sp.Sum) and node.offsets.dim == 1 and not node.args[0].is_Add for node in nodes)


def pointwise(expression, values, statistic):
    """Evaluate with the offsets fixed instead of averaged: each average becomes its integrand."""
    stripped = expression.replace(lambda node: isinstance(node, OffsetAverage), lambda node: node.args[0])
    exact = stripped.replace(
        lambda node: isinstance(node, ExpectedValue),
        lambda node: sp.Float(enumerate_inputs(node.args[0], values, statistic), 30),
    )
    return evaluate(exact, values)


def enumerate_inputs(monomial, values, statistic):
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
