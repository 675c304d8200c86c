"""Vectorised NumPy code of the experiments of some results: by whole arrays, and tuned, in blocks computed in place."""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
from jaxtyping import Complex, Float
from numpy import ndarray

from warptheory import results
from warptheory.paper.timings import seconds
from warptheory.results import DEFAULT_VALUES

WHOLE = 2**20  # samples of whole arrays
BLOCK = 2**13  # samples of NumPy's tuned code: of the sizes from 2¹² to 2²⁰ the fastest


class Peer(Protocol):
    """NumPy code of an experiment."""

    samples: int

    def __call__(self) -> tuple[float, float]:
        """Draw a block of samples; return the two means that the statistic is a function of."""


class _PeerOnGenerator:
    """NumPy code with random numbers of its own."""

    def __init__(self, generator: np.random.Generator, samples: int) -> None:
        self.generator, self.samples = generator, samples


class WholeWarpedValues(_PeerOnGenerator):
    """A4: values of a long periodic row of independent pixels, read at random offsets by linear interpolation."""

    def __call__(self) -> tuple[float, float]:
        """Return the mean, and the mean square."""
        size = self.samples
        pixels = self.generator.normal(DEFAULT_VALUES["mu"], DEFAULT_VALUES["sigma"], size)
        positions = np.arange(size) + self.generator.normal(0, DEFAULT_VALUES["s"], size)
        fractions, index = _split(positions)
        values = (1 - fractions) * pixels[index % size] + fractions * pixels[(index + 1) % size]
        return float(values.mean()), float((values**2).mean())


class WholeResponseToOnes(_PeerOnGenerator):
    """B3: what ones at random offsets add to the pixels of a long periodic row."""

    def __call__(self) -> tuple[float, float]:
        """Return the mean, and the mean square."""
        size = self.samples
        positions = np.arange(size) + self.generator.normal(0, DEFAULT_VALUES["s"], size)
        fractions, index = _split(positions)
        row = np.bincount(index % size, 1 - fractions, size) + np.bincount((index + 1) % size, fractions, size)
        return float(row.mean()), float((row**2).mean())


class WarpedValues(_PeerOnGenerator):
    """A4 in blocks: values of a long periodic row of independent pixels, read at random offsets."""

    def __init__(self, generator: np.random.Generator, samples: int) -> None:
        super().__init__(generator, samples)
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


class ResponseToOnes(_PeerOnGenerator):
    """B3 in blocks: what ones at random offsets add to the pixels of a long periodic row."""

    margin = 8

    def __init__(self, generator: np.random.Generator, samples: int) -> None:
        super().__init__(generator, samples)
        self.places, self.left = np.empty((2, samples))
        self.response = np.empty(samples + 2 * self.margin)
        self.index = np.empty(samples, np.intp)
        self.numbers = np.arange(self.margin, samples + self.margin, dtype=float)

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
        fractions, index = _split(positions)
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
        _split_in_place(places, left, index)
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


class TwoPoints(_PeerOnGenerator):
    """C2 in blocks: a Gaussian field at the two displaced points alone, given their distance."""

    def __init__(self, generator: np.random.Generator, samples: int) -> None:
        super().__init__(generator, samples)
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
    _split_in_place(places, left, index)


def _split(positions: Float[ndarray, "*n"]) -> tuple[Float[ndarray, "*n"], ndarray]:
    """Return the fractions of positions, and the pixels below them, shapes (*n)."""
    below = np.floor(positions)
    return positions - below, below.astype(int)


def _split_in_place(places: Float[ndarray, "*n"], left: Float[ndarray, "*n"], index: ndarray) -> None:
    """Leave the fractions of positions in `places`, and the pixels below them in `left` and `index`, shapes (*n)."""
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
