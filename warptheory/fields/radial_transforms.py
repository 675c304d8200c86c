"""Transforms of radial functions in d = 1, 2, 3, by quadrature.

F(ω) = ∫ f(|x|) exp(−iωx) dx,    moments of a spectral density over the sphere and the radius.
"""

import itertools
import math
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import sympy as sp
from numpy import ndarray
from scipy import special

Radial = Callable[[float], float]

# Asked of QUADPACK; the integrands are smooth between the ends of the panels.
_RELATIVE = 1e-11
_NEGLIGIBLE = 1e-16
_MOST_PANELS = 400
_LAST_TERMS = 24


def transform(function: Radial, frequency: float, dim: int, length: float) -> float:
    """Return F(ω) of a radial function that is monotone in its tail.

    Args:
        function: f of the radius in pixels.
        frequency: |ω| ≥ 0 in radians per pixel.
        dim: number of axes.
        length: the radius, in pixels, over which f changes.
    """
    if frequency * length < 1e-8:
        sphere = 2 * math.pow(math.pi, dim / 2) / math.gamma(dim / 2)
        return sphere * _from_zero(lambda r: function(r) * r ** (dim - 1), length)
    wave = _WAVES[dim]
    zeros = wave.zeros / frequency

    def integrand(r: float) -> float:
        return wave.weight(r) * function(r) * wave.value(frequency * r)

    first = itertools.pairwise([0.0, *(end for end in _scales(length) if end < zeros[0]), zeros[0]])
    terms = [math.fsum(_quad(integrand, *panel) for panel in first)]
    for panel in itertools.pairwise(zeros):
        terms.append(_quad(integrand, *panel))
        if abs(terms[-1]) <= _NEGLIGIBLE * max(map(abs, terms)):
            return wave.constant(frequency) * math.fsum(terms)
    return wave.constant(frequency) * _limit(list(itertools.accumulate(terms))[-_LAST_TERMS:])


class _Wave(NamedTuple):
    """The wave that a radial function is integrated against: constant(ω) ∫ f(r) weight(r) value(ωr) dr."""

    value: Radial
    zeros: ndarray
    weight: Radial
    constant: Radial


_COUNT = 120  # panels between zeros; beyond them the alternating rest is extrapolated
_WAVES = {
    1: _Wave(math.cos, math.pi * (np.arange(_COUNT) + 0.5), lambda _: 1.0, lambda _: 2.0),
    2: _Wave(special.j0, special.jn_zeros(0, _COUNT), lambda r: r, lambda _: 2 * math.pi),
    3: _Wave(math.sin, math.pi * np.arange(1, _COUNT + 1), lambda r: r, lambda k: 4 * math.pi / k),
}


def _from_zero(function: Radial, length: float) -> float:
    """Integrate over [0, ∞), in panels of the scale on which the function changes."""
    ends = [0.0, *_scales(length)]
    total = math.fsum(_quad(function, low, high) for low, high in itertools.pairwise(ends))
    return total + _quad(function, ends[-1], math.inf)


def _scales(length: float) -> list[float]:
    """Return where panels end so that none is long against the scale on which a function of that length changes."""
    return [length * 4.0**power for power in range(-3, 8)]


def _quad(function: Radial, low: float, high: float) -> float:
    from scipy import integrate  # a third of a second that most users never need

    # Of a panel that contributes nothing QUADPACK says that rounding stops it; the whole is as accurate as asked.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", integrate.IntegrationWarning)
        return float(integrate.quad(function, low, high, epsabs=0, epsrel=_RELATIVE, limit=_MOST_PANELS)[0])


def _limit(partial: list[float]) -> float:
    """Return the limit of alternating partial sums by repeated means (Euler)."""
    while len(partial) > 1:
        partial = [(first + second) / 2 for first, second in itertools.pairwise(partial)]
    return float(partial[0])


def moment(spectrum: Radial, orders: Sequence[int], length: float) -> float:
    """Return (2π)⁻ᵈ ∫ S(|ω|) ∏ ωᵢ^orderᵢ dω, infinity where the tail of S is too heavy.

    Args:
        spectrum: S of |ω| in radians per pixel.
        orders: a power for each axis.
        length: the length of the field, in pixels; its spectrum changes on the scale of 1/length.
    """
    if any(order % 2 for order in orders):
        return 0.0
    dim, power = len(orders), sum(orders) + len(orders) - 1
    if power + 1 >= tail_exponent(spectrum, length) - _SLOPE_TOLERANCE:
        return math.inf
    sphere = 2 * math.pow(math.pi, dim / 2) / math.gamma(dim / 2)
    radial = _from_zero(lambda k: spectrum(k) * k**power, 1 / length)
    return sphere * float(mean_over_sphere(orders)) * radial / (2 * math.pi) ** dim


_SLOPE_TOLERANCE = 1e-3


def tail_exponent(spectrum: Radial, length: float) -> float:
    """Return β where S falls as ω^−β far beyond 1/length, infinity where it falls faster than any power."""
    far = [1e4 / length, 1e5 / length]
    values = [spectrum(frequency) for frequency in far]
    if min(values) <= 1e-250:
        return math.inf
    return -math.log(values[1] / values[0]) / math.log(10.0)


def mean_over_sphere(orders: Sequence[int]) -> sp.Expr:
    """Return the mean of ∏ uᵢ^orderᵢ over the unit sphere, zero where an order is odd."""
    if any(order % 2 for order in orders):
        return sp.Integer(0)
    dim = len(orders)
    numerator = sp.Mul(*(sp.gamma(sp.Rational(order + 1, 2)) for order in orders)) * sp.gamma(sp.Rational(dim, 2))
    return sp.simplify(numerator / (sp.gamma(sp.Rational(1, 2)) ** dim * sp.gamma(sp.Rational(dim + sum(orders), 2))))


def norm(vector: sp.Matrix) -> sp.Expr:
    """Return the Euclidean length; along one axis alone without a root."""
    entries = [entry for entry in vector if entry != 0]
    if not entries:
        return sp.Integer(0)
    return sp.Abs(entries[0]) if len(entries) == 1 else sp.sqrt(sp.Add(*(entry**2 for entry in entries)))
