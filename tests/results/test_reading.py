"""Supports, reading probabilities and products over all outputs, against SciPy and the operator itself."""

import numpy as np
import pytest
import sympy as sp
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import warptheory as wt
from warptheory import kernels
from warptheory.fields import laws
from warptheory.results.backward._reading import (
    OUTPUT,
    ExpectedReadings,
    LogUnread,
    ReadingProbability,
    UnreadProbability,
    WideLimit,
    pixels_read,
    reading_probability,
    support,
    support_size,
    watch,
)
from warptheory.symbolic import NotReducible, OffsetField, evaluate
from warptheory.symbolic.nodes import Opaque

SIZES = {"nearest": 1, "linear": 2, "keys": 4, "bspline3": 4, "triangle(1.5)": 3, "triangle(1.25)": sp.Rational(5, 2)}
SCIPY = {
    "normal": ("s", lambda scale: stats.norm(scale=scale)),
    "uniform": ("a", lambda scale: stats.uniform(-scale, 2 * scale)),
}
SCIPY |= {"laplace": ("b", lambda scale: stats.laplace(scale=scale))}


@pytest.mark.parametrize(("name", "size"), SIZES.items())
def test_length_of_the_support(name, size):
    assert support_size(kernels.get(name)) == size


@pytest.mark.parametrize("name", ["sinc", "bspline3(prefilter=True)"])
def test_kernels_that_read_every_pixel_have_none(name):
    with pytest.raises(NotReducible, match="reads every pixel"):
        support(kernels.get(name))


@given(st.sampled_from(sorted(SIZES)), st.floats(0.001, 0.999))
def test_pixels_read_are_the_entries_of_a_row(name, fraction):
    """N(f) is the number of non-zero entries of a row of W, away from the knots at quarters."""
    if abs(fraction * 4 - round(fraction * 4)) < 1e-9:
        return
    row = wt.warp_matrix(torch.full((1, 1, 16), fraction, dtype=torch.float64), kernel=name, boundary="periodic")
    read = int((row.to_dense()[0, 8] != 0).sum())
    assert read == pixels_read(kernels.get(name)).at(sp.Rational(fraction))


@pytest.mark.parametrize("law", SCIPY)
@pytest.mark.parametrize("name", ["nearest", "linear", "keys"])
def test_reading_probability_against_scipy(law, name):
    """By the distribution function and by quadrature of the density, both rounded at values up to one."""
    symbol, make = SCIPY[law]
    reference, kernel = make(0.7), kernels.get(name)
    pieces = support(kernel)
    low, high = float(pieces[0].lower), float(pieces[-1].upper)
    by_distribution = reading_probability(kernel, laws.get(law), OUTPUT)
    by_quadrature = ReadingProbability(Opaque(kernel), Opaque(laws.get(law)), OUTPUT)
    for output in range(-3, 4):
        exact = reference.cdf(high - output) - reference.cdf(low - output)
        values = {symbol: 0.7, "n": float(output)}
        assert evaluate(by_distribution, values) == pytest.approx(exact, abs=1e-15)
        assert evaluate(by_quadrature, values) == pytest.approx(exact, abs=1e-13)


def test_laws_with_atoms_are_refused():
    with pytest.raises(NotReducible, match="a law with a density"):
        reading_probability(kernels.get("linear"), laws.get("rademacher"))


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_over_outputs_against_a_plain_product(dim):
    """SciPy's probabilities on a window of ± 12 standard deviations; the sum of readings is |S|ᵈ."""
    kernel, scale = kernels.get("linear"), 0.8
    outputs = np.arange(-12, 13)
    line = stats.norm.cdf(1 - outputs, scale=scale) - stats.norm.cdf(-1 - outputs, scale=scale)
    joint = line
    for _ in range(dim - 1):
        joint = joint[..., None] * line
    offsets = OffsetField("normal", dim)
    probability = reading_probability(kernel, laws.get("normal"))
    product, log, expected = (
        evaluate(watch(node, probability, kernel, offsets), {"s": scale})
        for node in (UnreadProbability, LogUnread, ExpectedReadings)
    )
    assert product == pytest.approx(np.prod(1 - joint), rel=1e-13)
    assert log == pytest.approx(np.log1p(-joint).sum(), rel=1e-13)
    assert expected == pytest.approx(2.0**dim, rel=1e-14)


@pytest.mark.parametrize("period", [2, 5, 8])
def test_on_a_torus_it_is_a_product_over_classes(period):
    """Outputs that are a period apart are one output, whose probabilities add up."""
    kernel = kernels.get("nearest")
    offsets = OffsetField("normal", 1)
    found = watch(UnreadProbability, reading_probability(kernel, laws.get("normal")), kernel, offsets, period)
    wraps = np.arange(-40, 41)[:, None] * period + np.arange(period)
    mass = (stats.norm.cdf(0.5 - wraps, scale=1.7) - stats.norm.cdf(-0.5 - wraps, scale=1.7)).sum(0)
    assert evaluate(found, {"s": 1.7}) == pytest.approx(np.prod(1 - mass), rel=1e-13)


@pytest.mark.parametrize("dim", [1, 2])
def test_limits_are_extrapolated(dim):
    """A series in 1/sᵈ, 1/sᵈ⁺¹, … of known limit; what remains is the product of eight (five) further steps."""
    s = sp.Symbol("s", positive=True)
    limit = WideLimit(sp.exp(-3 + 2 / s**dim - 1 / s ** (dim + 1)), s, dim)
    assert not limit.free_symbols
    assert evaluate(limit, {}) == pytest.approx(np.exp(-3), rel=1e-8)
    assert "Limit" in str(limit)
