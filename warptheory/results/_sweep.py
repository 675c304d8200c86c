"""Sweeps: a quantity of a result over a grid of values, by its closed form and by simulation, side by side."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from numbers import Real
from typing import Unpack

import pandas as pd

from warptheory import montecarlo
from warptheory.core.checks import as_float, check_integer, check_number
from warptheory.core.errors import ArgumentError, UnknownNameError
from warptheory.core.text import shown
from warptheory.kernels import NoClosedFormError
from warptheory.montecarlo import Estimation, Experiment, Measurement, Outcome
from warptheory.results._catalogue import ResultOrLabel, get
from warptheory.results._replay import check_chunk, replayed_rows
from warptheory.results._result import Result
from warptheory.results._run import RunOptions, run
from warptheory.results._setting import Setting
from warptheory.symbolic import NotReducible

Choice = str | int | float

_TAKEN = frozenset({"self", "quantity", "theory"})  # arguments beside which symbols are given
_MOST_GRID_POINTS = 10**5

_WORDS = ("kernel", "offsets", "inputs")


@dataclass(frozen=True)
class SweepPrecision:
    """What is asked of every estimate of a sweep, and how it is made.

    Attributes:
        rtol: relative precision.
        atol: absolute precision; the coarser of the two decides.
        seed: the seed.
        device: torch device on which the operator runs.
        plain: whether to simulate without any reduction of the variance.

    Raises:
        ArgumentError: a precision that is negative, not finite, or zero in both ways; a seed that is no integer ≥ 0; or
            a device that cannot be used.
    """

    rtol: float
    atol: float
    seed: int
    device: str
    plain: bool

    def __post_init__(self) -> None:
        object.__setattr__(self, "rtol", check_number("rtol", self.rtol, least=0))
        object.__setattr__(self, "atol", check_number("atol", self.atol, least=0))
        object.__setattr__(self, "seed", check_integer("seed", self.seed, least=0))
        if self.rtol == self.atol == 0:
            raise ArgumentError("rtol", expected="a number > 0, unless atol is", received=self.rtol)
        montecarlo.check_device(self.device)


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
    precision: SweepPrecision

    @property
    def name(self) -> str:
        """Result, quantity and choices."""
        return f"{self.result} {self.quantity}, {self._chosen}"

    @property
    def _chosen(self) -> str:
        return ", ".join(f"{name}={choice}" for name, choice in self.choices)

    def prepare(self) -> float:
        """Return the number that the closed form gives; NaN where the algebra finds none."""
        try:
            return get(self.result).evaluate(self.quantity, standard=True, **dict(self.choices))
        except (NotReducible, NoClosedFormError):
            return math.nan

    def experiment(self) -> Experiment:
        """Return the experiment; what it compiles is kept from chunk to chunk."""
        return _simulation(self)[0]

    def trial(self, prepared: float) -> Measurement:
        """Return the estimate in the making, beside the closed form's number; workers run its chunks."""
        return Measurement(prepared, self.estimation())

    def estimation(self) -> Estimation:
        """Return the estimate in the making."""
        asked = self.precision
        experiment, values = _simulation(self)
        return Estimation(
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

    def __str__(self) -> str:
        return f"sweep of {self.name}"


@lru_cache(maxsize=16)
def _simulation(point: GridPoint) -> tuple[Experiment, dict[str, float]]:
    placed = get(point.result).place(point.quantity, **dict(point.choices))
    return placed.drawn, placed.values_drawn


def sweep(
    result: ResultOrLabel,
    quantity: str | None = None,
    *,
    over: Mapping[str, Sequence[Choice]],
    given: Mapping[str, Choice] | None = None,
    rtol: float = 1e-2,
    atol: float = 0.0,
    seed: int = 0,
    device: str = "cpu",
    plain: bool = False,
    **options: Unpack[RunOptions],
) -> pd.DataFrame:
    """Work out a quantity at every point of a grid, by its closed form and by simulation.

    >>> results.sweep("A4", over={"s": [0.1, 0.3, 1.0], "kernel": ["linear", "keys"]}, rtol=1e-3)

    Args:
        result: the result, or its label.
        quantity: name of the quantity; the result's first by default.
        over: the values that each parameter runs through: kernel, dim, offsets (a law), inputs (a law), or a symbol
            such as s for the spread of the offsets in pixels, or L for the depth where a quantity has it.
        given: parameters that are the same everywhere; others take the result's defaults.
        rtol: relative precision of each estimate (without unit).
        atol: absolute precision, in the unit of the quantity; the coarser of the two decides.
        seed: the seed.
        device: torch device on which the operator runs.
        plain: whether to simulate without any reduction of the variance, as in `montecarlo.estimate`.
        **options: workers, scheduler, out, fresh and time_limit, as in `montecarlo.Execution`, and on_progress, called
            with how far the run has come. With workers=None one worker does fewer than 12 jobs, before others have
            started. The table does not depend on them.

    Returns:
        One row per point, the last parameter of `over` running fastest: result, quantity, kernel, dim, offsets, inputs,
        a column for each swept or given symbol, theory (NaN where there is no closed form), estimate, stderr, n, seed,
        reached (whether the precision was), and the reason where a point could not be simulated.

    Raises:
        UnknownNameError: no such result, quantity, parameter, kernel or law, or a symbol that neither the closed form
            nor the experiment has.
        ArgumentError: an empty grid, a value twice, a parameter both swept and given, a number that its symbol cannot
            stand for, or at which the experiment does not stand for the quantity, no precision, and as `check`. Nothing
            has been run then.
    """
    precision = SweepPrecision(rtol, atol, seed, device, plain)
    points = _points(get(result), quantity, over, given or {}, precision)
    settings = [_setting(point) for point in points]
    configuration = {"sweep": [str(point) for point in points], **asdict(precision), **montecarlo.what_runs()}
    rows = map(_row, points, settings, run(points, configuration, **options))
    return pd.DataFrame(list(rows))


def replay_sweep(
    result: ResultOrLabel,
    chunk: int,
    quantity: str | None = None,
    *,
    over: Mapping[str, Sequence[Choice]],
    given: Mapping[str, Choice] | None = None,
    seed: int = 0,
    device: str = "cpu",
    plain: bool = False,
) -> pd.DataFrame:
    """Run one chunk of each point of a sweep alone, to see what a sweep that failed there saw.

    Args:
        result: the result, or its label.
        chunk: number of the chunk.
        quantity: name of the quantity; the result's first by default.
        over: as in `sweep`.
        given: as in `sweep`.
        seed: the seed.
        device: torch device on which the operator runs.
        plain: whether that sweep was plain.

    Returns:
        A row for each point and column of its experiment: result, quantity, setting, the label of the stream, chunk,
        column, rows, mean and deviation; or the failure.

    Raises:
        ArgumentError: a chunk that is not a number ≥ 0, and as `sweep`.
    """
    number = check_chunk(chunk)
    points = _points(get(result), quantity, over, given or {}, SweepPrecision(1.0, 0.0, seed, device, plain))
    return pd.DataFrame([row for point in points for row in _replayed(point, number)])


def _replayed(point: GridPoint, chunk: int) -> list[dict[str, object]]:
    where = {"result": point.result, "quantity": point.quantity, **asdict(_setting(point))}
    return replayed_rows(point.estimation(), chunk, where)


def _points(
    result: Result,
    quantity: str | None,
    over: Mapping[str, Sequence[Choice]],
    given: Mapping[str, Choice],
    precision: SweepPrecision,
) -> list[GridPoint]:
    """Return the points of a grid, each of which can be worked out; raises as `sweep`."""
    for argument, chosen in (("over", over), ("given", given)):
        if not isinstance(chosen, Mapping) or not all(isinstance(key, str) for key in chosen):
            raise ArgumentError(argument, expected="values by the names of parameters", received=shown(chosen))
    swept = {name: _values(name, values) for name, values in over.items()}
    fixed = {name: _choice("given", name, value) for name, value in given.items()}
    _check_grid(swept, fixed)
    name = result.get(quantity).name
    points = [
        GridPoint(result.label, name, (*fixed.items(), *zip(swept, values, strict=True)), precision)
        for values in itertools.product(*swept.values())
    ]
    for point in points:
        try:
            result.check_values(name, **dict(point.choices))
        except UnknownNameError as error:
            if error.argument != "values":
                raise
            raise error.called("over" if error.name in swept else "given") from error
        _ = result.place(name, **dict(point.choices)).drawn
    return points


def _setting(point: GridPoint) -> Setting:
    return get(point.result).place(point.quantity, **dict(point.choices)).setting


def _values(name: str, values: Sequence[Choice]) -> tuple[Choice, ...]:
    """Return the values that a parameter runs through.

    Raises:
        ArgumentError: no sequence of choices, or one of them twice.
    """
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ArgumentError("over", expected=f"a sequence of values for {name}", received=repr(values))
    taken = tuple(itertools.islice(values, _MOST_GRID_POINTS + 1))  # of what may never end
    if len(taken) > _MOST_GRID_POINTS:
        received = f"more for {name} alone"
        raise ArgumentError("over", expected=f"at most {_MOST_GRID_POINTS} points", received=received)
    found = tuple(_choice("over", name, value) for value in taken)
    if len(set(found)) < len(found):
        raise ArgumentError("over", expected=f"values for {name} that differ", received=found)
    return found


def _choice(argument: str, name: str, value: object) -> Choice:
    """Return one value, numbers as Python has them: dim as an integer, those of symbols as floats.

    Raises:
        ArgumentError: a word where a number is expected, or the reverse.
    """
    if name in _WORDS:
        if not isinstance(value, str):
            raise ArgumentError(argument, expected=f"a name for {name}", received=repr(value))
        return str(value)
    if name == "dim":
        return check_integer(name, value)
    if isinstance(value, str) or not isinstance(value, Real):
        raise ArgumentError(argument, expected=f"a number for {name}", received=shown(value))
    return as_float(value)


def _check_grid(over: Mapping[str, Sequence[Choice]], given: Mapping[str, Choice]) -> None:
    """Check the parameters of a sweep.

    Raises:
        ArgumentError: nothing to run through, too much, no parameter, or one that is swept and given.
    """
    for name in (*over, *given):
        if name in _TAKEN:
            raise ArgumentError("over", expected="symbols, kernel, dim, offsets or inputs", received=repr(name))
    if math.prod(map(len, over.values())) > _MOST_GRID_POINTS:
        counts = " × ".join(str(len(values)) for values in over.values())
        raise ArgumentError("over", expected=f"at most {_MOST_GRID_POINTS} points", received=counts)
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
