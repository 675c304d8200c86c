"""Results K1 to K7 against laws of SciPy, sampled matrices, autograd, and values that others report."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import integrate, optimize, special, stats

from warptheory import results
from warptheory.fields.localisation import share_of_positions
from warptheory.results._setting import Setting
from warptheory.results.backward._folded_fields import gaussian_offsets
from warptheory.results.typical import _drawing
from warptheory.results.typical._drawing import composed_jacobians, composed_slopes, lattice_normals
from warptheory.results.typical._log_determinants import log_jacobian_steps, weighted_log_jacobian_steps
from warptheory.results.typical._log_slopes import half_energy_steps, slope_quantiles, tail_steps
from warptheory.results.typical._slope_length import entropy_steps, exponent, exponent_steps, spread_steps
from warptheory.results.typical.determinant_in_the_plane import SecondExponent
from warptheory.results.typical.moments_of_any_order import Moment
from warptheory.symbolic import evaluate
from warptheory.warping.jacobian import offset_jacobian

ALLOWED = 4.5  # standard errors
HALF = "share of positions that hold half of the energy after L layers"
DIMS, SLOPES = (1, 2, 3), (0.2, 0.5, 1.3)


def length_mean(function, dim, tau):
    """E f(r), r² = τ²χ², χ² SciPy's noncentral law of d degrees of freedom, by its adaptive quadrature."""
    law = stats.ncx2(dim, 1 / tau**2)

    def integrand(logarithm):
        square = math.exp(2 * logarithm) / tau**2
        return function(math.exp(logarithm)) * law.pdf(square) * 2 * square

    ends = (-40.0, *np.log([max(1 - 6 * tau, 1e-3), 1, 1 + 6 * tau, 1 + 14 * tau]))
    return sum(integrate.quad(integrand, *pair, epsabs=1e-13, limit=200)[0] for pair in itertools.pairwise(ends))


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("tau", SLOPES)
def test_means_over_a_layer(dim, tau):
    """All steps, to the accuracy of SciPy's density."""
    mean = length_mean(math.log, dim, tau)
    spread = length_mean(lambda r: math.log(r) ** 2, dim, tau) - mean**2
    energy = 1 + dim * tau**2
    entropy = length_mean(lambda r: r**2 / energy * math.log(r**2 / energy), dim, tau)
    known = ((exponent_steps(dim), mean), (spread_steps(dim), spread), (entropy_steps(dim), entropy))
    known += ((Moment(Setting(dim=dim)).steps(), length_mean(lambda r: r**1.4, dim, tau)),)
    for steps, expected in known:
        for step in steps:
            found = evaluate(step.expression, {"tau": tau, "p": 1.4})
            assert found == pytest.approx(expected, rel=1e-8, abs=1e-10), step.name
            assert found + 1e-6 != pytest.approx(expected, rel=1e-8, abs=1e-10)


def test_small_slopes():
    """The orders of the closed forms: relative to τ⁶, the next order is some τ²."""
    tau = 0.05
    values = {"tau": tau}

    def at(steps):
        return evaluate(steps[-1].expression, values)

    assert at(exponent_steps(1)) == pytest.approx(-(tau**2) / 2, rel=2e-2)
    assert at(exponent_steps(2)) == pytest.approx(0.0, abs=1e-80)  # to all orders
    assert at(exponent_steps(3)) == pytest.approx(tau**2 / 2, rel=2e-2)
    assert at(log_jacobian_steps(2)) == pytest.approx(-(tau**2) - 2 * tau**4 - 8 * tau**6, abs=60 * tau**8)
    assert at(entropy_steps(2)) == pytest.approx(2 * tau**2, rel=2e-2)


def test_exponents_in_more_dimensions():
    """λ₅ = E log‖u + τg‖ in five dimensions, which no experiment here has."""
    assert evaluate(exponent(5), {"tau": 0.7}) == pytest.approx(length_mean(math.log, 5, 0.7), rel=1e-9)


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("tau", [0.35, 0.9])
def test_determinants(dim, tau):
    """Against matrices that NumPy draws and takes the determinant of."""
    matrices = np.eye(dim) + tau * np.random.default_rng(dim).standard_normal((400_000, dim, dim))
    size = np.abs(np.linalg.det(matrices))
    drawn = [(log_jacobian_steps, np.log(size)), (weighted_log_jacobian_steps, size * np.log(size))]
    for steps, sample in drawn[: 1 if dim == 3 else 2]:
        numbers = [evaluate(step.expression, {"tau": tau}) for step in steps(dim)]
        assert max(numbers) - min(numbers) < 1e-9
        assert abs(numbers[-1] - sample.mean()) < ALLOWED * sample.std() / math.sqrt(len(sample))


def test_gradients_of_inputs_shrink_while_areas_shrink_too():
    """log|J| has another sign where inputs are drawn: the two are not to be mistaken for each other."""
    for dim in (1, 2):
        at_outputs = evaluate(log_jacobian_steps(dim)[-1].expression, {"tau": 0.2})
        at_inputs = evaluate(weighted_log_jacobian_steps(dim)[-1].expression, {"tau": 0.2})
        assert at_outputs == pytest.approx(-dim * 0.02, rel=0.15)
        assert at_inputs == pytest.approx(dim * 0.02, rel=0.15)


def test_the_second_exponent_is_that_of_the_singular_values():
    """E log of the smaller stretching after many layers, by NumPy's QR of products (Benettin)."""
    tau, layers, stacks = 0.5, 60, 400
    generator = np.random.default_rng(0)
    frame, total = np.broadcast_to(np.eye(2), (stacks, 2, 2)), np.zeros((stacks, 2))
    for layer in range(layers):
        frame, upper = np.linalg.qr((np.eye(2) + tau * generator.standard_normal((stacks, 2, 2))) @ frame)
        if layer >= 10:  # once the frame has turned to where it stays
            total += np.log(np.abs(np.diagonal(upper, axis1=1, axis2=2)))
    rates = total / (layers - 10)
    expected = [exponent(2), SecondExponent(Setting(dim=2)).steps()[-1].expression]
    for form, sample in zip(expected, rates.T, strict=True):
        assert abs(evaluate(form, {"tau": tau}) - sample.mean()) < ALLOWED * sample.std() / math.sqrt(stacks)


@pytest.mark.parametrize("dim", DIMS)
def test_laws_of_one_layer_are_noncentral(dim):
    """P(r > t), the quantiles of r, and the share with half of the energy, by SciPy's noncentral χ²."""
    tau, law = 0.5, stats.ncx2(dim, 4.0)
    for step in tail_steps(dim):
        found = evaluate(step.expression, {"tau": tau, "L": 1, "t": 1.3})
        assert found == pytest.approx(law.sf((1.3 / tau) ** 2), rel=1e-9)
    assert slope_quantiles(dim, tau, 1, [0.1, 0.9]) == pytest.approx(tau * np.sqrt(law.ppf([0.1, 0.9])), rel=1e-7)

    def energy_beyond(square):
        return integrate.quad(lambda x: x * law.pdf(x), square, 200, limit=200)[0] - law.mean() / 2

    halving = optimize.brentq(energy_beyond, 0.5, 60, xtol=1e-12)
    for step in half_energy_steps(dim):
        assert evaluate(step.expression, {"tau": tau, "L": 1}) == pytest.approx(law.sf(halving), rel=1e-7)


@pytest.mark.parametrize("dim", DIMS)
def test_laws_of_several_layers(dim):
    """Against products of NumPy's noncentral χ² variables, of which no direction is drawn."""
    tau, layers, count = 0.4, 5, 400_000
    drawn = np.random.default_rng(dim).noncentral_chisquare(dim, 1 / tau**2, (layers, count))
    slope = np.sqrt((tau**2 * drawn).prod(0))
    values = {"tau": tau, "L": layers, "t": 1.2}
    share = np.mean(slope > 1.2)
    for step in tail_steps(dim):
        assert abs(evaluate(step.expression, values) - share) < ALLOWED * math.sqrt(share * (1 - share) / count)
    parts = share_of_positions(torch.from_numpy(slope**2).reshape(20, -1)).numpy()
    exact = evaluate(half_energy_steps(dim)[-1].expression, values)
    assert abs(exact - parts.mean()) < ALLOWED * parts.std() / math.sqrt(len(parts))


def test_the_share_follows_the_entropy_and_not_the_variance():
    """What K3 states of its two approximations."""
    for dim, low in ((1, 0.09), (2, 0.05), (3, 0.03)):
        for tau, layers in itertools.product((0.15, 0.8), (1, 3, 9)):
            exact = results.get("K3").evaluate(HALF, dim=dim, tau=tau, L=layers)
            entropy = results.get("K3").evaluate("entropy of the energy a layer", dim=dim, tau=tau)
            found = stats.norm.sf(math.sqrt(2 * layers * entropy)) / exact - 1
            assert -(0.0045 if tau < 0.5 else low + 0.005) < found < 0
    spread = results.get("K2").evaluate(dim=2, tau=0.5)
    for layers, times in ((3, 2.6), (9, 12)):
        exact = results.get("K3").evaluate(HALF, dim=2, tau=0.5, L=layers)
        assert exact / stats.norm.sf(2 * math.sqrt(layers * spread)) == pytest.approx(times, rel=0.03)


def test_newman():
    """½(ln 2 + ψ(d/2)), to the digits that are quoted; on a line −(γ + ln 2)/2."""
    quoted = {1: -(np.euler_gamma + math.log(2)) / 2, 2: 0.05797, 3: 0.36482}
    for dim, number in quoted.items():
        found = results.get("K1").evaluate("top exponent of wide slopes, less log τ", dim=dim)
        assert found == pytest.approx(number, abs=5e-6)
        assert found == pytest.approx((math.log(2) + special.psi(dim / 2)) / 2, rel=1e-12)


def test_stated_signs():
    """Where exponents change their sign."""
    line, plane = exponent_steps(1)[-1].expression, log_jacobian_steps(2)[-1].expression
    for form, root in ((line, 1.56), (plane, 1.08)):
        assert evaluate(form, {"tau": root - 0.01}) < 0 < evaluate(form, {"tau": root + 0.01})


# --- what is drawn ---------------------------------------------------------------------------------------------------


def test_a_lattice_is_normal_and_independent():
    drawn = lattice_normals(np.random.default_rng(0), 400, 8, 3).numpy()
    for point, column in itertools.product((0, 5), range(3)):
        assert stats.kstest(drawn[:, point, column], "norm").pvalue > 1e-4
    correlations = np.corrcoef(drawn[:, 3].T)[np.triu_indices(3, 1)]
    assert np.abs(correlations).max() < ALLOWED / math.sqrt(400)


@pytest.mark.parametrize("dim", DIMS)
def test_a_warped_ramp_has_the_slopes_of_the_offsets(dim, monkeypatch):
    """Against differences of the offsets themselves, drawn from the same numbers."""
    kept = []
    waves = _drawing.offsets_of_waves
    monkeypatch.setattr(_drawing, "offsets_of_waves", lambda *given: kept.append(waves(*given)) or kept[-1])
    slope = _drawing.slopes_of_warped_ramp(np.random.default_rng(0), 3, 4, dim, 0.6)
    first = torch.cat([kept[0], *[torch.zeros_like(kept[0])] * (dim - 1)], 1)
    row = offset_jacobian(first)[:, 0]
    row[:, 0] += 1
    torch.testing.assert_close(slope.flatten(), torch.linalg.vector_norm(row, dim=1).flatten())


@pytest.mark.parametrize("dim", [1, 2])
def test_a_stack_by_autograd_and_by_the_chain_rule(dim):
    by_autograd = composed_slopes(np.random.default_rng(3), 2, dim, 0.4, 3)
    for number, jacobian in enumerate(composed_jacobians(np.random.default_rng(3), 2, dim, 0.4, 3), start=1):
        if number == 3:
            torch.testing.assert_close(torch.linalg.vector_norm(jacobian[:, :, 0], dim=-1), by_autograd)


def test_preimages_see_another_law_than_outputs():
    """Σ log|J| over preimages is the mean of |J| log|J|, not of log|J|."""
    experiment = results.get("K4").get("log|J| over the positions that read an input").experiment(Setting(dim=1))
    sums = experiment.sample(np.random.default_rng(0), 240, {"tau": 0.9}).numpy()
    offsets = gaussian_offsets(np.random.default_rng(1), 60_000, 1, 0.9, 3)
    size = (1 + offset_jacobian(offsets)[:, 0, 0]).abs().numpy()
    weighted, plain = (size * np.log(size)).mean(1), np.log(size).mean(1)
    stderr = math.hypot(sums.std() / math.sqrt(240), weighted.std() / math.sqrt(60_000))
    assert abs(sums.mean() - weighted.mean()) < ALLOWED * stderr
    assert abs(sums.mean() - plain.mean()) > 20 * stderr
