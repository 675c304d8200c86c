"""What layers settle at on a periodic line when each adds variance and loses its mean (D6).

C = MC + F − c, with M the chain of the distance of two walkers on the line, as a fixed point of iteration, as the
solution of linear equations, and balanced against the law of the distance after many layers.
"""

import itertools
import math
from typing import cast

import numpy as np
import sympy as sp
from numpy import ndarray

from warptheory.kernels import Kernel
from warptheory.results.discretization._walkers import autocorrelation, smoothed
from warptheory.symbolic import NotConverged
from warptheory.symbolic.nodes import Node
from warptheory.symbolic.quadrature import Environment, Evaluate

_FARTHEST = 9.0  # deviations of a step; what lies beyond has a probability of 1e−18
_MOST_LAYERS = 10**5
_SETTLED = 1e-13


class Stationary(Node):
    """What stays the same from layer to layer on a periodic axis: args (k, v(Δ), F(Δ), Δ, N, which).

    Layers x ↦ Wx + f, f a field of covariance F, with the mean over the axis taken off after each: then
    C = MC + F − c, C known up to a constant, c the growth of the mean's variance that is taken off.
    """

    bound = slice(3, 4)

    def _chain(self, environment: Environment, evaluate: Evaluate) -> tuple[ndarray, ndarray]:
        """Return M, shape (N, N), and F, shape (N,), on the lags 0 … N − 1."""
        period = int(self.args[4])
        lags = np.arange(period)
        at_lags = {**environment, self.args[3]: lags}
        spread, force = (np.broadcast_to(evaluate(part, at_lags), period) for part in self.args[1:3])
        return periodic_chain(self.args[0].content, np.maximum(spread, 0.0)), np.asarray(force)


class StationaryGradient(Stationary):
    """2(C(0) − C(which)); its number from layer after layer."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return 2(C(0) − C(which))."""
        covariance = sp.Function("C")
        return 2 * (covariance(0) - covariance(self.args[5]))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Iterate until nothing changes."""
        covariance = _iterated(*self._chain(environment, evaluate))
        return float(2 * (covariance[0] - covariance[int(self.args[5])]))


class StationaryPower(Stationary):
    """P(ω) = Σ_Δ C(Δ) cos ωΔ at ω = 2π·which/N, not zero; its number from layer after layer."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return S(ω)."""
        return sp.Function("S")(2 * sp.pi * self.args[5] / self.args[4])

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Iterate until nothing changes, and transform."""
        return self._power(_iterated(*self._chain(environment, evaluate)))

    def _power(self, covariance: ndarray) -> float:
        return float(np.fft.fft(covariance).real[int(self.args[5])])


class SolvedPower(StationaryPower):
    """The same power; its number from the linear equations C = MC + F − c, C(0) = 0."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return S∞(ω)."""
        return sp.Function("S_∞")(2 * sp.pi * self.args[5] / self.args[4])

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Solve the equations, and transform."""
        chain, force = self._chain(environment, evaluate)
        size = len(force)
        equations = np.block(
            [[np.eye(size) - chain, np.ones((size, 1))], [np.eye(1, size), np.zeros((1, 1))]],
        )
        return self._power(np.linalg.solve(equations, [*force, 0.0])[:-1])


class MeanForce(Stationary):
    """c = Σ_Δ π(Δ) F(Δ), π the law of the distance after many layers; its number from π."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return c."""
        return sp.Symbol("c")

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Solve πM = π, Σπ = 1."""
        chain, force = self._chain(environment, evaluate)
        size = len(force)
        equations = np.vstack([np.eye(size) - chain.T, np.ones(size)])
        law = np.linalg.lstsq(equations, np.array([*[0.0] * size, 1.0]), rcond=None)[0]
        return float(law @ force)


def periodic_chain(kernel: Kernel, spread: ndarray) -> ndarray:
    """Return M on a periodic axis.

    Args:
        kernel: the kernel k.
        spread: v(Δ) at the lags 0 … N − 1, in pixels², shape (N,).

    Returns:
        M, shape (N, N): weights of the lags after a step, by the lag before it.
    """
    size, a = len(spread), autocorrelation(kernel)
    lags = np.arange(size)
    turns = math.ceil((len(kernel.taps) + _FARTHEST * math.sqrt(spread.max())) / size) + 1
    images = (lags[:, None] - lags + turn * size for turn in range(-turns, turns + 1))
    return cast("ndarray", np.sum([smoothed(a, image, spread[:, None]) for image in images], axis=0))


def _iterated(chain: ndarray, force: ndarray) -> ndarray:
    """Iterate C ↦ MC + F, C(0) taken off, until nothing changes."""
    covariance = np.zeros_like(force)
    for _ in itertools.repeat(None, _MOST_LAYERS):
        after = chain @ covariance + force
        after -= after[0]
        if np.abs(after - covariance).max() <= _SETTLED * np.abs(after).max():
            return cast("ndarray", after)
        covariance = after
    raise NotConverged(f"the covariance still changes after {_MOST_LAYERS} layers")
