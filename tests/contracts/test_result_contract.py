"""What every result has to satisfy; a new result is checked by these tests without an edit."""

import itertools
from dataclasses import asdict, replace

import numpy as np
import pytest
import sympy as sp
import torch

import warptheory as wt
from warptheory import kernels, montecarlo, results
from warptheory.symbolic import evaluate
from warptheory.symbolic._nodes import ExpectedValue, OffsetAverage
from warptheory.symbolic._variables import Fraction, SampledValue

RESULTS = results.match(["*"])
CLAIMS = [
    pytest.param(
        result, quantity, setting, id=f"{result.label}-{quantity.name}-{'-'.join(map(str, asdict(setting).values()))}"
    )
    for result in RESULTS
    for quantity in result.quantities
    for setting in result.settings()
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


# E over x of a polynomial of degree ≤ 5 in normal pixels, exactly: three-point Gauss–Hermite quadrature.
NODES = ((-np.sqrt(3), 1 / 6), (0.0, 2 / 3), (np.sqrt(3), 1 / 6))
MOST_INPUTS = 10**4

DERIVATIONS = [
    pytest.param(result, quantity, kernel, dim, offsets, id=f"{result.label}-{quantity.name}-{kernel}-{dim}-{offsets}")
    for result in RESULTS
    for quantity in result.quantities
    for kernel in kernels.names()
    for dim in (1, 2)
    if is_tractable(kernels.get(kernel), dim)
    for offsets in result.offsets or ("normal",)
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
    """The same machinery, the same family of claims; the planted formula is too large (d = 1) or too small."""
    claim = result.claim(quantity.name, **asdict(setting))
    truth = montecarlo.verify(claim, family=len(CLAIMS))
    assert truth.verdict == "verified", str(truth)
    assert truth.power >= montecarlo.POWER
    sign = 1 if setting.dim == 1 else -1
    wrong = claim.theory + sign * claim.absolute_effect
    planted = replace(claim, theory=wrong, smallest_effect=claim.absolute_effect / abs(wrong))
    found = montecarlo.verify(planted, family=len(CLAIMS))
    assert found.verdict == "refuted", str(found)


@pytest.mark.parametrize(("result", "quantity", "kernel", "dim", "offsets"), DERIVATIONS)
def test_every_step_equals_the_one_before(result, quantity, kernel, dim, offsets):
    """At random parameter values, and as long as the offsets are not averaged out, at a random position."""
    setting = result.setting(kernel=kernel, dim=dim, offsets=offsets)
    statistic = quantity.experiment(setting)
    steps = [step.expression for step in statistic.derive().steps]
    values = random_values(dim, seed=sum(map(ord, f"{result.label}{kernel}{dim}")))
    assert pointwise(steps[0], values, statistic) == pytest.approx(
        pointwise(steps[1], values, statistic), rel=1e-12, abs=1e-12
    )
    for before, after in itertools.pairwise(steps[1:]):
        averaged = after.has(OffsetAverage) != before.has(OffsetAverage) or is_line(after) != is_line(before)
        if averaged:
            # Gauss–Legendre against density or atoms on one side, the closed form on the other; a series is
            # summed to 1e-13 of its value, the quadrature is exact to rounding on 10⁵ points.
            assert evaluate(after, values) == pytest.approx(evaluate(before, values), rel=1e-9, abs=1e-10)
        elif not is_line(after):
            assert pointwise(after, values, statistic) == pytest.approx(
                pointwise(before, values, statistic), rel=1e-12, abs=1e-12
            )


@pytest.mark.parametrize(("result", "quantity", "kernel", "dim", "offsets"), DERIVATIONS)
def test_a_wrong_step_would_be_seen(result, quantity, kernel, dim, offsets):
    """The comparison above is sensitive: a last step off by 10⁻⁶ differs from the one before."""
    statistic = quantity.experiment(result.setting(kernel=kernel, dim=dim, offsets=offsets))
    last = statistic.derive().result
    values = random_values(dim, seed=1)
    exact = evaluate(last, values)
    if exact != 0:
        assert evaluate(last * (1 + sp.Rational(1, 10**6)), values) != pytest.approx(exact, rel=1e-9, abs=1e-10)


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
    x = (values["mu"] + values["sigma"] * x).reshape(-1, 1, *[width] * dim)
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
