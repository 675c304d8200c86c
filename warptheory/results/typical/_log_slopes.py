"""The law of the slope after L layers, ∏ r, the factors r = ‖u + τg‖ of the layers independent and alike.

With φ(s) = E rⁱˢ, the slope exceeds t with probability G_L(t). Weighted with the energy it brings, r², a position has
the same law with φ(s − 2i)/φ(−2i) in place of φ(s): where half of the energy lies beyond is the median of that.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import sympy as sp
from jaxtyping import Complex, Float
from numpy import ndarray
from scipy import optimize, special

from warptheory.results._depth import LAYERS
from warptheory.results._setting import TAU
from warptheory.results.typical._slope_length import log_length_density, poisson_law
from warptheory.symbolic import Step
from warptheory.symbolic.nodes import Node
from warptheory.symbolic.quadrature import Environment, Evaluate

THRESHOLD = sp.Symbol("t", positive=True)
_FACTOR = sp.Symbol("r", positive=True)
_HALVING = sp.Symbol("q", positive=True)
_ENERGY = 2.0  # the power of the slope that is its energy
# Digits of the characteristic function of one factor are gone beyond this many inverse deviations of log r, or so many
# units of frequency, whichever is more; the left tail of log r falls as exp(dx).
_FREQUENCIES, _INVERSE_DEVIATIONS = 60.0, 10.0
_LEFT_TAIL = 45.0

Tail = Callable[[int, float, int, float, float], float]


def tail_by_inversion(dim: int, tau: float, layers: int, logarithm: float, power: float) -> float:
    """Return the probability that log ∏ r is larger, positions weighted with (∏ r)^power, by Gil-Pelaez' formula."""
    places, mass = log_length_density(dim, tau)
    mean = float(np.sum(places * mass))
    deviation = math.sqrt(float(np.sum(places**2 * mass)) - mean**2)
    width = (_LEFT_TAIL / dim + 12) * (1 + 0.1 * layers) + abs(logarithm) + layers * abs(mean) + 12 * deviation * layers
    width = 16.0 * math.ceil(width / 16)  # the same for many thresholds, which share the transform
    count = math.ceil(max(_FREQUENCIES, _INVERSE_DEVIATIONS / deviation) * width / (2 * math.pi))
    frequency = (np.arange(count) + 0.5) * 2 * math.pi / width
    transform = _characteristic_function(dim, tau, power, count, width) ** layers
    waves = np.exp(-1j * frequency * logarithm) * transform
    return float(0.5 + np.sum(waves.imag / (np.arange(count) + 0.5)) / math.pi)


@cache
def _characteristic_function(dim: int, tau: float, power: float, count: int, width: float) -> Complex[ndarray, "K"]:
    """Return E rᵖ⁺ⁱˢ/E rᵖ at frequencies s, shape (K,), as a mean over the number N of the noncentral χ²."""
    frequency = (np.arange(count) + 0.5) * 2 * math.pi / width
    number, chance = poisson_law(1 / (2 * tau**2))
    shape = dim / 2 + number[:, None]
    order = (power + 1j * frequency) / 2
    given = np.exp(special.loggamma(shape + order) - special.loggamma(shape.astype(complex)))
    real = np.exp(special.gammaln(shape[:, 0] + power / 2) - special.gammaln(shape[:, 0]))
    return np.asarray((2 * tau**2) ** (1j * frequency / 2) * (chance @ given) / (chance @ real))


def tail_by_convolution(dim: int, tau: float, layers: int, logarithm: float, power: float) -> float:
    """Return the same by convolving the density of log r, and integrating its band-limited interpolation."""
    places, mass = log_length_density(dim, tau)
    spacing = float(places[1] - places[0])
    weighted = mass * np.exp(power * places)
    length = layers * (len(places) - 1) + 1
    spectrum = np.fft.rfft(weighted / weighted.sum(), 2 * length) ** layers
    sums = np.fft.irfft(spectrum, 2 * length)[:length]
    first = layers * float(places[0])
    beyond = 0.5 - special.sici(np.pi * ((logarithm - first) / spacing - np.arange(length)))[0] / np.pi
    return float(np.sum(sums * beyond))


class SlopeTail(Node):
    """P(∏ r > t): args (d, τ, L, t)."""

    tail: Tail

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Return the probability."""
        dim, layers = (int(evaluate(self.args[place], environment)) for place in (0, 2))
        tau, threshold = (float(evaluate(self.args[place], environment)) for place in (1, 3))
        return type(self).tail(dim, tau, layers, math.log(threshold), 0.0)


class SlopeTailByInversion(SlopeTail):
    """P(∏ r > t) from the characteristic function of log r."""

    tail = staticmethod(tail_by_inversion)

    def display(self, *, latex: bool) -> sp.Expr:
        """Return Gil-Pelaez' integral."""
        return _inversion(self.args[2], self.args[3], sp.Integer(0))


class SlopeTailByConvolution(SlopeTail):
    """P(∏ r > t) from the densities of log r."""

    tail = staticmethod(tail_by_convolution)

    def display(self, *, latex: bool) -> sp.Expr:
        """Return G_L in terms of G_{L−1}."""
        return sp.Function("E")(sp.Function(f"G_({self.args[2] - 1})")(self.args[3] / _FACTOR))


class HalfEnergyShare(Node):
    """The share of positions that hold half of the energy: args (d, τ, L)."""

    tail: Tail

    def display(self, *, latex: bool) -> sp.Expr:
        """Return G_L(q)."""
        return sp.Function(f"G_{self.args[2]}")(_HALVING)

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Find the slope beyond which half of the energy lies, and how many positions lie there."""
        dim, layers = (int(evaluate(self.args[place], environment)) for place in (0, 2))
        tau, tail = float(evaluate(self.args[1], environment)), type(self).tail
        places, mass = log_length_density(dim, tau)
        weighted = mass * np.exp(_ENERGY * places)
        centre = layers * float(np.sum(places * weighted) / weighted.sum())
        halving = optimize.brentq(
            lambda logarithm: tail(dim, tau, layers, logarithm, _ENERGY) - 0.5, centre - 3, centre + 3, xtol=1e-13
        )
        return tail(dim, tau, layers, float(halving), 0.0)


class HalfEnergyShareByInversion(HalfEnergyShare):
    """The same from characteristic functions."""

    tail = staticmethod(tail_by_inversion)


class HalfEnergyShareByConvolution(HalfEnergyShare):
    """The same from densities."""

    tail = staticmethod(tail_by_convolution)

    def display(self, *, latex: bool) -> sp.Expr:
        """Return G_L(q) in terms of G_{L−1}."""
        return sp.Function("E")(sp.Function(f"G_({self.args[2] - 1})")(_HALVING / _FACTOR))


def slope_quantiles(
    dim: int, tau: float, layers: int, probabilities: Sequence[float], power: float = 0.0
) -> Float[ndarray, "K"]:
    """Return the factors below which slopes have grown with given probabilities, shape (K,).

    Args:
        dim: number d of axes.
        tau: the deviation τ of the slopes, without unit.
        layers: the number L of layers.
        probabilities: in (0, 1).
        power: positions count with their slope to this power: 1 on a line for those that an input finds, which an
            output is in proportion to |J|, and 2 for energy.
    """
    places, mass = log_length_density(dim, tau)
    mean = layers * float(np.sum(places * mass))
    reach = (12 + power) * math.sqrt(layers * float(np.sum(places**2 * mass))) + layers * power + 1

    def excess(logarithm: float, probability: float) -> float:
        return 1 - probability - tail_by_inversion(dim, tau, layers, logarithm, power)

    found = [optimize.brentq(excess, mean - reach, mean + reach, (p,), xtol=1e-9) for p in probabilities]
    return np.exp(found)


def _inversion(layers: sp.Expr, threshold: sp.Expr, power: sp.Expr) -> sp.Expr:
    s = sp.Symbol("s", real=True)
    transform = sp.Function("E")(_FACTOR ** (power + sp.I * s)) ** layers
    wave = sp.im(threshold ** (-sp.I * s) * transform, evaluate=False)
    return sp.Rational(1, 2) + sp.Integral(wave / s, (s, 0, sp.oo)) / sp.pi


_ADD = (
    "the logarithms of the layers' factors r add up; E rⁱˢ, a mean of Γ(d/2 + N + is/2)/Γ(d/2 + N) over the number N "
    "of the noncentral χ² (K1), is raised to the power L, and inverted"
)
_CONVOLVE = "one layer after the other, G_L(t) = E G_{L−1}(t/r), with the density of log r"


def tail_steps(dim: int, threshold: sp.Expr = THRESHOLD) -> tuple[Step, ...]:
    """Return the steps to the share of positions whose slope has grown by more than a threshold."""
    return (
        Step("Add logarithms", _ADD, SlopeTailByInversion(dim, TAU, LAYERS, threshold)),
        Step("Convolve", _CONVOLVE, SlopeTailByConvolution(dim, TAU, LAYERS, threshold)),
    )


def half_energy_steps(dim: int) -> tuple[Step, ...]:
    """Return the steps to the share of positions that hold half of the energy."""
    return (
        Step(
            "Halve the energy",
            "beyond the slope q lies half of the energy: q is the median of ∏ r where positions count with their "
            f"energy ∏ r², whose transform is E r²⁺ⁱˢ/E r² a layer; {_ADD}",
            HalfEnergyShareByInversion(dim, TAU, LAYERS),
        ),
        Step(
            "Convolve",
            f"{_CONVOLVE}, and for q with that density times r²",
            HalfEnergyShareByConvolution(dim, TAU, LAYERS),
        ),
    )
