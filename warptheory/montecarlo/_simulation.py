"""A symbolic statistic, run: the experiment that the algebra reduces, on the real operator.

Rows are independent realisations of everything. Within a row the field is periodic and homogeneous,
so a statistic at one pixel is averaged over all pixels of the row; their correlation does no harm,
because standard errors are taken between rows only.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import symbolic, warping
from warptheory.core.errors import ArgumentError
from warptheory.fields import IID
from warptheory.symbolic import IIDField, OffsetField, Statistic
from warptheory.symbolic._variables import PixelValue, RandomAtom, SampledValue

_AXIS_SIZE = {1: 64, 2: 12, 3: 6}
# Copies in a row that estimates a covariance: K − 1 of K copies' worth of information is kept, so two would
# waste half of the work, and many would leave too few rows to take a standard error from.
_COPIES = 8

Values = Mapping[str, float]


@dataclass(frozen=True)
class Simulation:
    """An experiment that estimates a symbolic statistic with `warp` and `warp_gradient`.

    Attributes:
        statistic: an `Expectation`, `Variance` or `Covariance`.
        inputs: law of the input fields whose law is left open.
    """

    statistic: Statistic
    inputs: str = "normal"

    @cached_property
    def _atoms(self) -> list[RandomAtom]:
        found = {atom for operand in self.statistic.operands for atom in operand.atoms(RandomAtom)}
        return sorted(found, key=str)

    @cached_property
    def _samples(self) -> list[SampledValue]:
        return [atom for atom in self._atoms if isinstance(atom, SampledValue)]

    @cached_property
    def size(self) -> tuple[int, ...]:
        """Spatial size of a row: wide enough that no two taps of a pixel coincide."""
        dims = {atom.site.offsets.dim for atom in self._samples} or {len(atom.index) for atom in self._atoms} or {1}
        if len(dims) > 1:
            raise ArgumentError("statistic", expected="fields of one number of axes", received=f"{sorted(dims)} axes")
        dim = dims.pop()
        read = [atom.site.kernel for atom in self._samples]
        taps = max((len(kernel.taps) for kernel in read if kernel.is_compact), default=1)
        reach = max((abs(shift) for atom in self._atoms for shift in _shift(atom, dim)), default=0)
        width = max(_AXIS_SIZE[dim], 2 * (taps + reach))
        # On an even axis band-limited interpolation splits the Nyquist frequency, and Σk² falls short of its
        # value on the infinite axis; on an odd one the two agree.
        return (width if all(kernel.is_compact for kernel in read) else width + 1 - width % 2,) * dim

    @property
    def row_elements(self) -> int:
        """Number of pixels that a row draws, in all its copies."""
        return self._copies * int(np.prod(self.size))

    @property
    def symbols(self) -> set[str]:
        """Names of the symbols that need a number before the experiment can run."""
        expressions: list[sp.Expr] = [*self._parameters]
        for field in self._fields:
            expressions += [field.mean, field.deviation]
        for offsets in self._offset_fields:
            law, given = offsets.axis_law, self.statistic.condition
            expressions += given.symbols if given in (offsets, offsets.fraction) else (law.location, law.scale)
        return {symbol.name for expression in expressions for symbol in expression.free_symbols}

    @property
    def _copies(self) -> int:
        return 1 if len(self.statistic.operands) == 1 else _COPIES

    def sample(
        self, generator: np.random.Generator, rows: int, values: Values, device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw independent, unbiased estimates of the statistic.

        A variance or covariance needs no mean: a row is the sample covariance, Σ(a − ā)(b − b̄)/(K − 1),
        of K independent copies of everything, which is unbiased.

        Args:
            generator: source of every random number.
            rows: number of estimates.
            values: a number for every symbol, by name.
            device: device on which the operator runs.

        Returns:
            Estimates, shape (rows,), float64.
        """
        operands = self._operands(generator, rows * self._copies, values, device)
        copies = [operand.reshape(rows, self._copies, -1) for operand in operands]
        if len(copies) == 1:
            return copies[0].mean((1, 2))
        first, second = (copy - copy.mean(1, keepdim=True) for copy in copies)
        return (first * second).sum(1).mean(1) / (self._copies - 1)

    def _operands(self, generator: np.random.Generator, rows: int, values: Values, device: str) -> list[Tensor]:
        """Draw one realisation of every field and evaluate the operands, each (rows, *size)."""
        fields = {field: self._draw_field(field, generator, rows, values, device) for field in self._fields}
        offsets = {field: self._draw_offsets(field, generator, rows, values, device) for field in self._offset_fields}
        numbers = [self._atom_values(atom, fields, offsets) for atom in self._atoms]
        parameters = [symbolic.evaluate(symbol, values) for symbol in self._parameters]
        shape = (rows, *self.size)
        return [
            evaluate(*numbers, *parameters) * torch.ones(shape, device=device, dtype=torch.float64)
            for evaluate in self._compiled
        ]

    @cached_property
    def _fields(self) -> list[IIDField]:
        return sorted({atom.field for atom in self._atoms}, key=str)

    @cached_property
    def _offset_fields(self) -> list[OffsetField]:
        return sorted({atom.site.offsets for atom in self._samples}, key=str)

    @cached_property
    def _parameters(self) -> list[sp.Symbol]:
        return sorted(
            {s for operand in self.statistic.operands for s in operand.free_symbols if isinstance(s, sp.Symbol)},
            key=str,
        )

    @cached_property
    def _compiled(self) -> list[Callable[..., Tensor]]:
        # Operands are polynomials, so plain Python arithmetic evaluates them on tensors.
        names = {atom: sp.Dummy() for atom in self._atoms}
        arguments = [*(names[atom] for atom in self._atoms), *self._parameters]
        return [sp.lambdify(arguments, operand.xreplace(names), modules="math") for operand in self.statistic.operands]

    def _draw_field(
        self, field: IIDField, generator: np.random.Generator, rows: int, values: Values, device: str
    ) -> Tensor:
        mean = symbolic.evaluate(field.mean, values)
        deviation = symbolic.evaluate(field.deviation, values)
        return IID(field.law or self.inputs, mean, deviation).sample(rows, self.size, generator, device=device)

    def _draw_offsets(
        self, field: OffsetField, generator: np.random.Generator, rows: int, values: Values, device: str
    ) -> Tensor:
        shape = (rows, field.dim, *self.size)
        given = self.statistic.condition
        if given in (field, field.fraction):
            fixed = torch.tensor(
                [symbolic.evaluate(symbol, values) for symbol in given.symbols], dtype=torch.float64, device=device
            )
            return fixed.reshape(1, -1, *[1] * field.dim).expand(shape)
        law = field.axis_law
        location, scale = symbolic.evaluate(law.location, values), symbolic.evaluate(law.scale, values)
        return torch.from_numpy(law.sample(generator, shape, location, scale)).to(device)

    def _atom_values(
        self, atom: RandomAtom, fields: dict[IIDField, Tensor], offsets: dict[OffsetField, Tensor]
    ) -> Tensor:
        x = fields[atom.field]
        dim = len(self.size)
        pixels = x[:, 0] if isinstance(atom, PixelValue) else self._sampled(atom, x, offsets[atom.site.offsets])
        return torch.roll(pixels, [-shift for shift in _shift(atom, dim)], dims=list(range(1, dim + 1)))

    def _sampled(self, atom: SampledValue, x: Tensor, offsets: Tensor) -> Tensor:
        order = sum(atom.orders)
        if order == 0:
            return warping.warp(x, offsets, atom.site.kernel, "periodic")[:, 0]
        if order == 1:
            return warping.warp_gradient(x, offsets, atom.site.kernel, "periodic")[:, 0, atom.orders.index(1)]
        raise ArgumentError("statistic", expected="values and first derivatives of warped fields", received=str(atom))


def _shift(atom: RandomAtom, dim: int) -> tuple[int, ...]:
    """Return the pixel of an atom with every symbolic index at the origin."""
    index = atom.site.index if isinstance(atom, SampledValue) else atom.index
    shift = tuple(int(i.subs(dict.fromkeys(i.free_symbols, 0))) for i in index)
    return shift if len(shift) == dim else shift + (0,) * (dim - len(shift))
