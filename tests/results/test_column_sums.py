"""B5, norms of W: derivation steps and the operator against dense linear algebra, SciPy and enumeration."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import sympy as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg, stats

import warptheory as wt
from tests.simulated import check_simulation, claims_of
from warptheory import kernels
from warptheory.core.errors import ArgumentError
from warptheory.results import Setting
from warptheory.results.backward import _row_sums
from warptheory.results.backward._compound_poisson import THRESHOLD, ColumnTail, KnotSum
from warptheory.results.backward.column_sums import ColumnSumTail, result
from warptheory.symbolic import NotReducible, evaluate
from warptheory.symbolic.nodes import Opaque

CLAIMS = claims_of(result)
NON_NEGATIVE = ("nearest", "linear", "bspline3", "gauss(0.5)", "triangle(1.5)")


@pytest.mark.parametrize(("quantity", "setting"), CLAIMS)
def test_the_operator_verifies_it_and_a_planted_error_is_refused(quantity, setting):
    """Every quantity, kernel, number of axes and law; `make test-slow` has them for every quantity."""
    check_simulation(result, quantity, setting, family=len(CLAIMS))


# ---- rows ----


@pytest.mark.parametrize("quantity", result.quantities[:2], ids=lambda quantity: quantity.name)
@pytest.mark.parametrize("kernel", [*NON_NEGATIVE, "keys", "keys(-0.75)"])
@pytest.mark.parametrize("dim", [1, 2])
def test_steps_of_row_sums_agree(quantity, kernel, dim):
    """Quadrature and search by the kernel's definition against exact pieces.

    Gauss–Legendre is exact on the polynomials; the search ends 2⁻⁴⁰ short of the cell's end at the worst.
    """
    steps = quantity.experiment(Setting(kernel, dim)).derive().steps
    numbers = [evaluate(step.expression, {}) for step in steps]
    assert numbers == pytest.approx([numbers[-1]] * len(steps), rel=1e-11)


def test_row_sums_in_closed_form():
    """Keys: Λ(f) = 1 + f(1 − f), so 7/6 and 5/4; for any slope a, 1 − 2af(1 − f), so 1 − a/2 at f = 1/2."""
    assert result.derive("mean absolute row sum", kernel="keys").result == sp.Rational(7, 6)
    assert result.derive("infinity norm", kernel="keys", dim=2).result == sp.Rational(25, 16)
    assert result.derive("infinity norm", kernel="keys(-0.75)").result == sp.Rational(11, 8)
    assert all(result.derive("infinity norm", kernel=kernel, dim=3).result == 1 for kernel in NON_NEGATIVE)


def test_a_weight_that_changes_sign_inside_a_piece_is_split():
    f = kernels.FRACTION
    cells = _row_sums._signed_cells(kernels.PeriodicFunction.constant(f**2 - sp.Rational(1, 4)))
    assert [(sign, cell.lower, cell.upper) for sign, cell in cells] == [
        (-1, 0, sp.Rational(1, 2)),
        (1, sp.Rational(1, 2), 1),
    ]


@pytest.mark.parametrize("name", ["sinc", "bspline3(prefilter=True)"])
def test_row_sums_of_a_kernel_that_reads_every_pixel_are_refused(name):
    """The taps of a prefiltered spline are positive; the entries of W, which count, are not."""
    with pytest.raises(NotReducible, match="row sums of .* reads every pixel; a kernel of finite support is needed"):
        result.derive("infinity norm", kernel=name)


def test_the_infinity_norm_is_checked_with_and_without_negative_weights():
    assert {"keys", "linear"} <= {setting.kernel for setting in result.settings("infinity norm")}


def test_an_unknown_sign_is_refused():
    with pytest.raises(NotReducible, match="the sign of this function"):
        result.derive(kernel="lanczos3")


# ---- the Schur test ----


@given(
    st.sampled_from(["nearest", "linear", "keys", "bspline3", "gauss(0.5)"]),
    st.sampled_from(["zeros", "border", "reflect", "mirror", "periodic"]),
    st.sampled_from([(9,), (40,), (6, 7)]),
    st.floats(0.0, 20.0),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=60)
def test_schur_bound_on_dense_matrices(kernel, boundary, size, scale, seed):
    """‖W‖₂ by LAPACK's singular values ≤ √(‖W‖₁‖W‖_∞) + rounding, and ‖W‖_∞ ≤ the number of B5."""
    generator = torch.Generator().manual_seed(seed)
    offsets = scale * torch.randn(1, len(size), *size, generator=generator, dtype=torch.float64)
    matrix = wt.warp_matrix(offsets, kernel=kernel, boundary=boundary).to_dense()[0].numpy()
    columns, rows = np.abs(matrix).sum(0).max(), np.abs(matrix).sum(1).max()
    # Backward error of the singular values: a modest multiple of n·u·‖W‖₂.
    assert linalg.svdvals(matrix)[0] <= np.sqrt(columns * rows) * (1 + 1e-12)
    assert rows <= result.evaluate("infinity norm", kernel=kernel, dim=len(size), standard=True) * (1 + 1e-12)


def test_schur_bound_is_reached_by_a_shift_and_not_by_a_collapse():
    """Control: all positions on one pixel give ‖W‖₂ = √N = √‖W‖₁, so the bound cannot be lowered."""
    size = 25
    offsets = -torch.arange(size, dtype=torch.float64).reshape(1, 1, size)
    matrix = wt.warp_matrix(offsets).to_dense()[0].numpy()
    assert np.abs(matrix).sum(0).max() == size
    assert linalg.svdvals(matrix)[0] == pytest.approx(math.sqrt(size), rel=1e-14)


# ---- the largest column sum ----


def expected_maximum(sizes):
    """The numbers of the last step."""
    return [result.evaluate("largest column sum", kernel="nearest", N=float(size), standard=True) for size in sizes]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6])
def test_largest_load_against_all_placements(size):
    """Every one of the Nᴺ placements, as a fraction."""
    loads = (max(map(placement.count, range(size))) for placement in itertools.product(range(size), repeat=size))
    exact = Fraction(sum(loads), size**size)
    assert expected_maximum([size]) == pytest.approx([float(exact)], rel=1e-15 * size)


@pytest.mark.parametrize("size", [8, 13])
def test_generating_function_by_sympy(size):
    """The coefficient of zᴺ, expanded exactly."""
    z = sp.Symbol("z")
    total = sp.Integer(0)
    for k in range(size):
        polynomial = sp.Poly(sum(z**j / sp.factorial(j) for j in range(k + 1)), z) ** size
        total += 1 - sp.factorial(size) / sp.Integer(size) ** size * polynomial.coeff_monomial(z**size)
    assert expected_maximum([size]) == pytest.approx([float(total)], rel=1e-14)


@pytest.mark.parametrize("size", [1, 2, 7, 40, 150])
def test_steps_of_the_largest_load_agree(size):
    """Bin by bin, by a Fourier transform, by recursion: N multiplications, each rounded."""
    steps = result.derive("largest column sum", kernel="nearest").steps
    numbers = [evaluate(step.expression, {"N": float(size)}) for step in steps]
    assert numbers == pytest.approx([numbers[-1]] * 3, rel=1e-11)


def independent_poisson_maximum(size):
    """E max of N independent Poisson(1) variables by SciPy."""
    return float(np.sum(1 - stats.poisson.cdf(np.arange(40), 1.0) ** size))


def test_largest_load_against_independent_poisson_loads():
    """That the loads sum to N changes E max by a term of order 1/N: |difference|·N stays below 2 up to N = 2¹².

    It oscillates with N, as the maximum moves from one whole number to the next; the slope is that of a line
    through all sizes on logarithmic axes.
    """
    sizes = [2**power for power in range(4, 13)]
    gaps = [
        abs(exact - independent_poisson_maximum(size))
        for size, exact in zip(sizes, expected_maximum(sizes), strict=True)
    ]
    assert all(gap * size < 2 for gap, size in zip(gaps, sizes, strict=True)), gaps
    order = np.polyfit(np.log(sizes), np.log(gaps), 1)[0]
    assert -1.15 < order < -0.7


def test_growth_with_the_grid():
    """E max/(log N/log log N) moves from 1.13 to 1.62 for N from 2⁴ to 2¹⁴, while N grows a thousandfold."""
    sizes = [2**power for power in range(4, 15)]
    maxima = np.array(expected_maximum(sizes))
    assert np.all(np.diff(maxima) > 0)
    ratio = maxima / (np.log(sizes) / np.log(np.log(sizes)))
    assert ratio.min() > 1.0
    assert ratio.max() / ratio.min() < 1.6
    assert maxima[-1] / maxima[0] > 2


@pytest.mark.parametrize("size", [16, 1024])
def test_largest_load_against_numpy_placements(size):
    """20 000 placements (2 000 of the larger) by NumPy's multinomial, within 4.5 standard errors (7e-6)."""
    counts = np.random.default_rng(size).multinomial(size, [1 / size] * size, size=20_000 if size < 100 else 2_000)
    largest = counts.max(1)
    assert abs(largest.mean() - expected_maximum([size])[0]) <= 4.5 * largest.std() / math.sqrt(len(largest))


def test_sizes_have_to_be_whole_and_positive():
    for size in (0, 2.5):
        with pytest.raises(ArgumentError, match=f"^N: expected a whole number > 0, got {float(size)}$"):
            expected_maximum([size])


# ---- the law of one column sum ----


def linear_tail(threshold):
    """SciPy: Poisson(2) readings, each of a uniform weight."""
    readings = np.arange(1, 60)
    tails = [stats.irwinhall.sf(threshold, r) for r in readings[:18]] + [1.0] * len(readings[18:])
    return float(np.sum(stats.poisson.pmf(readings, 2.0) * tails))


@pytest.mark.parametrize("threshold", [0.0, 0.3, 1.0, 1.6, 2.5, 3.7])
def test_linear_tail_against_irwin_hall(threshold):
    """SciPy sums B-splines; beyond 18 readings its tail is one to 1e-9, with probability below 1e-12."""
    found = result.evaluate("tail of a column sum", kernel="linear", t=threshold, standard=True)
    assert found == pytest.approx(linear_tail(threshold), abs=1e-10)


def test_no_tail_at_zero_but_of_dead_inputs():
    """P(S > 0) = 1 − e^{−2}: B5 and B4 meet."""
    dead = wt.results.get("B4").evaluate("share of dead inputs, wide offsets", kernel="linear", standard=True)
    assert result.evaluate("tail of a column sum", kernel="linear", t=0.0, standard=True) == pytest.approx(
        1 - dead, rel=1e-14
    )


@pytest.mark.parametrize("dim", [1, 2])
@pytest.mark.parametrize("threshold", [0.5, 1.6, 3.2])
def test_nearest_tail_against_scipy(dim, threshold):
    found = result.evaluate("tail of a column sum", kernel="nearest", dim=dim, t=threshold, standard=True)
    assert found == pytest.approx(stats.poisson.sf(np.floor(threshold), 1.0), rel=1e-13)


@pytest.mark.parametrize("kernel", ["linear", "nearest", "bspline3"])
@pytest.mark.parametrize("dim", [1, 2])
@pytest.mark.parametrize("threshold", [0.7, 1.6])
def test_steps_of_the_tail_agree(kernel, dim, threshold):
    """The lattice of weights is good to 1e-7 (see `ColumnTail`); from the mixture on, to rounding."""
    steps = result.derive("tail of a column sum", kernel=kernel, dim=dim).steps
    numbers = [evaluate(step.expression, {"t": threshold}) for step in steps]
    assert numbers == pytest.approx([numbers[-1]] * len(steps), abs=2e-7)
    assert numbers[2:] == pytest.approx([numbers[-1]] * len(numbers[2:]), rel=1e-13)


def test_the_linear_tail_is_a_finite_sum_of_bessel_functions():
    closed = result.derive("tail of a column sum", kernel="linear").result
    assert closed.atoms(KnotSum)
    assert next(iter(closed.atoms(KnotSum))).args[0].has(sp.besseli)


@pytest.mark.parametrize("kernel", ["linear", "nearest", "bspline3"])
@pytest.mark.parametrize("dim", [1, 2])
def test_the_torus_is_large_enough(kernel, dim):
    """The exact tail for a binomial number of readings is within a tenth of the smallest effect."""
    quantity = result.get("tail of a column sum")
    setting = Setting(kernel, dim)
    pixels = ColumnSumTail(setting).row_elements({})
    finite = ColumnTail(Opaque(kernels.get(kernel)), dim, THRESHOLD, pixels)
    exact = evaluate(finite, quantity.standard(setting))
    theory = result.evaluate(quantity.name, kernel=kernel, dim=dim, standard=True)
    assert exact == pytest.approx(theory, rel=quantity.smallest_effect / 10)


def test_binomial_readings_against_scipy():
    """On a torus of 10 pixels: Binomial(10, 2/10) readings of uniform weights; the lattice is good to 1e-7."""
    tails = [stats.irwinhall.sf(1.6, r) for r in range(1, 11)]
    exact = float(np.sum(stats.binom.pmf(np.arange(1, 11), 10, 0.2) * tails))
    found = ColumnTail(Opaque(kernels.get("linear")), 1, THRESHOLD, 10)
    assert evaluate(found, {"t": 1.6}) == pytest.approx(exact, abs=1e-7)


def test_signed_weights_are_refused():
    with pytest.raises(NotReducible, match="weights ≥ 0"):
        result.derive("tail of a column sum", kernel="keys")


@pytest.mark.parametrize("quantity", result.quantities, ids=lambda quantity: quantity.name)
def test_every_step_prints(quantity):
    for setting in result.settings(quantity.name):
        derivation = quantity.experiment(setting).derive()
        assert str(derivation)
        assert derivation.latex()
        assert all(step.mathml().startswith("<math") for step in derivation.steps)
