"""The law of W₁ᵀ…W_Lᵀ1 for smooth offsets without folds, ε = τ sin t along each axis, with random phases.

An input is reached from one place in each layer, W₁ᵀ…W_Lᵀ1 = ∏ 1/J over layers and axes, J = 1 + τ cos θ. At a uniform
position of what a layer leaves, θ has the density J/2π; the places in different layers are independent, as the phases
are. log J lies in [α, β], α = log(1 − τ), β = log(1 + τ); the sum of n of them is below y with probability F_n.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import numpy as np
import sympy as sp
from jaxtyping import Float
from numpy import ndarray

from warptheory.core.errors import ArgumentError
from warptheory.results._depth import LAYERS
from warptheory.results._setting import TAU
from warptheory.results.backward._compound_poisson import THRESHOLD
from warptheory.symbolic import NotConverged, Step
from warptheory.symbolic.nodes import Node
from warptheory.symbolic.quadrature import Environment, Evaluate

_ACCURACY = 1e-10
_MOST_CONVOLVED = 256  # factors; the characteristic function of as many has fallen to zero before 1024 frequencies
_SPACINGS = (0.12, 0.09, 0.07, 0.055, 0.04)  # of the nodes
_FREQUENCIES = (1024, 2048, 4096, 8192)
_MOST_NODES, _TOGETHER = 2**18, 2**22
_REACH = 3.8  # of the nodes; square roots at the ends are below 1e-15 beyond


def smooth_tail_steps(dim: int) -> tuple[Step, ...]:
    """Return the steps from the characteristic function of log J to its convolution."""
    factors = dim * LAYERS
    return (
        Step(
            "Add logarithms",
            "one preimage each: W₁ᵀ…W_Lᵀ1 = ∏ 1/J; at a uniform position of what a layer leaves θ has the density "
            "J/2π, J = 1 + τ cos θ, and random phases make layers independent; the characteristic function φ of log J "
            "is raised to the number of factors, and inverted",
            InvertedTail(TAU, factors, THRESHOLD),
        ),
        Step(
            "Convolve",
            "one factor after the other, F_n(y) = P(n logarithms add up to less than y); F₁(y) = (π − α − τ sin α)/π, "
            "cos α = (eʸ − 1)/τ",
            ConvolvedTail(TAU, factors, THRESHOLD),
        ),
    )


class _SmoothTail(Node):
    """P(∏ 1/J > t) for n factors: args (τ, n, t)."""

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Return the probability, to 1e-10.

        Raises:
            ArgumentError: a slope that folds, or no whole number of factors.
            NotConverged: the accuracy is not reached.
        """
        tau, factors, threshold = (float(evaluate(part, environment)) for part in self.args)
        if not 0 < tau < 1:
            raise ArgumentError("tau", expected="a slope in (0, 1), as φ folds beyond", received=tau)
        if not factors.is_integer():
            raise ArgumentError("L", expected="a whole number of layers", received=factors)
        place = _place(tau, int(factors), threshold)
        if not 0 < place < factors:
            return float(place > 0)
        return self.below(tau, int(factors), place)

    def below(self, tau: float, factors: int, place: float) -> float:
        """Return F_n where (y − nα)/(β − α) is `place`, in (0, n)."""
        raise NotImplementedError


class InvertedTail(_SmoothTail):
    """P(∏ 1/J > t): its number from the Fourier series of the law of the sum of log J."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return Gil-Pelaez' integral of the characteristic function."""
        tau, factors, threshold = self.args
        s, theta = sp.symbols("s theta", real=True)
        one = sp.Integral((1 + tau * sp.cos(theta)) ** (1 + sp.I * s), (theta, 0, 2 * sp.pi)) / (2 * sp.pi)
        wave = sp.im(threshold ** (sp.I * s) * one**factors, evaluate=False)
        return sp.Rational(1, 2) - sp.Integral(wave / s, (s, 0, sp.oo)) / sp.pi

    def below(self, tau: float, factors: int, place: float) -> float:
        """Add the series of twice as many frequencies until nothing changes."""
        return _settled(lambda number: _fourier(tau, factors, place, number), _FREQUENCIES)


class ConvolvedTail(_SmoothTail):
    """P(∏ 1/J > t): its number from F_1, F_2, …, F_n."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return F_n in terms of F_{n−1}."""
        tau, factors, threshold = self.args
        theta = sp.Symbol("theta", real=True)
        jacobian = 1 + tau * sp.cos(theta)
        before = sp.Function(f"F_({factors - 1})")(-sp.log(threshold) - sp.log(jacobian))
        return sp.Integral(before * jacobian, (theta, 0, 2 * sp.pi)) / (2 * sp.pi)

    def below(self, tau: float, factors: int, place: float) -> float:
        """Convolve on finer nodes until nothing changes; very many factors have a Fourier series of few terms."""
        if factors > _MOST_CONVOLVED:
            return InvertedTail(*self.args).below(tau, factors, place)
        return _settled(lambda spacing: _Panel.of(spacing, tau).convolved(factors, place), _SPACINGS)


def _settled(value: Callable[[Any], float], finer: Sequence[Any]) -> float:
    """Return the first value that a finer one confirms."""
    before = np.nan
    for level in finer:
        found = value(level)
        if abs(found - before) <= _ACCURACY:
            return min(max(found, 0.0), 1.0)
        before = found
    raise NotConverged(f"the law of a product of 1/J still changes by more than {_ACCURACY:g} between {finer[-2:]}")


def _place(tau: float, factors: int, threshold: float) -> float:
    """Return (y − nα)/(β − α) for y = −log t: how many intervals [α, β] lie below y."""
    if threshold <= 0:
        return float(factors)
    return float((-np.log(threshold) - factors * np.log1p(-tau)) / _length(tau))


def _length(tau: float) -> float:
    """Return β − α."""
    return float(2 * np.arctanh(tau))


def _fourier(tau: float, factors: int, place: float, number: int) -> float:
    """Return F_n by its Fourier series on a period that is longer than the range of the sum by one interval.

    F_n is smooth but at whole places; a filter of high order leaves the series exponentially accurate off them.
    """
    nodes = 4 * number // (factors + 1) + int(32 / np.sqrt(1 - tau))
    if nodes > _MOST_NODES:
        raise NotConverged(f"{factors} factors of 1/J with a slope of {tau:.12g} need {nodes} angles")
    jacobian = 1 + tau * np.cos(np.pi * (np.arange(nodes) + 0.5) / nodes)
    share = (np.log(jacobian) - np.log1p(-tau)) / _length(tau)  # of the interval, at which log J lies
    k = np.arange(1, number + 1)
    waves = 2j * np.pi * k / (factors + 1)
    blocks = np.array_split(waves, 1 + number * nodes // _TOGETHER)
    transform = np.concatenate([np.exp(np.outer(some, share)) @ jacobian / nodes for some in blocks]) ** factors
    ends = (np.exp(-waves * place) - np.exp(waves / 2)) / -waves  # from the middle of the gap
    filtered = np.exp(-36 * (k / number) ** 8)
    return float((place + 0.5 + 2 * np.sum(filtered * transform * ends).real) / (factors + 1))


@dataclass(frozen=True)
class _Panel:
    """Values on [0, 1] of a function with algebraic singularities at both ends, as F_n has between whole places.

    Nodes are x = (1 + tanh(½π sinh u))/2 at equidistant u (tanh–sinh; Stenger's sinc interpolation); as distances from
    both ends have to be known, each place comes with its complement. F_{n+1} on the panel k is a linear map of F_n on
    the panels k and k − 1: A of the one and B of the other.

    Attributes:
        nodes: x at the ends and the nodes, shape (K,).
        rest: 1 − x, shape (K,).
        spacing: of u.
        first: F_1, shape (K,).
        here: A, shape (K, K).
        below: B, shape (K, K).
    """

    nodes: Float[ndarray, "K"]
    rest: Float[ndarray, "K"]
    spacing: float
    first: Float[ndarray, "K"]
    here: Float[ndarray, "K K"]
    below: Float[ndarray, "K K"]

    @staticmethod
    @lru_cache(maxsize=16)
    def of(spacing: float, tau: float) -> "_Panel":
        """Return the panel of nodes of a spacing."""
        inner, inner_rest, _ = _tanh_sinh(spacing)
        nodes, rest = np.array([0.0, *inner, 1.0]), np.array([1.0, *inner_rest, 0.0])
        share, other, mass = _tanh_sinh(spacing * 2 / 3)
        here, below = np.zeros((2, len(nodes), len(nodes)))
        for row, (x, complement) in enumerate(zip(nodes, rest, strict=True)):
            if x > 0:  # log J at the place x·share: F_n at x − x·share of the same panel
                weights = x * mass * _density(tau, x * share, complement + x * other)
                here[row] = weights @ _interpolation(spacing, x * other, complement + x * share)
            if complement > 0:  # beyond x: of the panel below
                weights = complement * mass * _density(tau, x + complement * share, complement * other)
                below[row] = weights @ _interpolation(spacing, x + complement * other, complement * share)
        return _Panel(nodes, rest, spacing, _one_factor(tau, nodes, rest), here, below)

    def convolved(self, factors: int, place: float) -> float:
        """Return F_n at a place in (0, n)."""
        panels = self.first[None]
        zero, one = np.zeros((1, len(self.nodes))), np.ones((1, len(self.nodes)))
        for _ in range(factors - 1):
            extended = np.concatenate([zero, panels, one])
            panels = extended[1:] @ self.here.T + extended[:-1] @ self.below.T
        panel = int(place)
        weights = _interpolation(self.spacing, np.array([place - panel]), np.array([panel + 1 - place]))
        return float(weights[0] @ panels[panel])


def _tanh_sinh(spacing: float) -> tuple[Float[ndarray, "K"], Float[ndarray, "K"], Float[ndarray, "K"]]:
    """Return x, 1 − x and the weights of the tanh–sinh rule on (0, 1), shape (K,) each."""
    u = _arguments(spacing)
    x, rest = (1 / (1 + np.exp(sign * np.pi * np.sinh(u))) for sign in (-1, 1))
    return x, rest, spacing * np.pi * np.cosh(u) * x * rest


def _arguments(spacing: float) -> Float[ndarray, "K"]:
    count = int(np.ceil(_REACH / spacing))
    return spacing * np.arange(-count, count + 1)


def _interpolation(spacing: float, x: Float[ndarray, "P"], rest: Float[ndarray, "P"]) -> Float[ndarray, "P K"]:
    """Return what a function at places x, 1 − x takes of its values at the ends and the nodes, shape (P, K)."""
    nodes, nodes_rest, _ = _tanh_sinh(spacing)
    with np.errstate(divide="ignore"):
        u = np.clip(np.arcsinh(np.log(x / rest) / np.pi), -2 * _REACH, 2 * _REACH)
    inner = np.sinc((u[:, None] - _arguments(spacing)) / spacing)
    ends = (rest - inner @ nodes_rest, x - inner @ nodes)  # a line is exact
    return np.column_stack([ends[0], inner, ends[1]])


def _edges(tau: float, x: Float[ndarray, "P"], rest: Float[ndarray, "P"]) -> tuple[ndarray, ndarray]:
    """Return J − (1 − τ) and 1 + τ − J where log J = α + x(β − α), shape (P,) each."""
    length = _length(tau)
    return (1 - tau) * np.expm1(length * x), -(1 + tau) * np.expm1(-length * rest)


def _density(tau: float, x: Float[ndarray, "P"], rest: Float[ndarray, "P"]) -> Float[ndarray, "P"]:
    """Return the density of x, log J = α + x(β − α): J/π dθ with dJ = −τ sin θ dθ; shape (P,)."""
    low, high = _edges(tau, x, rest)
    return cast("ndarray", _length(tau) * (1 - tau + low) ** 2 / (np.pi * np.sqrt(low * high)))


def _one_factor(tau: float, x: Float[ndarray, "P"], rest: Float[ndarray, "P"]) -> Float[ndarray, "P"]:
    """Return F_1 = (γ − τ sin γ)/π, cos γ = (1 − J)/τ, shape (P,)."""
    low, high = _edges(tau, x, rest)
    angle = 2 * np.arctan2(np.sqrt(low), np.sqrt(high))
    return cast("ndarray", (angle - tau * np.sin(angle)) / np.pi)
