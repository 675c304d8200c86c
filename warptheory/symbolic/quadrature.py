"""Quadrature over offsets: points and weights that know where kernels have their knots."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import numpy as np
import sympy as sp
from numpy import ndarray

from warptheory.core.errors import ArgumentError, WarpTheoryError
from warptheory.fields.laws import ARGUMENT, Law
from warptheory.symbolic.offset_fields import OffsetField
from warptheory.symbolic.values import Index

Environment = Mapping[sp.Expr, Any]
Evaluate = Callable[[sp.Expr, Environment], Any]
_NO_MASS = 1e-18
_LAST_EXPONENT = 37.0  # exp(−37) < 1e−16
_MOST_HARMONICS = {2: 256, 3: 48}
_NORMAL_REACH = 8.5  # deviations; what lies beyond has a probability below 1e−16
_MOST_POINTS = 2**24
_MOST_PIXELS = 2**16  # 12 points for each piece of each: below a gigabyte
_REACH = 45  # scales; exp(−45) < 3e−20 is the heaviest tail in the catalogue (Laplace)


class NotConverged(WarpTheoryError):  # noqa: N818 -- reads as what it says
    """A series was not summed to the accuracy that is promised."""


def quadrature(
    law: Law, environment: Environment, evaluate: Evaluate, knots: Iterable[float] = (0.0, 0.5)
) -> tuple[ndarray, ndarray]:
    """Return points and weights, both of shape (n,), that integrate functions with knots against a law.

    Gauss–Legendre panels end at these fractions of every pixel and at every half scale of the law, out to 45
    scales; panels without mass are dropped.

    Args:
        law: the law.
        environment: a number for each symbol of the law.
        evaluate: evaluates an expression in an environment.
        knots: fractions in [0, 1).
    """
    rules = [
        (float(probability), *_quadrature_of_part(part, environment, evaluate, knots))
        for probability, part in law.parts
    ]
    return np.concatenate([points for _, points, _ in rules]), np.concatenate([p * w for p, _, w in rules])


def tensor_grid(
    points: ndarray, weights: ndarray, dim: int, *, equal: bool
) -> tuple[int, tuple[ndarray, ...], ndarray]:
    """Return the number of axes of the grid, the offset along each axis on it, and the mass of its points.

    Offsets and mass have the shape (n, …, n), one axis for each of the grid's, or (n,) for equal offsets.
    """
    if equal:
        return 1, (points,) * dim, weights
    mass = np.prod(np.meshgrid(*[weights] * dim, indexing="ij"), axis=0)
    return dim, tuple(np.meshgrid(*[points] * dim, indexing="ij")), mass


@dataclass(frozen=True)
class CorrelatedNormal:
    """Normal offsets along d axes, N(l, s²R) with Rᵢⱼ = r for i ≠ j.

    Attributes:
        dim: number d of axes.
        location: l, in pixels.
        scale: s, in pixels.
        correlation: r.
    """

    dim: int
    location: float
    scale: float
    correlation: float

    @classmethod
    def of(cls, offsets: OffsetField, environment: Environment, evaluate: Evaluate) -> "CorrelatedNormal":
        """Return the offsets of a field, with numbers for their symbols."""
        law = offsets.axis_law
        numbers = (float(evaluate(part, environment)) for part in (law.location, law.scale, offsets.correlation))
        return cls(offsets.dim, *numbers)

    @property
    def matrix(self) -> ndarray:
        """R, shape (d, d)."""
        return (1 - self.correlation) * np.eye(self.dim) + self.correlation

    @property
    def narrowest(self) -> float:
        """The deviation along the axis of R that has the smallest, in pixels."""
        return self.scale * float(np.sqrt(max(np.linalg.eigvalsh(self.matrix)[0], 0.0)))

    @property
    def has_series(self) -> bool:
        """Whether a Fourier series of few harmonics averages a function of period one."""
        return self.harmonics <= _MOST_HARMONICS[self.dim]

    @property
    def harmonics(self) -> float:
        """The largest |jᵢ| for which χ(2πj) ≤ exp(−2π² narrowest² |j|²) exceeds 1e-16."""
        decay = 2 * np.pi**2 * self.narrowest**2
        return float(np.ceil(np.sqrt(_LAST_EXPONENT / decay))) if decay > 0 else np.inf

    def characteristic_function(self, j: ndarray) -> ndarray:
        """Return χ(2πj) for j of shape (d, *J)."""
        quadratic = np.einsum("a...,ab,b...->...", j, self.matrix, j)
        return cast("ndarray", np.exp(2j * np.pi * self.location * j.sum(0) - 2 * np.pi**2 * self.scale**2 * quadratic))

    def quadrature(self, knots: Iterable[float]) -> tuple[tuple[ndarray, ...], ndarray]:
        """Return a grid and its masses, shapes (n, n) or (n, n, n), of panels of the narrowest deviation.

        Gauss–Legendre panels are split at the knots.

        Raises:
            NotConverged: the axes are so nearly dependent, or the offsets so wide, that the grid would not fit.
        """
        reach = _NORMAL_REACH * self.scale
        count = 2 * reach / self.narrowest if self.narrowest > 0 else np.inf
        count += 2 * reach * len(set(knots))
        if (12 * count) ** self.dim > _MOST_POINTS:
            raise NotConverged(
                f"correlated offsets of scale {self.scale:g} and correlation {self.correlation:g}: a grid of "
                f"{12 * count:.3g} points along each of {self.dim} axes is too large"
            )
        ends = np.linspace(self.location - reach, self.location + reach, int(np.ceil(2 * reach / self.narrowest)) + 1)
        points, weights = (part.ravel() for part in gauss_legendre(_split(ends, knots)))
        grid = np.meshgrid(*[points] * self.dim, indexing="ij")
        moved = (np.stack(grid) - self.location) / self.scale
        quadratic = np.einsum("a...,ab,b...->...", moved, np.linalg.inv(self.matrix), moved)
        constant = (2 * np.pi) ** (self.dim / 2) * self.scale**self.dim * np.sqrt(np.linalg.det(self.matrix))
        masses = np.prod(np.meshgrid(*[weights] * self.dim, indexing="ij"), axis=0)
        return tuple(grid), masses * np.exp(-quadratic / 2) / constant


def correlated_average(
    expression: sp.Expr,
    symbols: Index,
    offsets: CorrelatedNormal,
    knots: Iterable[float],
    environment: Environment,
    evaluate: Evaluate,
) -> float:
    """Average a function of period one in each offset over correlated normal offsets, by its Fourier series.

    E F(ε) = Σ_j c_j χ(2πj) over j ∈ Zᵈ; the coefficients come from Gauss–Legendre panels between the knots, and
    frequencies are kept while χ exceeds 1e-16.
    """
    harmonics = int(offsets.harmonics)
    coefficients = _fourier_coefficients(expression, symbols, harmonics, knots, environment, evaluate)
    j = np.stack(np.meshgrid(*[np.arange(-harmonics, harmonics + 1)] * offsets.dim, indexing="ij"))
    return float(np.real(np.sum(coefficients * offsets.characteristic_function(j))))


def _fourier_coefficients(
    expression: sp.Expr,
    symbols: Index,
    harmonics: int,
    knots: Iterable[float],
    environment: Environment,
    evaluate: Evaluate,
) -> ndarray:
    """Return ∫ F(f) e^{−2πij·f} df over [0, 1)ᵈ for |jᵢ| ≤ harmonics."""
    panels = max(2, 2 * int(np.ceil(harmonics / 8)))
    points, weights = (part.ravel() for part in gauss_legendre(_split(np.linspace(0, 1, panels + 1), knots), 24))
    grid = np.meshgrid(*[points] * len(symbols), indexing="ij")
    values = np.asarray(evaluate(expression, {**environment, **dict(zip(symbols, grid, strict=True))}))
    values = np.broadcast_to(values, grid[0].shape)
    waves = weights * np.exp(-2j * np.pi * np.outer(np.arange(-harmonics, harmonics + 1), points))
    for _ in symbols:  # each pass transforms the first axis and moves it to the end
        values = np.tensordot(values, waves, axes=(0, 1))
    return values


def _quadrature_of_part(
    law: Law, environment: Environment, evaluate: Evaluate, knots: Iterable[float]
) -> tuple[ndarray, ndarray]:
    location, scale = float(evaluate(law.location, environment)), float(evaluate(law.scale, environment))
    if scale < 0:
        raise ArgumentError("values", expected=f"a scale {law.scale} ≥ 0 of the {law.name} law", received=scale)
    if law.atoms or scale == 0:
        atoms = law.atoms or ((0, 1),)
        values = [location + scale * float(value) for value, _ in atoms]
        return np.array(values), np.array([float(probability) for _, probability in atoms])
    ends = location + scale * _massive_interval(law.density)
    if ends[-1] - ends[0] > _MOST_PIXELS:
        raise NotConverged(
            f"{law.name} offsets of scale {scale:g} extend over {ends[-1] - ends[0]:.3g} pixels, and averages over "
            f"more than {_MOST_PIXELS} are not integrated pixel by pixel; `WideOffsets` takes the limit"
        )
    points, lengths = gauss_legendre(_split(ends, knots))
    weights = lengths * _compiled(law.density)((points - location) / scale) / scale
    heavy = weights.sum(axis=1) > _NO_MASS
    return points[heavy].ravel(), weights[heavy].ravel()


def _split(ends: ndarray, knots: Iterable[float]) -> ndarray:
    """Return the ends of the panels between `ends`, in ascending order, split at some fractions of every pixel."""
    pixels = np.arange(np.floor(ends[0]) - 1, np.ceil(ends[-1]) + 1)
    breaks = np.concatenate([pixels + knot for knot in sorted(set(knots))])
    return np.unique(np.concatenate([breaks[(breaks >= ends[0]) & (breaks <= ends[-1])], ends]))


def gauss_legendre(edges: ndarray, count: int = 12) -> tuple[ndarray, ndarray]:
    """Return Gauss–Legendre points and weights for the panels between edges, each of shape (panels, count)."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    centres, halves = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / 2
    return centres[:, None] + halves[:, None] * nodes, halves[:, None] * weights


@cache
def _massive_interval(density: sp.Expr) -> ndarray:
    """Return the ends of the half scales about a law's centre, from the first to the last that has mass."""
    ends = np.arange(-2 * _REACH, 2 * _REACH + 1) / 2
    points, lengths = gauss_legendre(ends)
    heavy = np.flatnonzero((lengths * _compiled(density)(points)).sum(axis=1) > _NO_MASS)
    return ends[heavy[0] : heavy[-1] + 2]


@cache
def _compiled(density: sp.Expr) -> Callable[[ndarray], ndarray]:
    return sp.lambdify([ARGUMENT], density, "numpy")
