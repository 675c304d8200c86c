"""Statistics of the continuum, run on grids that are fine against the fields."""

import pytest
import sympy as sp
import torch

from warptheory import montecarlo
from warptheory.core.errors import ArgumentError
from warptheory.core.streams import Stream
from warptheory.fields import Exponential, SquaredExponential
from warptheory.montecarlo import ContinuumSimulation, simulation_of
from warptheory.symbolic import (
    Covariance,
    Expectation,
    GaussianField,
    IIDField,
    OffsetField,
    Variance,
    compose,
    evaluate,
    warp,
)

T = sp.Symbol("t", real=True)
VALUES = {"l": 3.0, "t": 1.5, "s": 0.7}
LENGTH, SPREAD = sp.symbols("l s", positive=True)
NORMAL = OffsetField("normal")


def smooth(dim=1, **choices):
    """A field with C = exp(−|τ|²/2ℓ²)."""
    return GaussianField("x", SquaredExponential(length=LENGTH, dim=dim), **choices)


def offsets(dim=1, name="epsilon"):
    """Offsets with K = s² exp(−|τ|²/2·5²)."""
    return OffsetField(name=name, covariance=SquaredExponential(length=5, variance=SPREAD**2, dim=dim))


STATISTICS = {
    "points": lambda: Covariance(smooth()(0), smooth()(T)),
    "slope and value": lambda: Covariance(smooth()(0), smooth().slope(0)(T)),
    "two slopes in a plane": lambda: Variance(smooth(2).slope(1)(0, 0)),
    "moved": lambda: Covariance(*(compose(smooth(), offsets())(t) for t in (0, T))),
    "slope of moved": lambda: Variance(compose(smooth(2), offsets(2)).slope(1)(0, 0)),
    "layers": lambda: Variance(compose(compose(smooth(), offsets()), offsets(name="delta")).slope(0)(0)),
    "beside independent pixels": lambda: Variance(IIDField("g", mean=0)[0] * compose(smooth(), offsets()).diff(0)[0]),
    "error": lambda: Expectation(
        (warp(smooth(), OffsetField("normal"))[2] - compose(smooth(), OffsetField("normal"))[2]) ** 2
    ),
    "displaced": lambda: Covariance(compose(smooth(), NORMAL)[0], compose(smooth(), NORMAL + sp.Rational(1, 2))[0]),
    "slope moved by one offset": lambda: Variance(
        compose(smooth(), OffsetField("normal", scale=SPREAD, shared=True)).slope(0)[0]
    ),
    "error of correlated offsets": lambda: Expectation(
        warp(smooth(), offsets())[0] ** 2 + compose(smooth(), offsets())[0] * warp(smooth(), offsets())[0]
    ),
    "given correlated offsets": lambda: Expectation(smooth()[0] * compose(smooth(), offsets())[0] | offsets()),
    "lone coordinate in a plane": lambda: Variance(smooth(2).slope(1)[0]),
    "spacing": lambda: Covariance(*(smooth(spacing=2)(t) for t in (0, T))),
}


@pytest.mark.parametrize("name", STATISTICS)
def test_the_operator_agrees_with_the_algebra(name):
    """Within five standard errors, seed 4; the cubic spline's error at ℓ = 3 pixels and four points each is 1e-9."""
    statistic = STATISTICS[name]()
    values = {**VALUES, "epsilon": 1.3, "sigma": 1.0, "mu": 0.0}
    simulation = ContinuumSimulation(statistic, refinement=4 if name == "spacing" else 2)
    estimate = montecarlo.estimate(simulation, values, rtol=2e-2, seed=4, label=name)
    assert abs(estimate.value - evaluate(statistic.doit(), values)) < 5 * estimate.stderr


def test_a_statistic_finds_its_simulation():
    assert isinstance(simulation_of(STATISTICS["moved"]()), ContinuumSimulation)
    assert not isinstance(simulation_of(Variance(smooth()[0])), ContinuumSimulation)


def test_points_between_those_of_the_grid_are_refused():
    simulation = ContinuumSimulation(STATISTICS["points"](), refinement=4)
    with pytest.raises(ArgumentError, match="multiples of 1/4"):
        simulation.sample(Stream(0, "t").generator(), 1, {**VALUES, "t": 0.3})


def test_rough_fields_are_exact_on_points():
    """Offsets rounded to the fine grid read its own values: with the offset half a pixel the error is known exactly."""
    x = GaussianField("x", Exponential(length=LENGTH, dim=1))
    half = OffsetField("constant", location="1/2")
    statistic = Expectation((warp(x, half)[0] - compose(x, half)[0]) ** 2)
    simulation = ContinuumSimulation(statistic, refinement=2, on_points=True)
    estimate = montecarlo.estimate(simulation, VALUES, rtol=1e-2, seed=1)
    assert abs(estimate.value - evaluate(statistic.doit(), VALUES)) < 5 * estimate.stderr
    derivative = Variance(compose(x, half).diff(0)[0])
    with pytest.raises(ArgumentError, match="values, on points"):
        ContinuumSimulation(derivative, refinement=2, on_points=True).sample(Stream(0, "t").generator(), 1, VALUES)


def test_small_errors_do_not_cancel():
    """A mean square of 1e-13 is averaged as it is written: rows of the error itself, and not of differences."""
    x = GaussianField("x", SquaredExponential(length=200, dim=1))
    half = OffsetField("constant", location="1/2")
    statistic = Expectation((warp(x, half, "keys")[0] - compose(x, half)[0]) ** 2)
    rows = ContinuumSimulation(statistic, refinement=1).sample(Stream(0, "t").generator(), 4, {})
    assert rows.shape == (4, 1)
    assert torch.all((rows > 0) & (rows < 1e-15))
