"""F10 against enumeration, numerical integration of its own, and the special cases of other results."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats

from warptheory import results
from warptheory.core.errors import ArgumentError
from warptheory.results._setting import Setting
from warptheory.results.selfwarp._layers import own_pixel_layer
from warptheory.results.selfwarp.own_pixel import OwnPixelMoment

RESULT = results.get("F10")
UNIT = {"mu": 0.0, "sigma": 1.0}


def conditional(x, mean, variance, alpha, power, dim):
    """E yᵖ given the own pixel, linear kernel, by the weights of the corners of its cell."""
    offset = alpha * x
    fraction = offset - math.floor(offset)
    own, squares = max(0.0, 1 - abs(offset)) ** dim, (fraction**2 + (1 - fraction) ** 2) ** dim
    expected = own * x + (1 - own) * mean
    return expected if power == 1 else expected**2 + variance * (squares - own**2)


def integral(law, mean, variance, alpha, power, dim, *, rectified=False):
    """The mean over a SciPy law, panel by panel of a pixel."""
    knots = sorted({float(edge) / alpha for edge in np.arange(-60, 61)} | {0.0, *law.support()})
    total = 0.0
    for low, high in itertools.pairwise(knot for knot in knots if abs(knot) < 40):
        if law.cdf(high) - law.cdf(low) > 1e-15:
            total += integrate.quad(
                lambda x: law.pdf(x) * conditional(max(x, 0.0) if rectified else x, mean, variance, alpha, power, dim),
                low,
                high,
                epsabs=1e-13,
            )[0]
    return total


LAWS = {
    "normal": stats.norm(),
    "laplace": stats.laplace(scale=1 / math.sqrt(2)),
    "uniform": stats.uniform(-math.sqrt(3), 2 * math.sqrt(3)),
}


@pytest.mark.parametrize(("law", "dim"), [("normal", 1), ("laplace", 2), ("uniform", 1)])
@pytest.mark.parametrize("power", [1, 2])
def test_against_scipy(law, dim, power):
    found = RESULT.evaluate(("mean", "second moment")[power - 1], inputs=law, dim=dim, alpha=0.9, **UNIT)
    assert found == pytest.approx(integral(LAWS[law], 0.0, 1.0, 0.9, power, dim), rel=1e-8, abs=1e-10)


@pytest.mark.parametrize("power", [1, 2])
def test_after_relu_against_scipy(power):
    mean, variance = 1 / math.sqrt(2 * math.pi), 0.5 - 1 / (2 * math.pi)
    found = RESULT.evaluate(("mean after ReLU", "second moment after ReLU")[power - 1], alpha=1.4, **UNIT)
    assert found == pytest.approx(integral(LAWS["normal"], mean, variance, 1.4, power, 1, rectified=True), rel=1e-8)


@pytest.mark.parametrize("power", [1, 2])
def test_signs_by_enumeration(power):
    """Pixels ±1 on a ring of seven, all 128 of them through the module; α = 0.6 reads neighbours, 1.7 those beyond."""
    signs = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=7)), dtype=torch.float64)[:, None]
    for alpha in (0.6, 1.7):
        warped = own_pixel_layer([[1.0]], alpha)(signs).pow(power).mean()
        name = ("mean", "second moment")[power - 1]
        found = RESULT.evaluate(name, inputs="rademacher", alpha=alpha, **UNIT)
        assert found == pytest.approx(float(warped), abs=1e-12)


@pytest.mark.parametrize("alpha", [0.3, 1.0, 3.0])
def test_normal_pixels_have_a_closed_form(alpha):
    """A4 + 2α² erf(1/(α√2)) − 4α/√(2π), derived by Stein's lemma and not by conditioning (F7)."""
    independent = results.get("A4").evaluate("variance", s=alpha, **UNIT)
    closed = independent + 2 * alpha**2 * special.erf(1 / (alpha * math.sqrt(2))) - 4 * alpha / math.sqrt(2 * math.pi)
    assert RESULT.evaluate("second moment", alpha=alpha, **UNIT) == pytest.approx(closed, rel=1e-8)


def test_half_of_the_relu_pixels_stay_what_they_are():
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 1, 4096))).relu()
    warped = own_pixel_layer([[1.0]], 1.0)(x)
    assert torch.equal(warped[x == 0], x[x == 0])
    assert float((x == 0).double().mean()) == pytest.approx(0.5, abs=5 * 0.5 / 64)


@pytest.mark.parametrize("kernel", ["sinc", "bspline3(prefilter=True)"])
def test_kernels_that_read_everything_are_refused(kernel):
    with pytest.raises(ArgumentError, match=r"kernel.*finitely many"):
        OwnPixelMoment(Setting(kernel), 1)
