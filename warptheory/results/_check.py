"""Checking many results in one run: every quantity in every setting, as one family."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd

from warptheory import montecarlo, results
from warptheory.core import records
from warptheory.core.cache import DERIVATION_ROOMS, source_digest
from warptheory.core.errors import ArgumentError
from warptheory.montecarlo import (
    Campaign,
    Claim,
    Estimate,
    Estimation,
    Experiment,
    Job,
    Judgement,
    Outcome,
    Profile,
    Trial,
    Verdict,
)
from warptheory.results._result import Result, Setting

# Fewer claims are done before other processes have started.
_FEWEST_TO_SHARE = 12


@dataclass(frozen=True)
class Plan:
    """What all claims of a run have in common.

    Attributes:
        family: number of claims.
        seed: the seed.
        device: torch device on which the operator runs.
        effect_scale: factor on every smallest effect.
        plain: whether experiments are run without any reduction of their variance.
    """

    family: int
    seed: int
    device: str
    effect_scale: float
    plain: bool = False


@dataclass(frozen=True)
class Case:
    """One claim to be checked, by names, so that it can be sent to whoever checks it.

    Attributes:
        result: label of the result.
        quantity: name of the quantity.
        setting: the setting.
        plan: what all claims of the run have in common.
    """

    result: str
    quantity: str
    setting: Setting
    plan: Plan

    def prepare(self) -> float:
        """Return the number that the closed form gives."""
        return results.get(self.result).evaluate(self.quantity, **asdict(self.setting))

    def experiment(self) -> Experiment:
        """Return the experiment; what it compiles is kept from chunk to chunk."""
        return _experiment(self)

    def claim(self, theory: float | None = None) -> Claim:
        """Return the claim; the theory is derived if it is not given."""
        claim = results.get(self.result).claim(self.quantity, theory, **asdict(self.setting))
        return replace(claim, smallest_effect=claim.smallest_effect * self.plan.effect_scale)

    def trial(self, prepared: float) -> Judgement:
        """Return the judgement of a theory, whose chunks workers run."""
        return self.judgement(self.claim(prepared))

    def judgement(self, claim: Claim, *, twice: bool = False) -> Judgement:
        """Return the judgement of a claim, if need be always with a second estimate; workers run its chunks."""
        plan, z = self.plan, montecarlo.allowed_deviation(self.plan.family)
        # Smaller effects take more work, and may have it.
        most = int(montecarlo.DEFAULT_MAX_ELEMENTS / min(plan.effect_scale, 1))
        return Judgement(claim, plan.seed, z, plan.device, most, source=self, plain=plan.plain, twice=twice)


@lru_cache(maxsize=16)
def _experiment(case: Case) -> Experiment:
    return results.get(case.result).simulation(case.quantity, **asdict(case.setting))[0]


@runtime_checkable
class Named(Protocol):
    """A job that says which quantity of which result it is about."""

    @property
    def result(self) -> str:
        """Label of the result."""

    @property
    def quantity(self) -> str:
        """Name of the quantity."""


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Attributes:
        share: share of the work that is done, in [0, 1].
        name: the claim that has come further.
        estimate: what has been estimated for it, or None before the first look.
        target: the standard error that is asked for.
    """

    share: float
    name: str
    estimate: Estimate | None = None
    target: float = math.nan


def check(
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
    """Verify every quantity of the results in every setting; the level holds for all of them together.

    Args:
        chosen: the results.
        kernel: name of the kernel; None takes each result's range.
        dim: number of axes; None takes the result's range.
        offsets: law of the offsets; None takes the result's range.
        inputs: law of the input; None takes the result's range.
        seed: the seed.
        device: torch device on which the operator runs.
        profile: how small an error has to be seen.
        plain: whether to simulate without any reduction of the variance, as in `montecarlo.estimate`.
        workers: number of workers; None takes one for each core. The table does not depend on it.
        scheduler: who they are, as in `montecarlo.workers`: processes, threads, a cluster. Nor on this.
        out: folder that keeps finished chunks: after an interruption the same call goes on from there.
        fresh: whether to forget what that folder holds.
        on_progress: called with how far the run has come.

    Returns:
        One row per claim: result, quantity, the setting, the values of the symbols (offsets in pixels), and
        the fields of its `Verdict`.

    Raises:
        UnknownNameError: an unknown kernel or law.
        ArgumentError: a dim or device that cannot be used, no quantity for the kernel and dim asked for, an unknown
            scheduler, or a folder that is in use or belongs to another run.
    """
    plan = Plan(0, seed, device, profile.effect_scale, plain)
    cases = cases_of(chosen, (kernel, dim, offsets, inputs), plan)
    outcomes = campaign(
        cases, configuration_of(cases), workers, scheduler, out, fresh=fresh, on_progress=reporter(cases, on_progress)
    )
    return pd.DataFrame([_row(case, outcome) for case, outcome in zip(cases, outcomes, strict=True)])


def campaign(
    jobs: Sequence[Job],
    configuration: Mapping[str, Any],
    workers: int | None,
    scheduler: str | None,
    out: Path | None,
    *,
    fresh: bool,
    on_progress: Callable[[Campaign, int, Trial | None], None] | None = None,
) -> list[Outcome]:
    """Run jobs on workers, keep their finished chunks, and return what became of each, in their order.

    Args:
        jobs: the jobs.
        configuration: everything that their chunks depend on, as JSON has it.
        workers: number of workers; None takes one for each core.
        scheduler: who they are, as in `montecarlo.workers`.
        out: folder that keeps finished chunks, or None.
        fresh: whether to forget what that folder holds.
        on_progress: as in `Campaign`.

    Raises:
        ArgumentError: an unknown scheduler, or a folder that is in use or belongs to another run.
    """
    few = scheduler is None and len(jobs) < _FEWEST_TO_SHARE
    with (
        montecarlo.chunk_store(out, configuration, fresh=fresh) as store,
        montecarlo.workers(scheduler, 1 if few else workers) as hands,
    ):
        found = {outcome.number: outcome for outcome in Campaign(jobs, hands, store, on_progress).run()}
    return [found[number] for number in range(len(jobs))]


def replay(
    chosen: Sequence[Result],
    chunk: int,
    *,
    kernel: str | None = None,
    dim: int | None = None,
    offsets: str | None = None,
    inputs: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    plain: bool = False,
    again: bool = False,
) -> pd.DataFrame:
    """Run one chunk of each claim alone, to see what a run that failed there saw.

    Args:
        chosen: the results.
        chunk: number of the chunk.
        kernel: name of the kernel; None takes each result's range.
        dim: number of axes; None takes the result's range.
        offsets: law of the offsets; None takes the result's range.
        inputs: law of the input; None takes the result's range.
        seed: the seed.
        device: torch device on which the operator runs.
        plain: whether that run was plain.
        again: whether to run it of the second stream, which is drawn where the first one disagrees.

    Returns:
        A row for each claim and column of its experiment: result, quantity, setting, the label of the stream, chunk,
        column, rows, mean and deviation; or the failure.

    Raises:
        ArgumentError: a chunk that is not a number ≥ 0, and as `check`.
    """
    if not 0 <= chunk < 2**64:
        raise ArgumentError("chunk", expected="an integer in [0, 2**64)", received=chunk)
    cases = cases_of(chosen, (kernel, dim, offsets, inputs), Plan(0, seed, device, 1.0, plain))
    return pd.DataFrame([row for case in cases for row in _replayed(case, chunk, again=again)])


def _replayed(case: Case, chunk: int, *, again: bool) -> list[dict[str, object]]:
    claim = case.claim(theory=0.0)  # of no account here
    label = f"{claim.label}/again" if again else claim.label
    where = {"result": case.result, "quantity": case.quantity, **asdict(case.setting), "label": label, "chunk": chunk}
    plan = case.plan
    estimation = Estimation(case.experiment(), claim.values, 0.0, 1.0, plan.seed, label, plan.device, plain=plan.plain)
    try:
        (moments,) = estimation.batch(range(chunk, chunk + 1)).run()
    except montecarlo.ChunkError as error:
        return [{**where, "failure": error.cause}]
    deviations = np.sqrt(np.diag(moments.covariance))
    return [
        {**where, "column": column, "rows": moments.n, "mean": mean, "deviation": deviation, "failure": ""}
        for column, (mean, deviation) in enumerate(zip(moments.mean.tolist(), deviations.tolist(), strict=True))
    ]


def cases_of(
    chosen: Sequence[Result], choices: tuple[str | None, int | None, str | None, str | None], plan: Plan
) -> list[Case]:
    """Return every quantity of the results in every setting, as one family.

    Args:
        chosen: the results.
        choices: kernel, dim, law of the offsets and of the input; None takes each result's range.
        plan: what they have in common but for the size of the family.

    Raises:
        UnknownNameError: an unknown kernel or law.
        ArgumentError: a device that cannot be used, or no quantity for the choices.
    """
    montecarlo.check_device(plan.device)
    named = [
        (result.label, quantity.name, setting)
        for result in chosen
        for quantity in result.quantities
        for setting in result.settings(quantity.name, *choices)
    ]
    if not named:
        asked = f"kernel {choices[0]}, dim {choices[1]}"
        raise ArgumentError("results", expected=f"at least one quantity for {asked}", received="none that is for it")
    whole = replace(plan, family=len(named))
    return [Case(*name, whole) for name in named]


def configuration_of(cases: Sequence[Case]) -> dict[str, Any]:
    """Return everything that chunks depend on: what is checked, and the sources that check it."""
    plan = cases[0].plan
    return {
        "claims": [f"{case.result} {case.quantity} {case.setting}" for case in cases],
        "seed": plan.seed,
        "effect_scale": plan.effect_scale,
        "plain": plan.plain,
        "device": plan.device,
        **what_runs(),
    }


def what_runs() -> dict[str, Any]:
    """Return the sources and versions that chunks depend on."""
    sources = source_digest(DERIVATION_ROOMS, Path(montecarlo.__file__).parents[1])
    return {"sources": sources, "versions": records.installed_versions()}


def reporter(
    cases: Sequence[Named], on_progress: Callable[[Progress], None] | None
) -> Callable[[Campaign, int, Trial | None], None] | None:
    """Return what tells a caller how far a campaign of named jobs has come.

    Args:
        cases: the jobs.
        on_progress: the caller's function, or None.
    """
    if on_progress is None:
        return None

    def report(campaign: Campaign, number: int, trial: Trial | None) -> None:
        name = f"{cases[number].result} {cases[number].quantity}"
        if trial is None:
            on_progress(Progress(campaign.share, name))
            return
        estimation = trial.estimation
        found = estimation.estimate if estimation.merged else None
        on_progress(Progress(campaign.share, name, found, estimation.target))

    return report


def _row(case: Case, outcome: Outcome) -> dict[str, object]:
    """Return what became of a claim as a row of the table."""
    chosen = asdict(case.setting)
    if not results.get(case.result).offsets:
        chosen["offsets"] = "fixed by the result"
    judgement = outcome.trial
    assert judgement is None or isinstance(judgement, Judgement)
    known = {} if judgement is None else judgement.claim.values
    values = ", ".join(f"{name} = {number:g}" for name, number in known.items())
    return {
        "result": case.result,
        "quantity": case.quantity,
        **chosen,
        "values": values,
        "smallest_effect": math.nan if judgement is None else judgement.claim.smallest_effect,
        **asdict(Verdict.of(judgement, outcome.reason)),
    }
