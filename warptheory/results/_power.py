"""What a run could have seen: errors are planted in closed forms, and all of them have to be refused.

Of each closed form one version is wrong by the smallest effect that matters, upwards and downwards; and for each of its
terms one in which the term is missing, and one in which its sign is wrong. Versions that differ by less than the
smallest effect are no errors that matter, and are left out.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import sympy as sp

from warptheory import montecarlo, results, symbolic
from warptheory.montecarlo import Estimation, Judgement, Moments, Outcome, Profile
from warptheory.results._check import Case, Plan, Progress, campaign, cases_of, configuration_of, reporter
from warptheory.results._result import Result


@dataclass(frozen=True)
class PlantedError:
    """A closed form that has been made wrong.

    Attributes:
        kind: what was done to it: "scaled", "term dropped", "sign flipped".
        term: the term it was done to, as text; empty for the whole.
        value: the number that it gives then.
    """

    kind: str
    term: str
    value: float


@dataclass(frozen=True)
class Planted:
    """A closed form's number, and those of its wrong versions but the scaled ones.

    Attributes:
        theory: the number.
        errors: the wrong versions.
    """

    theory: float
    errors: tuple[PlantedError, ...]


@dataclass(frozen=True)
class PowerTrial:
    """A judgement that is made twice, and the wrong versions that it has to refuse.

    Attributes:
        judgement: the judgement.
        errors: the wrong versions.
    """

    judgement: Judgement
    errors: tuple[PlantedError, ...]

    @property
    def estimation(self) -> Estimation:
        """The estimate that is in the making."""
        return self.judgement.estimation

    @property
    def is_done(self) -> bool:
        """Whether no more chunks are wanted."""
        return self.judgement.is_done

    @property
    def share(self) -> float:
        """Share of the work that is done, in [0, 1]; a second estimate starts anew."""
        return self.judgement.share

    def add(self, label: str, chunk: int, moments: Moments) -> None:
        """Take what a chunk of a stream gave."""
        self.judgement.add(label, chunk, moments)


@dataclass(frozen=True)
class PowerCase:
    """A claim, to be made wrong.

    Attributes:
        case: the claim as it is checked.
    """

    case: Case

    @property
    def result(self) -> str:
        """Label of the result."""
        return self.case.result

    @property
    def quantity(self) -> str:
        """Name of the quantity."""
        return self.case.quantity

    def prepare(self) -> Planted:
        """Return the number that the closed form gives, and those of its wrong versions."""
        form, values = results.get(self.result).closed_form(self.quantity, **asdict(self.case.setting))
        theory = self.case.prepare()
        return Planted(theory, tuple(_wrong_terms(form, values, theory)))

    def trial(self, prepared: Planted) -> PowerTrial:
        """Return the judgement, with the errors that matter; workers run its chunks."""
        claim = self.case.claim(prepared.theory)
        effect = claim.absolute_effect
        scaled = [PlantedError("scaled", "", prepared.theory + sign * effect) for sign in (1, -1)]
        matter = [error for error in prepared.errors if effect <= abs(error.value - prepared.theory) < math.inf]
        return PowerTrial(self.case.judgement(claim, twice=True), (*scaled, *matter))


def power(
    chosen: Sequence[Result],
    *,
    kernel: str | None = None,
    dim: int | None = None,
    offsets: str | None = None,
    inputs: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    profile: Profile = montecarlo.PROFILES["quick"],
    plain: bool = False,
    workers: int | None = 1,
    scheduler: str | None = None,
    out: Path | None = None,
    fresh: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> pd.DataFrame:
    """Plant errors in every quantity of the results in every setting; arguments and errors as in `check`.

    The first estimates are those of `check`: in its folder `out` they are found finished.

    Returns:
        One row per planted error: result, quantity, the setting, theory, the kind of error and its term, the number
        `planted`, the `effect` that matters, both estimates with their standard errors, `refused`, and a `reason` where
        a claim could not be simulated.
    """
    plan = Plan(0, seed, device, profile.effect_scale, plain)
    claims = cases_of(chosen, (kernel, dim, offsets, inputs), plan)
    cases = [PowerCase(case) for case in claims]
    outcomes = campaign(
        cases,
        configuration_of(claims),
        workers,
        scheduler,
        out,
        fresh=fresh,
        on_progress=reporter(cases, on_progress),
    )
    return pd.DataFrame([row for case, outcome in zip(cases, outcomes, strict=True) for row in _rows(case, outcome)])


def _wrong_terms(form: sp.Expr, values: Mapping[str, float], theory: float) -> Iterator[PlantedError]:
    """Yield the form with each term missing, and with the sign of each wrong."""
    terms = _terms(form)
    for term in terms:
        value = symbolic.evaluate(term, values) if len(terms) > 1 else theory
        yield PlantedError("term dropped", str(term), theory - value)
        yield PlantedError("sign flipped", str(term), theory - 2 * value)


def _terms(form: sp.Expr) -> tuple[sp.Expr, ...]:
    """Return the terms of a sum; of a product those of its first factor that is a sum, times the others."""
    if not isinstance(form, sp.Mul):
        return sp.Add.make_args(form)
    found = next((factor for factor in form.args if isinstance(factor, sp.Add)), sp.Integer(1))
    others = sp.Mul(*(factor for factor in form.args if factor is not found))
    return tuple(others * term for term in sp.Add.make_args(found))


def _rows(case: PowerCase, outcome: Outcome) -> Iterator[dict[str, object]]:
    where = {"result": case.result, "quantity": case.quantity, **asdict(case.case.setting)}
    trial = outcome.trial
    if outcome.reason or not isinstance(trial, PowerTrial):
        yield {**where, "refused": False, "reason": outcome.reason}
        return
    estimates = {
        f"{name}_{number}": getattr(found, name)
        for number, found in enumerate(trial.judgement.estimates, 1)
        for name in ("value", "stderr")
    }
    for error in trial.errors:
        yield {
            **where,
            "theory": trial.judgement.claim.theory,
            "error": error.kind,
            "term": error.term,
            "planted": error.value,
            "effect": trial.judgement.claim.absolute_effect,
            **estimates,
            "seed": case.case.plan.seed,
            "refused": trial.judgement.refuses(error.value),
            "reason": "",
        }
