"""Statistics of the continuum, run on grids that are fine against the fields."""

import math

import pytest
import sympy as sp
import torch

from tests.given import needed
from warptheory import montecarlo, warping
from warptheory.core.errors import ArgumentError
from warptheory.core.streams import Stream
from warptheory.fields import Exponential, SquaredExponential
from warptheory.montecarlo import ContinuumSimulation, simulation_of
from warptheory.montecarlo._continuum import _coefficients
from warptheory.symbolic import (
    Covariance,
    ExcessKurtosis,
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
    "shared offsets below others": lambda: Variance(compose(compose(smooth(), shared("u")), offsets()).slope(0)[0]),
    "shared offsets above others": lambda: Variance(compose(compose(smooth(), offsets()), shared("u")).slope(0)[0]),
    "two shared offsets": lambda: Variance(compose(compose(smooth(), shared("u")), shared("w")).diff(0)[0]),
    "spacing": lambda: Covariance(*(smooth(spacing=2)(t) for t in (0, T))),
}


@pytest.mark.parametrize("name", STATISTICS)
def test_the_operator_agrees_with_the_algebra(name):
    """Within five standard errors, seed 4; the cubic spline's error at ℓ = 3 pixels and four points each is 1e-9."""
    statistic = STATISTICS[name]()
    values = {**VALUES, "epsilon": 1.3, "sigma": 1.0, "mu": 0.0}
    simulation = ContinuumSimulation(statistic, refinement=4 if name == "spacing" else 2)
    estimate = montecarlo.estimate(simulation, needed(simulation, values), rtol=2e-2, seed=4, label=name)
    assert abs(estimate.value - evaluate(statistic.doit(), values)) < 5 * estimate.stderr


def test_a_statistic_finds_its_simulation():
    assert isinstance(simulation_of(STATISTICS["moved"]()), ContinuumSimulation)
    assert not isinstance(simulation_of(Variance(smooth()[0])), ContinuumSimulation)


def test_points_between_those_of_the_grid_are_read_by_waves():
    """Of a wave exactly, whatever the point; offsets that live on pixels are known there alone."""
    simulation = ContinuumSimulation(Covariance(smooth(2)(0, 0), smooth(2)(T, 0)), refinement=1)
    first, second = (2 * math.pi * mode / size * torch.arange(size).double() for mode, size in ((3, 16), (5, 20)))
    field = torch.cos(first[:, None] + 0.4) * torch.cos(second + 1.1)
    moved = torch.cos(first[:, None] + 0.4 + 2 * math.pi * 3 / 16 * 2.3) * torch.cos(second + 1.1 - math.pi / 2 * 0.7)
    torch.testing.assert_close(simulation._rolled(field[None], [2.3, -0.7]), moved[None], rtol=0, atol=1e-12)
    on_points = ContinuumSimulation(STATISTICS["points"](), refinement=4, on_points=True)
    with pytest.raises(ArgumentError, match="multiples of 1/4"):
        on_points.sample(Stream(0, "t").generator(), 1, {**VALUES, "t": 0.3})


def test_rough_fields_are_exact_on_points():
    """Offsets rounded to the fine grid read its own values: with the offset half a pixel the error is known exactly."""
    x = GaussianField("x", Exponential(length=LENGTH, dim=1))
    half = OffsetField("constant", location="1/2")
    statistic = Expectation((warp(x, half)[0] - compose(x, half)[0]) ** 2)
    simulation = ContinuumSimulation(statistic, refinement=2, on_points=True)
    estimate = montecarlo.estimate(simulation, needed(simulation, VALUES), rtol=1e-2, seed=1)
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


def test_fourth_moments_of_small_differences_have_a_standard_error():
    """For a displacement s ≪ ℓ the difference is ε·x′, of excess kurtosis 6 but for shares of s²/ℓ² = 1e-9."""
    x = GaussianField("x", SquaredExponential(length=3, dim=1))
    small = OffsetField(covariance=SquaredExponential(length=4, variance="1/100000000", dim=1))
    difference = compose(x, small)[0] - x[0]
    estimate = montecarlo.estimate(ExcessKurtosis(difference), {}, rtol=0.05, seed=1)
    assert estimate.stderr > 0.1
    assert abs(estimate.value - 6) < 5 * estimate.stderr


@pytest.mark.parametrize(
    ("statistic", "message"),
    [
        (lambda: Variance(compose(compose(smooth(), independent("u")), offsets())[0]), "^statistic: .* composed again"),
        (lambda: Variance(compose(smooth(), independent("u")).slope(0)[0]), "^statistic: expected a slope .* got u,"),
        (lambda: Variance(smooth()[sp.Symbol("n")]), "^values: expected a number for n"),
        (lambda: Variance(compose(smooth(), offsets())[sp.Symbol("n")]), "^values: expected a number for n"),
    ],
)
def test_what_no_grid_can_show_is_refused(statistic, message):
    """Offsets that change from pixel to pixel say nothing of what lies between these, nor a symbol of where it is."""
    with pytest.raises(ArgumentError, match=message):
        montecarlo.estimate(asked := statistic(), needed(asked, VALUES), rtol=0.1)


def shared(name):
    return OffsetField("normal", scale=1, name=name, shared=True)


def independent(name):
    return OffsetField("normal", scale=1, name=name)


@pytest.mark.parametrize("size", [(37,), (24, 31), (6, 5, 8)])
def test_coefficients_of_a_torus_are_those_of_the_operator(size):
    """To rounding: the operator works them out by convolution."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn((2, 1, *size), generator=generator, dtype=torch.float64)
    offsets = 3 * torch.randn((2, len(size), *size), generator=generator, dtype=torch.float64)
    by_operator = warping.warp(x, offsets, "bspline3(prefilter=True)", "periodic")
    torch.testing.assert_close(
        warping.warp(_coefficients(x), offsets, "bspline3", "periodic"), by_operator, rtol=0, atol=1e-13
    )
