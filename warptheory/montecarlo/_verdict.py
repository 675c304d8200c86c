"""Verdicts: whether a simulation confirms a formula, refutes it, or could not tell.

With z set by a family-wise level over everything that is checked in one run:

    verified    |theory − mean| ≤ z·SE, and effect ≥ (z + 3.09)·SE: an error of the smallest size that
                matters would have been seen with probability 0.999
    refuted     |theory − mean| > z·SE twice, with fresh random streams
    undecided   otherwise; never a pass
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from scipy import special

from warptheory.core.errors import ArgumentError
from warptheory.montecarlo._estimate import DEFAULT_MAX_ELEMENTS, Estimate, Experiment, estimate

FAMILY_LEVEL = 1e-3
POWER = 0.999
_POWER_QUANTILE = float(special.ndtri(POWER))  # 3.09
# A run aims beyond what the rule demands: with 3.09 one planted error in a thousand would go unseen, and a
# run checks hundreds of claims.
_AIMED_QUANTILE = 4.0


@dataclass(frozen=True)
class Claim:
    """A number that a theory gives, and the experiment that could refute it.

    Attributes:
        label: name of the claim, and of its random stream.
        theory: the number.
        experiment: the experiment.
        values: a number for every symbol of the experiment, by name.
        smallest_effect: the smallest error that matters, relative to `size`, or in the unit of the
            quantity where that is zero.
        size: the size of the quantity, in its unit; None for |theory|.

    Raises:
        ArgumentError: theory is infinite or NaN.
    """

    label: str
    theory: float
    experiment: Experiment
    values: Mapping[str, float] = field(default_factory=dict)
    smallest_effect: float = 0.01
    size: float | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.theory):
            raise ArgumentError("theory", expected=f"a finite number for {self.label!r}", received=self.theory)

    @property
    def absolute_effect(self) -> float:
        """The smallest error that matters, in the unit of the quantity."""
        size = abs(self.theory) if self.size is None else self.size
        return self.smallest_effect * (size if size != 0 else 1.0)


@dataclass(frozen=True)
class Verdict:
    """What a simulation says of a claim.

    Attributes:
        verdict: "verified", "refuted" or "undecided".
        label: name of the claim.
        theory: the number that was claimed.
        estimate: mean of the simulation (of the second one, where the first disagreed).
        stderr: its standard error.
        n: its number of independent rows.
        power: probability that an error of the smallest size would have been seen.
        z: the number of standard errors that are allowed.
        effect: the smallest error that matters, in the unit of the quantity.
        seed: the seed.
    """

    verdict: Literal["verified", "refuted", "undecided"]
    label: str
    theory: float
    estimate: float
    stderr: float
    n: int
    power: float
    z: float
    effect: float
    seed: int

    def __str__(self) -> str:
        return (
            f"{self.label}: {self.verdict}  theory {self.theory:.6g}, estimate {self.estimate:.6g} ± {self.stderr:.1g} "
            f"(n = {self.n}, power {self.power:.4f}, z = {self.z:.2f}, seed {self.seed})"
        )


def allowed_deviation(family: int, level: float = FAMILY_LEVEL) -> float:
    """Return z: how many standard errors are allowed when `family` claims are checked in one run.

    Args:
        family: number of claims in the run.
        level: probability that any true claim of the run exceeds z (Bonferroni).

    Raises:
        ArgumentError: family < 1, or a level outside (0, 1).
    """
    if family < 1:
        raise ArgumentError("family", expected="an integer ≥ 1", received=family)
    if not 0 < level < 1:
        raise ArgumentError("level", expected="a probability in (0, 1)", received=level)
    return float(-special.ndtri(level / (2 * family)))


@runtime_checkable
class SupportsClaim(Protocol):
    """An object that makes a claim, such as a `Result`."""

    def claim(self) -> Claim:
        """Return the claim."""


def verify(
    claim: Claim | SupportsClaim,
    *,
    seed: int = 0,
    family: int = 1,
    level: float = FAMILY_LEVEL,
    device: str = "cpu",
    max_elements: int = DEFAULT_MAX_ELEMENTS,
    on_progress: Callable[[float], None] | None = None,
) -> Verdict:
    """Simulate a claim to the precision that its smallest effect needs, and judge it.

    Args:
        claim: a `Claim`, or anything with a `claim()` method that returns one, such as a `Result`.
        seed: the seed.
        family: number of claims that are checked in this run.
        level: family-wise level.
        device: torch device on which the operator runs.
        max_elements: limit on the number of pixels drawn, per simulation.
        on_progress: called with the share of the work that is done, in [0, 1].

    Raises:
        ArgumentError: not a claim, a smallest effect that is not positive, an unknown device.
    """
    claim = _as_claim(claim)
    if not claim.smallest_effect > 0:
        raise ArgumentError("smallest_effect", expected="a positive number", received=claim.smallest_effect)
    z = allowed_deviation(family, level)
    effect = claim.absolute_effect

    def simulate(label: str) -> Estimate:
        return estimate(
            claim.experiment,
            claim.values,
            rtol=0.0,
            atol=effect / (z + _AIMED_QUANTILE),
            seed=seed,
            label=label,
            device=device,
            max_elements=max_elements,
            on_progress=on_progress,
        )

    def disagrees(found: Estimate) -> bool:
        return abs(claim.theory - found.value) > z * found.stderr + _rounding(claim.theory)

    found = simulate(claim.label)
    verdict: Literal["verified", "refuted", "undecided"] = "verified" if _is_powerful(found, effect, z) else "undecided"
    if disagrees(found):
        found = simulate(f"{claim.label}/again")
        verdict = "refuted" if disagrees(found) else "undecided"
    power = float(special.ndtr(effect / found.stderr - z)) if found.stderr > 0 else 1.0
    return Verdict(
        verdict=verdict,
        label=claim.label,
        theory=claim.theory,
        estimate=found.value,
        stderr=found.stderr,
        n=found.n,
        power=power,
        z=z,
        effect=effect,
        seed=seed,
    )


def _is_powerful(found: Estimate, effect: float, z: float) -> bool:
    return effect >= (z + _POWER_QUANTILE) * found.stderr


def _as_claim(claim: Claim | SupportsClaim) -> Claim:
    if isinstance(claim, Claim):
        return claim
    if isinstance(claim, SupportsClaim):
        return claim.claim()
    raise ArgumentError("claim", expected="a Claim, or an object with a claim() method", received=type(claim).__name__)


def _rounding(theory: float) -> float:
    """Allow for float64 rounding, which is all that is left where an experiment has no scatter."""
    return 1e-12 * max(1.0, abs(theory))
