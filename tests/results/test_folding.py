import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import sympy as sp
import torch
from scipy import integrate, interpolate, stats

from warptheory import montecarlo, warping
from warptheory.core.errors import ArgumentError
from warptheory.results._setting import TAU, Setting
from warptheory.results.backward import _lag_sums
from warptheory.results.backward._fold_integrals import logarithm_coefficient
from warptheory.results.backward._folded_fields import count_preimages, gaussian_offsets
from warptheory.results.backward.folding import (
    GROWTH,
    CausticGrowth,
    DensityAtZero,
    FoldProbability,
    Preimages,
    SignedPreimages,
    growth,
    mean_inverse_jacobian,
    result,
)
from warptheory.stability import jacobian_determinant, offset_jacobian
from warptheory.symbolic import evaluate

ALLOWED = 4.5  # standard errors


@pytest.mark.parametrize("experiment", [FoldProbability, Preimages, SignedPreimages, DensityAtZero])
@pytest.mark.parametrize(
    ("dim", "tau"),
    [(1, 0.4), pytest.param(2, 0.9, marks=pytest.mark.slow), pytest.param(3, 0.4, marks=pytest.mark.slow)],
)
def test_every_step_equals_the_one_before(experiment, dim, tau):
    """Quadrature, to rounding, on one side, the closed form on the other; mpmath's quadrature promises 15 digits."""
    values = {"tau": tau, "nu": 0.8, "h": 0.2, "delta": 0.1}
    steps = experiment(Setting(dim=dim)).derive().steps
    assert len(steps) >= 2
    for before, after in itertools.pairwise(steps):
        first, second = evaluate(before.expression, values), evaluate(after.expression, values)
        assert second == pytest.approx(first, rel=1e-10, abs=1e-13), after.name
        assert second * (1 + 1e-9) != pytest.approx(first, rel=1e-10, abs=1e-13)


@pytest.mark.parametrize(
    ("dim", "tau", "accuracy"),
    [
        pytest.param(dim, tau, accuracy, marks=[] if (dim, tau) in ((1, 0.4), (2, 1.2), (3, 0.8)) else pytest.mark.slow)
        for dim, accuracy in ((1, 1e-9), (2, 1e-9), (3, 2e-5))
        for tau in (0.4, 0.8, 1.2)
    ],
)
def test_growth_is_that_of_the_sum_over_pairs(dim, tau, accuracy):
    """Exact sums at finite lengths, fitted; in space they are short, and corrections of order s⁻⁶ are left."""
    first, *others = (evaluate(step.expression, {"tau": tau, "delta": 0.1}) for step in growth_steps(dim))
    assert len(others) == 3
    for other in others:
        assert other == pytest.approx(first, rel=accuracy)
        assert 1.001 * other != pytest.approx(first, rel=accuracy)


def growth_steps(dim):
    return growth(Setting(dim=dim)).derive().steps


@pytest.mark.parametrize("dim", [1, 2])
def test_a_sum_over_pairs_is_that_of_all_lags(dim):
    """Every lag by itself, E a(r + √v Z) by SciPy's quadrature over SciPy's cubic B-spline, an offset of a pixel."""
    spread, tau, reach = 1.0, 0.8, 12
    spline = interpolate.BSpline.basis_element(np.arange(-2, 3))
    nodes, weights = np.polynomial.legendre.leggauss(24)
    points = np.concatenate([(nodes + 1) / 2 + piece for piece in range(-2, 2)])
    mass = np.tile(weights / 2, 4) * spline(points)
    lags = np.array(list(itertools.product(range(-reach, reach + 1), repeat=dim)), dtype=float)
    lags = lags[np.any(lags != 0, axis=1)]
    variance = 2 * spread**2 * (1 - np.exp(-np.sum(lags**2, axis=1) * tau**2 / 2 / spread**2))
    densities = stats.norm.pdf(points, lags[..., None], np.sqrt(variance)[:, None, None])
    assert _lag_sums.lag_sum(dim, spread, tau) == pytest.approx((densities @ mass).prod(1).sum(), rel=1e-11)


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("tau", [0.1, 0.5, 1.0, 3.0])
def test_closed_forms(dim, tau):
    """Against scipy's χ² law, and its normal law; rounding only."""

    def value(experiment):
        return evaluate(experiment(Setting(dim=dim)).doit(), {"tau": tau})

    assert value(FoldProbability) == pytest.approx(stats.chi2.sf(1 / tau**2, dim) / 2, rel=1e-13)
    at_zero = stats.chi2.pdf(1 / tau**2, dim) / tau**2
    assert value(DensityAtZero) == pytest.approx(at_zero, rel=1e-13)
    assert value(growth) == pytest.approx(2 * math.log(2) * at_zero, rel=1e-13)
    below, density = stats.norm.cdf(-1 / tau), stats.norm.pdf(1 / tau)
    expected = {
        1: 1 - 2 * below + 2 * tau * density,
        2: 1 + tau**2 * math.exp(-1 / (2 * tau**2)),
        3: 1 - 2 * below + 4 * tau * (1 + tau**2) * density,
    }
    assert value(Preimages) == pytest.approx(expected[dim], rel=1e-13)
    assert value(SignedPreimages) == 1


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_closed_forms_against_sampled_matrices(dim):
    tau = 0.7
    slopes = tau * np.random.default_rng(dim).standard_normal((500_000, dim, dim))
    sample = np.linalg.det(np.eye(dim) + slopes)
    for experiment, values in [
        (FoldProbability, sample < 0),
        (Preimages, np.abs(sample)),
        (SignedPreimages, sample),
    ]:
        exact = evaluate(experiment(Setting(dim=dim)).doit(), {"tau": tau})
        assert abs(exact - values.mean()) < ALLOWED * values.std() / math.sqrt(len(values))


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_mean_inverse_jacobian_is_infinite_and_says_why(dim):
    derivation = mean_inverse_jacobian(Setting(dim=dim)).derive()
    assert derivation.result == sp.oo
    assert evaluate(derivation.steps[0].expression, {"tau": 0.5}) == math.inf
    assert "density of J at 0 is positive" in derivation.steps[-1].reason
    assert "log-divergence" in derivation.steps[-1].reason
    # The term before the limit carries 2 p_J(0) log(1/δ).
    leading, delta = derivation.steps[-2].expression.args[0], sp.Symbol("delta", positive=True)
    coefficient = sp.simplify(-delta * sp.diff(leading, delta))
    expected = 2 * stats.chi2.pdf(1 / 0.5**2, dim) / 0.5**2
    assert evaluate(coefficient, {"tau": 0.5}) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("tau", [0.5, 1.0])
def test_truncated_mean_grows_with_the_logarithm(tau):
    """E[1/|J|; δ < |J| < 10δ] = 2 p_J(0) log 10 + O(δ²), d = 1; δ = 10⁻⁴."""
    law = stats.norm(1, tau)
    shell = integrate.quad(lambda j: (law.pdf(j) + law.pdf(-j)) / j, 1e-4, 1e-3)[0]
    density = sp.Symbol("J", real=True)
    normal = sp.exp(-((density - 1) ** 2) / (2 * TAU**2)) / sp.sqrt(2 * sp.pi * TAU**2)
    coefficient = evaluate(logarithm_coefficient(normal), {"tau": tau})
    assert coefficient == pytest.approx(2 * law.pdf(0), rel=1e-13)
    # p″ is at most 1/τ² · 4 of p here, and δ² = 10⁻⁶ for the upper end.
    assert shell == pytest.approx(coefficient * math.log(10), rel=4e-6 / tau**4)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_forward_differences_are_independent_normals(dim):
    """At the first and the last pixel of the period: covariance τ²I, and fourth moments 3τ⁴, of the d² slopes."""
    tau, rows = 0.7, 60_000
    offsets = gaussian_offsets(np.random.default_rng(1), rows, dim, tau, 4)
    slopes = offset_jacobian(offsets)
    for pixel in (0, -1):
        found = slopes[(..., *[pixel] * dim)].reshape(rows, -1) / tau
        covariance = found.T @ found / rows
        deviation = (covariance - torch.eye(dim**2, dtype=torch.float64)) * math.sqrt(rows)
        # Standard errors are √2 on the diagonal, 1 off it; the largest of 45 stays below 4.5.
        assert deviation.abs().max() < ALLOWED * math.sqrt(2)
        # E z⁸ − 9 = 96.
        assert ((found**4).mean(0) - 3).abs().max() < ALLOWED * math.sqrt(96 / rows)
    period = offsets[..., -1] - offsets[..., 0]
    assert period.abs().max() < 1e-13  # rounding of cos(2π)


@pytest.mark.parametrize("dim", [1, 2, 3, 4])
def test_determinant_is_torchs(dim):
    offsets = torch.randn(2, dim, *[3] * dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    matrices = offset_jacobian(offsets).movedim((1, 2), (-2, -1)) + torch.eye(dim, dtype=torch.float64)
    torch.testing.assert_close(jacobian_determinant(offsets), torch.linalg.det(matrices), rtol=1e-12, atol=1e-12)


def solutions_by_hand(offsets, point, images):
    """Count preimages cell by cell with NumPy's solver, over every period of the point within reach."""
    dim, pixels = offsets.shape[0], offsets.shape[1] - 1
    points = point + pixels * np.array(list(itertools.product(range(-images, images + 1), repeat=dim)))
    count = 0
    for cell in itertools.product(range(pixels), repeat=dim):
        corner = np.array(cell) + offsets[(slice(None), *cell)]
        edges = [
            np.add(cell, unit) + offsets[(slice(None), *np.add(cell, unit))] - corner for unit in np.eye(dim, dtype=int)
        ]
        solutions = np.linalg.solve(np.transpose(edges), (points - corner).T)
        count += np.sum(np.all((solutions >= 0) & (solutions < 1), axis=0))
    return count


@pytest.mark.parametrize(("dim", "rows"), [(1, 200), (2, 60), (3, 6)])
def test_preimages_are_counted(dim, rows):
    """Slopes up to a few, so that images of cells reach beyond a period."""
    generator = np.random.default_rng(dim)
    offsets = gaussian_offsets(generator, rows, dim, 1.5, 3)
    points = 3 * generator.random((rows, dim))
    counts = count_preimages(offsets, torch.from_numpy(points))
    by_hand = [solutions_by_hand(row.numpy(), point, 5) for row, point in zip(offsets, points, strict=True)]
    assert counts.tolist() == by_hand
    assert max(by_hand) >= 3


def test_preimages_are_the_edges_of_a_warped_square_wave():
    """A wave that is 1 on half of the period, warped by `nearest` at 2048 positions a pixel: edges at preimages.

    Two edges within one 2048th of a pixel are missed; that is a chance of 1e-3 in these fields.
    """
    rows, pixels, fine, rate = 200, 4, 512, 2048
    offsets = gaussian_offsets(np.random.default_rng(3), rows, 1, 0.9, pixels)
    place = torch.arange(pixels * rate, dtype=torch.float64) / rate
    whole = place.floor().long()
    between = offsets[:, 0, whole] * (1 - place % 1) + offsets[:, 0, whole + 1] * (place % 1)
    x = torch.zeros(1, 1, pixels * fine, dtype=torch.float64)
    x[..., : pixels * fine // 2] = 1  # an edge at the pixels' border −1/2, and at that half a period further
    positions = fine * (place + between) - torch.arange(len(place))
    y = warping.warp(x.expand(rows, 1, -1).contiguous(), positions[:, None], "nearest", "periodic")[:, 0]
    edges = (y != y.roll(-1, 1)).sum(1).double()
    points = [torch.full((rows, 1), -0.5 / fine + shift, dtype=torch.float64) for shift in (0, pixels / 2)]
    assert torch.equal(edges, sum(count_preimages(offsets, point) for point in points))
    assert edges.max() >= 4
    assert edges.mean() > 2.1


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_without_offsets_there_is_one_preimage(dim):
    """So the count depends on the offsets; |J| of the slopes, splatted without them, would not."""
    generator = np.random.default_rng(0)
    offsets = gaussian_offsets(generator, 500, dim, 0.9, 3)
    point = torch.from_numpy(3 * generator.random((500, dim)))
    assert (count_preimages(torch.zeros_like(offsets), point) == 1).all()
    assert count_preimages(offsets, point).max() >= 3
    assert (count_preimages(offsets, point, torch.sign) == 1).all()  # the degree, field by field


@pytest.mark.parametrize("place", [0.0, 0.5])
def test_the_count_at_one_fixed_point_converges_to_the_continuum(place):
    """Kac–Rice at one point: on a pixel the mean number is 2.3 % low at 3 pixels a period, between two as much high.

    At 6 and 12 the error is below 0.1 %, a tenth of the smallest effect. Over all places in a pixel it vanishes.
    """
    exact = result.evaluate("preimages", standard=True)
    errors = {}
    for pixels, rows in ((3, 200_000), (6, 600_000), (12, 400_000)):
        offsets = gaussian_offsets(np.random.default_rng(pixels), rows, 1, 0.8, pixels)
        counts = count_preimages(offsets, torch.full((rows, 1), place, dtype=torch.float64))
        errors[pixels] = (counts.mean().item() / exact - 1, ALLOWED * counts.std().item() / math.sqrt(rows) / exact)
    assert math.copysign(1, place - 0.25) * errors[3][0] > 0.015
    assert all(abs(error) < 0.001 + allowed for error, allowed in (errors[6], errors[12]))


@pytest.mark.parametrize("dim", [1, 2])
def test_other_numbers_of_preimages_are_refuted(dim):
    """One (no folds), or slopes 5 % too steep."""
    claim = result.claim("preimages", dim=dim)
    steeper = result.evaluate("preimages", dim=dim, tau=0.84, standard=True)
    for wrong in (1.0, steeper):
        assert montecarlo.verify(replace(claim, theory=wrong)).verdict == "refuted"


@pytest.mark.parametrize("pixels", [4, 7])
def test_the_count_does_not_depend_on_the_grid(pixels):
    claim = result.claim("preimages", dim=2)
    finer = replace(claim, experiment=Preimages(Setting(dim=2), pixels))
    assert montecarlo.verify(finer).verdict == "verified"


def test_the_degree_is_one_at_every_point():
    """A folded wave, positions R times as dense as the grid: WᵀJ → 1 everywhere, Wᵀ|J| counts up to three preimages.

    J by forward differences is the left end of each interval, so the error is first order in 1/R, of coefficient
    Σ |J| |Δk| ≈ the variation of k along the path: at most slope · crossings.
    """
    pixels, slope = 32, 1.8
    errors = []
    for rate in (16, 64):
        n = torch.arange(pixels * rate + 1, dtype=torch.float64)
        displaced = slope * pixels / (2 * math.pi) * torch.sin(2 * math.pi * n / (pixels * rate) + 0.3)
        jacobian = jacobian_determinant(rate * displaced[None, None])[:, None]
        offsets = (n / rate + displaced - n)[None, None, :-1]
        degree = warping.splat(jacobian / rate, offsets, (pixels,), boundary="periodic")
        counts = warping.splat(jacobian.abs() / rate, offsets, (pixels,), boundary="periodic")
        errors.append((degree - 1).abs().max().item())
        assert 2.5 < counts.max() < 3.1
        assert counts.min() == pytest.approx(1.0, abs=0.1)
    assert errors[1] < 0.3 * errors[0]
    assert errors[1] < 0.02


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("tau", [0.6, 1.5])
def test_the_band_about_zero_gives_the_density(dim, tau):
    """J given all rows of slopes but the first is normal, with SciPy's density; the parabola leaves 0.5 % at most."""
    exact = stats.chi2.pdf(1 / tau**2, dim) / tau**2
    nodes, weights = np.polynomial.legendre.leggauss(24)
    band = 0.8 * tau**2 * np.concatenate([(nodes - 1) / 2, (nodes + 1) / 2])  # either side of the kink
    drawn = DensityAtZero(Setting(dim=dim)).integrand(torch.from_numpy(band), tau).numpy()
    mass = 0.4 * tau**2 * np.tile(weights, 2) * drawn
    rows = np.eye(dim)[1:] + tau * np.random.default_rng(dim).standard_normal((250_000, dim - 1, dim))
    cofactors = {
        1: lambda: np.ones((1, 1)),
        2: lambda: np.stack([rows[:, 0, 1], -rows[:, 0, 0]], axis=1),
        3: lambda: np.cross(rows[:, 0], rows[:, 1]),
    }[dim]()
    deviation = tau * np.linalg.norm(cofactors, axis=1)
    found = stats.norm.pdf(band, cofactors[:, :1], deviation[:, None]) @ mass
    error = ALLOWED * found.std() / math.sqrt(len(found))
    assert abs(found.mean() - exact) < 0.005 * exact + error
    assert error < 0.02 * exact


@pytest.mark.parametrize("tau", [0.6, 1.5])
def test_the_density_at_zero_is_verified_for_other_slopes(tau):
    verdict = montecarlo.verify(result.claim("density at zero", dim=2, tau=tau))
    assert verdict.verdict == "verified", str(verdict)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_a_density_that_is_a_tenth_off_is_refuted(dim):
    claim = result.claim("density at zero", dim=dim)
    for factor in (0.9, 1.1):
        assert montecarlo.verify(replace(claim, theory=factor * claim.theory)).verdict == "refuted"


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_the_infinite_mean_is_derived_and_not_drawn(dim):
    """A user reads that it is infinite, and why; no sample is said to confirm it."""
    name = "backward gain in the continuum"
    assert result.derive(name, dim=dim).result == sp.oo
    assert result.evaluate(name, dim=dim, standard=True) == math.inf
    assert not list(result.settings(name))
    assert GROWTH in result.get(name).checked_by
    with pytest.raises(
        ArgumentError,
        match="^quantity: expected one that can be drawn: for 'backward gain in the continuum' stand 'density",
    ):
        result.claim(name, dim=dim)


def relative_bias(pixels, rows):
    """Growth from N to 2N pixels against the limit: relative difference, and its standard error."""
    claim = result.claim(GROWTH)
    sample = CausticGrowth(Setting(), pixels).sample(np.random.default_rng(pixels), rows, claim.values).numpy()
    return sample.mean() / claim.theory - 1, sample.std() / math.sqrt(rows) / claim.theory


def test_growth_converges_to_the_logarithmic_law():
    """Bias −5.8 %, −1.9 %, −0.6 % at N = 8, 16, 32: a third with each doubling, so −0.1 % at N = 128.

    That is a fifth of a fifth of the smallest effect of 2 %.
    """
    biases = {pixels: relative_bias(pixels, rows) for pixels, rows in [(8, 4096), (16, 4096), (32, 4096), (128, 1024)]}
    for coarse, fine in [(8, 16), (16, 32)]:
        ratio = biases[fine][0] / biases[coarse][0]
        assert 0.2 < ratio < 0.5
        assert abs(biases[coarse][0]) > ALLOWED * biases[coarse][1]
    bias, error = biases[growth(Setting()).period]
    assert abs(bias) < 0.004 + ALLOWED * error
    assert error < 0.003


def test_in_the_plane_the_grid_is_fine_enough():
    """The exact sum over all pairs, for the same waves: 0.7 % below the limit, a ninth of the smallest effect."""
    claim = result.claim(f"{GROWTH} in the plane")
    sums = [wave_lag_sum(pixels, claim.values["tau"]) for pixels in (24, 48)]
    assert -0.01 < (sums[1] - sums[0]) / claim.theory - 1 < 0
    assert claim.smallest_effect >= 0.06


def wave_lag_sum(pixels, tau):
    """Σ_r E ∏ a(rᵢ + Δᵢ) for one wave along each axis, d = 2, by SciPy's B-spline and normal law."""
    spread = tau * pixels / (2 * math.pi)
    lags = np.arange(-int(17 * spread) - 4, int(17 * spread) + 5)
    along = 2 * spread**2 * (1 - np.cos(2 * math.pi * lags / pixels))
    nodes, weights = np.polynomial.legendre.leggauss(12)
    points = np.concatenate([(nodes + 1) / 2 + piece for piece in range(-2, 2)])
    mass = np.tile(weights / 2, 4) * interpolate.BSpline.basis_element(np.arange(-2, 3))(points)
    total = 0.0
    for lag, part in zip(lags, along, strict=True):
        deviation = np.sqrt(np.maximum(part + along, 1e-18))  # where the offsets agree a is 0, but at lag 0
        first = stats.norm.pdf(points, lag, deviation[:, None]) @ mass
        second = stats.norm.pdf(points, lags[:, None], deviation[:, None]) @ mass
        total += float((first * second)[part + along > 1e-9].sum())
    return total


@pytest.mark.parametrize("name", [GROWTH, f"{GROWTH} in the plane"])
def test_a_caustic_counted_once_is_refuted(name):
    """Growth log(2) p_J(0), as if the two preimages at a caustic did not add up before they are squared."""
    claim = result.claim(name)
    once = replace(claim, theory=claim.theory / 2, smallest_effect=2 * claim.smallest_effect)
    assert montecarlo.verify(once).verdict == "refuted"
    assert montecarlo.verify(claim).verdict == "verified"


@pytest.mark.parametrize("tau", [0.6, 1.2])
def test_other_slopes(tau):
    for name in ("fold probability", "preimages"):
        verdict = montecarlo.verify(result.claim(name, dim=2, tau=tau))
        assert verdict.verdict == "verified", str(verdict)
