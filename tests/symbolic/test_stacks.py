"""Stacked layers: enumeration of two and three of them, and dense second-moment matrices on a ring."""

import itertools
from functools import reduce

import numpy as np
import pytest
import sympy as sp
from scipy import stats

from tests.symbolic.enumeration import EXACT, VALUES, expectation, joint_cumulant, kernel_function, quadrature
from warptheory.symbolic import (
    Cov,
    Covariance,
    E,
    IIDField,
    OffsetField,
    Var,
    WideOffsets,
    evaluate,
    splat,
    warp,
)
from warptheory.symbolic.stacks import StackCovariance, reading, smoothing

X = IIDField("x", law="two_point")
FIRST = OffsetField("two_point", location="3/10", scale="6/10", name="e1")
SECOND = OffsetField("rademacher", location="1/5", scale="7/10", name="e2")
THIRD = OffsetField("two_point", location="1/10", scale="1/2", name="e3")
STACKS = {
    "warp, warp": warp(warp(X, FIRST), SECOND),
    "warp, warp with keys": warp(warp(X, FIRST), THIRD, "keys"),
    "splat, splat": splat(splat(X, FIRST), SECOND),
    "splat, warp": warp(splat(X, FIRST), SECOND),
    "warp, splat": splat(warp(X, FIRST), SECOND),
    "three warps": warp(warp(warp(X, FIRST), THIRD), SECOND),
    "three splats": splat(splat(splat(X, FIRST), THIRD), OffsetField("two_point", scale="1/3", name="e4")),
}


@pytest.mark.parametrize(
    ("stack", "lag"), [(stack, lag) for stack in STACKS for lag in ((0,) if stack.startswith("three") else (0, 2))]
)
def test_covariance_by_enumeration(stack, lag):
    """Three layers seen at two pixels have more combinations than can be gone through."""
    values = (STACKS[stack][0], STACKS[stack][lag])
    assert evaluate(Cov(*values), VALUES) == pytest.approx(joint_cumulant(*values, values=VALUES), **EXACT)


@pytest.mark.parametrize("stack", ["warp, warp", "splat, splat", "splat, warp"])
def test_mean_and_sums_by_enumeration(stack):
    z, other = STACKS[stack], IIDField("h", law="rademacher")
    assert evaluate(E(z[0]), VALUES) == pytest.approx(expectation(z[0], VALUES), **EXACT)
    total = (z + 2 * other)[0] - z[1]
    assert evaluate(Var(total), VALUES) == pytest.approx(joint_cumulant(total, total, values=VALUES), **EXACT)


LAWS = {
    "normal": lambda scale: stats.norm(scale=scale),
    "laplace": lambda scale: stats.laplace(scale=scale),
    "uniform": lambda scale: stats.uniform(-scale, 2 * scale),
}


class Ring:
    """E xxᵀ of a field on a periodic grid, layer by layer, from the definitions of warp and splat.

    With M = E xxᵀ and independent offsets, warping gives E y[n] y[n′] = w(n)ᵀ M w(n′) for n ≠ n′, w = E k, and
    E y[n]² = Σ E[k k′] M; splatting gives Σ over n ≠ n′ of M[n, n′] w w′ plus Σₙ M[n, n] E[k k′].
    """

    def __init__(self, size: int, dim: int, mean: float, deviation: float) -> None:
        self.size, self.dim = size, dim
        self.moments = mean**2 + deviation**2 * np.eye(size**dim)

    def pass_layer(self, law: str, scale: float, kernel: str, is_splat: bool) -> None:
        points, weights = quadrature(LAWS[law](scale), [-scale, scale])
        taps = np.arange(-30, 31)
        values = kernel_function(kernel)(points - taps[:, None])
        line = np.zeros((self.size, len(points)))
        np.add.at(line, taps % self.size, values)
        pairs = (line * weights) @ line.T  # E k(ε − m) k(ε − m′) along one axis, for the output n = 0
        one, two = (reduce(np.kron, [matrix] * self.dim) for matrix in (line @ weights, pairs))
        places = list(itertools.product(range(self.size), repeat=self.dim))
        shifts = [np.array([self._number(m, n) for m in places]) for n in places]
        rows = np.array([one[shift] for shift in shifts])  # row n: E k(n + ε − m) over m
        if is_splat:
            inside = self.moments - np.diag(np.diag(self.moments))
            jitter = sum(self.moments[n, n] * two[np.ix_(s, s)] for n, s in enumerate(shifts))
            self.moments = rows.T @ inside @ rows + jitter
        else:
            own = [np.sum(two[np.ix_(s, s)] * self.moments) for s in shifts]
            after = rows @ self.moments @ rows.T
            np.fill_diagonal(after, own)
            self.moments = after

    def _number(self, pixel: tuple[int, ...], origin: tuple[int, ...]) -> int:
        """Return the flat number of pixel − origin."""
        return int(
            np.ravel_multi_index(
                [(a - b) % self.size for a, b in zip(pixel, origin, strict=True)], (self.size,) * self.dim
            )
        )


def test_the_ring_itself_for_one_layer():
    """Var y = σ² E ρ(ε), by quadrature."""
    ring = Ring(12, 1, 0.7, 1.3)
    ring.pass_layer("uniform", 0.5, "linear", is_splat=False)
    assert ring.moments[0, 0] == pytest.approx(0.7**2 + 1.3**2 * 2 / 3, rel=1e-12)


@pytest.mark.parametrize("kinds", list(itertools.product([False, True], repeat=2)))
@pytest.mark.parametrize(
    ("dim", "laws", "kernels"),
    [
        (1, ("uniform", "normal"), ("linear", "keys")),
        (1, ("laplace", "uniform"), ("nearest", "linear")),
        (2, ("uniform", "uniform"), ("linear", "linear")),
    ],
)
def test_covariance_by_matrices_on_a_ring(dim, laws, kernels, kinds):
    """The ring is wide enough that no offset of either law wraps to more than 1e-12."""
    scales = {"uniform": "3/5", "normal": "2/5", "laplace": "3/10"}
    ring, field = Ring({1: 48, 2: 10}[dim], dim, VALUES["mu"], VALUES["sigma"]), X
    for number, (law, kernel, is_splat) in enumerate(zip(laws, kernels, kinds, strict=True)):
        eps = OffsetField(law, dim, scale=scales[law], name=f"e{number}")
        field = (splat if is_splat else warp)(field, eps, kernel)
        ring.pass_layer(law, float(sp.Rational(scales[law])), kernel, is_splat)
    for lag in (0, 1, 2):
        index = (lag, *[lag // 2] * (dim - 1))
        place = int(np.ravel_multi_index(index, (ring.size,) * dim))
        exact = ring.moments[0, place] - VALUES["mu"] ** 2
        found = evaluate(Cov(field[(0,) * dim], field[index]), VALUES)
        assert found == pytest.approx(exact, rel=1e-9, abs=1e-11)


@pytest.mark.parametrize(
    ("first", "second", "lags"),
    [(warp, warp, (0, 1)), (warp, splat, (0, 1)), (splat, splat, (0, 1)), (splat, warp, (0, 1))],
)
def test_wide_limit(first, second, lags):
    """The finite stack approaches the limit as 1/a."""
    half = sp.Symbol("a", positive=True)
    eps = [OffsetField("uniform", name=name) for name in ("e1", "e2")]
    stack = second(first(X, eps[0]), eps[1])
    for lag in lags:
        statistic = Covariance(stack[0], stack[lag])
        limit = evaluate(WideOffsets(statistic, half).doit(), VALUES)
        gaps = [abs(evaluate(statistic.doit(), {**VALUES, "a": scale}) - limit) for scale in (16.0, 32.0)]
        assert np.log(gaps[0] / gaps[1]) / np.log(2) == pytest.approx(1.0, abs=0.1)


def line_of_layer(law, kernel):
    """E k(ε + m) and E Σₘ k(ε − m) k(ε + j − m) by lag, from the definitions, by panels that end at every 1/16."""
    points, weights = quadrature(law, [edge / 16 for edge in range(-64, 65)])
    taps = np.arange(-8, 9)
    values = kernel_function(kernel)(points - taps[:, None])
    smooth = values @ weights
    lags = range(len(taps))
    kept = [float(smooth[lag:] @ smooth[: len(smooth) - lag]) for lag in lags]
    read = [float(np.sum(values[lag:] * values[: len(taps) - lag] * weights)) for lag in lags]
    return kept, read


def cosines(line):
    """Σⱼ c_j cos jθ over both signs of j, as a function of θ."""
    return lambda theta: line[0] + 2 * sum(c * sp.cos(lag * theta) for lag, c in enumerate(line) if lag and c != 0.0)


LINES = {
    "linear, uniform": ("linear", "uniform", "3/5", stats.uniform(-0.6, 1.2)),
    "triangle, uniform": ("triangle(1.25)", "uniform", "4/5", stats.uniform(-0.8, 1.6)),
    "keys, uniform": ("keys", "uniform", "2/5", stats.uniform(-0.4, 0.8)),
}


@pytest.mark.parametrize(
    ("kinds", "first", "lag"),
    [
        pytest.param(kinds, first, lag, marks=[] if (kinds[0] == kinds[1]) == (lag == 1) else pytest.mark.slow)
        for kinds in itertools.product([warp, splat], repeat=2)
        for first, lag in (("linear, uniform", 1), ("triangle, uniform", 0))
    ],
)
def test_the_recursion_as_an_expression(kinds, first, lag):
    """The nested integrals, done by sympy on sums over lags from quadrature, against the transform on a grid."""
    field, transfers = X, []
    for number, (make, name) in enumerate(zip(kinds, (first, "linear, uniform"), strict=True)):
        kernel, law, scale, scipy_law = LINES[name]
        field = make(field, OffsetField(law, scale=scale, name=f"e{number}"), kernel)
        kept, read = map(cosines, line_of_layer(scipy_law, kernel))
        transfers.append(lambda theta, kept=kept, read=read: (kept(*theta), read(*theta)))
    (node,) = Cov(field[0], field[lag]).atoms(StackCovariance)
    by_sympy = node.integral(*transfers).subs({s: VALUES[s.name] for s in node.free_symbols}).doit()
    # Quadrature to rounding on either side; sympy sums some hundred terms.
    assert float(by_sympy) == pytest.approx(evaluate(node, VALUES), rel=1e-11, abs=1e-13)
    assert "W_2(theta)" in str(node)
    assert "R_1(phi_" in str(node)


@pytest.mark.parametrize("name", ["linear, uniform", "keys, uniform"])
def test_characteristic_function_and_spectrum_in_the_recursion(name):
    """|ŵ|² as a sum over aliases, cut at |j| = 100: terms fall as 1/j³ at least, so that 1e-5 is missing at most."""
    kernel, law, scale, scipy_law = LINES[name]
    stack = warp(X, OffsetField(law, scale=scale, name="e1"), kernel)
    (node,) = Var(warp(stack, OffsetField(law, scale=scale, name="e2"), kernel)[0]).atoms(StackCovariance)
    layer, theta = node.stack.layers[0], sp.Symbol("theta", real=True)
    kept, read = map(cosines, line_of_layer(scipy_law, kernel))
    (aliases,) = smoothing(layer, theta).atoms(sp.Sum)
    for at in (0.3, 1.7, 3.0):
        (alias,) = aliases.variables
        total = sum(evaluate(aliases.function, {"theta": at, alias.name: j}) for j in range(-100, 101))
        assert total**2 == pytest.approx(float(kept(sp.Float(at))), abs=1e-5)
        assert evaluate(reading(layer, theta), {"theta": at}) == pytest.approx(float(read(sp.Float(at))), rel=1e-11)


def test_knots_that_are_not_halves():
    """A triangle of half-width 5/4 has knots at quarters; by enumeration of the second layer and SciPy for the first.

    The second layer moves by one pixel either way, so it reads values of the first: their variance is what is left.
    """
    first = warp(X, OffsetField("uniform", scale="4/5", name="e1"), "triangle(1.25)")
    found = evaluate(Var(warp(first, OffsetField("rademacher", scale=1, name="e2"))[0]), {"mu": 0.7, "sigma": 1.0})
    _, read = line_of_layer(stats.uniform(-0.8, 1.6), "triangle(1.25)")
    assert found == pytest.approx(read[0], rel=1e-12)
    assert found == pytest.approx(0.528210, abs=5e-7)


def test_wide_stack_of_splatted_constants():
    """Theory B8: m → ρ̄ᵈ m + 1, so 1, 5/3, 19/9 for the linear kernel."""
    half = sp.Symbol("a", positive=True)
    z = IIDField("g", mean=1, deviation=0)
    found = []
    for number in (1, 2, 3):
        z = splat(z, OffsetField("uniform", name=f"e{number}"))
        found.append(WideOffsets(Covariance(z[0], z[0]), half).doit() + 1)
    assert found == [sp.Rational(5, 3), sp.Rational(19, 9), sp.Rational(65, 27)]


def test_only_differences_of_pixels_matter():
    z, n = STACKS["splat, warp"], sp.Symbol("n", integer=True)
    assert evaluate(Cov(z[n], z[n + 1]), VALUES) == pytest.approx(evaluate(Cov(z[3], z[4]), VALUES), rel=1e-12)
    assert evaluate(Cov(z[0], z[3]), VALUES) == pytest.approx(evaluate(Cov(z[3], z[0]), VALUES), rel=1e-12)
