"""The judge is judged: calibration, power, the three verdicts, and reproducibility."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from scipy import stats

from tests.given import needed
from warptheory import montecarlo, results
from warptheory.core.errors import ArgumentError
from warptheory.montecarlo import Claim, Judgement, NotFiniteError, allowed_deviation, estimate, verify
from warptheory.montecarlo._chunks import ChunkPlan
from warptheory.montecarlo._verdict import student_deviation
from warptheory.symbolic import Covariance, ExcessKurtosis, Expectation, IIDField, OffsetField, Variance, warp

MEAN = Expectation(IIDField()[0])
CONDITIONAL = Variance(warp(IIDField(), OffsetField())[0], given=OffsetField().fraction)


@dataclass(frozen=True)
class Normal:
    """A known experiment: independent normal rows."""

    mean: float = 1.0
    deviation: float = 1.0
    symbols: frozenset = frozenset()

    def row_elements(self, values):
        return 16

    def sample(self, generator, rows, values, device="cpu"):
        return torch.from_numpy(generator.normal(self.mean, self.deviation, rows))


@dataclass(frozen=True)
class Broken(Normal):
    def sample(self, generator, rows, values, device="cpu"):
        return torch.full((rows,), math.nan)


def test_z_controls_the_family():
    assert allowed_deviation(1, 0.05) == pytest.approx(stats.norm.isf(0.025))
    assert allowed_deviation(50) == pytest.approx(stats.norm.isf(1e-3 / 100))


def test_true_claim_is_verified_with_power():
    verdict = verify(Claim("true", 1.0, Normal()))
    assert verdict.verdict == "verified"
    assert verdict.power >= 0.999
    assert verdict.effect == pytest.approx(0.01)
    assert verdict.effect >= (verdict.z + 3.09) * verdict.stderr


@pytest.mark.parametrize("wrong", [1.01, 0.99])
def test_claim_wrong_by_the_smallest_effect_is_refuted(wrong):
    claim = Claim("wrong", wrong, Normal(), smallest_effect=0.01 / wrong)
    assert verify(claim).verdict == "refuted"


def test_too_small_a_run_is_undecided_never_a_pass():
    verdict = verify(Claim("small", 1.0, Normal()), max_elements=16)
    assert verdict.verdict == "undecided"
    assert verdict.power < 0.999


def test_one_outlying_run_is_not_a_refutation():
    """A deviation that fresh numbers do not confirm leaves the claim undecided."""
    first = ChunkPlan.of(Normal().row_elements({}), 2**31, fewest=4)  # those before the first look

    @dataclass(frozen=True)
    class FirstRunOff(Normal):
        symbols: frozenset = frozenset({"rows"})

        def sample(self, generator, rows, values, device="cpu"):
            values["rows"] += rows
            mean = 1.1 if values["rows"] <= first.rows * first.fewest else 1.0
            return torch.from_numpy(generator.normal(mean, 0.001, rows))

    verdict = verify(Claim("outlier", 1.0, FirstRunOff(), values={"rows": 0.0}))
    assert verdict.verdict == "undecided"
    assert verdict.estimate == pytest.approx(1.0, abs=1e-3)


def test_a_theory_of_zero_has_an_absolute_effect():
    claim = Claim("zero", 0.0, Normal(mean=0.0))
    assert claim.absolute_effect == 0.01
    assert verify(claim).verdict == "verified"
    assert verify(replace(claim, theory=0.0, experiment=Normal(mean=0.01))).verdict == "refuted"


@pytest.mark.parametrize("z", [1.0, 1.96, 4.0, 5.2])
@pytest.mark.parametrize("n", [2, 4, 64, 5000])
def test_widening_is_that_of_students_law(z, n):
    """The quantile that has the same tail as z; SciPy's two routines agree to ten digits."""
    widened = student_deviation(z, n)
    assert widened == pytest.approx(stats.t(n - 1).isf(stats.norm.sf(z)), rel=1e-9)
    assert widened > z
    assert student_deviation(z, 10**9) == pytest.approx(z, rel=1e-6)


def test_fewer_than_two_rows_refuse_nothing():
    assert student_deviation(4.0, 1) == student_deviation(4.0, 0) == math.inf


@dataclass(frozen=True)
class Exact(Normal):
    """Rows that scatter by rounding alone."""

    def sample(self, generator, rows, values, device="cpu"):
        return self.mean + 1e-15 * torch.from_numpy(generator.standard_normal(rows))


def test_one_percent_of_the_smallest_effect_is_allowed():
    """Of an effect of 0.05 a distance of 0.0005 and no more, where the standard error is nothing beside it."""
    for distance, verdict in ((0.000499, "verified"), (-0.000499, "verified"), (0.000501, "refuted")):
        claim = Claim("exact", 1.0, Exact(mean=1 + distance), smallest_effect=0.05)
        found = verify(claim)
        assert (found.verdict, found.power) == (verdict, 1.0)
        assert found.stderr < 1e-15


def test_the_allowance_is_added_to_the_widened_standard_errors():
    judgement = judged(Claim("mean", 1.0, Normal(), smallest_effect=0.5), twice=True)
    first, second = judgement.estimates
    reach = [student_deviation(3.0, one.n) * one.stderr + 0.005 for one in (first, second)]
    below = min(first.value - reach[0], second.value - reach[1])
    assert judgement.refuses(below - 1e-9)
    assert not judgement.refuses(below + 1e-9)
    above = max(first.value + reach[0], second.value + reach[1])
    assert judgement.refuses(above + 1e-9)
    assert not judgement.refuses(above - 1e-9)


def judged(claim, **choices):
    """Return a judgement at z = 3 that has come to its end."""
    judgement = Judgement(claim, 1, 3.0, **choices)
    while not judgement.is_done:
        assert not judgement.refuses(1e9)  # before the end nothing is refused
        for chunk in judgement.estimation.wanted:
            (moments,) = judgement.estimation.batch(range(chunk, chunk + 1)).run()
            judgement.add(judgement.estimation.label, chunk, moments)
    return judgement


def test_two_estimates_are_made_where_asked_for():
    """A true claim has one estimate, or two of different streams; the verdict is the same."""
    claim = Claim("true", 1.0, Normal(), smallest_effect=0.5)
    once, twice = judged(claim), judged(claim, twice=True)
    assert [one.label for one in once.estimates] == ["true"]
    assert [one.label for one in twice.estimates] == ["true", "true/again"]
    assert twice.estimates[0] == once.estimates[0]
    assert twice.estimates[0].value != twice.estimates[1].value
    assert once.verdict.verdict == twice.verdict.verdict == "verified"
    assert twice.refuses(1.5)
    assert not twice.refuses(1.0)
    assert once.refuses(1.5)


def test_a_wrong_claim_refuses_itself():
    judgement = judged(Claim("wrong", 2.0, Normal(), smallest_effect=0.1))
    assert len(judgement.estimates) == 2
    assert judgement.verdict.verdict == "refuted"
    assert judgement.refuses(2.0)
    assert not judgement.refuses(1.0)


def test_false_refusals_are_as_rare_as_stated():
    """At level 0.05 a true claim leaves ±z in 5 % of 1000 runs: 50 ± 6.9; allowed 4 of these."""
    z = allowed_deviation(1, 0.05)
    found = [estimate(Normal(), {}, rtol=0.02, seed=seed, max_elements=1) for seed in range(1000)]
    outside = sum(abs(e.value - 1.0) > z * e.stderr for e in found)
    assert abs(outside - 50) <= 4 * math.sqrt(1000 * 0.05 * 0.95)


def test_estimates_of_a_result_are_calibrated():
    """(estimate − theory)/stderr over 60 seeds is standard normal (Kolmogorov–Smirnov at 1e-4)."""
    claim = results.get("A2").claim(inputs="exponential")
    found = [
        estimate(claim.experiment, claim.values, rtol=1.0, seed=seed, label=claim.label, max_elements=1, plain=True)
        for seed in range(60)
    ]
    scores = [(e.value - claim.theory) / e.stderr for e in found]
    assert stats.kstest(scores, "norm").pvalue > 1e-4
    assert stats.kstest([score + 1 for score in scores], "norm").pvalue < 1e-4  # a bias of one standard error shows


def test_rows_are_independent():
    """The standard error of E y² from rows equals the scatter of 64 chunks’ means, within a χ² interval at 1e-4."""
    experiment = montecarlo.Simulation(
        Variance(warp(IIDField(mean=0, deviation=1), OffsetField("constant", location="3/10"))[0])
    )
    generator = np.random.default_rng(0)
    _, rows = experiment.sample(generator, 64 * 100, {}).T  # the moments E y and E y²
    chunk_means = rows.reshape(64, 100).mean(1)
    ratio = float(chunk_means.var() * 100 / rows.var())
    low, high = stats.chi2.ppf([5e-5, 1 - 5e-5], 63) / 63
    assert low < ratio < high


def test_the_answer_depends_on_seed_and_label_alone():
    first = estimate(Normal(), {}, seed=5, label="a")
    assert estimate(Normal(), {}, seed=5, label="a") == first
    assert estimate(Normal(), {}, seed=6, label="a").value != first.value
    assert estimate(Normal(), {}, seed=5, label="b").value != first.value


def test_precision_is_reached():
    found = estimate(Normal(), {}, rtol=1e-3)
    assert found.reached
    assert found.stderr <= 1e-3 * abs(found.value)
    progress = []
    estimate(Normal(), {}, rtol=2e-3, on_progress=progress.append)
    assert progress[-1] == 1.0
    assert all(0 <= share <= 1 for share in progress)


CHANNELS = tuple(warp(IIDField(name, law="normal", mean=0, deviation=100), OffsetField())[0] for name in "xy")
ZEROS = {
    "independent channels on the same offsets": (Covariance(*CHANNELS), 1e4),
    "excess kurtosis of a normal pixel": (ExcessKurtosis(IIDField(law="normal", mean=2, deviation=100)[0]), 3.0),
    "rows of an experiment": (Normal(mean=0.0, deviation=7.0), 7.0),
}


@pytest.mark.parametrize("name", ZEROS)
def test_a_value_of_zero_is_estimated_relative_to_its_size(name):
    """4·stderr ≤ rtol·size: the deviation σ² of a product of two pixels, or at least the 3 of E(x − μ)⁴/σ⁴."""
    experiment, size = ZEROS[name]
    found = estimate(experiment, needed(experiment, {"s": 0.5}), rtol=2e-3, max_elements=2**27, plain=True)
    assert found.reached
    assert found.is_zero
    assert abs(found.value) <= 4 * found.stderr <= 2e-3 * found.size
    assert size / 3 <= found.size <= 3 * size
    assert f"not told from zero at a size of {found.size:.3g}" in str(found)


def test_a_zero_that_follows_from_the_offsets_alone_is_exact():
    """Independent channels have no covariance given their offsets; nothing scatters then."""
    found = estimate(Covariance(*CHANNELS), {"s": 0.5}, rtol=2e-3)
    assert (found.value, found.stderr, found.reached, found.is_zero) == (0.0, 0.0, True, True)


def test_a_small_value_is_told_from_zero():
    """From 4 standard errors on its tolerance is relative to itself; where rtol is too large, it stays untold."""
    found = estimate(Normal(mean=0.1), {}, rtol=0.02)
    assert found.stderr <= 0.02 * abs(found.value)
    assert found.size == abs(found.value)
    assert not found.is_zero
    assert "zero" not in str(found)
    assert "short of the precision" in str(estimate(Normal(mean=0.1), {}, rtol=1e-3, max_elements=16))
    assert estimate(Normal(mean=1e-4), {}, rtol=0.02).is_zero


@pytest.mark.parametrize("shift", [1, -2])
def test_simulation_of_neighbours(shift):
    """Cov(y[0], y[n]) of a constant half-pixel warp of white input: 1/2, 1/4 at one pixel, 0 beyond."""
    y = warp(IIDField(mean=3, deviation=1), OffsetField("constant", location="1/2"))
    found = estimate(Covariance(y[0], y[shift]), {}, rtol=0.0, atol=1e-3)
    exact = {1: 0.25, -2: 0.0}[shift]
    # 4.4 standard errors: a false alarm once in 10⁵.
    assert abs(found.value - exact) <= 4.4 * found.stderr


def test_simulation_of_pixels_and_symbols():
    x, sigma = IIDField(mean="1/2"), 0.8
    found = estimate(Expectation(x[0] ** 2 + x[1]), {"sigma": sigma}, rtol=2e-3)
    assert abs(found.value - (0.25 + sigma**2 + 0.5)) <= 4.4 * found.stderr


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: estimate(Normal(), {}, rtol=0.0),
            "^rtol: expected rtol, atol ≥ 0 and not both 0, got rtol=0.0, atol=0.0$",
        ),
        (lambda: estimate(Normal(), {}, rtol=-1.0), "^rtol: expected"),
        (lambda: estimate(MEAN, {}), "^values: expected a number for mu, sigma, got values for nothing$"),
        (
            lambda: estimate(CONDITIONAL, {"mu": 0.0, "sigma": 1.0}),
            "^values: expected a number for f, got values for mu, sigma$",
        ),
        (lambda: estimate(3, {}), "^experiment: expected a symbolic statistic or an Experiment, got int$"),
        (
            lambda: estimate(Normal(), {}, device="warp9"),
            "^device: expected a device that torch can use here, such as cpu, got 'warp9'$",
        ),
        (lambda: Claim("x", math.nan, Normal()), "^theory: expected a finite number for 'x', got nan$"),
        (lambda: verify("A4"), r"^claim: expected a Claim, or an object with a claim\(\) method, got str$"),
        (
            lambda: verify(Claim("x", 1.0, Normal(), smallest_effect=0.0)),
            "^smallest_effect: expected a finite number > 0, got 0.0$",
        ),
        (lambda: verify(Claim("x", 1.0, Normal()), family=0), "^family: expected a positive integer, got 0$"),
        (
            lambda: verify(Claim("x", 1.0, Normal()), level=2.0),
            "^level: expected a finite number > 0 and < 1, got 2.0$",
        ),
        (lambda: montecarlo.get_profile("slow"), "^profile: expected one of full, quick, got 'slow'$"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()


def test_a_broken_experiment_is_named():
    with pytest.raises(NotFiniteError, match="^broken: chunk 0 of seed 3: the experiment returned NaN or infinity$"):
        estimate(Broken(), {}, seed=3, label="broken")
