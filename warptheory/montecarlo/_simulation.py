"""A symbolic statistic, run: the experiment that the algebra reduces, on the real operator.

Rows are independent realisations of everything. Within a row the fields are periodic and homogeneous,
so a moment at one pixel is averaged over all pixels of the row; their correlation does no harm,
because standard errors are taken between rows only.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from warptheory import symbolic, warping
from warptheory.core.errors import ArgumentError
from warptheory.fields import IID, FieldSampler
from warptheory.montecarlo._atoms import axes_of, field_of, index_symbols, is_slope, shift_of
from warptheory.montecarlo._drawing import (
    correlated,
    differentiated,
    first_derivatives,
    number,
    periodic_sampler,
)
from warptheory.montecarlo._extent import Values
from warptheory.montecarlo._offsets import computed_offsets, constant_offsets, parameters_of
from warptheory.montecarlo._row_shape import RowShape
from warptheory.symbolic import (
    ComposedField,
    Derivation,
    Field,
    GaussianField,
    HeadTap,
    IIDField,
    InputField,
    MomentStatistic,
    OffsetField,
    SplattedField,
    Statistic,
    WarpedField,
)
from warptheory.symbolic.input_fields import PixelValue
from warptheory.symbolic.moved_fields import input_field
from warptheory.symbolic.nodes import ExpectedValue, OffsetAverage
from warptheory.symbolic.offset_fields import given_offsets
from warptheory.symbolic.values import RandomAtom, in_order

_AXIS_SIZE = {1: 64, 2: 12, 3: 6}
CORRELATED = 1e-7


@dataclass(frozen=True)
class Simulation(Statistic):
    """An experiment that estimates a symbolic statistic with `warp`, `warp_gradient` and `splat`.

    Its columns are the moments that the statistic is a function of.

    Attributes:
        statistic: a function of moments, such as a `Variance`.
        inputs: law of the input fields whose law is left open.
    """

    statistic: MomentStatistic
    inputs: str = "normal"

    def derive(self) -> Derivation:
        """Return the steps from the statistic to its closed form; raises as `Statistic.derive`."""
        return self.statistic.derive()

    def doit(self) -> sp.Expr:
        """Return the closed form."""
        return self.statistic.doit()

    def size(self, value: float) -> float:
        """Return the size that a relative error of a value is measured by."""
        return self.statistic.size(value)

    def __str__(self) -> str:
        return str(self.statistic)

    def latex(self) -> str:
        """Return the statistic in LaTeX."""
        return self.statistic.latex()

    @property
    def shortest(self) -> int:
        """The least number of pixels of a row along an axis, which share the cost of calling the operator."""
        return _AXIS_SIZE[self.dim]

    @property
    def share_of_images(self) -> float:
        """Share of C(0) that correlations across the period of a row may add."""
        return CORRELATED

    @cached_property
    def _moments(self) -> sp.Expr:
        """The statistic by expected values of whole expressions about their centres, in which nothing large cancels."""
        return self.statistic.centred(_centre).moments(_whole)

    @cached_property
    def _averaged(self) -> list[ExpectedValue]:
        """The expressions whose means are estimated, one for each column."""
        return in_order(self._moments.atoms(ExpectedValue))

    @cached_property
    def _monomials(self) -> list[ExpectedValue]:
        """The products of values that have to meet in a row."""
        return in_order(self.statistic.moments().atoms(ExpectedValue))

    @cached_property
    def _atoms(self) -> list[RandomAtom]:
        return in_order({atom for node in self._monomials for atom in node.args[0].atoms(RandomAtom)})

    @cached_property
    def _all_fields(self) -> list[Field]:
        """Every field that a value is read from or derived from."""
        found: dict[Field, None] = {}
        pending: list[Field] = [field_of(atom) for atom in self._atoms]
        while pending:
            field = pending.pop()
            found[field] = None
            if isinstance(field, WarpedField | SplattedField | ComposedField):
                pending.append(field.field)
                if field.offsets.head is not None:
                    pending.append(field.offsets.head.field)
        return list(found)

    @cached_property
    def _moving(self) -> list[WarpedField | SplattedField | ComposedField]:
        return [field for field in self._all_fields if isinstance(field, WarpedField | SplattedField | ComposedField)]

    @property
    def is_moving(self) -> bool:
        """Whether some value is moved by an offset, and not read from an input as it is drawn."""
        return bool(self._moving)

    @cached_property
    def dim(self) -> int:
        """Number of axes.

        Raises:
            ArgumentError: fields of different numbers of axes.
        """
        pixels = {axes_of(atom) for atom in self._atoms if isinstance(atom, PixelValue)}
        dims = {field.offsets.dim for field in self._moving} or pixels or {1}
        if len(dims) > 1:
            raise ArgumentError("statistic", expected="fields of one number of axes", received=f"{sorted(dims)} axes")
        return dims.pop()

    def shape(self, values: Values) -> tuple[int, ...]:
        """Return the spatial size of a row, on which values meet only where they would on the infinite axis.

        Values at one position, however far that wanders, need no more than its taps; splats, neighbours, stacks and
        different offsets need room for what lies between them. A share of 1e-7 of the offsets may wrap nevertheless.

        Raises:
            ArgumentError: a row of more than 2²⁴ pixels.
        """
        key = frozenset(values.items())
        if key not in self._shapes:
            self._shapes[key] = self._row.at(values)
        return self._shapes[key]

    @cached_property
    def _shapes(self) -> dict[frozenset[tuple[str, float]], tuple[int, ...]]:
        """Shapes by the values, for every chunk asks for its own."""
        return {}

    @cached_property
    def _row(self) -> RowShape:
        return RowShape(
            self.dim,
            self.shortest,
            self.share_of_images,
            self.statistic.condition,
            tuple(tuple(node.args[0].atoms(RandomAtom)) for node in self._monomials),
            tuple(self._moving),
            tuple(self.input_fields),
        )

    def row_elements(self, values: Values) -> int:
        """Return the number of pixels that a row draws."""
        return int(np.prod(self.shape(values)))

    @cached_property
    def symbols(self) -> set[str]:
        """Names of the symbols that need a number before the experiment can run."""
        self.statistic.check_symbols()
        expressions: list[sp.Expr] = [self._moments]
        for field in self.input_fields:
            expressions += field.parameters
        for source in self._sources:
            expressions += parameters_of(source, self.statistic.condition)
        for moving in self._moving:
            expressions += moving.offsets.displacement
        for atom in self._atoms:
            expressions += [symbol for symbol in index_symbols(atom) if not symbol.is_integer]
        names = {symbol.name for expression in expressions for symbol in expression.free_symbols}
        return names - {symbol.name for atom in self._atoms for symbol in index_symbols(atom) if symbol.is_integer}

    def sample(
        self, generator: np.random.Generator, rows: int, values: Values, device: str = "cpu"
    ) -> Float[Tensor, "rows k"]:
        """Draw independent, unbiased estimates of the moments.

        Args:
            generator: source of every random number.
            rows: number of estimates.
            values: a number for every symbol, by name.
            device: device on which the operator runs.

        Returns:
            Estimates, shape (rows, k), float64, a column for each moment of the statistic.
        """
        return self.columns(self.draw(generator, rows, values, device), rows, values)

    def draw(self, generator: np.random.Generator, rows: int, values: Values, device: str) -> dict[object, Tensor]:
        """Draw every input and every offset field; arguments as in `sample`.

        Returns:
            By field, inputs of shape (rows, 1, *size), and offsets without displacement of shape (rows, d, *size).
        """
        size = self.shape(values)
        state: dict[object, Tensor] = {}
        for field in self.input_fields:
            state[field] = self._draw_input(field, generator, rows, size, values, device)
        for source in self._sources:
            if source.head is None:
                state[source] = self._draw_offsets(source, generator, rows, size, values, device)
            else:
                state[source] = computed_offsets(source, partial(self._read_by, state=state, values=values), values)
        return state

    def columns(self, state: dict[object, Tensor], rows: int, values: Values) -> Float[Tensor, "rows k"]:
        """Return the means over the pixels of each row, shape (rows, k), of the fields that `draw` returns."""
        numbers = [self._value_of(atom, state, values) for atom in self._atoms]
        given = [float(values[symbol.name]) for symbol in self._coefficients]
        columns = [column.flatten(1).mean(1) for column in self._compiled(*numbers, *given)]
        return torch.stack(columns, dim=1) if columns else torch.zeros((rows, 0), dtype=torch.float64)

    def combine(self, means: Float[ndarray, "k"], values: Values) -> tuple[float, Float[ndarray, "k"]]:
        """Return the statistic and its gradient, shape (k,), at moments of shape (k,)."""
        value, gradient, parameters = self._combination
        numbers = [float(values[symbol.name]) for symbol in parameters]
        return float(value(*means, *numbers)), np.array([float(part(*means, *numbers)) for part in gradient])

    @cached_property
    def _combination(self) -> tuple[Callable[..., float], list[Callable[..., float]], list[sp.Symbol]]:
        names = {node: sp.Dummy() for node in self._averaged}
        expression = _without_functionals(self._moments.xreplace(names))
        arguments = [names[node] for node in self._averaged]
        parameters = sorted(expression.free_symbols - set(arguments), key=str)
        compiled = [
            sp.lambdify([*arguments, *parameters], part, modules="math")
            for part in (expression, *(sp.diff(expression, argument) for argument in arguments))
        ]
        return compiled[0], compiled[1:], parameters

    @cached_property
    def input_fields(self) -> list[InputField]:
        """The input fields that values come from."""
        return sorted((field for field in self._all_fields if isinstance(field, InputField)), key=str)

    @cached_property
    def _sources(self) -> list[OffsetField]:
        return sorted({field.offsets.source for field in self._moving}, key=str)

    @cached_property
    def _coefficients(self) -> list[sp.Symbol]:
        """Symbols in the averaged expressions."""
        return sorted({symbol for node in self._averaged for symbol in node.args[0].free_symbols}, key=str)

    @cached_property
    def _compiled(self) -> Callable[..., list[Tensor]]:
        # Averaged expressions are polynomials, so plain Python arithmetic evaluates them on tensors; together, for
        # they share values less their centres.
        names = {atom: sp.Dummy() for atom in self._atoms}
        arguments = [*(names[atom] for atom in self._atoms), *self._coefficients]
        expressions = [node.args[0].xreplace(names) for node in self._averaged]
        return sp.lambdify(arguments, expressions, modules="math", cse=True)

    def mean_and_variance(self, field: InputField, values: Values) -> tuple[float, float]:
        """Return the mean and the variance of a pixel of an input as it is drawn."""
        mean = number(field.mean, values)
        if isinstance(field, GaussianField):
            return mean, float(self._sampler(field, self.shape(values), values).eigenvalues.mean())
        assert isinstance(field, IIDField)
        return mean, number(field.deviation, values) ** 2

    def _sampler(self, field: GaussianField, size: tuple[int, ...], values: Values) -> FieldSampler:
        """Return what draws a Gaussian field on the row."""
        return periodic_sampler(field, size, tuple(sorted(values.items())))

    def _is_given(self, source: OffsetField) -> bool:
        return given_offsets(self.statistic.condition) == source

    def _draw_input(
        self,
        field: InputField,
        generator: np.random.Generator,
        rows: int,
        size: tuple[int, ...],
        values: Values,
        device: str,
    ) -> Tensor:
        mean = number(field.mean, values)
        if isinstance(field, GaussianField):
            return mean + self._sampler(field, size, values).sample(rows, generator, device=device)
        assert isinstance(field, IIDField)
        deviation = number(field.deviation, values)
        if deviation == 0:
            return torch.full((rows, 1, *size), mean, dtype=torch.float64, device=device)
        return IID(field.law or self.inputs, mean, deviation).sample(rows, size, generator, device=device)

    def _draw_offsets(
        self,
        source: OffsetField,
        generator: np.random.Generator,
        rows: int,
        size: tuple[int, ...],
        values: Values,
        device: str,
    ) -> Tensor:
        """Draw ε without its displacement, shape (rows, d, *size)."""
        if self._is_given(source):
            return self._given_offsets((rows, source.dim, *size), values, device)
        if source.covariance is not None:
            return self._sampler(source.component, size, values).sample(rows, generator, source.dim, device)
        drawn = correlated(source, lambda shape: source.axis_law.draw(generator, shape), rows, size, values)
        return torch.from_numpy(drawn).to(device).expand(rows, source.dim, *size)

    def _read_by(self, field: InputField, tap: HeadTap, state: dict[object, Tensor], values: Values) -> Tensor:
        """Return what a tap reads at every pixel, shape (rows, 1, *size)."""
        steps = [-int(number(part, values)) for part in tap.place]
        return torch.roll(state[field], steps, dims=list(range(2, 2 + self.dim)))

    def _given_offsets(self, shape: tuple[int, ...], values: Values, device: str) -> Tensor:
        """Return the offsets that the statistic is conditional on, of a shape (rows, d, *size)."""
        assert self.statistic.condition is not None
        return constant_offsets(self.statistic.condition, shape, values, device)

    def _value_of(self, atom: RandomAtom, state: dict[object, Tensor], values: Values) -> Tensor:
        pixels = self._tensor(field_of(atom), state, values)[:, 0]
        shifts = [-shift for shift in shift_of(atom, self.dim, values)]
        return torch.roll(pixels, shifts, dims=list(range(1, self.dim + 1))) if any(shifts) else pixels

    def _tensor(self, field: Field, state: dict[object, Tensor], values: Values) -> Tensor:
        """Return a field of the row, shape (rows, 1, *size), computed once."""
        if field not in state:
            state[field] = self._moved(field, state, values)
        return state[field]

    def _displaced(self, offsets: OffsetField, state: dict[object, Tensor], values: Values) -> Tensor:
        """Return the drawn offsets with their displacement, in pixels."""
        drawn = state[offsets.source]
        if not any(offsets.displacement):
            return drawn
        moved = [number(part, values) for part in offsets.displacement]
        return drawn + torch.tensor(moved, dtype=torch.float64, device=drawn.device).reshape(1, -1, *[1] * offsets.dim)

    def _moved(self, field: Field, state: dict[object, Tensor], values: Values) -> Tensor:
        if not isinstance(field, WarpedField | SplattedField):
            raise ArgumentError("statistic", expected="input, warped and splatted fields", received=str(field))
        inner = self._tensor(field.field, state, values)
        offsets = self._displaced(field.offsets, state, values)
        if isinstance(field, SplattedField):
            return warping.splat(inner, offsets, kernel=field.kernel, boundary="periodic")
        order = sum(field.orders)
        if order == 0:
            return warping.warp(inner, offsets, field.kernel, "periodic")
        if order == 1:
            return first_derivatives(inner, offsets, field)[:, :, field.orders.index(1)]
        return self._higher_derivative(inner, offsets, field)

    def _higher_derivative(self, inner: Tensor, offsets: Tensor, field: WarpedField) -> Tensor:
        return differentiated(inner, offsets, field)


def _centre(expression: sp.Expr) -> sp.Expr:
    """Return what an expression is where every value is its input's mean, or 0 for a slope."""
    atoms = expression.atoms(RandomAtom)
    return expression.xreplace({atom: sp.S.Zero if is_slope(atom) else input_field(atom).mean for atom in atoms})


def _whole(expression: sp.Expr) -> sp.Expr:
    """Return the expected value of an expression, not taken apart."""
    return ExpectedValue(_without_functionals(expression)) if expression.atoms(RandomAtom) else expression


def _without_functionals(expression: sp.Expr) -> sp.Expr:
    """Return an expression with numbers for the functionals of kernels."""
    parts = expression.atoms(sp.Integral, OffsetAverage)
    return expression.xreplace({part: sp.Float(symbolic.evaluate(part, {})) for part in parts})
