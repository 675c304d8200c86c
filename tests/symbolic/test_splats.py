"""Splatted values against exact enumeration, columns of the real operator, and SciPy quadrature."""

import numpy as np
import pytest
import sympy as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import warptheory as wt
from tests.symbolic.enumeration import (
    EXACT,
    VALUES,
    expectation,
    joint_cumulant,
    kernel_function,
    quadrature,
    step_values,
)
from warptheory.symbolic import (
    Cov,
    Cumulant,
    E,
    ExcessKurtosis,
    IIDField,
    JointCumulant,
    OffsetField,
    Var,
    evaluate,
    splat,
    warp,
)

mu, sigma = sp.Symbol("mu", real=True), sp.Symbol("sigma", positive=True)
G = IIDField("g", law="two_point")  # skewed, and its mean is not zero
H = IIDField("h", law="rademacher")
WITHIN_A_PIXEL = OffsetField("two_point", location="3/10", scale="6/10")
ACROSS_PIXELS = OffsetField("rademacher", location="1/5", scale="7/10")
FAR = OffsetField("two_point", location="-1/2", scale="5/2")
STATISTICS = {
    "variance": lambda z: (z[0], z[0]),
    "neighbours": lambda z: (z[0], z[1]),
    "two apart": lambda z: (z[2], z[0]),
    "third": lambda z: (z[0], z[0], z[1]),
    "three pixels": lambda z: (z[0], z[1], z[2]),
    "fourth": lambda z: (z[0], z[0], z[1], z[1]),
}


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize(
    ("kernel", "offsets"),
    [("linear", FAR), ("keys", ACROSS_PIXELS)],
)
def test_cumulants_of_one_field(kernel, offsets, statistic):
    values = STATISTICS[statistic](splat(G, offsets, kernel))
    assert evaluate(Cumulant(*values), VALUES) == pytest.approx(joint_cumulant(*values, values=VALUES), **EXACT)


@pytest.mark.parametrize(("kernel", "offsets"), [("linear", ACROSS_PIXELS)])
def test_excess_kurtosis(kernel, offsets):
    z = splat(G, offsets, kernel)[0]
    fourth, variance = joint_cumulant(z, z, z, z, values=VALUES), joint_cumulant(z, z, values=VALUES)
    assert evaluate(ExcessKurtosis(z).doit(), VALUES) == pytest.approx(fourth / variance**2, **EXACT)


@pytest.mark.parametrize("kernel", ["linear", "keys", "lanczos3"])
@pytest.mark.parametrize(("pixel", "powers"), [(1, (1, 1)), (0, (2, 2))])
def test_together_with_pixels_of_the_input(kernel, pixel, powers):
    product = G[pixel] ** powers[0] * splat(G, ACROSS_PIXELS, kernel)[0] ** powers[1]
    assert evaluate(E(product), VALUES) == pytest.approx(expectation(product, VALUES), **EXACT)


def test_two_pixels_of_the_input():
    """g[−1] and g[0] both reach z[0]; a pixel far away reaches nothing."""
    z = splat(G, ACROSS_PIXELS)[0]
    for product in (G[-1] * G[0] * z, G[-1] * G[0] * z**2, G[7] * z):
        assert evaluate(E(product), VALUES) == pytest.approx(expectation(product, VALUES), **EXACT)


SECOND = OffsetField("two_point", location="-2/5", scale="7/10", name="eta")
PAIRS = {
    "two kernels": (splat(G, FAR)[0], splat(G, FAR, "nearest")[0]),
    "two kernels, third": (splat(G, FAR)[0], splat(G, FAR, "keys")[1], splat(G, FAR)[0]),
    "two offset fields": (splat(G, FAR)[0], splat(G, SECOND)[0]),
    "two offset fields, third": (splat(G, FAR)[0], splat(G, FAR)[1], splat(G, SECOND)[1]),
    "squares of two inputs": (splat(G, FAR)[0] ** 2, splat(H, FAR)[1] ** 2),
    "two inputs, third": (splat(G, FAR)[0], splat(G, FAR)[0], splat(H, FAR)[0]),
    "displaced": (splat(G, FAR)[0], splat(G, FAR + "1/3")[0]),
    "displaced by a pixel": (splat(G, FAR)[0], splat(G, FAR + 1)[0]),
    "displaced by a symbol": (splat(G, FAR)[0], splat(G, FAR + sp.Symbol("Delta", real=True))[1]),
    "sum of fields": ((2 * splat(G, FAR) + splat(H, FAR) / 3)[0], (splat(G, FAR) - 1)[1] ** 2),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_fields_together(pair):
    values = PAIRS[pair]
    assert evaluate(Cumulant(*values), VALUES) == pytest.approx(joint_cumulant(*values, values=VALUES), **EXACT)


@pytest.mark.parametrize("kind", ["independent", "equal along the axes", "shared"])
@pytest.mark.parametrize("statistic", ["variance", "diagonal", "third", "with a pixel", "displaced"])
def test_two_axes(kind, statistic):
    eps = OffsetField(
        "two_point",
        2,
        location="3/10",
        scale="6/10",
        shared=kind == "shared",
        correlation=int(kind == "equal along the axes"),
    )
    z, moved = splat(G, eps), eps + (sp.Integer(0), "1/10")  # noqa: RUF005 -- no tuple is added to
    values = {
        "variance": (z[0, 0], z[0, 0]),
        # neighbours along one axis where all offsets are independent: 18 binary variables, not 21
        "diagonal": (z[0, 0], z[0, 1] if kind == "independent" else z[1, -1]),
        "third": (z[0, 0], z[0, 0], z[0, 0]),
        "with a pixel": (z[0, 0], G[-1, 0]),
        "displaced": (z[0, 0], splat(G, moved)[0, 0]),
    }[statistic]
    assert evaluate(Cumulant(*values), VALUES) == pytest.approx(joint_cumulant(*values, values=VALUES), **EXACT)


@pytest.mark.parametrize("kernel", ["gauss(0.5)", "bspline3(prefilter=True)"])
def test_kernels_without_bounded_support(kernel):
    """Var z = Σₙ E(k²) E g² − (E k)² (E g)², from the columns of the operator for each offset, on 64 pixels.

    Both kernels fall below 1e-17 within 32 pixels.
    """
    place, probability = np.array([-0.5, 2.0]), np.array([0.75, 0.25])
    impulses = torch.eye(64, dtype=torch.float64)[:, None]  # one input pixel each
    columns = [
        wt.splat(impulses, torch.full((64, 1, 64), e, dtype=torch.float64), kernel=kernel, boundary="periodic")[
            :, 0, 32
        ]
        for e in place
    ]
    k = torch.stack(columns).numpy()
    g1, g2 = VALUES["mu"], VALUES["mu"] ** 2 + VALUES["sigma"] ** 2
    exact = np.sum(probability @ k**2 * g2 - (probability @ k) ** 2 * g1**2)
    assert evaluate(Var(splat(G, FAR, kernel)[0]), VALUES) == pytest.approx(exact, **EXACT)


LAWS = {
    "normal": lambda scale: stats.norm(scale=scale),
    "laplace": lambda scale: stats.laplace(scale=scale),
    "uniform": lambda scale: stats.uniform(-scale, 2 * scale),
    "exponential": lambda scale: stats.expon(scale=scale),
}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("kernel", ["linear", "keys"])
def test_constants_and_mean_against_quadrature(kernel, law):
    """B3: Var(Wᵀ1) = E ρ(ε) − Σⱼ (k∗q)(j)², and (E ρ)(μ² + σ²) − μ² Σⱼ (k∗q)(j)² for white g.

    Beyond 24 pixels the widest density, Laplace's, holds exp(−40) of the mass.
    """
    points, weights = quadrature(LAWS[law](0.6), [-0.6, 0.6])
    k = kernel_function(kernel)(points - np.arange(-26, 27)[:, None])
    gain, lost = float(np.sum(k**2 @ weights)), float(np.sum((k @ weights) ** 2))
    eps = OffsetField(law, scale="6/10")
    ones = splat(IIDField("g", mean=1, deviation=0), eps, kernel)
    # The library's Poisson sum is promised to a relative 1e-9 of its value.
    assert evaluate(Var(ones[0]), {}) == pytest.approx(gain - lost, rel=2e-9)
    assert evaluate(E(ones[0]), {}) == 1.0
    exact = gain * (VALUES["mu"] ** 2 + VALUES["sigma"] ** 2) - VALUES["mu"] ** 2 * lost
    assert evaluate(Var(splat(G, eps, kernel)[0]), VALUES) == pytest.approx(exact, rel=2e-9)


@pytest.mark.parametrize("order", [2, 3, 4])
def test_tails_against_quadrature(order):
    """κᵣ(z) = Σₙ κᵣ(k(n + ε) g), the cumulants of a product of independent factors, for normal offsets."""
    mean, variance = VALUES["mu"], VALUES["sigma"] ** 2
    raw = {1: mean, 2: mean**2 + variance, 3: mean**3 + 3 * mean * variance}
    raw[4] = mean**4 + 6 * mean**2 * variance + 3 * variance**2
    points, weights = quadrature(stats.norm(scale=0.6))
    k = kernel_function("linear")(points + np.arange(-26, 27)[:, None])
    m = {r: moment * (k**r @ weights) for r, moment in raw.items()}
    cumulants = {
        2: m[2] - m[1] ** 2,
        3: m[3] - 3 * m[2] * m[1] + 2 * m[1] ** 3,
        4: m[4] - 4 * m[3] * m[1] - 3 * m[2] ** 2 + 12 * m[2] * m[1] ** 2 - 6 * m[1] ** 4,
    }
    z = splat(IIDField("g", law="normal"), OffsetField("normal", scale="6/10"))[0]
    # A Poisson sum, promised to a relative 1e-9, is a term of each.
    assert evaluate(Cumulant(*[z] * order), VALUES) == pytest.approx(float(cumulants[order].sum()), rel=2e-9)


@pytest.mark.parametrize("order", [2, 3])
def test_steps_agree(order):
    """Every step that has a number; sums with random variables in them have none."""
    values = [splat(G, ACROSS_PIXELS)[i % 2] for i in range(order)]
    numbers = step_values(JointCumulant(*values), VALUES)
    assert len(numbers) >= 2
    assert numbers == pytest.approx([numbers[-1]] * len(numbers), **EXACT)


@settings(max_examples=6)
@given(
    st.sampled_from(["normal", "laplace", "uniform", "rademacher", "two_point", "mixture"]),
    st.sampled_from(["linear", "nearest", "keys", "bspline3"]),
    st.integers(1, 40),
    st.integers(-10, 10),
    st.sampled_from([1, 2]),
)
def test_backward_second_moment_is_the_forward_one(law, kernel, scale, location, dim):
    """B1 = A4, for every law and kernel: tr WWᵀ = tr WᵀW."""
    eps = OffsetField(law, dim, scale=sp.Rational(scale, 20), location=sp.Rational(location, 10))
    x = IIDField("x", mean=0)
    forward, backward = (evaluate(E(f(x, eps, kernel)[0] ** 2), VALUES) for f in (warp, splat))
    assert backward == pytest.approx(forward, rel=1e-12)


@settings(max_examples=6)
@given(
    st.sampled_from(["normal", "laplace", "two_point", "rademacher"]),
    st.sampled_from(["linear", "keys"]),
    st.integers(-2, 2),
    st.booleans(),
)
def test_adjointness(law, kernel, pixel, shared):
    """⟨Wx, Sx⟩ = ⟨x, WᵀSx⟩ for a shift S by j pixels; both sides are homogeneous: E y[0] x[j] = E z[0] x[−j]."""
    eps = OffsetField(law, scale="9/10", location="1/5", shared=shared)
    x = IIDField("x")
    forward, backward = E(warp(x, eps, kernel)[0] * x[pixel]), E(splat(x, eps, kernel)[0] * x[-pixel])
    assert evaluate(backward, VALUES) == pytest.approx(evaluate(forward, VALUES), rel=1e-12)


@pytest.mark.parametrize("shared", [False, True])
def test_only_differences_of_pixels_matter(shared):
    z = splat(G, OffsetField("normal", shared=shared))
    n = sp.Symbol("n", integer=True)
    assert Cov(z[n], z[n + 1]) == Cov(z[-3], z[-2]) == Cov(z[5], z[4])
    assert E(z[n] * G[n - 2]) == E(z[10] * G[8])


def test_a_shared_offset_moves_everything_alike():
    """For one shared offset the splat by ε is the warp by −ε: a shift back and forth."""
    z = splat(G, OffsetField("two_point", location="3/10", scale="6/10", shared=True))
    for values in ((z[0], z[1]), (z[0], z[0], z[1]), (z[0], z[0], z[1], z[1])):
        assert evaluate(Cumulant(*values), VALUES) == pytest.approx(joint_cumulant(*values, values=VALUES), **EXACT)
    symmetric = OffsetField("normal", scale="2/5", shared=True)
    y, z = warp(G, symmetric), splat(G, symmetric)
    assert evaluate(Cov(z[0], z[1]), VALUES) == pytest.approx(evaluate(Cov(y[0], y[1]), VALUES), rel=1e-12)
