"""Conditioning on the offsets: exact means against enumeration and matrices, agreement with plain simulation."""

import math

import numpy as np
import pytest
import sympy as sp
import torch
from scipy import stats

from tests.given import needed
from tests.symbolic.enumeration import expectation, joint_cumulant
from warptheory import warping
from warptheory.core.errors import UnknownNameError
from warptheory.fields import SquaredExponential
from warptheory.montecarlo import (
    DESIGNS,
    ConditionalSimulation,
    ControlledSimulation,
    Moments,
    Simulation,
    estimate,
    reduced,
    simulation_of,
)
from warptheory.symbolic import (
    Covariance,
    ExcessKurtosis,
    Expectation,
    GaussianField,
    IIDField,
    JointCumulant,
    OffsetField,
    Variance,
    compose,
    evaluate,
    splat,
    warp,
)

VALUES = {"mu": 0.7, "sigma": 1.3, "Delta": 0.35}
X, G = IIDField("x", law="two_point"), IIDField("g", law="two_point")
SIGNS = IIDField("r", law="rademacher", mean="-1/5", deviation="4/5")


def still(location, name="epsilon", dim=1):
    """Return offsets that are one number everywhere."""
    return OffsetField("constant", dim, location=location, name=name)


def run(statistic, rows, seed=0, values=VALUES, simulation=None):
    simulation = simulation or ConditionalSimulation(statistic)
    return read(simulation, Moments.of(simulation.sample(np.random.default_rng(seed), rows, values)), values)


def read(simulation, moments, values):
    value, gradient = simulation.combine(moments.mean, values)
    return value, moments.standard_error(gradient)


A, B = still("3/10", "a"), still("-7/5", "b")
Y, Z = warp(X, A), splat(G, A)
DETERMINED = {
    "mean": Y[0],
    "mean with a number": 3 - 2 * Y[0] + X[0],
    "square": Y[0] ** 2,
    "fourth power": Y[0] ** 4,
    "four pixels": Y[0] * Y[1] * Y[2] * Y[-1],
    "neighbours, squared": Y[0] ** 2 * Y[1] ** 2,
    "keys": warp(SIGNS, A, "keys")[0] ** 3 * warp(SIGNS, A, "keys")[1],
    "two warps of one field": Y[0] * warp(X, B, "nearest")[1] * X[-1] * Y[0],
    "two fields": Y[0] ** 2 * warp(SIGNS, B)[0] ** 2,
    "two fields, all apart": Y[0] * SIGNS[1] * X[0] * SIGNS[1],
    "slopes": Y.diff(0)[0] ** 2 * Y[0] * Y.diff(0)[1],
    "left slope at a knot": warp(X, still(1)).diff(0, "left")[0] ** 2 * X[1],
    "central slope at a knot": warp(X, still(1)).diff(0, "central")[0] ** 3,
    "splat": Z[0] ** 3 * Z[1],
    "splat, keys": splat(SIGNS, B, "keys")[0] ** 2 * SIGNS[-1],
    "two layers": warp(Y, B)[0] ** 3 * warp(Y, B)[1],
    "warped splat": warp(Z, B)[0] ** 2 * G[1] * Z[0],
    "displaced": warp(X, A + sp.Symbol("Delta", real=True))[0] ** 2 * Y[1],
    "plane": warp(X, still("3/10", "c", 2))[0, 0] ** 2 * warp(X, still("3/10", "c", 2))[0, 1],
    "four fields of offsets": sp.Mul(
        *(warp(SIGNS, still(sp.Rational(n, 7), f"c{n}"))[m] for n, m in ((1, 0), (2, 0), (3, 1), (5, 1)))
    ),
    "polynomial": (Y[0] - 2 * Y[1] + sp.Rational(1, 3)) ** 3 * Y[0] + sp.Symbol("Delta", real=True) * Y[0] ** 2,
}


@pytest.mark.parametrize("name", DETERMINED)
def test_means_given_the_offsets_are_those_of_the_enumeration(name):
    """Against the finite sum over all pixels with the real operator; nothing is random, so a row is exact.

    Both sides are sums of some hundred products of order ten.
    """
    found, _ = run(Expectation(DETERMINED[name]), 1)
    assert found == pytest.approx(expectation(DETERMINED[name], VALUES), rel=1e-11, abs=1e-12)


def test_what_is_given():
    """E(y[0]² y[1] x[0] | ε) and E(… | fraction) at numbers, which are no random ones."""
    eps = OffsetField("normal")
    y = warp(X, eps)
    found, error = run(Expectation(y[0] ** 2 * y[1] * X[0] | eps), 3, values={**VALUES, "epsilon": 0.3})
    assert error == 0
    assert found == pytest.approx(expectation(Y[0] ** 2 * Y[1] * X[0], VALUES), rel=1e-12)
    found, error = run(Expectation(y[0] ** 4 | eps.fraction), 3, values={**VALUES, "f": 0.3})
    assert error == 0
    assert found == pytest.approx(expectation(Y[0] ** 4, VALUES), rel=1e-12)


EPS = OffsetField("two_point", location="-1/2", scale="5/2")
PLANE = OffsetField("two_point", 2, location="3/10", scale="6/10")
SHARED = OffsetField("two_point", location="3/10", scale="6/10", shared=True)
FIRST = OffsetField("two_point", location="3/10", scale="6/10", name="e1")
RANDOM = {
    "warped": (warp(X, EPS)[0], warp(X, EPS)[0]),
    "neighbours": (warp(X, EPS)[0], warp(X, EPS)[1]),
    "pixel": (warp(X, EPS)[0], X[-1]),
    "slopes": tuple(warp(X, OffsetField("rademacher", scale=1)).diff(0, "central")[i] for i in (0, 0)),
    "displaced": (warp(X, EPS)[0], warp(X, EPS + sp.Symbol("Delta", real=True))[1]),
    "shared": (splat(G, SHARED)[0], splat(G, SHARED)[1]),
    "plane": (warp(X, PLANE)[0, 0], warp(X, PLANE)[0, 1]),
    "stack": (warp(splat(G, FIRST), SHARED)[0], warp(splat(G, FIRST), SHARED)[1]),
}


@pytest.mark.parametrize("pair", RANDOM)
@pytest.mark.parametrize("design", [None, *sorted(DESIGNS)])
def test_covariances_are_those_of_the_enumeration(pair, design):
    """Within 4.4 standard errors (1e-5 each), by every design; 1e-2 off would be seen, without scatter 1e-12."""
    statistic = Covariance(*RANDOM[pair])
    found, stderr = run(statistic, 48, 1, simulation=ConditionalSimulation(statistic, design=design))
    exact = joint_cumulant(*RANDOM[pair], values=VALUES)
    assert abs(found - exact) <= 4.4 * stderr + 1e-11
    assert stderr < 0.02


def test_a_sequence_sums_the_atoms_of_one_offset_exactly():
    """Of 2ᵐ points of a net a quarter lies in each quarter: two points of probability 1/4 and 3/4 have their shares."""
    statistic = Variance(warp(X, SHARED)[0])
    found, stderr = run(statistic, 4, simulation=ConditionalSimulation(statistic, design="sobol"))
    assert stderr <= 1e-14
    assert found == pytest.approx(joint_cumulant(warp(X, SHARED)[0], warp(X, SHARED)[0], values=VALUES), rel=1e-13)


def operator(offsets, size, kernel="linear", move=warping.warp):
    """Return the matrix of a warp or a splat on a periodic row, by the unit impulses one after the other."""
    columns = [
        move(row.reshape(1, 1, size), torch.full((1, 1, size), offsets).double(), kernel=kernel, boundary="periodic")
        for row in torch.eye(size, dtype=torch.float64)
    ]
    return torch.stack([column.reshape(size) for column in columns], dim=1).numpy()


GAUSS = GaussianField("u", SquaredExponential(variance=2, length="6/5", dim=1), mean="1/2")


def test_gaussian_fields_against_the_covariance_matrix():
    """W C Wᵀ with C(i − j) from SciPy's functions; the row is wide enough that images add a share of 1e-7."""
    size, centre = 41, 20
    lags = np.subtract.outer(np.arange(size), np.arange(size))
    matrix = 2 * np.exp(-(lags**2) / (2 * 1.2**2))
    weights = operator(0.3, size)
    moved = weights @ matrix @ weights.T
    y = warp(GAUSS, A)
    pairs = {(0, 0): (y[0], y[0]), (0, 2): (y[0], y[2])}
    for (i, j), expressions in pairs.items():
        found, _ = run(Covariance(*expressions), 1, values={})
        assert found == pytest.approx(moved[centre + i, centre + j], abs=2e-7 * 2)
    a, b = moved[centre, centre], moved[centre, centre + 2]
    found, _ = run(JointCumulant(y[0] ** 2, y[2] ** 2), 1, values={})
    # Isserlis: Cov(a², b²) = 2 Cov(a, b)² + 4 E a E b Cov(a, b) with means 1/2.
    assert found == pytest.approx(2 * b**2 + b, abs=2e-6)
    assert run(Expectation(y[0] ** 4), 1, values={})[0] == pytest.approx(3 * a**2 + 6 * a / 4 + 1 / 16, abs=4e-6)


WHITE = IIDField("x", law="normal")
NORMAL, LAPLACE, WIDE = OffsetField("normal"), OffsetField("laplace", scale="2/5"), OffsetField("uniform", scale=2)
TILTED = OffsetField("normal", 2, scale="3/10", correlation="-2/5")
EQUAL = OffsetField("uniform", 2, scale="2/5", correlation=1)
MIXED = OffsetField("mixture", scale="1/5")
SKEWED = OffsetField("exponential", scale="1/3")
STILL = IIDField("x", deviation=0)
STATISTICS = {
    "linear": Variance(warp(WHITE, NORMAL)[0]),
    "keys": Variance(warp(X, LAPLACE, "keys")[0]),
    "gauss": Variance(warp(WHITE, NORMAL, "gauss(0.5)")[0]),
    "prefiltered": Variance(warp(WHITE, NORMAL, "bspline3(prefilter=True)")[0]),
    "nearest": Covariance(warp(X, WIDE, "nearest")[0], warp(X, WIDE, "nearest")[1]),
    "mixture": Covariance(warp(X, MIXED)[0], warp(X, MIXED)[2]),
    "skewed offsets": JointCumulant(*[warp(X, SKEWED)[0]] * 3),
    "kurtosis": ExcessKurtosis(warp(IIDField("x", law="laplace"), WIDE)[0]),
    "fourth of several": JointCumulant(*(warp(X, NORMAL)[i] for i in (0, 0, 1, 1))),
    "slopes": Variance(warp(X, NORMAL).diff(0)[0]),
    "curvature": Variance(warp(WHITE, NORMAL, "keys").diff(0).diff(0)[0]),
    "splat": Variance(splat(G, NORMAL)[0]),
    "splats, neighbours": Covariance(splat(G, WIDE)[0], splat(G, WIDE)[1]),
    "plane": Variance(warp(X, OffsetField("normal", 2))[0]),
    "tilted axes": Variance(warp(WHITE, TILTED)[0]),
    "equal axes": Covariance(warp(X, EQUAL)[0, 0], X[0, 1]),
    "slope in the plane": Variance(warp(X, OffsetField("normal", 2)).diff(1)[0]),
    "shared": Covariance(
        warp(X, OffsetField("normal", shared=True))[0], warp(X, OffsetField("normal", shared=True))[1]
    ),
    "displaced": Covariance(warp(X, NORMAL)[0], warp(X, NORMAL + sp.Symbol("Delta", real=True))[0]),
    "stack": Variance(warp(warp(X, NORMAL), OffsetField("uniform", scale="1/2", name="eta"))[0]),
    "two inputs": Variance(warp(X, NORMAL)[0] * warp(SIGNS, NORMAL)[0]),
    "no deviation": Variance(warp(STILL, NORMAL)[0] + splat(STILL, NORMAL)[0]),
    "mixed deviations": Variance(splat(STILL, NORMAL)[0] * warp(X, NORMAL)[0]),
    "gaussian field": Covariance(warp(GAUSS, NORMAL)[0], warp(GAUSS, NORMAL)[1]),
    "gaussian and independent": Variance(warp(GAUSS, NORMAL)[0] * warp(X, NORMAL)[0]),
    "open law": ExcessKurtosis(warp(IIDField("x"), WIDE)[0]),
}


@pytest.mark.parametrize("name", STATISTICS)
def test_plain_and_reduced_agree(name):
    """Within 4.4 combined standard errors (1e-5 each), and the bias of ratios of moments at a hundredth of a size."""
    statistic, values = STATISTICS[name], {**VALUES, "s": 0.45}
    experiment = simulation_of(statistic, "uniform")
    reduced_one = ConditionalSimulation(statistic, "uniform")
    # Where no input scatters, conditioning would gain nothing for what it costs.
    assert reduced(experiment, values) == (experiment if name == "no deviation" else reduced_one)
    (exact, exact_error), (plain, plain_error) = (
        run(statistic, rows, 3, values, one) for rows, one in ((64, reduced_one), (600, experiment))
    )
    assert abs(exact - plain) <= 4.4 * math.hypot(exact_error, plain_error) + 1e-12
    assert plain_error <= 0.15 * max(1.0, abs(plain))


ALGEBRA = ["linear", "keys", "skewed offsets", "kurtosis", "splat", "plane", "tilted axes", "displaced", "slopes"]


@pytest.mark.parametrize("name", ALGEBRA)
def test_reduced_estimates_against_the_algebra(name):
    values = {**VALUES, "s": 0.45}
    found, stderr = run(STATISTICS[name], 256, 4, values)
    exact = evaluate(STATISTICS[name].doit(), values)
    assert abs(found - exact) <= 4.4 * stderr + 1e-7 * max(1.0, abs(exact))


@pytest.mark.parametrize("name", ["linear", "keys", "splat", "shared"])
def test_it_scatters_less_than_plain_for_as_many_elements(name):
    """The standard error that a million weights give against that of a million pixels, at least a third smaller."""
    statistic, values = STATISTICS[name], {**VALUES, "s": 0.45}
    errors = {}
    for kind, simulation in (("plain", Simulation(statistic)), ("reduced", ConditionalSimulation(statistic))):
        rows = 2**20 // simulation.row_elements(values)
        errors[kind] = run(statistic, rows, 5, values, simulation)[1]
    assert errors["reduced"] < errors["plain"] / 1.5


@pytest.mark.parametrize(
    "name",
    ["linear", pytest.param("skewed offsets", marks=pytest.mark.slow), pytest.param("splat", marks=pytest.mark.slow)],
)
def test_standard_errors_are_calibrated(name):
    """(estimate − exact)/stderr over 300 times 10 rows: mean and variance of Student's law, at 1e-4 each.

    Its variance over 300 scores scatters by √((2 + κ₄)/300). As a control, errors that are a third too small are
    rejected.
    """
    statistic, values = STATISTICS[name], {**VALUES, "s": 0.45}
    simulation = ConditionalSimulation(statistic)
    exact = evaluate(statistic.doit(), values)
    rows = simulation.sample(np.random.default_rng(0), 300 * 10, values)
    runs = np.array([read(simulation, Moments.of(part), values) for part in rows.split(10)])
    scores = (runs[:, 0] - exact) / runs[:, 1]
    variance, kurtosis = stats.t(9).stats("vk")
    assert abs(scores.mean()) <= 3.9 * math.sqrt(variance / 300)
    allowed = 3.9 * math.sqrt((2 + kurtosis) / 300)
    assert abs(scores.var(ddof=1) / variance - 1) < allowed
    assert scores.var(ddof=1) / variance * 1.5**2 - 1 > allowed


K = SquaredExponential(variance="1/4", length=2, dim=1)
FALLBACKS = {
    "offsets with a covariance": Variance(warp(WHITE, OffsetField(covariance=K))[0]),
    "values of the continuum": Covariance(compose(GAUSS, OffsetField(covariance=K))(0.25), GAUSS(1)),
    "five factors": Expectation(warp(X, NORMAL)[0] ** 5),
    "variance of a cube": Variance(warp(X, NORMAL)[0] ** 3),
    "too many pixels": Covariance(warp(X, NORMAL)[0], warp(X, NORMAL)[200]),
    "a wide plane": Variance(splat(X, OffsetField("normal", 2, scale=3))[0]),
}


@pytest.mark.parametrize("name", FALLBACKS)
def test_what_cannot_be_summed_gets_controls(name):
    values = {**VALUES, "s": 0.45}
    simulation = simulation_of(FALLBACKS[name])
    found = reduced(simulation, values)
    assert isinstance(found, ControlledSimulation)
    assert found.simulation is simulation or found.simulation == simulation


def test_a_reduced_simulation_is_not_reduced_again():
    statistic = STATISTICS["linear"]
    once = reduced(Simulation(statistic), {**VALUES, "s": 0.45})
    assert reduced(once, {**VALUES, "s": 0.45}) is once
    assert reduced(Simulation(Expectation(sp.Integer(3))), {}) is not None


@pytest.mark.parametrize("name", ["linear", "splat", "shared", "no deviation", "tilted axes"])
def test_rows_and_points(name):
    """Columns are those of the plain simulation, rows depend on the generator alone, points are a power of two."""
    statistic, values = STATISTICS[name], {**VALUES, "s": 0.45}
    simulation = ConditionalSimulation(statistic)
    first, again = (simulation.sample(np.random.default_rng(9), 5, values) for _ in range(2))
    assert first.shape == (5, Simulation(statistic).sample(np.random.default_rng(9), 5, values).shape[1])
    assert bool((first == again).all())
    points = simulation.points(values)
    assert points & (points - 1) == 0
    assert simulation.row_elements(values) % points == 0


def test_rows_are_independent():
    """The correlation of neighbouring rows within 4.4/√n; rows of one set would be one and the same."""
    simulation = ConditionalSimulation(STATISTICS["linear"])
    sample = simulation.sample(np.random.default_rng(11), 600, {**VALUES, "s": 0.45}).numpy()
    rows = sample[:, sample.std(0).argmax()]
    assert abs(np.corrcoef(rows[:-1], rows[1:])[0, 1]) <= 4.4 / math.sqrt(600)
    assert rows.std() > 0


def test_estimates_say_plain_or_not():
    """Both within 4.4 standard errors of the exact value, of different streams and precisions at the same limit."""
    statistic, values = STATISTICS["linear"], {**VALUES, "s": 0.45}
    exact = evaluate(statistic.doit(), values)
    asked = needed(statistic, values)
    plain, better = (
        estimate(statistic, asked, rtol=1e-9, max_elements=2**20, plain=plain, label="a") for plain in (True, False)
    )
    assert all(abs(found.value - exact) <= 4.4 * found.stderr for found in (plain, better))
    assert better.stderr < plain.stderr / 2


def test_an_unknown_design_is_refused():
    with pytest.raises(UnknownNameError, match="^design: expected one of antithetic, independent, sobol, stratified"):
        ConditionalSimulation(STATISTICS["linear"], design="halton")
