"""Exact laws of warped and splatted values by going through every combination of discrete offsets and pixels.

Where offsets and pixels have finitely many values and the kernel a compact support, a value at a pixel depends on
finitely many of them, and every moment is a finite sum. The operators are the real `wt.warp`, `wt.warp_gradient` and
`wt.splat`, on a window wide enough that its boundary is out of reach; no rule of the algebra enters.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import sympy as sp
import torch
from numpy import ndarray
from scipy import stats

import warptheory as wt
from warptheory import kernels
from warptheory.symbolic import MomentStatistic, evaluate
from warptheory.symbolic.input_fields import Field, IIDField, PixelValue
from warptheory.symbolic.moved_fields import SampledValue, SplattedField, SplatValue, WarpedField
from warptheory.symbolic.nodes import ExpectedValue
from warptheory.symbolic.offset_fields import Fraction, Given, OffsetField
from warptheory.symbolic.values import RandomAtom

# The half-width R of the support of a kernel: k(u) = 0 for |u| > R.
HALF_WIDTH = {"nearest": 0.5, "linear": 1.0, "keys": 2.0, "bspline3": 2.0, "triangle": 1.5, "lanczos3": 3.0}

# (value, probability), from the definitions of the laws; values are in units of the scale.
ATOMS: dict[str, tuple[tuple[float, float], ...]] = {
    "constant": ((0.0, 1.0),),
    "rademacher": ((-1.0, 0.5), (1.0, 0.5)),
    "two_point": ((0.0, 0.75), (1.0, 0.25)),
    # laws of this name are to be built as this mixture of a constant, two signs and a two-point law
    "sides": ((-0.25, 0.2), (-1.0, 0.15), (1.0, 0.15), (0.5, 0.375), (0.75, 0.125)),
}

MOST_COMBINATIONS = 2**20

Values = Mapping[str, float]
VALUES: Values = {"mu": 0.7, "sigma": 1.3, "Delta": 0.35}

# Both sides are sums of products of rounded numbers of order one, and cumulants lose a few digits to cancellation.
EXACT = {"rel": 1e-10, "abs": 1e-12}

Key = tuple[object, tuple[int, ...], int]  # an input or offset field, a pixel, an axis


@dataclass(frozen=True)
class Outcomes:
    """The joint law of a few expressions: a probability and a value of each for every combination.

    Attributes:
        probability: shape (n,).
        values: shape (k, n).
    """

    probability: ndarray
    values: ndarray

    def mean(self, *which: int) -> float:
        """Return E of the product of the expressions of these numbers."""
        return float(np.sum(self.probability * np.prod(self.values[list(which)], axis=0)))

    def cumulant(self, *which: int) -> float:
        """Return the joint cumulant of two to four of the expressions, from central moments."""
        centred = Outcomes(self.probability, self.values - (self.values @ self.probability)[:, None])
        if len(which) < 4:
            return centred.mean(*which)
        a, b, c, d = which
        pairs = (((a, b), (c, d)), ((a, c), (b, d)), ((a, d), (b, c)))
        return centred.mean(*which) - sum(centred.mean(*p) * centred.mean(*q) for p, q in pairs)

    def excess_kurtosis(self, which: int = 0) -> float:
        """Return κ₄/κ₂² of one of the expressions."""
        return self.cumulant(which, which, which, which) / self.cumulant(which, which) ** 2


def outcomes(*expressions: sp.Expr, values: Values, given: Given | None = None) -> Outcomes:
    """Return the joint law of polynomials in values of fields.

    Args:
        expressions: polynomials in values of input, warped and splatted fields at numbered pixels.
        values: a number for every symbol, by name.
        given: an offset field or its fraction, whose offsets are then `values` of its symbols.
    """
    atoms = sorted({atom for expression in expressions for atom in expression.atoms(RandomAtom)}, key=str)
    window = _Window(atoms, values, given)
    numbers = [window.value(atom) for atom in atoms]
    names = {atom: sp.Dummy() for atom in atoms}
    rows = []
    for expression in expressions:
        known = expression.xreplace(names).subs({s: values[s.name] for s in expression.free_symbols})
        computed = sp.lambdify(list(names.values()), known, "numpy")(*numbers)
        rows.append(np.broadcast_to(computed, window.probability.shape))
    return Outcomes(window.probability, np.array(rows))


def joint_cumulant(*expressions: sp.Expr, values: Values, given: Given | None = None) -> float:
    """Return the joint cumulant of two to four expressions, equal ones among them."""
    different = list(dict.fromkeys(expressions))
    law = outcomes(*different, values=values, given=given)
    return law.cumulant(*(different.index(expression) for expression in expressions))


def expectation(expression: sp.Expr, values: Values, given: Given | None = None) -> float:
    """Return E of a polynomial in values of fields."""
    return outcomes(expression, values=values, given=given).mean(0)


def step_values(statistic: MomentStatistic, values: Values) -> list[float]:
    """Return the numbers of a derivation's steps, those that are still random left out."""
    steps = [step.expression for step in statistic.derive().steps]
    return [evaluate(step, values) for step in steps if not step.atoms(RandomAtom) and not step.has(ExpectedValue)]


def field_of(atom: RandomAtom) -> Field:
    """Return the field that a value is read from."""
    if isinstance(atom, SplatValue):
        return SplattedField(atom.field, atom.site.offsets, atom.site.kernel)
    if isinstance(atom, SampledValue):
        return WarpedField(atom.field, atom.site.offsets, atom.site.kernel, atom.orders, knot=atom.knot)
    assert isinstance(atom, PixelValue)
    return atom.field


class _Window:
    """All combinations of what a few values depend on, and the fields of each, on a periodic window."""

    def __init__(self, atoms: Sequence[RandomAtom], values: Values, given: Given | None) -> None:
        self.values = values
        self.given = given
        dims = [atom.site.offsets.dim for atom in atoms if not isinstance(atom, PixelValue)]
        self.dim = dims[0] if dims else max(len(atom.index) for atom in atoms)
        self.fields: dict[Field, torch.Tensor] = {}
        self.needed: dict[Key, None] = {}
        self.pixels: set[tuple[int, ...]] = set()
        for atom in atoms:
            self._need(field_of(atom), self._pixel(atom))
        laws = [self._law(key) for key in self.needed]
        count = math.prod(len(law) for law in laws)
        assert count <= MOST_COMBINATIONS, f"{count} combinations"
        grids = np.meshgrid(*[np.arange(len(law)) for law in laws], indexing="ij") if laws else [np.zeros(1, int)]
        chosen = [grid.ravel() for grid in grids]
        self.drawn = {key: law[which, 0] for key, law, which in zip(self.needed, laws, chosen, strict=False)}
        weights = [law[which, 1] for law, which in zip(laws, chosen, strict=False)]
        self.probability = reduce(np.multiply, weights, np.ones(len(chosen[0])))
        corners = np.array(sorted(self.pixels))
        # Two pixels around everything that is read, for the zero that a kernel gives at the edge of its support.
        self.low = corners.min(0) - 2
        self.size = tuple(int(n) for n in corners.max(0) + 3 - self.low)

    def value(self, atom: RandomAtom) -> ndarray:
        """Return a value for every combination, shape (n,)."""
        place = tuple(n - int(low) for n, low in zip(self._pixel(atom), self.low, strict=True))
        return self._tensor(field_of(atom))[(slice(None), 0, *place)].numpy()

    def _pixel(self, atom: RandomAtom) -> tuple[int, ...]:
        index = atom.index if isinstance(atom, PixelValue) else atom.site.index
        return tuple(int(i) for i in index) + (0,) * (self.dim - len(index))

    def _need(self, field: Field, pixel: tuple[int, ...]) -> None:
        """Note everything that the value of a field at a pixel depends on."""
        self.pixels.add(pixel)
        if isinstance(field, IIDField):
            self.needed[field, pixel, 0] = None
            return
        reach = HALF_WIDTH[str(field.kernel.name)]
        lines = [self._moves(field.offsets, axis) for axis in range(self.dim)]
        if isinstance(field, WarpedField):
            self._need_offset(field.offsets, pixel)
            # m with |n + ε − m| ≤ R for one of the offsets ε
            near = [
                {m for e in line for m in _integers(n + e - reach, n + e + reach)}
                for n, line in zip(pixel, lines, strict=True)
            ]
        else:
            near = [
                {m for e in line for m in _integers(n - e - reach, n - e + reach)}
                for n, line in zip(pixel, lines, strict=True)
            ]
        for other in itertools.product(*map(sorted, near)):
            if not isinstance(field, WarpedField):
                self._need_offset(field.offsets, other)
            self._need(field.field, other)

    def _need_offset(self, offsets: OffsetField, pixel: tuple[int, ...]) -> None:
        self.pixels.add(pixel)
        if self._is_given(offsets):
            return
        for axis in range(1 if offsets.correlation == 1 else self.dim):
            self.needed[offsets.source, () if offsets.shared else pixel, axis] = None

    def _is_given(self, offsets: OffsetField) -> bool:
        source = self.given.offsets if isinstance(self.given, Fraction) else self.given
        return source is not None and source.source == offsets.source

    def _displacement(self, offsets: OffsetField, axis: int) -> float:
        part = offsets.displacement[axis]
        return float(part.subs({s: self.values[s.name] for s in part.free_symbols}))

    def _moves(self, offsets: OffsetField, axis: int) -> ndarray:
        """Return every offset that is possible along an axis, displaced."""
        if self._is_given(offsets):
            possible = np.array([self.values[self.given.symbols[axis].name]])
        else:
            possible = offset_atoms(offsets, self.values)[:, 0]
        return possible + self._displacement(offsets, axis)

    def _law(self, key: Key) -> ndarray:
        source = key[0]
        return pixel_atoms(source, self.values) if isinstance(source, IIDField) else offset_atoms(source, self.values)

    def _tensor(self, field: Field) -> torch.Tensor:
        if field not in self.fields:
            self.fields[field] = self._compute(field)
        return self.fields[field]

    def _compute(self, field: Field) -> torch.Tensor:
        if isinstance(field, IIDField):
            return self._filled(field, 0, 0.0)[:, None]
        inner = self._tensor(field.field)
        offsets = torch.stack([self._offset_axis(field.offsets, axis) for axis in range(self.dim)], dim=1)
        if isinstance(field, SplattedField):
            return wt.splat(inner, offsets, kernel=field.kernel, boundary="periodic")
        if not any(field.orders):
            return wt.warp(inner, offsets, field.kernel, "periodic")
        axis = field.orders.index(1)
        assert sum(field.orders) == 1
        if field.knot != "left":
            return wt.warp_gradient(inner, offsets, field.kernel, "periodic", knot=field.knot)[:, :, axis]
        # The left-hand derivative is minus the right-hand one of the mirror image.
        axes = list(range(2, 2 + self.dim))
        mirrored = wt.warp_gradient(inner.flip(axes), -offsets.flip(axes), field.kernel, "periodic")[:, :, axis]
        return -mirrored.flip(axes)

    def _offset_axis(self, offsets: OffsetField, axis: int) -> torch.Tensor:
        moved = self._displacement(offsets, axis)
        if self._is_given(offsets):
            given = self.values[self.given.symbols[axis].name]
            return torch.full((len(self.probability), *self.size), given + moved, dtype=torch.float64)
        return self._filled(offsets.source, 0 if offsets.correlation == 1 else axis, 0.0) + moved

    def _filled(self, source: object, axis: int, elsewhere: float) -> torch.Tensor:
        """Return what was drawn for a field, shape (n, *size); pixels out of reach are set to a constant."""
        grid = np.full((len(self.probability), *self.size), elsewhere)
        for (other, pixel, along), numbers in self.drawn.items():
            if other != source or along != axis:
                continue
            if not pixel:
                grid[:] = numbers.reshape(-1, *[1] * self.dim)
            else:
                place = tuple(n - int(low) for n, low in zip(self._padded(pixel), self.low, strict=True))
                grid[(slice(None), *place)] = numbers
        return torch.from_numpy(grid)

    def _padded(self, pixel: tuple[int, ...]) -> tuple[int, ...]:
        return pixel + (0,) * (self.dim - len(pixel))


def offset_atoms(offsets: OffsetField, values: Values) -> ndarray:
    """Return the (value, probability) of an offset along one axis, shape (n, 2)."""
    law = offsets.axis_law
    location, scale = (
        float(part.subs({s: values[s.name] for s in part.free_symbols})) for part in (law.location, law.scale)
    )
    atoms = np.array(ATOMS[law.name])
    return np.column_stack([location + scale * atoms[:, 0], atoms[:, 1]])


def pixel_atoms(field: IIDField, values: Values) -> ndarray:
    """Return the (value, probability) of a pixel, shape (n, 2): the law's shape with the field's mean and deviation."""
    mean, deviation = (
        float(part.subs({s: values[s.name] for s in part.free_symbols})) for part in (field.mean, field.deviation)
    )
    atoms = np.array(ATOMS[field.law]) if deviation else np.array([[0.0, 1.0]])
    centred = atoms[:, 0] - atoms[:, 0] @ atoms[:, 1]
    size = math.sqrt(centred**2 @ atoms[:, 1]) or 1.0
    return np.column_stack([mean + deviation * centred / size, atoms[:, 1]])


def quadrature(frozen: stats.distributions.rv_frozen, knots: Sequence[float] = ()) -> tuple[ndarray, ndarray]:
    """Return points and weights that integrate against a SciPy density, between knots of kernels and of the density.

    Panels end at every half pixel, out to 24 pixels; 24 Gauss–Legendre nodes in each leave rounding only, for
    polynomials times densities that are smooth on the scale of a third of a pixel or more.
    """
    low, high = (float(frozen.ppf(p)) for p in (0, 1))
    edges = np.unique(np.clip([*np.arange(-24, 24.5, 0.5), *knots], max(low, -24), min(high, 24)))
    nodes, weights = np.polynomial.legendre.leggauss(24)
    points = ((edges[1:] + edges[:-1])[:, None] / 2 + np.diff(edges)[:, None] / 2 * nodes).ravel()
    return points, (np.diff(edges)[:, None] / 2 * weights).ravel() * frozen.pdf(points)


def kernel_function(name: str) -> Callable[[ndarray], ndarray]:
    """Return k(u), from its definition by pieces."""
    return sp.lambdify([kernels.POSITION], kernels.get(name).value(), "numpy")


def _integers(low: float, high: float) -> range:
    return range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)
