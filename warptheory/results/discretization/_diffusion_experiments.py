"""Experiments on stacked warps of waves and of smooth fields, and on the field that they settle at (D6)."""

import math
from collections.abc import Mapping, Set
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from warptheory import warping
from warptheory.core.errors import ArgumentError
from warptheory.fields import kept_sampler
from warptheory.results._setting import Setting
from warptheory.results.discretization._equilibrium import CHI, MODES, PERIOD
from warptheory.results.discretization._layers import LENGTH, OFFSET_LENGTH, input_covariance, offset_covariance
from warptheory.results.discretization._power import LAYERS, frequencies
from warptheory.results.fields._fields import check_length
from warptheory.symbolic._slopes import TAU

Values = Mapping[str, float]

WAVE_PERIOD = 14  # pixels along each axis
_OFF_GRID = 1e-9


@dataclass(frozen=True)
class WaveExperiment:
    """The power that a wave has left after layers of one offset for all pixels each.

    A wave √2 cos(ω·n + θ) of mean square one on a periodic grid; power is that of the discrete transform at ω.

    Attributes:
        kernel: name of the kernel.
        dim: number d of axes.
        law: "uniform" over a pixel, or "normal" of deviation s, along each axis.
        layers: L; None takes it from the values.
    """

    kernel: str
    dim: int
    law: str = "uniform"
    layers: int | None = 1

    @property
    def symbols(self) -> Set[str]:
        """The frequencies, the spread of the offset, and the number of layers if it is open."""
        names = {omega.name for omega in frequencies(self.dim)}
        return names | ({"s"} if self.law == "normal" else set()) | ({LAYERS.name} if self.layers is None else set())

    def row_elements(self, values: Values) -> int:
        """Return the number of pixels of a row, over its layers."""
        return self._number(values) * int(WAVE_PERIOD**self.dim)

    def sample(
        self, generator: np.random.Generator, rows: int, values: Values, device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw phases and offsets, and return the power left at ω, shape (rows,).

        Raises:
            ArgumentError: a frequency that is not on the grid.
        """
        mode = self._mode(values)
        index = np.indices((WAVE_PERIOD,) * self.dim)
        phase = 2 * math.pi / WAVE_PERIOD * np.tensordot(mode, index, axes=1)
        angles = 2 * math.pi * generator.random((rows, *[1] * self.dim)) + phase
        y = torch.from_numpy(math.sqrt(2) * np.cos(angles))[:, None].to(device)
        for _ in range(self._number(values)):
            y = warping.warp(y, self._offsets(generator, rows, values).to(device), self.kernel, "periodic")
        transform = torch.fft.fftn(y[:, 0], dim=tuple(range(1, self.dim + 1)), norm="forward")
        return 2 * transform[(slice(None), *mode)].abs().square()

    def _offsets(self, generator: np.random.Generator, rows: int, values: Values) -> Tensor:
        """Return one offset for all pixels of each row, shape (rows, d, *S)."""
        shape = (rows, self.dim, *[1] * self.dim)
        drawn = generator.random(shape) if self.law == "uniform" else values["s"] * generator.standard_normal(shape)
        return torch.from_numpy(drawn).expand(rows, self.dim, *[WAVE_PERIOD] * self.dim)

    def _mode(self, values: Values) -> tuple[int, ...]:
        """Return the frequencies in units of the grid's lowest."""
        exact = [values[omega.name] * WAVE_PERIOD / (2 * math.pi) for omega in frequencies(self.dim)]
        whole = tuple(round(number) for number in exact)
        highest = max(map(abs, whole))
        if not 0 < highest < WAVE_PERIOD / 2 or any(abs(a - b) > _OFF_GRID for a, b in zip(exact, whole, strict=True)):
            raise ArgumentError(
                "values", expected=f"frequencies below π that are multiples of 2π/{WAVE_PERIOD}", received=dict(values)
            )
        return whole

    def _number(self, values: Values) -> int:
        return int(values[LAYERS.name]) if self.layers is None else self.layers


# Pixels along each axis: far enough round for what is correlated over 4 pixels, and without smooth offsets over 2.
_SIZE: Mapping[int, int] = {1: 256, 2: 40}
_SMALL_SIZE: Mapping[int, int] = {1: 64, 2: 20}


@dataclass(frozen=True)
class LayersExperiment:
    """A smooth Gaussian field after layers of smooth Gaussian offsets, on a periodic grid.

    The offsets of a layer are a field of covariance K for each component, and one vector for all pixels, uniform over a
    pixel. A row is the change of the variance, or of the variance of the differences of neighbours, averaged over the
    pixels and the axes, from the layers' input to their output; relative to what that is for the field's covariance.

    Attributes:
        kernel: name of the kernel.
        dim: number d of axes.
        gradient: whether the differences of neighbours count.
        layers: L; None takes it from the values.
        smooth: whether there are offsets of covariance K; without them the same variance is lost, with less scatter.
    """

    kernel: str
    dim: int
    gradient: bool
    layers: int | None = 1
    smooth: bool = True

    @property
    def symbols(self) -> Set[str]:
        """Both lengths and the slope, and the number of layers if it is open."""
        offsets = {TAU.name, OFFSET_LENGTH.name} if self.smooth else set()
        return {LENGTH.name} | offsets | ({LAYERS.name} if self.layers is None else set())

    @property
    def size(self) -> int:
        """Number of pixels along each axis."""
        return (_SIZE if self.smooth else _SMALL_SIZE)[self.dim]

    def row_elements(self, values: Values) -> int:
        """Return the number of pixels of a row: those held at a time, for its layers follow one another."""
        return int(self.size**self.dim)

    def sample(
        self, generator: np.random.Generator, rows: int, values: Values, device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw fields and offsets, and return the growth, or the share that is lost; shape (rows,)."""
        covariance, offsets = (of(self.dim).subs(values) for of in (input_covariance, offset_covariance))
        size = (self.size,) * self.dim
        x = kept_sampler(covariance, size, periodic=True).sample(rows, generator, device=device)
        y = x
        for _ in range(self._number(values)):
            shared = torch.from_numpy(generator.random((rows, self.dim, *[1] * self.dim))).to(device)
            moved = shared.expand(rows, self.dim, *x.shape[2:])
            if self.smooth:
                field = kept_sampler(offsets, size, periodic=True)
                moved = moved + field.sample(rows, generator, channels=self.dim, device=device)
            y = warping.warp(y, moved, self.kernel, "periodic")
        if not self.gradient:
            return (x.square() - y.square()).flatten(1).mean(1) / float(covariance(0.0))
        before = 2 * float(covariance(0.0) - covariance(1.0))
        return 1 + (_difference_power(y) - _difference_power(x)) / before

    def _number(self, values: Values) -> int:
        return int(values[LAYERS.name]) if self.layers is None else self.layers


def _difference_power(x: Tensor) -> Tensor:
    """Return the mean square of the differences of neighbours, over pixels and axes, shape (rows,)."""
    axes = range(2, x.ndim)
    squares = [(x.roll(-1, axis) - x).square().flatten(1).mean(1) for axis in axes]
    return torch.stack(squares).mean(0)


_CHANNELS = 8
_BURN_IN = 60  # layers; what remains of the start falls by 0.888 a layer at τ = 0.5, to 0.1 %
_LEAST_SLOPE = 0.05
_MEASURED = 90
_EVERY = 3


def burn_in(tau: float) -> int:
    """Return the layers after which the start is forgotten; below τ = 0.5 each forgets a share of order τ²."""
    return math.ceil(_BURN_IN * max(1.0, 0.5 / tau) ** 2)


def check_slope(setting: Setting, values: Values) -> None:
    """Check that the start is forgotten in some thousand layers.

    Raises:
        ArgumentError: a slope that is too small.
    """
    if values[TAU.name] < _LEAST_SLOPE:
        expected = f"a slope of at least {_LEAST_SLOPE}; smaller ones take {burn_in(_LEAST_SLOPE)} layers or more"
        raise ArgumentError(TAU.name, expected=expected, received=values[TAU.name])


def check_lengths(setting: Setting, values: Values) -> None:
    """Check that the field and the smooth offsets are short against the period of the layers' grid."""
    for length in (LENGTH, OFFSET_LENGTH):
        check_length(length.name, values[length.name], 0.0, float(_SIZE[setting.dim]))


@dataclass(frozen=True)
class EquilibriumExperiment:
    """A field that passes layer after layer, each of which adds variance at the largest scale.

    x ← Wx + f on a periodic line, and the mean of x taken off. The offsets are a random wave of the period, of slopes
    N(0, τ²), and one number for all pixels, uniform over a pixel; f is a random wave of the period of variance χ. A
    row is one such history from x = 0 on, with eight channels that share the offsets, averaged over its later layers.

    Attributes:
        kernel: name of the kernel.
        ratio: whether the power at the second of the frequencies over that at the first is measured, from two columns;
            else the variance of the differences of neighbours.
    """

    kernel: str
    ratio: bool

    @property
    def symbols(self) -> Set[str]:
        """The slope, and the variance that is added."""
        return {TAU.name, CHI.name}

    def row_elements(self, values: Values) -> int:
        """Return the number of values of x: those of a row at a time, for its layers follow one another."""
        return _CHANNELS * PERIOD

    def sample(
        self, generator: np.random.Generator, rows: int, values: Values, device: str = "cpu"
    ) -> Float[Tensor, "rows"] | Float[Tensor, "rows k"]:
        """Draw histories, and return their gradient variance, shape (rows,), or two powers, shape (rows, 2)."""
        x = torch.zeros((rows, _CHANNELS, PERIOD), dtype=torch.float64, device=device)
        measured = []
        settled = burn_in(values[TAU.name])
        for layer in range(settled + _MEASURED):
            x = self._layer(x, generator, values)
            if layer >= settled and layer % _EVERY == 0:
                measured.append(self._measure(x))
        return torch.stack(measured).mean(0)

    def combine(self, means: Float[ndarray, "k"], values: Values) -> tuple[float, Float[ndarray, "k"]]:
        """Return the gradient variance or the ratio of the powers, and its gradient, shape (k,)."""
        if not self.ratio:
            return float(means[0]), np.ones(1)
        low, high = means
        return float(high / low), np.array([-high / low**2, 1 / low])

    def _layer(self, x: Tensor, generator: np.random.Generator, values: Values) -> Tensor:
        rows, channels, period = x.shape
        wave = _random_waves(generator, (rows, 1), period).to(x.device)
        shared = torch.from_numpy(generator.random((rows, 1, 1))).to(x.device)
        offsets = values[TAU.name] * period / (2 * math.pi) * wave + shared
        force = math.sqrt(values[CHI.name]) * _random_waves(generator, (rows, channels), period).to(x.device)
        y = warping.warp(x, offsets, self.kernel, "periodic") + force
        return y - y.mean(-1, keepdim=True)

    def _measure(self, x: Tensor) -> Tensor:
        if not self.ratio:
            return _difference_power(x)
        power = torch.fft.rfft(x, norm="forward").abs().square().mean(1)
        return power[:, list(MODES)]


def _random_waves(generator: np.random.Generator, shape: tuple[int, ...], period: int) -> Tensor:
    """Return ξ cos kn + ζ sin kn, k = 2π/period, ξ and ζ standard normal, shape (*shape, period)."""
    phase = 2 * math.pi / period * np.arange(period)
    return torch.from_numpy(generator.standard_normal((*shape, 2)) @ np.stack([np.cos(phase), np.sin(phase)]))
