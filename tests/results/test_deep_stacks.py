"""Any number of layers at a finite spread, against two in closed form, and E W⊗W by quadrature of the offsets."""

import numpy as np
import pytest
from scipy import integrate

from tests.symbolic.test_stacks import Ring
from warptheory import results
from warptheory.results._depth import LAYERS
from warptheory.symbolic import (
    AfterLayers,
    Covariance,
    Expectation,
    IIDField,
    NotConverged,
    NotReducible,
    OffsetField,
    Variance,
    evaluate,
    splat,
    warp,
)

NAMES = {"A9": ("variance after two layers", "variance after L layers")}
NAMES["B8"] = ("second moment after two layers", "second moment after L layers")
KERNELS = {
    "linear": lambda u: max(1 - abs(u), 0.0),
    "keys": lambda u: (
        1.5 * abs(u) ** 3 - 2.5 * u**2 + 1
        if abs(u) < 1
        else (-0.5 * abs(u) ** 3 + 2.5 * u**2 - 4 * abs(u) + 2) * (abs(u) < 2)
    ),
}


def mean_over_offsets(function, half_width):
    """The mean over offsets that are uniform on [−a, a), by SciPy; kernels have knots at whole positions."""
    return sum(integrate.quad(function, *ends)[0] for ends in ((-half_width, 0), (0, half_width))) / (2 * half_width)


def second_moments_of_operators(kernel, size, half_width):
    """E W[n, m] W[n′, m′] on a ring, shape (N², N²): rows (n, n′), columns (m, m′)."""
    reach = range(-3, 4)
    single = {m: mean_over_offsets(lambda e, m=m: KERNELS[kernel](e - m), half_width) for m in reach}
    double = {
        (m, q): mean_over_offsets(lambda e, m=m, q=q: KERNELS[kernel](e - m) * KERNELS[kernel](e - q), half_width)
        for m in reach
        for q in reach
    }
    found = np.zeros((size,) * 4)
    for n, other in np.ndindex(size, size):
        for (m, q), together in double.items():
            value = together if n == other else single[m] * single[q]
            found[n, other, (n + m) % size, (other + q) % size] += value
    return found.reshape(size**2, size**2)


@pytest.mark.parametrize("label", ["A9", "B8"])
@pytest.mark.parametrize("kernel", ["linear", "keys"])
@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("half_width", [0.2, 0.5, 1.7])
def test_two_layers_are_those_in_closed_form(label, kernel, dim, half_width):
    two, deep = NAMES[label]
    given = {"kernel": kernel, "dim": dim, "a": half_width, "standard": True}
    found = results.get(label).evaluate(deep, L=2, **given)
    assert found == pytest.approx(results.get(label).evaluate(two, **given), rel=1e-12)


@pytest.mark.parametrize(("kernel", "size"), [("linear", 16), ("keys", 20)])
@pytest.mark.parametrize("half_width", [0.35, 0.9])
def test_layers_on_a_line_are_powers_of_a_matrix(kernel, size, half_width):
    """E yyᵀ = (E W⊗W) E xxᵀ forward, its transpose backward; correlations reach less far than round the ring.

    Quadrature is good to 1e-13.
    """
    operator = second_moments_of_operators(kernel, size, half_width)
    forward, backward = 1.3**2 * np.eye(size).ravel(), np.ones(size**2)
    for layers in (1, 2, 3):
        forward, backward = operator @ forward, operator.T @ backward
        given = {"kernel": kernel, "L": layers, "a": half_width}
        variance = results.get("A9").evaluate(NAMES["A9"][1], sigma=1.3, **given)
        assert variance == pytest.approx(forward[0], rel=1e-11)
        assert results.get("B8").evaluate(NAMES["B8"][1], **given) == pytest.approx(backward[0], rel=1e-11)


@pytest.mark.parametrize("label", ["A9", "B8"])
@pytest.mark.parametrize("layers", [3, 4])
def test_layers_in_the_plane_on_a_ring(label, layers):
    """Correlations of the linear kernel reach two pixels farther with each layer, and eight are round the ring."""
    ring = Ring(9, 2, 0.0, 1.3) if label == "A9" else Ring(9, 2, 1.0, 0.0)
    for _ in range(layers):
        ring.pass_layer("uniform", 0.35, "linear", is_splat=label == "B8")
    found = results.get(label).evaluate(NAMES[label][1], dim=2, L=layers, a=0.35, standard=True)
    assert found == pytest.approx(ring.moments[0, 0], rel=1e-10)


@pytest.mark.parametrize("label", ["A9", "B8"])
@pytest.mark.parametrize(("dim", "layers", "half_width"), [(1, 1, 0.35), (1, 400, 0.35), (2, 40, 0.6), (1, 7, 90.0)])
def test_steps_agree(label, dim, layers, half_width):
    """Spectra on a grid of all axes against integrals along one; both settle to 1e-13, and rounding grows with L."""
    steps = results.get(label).derive(NAMES[label][1], dim=dim).steps
    values = {"L": layers, "a": half_width, "mu": 0.7, "sigma": 1.3}
    first, second = (evaluate(step.expression, values) for step in steps)
    assert first == pytest.approx(second, rel=1e-11)


@pytest.mark.parametrize("label", ["A9", "B8"])
def test_wide_offsets_are_the_limit(label):
    """As 1/a: a hundredth at a = 100, a tenth of it at 1000."""
    exact, gaps = results.get(label), []
    limit = exact.evaluate(f"{NAMES[label][1]}, wide offsets", L=5, standard=True)
    for half_width in (100.0, 1000.0):
        found = exact.evaluate(NAMES[label][1], L=5, a=half_width, standard=True)
        gaps.append(abs(found / limit - 1))
    assert gaps[0] < 0.05
    assert gaps[1] == pytest.approx(gaps[0] / 10, rel=0.05)


def test_variance_decays_as_a_random_walk_returns():
    """v_L ~ L^{−d/2}: what is left is where two walkers that have met meet again."""
    for dim in (1, 2):
        few, many = (results.get("A9").evaluate(NAMES["A9"][1], dim=dim, L=n, a=0.35, sigma=1.0) for n in (500, 2000))
        assert few / many == pytest.approx(4 ** (dim / 2), rel=0.03)


def test_other_statistics_are_refused():
    x, first, second = IIDField("x"), OffsetField("uniform", name="e1"), OffsetField("uniform", name="e2")
    wider = OffsetField("uniform", scale=1, name="e3")
    y = warp(warp(x, first), second)
    for statistic in (
        Variance(warp(x, first)[0]),
        Variance(warp(warp(x, first), wider)[0]),
        Variance(warp(splat(x, first), second)[0]),
        Variance(warp(y, OffsetField("uniform", name="e4"))[0]),
        Covariance(y[0], y[1]),
        Expectation(y[0]),
    ):
        with pytest.raises(NotReducible):
            AfterLayers(statistic, LAYERS).derive()


def test_what_takes_too_many_frequencies_is_said():
    spectral, _ = results.get("A9").derive(NAMES["A9"][1], dim=2).steps
    with pytest.raises(NotConverged, match="65536 layers need 8192 frequencies or more along each of 2 axes"):
        evaluate(spectral.expression, {"L": 65536, "a": 0.3, "sigma": 1.0})
