"""Verdicts: whether a simulation confirms a formula, refutes it, or could not tell.

With z set by a family-wise level over everything that is checked in one run:

    verified    |theory − mean| ≤ z·SE, and effect ≥ (z + 3.09)·SE: an error of the smallest size that
                matters would have been seen with probability 0.999
    refuted     |theory − mean| > z·SE twice, with fresh random streams
    undecided   otherwise, and wherever a simulation ended before it was precise enough to tell; never a pass

A standard error from n rows is uncertain itself, so that z is widened to the quantile of Student's law with n − 1
degrees of freedom that has the same level. Where SE is far below what it needs to be, other errors show: of positions
that wrap around a row (a share of 1e-7), of steps that stand for derivatives, of rounding. One percent of the smallest
effect is allowed for them, or what a claim says of its experiment; an error of that effect is seen all the same.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, runtime_checkable

from scipy import special

from warptheory.core import html
from warptheory.core.checks import as_float, check_integer, check_number
from warptheory.core.errors import ArgumentError
from warptheory.core.presented import Presented
from warptheory.core.text import printable, shortened
from warptheory.montecarlo._chunks import SupportsExperiment
from warptheory.montecarlo._estimate import DEFAULT_MAX_ELEMENTS, Estimate, Estimation, run_here
from warptheory.montecarlo._experiment import Experiment, as_experiment
from warptheory.montecarlo._moments import Moments

Word = Literal["verified", "refuted", "undecided"]
_MARKS: Mapping[Word, str] = {"verified": "✓", "refuted": "✗", "undecided": "?"}

FAMILY_LEVEL = 1e-3
POWER = 0.999
_POWER_QUANTILE = float(special.ndtri(POWER))  # 3.09
# A run aims beyond what the rule demands: with 3.09 one planted error in a thousand would go unseen, and a
# run checks hundreds of claims.
_AIMED_QUANTILE = 4.0


@dataclass(frozen=True)
class Claim(Presented):
    """A number that a theory gives, and the experiment that could refute it.

    Attributes:
        label: name of the claim, and of its random stream.
        theory: the number.
        experiment: the experiment.
        values: a number for every symbol of the experiment, by name.
        smallest_effect: the smallest error that matters, positive, relative to `size`, or in the unit of the
            quantity where that is zero.
        size: the size of the quantity, not negative, in its unit; None for |theory|.
        bias: how far the experiment itself may be off, as a share of the smallest effect in [0, ½): of positions that
            wrap around a row, of a grid that stands for the continuum, of steps for derivatives, of rounding.

    Raises:
        ArgumentError: a number that is infinite, NaN or out of range.
    """

    label: str
    theory: float
    experiment: Experiment
    values: Mapping[str, float] = field(default_factory=dict)
    smallest_effect: float = 0.01
    size: float | None = None
    bias: float = 0.01

    def __post_init__(self) -> None:
        check_number("bias", self.bias, least=0, below=0.5)
        if not math.isfinite(as_float(self.theory)):
            raise ArgumentError("theory", expected=f"a finite number for {self.label!r}", received=self.theory)
        check_number("smallest_effect", self.smallest_effect, above=0)
        if self.size is not None:
            check_number("size", self.size, least=0)

    @property
    def absolute_effect(self) -> float:
        """The smallest error that matters, in the unit of the quantity."""
        size = abs(self.theory) if self.size is None else self.size
        return self.smallest_effect * (size if size != 0 else 1.0)

    def _parts(self) -> Iterable[str]:
        return [repr(shortened(self.label, 60)), f"theory={self.theory:.6g}"]

    def _subtitle(self) -> str:
        return self.label

    def _card(self) -> Iterable[object]:
        values = ", ".join(f"{name} = {value:g}" for name, value in self.values.items())
        yield html.properties(
            [
                ("theory", f"{self.theory:.6g}"),
                ("experiment", str(self.experiment)),
                ("at", values),
                ("smallest error that matters", f"{self.absolute_effect:.3g}"),
            ]
        )


@dataclass(frozen=True)
class Verdict(Presented):
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
        reason: why the simulation could not tell, or what has to be known of a refutation; else empty.
    """

    verdict: Word
    label: str
    theory: float
    estimate: float
    stderr: float
    n: int
    power: float
    z: float
    effect: float
    seed: int
    reason: str = ""

    @classmethod
    def undecided(
        cls,
        reason: str,
        *,
        label: str = "",
        theory: float = math.nan,
        z: float = math.nan,
        effect: float = math.nan,
        seed: int = 0,
    ) -> "Verdict":
        """Return the verdict on a claim that could not even be made, with what is known of it."""
        return cls("undecided", label, theory, math.nan, math.nan, 0, 0.0, z, effect, seed, reason)

    @classmethod
    def of(cls, judgement: "Judgement | None", reason: str = "") -> "Verdict":
        """Return the verdict of a judgement that came to an end, or was broken off for a reason."""
        if judgement is None:
            return cls.undecided(reason)
        found = judgement.verdict
        return replace(found, verdict="undecided", reason=reason) if reason else found

    def __str__(self) -> str:
        because = f"  {self.reason}" if self.reason else ""
        if self.n == 0:
            return printable(f"{self.label}: {self.verdict}{because}")
        return printable(
            f"{self.label}: {self.verdict}  theory {self.theory:.6g}, estimate {self.estimate:.6g} ± {self.stderr:.1g} "
            f"(n = {self.n}, power {self.power:.4f}, z = {self.z:.2f}, seed {self.seed}){because}"
        )

    def _parts(self) -> Iterable[str]:
        numbers = [f"theory={self.theory:.6g}", f"estimate={self.estimate:.6g}"] if self.n else []
        return [repr(self.verdict), repr(shortened(self.label, 50)), *numbers]

    def _subtitle(self) -> str:
        return self.label

    def _card(self) -> Iterable[object]:
        found = deviation_text(self.theory, self.estimate, self.stderr, self.verdict)
        shown = f"{found} standard errors, of ±{self.z:.2f} allowed" if self.stderr > 0 else found
        yield html.element("p", html.element("strong", f"{_MARKS[self.verdict]} {self.verdict}"))
        if self.reason:
            yield html.element("p", self.reason)
        yield html.properties(
            [
                ("theory", f"{self.theory:.6g}"),
                ("simulation", f"{self.estimate:.6g} ± {self.stderr:.2g}" if self.n else "none"),
                ("deviation", shown),
                ("smallest error that matters", f"{self.effect:.3g}, seen with probability {self.power:.4f}"),
                ("independent rows", self.n),
                ("seed", self.seed),
            ]
        )


def deviation(theory: float, estimate: float, stderr: float, verdict: str) -> float:
    """Return by how many standard errors an estimate is above the theory.

    Args:
        theory: the number that was claimed.
        estimate: mean of the simulation; NaN for none.
        stderr: its standard error; 0 where every row gave the same, and the theory too, up to rounding, if that is
            verified. The deviation is 0 then, else infinite.
        verdict: "verified", "refuted" or "undecided".
    """
    if stderr != 0:
        return (estimate - theory) / stderr
    return 0.0 if verdict == "verified" else math.copysign(math.inf, estimate - theory)


def deviation_text(theory: float, estimate: float, stderr: float, verdict: str) -> str:
    """Return the same as text, such as "+1.50"; "exact" or "infinite" where the standard error is 0, "none" of none."""
    found = deviation(theory, estimate, stderr, verdict)
    if math.isnan(found):
        return "none"
    if math.isinf(found):
        return "infinite"
    return f"{found:+.2f}" if stderr > 0 else "exact"


def allowed_deviation(family: int, level: float = FAMILY_LEVEL) -> float:
    """Return z: how many standard errors are allowed when `family` claims are checked in one run.

    Args:
        family: number of claims in the run.
        level: probability that any true claim of the run exceeds z (Bonferroni).

    Raises:
        ArgumentError: family < 1, or a level outside (0, 1).
    """
    check_integer("family", family)
    check_number("level", level, above=0, below=1)
    return float(-special.ndtri(level / (2 * family)))


def student_deviation(z: float, n: int) -> float:
    """Return how many standard errors, estimated from n rows, are exceeded as seldom as z known ones.

    Args:
        z: number of standard errors of a normal law.
        n: number of rows; infinite for fewer than two.
    """
    return float(-special.stdtrit(n - 1, special.ndtr(-z))) if n > 1 else math.inf


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
    plain: bool = False,
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
        plain: whether to simulate without any reduction of the variance, as in `estimate`.
        on_progress: called with the share of the work that is done, in [0, 1].

    Raises:
        ArgumentError: not a claim, an unknown device, or a number that cannot be used.
        ChunkError, EstimateError: the experiment cannot be run, or gives no number; see `estimate`.
    """
    judgement = Judgement(_as_claim(claim), seed, allowed_deviation(family, level), device, max_elements, plain=plain)
    run_here(judgement, on_progress)
    return judgement.verdict


@dataclass
class Judgement:
    """A verdict in the making: an estimate to the precision that the smallest effect needs, and another in doubt.

    Attributes:
        claim: the claim.
        seed: the seed.
        z: the number of standard errors that are allowed.
        device: torch device on which the operator runs.
        max_elements: limit on the number of pixels drawn, per estimate.
        source: what workers make the experiment of, if not the claim's own.
        plain: whether the experiment is run as it is, without any reduction of its variance.
        twice: whether to make the second estimate even if the first agrees, so that other numbers can be judged too.
    """

    claim: Claim
    seed: int
    z: float
    device: str = "cpu"
    max_elements: int = DEFAULT_MAX_ELEMENTS
    source: SupportsExperiment | None = None
    plain: bool = False
    twice: bool = False

    def __post_init__(self) -> None:
        self.estimation = self._estimation(self.claim.label)
        self._first: Estimate | None = None

    @property
    def _seen(self) -> float:
        """The share of an effect that is left where a bias hides some of it, and is allowed for besides."""
        return 1 - 2 * self.claim.bias

    def _estimation(self, label: str) -> Estimation:
        claim = self.claim
        atol = self._seen * claim.absolute_effect / (self.z + _AIMED_QUANTILE)
        return Estimation(
            as_experiment(claim.experiment),
            claim.values,
            0.0,
            atol,
            self.seed,
            label,
            self.device,
            self.max_elements,
            self.source,
            self.plain,
        )

    @property
    def is_done(self) -> bool:
        """Whether there is a verdict."""
        return self.estimation.is_done and (self._first is not None or not self._needs_another)

    @property
    def _needs_another(self) -> bool:
        return self.twice or self._disagrees(self.estimation.estimate, self.claim.theory)

    def refuses(self, theory: float) -> bool:
        """Return whether both estimates refuse a number, which had been judged in the claim's place; False before."""
        return self.is_done and all(found.reached and self._disagrees(found, theory) for found in self.estimates)

    @property
    def estimates(self) -> tuple[Estimate, ...]:
        """The estimates, one or two."""
        return (self.estimation.estimate,) if self._first is None else (self._first, self.estimation.estimate)

    @property
    def share(self) -> float:
        """Share of the work that is done, in [0, 1]; a second estimate starts anew."""
        return self.estimation.share

    def add(self, label: str, chunk: int, moments: Moments) -> None:
        """Take what a chunk of a stream gave; one of another stream than the present one is of no use any more."""
        if label != self.estimation.label:
            return
        self.estimation.add(chunk, moments)
        if self.estimation.is_done and not self.is_done:
            self._first = self.estimation.estimate
            self.estimation = self._estimation(f"{self.claim.label}/again")

    @property
    def verdict(self) -> "Verdict":
        """What the estimates say; undecided until they are done."""
        found, effect = self.estimation.estimate, self.claim.absolute_effect
        allowed = student_deviation(self.z, found.n)
        word, reason = self._word(allowed)
        power = float(special.ndtr(self._seen * effect / found.stderr - allowed)) if found.stderr > 0 else 1.0
        return Verdict(
            verdict=word,
            label=self.claim.label,
            theory=self.claim.theory,
            estimate=found.value,
            stderr=found.stderr,
            n=found.n,
            power=power,
            z=self.z,
            effect=effect,
            seed=self.seed,
            reason=reason,
        )

    def _word(self, allowed: float) -> tuple[Word, str]:
        """Return the verdict in a word, and what has to be said of it; `allowed` standard errors agree."""
        found, theory, effect = self.estimation.estimate, self.claim.theory, self.claim.absolute_effect
        if not self.is_done:
            return "undecided", "the simulation has not ended"
        short = [estimate for estimate in self.estimates if not estimate.reached]
        if short:
            return "undecided", self.estimation.shortfall if short[-1] == found else "the first estimate fell short"
        disagreeing = sum(self._disagrees(estimate, theory) for estimate in self.estimates)
        if disagreeing == 2:
            difference = max(abs(theory - estimate.value) for estimate in self.estimates)
            small = f"the difference of {difference:.3g} is below the smallest effect, {effect:.3g}"
            return "refuted", small if difference < effect else ""
        if disagreeing:
            return "undecided", "of two estimates one disagrees"
        if self._seen * effect < (allowed + _POWER_QUANTILE) * found.stderr:
            return "undecided", f"with {found.n} rows an error of the smallest effect could have gone unseen"
        return "verified", ""

    def _disagrees(self, found: Estimate, theory: float) -> bool:
        bias = self.claim.bias * self.claim.absolute_effect
        agrees = abs(theory - found.value) <= student_deviation(self.z, found.n) * found.stderr + bias
        return not agrees  # NaN agrees with nothing


def _as_claim(claim: Claim | SupportsClaim) -> Claim:
    if isinstance(claim, Claim):
        return claim
    if isinstance(claim, SupportsClaim):
        return claim.claim()
    raise ArgumentError("claim", expected="a Claim, or an object with a claim() method", received=type(claim).__name__)
