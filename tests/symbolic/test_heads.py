"""Offsets that are linear functions of the input: against integrals over the joint normal law, without Stein."""

import itertools

import numpy as np
import pytest
import sympy as sp
from scipy import integrate, stats

from warptheory import montecarlo
from warptheory.core.errors import ArgumentError
from warptheory.fields import Exponential, Matern, SquaredExponential, White
from warptheory.symbolic import (
    Cov,
    E,
    Expectation,
    GaussianField,
    HeadTap,
    IIDField,
    LinearHead,
    NotReducible,
    OffsetField,
    Var,
    Variance,
    WideOffsets,
    compose,
    evaluate,
    splat,
    warp,
    warp_gradient,
)

X = IIDField("x", "normal", mean=0)
ALPHA = sp.Symbol("alpha", positive=True)


def test_a_head_says_what_it_is():
    head = LinearHead(X, {0: 1, 1: "1/2"})
    assert head.dim == 1
    assert head.components == ((HeadTap(0), HeadTap(1, sp.Rational(1, 2))),)
    assert head == LinearHead(X, [HeadTap(0), HeadTap(1, "1/2")]) != LinearHead(X, HeadTap(0))
    eps = OffsetField(head=head)
    assert (eps.dim, eps.scale) == (1, ALPHA)
    assert eps.parameter_symbols == {ALPHA, sp.Symbol("sigma", positive=True)}
    assert eps != OffsetField(head=LinearHead(X, {0: 1}))
    assert not eps.is_shared
    assert "LinearHead" in repr(head)
    assert "head=" in repr(eps)
    assert OffsetField(head=LinearHead(X, {(1, 0): 1}, {(0, 1): 1})).dim == 2


BAD = {
    "no field": (lambda: LinearHead(1, {0: 1}), "^field: expected an input field, got int"),
    "no components": (lambda: LinearHead(X), "^components: expected 1, 2 or 3 lists of taps"),
    "no taps": (lambda: LinearHead(X, {}), "^components: expected weights by their places"),
    "a number": (lambda: LinearHead(X, 3), "^components: expected weights by their places"),
    "zero": (lambda: LinearHead(X, {0: 0}), "^components: expected a weight other than zero"),
    "axes": (lambda: LinearHead(X, {(0, 1): 1}), "^components: expected places with 1 coordinates"),
    "between pixels": (lambda: LinearHead(X, {"1/2": 1}), "^components: expected taps on whole pixels"),
    "a slope": (lambda: LinearHead(X, HeadTap(0, orders=1)), "^components: expected no derivatives of independent"),
    "twice": (lambda: LinearHead(X, [HeadTap(0), HeadTap(0, 2)]), "^components: expected taps at different places"),
    "zero twice": (lambda: LinearHead(X, [HeadTap(0), HeadTap(0.0)]), "^components: expected taps at different places"),
    "covariance": (
        lambda: LinearHead(GaussianField("x", SquaredExponential(dim=2)), {0: 1}),
        "^offsets: expected offsets along 2 axes",
    ),
    "no place": (lambda: HeadTap(()), "^place: expected a real coordinate per axis"),
    "a place by name": (lambda: HeadTap("here"), "^place: expected a real number"),
    "weight": (lambda: HeadTap(0, "heavy"), "^weight: expected a real number"),
    "orders": (lambda: HeadTap(0, orders=-1), "^orders: "),
    "orders of another number": (lambda: HeadTap(0, orders=(1, 0)), "^orders: expected 1 numbers"),
    "head": (lambda: OffsetField(head={0: 1}), "^head: expected a LinearHead"),
    "law beside": (lambda: OffsetField("uniform", head=LinearHead(X, {0: 1})), "^head: expected no law"),
    "dim beside": (lambda: OffsetField(dim=2, head=LinearHead(X, {0: 1})), "^head: expected no law"),
    "scale": (lambda: OffsetField(head=LinearHead(X, {0: 1}), scale=0), "^scale: expected a factor α other than zero"),
    "wide": (lambda: WideOffsets(Variance(warp(X, OWN)[0]), ALPHA).doit(), "^offsets: expected offsets with a law"),
    "a law": (lambda: OffsetField(head=LinearHead(X, {0: 1})).axis_law, "^offsets: expected offsets with a law"),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()


OWN = OffsetField(head=LinearHead(X, {0: 1}))
AHEAD = OffsetField(head=LinearHead(X, {1: 1}))
SMOOTH = GaussianField("x", SquaredExponential(dim=1))
OTHER = OffsetField(name="eta")
REFUSED = {
    "open law": (
        lambda: E(warp(IIDField("x"), OffsetField(head=LinearHead(IIDField("x"), {0: 1})))[0]),
        "Stein's lemma",
    ),
    "another law": (
        lambda: E(warp(IIDField("x", "laplace"), OffsetField(head=LinearHead(IIDField("x", "laplace"), {0: 1})))[0]),
        r"Stein's lemma needs a normal law of x; for pixels that have one write IIDField\(\"x\", \"normal\"\)",
    ),
    "splats": (lambda: E(splat(X, OWN)[0] ** 2), "splats by offsets that a head computes"),
    "stacks": (lambda: E(warp(warp(X, OTHER), OWN)[0] ** 2), "fields moved twice"),
    "stacks above": (lambda: E(warp(warp(X, OWN), OTHER)[0] ** 2), "fields moved twice"),
    "two offsets": (lambda: E(warp(X, OWN)[0] * warp(X, OTHER)[0]), "beside others"),
    "two pixels": (lambda: Cov(warp(X, OWN)[0], warp(X, OWN)[1]), "at several pixels; known are values at one"),
    "given": (lambda: E(warp(X, OWN)[0] | OWN), "given offsets, where a head computes them"),
    "warped beside composed": (
        lambda: E(warp(SMOOTH, of_smooth({0: 1}))[0] * compose(SMOOTH, of_smooth({0: 1}))[0]),
        "a warped value beside a composed one",
    ),
    "white between pixels": (
        lambda: E(compose(WHITE, OffsetField(head=LinearHead(WHITE, {0: 1})))[0] ** 2),
        "white noise lives on the pixels",
    ),
    "a kernel that reads all": (lambda: E(warp(SMOOTH, of_smooth({0: 1}), "sinc")[0] ** 2), "sinc reads every pixel"),
    "a constant head": (
        lambda: E(warp(CONSTANT, OffsetField(head=LinearHead(CONSTANT, {0: 1})))[0]),
        "a head of variance zero",
    ),
    "compositions of compositions": (lambda: E(compose(compose(SMOOTH, OTHER), of_smooth({0: 1}))[0]), "moved twice"),
}
WHITE = GaussianField("x", White(dim=1))
CONSTANT = IIDField("x", "normal", deviation=0)


def of_smooth(taps):
    return OffsetField(head=LinearHead(SMOOTH, taps))


@pytest.mark.parametrize(("call", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_known_is_refused(call, message):
    with pytest.raises(NotReducible, match=message):
        call()


# --- the joint law, integrated --------------------------------------------------------------------------------------


def linear(u):
    return np.maximum(0.0, 1 - np.abs(u))


def right_slope(u):
    return np.where((u >= -1) & (u < 0), 1.0, 0.0) - np.where((u >= 0) & (u < 1), 1.0, 0.0)


def keys(u):
    u = np.abs(u)
    inner, outer = 1.5 * u**3 - 2.5 * u**2 + 1, -0.5 * u**3 + 2.5 * u**2 - 4 * u + 2
    return np.where(u < 1, inner, np.where(u < 2, outer, 0.0))


def nearest(u):
    return np.where((u >= -0.5) & (u < 0.5), 1.0, 0.0)


KERNELS = {"linear": (linear, [0.0]), "keys": (keys, [0.0]), "nearest": (nearest, [0.5])}


def moment_by_quadrature(covariance, weights, alpha, read, power, knots, mean=0.0):
    """E (Σ r(ε − m) x[m])^power on a line, ε = α Σ w x, by the law of the pixels given the head, in cells.

    The pixels that a cell reads are regressed on the head: their means and covariances given it are those of any
    normal vector. No derivative of anything occurs.
    """
    places = np.array(sorted(weights))
    w = np.array([weights[m] for m in places], dtype=float)
    variance = w @ covariance(places[:, None] - places) @ w
    deviation, centre = alpha * np.sqrt(variance), alpha * mean * w.sum()
    ends = np.arange(np.floor(centre - 9 * deviation) - 1, np.ceil(centre + 9 * deviation) + 2)
    ends = np.unique(np.concatenate([ends + knot for knot in {0.0, *knots}]))
    ends = np.unique(np.concatenate([ends, np.linspace(ends[0], ends[-1], 160)]))
    nodes, masses = np.polynomial.legendre.leggauss(16)
    u = ((ends[1:] + ends[:-1]) / 2)[:, None] + np.diff(ends)[:, None] / 2 * nodes
    mass = (np.diff(ends)[:, None] / 2 * masses) * stats.norm.pdf(u, centre, deviation)
    pixels = np.floor(u)[..., None] + np.arange(-2, 4)
    with_head = (covariance(pixels[..., None] - places) * w).sum(-1)
    given = mean + with_head * ((u - centre) / alpha / variance)[..., None]
    between = covariance(pixels[..., None] - pixels[..., None, :])
    left = between - with_head[..., None] * with_head[..., None, :] / variance
    r = read(u[..., None] - pixels)
    m, v = (r * given).sum(-1), np.einsum("...i,...ij,...j->...", r, left, r)
    conditional = {1: m, 2: m**2 + v, 3: m**3 + 3 * m * v, 4: m**4 + 6 * m**2 * v + 3 * v**2}[power]
    return float((mass * conditional).sum())


def white_covariance(lag):
    return 1.3**2 * (np.asarray(lag) == 0)


HEADS = {
    "own": {0: 1},
    "ahead": {1: 1},
    "difference": {-1: -1, 1: 1},
    "three": {-1: 1, 0: 1, 1: 1},
    "two ahead": {1: "4/5", 2: "-3/5"},
}


def numbers(taps):
    return {place: float(sp.Rational(weight)) for place, weight in taps.items()}


@pytest.mark.parametrize(
    ("name", "kernel", "alpha"),
    [
        ("own", "linear", 0.3),
        ("own", "nearest", 1.1),
        ("ahead", "keys", 0.3),
        ("difference", "linear", 1.1),
        ("three", "keys", 1.1),
        ("two ahead", "nearest", 0.3),
        ("two ahead", "linear", 1.1),
    ],
)
def test_moments_of_white_pixels_are_those_of_the_joint_law(name, kernel, alpha):
    read, knots = KERNELS[kernel]
    y = warp(X, OffsetField(head=LinearHead(X, HEADS[name])), kernel)
    for power in (1, 2):
        found = evaluate(E(y[0] ** power), {"alpha": alpha, "sigma": 1.3})
        truth = moment_by_quadrature(white_covariance, numbers(HEADS[name]), alpha, read, power, knots)
        assert found == pytest.approx(truth, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("power", [3, 4])
def test_higher_moments(power):
    found = evaluate(E(warp(X, AHEAD)[0] ** power), {"alpha": 0.7, "sigma": 1.3})
    truth = moment_by_quadrature(white_covariance, {1: 1.0}, 0.7, linear, power, [0.0])
    assert found == pytest.approx(truth, rel=1e-10)


@pytest.mark.parametrize("power", [1, 3])
def test_a_mean_moves_the_offsets(power):
    x = IIDField("x", "normal")
    y = warp(x, OffsetField(head=LinearHead(x, HEADS["two ahead"])))
    found = evaluate(E(y[0] ** power), {"alpha": 0.8, "sigma": 1.3, "mu": 0.9})
    truth = moment_by_quadrature(white_covariance, numbers(HEADS["two ahead"]), 0.8, linear, power, [0.0], mean=0.9)
    assert found == pytest.approx(truth, rel=1e-10)


@pytest.mark.parametrize("name", ["own", "two ahead"])
def test_offset_gradient_and_its_covariance_with_the_value(name):
    eps = OffsetField(head=LinearHead(X, HEADS[name]))
    y, slope = warp(X, eps), warp_gradient(X, eps)
    values, taps = {"alpha": 0.7, "sigma": 1.3}, numbers(HEADS[name])
    truth = moment_by_quadrature(white_covariance, taps, 0.7, right_slope, 2, [0.0])
    assert evaluate(E(slope[0] ** 2), values) == pytest.approx(truth, rel=1e-10)
    means = [moment_by_quadrature(white_covariance, taps, 0.7, read, 1, [0.0]) for read in (linear, right_slope)]
    both = moment_by_quadrature(white_covariance, taps, 0.7, lambda u: linear(u) + right_slope(u), 2, [0.0])
    alone = moment_by_quadrature(white_covariance, taps, 0.7, linear, 2, [0.0])
    truth = (both - alone - evaluate(E(slope[0] ** 2), values)) / 2 - means[0] * means[1]
    assert evaluate(Cov(y[0], slope[0]), values) == pytest.approx(truth, rel=1e-9, abs=1e-11)


COVARIANCES = {
    "squared exponential": SquaredExponential(length=2, dim=1),
    "exponential": Exponential(length=3, dim=1),
    "Matérn": Matern(length=2, nu=sp.Rational(5, 2), dim=1),
}


@pytest.mark.parametrize(
    ("name", "kernel"), [("squared exponential", "keys"), ("exponential", "linear"), ("Matérn", "linear")]
)
def test_moments_of_fields_are_those_of_the_joint_law(name, kernel):
    covariance = COVARIANCES[name]
    x, taps = GaussianField("x", covariance), {0: 1, 1: "-1/2"}
    y = warp(x, OffsetField(head=LinearHead(x, taps)), kernel)
    for power in (1, 2):
        truth = moment_by_quadrature(
            lambda lag: covariance(np.abs(np.asarray(lag, dtype=float))),
            numbers(taps),
            0.9,
            KERNELS[kernel][0],
            power,
            [0],
        )
        assert evaluate(E(y[0] ** power), {"alpha": 0.9}) == pytest.approx(truth, rel=1e-9)


# --- in the plane ----------------------------------------------------------------------------------------------------

PLANE = {
    "outward": ({(1, 0): 1}, {(0, 1): 1}),
    "curl": ({(0, 1): 1}, {(1, 0): 1}),
    "dependent": ({(0, 0): "3/5", (1, 0): "4/5"}, {(0, 0): "-1/2", (0, 1): 1}),
    "on a line": ({(0, 0): 1}, {(0, 0): "1/2"}),
}


def plane_by_quadrature(components, alpha, power):
    """E y^power of white pixels of deviation one, linear: the pixels given both offsets, on a grid of both."""
    taps = [{place: float(sp.Rational(w)) for place, w in each.items()} for each in components]
    places = sorted({place for each in taps for place in each})
    weights = np.array([[each.get(place, 0.0) for place in places] for each in taps])
    gram = weights @ weights.T
    rank = np.linalg.matrix_rank(gram)
    ends = np.unique(np.concatenate([np.arange(-12, 13), np.linspace(-12, 12, 60)]))
    nodes, masses = np.polynomial.legendre.leggauss(8)
    line = (((ends[1:] + ends[:-1]) / 2)[:, None] + np.diff(ends)[:, None] / 2 * nodes).ravel()
    mass = (np.diff(ends)[:, None] / 2 * masses).ravel()
    if rank == 1:  # the second offset is half of the first
        first, second = line, line / 2
        density = mass * stats.norm.pdf(line, scale=alpha * np.sqrt(gram[0, 0]))
    else:
        first, second = (part.ravel() for part in np.meshgrid(line, line, indexing="ij"))
        density = np.outer(mass, mass).ravel() * stats.multivariate_normal(cov=alpha**2 * gram).pdf(
            np.stack([first, second], -1)
        )
    deviations = np.linalg.pinv(gram) @ np.stack([first, second]) / alpha
    inverse = np.linalg.pinv(gram)
    read = {place: linear(first - place[0]) * linear(second - place[1]) for place in places}
    with_head = sum(weights[:, i, None] * read[place] for i, place in enumerate(places))
    mean = (with_head * deviations).sum(0)
    kept = [linear(axis - np.floor(axis)) ** 2 + linear(axis - np.floor(axis) - 1) ** 2 for axis in (first, second)]
    variance = kept[0] * kept[1] - np.einsum("in,ij,jn->n", with_head, inverse, with_head)
    return float((density * (mean if power == 1 else mean**2 + variance)).sum())


@pytest.mark.parametrize("name", PLANE)
def test_moments_in_the_plane_are_those_of_the_joint_law(name):
    x = IIDField("x", "normal", mean=0, deviation=1)
    y = warp(x, OffsetField(head=LinearHead(x, *PLANE[name])))
    for power in (1, 2):
        truth = plane_by_quadrature(PLANE[name], 0.7, power)
        # The tests' own panels are not cut where half of an offset is a whole pixel: hence the second tolerance.
        assert evaluate(E(y[0, 0] ** power), {"alpha": 0.7}) == pytest.approx(truth, rel=1e-6, abs=1e-9)


def test_independent_components_in_three_axes():
    x = IIDField("x", "normal", mean=0, deviation=1)
    taps = ({(1, 0, 0): 1}, {(0, 1, 0): 1}, {(0, 0, 1): 1})
    y = warp(x, OffsetField(head=LinearHead(x, *taps)))
    # Along an axis the head's pixel has the mean E k(ε − 1)′ and the others E k(ε).
    s = 0.5
    near = integrate.quad(lambda u: linear(u) * stats.norm.pdf(u, scale=s), -1, 1, points=[0])[0]
    ahead = -integrate.quad(lambda u: linear(u - 1) * -u / s**2 * stats.norm.pdf(u, scale=s), 0, 2, points=[1])[0]
    assert evaluate(E(y[0, 0, 0]), {"alpha": s}) == pytest.approx(3 * s * ahead * near**2, rel=1e-10)


# --- between the pixels ----------------------------------------------------------------------------------------------


def test_own_value_in_the_continuum_is_the_formula_of_the_theory():
    """Theory F2, and the same by integrating x(αh) over the joint law of two values."""
    length, alpha = sp.symbols("l alpha", positive=True)
    deviation = sp.Symbol("sigma", positive=True)
    x = GaussianField("x", SquaredExponential(length=length, variance=deviation**2, dim=1))
    beta = alpha**2 * deviation**2 / length**2
    expected = deviation**2 * (1 - 2 * beta * (1 + 2 * beta) ** sp.Rational(-3, 2))
    found = E(compose(x, OffsetField(head=LinearHead(x, {0: 1})))[0] ** 2)
    for at in ({"l": 2.0, "alpha": 0.7, "sigma": 1.3}, {"l": 0.5, "alpha": 3.0, "sigma": 0.4}):
        assert evaluate(found, at) == pytest.approx(evaluate(expected, at), rel=1e-13)


def test_slope_of_a_self_warp_is_that_of_the_joint_law():
    """y′ = (1 + αx′(t)) x′(t + αx(t)), given x(t) a product of two normal variables."""
    x, alpha, length = GaussianField("x", SquaredExponential(length=2, dim=1)), 0.8, 2.0
    found = evaluate(E(compose(x, OffsetField(head=LinearHead(x, {0: 1}))).slope(0)[0] ** 2), {"alpha": alpha})

    def at(h):
        u = alpha * h
        c = np.exp(-(u**2) / 2 / length**2)
        first, second = -u / length**2 * c, (u**2 / length**4 - 1 / length**2) * c
        mean = first * h  # of x′(u) given x(0) = h
        moved, here, both = 1 / length**2 - first**2, 1 / length**2, -second
        # E (1 + αX)² (m + Y)² for centred X, Y
        ones = mean**2 + moved
        crossed = 2 * alpha * 2 * mean * both
        squares = alpha**2 * (here * ones + 2 * both**2)
        return (ones + crossed + squares) * stats.norm.pdf(h)

    assert found == pytest.approx(integrate.quad(at, -9, 9, epsabs=1e-12)[0], rel=1e-9)


def test_slope_head_shifts_the_mean():
    x = GaussianField("x", SquaredExponential(length=2, dim=1))
    y = compose(x, OffsetField(head=LinearHead(x, HeadTap(0, orders=1))))
    # x(t + αx′) given x′ = v√λ₂: the mean is Cov(x(u), x′)/λ₂ · x′.
    truth = integrate.quad(
        lambda v: (v / 2) * (v / 2) * np.exp(-((v / 2) ** 2) / 8) * stats.norm.pdf(v), -9, 9, epsabs=1e-13
    )[0]
    assert evaluate(E(y[0]), {"alpha": 1.0}) == pytest.approx(truth, rel=1e-10)


# --- limits, and what the steps say ----------------------------------------------------------------------------------


def test_small_and_large_heads():
    """Own pixel, deviation one: 1 − 4α√(2/π) + 4α² for small α, 2/3 − 4/(√(2π) 6α) … for large ones."""
    second = E(warp(X, OWN)[0] ** 2)
    for alpha in (1e-2, 3e-2):
        at = evaluate(second, {"alpha": alpha, "sigma": 1})
        assert at == pytest.approx(1 - 4 * alpha * np.sqrt(2 / np.pi) + 4 * alpha**2, abs=alpha**4)
    # ∫ c_k² = 2/3, and the density at the origin falls as 1/α.
    for alpha in (30.0, 100.0):
        at = evaluate(second, {"alpha": alpha, "sigma": 1})
        assert at == pytest.approx(2 / 3 - 2 / 3 / (np.sqrt(2 * np.pi) * alpha), abs=alpha**-2)


@pytest.mark.parametrize(
    "statistic",
    [
        Variance(warp(X, AHEAD)[0]),
        Expectation(warp_gradient(X, AHEAD, 0, "keys")[0] ** 2),
        Expectation(warp(X, OffsetField(head=LinearHead(X, *PLANE["dependent"])))[0, 0] ** 2),
        Expectation(compose(SMOOTH, OffsetField(head=LinearHead(SMOOTH, {1: 1})))[0] ** 2),
    ],
    ids=str,
)
def test_every_step_has_the_value_of_the_next(statistic):
    steps = statistic.derive().steps
    names = [step.name for step in steps]
    assert names[:4] == ["Moments", "Expand over taps", "Stein's lemma", "Move the derivatives onto the density"]
    numbers = [evaluate(step.expression, {"alpha": 0.7, "sigma": 1.3}) for step in steps[1:]]
    for before, after in itertools.pairwise(numbers):
        assert after == pytest.approx(before, rel=1e-10)


def test_a_displacement_is_added_to_what_the_head_says():
    y = warp(X, OWN + sp.Rational(1, 4))
    truth = moment_by_quadrature(white_covariance, {0: 1.0}, 0.7, lambda u: linear(u + 0.25), 2, [0.0, 0.75])
    assert evaluate(E(y[0] ** 2), {"alpha": 0.7, "sigma": 1.3}) == pytest.approx(truth, rel=1e-10)


def test_another_field_does_not_know_of_the_head():
    """What is moved by a head on another field is moved by independent offsets."""
    z = IIDField("z", "normal", mean=0)
    independent = OffsetField("normal", scale=ALPHA * sp.Symbol("sigma", positive=True))
    found, expected = Var(warp(z, OWN)[0]), Var(warp(z, independent)[0])
    at = {"alpha": 0.4, "sigma": 1.2}
    assert evaluate(found, at) == pytest.approx(evaluate(expected, at), rel=1e-12)


# --- drawn -----------------------------------------------------------------------------------------------------------

DRAWN = {
    "a mean": Expectation(warp(X, AHEAD)[0]),
    "beside a pixel": Expectation(warp(X, AHEAD)[0] * X[1]),
    "between pixels": Expectation(
        compose(SMOOTH, OffsetField(head=LinearHead(SMOOTH, [HeadTap("1/2"), HeadTap(0, -1, 1)])))[0] ** 2
    ),
}


@pytest.mark.parametrize("statistic", DRAWN.values(), ids=DRAWN)
def test_simulation_estimates_what_is_derived(statistic):
    """Within 4.5 standard errors of 1 %."""
    values = {name: {"alpha": 0.6, "sigma": 1.2}[name] for name in montecarlo.simulation_of(statistic).symbols}
    estimate = montecarlo.estimate(statistic, values, rtol=0.01, seed=3)
    assert abs(estimate.value - evaluate(statistic.doit(), values)) < 4.5 * estimate.stderr
    assert estimate.stderr < 0.011 * abs(estimate.value)
