"""Checking many results in one run: a verdict on every claim, at a level that holds for all of them together."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Unpack

import pandas as pd

from warptheory import montecarlo
from warptheory.montecarlo import Judgement, Outcome, Profile, Verdict
from warptheory.results._catalogue import ResultOrLabel, get
from warptheory.results._claims import Case, ClaimPlan, cases_of, configuration_of
from warptheory.results._run import RunOptions, run


def check(
    chosen: ResultOrLabel | Sequence[ResultOrLabel],
    *,
    kernel: str | None = None,
    dim: int | None = None,
    offsets: str | None = None,
    inputs: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    profile: Profile = montecarlo.PROFILES["quick"],
    plain: bool = False,
    **options: Unpack[RunOptions],
) -> pd.DataFrame:
    """Verify every quantity of the results in every setting; the level holds for all of them together.

    Besides its standard values, each quantity is checked at two random points of its symbols' ranges, where everything
    is drawn and nothing but the operator is shared with the theory; the second is taken in another setting where the
    quantity has one.

    Args:
        chosen: the results: their labels, patterns such as "A*", or themselves.
        kernel: name of the kernel; None takes each result's range.
        dim: number of axes; None takes the result's range.
        offsets: law of the offsets; None takes the result's range.
        inputs: law of the input; None takes the result's range.
        seed: the seed.
        device: torch device on which the operator runs.
        profile: how small an error has to be seen.
        plain: whether to simulate without any reduction of the variance, as in `montecarlo.estimate`.
        **options: workers, scheduler, out, fresh and time_limit, as in `montecarlo.Execution`, and on_progress, called
            with how far the run has come. With workers=None one worker does fewer than 12 jobs, before others have
            started. The table does not depend on them.

    Returns:
        One row per claim: result, quantity, the setting, `point` (0 for the standard values, else the number of the
        random point), the values of the symbols (offsets in pixels), `drawn` ("everything"; "offsets", where the mean
        over the input is summed with its known cumulants or covariance; or "everything, corrected" by the input's known
        mean and variance), and the fields of its `Verdict`.

    Raises:
        UnknownNameError: an unknown result, kernel or law.
        ArgumentError: a dim or device that cannot be used, no quantity for the kernel and dim asked for, an unknown
            scheduler, a seed or number of workers that is no integer, something else than a profile, or a
            folder that is in use or belongs to another run.
    """
    cases = cases_of(chosen, (kernel, dim, offsets, inputs), ClaimPlan.of(profile, seed, device, plain=plain))
    outcomes = run(cases, configuration_of(cases), **options)
    return pd.DataFrame([_row(case, outcome) for case, outcome in zip(cases, outcomes, strict=True)])


def _row(case: Case, outcome: Outcome) -> dict[str, object]:
    """Return what became of a claim as a row of the table."""
    chosen = asdict(case.setting)
    if not get(case.result).offsets:
        chosen["offsets"] = "fixed by the result"
    judgement = outcome.trial
    assert judgement is None or isinstance(judgement, Judgement)
    known = {} if judgement is None else judgement.claim.values
    values = ", ".join(f"{name} = {number:g}" for name, number in known.items())
    return {
        "result": case.result,
        "quantity": case.quantity,
        **chosen,
        "point": case.point,
        "values": values,
        "drawn": "" if judgement is None else judgement.estimation.drawn,
        "smallest_effect": math.nan if judgement is None else judgement.claim.smallest_effect,
        **asdict(_verdict(case, judgement, outcome.reason)),
    }


def _verdict(case: Case, judgement: Judgement | None, reason: str) -> Verdict:
    """Return the verdict; on a claim that could not even be made it is known what would have been judged."""
    if judgement is not None:
        return Verdict.of(judgement, reason)
    return Verdict.undecided(reason, label=case.label, seed=case.plan.seed, z=case.z)
