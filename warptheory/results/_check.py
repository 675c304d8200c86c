"""Checking many results in one run: every quantity in every setting, as one family."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace

import pandas as pd

from warptheory import montecarlo, results
from warptheory.core.errors import ArgumentError
from warptheory.montecarlo import Claim, Profile, Verdict
from warptheory.results._result import Result, Setting

# Fewer claims are done before other processes have started.
_FEWEST_TO_SHARE = 12


@dataclass(frozen=True)
class Case:
    """One claim to be checked: a quantity of a result in a setting.

    Attributes:
        result: label of the result.
        quantity: name of the quantity.
        setting: the setting.
    """

    result: str
    quantity: str
    setting: Setting


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
    workers: int | None = 1,
    on_progress: Callable[[float, str], None] | None = None,
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
        workers: number of processes; None takes one for each core. The table does not depend on it.
        on_progress: called with the share that is done, in [0, 1], and the name of what is running.

    Returns:
        One row per claim: result, quantity, the setting, the values of the symbols (offsets in pixels), and
        the fields of its `Verdict`.

    Raises:
        UnknownNameError: an unknown kernel or law.
        ArgumentError: a dim or device that cannot be used, or no quantity for the kernel and dim asked for.
    """
    montecarlo.check_device(device)
    cases = [
        Case(result.label, quantity.name, setting)
        for result in chosen
        for quantity in result.quantities
        for setting in result.settings(quantity.name, kernel, dim, offsets, inputs)
    ]
    if not cases:
        asked = f"kernel {kernel}, dim {dim}"
        raise ArgumentError("results", expected=f"at least one quantity for {asked}", received="none that is for it")
    plan = Plan(len(cases), seed, device, profile.effect_scale)
    count = (os.cpu_count() or 1) if workers is None else workers
    run = _share if count > 1 and len(cases) >= _FEWEST_TO_SHARE else _run_in_turn
    rows: dict[int, dict[str, object]] = dict(run(cases, plan, count, on_progress or (lambda share, name: None)))
    return pd.DataFrame([rows[number] for number in range(len(cases))])


@dataclass(frozen=True)
class Plan:
    """What all claims of a run have in common.

    Attributes:
        family: number of claims.
        seed: the seed.
        device: torch device on which the operator runs.
        effect_scale: factor on every smallest effect.
    """

    family: int
    seed: int
    device: str
    effect_scale: float


Progress = Callable[[float, str], None]
Rows = Iterator[tuple[int, dict[str, object]]]


def _run_in_turn(cases: Sequence[Case], plan: Plan, workers: int, on_progress: Progress) -> Rows:
    """Yield the rows by number, one claim after the other."""
    for number, case in enumerate(cases):

        def report(share: float, done: int = number, name: str = f"{case.result} {case.quantity}") -> None:
            on_progress((done + share) / len(cases), name)

        report(0.0)
        yield number, _row(case, plan, report)


def _share(cases: Sequence[Case], plan: Plan, workers: int, on_progress: Progress) -> Rows:
    """Yield the rows by number as they are done, several claims at a time; each has random streams of its own."""
    with ProcessPoolExecutor(min(workers, len(cases)), multiprocessing.get_context("spawn")) as pool:
        # The last ones are about other kernels and take longest.
        numbers = {pool.submit(_row, case, plan): number for number, case in reversed(list(enumerate(cases)))}
        try:
            for done, future in enumerate(as_completed(numbers), start=1):
                case = cases[numbers[future]]
                yield numbers[future], future.result()
                on_progress(done / len(cases), f"{case.result} {case.quantity}")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _row(case: Case, plan: Plan, on_progress: Callable[[float], None] | None = None) -> dict[str, object]:
    """Verify one claim."""
    result = results.get(case.result)
    claim = result.claim(case.quantity, **asdict(case.setting))
    claim = replace(claim, smallest_effect=claim.smallest_effect * plan.effect_scale)
    verdict = montecarlo.verify(claim, seed=plan.seed, family=plan.family, device=plan.device, on_progress=on_progress)
    return _describe(case, result, claim, verdict)


def _describe(case: Case, result: Result, claim: Claim, verdict: Verdict) -> dict[str, object]:
    chosen = asdict(case.setting)
    if not result.offsets:
        chosen["offsets"] = "fixed by the result"
    values = ", ".join(f"{name} = {number:g}" for name, number in claim.values.items())
    return {
        "result": case.result,
        "quantity": case.quantity,
        **chosen,
        "values": values,
        "smallest_effect": claim.smallest_effect,
        **asdict(verdict),
    }
