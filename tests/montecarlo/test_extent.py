"""Rows are long enough: values meet on the periodic axis only where they would on the infinite one."""

import itertools
import math
from collections import defaultdict
from unittest import mock

import numpy as np
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from tests.given import needed
from tests.symbolic.enumeration import HALF_WIDTH
from warptheory import montecarlo
from warptheory.core.errors import ArgumentError
from warptheory.montecarlo import Simulation, _simulation
from warptheory.symbolic import Covariance, Expectation, IIDField, OffsetField, Variance, evaluate, splat, warp
from warptheory.symbolic.moved_fields import SplattedField, WarpedField

X = IIDField("x", law="normal", mean=0, deviation=1)
G = IIDField("g", law="normal", mean=0, deviation=1)
DELTA = sp.Symbol("Delta", real=True)


def uniform(scale, name="epsilon", dim=1, **options):
    return OffsetField("uniform", dim, scale=scale, name=name, **options)


SMALL = OffsetField("normal", scale="3/10")
FIRST, SECOND = uniform(50, "e1"), uniform(50, "e2")
SHARED = uniform(50, "e1", shared=True)
FAR = OffsetField("normal", scale="3/10", location=64, name="e1")
NEAR = OffsetField("normal", scale="3/10", name="e2")
GIVEN = OffsetField("normal", shared=True)
PLANE = OffsetField("normal", 2, scale="3/10")
ASIDE = (0, 12)
VALUES = {"Delta": 64.0, "epsilon": 64.25, "f": 0.25}


def twice(offsets, field=X):
    """Return two layers of independent offsets."""
    return warp(warp(field, offsets), OffsetField(offsets.law, offsets.dim, scale=offsets.scale, name="outer"))


# Statistics, and the largest standard error. On the axis of 64 pixels (12 in the plane) every "far" pair would meet.
STATISTICS = {
    "independent offsets": (Covariance(warp(X, FIRST)[0], warp(X, SECOND)[0]), 5e-4),
    "far by a displacement": (Covariance(warp(X, SMALL)[0], warp(X, SMALL + 64)[0]), 5e-3),
    "far by a symbol": (Covariance(warp(X, SMALL)[0], warp(X, SMALL + DELTA)[0]), 5e-3),
    "far by a location": (Expectation(warp(X, FAR)[0] * X[0]), 5e-3),
    "far by a location of two": (Covariance(warp(X, FAR)[0], warp(X, NEAR)[0]), 5e-3),
    "near by location and displacement": (Covariance(warp(X, FAR)[0], warp(X, NEAR + 64)[0]), 5e-3),
    "near by location and pixel": (Covariance(warp(X, FAR)[0], X[64]), 5e-3),
    "far by what is given": (Covariance(warp(X, GIVEN)[0], X[0], given=GIVEN), 5e-3),
    "near by what is given": (Covariance(warp(X, GIVEN)[0], X[65], given=GIVEN), 5e-3),
    "neighbours that share offsets": (Covariance(warp(X, SHARED)[0], warp(X, SHARED)[1]), 5e-3),
    "neighbours": (Covariance(warp(X, FIRST)[0], warp(X, FIRST)[1]), 5e-4),
    "pixel": (Covariance(warp(X, FIRST)[0], X[0]), 5e-4),
    "splatted neighbours": (Covariance(splat(G, FIRST)[0], splat(G, FIRST)[1]), 3e-3),
    "splatted variance": (Variance(splat(G, FIRST)[0]), 5e-3),
    "far splats": (Expectation(splat(G, FAR)[0] * G[0]), 5e-3),
    "splatted neighbours that share offsets": (Covariance(splat(G, SHARED)[0], splat(G, SHARED)[1]), 5e-3),
    "stack": (Variance(twice(uniform(3))[0]), 3e-3),
    "neighbours of a stack": (Covariance(twice(uniform(3))[0], twice(uniform(3))[1]), 3e-3),
    "wide stack": (Covariance(twice(uniform(30))[0], twice(uniform(30))[1]), 1e-3),
    "stack of a splat": (Variance(warp(splat(G, uniform(30)), uniform(3, "outer"))[0]), 1e-2),
    "far in the plane": (Covariance(warp(X, PLANE)[0, 0], warp(X, PLANE + ASIDE)[0, 0]), 5e-3),
    "pixel in the plane": (Covariance(warp(X, uniform(5, dim=2))[0, 0], X[0, 0]), 1e-3),
    "splatted neighbours in the plane": (
        Covariance(splat(G, uniform(5, dim=2))[0, 0], splat(G, uniform(5, dim=2))[0, 1]),
        3e-3,
    ),
}


@pytest.mark.parametrize("name", STATISTICS)
def test_simulation_against_the_algebra(name):
    """Within 5 standard errors: a false alarm once in two million."""
    statistic, precision = STATISTICS[name]
    exact = evaluate(statistic.doit(), VALUES)
    found = montecarlo.estimate(statistic, needed(statistic, VALUES), rtol=0.0, atol=precision, seed=1)
    assert found.reached
    assert abs(found.value - exact) <= 5 * found.stderr + 1e-12
    assert exact == 0.0 or not name.startswith("far")


def test_short_rows_would_show():
    """As a control, on the axis that a single position has, some are off by more than 10 standard errors."""
    for name in ("independent offsets", "far by a displacement", "far by a location", "far by what is given"):
        statistic, precision = STATISTICS[name]
        with mock.patch.object(Simulation, "shape", return_value=(64,)):
            found = montecarlo.estimate(statistic, needed(statistic, VALUES), rtol=0.0, atol=precision, seed=1)
        assert abs(found.value - evaluate(statistic.doit(), VALUES)) > 10 * found.stderr


NORMAL = 5.2  # deviations that 10⁻⁷ of a normal law lie beyond


@pytest.mark.parametrize(
    ("statistic", "needed"),
    [
        # One position, or several that move together, wherever they are.
        (Variance(warp(X, OffsetField("normal", scale=10**8))[0]), (0,)),
        (Variance(warp(X, OffsetField("normal", scale=1, location=10**9))[0]), (0,)),
        (Covariance(warp(X, SMALL + 10**6)[0], warp(X, SMALL + (10**6 + 1))[0]), (0,)),
        (Covariance(warp(X, FIRST)[0], warp(X, FIRST).diff(0)[0]), (0,)),
        (Covariance(warp(X, SHARED)[0], warp(X, SHARED)[60]), (62,)),
        (Covariance(splat(X, SHARED)[0], splat(X, SHARED)[100]), (102,)),
        (Covariance(warp(X, FAR)[0], warp(X, NEAR + 64)[0]), (0,)),
        (Variance(warp(X, FIRST)[0] + warp(G, SECOND)[7]), (0,)),  # fields that have nothing in common
        (Variance(warp(X, OffsetField("normal", scale=100))[0] | OffsetField("normal", scale=100).fraction), (0,)),
        # Positions that move apart.
        (Covariance(warp(X, FIRST)[0], warp(X, SECOND)[0]), (102,)),
        (Covariance(warp(X, FIRST)[0], warp(X, FIRST)[9]), (111,)),
        (Covariance(warp(X, FIRST)[0], X[0]), (101,)),
        (Covariance(warp(X, SMALL)[0], warp(X, SMALL + 1000)[0]), (1002,)),
        (Variance(splat(X, FIRST)[0]), (102,)),
        (Variance(splat(X, OffsetField("normal", scale=50, location=10**6))[0]), (2 * NORMAL * 50 + 2,)),
        # The outer offset moves all that the inner layer reads.
        (Variance(twice(FIRST)[0]), (103,)),
        (Covariance(twice(FIRST)[0], twice(FIRST)[1]), (204,)),
        (Variance(splat(splat(X, FIRST), SECOND)[0]), (204,)),
        # Inputs that have nothing in common, below offsets that must not meet.
        (Expectation(warp(warp(X, FIRST), SMALL)[0] * warp(warp(G, FIRST), SMALL + 1000)[0]), (1002,)),
        # Each axis has its own length.
        (Covariance(warp(X, PLANE)[0, 0], warp(X, PLANE)[0, 100]), (0, 100 + 2 * NORMAL * 0.3 + 2)),
        (Covariance(warp(X, PLANE - ASIDE)[0, 0], X[0, 50]), (0, 62 + NORMAL * 0.3 + 1)),
    ],
)
def test_rows_are_not_longer_than_needed(statistic, needed):
    """By at most 3 pixels, or where tails are cut 1.5 %; or it is the axis that a single position has."""
    floor = {1: 64, 2: 12}[len(needed)]
    for length, least in zip(Simulation(statistic).shape(VALUES), needed, strict=True):
        assert max(floor, math.floor(least)) <= length <= max(floor, 1.015 * least + 3)


def test_an_inverse_filter_has_room_for_its_tails():
    """The response of the cubic B-spline's inverse falls as (2 − √3)^|m|: once around the axis by 10⁻⁷ at least."""
    lengths = Simulation(Variance(warp(X, PLANE, "bspline3(prefilter=True)")[0, 0])).shape({})
    for length in lengths:
        assert (2 - math.sqrt(3)) ** length <= 1e-7
        assert length <= 20


class InfiniteAxes:
    """One realisation on infinite axes, drawn where it is looked at; it remembers which pixels that were."""

    def __init__(self, generator):
        self.generator = generator
        self.offsets, self.read = {}, defaultdict(set)

    def look(self, field, pixel):
        """Look at a field's pixel, and at all that its value depends on."""
        if isinstance(field, IIDField):
            self.read[field].add(pixel)
            return
        assert isinstance(field, WarpedField | SplattedField)
        moved = {}
        for n in self.sources(field, pixel):
            moved[n] = np.add(n, self.offset(field.offsets, n)) + [float(part) for part in field.offsets.displacement]
        if isinstance(field, WarpedField):
            inner = self.around(moved[pixel], HALF_WIDTH[field.kernel.name])
            looked = [pixel]
        else:
            inner = [n for n, p in moved.items() if np.all(np.abs(p - pixel) <= HALF_WIDTH[field.kernel.name])]
            looked = inner
        if not field.offsets.is_shared:
            self.read[field.offsets.source].update(looked)
        for n in inner:
            self.look(field.field, n)

    def sources(self, field, pixel):
        """Return the pixels whose offsets decide which pixels of the field below are read."""
        if isinstance(field, WarpedField):
            return [pixel]
        law = field.offsets.axis_law
        centre = [
            m - float(law.location) - float(part) for m, part in zip(pixel, field.offsets.displacement, strict=True)
        ]
        return self.around(centre, float(law.scale) + HALF_WIDTH[field.kernel.name])

    @staticmethod
    def around(position, distance):
        ranges = [range(math.ceil(p - distance), math.floor(p + distance) + 1) for p in position]
        return list(itertools.product(*ranges))

    def offset(self, offsets, pixel):
        key = (offsets.source, None if offsets.is_shared else pixel)
        if key not in self.offsets:
            self.offsets[key] = offsets.axis_law.sample(self.generator, (offsets.dim,))
        return self.offsets[key]


@st.composite
def products(draw):
    """Draw what up to three values are to be: fields on two inputs and two offset fields, and their pixels."""
    dim = draw(st.sampled_from([1, 1, 2]))
    widest = {1: 20, 2: 3}[dim]
    whole = st.integers(-3 * widest, 3 * widest)
    law = st.sampled_from(["uniform", "two_point", "rademacher", "constant"])
    offsets = st.tuples(law, st.integers(0, widest), whole, st.sampled_from(["0", "1/2"]), st.booleans())
    pixel = st.tuples(*[whole] * dim)
    kernel = st.sampled_from(["linear", "nearest", "keys", "triangle"])
    layer = st.tuples(st.sampled_from([warp, warp, splat]), st.integers(0, 1), pixel, kernel)
    values = st.tuples(st.sampled_from([X, G]), st.lists(layer, max_size=2), pixel)
    return dim, draw(st.tuples(offsets, offsets)), draw(st.lists(values, min_size=1, max_size=3))


def built(dim, laws, values):
    """Return the fields and pixels of what was drawn."""
    offsets = [
        OffsetField(
            law, dim, scale=scale + sp.Rational(1, 3), location=whole + sp.Rational(half), name=name, shared=shared
        )
        for name, (law, scale, whole, half, shared) in zip(("e1", "e2"), laws, strict=True)
    ]
    for field, layers, pixel in values:
        for move, which, displacement, kernel in layers:
            field = move(field, offsets[which] + displacement, kernel)
        yield field, pixel


@given(products(), st.integers(0, 2**31))
def test_no_two_pixels_that_are_read_become_one(product, seed):
    """In realisations on infinite axes, drawn from the definitions; rows have no least length here."""
    read = list(built(*product))
    statistic = Expectation(sp.Mul(*(field[pixel] for field, pixel in read)))
    with mock.patch.dict(_simulation._AXIS_SIZE, {1: 1, 2: 1}):
        size = Simulation(statistic).shape({})
    for realisation in range(2):
        axes = InfiniteAxes(np.random.default_rng([seed, realisation]))
        for field, pixel in read:
            axes.look(field, pixel)
        for pixels in axes.read.values():
            assert len({tuple(np.mod(pixel, size).tolist()) for pixel in pixels}) == len(pixels)


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("statistic", "received"),
    [
        (Variance(splat(X, uniform(10**9))[0]), r"2000000003 pixels \(epsilon: location 0, scale 1e\+09\)"),
        (
            Covariance(warp(X, uniform(1, location=10**9))[0], X[0]),
            r"10000000\d\d pixels \(epsilon: location 1e\+09, scale 1\)",
        ),
        (
            Covariance(warp(X, SMALL)[0], warp(X, SMALL + 10**8)[0]),
            r"1000000\d\d pixels \(epsilon: location 0, scale 0.3; epsilon: .*, displaced by 1e\+08\)",
        ),
        (Covariance(warp(X, GIVEN)[0], X[0], given=GIVEN), r"1000000\d\d pixels \(epsilon: epsilon = 1e\+08\)"),
        (Expectation(X[0] * X[10**9]), r"1000000001 pixels \(pixels of the input alone\)"),
        (Variance(splat(X, uniform(3000, dim=2))[0]), r"6003 × 6003 pixels \(epsilon: location 0, scale 3000\)"),
    ],
)
def test_rows_that_no_memory_holds_are_refused(statistic, received):
    """Before anything is drawn."""
    expected = r"values whose offsets keep them within a row of at most 2\*\*24 pixels"
    with pytest.raises(ArgumentError, match=rf"^statistic: expected {expected}, got a row of {received}"):
        montecarlo.estimate(statistic, needed(statistic, {"epsilon": 1e8}))


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("build", "spread", "received"),
    [
        (warp, 3e8, "1.58e[+]09 pixels"),
        (warp, 1e308, "5.22e[+]308 pixels|inf pixels"),
        (warp, math.inf, "inf pixels"),
        (splat, 1e308, "5.22e[+]308 pixels|inf pixels"),
    ],
)
def test_offsets_that_the_operator_takes_for_wild_are_refused(build, spread, received):
    """It reads nothing there: 2³⁰ pixels away, which needs no room where all values share an offset."""
    statistic = Variance(build(X, OffsetField("normal", location=0))[0])
    expected = r"values whose offsets lead to less than 2\*\*30 pixels away"
    with pytest.raises(ArgumentError, match=rf"^statistic: expected {expected}, got ({received})$"):
        montecarlo.estimate(statistic, {"s": spread})
    assert montecarlo.estimate(Variance(warp(X, OffsetField("normal", location=0))[0]), {"s": 2e8}, 0.1).reached
