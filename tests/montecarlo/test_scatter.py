"""Standard errors are held against the scatter between chunks, and what ends too early decides nothing."""

import sys
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from warptheory import montecarlo
from warptheory.core.errors import ArgumentError
from warptheory.montecarlo import Claim, EstimateError, estimate, verify
from warptheory.montecarlo._scatter import mismatch


@dataclass(frozen=True)
class SecondMoment:
    """The variance of a normal law from two moments, with a gradient that may be wrong by a factor."""

    factor: float = 1.0
    symbols: frozenset = frozenset()

    def row_elements(self, values):
        return 16

    def sample(self, generator, rows, values, device="cpu"):
        x = torch.from_numpy(generator.normal(1.0, 2.0, rows))
        return torch.stack([x, x.square()], dim=1)

    def combine(self, means, values):
        return float(means[1] - means[0] ** 2), self.factor * np.array([-2 * means[0], 1.0])


@dataclass(frozen=True)
class Alike:
    """Rows that are not independent: so many of a chunk are the same number."""

    together: int = 1
    symbols: frozenset = frozenset()

    def row_elements(self, values):
        return 128

    def sample(self, generator, rows, values, device="cpu"):
        drawn = generator.normal(1.0, 1.0, -(-rows // self.together))
        return torch.from_numpy(np.repeat(drawn, self.together)[:rows])


@dataclass(frozen=True)
class Pareto:
    """A law of infinite variance, whose sample variance is never to be trusted; its mean is 6."""

    symbols: frozenset = frozenset()

    def row_elements(self, values):
        return 1

    def sample(self, generator, rows, values, device="cpu"):
        return torch.from_numpy(generator.pareto(1.2, rows) + 1)


@pytest.mark.parametrize("factor", [0.0, 0.01, 0.1, 10.0])
def test_a_wrong_gradient_is_named(factor):
    """Standard errors too small by it are verdicts that are sure of themselves, of the wrong thing."""
    with pytest.raises(EstimateError, match="by the gradient that its combine returns, where the scatter between"):
        estimate(SecondMoment(factor), {}, rtol=0.01, seed=1)


@pytest.mark.parametrize("together", [64, 1024])
def test_rows_that_are_not_independent_are_named(together):
    with pytest.raises(EstimateError, match="by the scatter of rows, where the scatter between .* independent"):
        estimate(Alike(together), {}, rtol=0.01, seed=1)


def test_what_is_right_passes():
    """In a hundred seeds; the level is 1e-6, and a factor of four besides."""
    for seed in range(100):
        assert estimate(SecondMoment(), {}, rtol=0.05, seed=seed).reached
        assert estimate(Alike(), {}, rtol=0.05, seed=seed).reached


def test_a_mismatch_takes_more_than_chance():
    """Of means of 16 groups that scatter by one and a half times the standard error, and by five."""
    generator = np.random.default_rng(0)
    for ratio, is_named in ((1.5, False), (5.0, True), (0.7, False), (0.1, True)):
        chunks = [(100, np.array([mean])) for mean in generator.normal(0, ratio, 64)]
        assert bool(mismatch(Alike(), chunks, 1 / np.sqrt(64), {})) == is_named


@pytest.mark.parametrize("theory", [6.0, 7.2, 4.8, 4.5])
def test_what_ends_before_its_rule_is_met_is_undecided(theory):
    """A capped run of a heavy tail has verified what is false by a quarter, and refuted what is true."""
    found = [verify(Claim("tail", theory, Pareto()), seed=seed, max_elements=2**16) for seed in range(25)]
    assert {verdict.verdict for verdict in found} == {"undecided"}
    assert all("limit of 65536 elements" in verdict.reason for verdict in found)
    assert all("a standard error of" in verdict.reason for verdict in found)
    assert any("rows where their skewness or kurtosis asks for" in verdict.reason for verdict in found)


def test_a_capped_run_refuses_no_planted_number_either():
    judgement = montecarlo.Judgement(Claim("tail", 6.0, Pareto()), 0, 4.0, max_elements=2**16, twice=True)
    montecarlo.run_here(judgement)
    assert judgement.is_done
    assert not judgement.refuses(60.0)


@dataclass(frozen=True)
class Precise:
    """Rows that hardly scatter."""

    symbols: frozenset = frozenset()

    def row_elements(self, values):
        return 16

    def sample(self, generator, rows, values, device="cpu"):
        return torch.from_numpy(1.0 + 1e-5 * generator.standard_normal(rows))


def test_a_refutation_by_less_than_the_smallest_effect_says_so():
    small = verify(Claim("small", 1.005, Precise()))
    assert small.verdict == "refuted"
    assert small.reason == "the difference of 0.005 is below the smallest effect, 0.01"
    large = verify(Claim("large", 1.05, Precise()))
    assert (large.verdict, large.reason) == ("refuted", "")


def test_an_undecided_verdict_says_why():
    """One of two estimates disagrees: seeds of a true claim at a level at which one in two does."""
    reasons = set()
    for seed in range(30):
        found = verify(Claim("level", 1.0, Alike(), smallest_effect=0.1), seed=seed, level=0.5)
        reasons |= {found.reason} if found.verdict == "undecided" else set()
    assert reasons == {"of two estimates one disagrees"}


@pytest.mark.parametrize("wrong", [SecondMoment(0.1), SecondMoment(10.0), Alike(1024)], ids=repr)
def test_a_mismatch_is_never_verified_beside_others(wrong):
    """The number is the true one: what is known of its error is not enough to tell."""
    truth = 4.0 if isinstance(wrong, SecondMoment) else 1.0
    claims = [Claim("wrong", truth, wrong), Claim("right", 1.0, Alike(), smallest_effect=0.2)]
    found, other = montecarlo.verify_all(claims, scheduler="serial", max_elements=2**22)
    assert (found.verdict, other.verdict) == ("undecided", "verified")
    assert "where the scatter between" in found.reason


class Returned(SecondMoment):
    """Its combination returns what a function of the means returns."""

    def __init__(self, combine):
        super().__init__()
        object.__setattr__(self, "combined", combine)

    def combine(self, means, values):
        return self.combined(means)


@pytest.mark.parametrize(
    ("combine", "message"),
    [
        (lambda means: ("one", np.ones(2)), "could not convert"),
        (lambda means: (10**400, np.ones(2)), "too large"),
        (lambda means: (means, np.ones(2)), "scalars"),
        (lambda means: (means[0] * 1j, np.ones(2)), "expected real numbers"),
        (lambda means: (means[0], np.ones(3)), r"expected a gradient of shape \(2,\), got \(3,\)"),
        (lambda means: (means[0], np.ones((2, 2))), r"expected a gradient of shape \(2,\), got \(2, 2\)"),
        (lambda means: sys.exit(3), "SystemExit: 3"),
    ],
)
def test_what_a_combination_returns_is_checked(combine, message):
    with pytest.raises(EstimateError, match=message):
        estimate(Returned(combine), {}, rtol=0.1, max_elements=2**16)


def test_a_combination_cannot_change_the_means():
    def combine(means):
        value = means[0]
        means[:] = 99.0
        return value, np.array([1.0, 0.0])

    assert abs(estimate(Returned(combine), {}, rtol=0.01).value - 1) < 0.1


@pytest.mark.parametrize(
    "sample",
    [torch.zeros(4, 0), torch.zeros(4).to_sparse(), torch.zeros(4, device="meta")],
    ids=["no columns", "sparse", "meta"],
)
def test_rows_that_hold_no_numbers_are_refused(sample):
    class Rows(Alike):
        def sample(self, generator, rows, values, device="cpu"):
            return torch.zeros(rows, 0) if sample.dim() == 2 else sample.new_zeros(rows, layout=sample.layout)

    with pytest.raises(montecarlo.ChunkError, match="expected a real tensor of shape"):
        estimate(Rows(), {}, rtol=0.1, max_elements=2**16)


@pytest.mark.parametrize("argument", ["seed", "rtol"])
@pytest.mark.parametrize("value", ["0", 1j, None])
def test_numbers_of_an_estimate_are_numbers(argument, value, as_users_call):
    with pytest.raises(ArgumentError, match=f"^{argument}: expected"):
        estimate(Alike(), {}, **{argument: value}, max_elements=2**16)
