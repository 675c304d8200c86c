"""Sweeps: a quantity of a result over a grid of values, by its closed form and by simulation, side by side."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path

import pandas as pd

from warptheory import montecarlo, results
from warptheory.core.errors import ArgumentError
from warptheory.kernels import NoClosedFormError
from warptheory.montecarlo import Estimation, Experiment, Measurement, Outcome
from warptheory.results._check import Progress, campaign, reporter, what_runs
from warptheory.results._result import Setting
from warptheory.symbolic import NotReducible

Choice = str | int | float


@dataclass(frozen=True)
class Precision:
    """What is asked of every estimate of a sweep, and how it is made.

    Attributes:
        rtol: relative precision.
        atol: absolute precision; the coarser of the two decides.
        seed: the seed.
        device: torch device on which the operator runs.
        plain: whether to simulate without any reduction of the variance.
    """

    rtol: float
    atol: float
    seed: int
    device: str
    plain: bool


@dataclass(frozen=True)
class GridPoint:
    """One point of a sweep, by names, so that it can be sent to whoever works it out.

    Attributes:
        result: label of the result.
        quantity: name of the quantity.
        choices: kernel, dim, laws, and numbers for symbols, by name.
        precision: what is asked of the estimate.
    """

    result: str
    quantity: str
    choices: tuple[tuple[str, Choice], ...]
    precision: Precision

    def prepare(self) -> float:
        """Return the number that the closed form gives; NaN where the algebra finds none."""
        try:
            return results.get(self.result).evaluate(self.quantity, **dict(self.choices))
        except (NotReducible, NoClosedFormError):
            return math.nan

    def experiment(self) -> Experiment:
        """Return the experiment; what it compiles is kept from chunk to chunk."""
        return _simulation(self)[0]

    def trial(self, prepared: float) -> Measurement:
        """Return the estimate in the making, beside the closed form's number; workers run its chunks."""
        asked = self.precision
        experiment, values = _simulation(self)
        estimation = Estimation(
            experiment,
            values,
            asked.rtol,
            asked.atol,
            asked.seed,
            str(self),
            asked.device,
            source=self,
            plain=asked.plain,
        )
        return Measurement(prepared, estimation)

    def __str__(self) -> str:
        chosen = ", ".join(f"{name}={choice}" for name, choice in self.choices)
        return f"sweep of {self.result} {self.quantity}, {chosen}"


@lru_cache(maxsize=16)
def _simulation(point: GridPoint) -> tuple[Experiment, dict[str, float]]:
    return results.get(point.result).simulation(point.quantity, **dict(point.choices))


def sweep(
    result: str,
    quantity: str | None = None,
    *,
    over: Mapping[str, Sequence[Choice]],
    given: Mapping[str, Choice] | None = None,
    rtol: float = 1e-2,
    atol: float = 0.0,
    seed: int = 0,
    device: str = "cpu",
    plain: bool = False,
    workers: int | None = 1,
    scheduler: str | None = None,
    out: Path | None = None,
    fresh: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> pd.DataFrame:
    """Work out a quantity at every point of a grid, by its closed form and by simulation.

    >>> results.sweep("A4", over={"s": [0.1, 0.3, 1.0], "kernel": ["linear", "keys"]}, rtol=1e-3)

    Args:
        result: label of the result.
        quantity: name of the quantity; the result's first by default.
        over: the values that each parameter runs through: kernel, dim, offsets (a law), inputs (a law), or a symbol
            such as s for the spread of the offsets in pixels, or L for the depth where a quantity has it.
        given: parameters that are the same everywhere; others take the result's defaults.
        rtol: relative precision of each estimate (without unit).
        atol: absolute precision, in the unit of the quantity; the coarser of the two decides.
        seed: the seed.
        device: torch device on which the operator runs.
        plain: whether to simulate without any reduction of the variance, as in `montecarlo.estimate`.
        workers: number of workers; None takes one for each core. The table does not depend on it.
        scheduler: who they are, as in `montecarlo.workers`. Nor on this.
        out: folder that keeps finished chunks: after an interruption the same call goes on from there.
        fresh: whether to forget what that folder holds.
        on_progress: called with how far the sweep has come.

    Returns:
        One row per point, the last parameter of `over` running fastest: result, quantity, kernel, dim, offsets, inputs,
        a column for each swept or given symbol, theory (NaN where there is no closed form), estimate, stderr, n, seed,
        reached (whether the precision was), and the reason where a point could not be simulated.

    Raises:
        UnknownNameError: no such result, quantity, parameter, kernel or law.
        ArgumentError: an empty grid, a parameter both swept and given, and as `check`.
    """
    chosen, fixed = results.get(result), dict(given or {})
    name = chosen.quantity(quantity).name
    _check_grid(over, fixed)
    montecarlo.check_device(device)
    precision = Precision(rtol, atol, seed, device, plain)
    points = [
        GridPoint(result, name, (*fixed.items(), *zip(over, values, strict=True)), precision)
        for values in itertools.product(*over.values())
    ]
    settings = [chosen.setting_at(name, **dict(point.choices)) for point in points]  # refuses what is unknown
    configuration = {"sweep": [str(point) for point in points], **asdict(precision), **what_runs()}
    outcomes = campaign(
        points, configuration, workers, scheduler, out, fresh=fresh, on_progress=reporter(points, on_progress)
    )
    rows = map(_row, points, settings, outcomes)
    return pd.DataFrame(list(rows))


def _check_grid(over: Mapping[str, Sequence[Choice]], given: Mapping[str, Choice]) -> None:
    """Check the parameters of a sweep.

    Raises:
        ArgumentError: nothing to run through, or a parameter that is swept and given.
    """
    empty = [name for name, values in over.items() if len(values) == 0]
    if not over or empty:
        raise ArgumentError("over", expected="parameters with at least one value each", received=empty or "none")
    both = sorted(set(over) & set(given))
    if both:
        raise ArgumentError("given", expected="parameters that are not swept", received=", ".join(both))


def _row(point: GridPoint, setting: Setting, outcome: Outcome) -> dict[str, object]:
    known = {field.name for field in fields(Setting)}
    symbols = {name: float(value) for name, value in point.choices if name not in known}
    trial = outcome.trial
    theory, found = math.nan, None
    if isinstance(trial, Measurement):
        theory, found = trial.theory, trial.estimation.estimate if trial.is_done else None
    return {
        "result": point.result,
        "quantity": point.quantity,
        **asdict(setting),
        **symbols,
        "theory": theory,
        "estimate": math.nan if found is None else found.value,
        "stderr": math.nan if found is None else found.stderr,
        "n": 0 if found is None else found.n,
        "seed": point.precision.seed,
        "reached": found is not None and found.reached,
        "reason": outcome.reason,
    }
