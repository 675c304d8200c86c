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
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from jaxtyping import Complex, Float
from numpy import ndarray

from warptheory import montecarlo, results
from warptheory.core import records
from warptheory.core.device import device_name
from warptheory.montecarlo import ConditionalSimulation, ControlledSimulation, Estimation
from warptheory.paper.entries import Benchmark, Cost, ReadmeTable, RunSettings
from warptheory.paper.timings import Spread, spread_text, write_timings
from warptheory.results import DEFAULT_VALUES, Case, ClaimPlan, Prepared, Setting

ROUNDS = 9
SECONDS = 0.5  # of a measurement
WHOLE = 2**20  # samples of whole arrays
BLOCK = 2**13  # samples of NumPy's tuned code: of the sizes from 2¹² to 2²⁰ the fastest
PRECISION = 1e-5  # relative standard error that the reduced run is asked for
VARIANCE_BLOCKS = 2000  # over which the variance of NumPy's estimate is taken
GAIN_ELEMENTS = 2**20  # pixels or weights of a run in the table of gains
WARM_UP_ELEMENTS = 2**12

_RELATIVE_ROUNDING = 1e-12  # a standard error below this share of the value is rounding


class Peer(Protocol):
    """NumPy code of an experiment."""

    samples: int

    def __call__(self) -> tuple[float, float]:
        """Draw a block of samples; return the two means that the statistic is a function of."""


class WholeWarpedValues:
    """A4: values of a long periodic row of independent pixels, read at random offsets by linear interpolation."""

    def __init__(self, generator: np.random.Generator, samples: int) -> None:
        self.generator, self.samples = generator, samples

    def __call__(self) -> tuple[float, float]:
        """Return the mean, and the mean square."""
        size = self.samples
        pixels = self.generator.normal(DEFAULT_VALUES["mu"], DEFAULT_VALUES["sigma"], size)
        positions = np.arange(size) + self.generator.normal(0, DEFAULT_VALUES["s"], size)
        below = np.floor(positions)
        fractions, index = positions - below, below.astype(int)
        values = (1 - fractions) * pixels[index % size] + fractions * pixels[(index + 1) % size]
        return float(values.mean()), float((values**2).mean())


class WholeResponseToOnes:
    """B3: what ones at random offsets add to the pixels of a long periodic row."""

    def __init__(self, generator: np.random.Generator, samples: int) -> None:
        self.generator, self.samples = generator, samples

    def __call__(self) -> tuple[float, float]:
        """Return the mean, and the mean square."""
        size = self.samples
        positions = np.arange(size) + self.generator.normal(0, DEFAULT_VALUES["s"], size)
        below = np.floor(positions)
        fractions, index = positions - below, below.astype(int)
        row = np.bincount(index % size, 1 - fractions, size) + np.bincount((index + 1) % size, fractions, size)
        return float(row.mean()), float((row**2).mean())


class WarpedValues:
    """A4 in blocks: values of a long periodic row of independent pixels, read at random offsets."""

    def __init__(self, generator: np.random.Generator, samples: int) -> None:
        self.generator, self.samples = generator, samples
        self.pixels, self.places, self.left, self.right = np.empty((4, samples))
        self.index, self.numbers = np.empty(samples, np.intp), np.arange(samples, dtype=float)

    def __call__(self) -> tuple[float, float]:
        """Return the mean, and the mean square."""
        pixels, places, left, right, index = self.pixels, self.places, self.left, self.right, self.index
        self.generator.standard_normal(out=pixels)
        pixels *= DEFAULT_VALUES["sigma"]
        pixels += DEFAULT_VALUES["mu"]
        _positions(self.generator, DEFAULT_VALUES["s"], self.numbers, places, left, index)
        pixels.take(index, out=left, mode="wrap")
        index += 1
        pixels.take(index, out=right, mode="wrap")
        right -= left
        right *= places
        right += left
        return float(right.mean()), float(right @ right) / self.samples


class ResponseToOnes:
    """B3 in blocks: what ones at random offsets add to the pixels of a long periodic row."""

    margin = 8

    def __init__(self, generator: np.random.Generator, samples: int) -> None:
        self.generator, self.samples = generator, samples
        self.places, self.left = np.empty((2, samples))
        self.response = np.empty(samples + 2 * self.margin)
        self.index, self.numbers = (
            np.empty(samples, np.intp),
            np.arange(self.margin, samples + self.margin, dtype=float),
        )

    def __call__(self) -> tuple[float, float]:
        """Return the mean, and the mean square."""
        places, left, index, response = self.places, self.left, self.index, self.response
        _positions(self.generator, DEFAULT_VALUES["s"], self.numbers, places, left, index)
        response[:] = 0
        np.subtract(1, places, out=left)
        np.add.at(response, index, left)
        index += 1
        np.add.at(response, index, places)
        row = response[self.margin : -self.margin]
        row[: self.margin] += response[-self.margin :]
        row[-self.margin :] += response[: self.margin]
        return float(row.mean()), float(row @ row) / self.samples


class WholeMovedField:
    """C2: rows of a Gaussian field, made in Fourier space with the spline's prefilter, read at offsets made alike."""

    length = 80  # beyond which neither field is correlated; a product of small primes

    def __init__(self, generator: np.random.Generator, samples: int) -> None:
        self.rows = max(2, samples // self.length // 2 * 2)
        self.generator, self.samples = generator, self.rows * self.length
        values = {**DEFAULT_VALUES, **results.get("C2").values}
        waves = 2 * np.pi * np.arange(self.length) / self.length
        self.field = self._roots(values["sigma"], values["l"]) / ((2 + np.cos(waves)) / 3)
        self.offsets = self._roots(values["s"], values["l_e"])
        self.lag = int(values["t"])

    def __call__(self) -> tuple[float, float]:
        """Return the mean, and the mean product of two values at the lag."""
        coefficients = self._fields(self.field)
        positions = np.arange(self.length) + self._fields(self.offsets)
        below = np.floor(positions)
        fractions, index = positions - below, below.astype(int)
        weights = _outer(1 - fractions), _inner(fractions), _inner(1 - fractions), _outer(fractions)
        values = sum(
            weight * np.take_along_axis(coefficients, (index + tap) % self.length, 1)
            for tap, weight in enumerate(weights, start=-1)
        )
        return float(np.mean(values)), float((values * np.roll(values, -self.lag, 1)).mean())

    def _fields(self, roots: Float[ndarray, "N"]) -> Float[ndarray, "rows N"]:
        """Return rows of a field, two for each transform, shape (rows, N)."""
        noise = self.generator.standard_normal((2, self.rows // 2, self.length))
        waves = np.fft.fft(roots * (noise[0] + 1j * noise[1]))
        return np.concatenate((waves.real, waves.imag))

    def _roots(self, deviation: float, length: float) -> Float[ndarray, "N"]:
        """Return the roots of the eigenvalues of a squared-exponential covariance on the row, shape (N,)."""
        distance = np.minimum(np.arange(self.length), self.length - np.arange(self.length))
        covariance = deviation**2 * np.exp(-(distance**2) / (2 * length**2))
        return np.sqrt(np.maximum(np.fft.fft(covariance).real, 0) / self.length)


class MovedField(WholeMovedField):
    """C2 in blocks: the same, on rows with margins in place of a period."""

    margin = 12

    def __init__(self, generator: np.random.Generator, samples: int) -> None:
        super().__init__(generator, samples)
        rows = self.rows
        self.noise = np.empty((rows // 2, self.length, 2))
        self.coefficients = np.empty((rows, self.length + 2 * self.margin))
        self.places, self.left, self.other, self.total = np.empty((4, rows, self.length))
        self.index = np.empty((rows, self.length), np.intp)
        first = np.arange(rows)[:, None] * (self.length + 2 * self.margin) + self.margin
        self.numbers = (first + np.arange(self.length)).astype(float)

    def __call__(self) -> tuple[float, float]:
        """Return the mean, and the mean product of two values at the lag."""
        places, left, other, total, index = self.places, self.left, self.other, self.total, self.index
        coefficients, margin = self.coefficients, self.margin
        self._draw(self.field, coefficients[:, margin:-margin])
        coefficients[:, :margin] = coefficients[:, -2 * margin : -margin]
        coefficients[:, -margin:] = coefficients[:, margin : 2 * margin]
        self._draw(self.offsets, places)
        places += self.numbers
        np.floor(places, out=left)
        np.copyto(index, left, casting="unsafe")
        places -= left
        np.subtract(1, places, out=left)
        index -= 1
        total[:] = 0
        for weight in (_outer(left), _inner(places), _inner(left), _outer(places)):
            coefficients.take(index, out=other, mode="wrap")
            other *= weight
            total += other
            index += 1
        products = np.vdot(total[:, self.lag :], total[:, : -self.lag])
        products += np.vdot(total[:, : self.lag], total[:, -self.lag :])
        return float(total.mean()), float(products) / self.samples

    def _draw(self, roots: Float[ndarray, "N"], out: Float[ndarray, "rows N"]) -> None:
        """Draw rows of a field, two for each transform, into an array of shape (rows, N)."""
        self.generator.standard_normal(out=self.noise)
        waves: Complex[ndarray, "half N"] = self.noise.view(complex)[..., 0]
        waves *= roots
        np.fft.fft(waves, out=waves)
        half = len(waves)
        out[:half], out[half:] = waves.real, waves.imag


class TwoPoints:
    """C2 in blocks: a Gaussian field at the two displaced points alone, given their distance."""

    def __init__(self, generator: np.random.Generator, samples: int) -> None:
        self.generator, self.samples = generator, samples
        values = {**DEFAULT_VALUES, **results.get("C2").values}
        self.deviation, self.length, self.lag = values["sigma"], values["l"], values["t"]
        between = math.exp(-(self.lag**2) / (2 * values["l_e"] ** 2))
        self.spread = values["s"] * math.sqrt(2 * (1 - between))
        self.correlation, self.first, self.second, self.other = np.empty((4, samples))

    def __call__(self) -> tuple[float, float]:
        """Return the mean at one point, and the mean product of the two."""
        correlation, first, second, other = self.correlation, self.first, self.second, self.other
        self.generator.standard_normal(out=correlation)
        correlation *= self.spread
        correlation += self.lag
        correlation *= correlation
        correlation *= -1 / (2 * self.length**2)
        np.exp(correlation, out=correlation)
        self.generator.standard_normal(out=first)
        self.generator.standard_normal(out=second)
        np.multiply(correlation, correlation, out=other)
        np.subtract(1, other, out=other)
        np.sqrt(other, out=other)
        second *= other
        correlation *= first
        second += correlation
        return self.deviation * float(first.mean()), self.deviation**2 * float(first @ second) / self.samples


def _positions(
    generator: np.random.Generator,
    spread: float,
    numbers: Float[ndarray, "n"],
    places: Float[ndarray, "n"],
    left: Float[ndarray, "n"],
    index: ndarray,
) -> None:
    """Draw positions: their fractions into `places`, the pixels below them into `left` and `index`, shapes (n,)."""
    generator.standard_normal(out=places)
    places *= spread
    places += numbers
    np.floor(places, out=left)
    np.copyto(index, left, casting="unsafe")
    places -= left


def _outer(u: Float[ndarray, "*n"]) -> Float[ndarray, "*n"]:
    """Return the cubic B-spline at 1 + (1 − u), shape (*n)."""
    return cast("ndarray", u * u * u * (1 / 6))


def _inner(u: Float[ndarray, "*n"]) -> Float[ndarray, "*n"]:
    """Return the cubic B-spline at u in [0, 1], shape (*n)."""
    return cast("ndarray", 2 / 3 + u * u * (0.5 * u - 1))


@dataclass(frozen=True)
class Comparison:
    """An experiment that both run: the first quantity of a result in its first setting, and NumPy code of it.

    Attributes:
        result: label of the result.
        method: how NumPy draws the same values.
        peer: makes NumPy's code for a number of samples.
        samples: that number.
        is_threaded: whether NumPy's code is also run on as many threads as the machine has cores.
    """

    result: str
    method: str
    peer: Callable[[np.random.Generator, int], Peer]
    samples: int = BLOCK
    is_threaded: bool = True


COMPARISONS = (
    Comparison("A4", "whole arrays", WholeWarpedValues, WHOLE, is_threaded=False),
    Comparison("A4", "tuned, rows of pixels", WarpedValues),
    Comparison("B3", "whole arrays", WholeResponseToOnes, WHOLE, is_threaded=False),
    Comparison("B3", "tuned, rows of pixels", ResponseToOnes),
    Comparison("C2", "whole arrays", WholeMovedField, WHOLE, is_threaded=False),
    Comparison("C2", "tuned, rows of fields", MovedField),
    Comparison("C2", "tuned, pairs of points", TwoPoints),
)


def first_case(result: str, seed: int = 0, device: str = "cpu", *, plain: bool = True) -> Case:
    """Return the first quantity of a result that can be simulated, in its first setting."""
    chosen = results.get(result)
    quantity = next(quantity.name for quantity in chosen.quantities if not quantity.checked_by)
    return Case(result, quantity, next(chosen.settings(quantity)), ClaimPlan(1, seed, device, 1.0, plain))


def seconds(call: Callable[[], object]) -> float:
    """Return the seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


class PeerRun:
    """NumPy's code on several threads, each with a generator and buffers of its own."""

    def __init__(self, comparison: Comparison, seed: int, threads: int) -> None:
        generators = np.random.default_rng(seed).spawn(threads)
        self.peers = [comparison.peer(generator, comparison.samples) for generator in generators]
        self.threads = ThreadPoolExecutor(threads)

    def samples_per_second(self, duration: float) -> float:
        """Run for about so many seconds."""
        one = min(seconds(self.peers[0]) for _ in range(3))
        blocks = max(1, round(duration / one))
        took = seconds(lambda: list(self.threads.map(lambda peer: [peer() for _ in range(blocks)], self.peers)))
        return blocks * sum(peer.samples for peer in self.peers) / took


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
    lines = ["| result | NumPy | samples per second, ours over NumPy's |", "|---|---|---|"]
    for row in benchmark["samples_per_second"]:
        threads = f"{row['threads']} thread{'s' if row['threads'] > 1 else ''}"
        lines.append(f"| {row['result']} | {row['method']}, {threads} | {spread_text(row['ratio'], 2)} |")
    reached = benchmark["time_to_precision"]
    time = (
        f"{reached['result']} to a standard error of {reached['stderr']:.1e}, one core each: NumPy takes "
        f"{spread_text(reached['ratio'], 0)} times as long."
    )
    gains = ["| result | reduction | variance × time, plain over reduced |", "|---|---|---|"]
    for row in benchmark["gains"]:
        gain = (
            "infinite" if row["gain"] is None else f"{row['gain']:.2g}" if row["gain"] < 100 else f"{row['gain']:.0f}"
        )
        kind = "none, it runs as it is" if row["reduction"] == "none" else row["reduction"]
        gains.append(f"| {row['result']} {row['quantity']} | {kind} | {'' if row['reduction'] == 'none' else gain} |")
    settings = benchmark["settings"]
    footer = (
        f"Medians of {settings['rounds']} interleaved rounds, in brackets the lowest and the highest, on "
        f"{settings['device_name']} ({benchmark['machine']}), {settings['workers']} workers, float64, load average "
        f"{settings['load_average']:.1f}; gains are measured once, in the first setting of each result."
    )
    return "\n".join([*lines, "", time, "", *gains, "", footer])


BENCHMARK = Benchmark(
    run=run,
    summary=summary,
    writes=("monte_carlo_*.json",),
    cost=Cost(quick=None, full=600),
    tables=(ReadmeTable("monte_carlo", monte_carlo_table, ("monte_carlo_*.json",)),),
)
