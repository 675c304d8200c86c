"""Time the Monte Carlo engine against vectorised NumPy of the same experiments, and its variance reduction.

Samples per second are those of plain runs on as many workers as the machine has cores. NumPy computes in two ways: by
whole arrays of 2²⁰ samples, as the experiment reads when it is written down, on the one thread that it uses; and tuned,
in blocks of 2¹³ samples with every array kept and computed in place, on one thread and on as many as cores. The time
to a standard error is variance × time, each with the fastest way that it has. Both run in turn in one run. The
ratio of each round is taken, and medians over the rounds are written as JSON. A table has the gain of every result:
variance × time of its plain run over that of its reduced one.
"""

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from warptheory import montecarlo, results
from warptheory.core import records
from warptheory.core.device import device_name
from warptheory.montecarlo import ConditionalSimulation, ControlledSimulation, Estimation
from warptheory.paper.benchmarks._numpy_peers import COMPARISONS, Comparison, PeerRun, WarpedValues
from warptheory.paper.entries import Benchmark, Cost, DocumentTable, RunSettings
from warptheory.paper.timings import Spread, spread_text, write_timings
from warptheory.report import Columns, markdown_table
from warptheory.results import Case, ClaimPlan, Prepared, Setting

ROUNDS = 9
SECONDS = 0.5  # of a measurement
PRECISION = 1e-5  # relative standard error that the reduced run is asked for
VARIANCE_BLOCKS = 2000  # over which the variance of NumPy's estimate is taken
GAIN_ELEMENTS = 2**20  # pixels or weights of a run in the table of gains
WARM_UP_ELEMENTS = 2**12

_RELATIVE_ROUNDING = 1e-12  # a standard error below this share of the value is rounding


def first_case(result: str, seed: int = 0, device: str = "cpu", *, plain: bool = True) -> Case:
    """Return the first quantity of a result that can be simulated, in its first setting."""
    chosen = results.get(result)
    quantity = next(quantity.name for quantity in chosen.quantities if not quantity.checked_by)
    return Case(result, quantity, next(chosen.settings(quantity)), ClaimPlan(1, seed, device, 1.0, plain))


class EngineRun:
    """Plain chunks of an experiment on workers that are started already."""

    def __init__(self, case: Case, executor: Executor, workers: int) -> None:
        self.case, self.executor, self.workers = case, executor, workers
        claim = case.claim(Prepared(0.0, {}))  # of no account here
        plan = case.plan
        self.estimation = Estimation(
            case.experiment(), claim.values, 0.0, 1.0, plan.seed, claim.label, plan.device, source=case, plain=True
        )
        self.pixels = self.estimation.plan.rows * case.experiment().row_elements(claim.values)
        self.next_chunk = 0
        self.chunk_seconds = math.nan

    def warm_up(self) -> None:
        """Let every worker make the experiment, and see how long a chunk takes."""
        self._run(4)
        took = self._run(4)
        self.chunk_seconds = took / 4

    def samples_per_second(self, duration: float) -> float:
        """Run for about so many seconds."""
        chunks = max(1, round(duration / self.chunk_seconds))
        return self.workers * chunks * self.pixels / self._run(chunks)

    def _run(self, chunks: int) -> float:
        """Run so many chunks on each worker; return the seconds of all."""
        start = time.perf_counter()
        futures = []
        for _ in range(self.workers):
            numbers = range(self.next_chunk, self.next_chunk + chunks)
            futures.append(self.executor.submit(self.estimation.batch(numbers).run))
            self.next_chunk = numbers.stop
        for future in futures:
            future.result()
        return time.perf_counter() - start


@dataclass(frozen=True)
class Throughput:
    """Samples per second of a plain run, ours on all workers.

    Attributes:
        result: label of the result.
        quantity: its quantity.
        method: how NumPy draws the same values.
        samples: that NumPy's code holds at a time.
        threads: of NumPy.
        ratio: ours over NumPy's.
        ours: samples per second.
        peer: samples per second.
    """

    result: str
    quantity: str
    method: str
    samples: int
    threads: int
    ratio: Spread
    ours: Spread
    peer: Spread


@dataclass(frozen=True)
class TimeToPrecision:
    """Time to the same standard error, NumPy's drawn independently and ours reduced, both on one core.

    Attributes:
        result: label of the result.
        quantity: its quantity.
        stderr: the standard error that ours reached.
        ratio: NumPy's seconds over ours.
        ours_seconds: what ours took.
        peer_seconds: what NumPy takes to draw variance/stderr² samples.
        peer_variance: variance of NumPy's estimate times its number of samples.
    """

    result: str
    quantity: str
    stderr: float
    ratio: Spread
    ours_seconds: Spread
    peer_seconds: Spread
    peer_variance: float


@dataclass(frozen=True)
class Gain:
    """Gain of the variance reduction of a result's first quantity.

    Attributes:
        result: label of the result.
        quantity: its quantity.
        setting: the setting.
        reduction: "conditioning", "controls" or "none".
        gain: variance × time of the plain run over that of the reduced one; None where nothing scatters any more.
        note: why there is no number.
        plain_seconds: seconds of the plain run.
        plain_stderr: its standard error.
        reduced_seconds: seconds of the reduced run.
        reduced_stderr: its standard error.
    """

    result: str
    quantity: str
    setting: Setting
    reduction: str
    gain: float | None
    note: str
    plain_seconds: float | None = None
    plain_stderr: float | None = None
    reduced_seconds: float | None = None
    reduced_stderr: float | None = None


def throughputs(
    seed: int, device: str, rounds: int, duration: float, workers: int, report: Callable[[float, str], None]
) -> list[Throughput]:
    """Measure plain samples per second of both, in turn."""
    peers = {
        (name, count): PeerRun(name, seed, count)
        for name in COMPARISONS
        for count in sorted({1, workers if name.is_threaded else 1})
    }
    found: dict[object, list[float]] = {key: [] for key in (*peers, *(name.result for name in COMPARISONS))}
    with montecarlo.workers("processes", workers) as hands, hands.open() as executor:
        labels = dict.fromkeys(name.result for name in COMPARISONS)
        engines = {label: EngineRun(first_case(label, seed, device), executor, workers) for label in labels}
        for engine in engines.values():
            engine.warm_up()
        for number in range(rounds):
            report(number / rounds, "samples per second")
            for label, engine in engines.items():
                found[label].append(engine.samples_per_second(duration))
                for key in (key for key in peers if key[0].result == label):
                    found[key].append(peers[key].samples_per_second(duration))
    return [
        Throughput(
            name.result,
            engines[name.result].case.quantity,
            name.method,
            name.samples,
            count,
            Spread.of([ours / theirs for ours, theirs in zip(found[name.result], found[name, count], strict=True)]),
            Spread.of(found[name.result]),
            Spread.of(found[name, count]),
        )
        for name, count in peers
    ]


def time_to_precision(
    seed: int, device: str, rounds: int, duration: float, precision: float, report: Callable[[float, str], None]
) -> TimeToPrecision:
    """Measure the time to the same standard error of A4, in turn."""
    comparison, case = next(one for one in COMPARISONS if one.peer is WarpedValues), first_case("A4", seed, device)
    claim = case.claim(Prepared(0.0, {}))
    variance = peer_variance(comparison, seed)
    peer = PeerRun(comparison, seed, 1)

    def reduced(rtol: float) -> montecarlo.Estimate:
        return montecarlo.estimate(claim.experiment, claim.values, rtol, seed, label=claim.label, device=device)

    reduced(1e-2)  # to compile what it needs
    ours, theirs, stderr = [], [], math.nan
    for number in range(rounds):
        report(number / rounds, "time to a standard error")
        start = time.perf_counter()
        stderr = reduced(precision).stderr
        ours.append(time.perf_counter() - start)
        theirs.append(variance / stderr**2 / peer.samples_per_second(duration))
    ratios = [their / our for their, our in zip(theirs, ours, strict=True)]
    return TimeToPrecision("A4", case.quantity, stderr, Spread.of(ratios), Spread.of(ours), Spread.of(theirs), variance)


def peer_variance(comparison: Comparison, seed: int, blocks: int = VARIANCE_BLOCKS) -> float:
    """Return the variance of NumPy's estimate of a variance, times its number of samples; from many short blocks."""
    peer = comparison.peer(np.random.default_rng(seed), comparison.samples)
    means = np.array([peer() for _ in range(blocks)])
    return float(np.var(means[:, 1] - means[:, 0] ** 2, ddof=1)) * peer.samples


def gain_of(label: str, seed: int, device: str, elements: int) -> Gain:
    """Measure the gain of one result."""
    case = first_case(label, seed, device)
    claim, setting = case.claim(Prepared(0.0, {})), case.setting
    name = reduction_of(montecarlo.reduced(claim.experiment, claim.values))
    if name == "none":
        return Gain(label, case.quantity, setting, name, 1.0, "it runs as it is")

    def timed(most: int, *, plain: bool) -> tuple[float, montecarlo.Estimate]:
        start = time.perf_counter()
        found = montecarlo.estimate(
            claim.experiment,
            claim.values,
            0.0,
            seed,
            atol=1e-300,
            label=claim.label,
            device=device,
            max_elements=most,
            plain=plain,
        )
        return time.perf_counter() - start, found

    for plain in (True, False):
        timed(min(elements, WARM_UP_ELEMENTS), plain=plain)
    (plain_seconds, plainly), (reduced_seconds, reduced) = timed(elements, plain=True), timed(elements, plain=False)
    numbers = plain_seconds, plainly.stderr, reduced_seconds, reduced.stderr
    if plainly.stderr <= _RELATIVE_ROUNDING * abs(plainly.value):
        return Gain(label, case.quantity, setting, name, None, "the plain run does not scatter either", *numbers)
    if reduced.stderr <= _RELATIVE_ROUNDING * max(abs(reduced.value), plainly.stderr):
        return Gain(label, case.quantity, setting, name, None, "infinite: nothing is left to scatter", *numbers)
    gain = plainly.stderr**2 * plain_seconds / (reduced.stderr**2 * reduced_seconds)
    return Gain(label, case.quantity, setting, name, gain, "", *numbers)


def reduction_of(experiment: montecarlo.Experiment) -> str:
    """Return the name of the variance reduction of an experiment."""
    if isinstance(experiment, ConditionalSimulation):
        return "conditioning"
    return "controls" if isinstance(experiment, ControlledSimulation) else "none"


def run(
    settings: RunSettings,
    *,
    duration: float = SECONDS,
    precision: float = PRECISION,
    elements: int = GAIN_ELEMENTS,
    labels: Sequence[str] | None = None,
) -> Path:
    """Measure everything, and write `monte_carlo_<device>.json`; return its path.

    Args:
        settings: how.
        duration: seconds of a measurement of samples per second.
        precision: relative standard error that the reduced run is asked for.
        elements: pixels or weights of a run in the table of gains.
        labels: results in that table; by default all.
    """
    seed, device, rounds, report = settings.seed, settings.device, settings.rounds or ROUNDS, settings.on_progress
    workers = os.cpu_count() or 1
    labels = results.labels() if labels is None else labels
    raw = throughputs(seed, device, rounds, duration, workers, lambda share, name: report(0.4 * share, name))
    whole = time_to_precision(
        seed, device, rounds, duration, precision, lambda share, name: report(0.4 + 0.2 * share, name)
    )
    gains = []
    for number, label in enumerate(labels):
        report(0.6 + 0.4 * number / len(labels), f"gain of {label}")
        gains.append(gain_of(label, seed, device, elements))
    chosen = {
        "rounds": rounds,
        "workers": workers,
        "seconds_a_measurement": duration,
        "precision": precision,
        "elements": elements,
        "device_name": device_name(device),
        "load_average": os.getloadavg()[0],
    }
    measured = {
        "samples_per_second": [asdict(row) for row in raw],
        "time_to_precision": asdict(whole),
        "gains": [asdict(row) for row in gains],
    }
    return write_timings(settings, __name__, chosen, measured)


def summary(path: Path) -> str:
    """Return a record of `run` as tables for the terminal."""
    record = records.read_json(path)
    lines = [f"{'':4}{'NumPy':24}{'threads':>8}{'ratio':>8}   samples per second, ours / NumPy"]
    for row in record["samples_per_second"]:
        rates = f"{row['ours']['median'] / 1e6:.1f} / {row['peer']['median'] / 1e6:.1f} million"
        lines.append(f"{row['result']:4}{row['method']:24}{row['threads']:>8}{_spread(row['ratio'], 2)}   {rates}")
    row = record["time_to_precision"]
    seconds_of_both = f"{row['peer_seconds']['median']:.3g} s / {row['ours_seconds']['median']:.3g} s"
    times = f"{_spread(row['ratio'], 0).strip()}, {seconds_of_both}"
    lines.append(f"{row['result']} to a standard error of {row['stderr']:.2g}, NumPy / ours: {times}")
    lines += ["", f"{'':5}{'reduction':14}{'gain':>10}   variance × time, plain / reduced"]
    for row in record["gains"]:
        gain = "–" if row["gain"] is None else f"{row['gain']:.3g}"
        words = ", ".join(filter(None, (row["quantity"], row["note"])))
        lines.append(f"{row['result']:5}{row['reduction']:14}{gain:>10}   {words}")
    return "\n".join(lines)


def _spread(found: dict[str, float], digits: int) -> str:
    return f"{found['median']:>8.{digits}f} ({found['lowest']:.{digits}f} … {found['highest']:.{digits}f})"


def monte_carlo_table(benchmark: dict[str, Any]) -> str:
    """Return Markdown tables of the simulations against NumPy, and of the gain of every result."""
    rates: Columns = {
        "result": "{result}",
        "NumPy": lambda row: f"{row['method']}, {row['threads']} thread{'s' if row['threads'] > 1 else ''}",
        "samples per second, ours over NumPy's": lambda row: spread_text(row["ratio"], 2),
    }
    reached = benchmark["time_to_precision"]
    time = (
        f"{reached['result']} to a standard error of {reached['stderr']:.1e}, one core each: NumPy takes "
        f"{spread_text(reached['ratio'], 0)} times as long."
    )

    def gain(row: Mapping[str, Any]) -> str:
        if row["reduction"] == "none":
            return ""
        return "infinite" if row["gain"] is None else f"{row['gain']:{'.2g' if row['gain'] < 100 else '.0f'}}"

    gains: Columns = {
        "result": "{result} {quantity}",
        "reduction": lambda row: row["reduction"] if row["reduction"] != "none" else "none, it runs as it is",
        "variance × time, plain over reduced": gain,
    }
    settings = benchmark["settings"]
    footer = (
        f"Medians of {settings['rounds']} interleaved rounds, in brackets the lowest and the highest, on "
        f"{settings['device_name']} ({benchmark['machine']}), {settings['workers']} workers, float64, load average "
        f"{settings['load_average']:.1f}; gains are measured once, in the first setting of each result."
    )
    speed = markdown_table(benchmark["samples_per_second"], rates, time)
    return f"{speed}\n\n{markdown_table(benchmark['gains'], gains, footer)}"


BENCHMARK = Benchmark(
    run=run,
    summary=summary,
    writes=("monte_carlo_*.json",),
    cost=Cost(quick=None, full=600),
    tables=(DocumentTable("monte_carlo", monte_carlo_table, ("monte_carlo_*.json",)),),
)
