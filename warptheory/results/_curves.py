"""Curves: a quantity of a result against one parameter, by its closed form and, here and there, by simulation.

The points of many curves make a table with one row each, which analyses record and plots are drawn from.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
import sympy as sp

from warptheory import montecarlo, symbolic
from warptheory.core import html, records
from warptheory.core.errors import WarpTheoryError
from warptheory.core.presented import Presented
from warptheory.montecarlo import Estimation, Experiment, Measurement
from warptheory.results._quantity import PlacedQuantity
from warptheory.results._result import Result
from warptheory.results._run import run
from warptheory.symbolic.evaluation import OF_SCIPY
from warptheory.symbolic.nodes import Node

# The input, unless a curve says otherwise; its law is normal.
UNIT_INPUT: Mapping[str, float] = MappingProxyType({"mu": 0.0, "sigma": 1.0})


@dataclass(frozen=True)
class CurvePoint(Presented):
    """A point of a curve, one row of the record.

    Attributes:
        result: label of the result.
        quantity: name of the quantity.
        kernel: name of the interpolation kernel.
        dim: number of axes.
        given: what else was chosen.
        parameter: name of the parameter's symbol.
        value: its value; infinite for a limit.
        theory: the closed form's number; NaN where there is none.
        estimate: the simulation's mean; NaN where nothing was simulated.
        stderr: its standard error.
        n: its number of independent rows.
    """

    result: str
    quantity: str
    kernel: str
    dim: int
    given: str
    parameter: str
    value: float
    theory: float = math.nan
    estimate: float = math.nan
    stderr: float = math.nan
    n: int = 0

    @property
    def name(self) -> str:
        """What tells the point from all others."""
        where = f"{self.parameter}={self.value:g}"
        return f"{self.result} {self.quantity}, {self.kernel}, d={self.dim}, {self.given}, {where}"


@dataclass(frozen=True)
class Curve(Presented):
    """A quantity of a result against one of its parameters.

    Attributes:
        result: the result.
        quantity: name of the quantity.
        parameter: name of the parameter's symbol; empty for a single number.
        values: where the closed form is evaluated.
        simulated: where it is evaluated and simulated.
        kernel: name of the interpolation kernel.
        dim: number of axes.
        given: what else is chosen: the law of the offsets, or numbers for other symbols.
        rtol: relative precision of the simulation.
        atol: absolute precision of the simulation; the coarser of the two decides.
    """

    result: Result
    quantity: str
    parameter: str = ""
    values: tuple[float, ...] = ()
    simulated: tuple[float, ...] = ()
    kernel: str = "linear"
    dim: int = 1
    given: Mapping[str, str | float] = field(default_factory=dict)
    rtol: float = 1e-2
    atol: float = 0.0

    def points(self, seed: int = 0, device: str = "cpu", thin: int = 1) -> Iterator[CurvePoint]:
        """Yield the points in the order of the parameter.

        Args:
            seed: seed of every random number.
            device: torch device on which the operator runs.
            thin: keep every `thin`-th value only, and as many of the simulated ones.
        """
        simulated = self.simulated[::thin]
        jobs = [CurveJob(self, value, seed, device) for value in sorted(simulated)]
        measured = dict(zip(sorted(simulated), measure(jobs), strict=True))
        for value in sorted({*self.values[::thin], *simulated}):
            yield measured[value] if value in measured else replace(self.at(value), theory=self.theory(value))

    def _parts(self) -> Iterable[str]:
        ends = f"{min(self.values):g}…{max(self.values):g}" if self.values else "no values"
        where = f"{self.parameter}={ends}" if self.parameter else "one number"
        return [repr(self.result.label), repr(self.quantity), where, f"kernel={self.kernel!r}", f"dim={self.dim}"]

    def _subtitle(self) -> str:
        given = "".join(f", {name} = {choice}" for name, choice in self.given.items())
        return f"{self.result.label} {self.quantity}: {self.kernel}, d = {self.dim}{given}"

    def _card(self) -> Iterable[object]:
        if len(self.values) > 1:
            values = sorted(self.values)
            theory = [self.theory(value) for value in values]
            yield html.line_plot(values, theory, x_label=self.parameter, y_label=self.quantity)
        counts = f"{len(self.values)} values by the closed form; {len(self.simulated)} are simulated on demand"
        yield html.element("p", counts)

    def at(self, value: float) -> CurvePoint:
        """Return the point at a value of the parameter, still without its numbers."""
        given = ", ".join(f"{name} = {choice}" for name, choice in self.given.items())
        return CurvePoint(self.result.label, self.quantity, self.kernel, self.dim, given, self.parameter, value)

    def theory(self, value: float) -> float:
        """Return the closed form's number."""
        numbers = self.numbers(value)
        if self._compiled is None:
            return symbolic.evaluate(self._placed.form, numbers)
        symbols = sorted(self._placed.form.free_symbols, key=str)
        return float(self._compiled(*(numbers[symbol.name] for symbol in symbols)))

    def limit(self) -> CurvePoint:
        """Return the limit of an infinite parameter, for a quantity that is the limit; nothing is simulated."""
        return replace(self.at(math.inf), theory=self.theory(math.inf))

    def numbers(self, value: float) -> dict[str, float]:
        """Return a number for every symbol, at a value of the parameter."""
        defaults = {**self._placed.standard, **UNIT_INPUT}
        given = {name: choice for name, choice in self.given.items() if not isinstance(choice, str)}
        return {**defaults, **given, self.parameter: value}

    @cached_property
    def _placed(self) -> PlacedQuantity:
        """The quantity, whose closed form is derived once for all values."""
        choices = {name: choice for name, choice in self.given.items() if isinstance(choice, str)}
        return self.result.place(self.quantity, kernel=self.kernel, dim=self.dim, **choices)

    @cached_property
    def experiment(self) -> Experiment:
        """What is simulated."""
        return self._placed.drawn

    @cached_property
    def _compiled(self) -> Callable[..., float] | None:
        """The closed form as a function of its symbols, by name, if it holds only functions that NumPy has.

        Evaluating an expression compiles it each time, which takes longer than all else at many values.
        """
        form = self._placed.form
        if form.has(Node, sp.Sum, sp.Integral, *OF_SCIPY):
            return None
        symbols = sorted(form.free_symbols, key=str)
        compiled: Callable[..., float] = sp.lambdify(symbols, form.rewrite(sp.floor), "numpy")
        return compiled


@dataclass(frozen=True)
class CurveJob:
    """A point of a curve that is simulated.

    Attributes:
        curve: the curve.
        value: value of its parameter.
        seed: seed of every random number.
        device: torch device on which the operator runs.
    """

    curve: Curve
    value: float
    seed: int
    device: str

    @property
    def name(self) -> str:
        """Name of the point."""
        return self.curve.at(self.value).name

    def prepare(self) -> float:
        """Return the closed form's number."""
        return self.curve.theory(self.value)

    def trial(self, prepared: float) -> Measurement:
        """Return the estimate in the making."""
        curve = self.curve
        experiment, numbers = curve.experiment, curve.numbers(self.value)
        values = {name: numbers[name] for name in sorted(experiment.symbols)}
        return Measurement(
            prepared, Estimation(experiment, values, curve.rtol, curve.atol, self.seed, self.name, self.device)
        )


def measure(jobs: Sequence[CurveJob]) -> Iterator[CurvePoint]:
    """Yield the points of jobs, one after the other, with the closed form's number and the estimate of each.

    Args:
        jobs: the jobs, run in this process: curves may hold results that nobody else knows by name.

    Raises:
        WarpTheoryError: a point that cannot be worked out.
    """
    for job, outcome in zip(jobs, run(jobs, {}), strict=True):
        if outcome.reason:
            raise WarpTheoryError(outcome.reason)
        assert isinstance(outcome.trial, Measurement)
        found = outcome.trial.estimation.estimate
        point = replace(job.curve.at(job.value), theory=outcome.trial.theory)
        yield replace(point, estimate=found.value, stderr=found.stderr, n=found.n)


def with_estimate(
    point: CurvePoint,
    experiment: Experiment,
    values: Mapping[str, float],
    rtol: float,
    atol: float = 0.0,
    *,
    seed: int = 0,
    device: str = "cpu",
) -> CurvePoint:
    """Return a point with its estimate.

    Args:
        point: the point; its name is that of the random stream.
        experiment: the experiment.
        values: a number for every symbol of the experiment, by name.
        rtol: relative precision.
        atol: absolute precision; the coarser of the two decides.
        seed: seed of every random number.
        device: torch device on which the operator runs.
    """
    found = montecarlo.estimate(experiment, values, rtol, seed, atol=atol, label=point.name, device=device)
    return replace(point, estimate=found.value, stderr=found.stderr, n=found.n)


def evenly_spaced(first: float, last: float, points: int) -> tuple[float, ...]:
    """Return evenly spaced values, rounded so that they can be printed."""
    return tuple(float(value) for value in np.round(np.linspace(first, last, points), 4))


def write_points(path: Path, points: Iterable[CurvePoint], manifest: records.Manifest) -> Path:
    """Write points as a Parquet table with its manifest; return the path."""
    table = pd.DataFrame([asdict(point) for point in points]).assign(seed=manifest.seed)
    records.write_table(path, table, manifest)
    return path
