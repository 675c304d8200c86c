"""A symbolic statistic, run: the experiment that the algebra reduces, on the real operator.

Rows are independent realisations of everything. Within a row the fields are periodic and homogeneous,
so a moment at one pixel is averaged over all pixels of the row; their correlation does no harm,
because standard errors are taken between rows only.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

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
    MOST_PIXELS,
    correlated,
    differentiated,
    first_derivatives,
    given_covariance,
    number,
    periodic_sampler,
    spacing_of,
    transformable,
)
from warptheory.montecarlo._extent import RowAxis, Values
from warptheory.symbolic import (
    ComposedField,
    Derivation,
    Field,
    GaussianField,
    HeadTap,
    IIDField,
    InputField,
    LinearHead,
    MomentStatistic,
    OffsetField,
    SplattedField,
    Statistic,
    WarpedField,
)
from warptheory.symbolic.head_laws import offset_laws
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
            self._shapes[key] = self._new_shape(values)
        return self._shapes[key]

    @cached_property
    def _shapes(self) -> dict[frozenset[tuple[str, float]], tuple[int, ...]]:
        """Shapes by the values, for every chunk asks for its own."""
        return {}

    def _new_shape(self, values: Values) -> tuple[int, ...]:
        correlated = self._correlated(values)
        lengths = [self._length(axis, values) + correlated for axis in range(self.dim)]
        if correlated and self._is_compact:
            lengths = [transformable(length) for length in lengths]
        if not math.prod(lengths) <= MOST_PIXELS:
            raise ArgumentError(
                "statistic",
                expected="values whose offsets keep them within a row of at most 2**24 pixels",
                received=f"a row of {' × '.join(f'{length:.10g}' for length in lengths)} pixels "
                f"({self._described_offsets(values)})",
            )
        return tuple(map(int, lengths))

    def _correlated(self, values: Values) -> int:
        """Return beyond how many pixels the input is not correlated, so that a periodic row is like an infinite one."""
        fields = [field for field in self.input_fields if isinstance(field, GaussianField)]
        ranges = [
            given_covariance(field, values).range(self.share_of_images) / spacing_of(field, values) for field in fields
        ]
        correlated = [source.covariance.subs(values) for source in self._sources if source.covariance is not None]
        return math.ceil(
            max([*ranges, *(covariance.range(self.share_of_images) for covariance in correlated)], default=0)
        )

    def _length(self, axis: int, values: Values) -> float:
        """Return the length of an axis of the row, a whole number that may be infinite."""
        along = RowAxis(axis, self.statistic.condition, values)
        needed = max(
            (along.pixels(self._read_along(axis, node, values)) for node in self._monomials),
            default=0.0,
        )
        if self._is_compact:
            return float(max(self.shortest, np.ceil(needed)))
        # Band-limited interpolation reads the whole axis, with weights that fall by distance: it gets as much again.
        # On an even axis it splits the Nyquist frequency, and Σk² falls short of its value on the infinite axis; on
        # an odd one the two agree.
        length = max(self.shortest, np.ceil(2 * needed))
        return float(length + 1 - length % 2)

    @property
    def _is_compact(self) -> bool:
        """Whether values read no more than a few pixels."""
        return all(isinstance(field, ComposedField) or field.kernel.is_compact for field in self._moving)

    def _read_along(self, axis: int, node: ExpectedValue, values: Values) -> list[tuple[Field, int]]:
        """Return the fields of a monomial's values, and their pixels along an axis."""
        atoms = node.args[0].atoms(RandomAtom)
        return [(field_of(atom), shift_of(atom, self.dim, values)[axis]) for atom in atoms]

    def _described_offsets(self, values: Values) -> str:
        """Return the offset fields and what they are at some values, as text."""
        texts = []
        for offsets in dict.fromkeys(field.offsets for field in self._moving):
            given = self.statistic.condition
            if offsets.head is not None:
                laws = offset_laws(offsets)
                deviations = (math.sqrt(symbolic.evaluate(variance, values)) for _, variance in laws)
                known = [f"computed, of deviation {', '.join(f'{each:g}' for each in deviations)}"]
            elif given is not None and self._is_given(offsets.source):
                known = [f"{symbol} = {symbolic.evaluate(symbol, values):g}" for symbol in given.symbols]
            else:
                law = offsets.axis_law
                parts = (("location", law.location), ("scale", law.scale))
                known = [f"{name} {symbolic.evaluate(part, values):g}" for name, part in parts]
            moved = [f"{symbolic.evaluate(part, values):g}" for part in offsets.displacement if part != 0]
            known += [f"displaced by {', '.join(moved)}"] * bool(moved)
            texts.append(f"{offsets.name}: {', '.join(known)}")
        return "; ".join(sorted(texts)) or "pixels of the input alone"

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
            given = self.statistic.condition
            if source.head is not None:
                expressions += [source.scale, *source.head.free_symbols]
                continue
            law = source.axis_law
            expressions += given.symbols if given is not None and self._is_given(source) else [source.correlation]
            if source.covariance is not None:
                expressions += source.covariance.free_symbols
            if not self._is_given(source):
                expressions += [part for _, law_part in law.parts for part in (law_part.location, law_part.scale)]
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
                state[source] = self._computed_offsets(source, source.head, state, values)
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
            return self._given_offsets(source, rows, size, values, device)
        if source.covariance is not None:
            return self._sampler(source.component, size, values).sample(rows, generator, source.dim, device)
        drawn = correlated(source, lambda shape: source.axis_law.draw(generator, shape), rows, size, values)
        return torch.from_numpy(drawn).to(device).expand(rows, source.dim, *size)

    def _computed_offsets(
        self, source: OffsetField, head: LinearHead, state: dict[object, Tensor], values: Values
    ) -> Tensor:
        """Return α h, the drawn field convolved with the head's taps, shape (rows, d, *size)."""
        scale = number(source.scale, values)
        components = [
            sum(number(tap.weight, values) * self._read_by(head.field, tap, state, values) for tap in taps)
            for taps in head.components
        ]
        return scale * torch.cat([torch.as_tensor(component) for component in components], dim=1)

    def _read_by(self, field: InputField, tap: HeadTap, state: dict[object, Tensor], values: Values) -> Tensor:
        """Return what a tap reads at every pixel, shape (rows, 1, *size)."""
        steps = [-int(number(part, values)) for part in tap.place]
        return torch.roll(state[field], steps, dims=list(range(2, 2 + self.dim)))

    def _given_offsets(
        self, source: OffsetField, rows: int, size: tuple[int, ...], values: Values, device: str
    ) -> Tensor:
        """Return the offsets that the statistic is conditional on, shape (rows, d, *size)."""
        given = self.statistic.condition
        assert given is not None
        fixed = [number(symbol, values) for symbol in given.symbols]
        one = torch.tensor(fixed, dtype=torch.float64, device=device).reshape(1, -1, *[1] * source.dim)
        return one.expand(rows, source.dim, *size)

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
