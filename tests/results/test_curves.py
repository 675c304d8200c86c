"""Curves: their numbers are those of the result, and thinning keeps a part of the same points."""

import math

import pytest

from warptheory import results
from warptheory.results import UNIT_INPUT, Curve, evenly_spaced

CURVE = Curve(
    results.get("A4"), "variance", "s", evenly_spaced(0.1, 0.7, 7), (0.3,), dim=2, given={"offsets": "normal"}
)


def test_numbers_are_those_of_the_result():
    points = list(CURVE.points(seed=3))
    assert [point.value for point in points] == list(evenly_spaced(0.1, 0.7, 7))
    for point in points:
        theory = results.get("A4").evaluate(
            "variance", dim=2, offsets="normal", s=point.value, **UNIT_INPUT, standard=True
        )
        assert point.theory == pytest.approx(theory, rel=1e-14)


def test_only_some_values_are_simulated():
    """Within 4.4 standard errors: a false alarm once in 100,000 seeds."""
    simulated = [point for point in CURVE.points(seed=3) if point.n > 0]
    assert [point.value for point in simulated] == [0.3]
    assert abs(simulated[0].estimate - simulated[0].theory) <= 4.4 * simulated[0].stderr
    assert simulated[0].stderr <= CURVE.rtol * simulated[0].estimate


def test_thinning_keeps_some_of_the_same_points():
    everything = {point.value: point for point in CURVE.points(seed=3)}
    thinned = list(CURVE.points(seed=3, thin=3))
    assert [point.value for point in thinned] == [0.1, 0.3, 0.4, 0.7]
    assert [point.estimate for point in thinned if point.n] == [everything[0.3].estimate]


def test_a_number_without_a_parameter_and_a_limit():
    """The infinity norm of the nearest kernel is 1 on every grid."""
    curve = Curve(results.get("B5"), "infinity norm", "N", kernel="nearest")
    assert list(curve.points()) == []
    assert (curve.limit().value, curve.limit().theory, curve.limit().n) == (math.inf, 1.0, 0)


def test_points_have_names_of_their_own():
    """Random streams are named by them."""
    other = Curve(CURVE.result, "variance", "s", dim=2, given={"offsets": "laplace"})
    points = [*(CURVE.at(value) for value in CURVE.values), other.at(0.1)]
    assert len({point.name for point in points}) == len(points)
