"""Means over the spectrum of a smooth warp: over places s that are read, and over slopes that are Gaussian."""

from collections.abc import Callable
from functools import cache

import numpy as np
import sympy as sp
from numpy import ndarray
from scipy import special

from warptheory.results.backward._gaussian_slopes import JACOBIAN
from warptheory.symbolic.nodes import Node
from warptheory.symbolic.quadrature import Environment, Evaluate

LENGTH = sp.Symbol("R", positive=True)  # of a plane Gaussian vector
_PLACES = 1024
_NEWTON_STEPS = 60
_POINTS = 400
_REACH = 9.0  # deviations
_BISECTIONS = 60
_LEAST = 1e-300


class PlaceMean(Node):
    """E_s f(J) over places s that the wave φ(t) = t + τ sin t reads, uniform on the circle: args (f in J, τ).

    Its number comes from φ, inverted by Newton's method at each s of a grid; τ < 1.
    """

    @property
    def free_symbols(self) -> set[sp.Symbol]:
        """Symbols of f and τ; J is averaged over."""
        return self.args[1].free_symbols | (self.args[0].free_symbols - {JACOBIAN})

    def display(self, *, latex: bool) -> sp.Expr:
        """Return E_s(f(J))."""
        return sp.Function("E_s")(self.args[0])

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Invert φ, and average over the grid."""
        tau = float(evaluate(self.args[1], environment))
        place = 2 * np.pi * np.arange(_PLACES) / _PLACES
        t = place.copy()
        for _ in range(_NEWTON_STEPS):
            t -= np.clip((t + tau * np.sin(t) - place) / (1 + tau * np.cos(t)), -0.5, 0.5)
        return float(np.mean(evaluate(self.args[0], {**environment, JACOBIAN: 1 + tau * np.cos(t)})))


class LengthMean(Node):
    """E f(R), R the length of a plane Gaussian vector of mean (1, 0) and variance τ²/2 per axis: args (f in R, τ)."""

    @property
    def free_symbols(self) -> set[sp.Symbol]:
        """Symbols of f and τ; R is averaged over."""
        return self.args[1].free_symbols | (self.args[0].free_symbols - {LENGTH})

    def display(self, *, latex: bool) -> sp.Expr:
        """Return E_R(f(R))."""
        return sp.Function("E_R")(self.args[0])

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Integrate against Rice's density by the Gauss–Legendre rule."""
        tau = float(evaluate(self.args[1], environment))
        lowest, highest = max(0.0, 1 - _REACH * tau), 1 + _REACH * tau
        nodes, weights = np.polynomial.legendre.leggauss(_POINTS)
        r = lowest + (highest - lowest) * (nodes + 1) / 2
        density = 2 * r / tau**2 * np.exp(-(((r - 1) / tau) ** 2)) * special.i0e(2 * r / tau**2)
        values = evaluate(self.args[0], {**environment, LENGTH: r})
        return float((highest - lowest) / 2 * np.sum(weights * density * values))


class ResponseMean(Node):
    """E |1 − f + f e^{iω}| over fractions and frequencies, both uniform: the linear kernel's response; no args.

    Its number comes from the midpoint rule, with half the fractions; the cone at f = ½, ω = π costs 1e-9.
    """

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the double integral."""
        f, omega = sp.Symbol("f", real=True), sp.Symbol("omega", real=True)
        response = sp.Abs(1 - f + f * sp.exp(sp.I * omega))
        return sp.Integral(response / (2 * sp.pi), (f, 0, 1), (omega, 0, 2 * sp.pi))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Average over a grid of points."""
        nodes, weights = np.polynomial.legendre.leggauss(_POINTS)
        fraction = (nodes + 1) / 4
        omega = 2 * np.pi * (np.arange(_PLACES) + 0.5) / _PLACES
        response = np.abs(1 - fraction[:, None] + fraction[:, None] * np.exp(1j * omega))
        return float(weights @ response.mean(1) / 2)


class FoldedPlaceMean(Node):
    """E_s √D(s), D(s) = Σ 1/|J(t)| over the t with t + τ sin t = s, τ > 1: args (τ, route).

    Its number comes from the places s one by one, at each of which φ is inverted on its three branches (route "s"); or
    from positions t, each of which stands for as much of s as |J(t)| divided among those that read the same place
    (route "t").
    """

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the mean over s, or over t."""
        if str(self.part(1)) == "s":
            return sp.Function("E_s")(sp.sqrt(sp.Symbol("D")))
        return sp.Function("E_t")(sp.Abs(JACOBIAN) * sp.sqrt(sp.Symbol("D")) / sp.Symbol("nu"))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Add up the parts of the circle between caustics, by a rule that removes their inverse roots."""
        tau = float(evaluate(self.args[0], environment))
        return _folded_by_places(tau) if str(self.part(1)) == "s" else _folded_by_positions(tau)


# Of the fold of φ(t) = t + τ sin t about t = π: with t = π + v, s = π + u the map is u = v − τ sin v, which turns at
# v = ±w, cos w = 1/τ, where u = ∓c. A place |u| < c is read three times; while c < π, every other place once.


@cache
def _folded_by_places(tau: float) -> float:
    caustic = _caustic(tau)
    total = 0.0
    for lowest, highest in ((0.0, caustic), (caustic, np.pi)):
        u, weights = _between(lowest, highest)
        total += float(np.sum(weights * np.sqrt(_density(u, tau))))
    return total / np.pi


@cache
def _folded_by_positions(tau: float) -> float:
    caustic = _caustic(tau)
    alone_from = float(_outer(np.array([caustic]), tau)[0])
    total = 0.0
    for lowest, highest, readers in ((0.0, _turn(tau), 3), (_turn(tau), alone_from, 3), (alone_from, np.pi, 1)):
        v, weights = _between(lowest, highest)
        density = _density(np.abs(v - tau * np.sin(v)), tau)
        total += float(np.sum(weights * np.abs(1 - tau * np.cos(v)) * np.sqrt(density) / readers))
    return total / np.pi


def _turn(tau: float) -> float:
    return float(np.arccos(1 / tau))


def _caustic(tau: float) -> float:
    return float(np.sqrt(tau**2 - 1)) - _turn(tau)


def _density(u: ndarray, tau: float) -> ndarray:
    """Return D at places u ≥ 0."""
    caustic = _caustic(tau)
    branches = [_outer(u, tau)]
    folded = u < caustic
    inner = np.where(folded, u, 0.0)
    branches += [-_bisect(lambda v: tau * np.sin(v) - v, inner, 0.0, _turn(tau)), -_outer(-inner, tau)]
    density = 1 / np.abs(1 - tau * np.cos(branches[0]))
    for branch in branches[1:]:
        density = density + np.where(folded, 1 / np.maximum(np.abs(1 - tau * np.cos(branch)), _LEAST), 0.0)
    return np.asarray(density)


def _outer(u: ndarray, tau: float) -> ndarray:
    """Return the v > w at which v − τ sin v = u."""
    return _bisect(lambda v: v - tau * np.sin(v), u, _turn(tau), np.pi + 1.0)


def _bisect(function: Callable[[ndarray], ndarray], value: ndarray, lowest: float, highest: float) -> ndarray:
    """Return where an increasing function has a value, by bisection, shape of the values (*N,)."""
    low, high = np.full(value.shape, lowest), np.full(value.shape, highest)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        below = function(middle) < value
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray((low + high) / 2)


def _between(lowest: float, highest: float) -> tuple[ndarray, ndarray]:
    """Return points and weights of an interval; the eighth power of the distance from its ends is what is even.

    Fourth and eighth roots at the ends are smooth in it.
    """
    nodes, weights = np.polynomial.legendre.leggauss(_POINTS)
    y = (nodes + 1) / 2
    length = highest - lowest
    slope = y**7 * (1 - y) ** 7 / special.beta(8, 8)
    return lowest + length * special.betainc(8, 8, y), length * slope * weights / 2
