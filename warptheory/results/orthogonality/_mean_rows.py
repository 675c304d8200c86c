"""Rows of a warp by independent offsets on a periodic grid: what each has, and what two have in common.

Row n reads with the weights w_n(j) = Σ_l k(εₙ − j + lN) at the displacement j from its pixel, l over the turns of the
grid. Rows are independent and alike. A row's energy Σⱼ w(j)² has the mean G, the gain of a warp of white input (A4).
Two rows have the scalar product M = Σⱼ (E w(j))², E w = q∗k the kernel, spread over the density q of the offsets.
"""

import math
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from numpy import ndarray
from scipy import sparse
from scipy.sparse.linalg import LinearOperator
from torch import Tensor

from warptheory import warping
from warptheory.core.errors import ArgumentError
from warptheory.fields import laws
from warptheory.fields.laws import Law
from warptheory.kernels import FREQUENCY
from warptheory.results._experiment import DerivedExperiment
from warptheory.results._setting import PIXEL
from warptheory.symbolic import Covariance, IIDField, OffsetField, Step, Variance, warp
from warptheory.symbolic.nodes import KernelValue, Node, OffsetAverage, Opaque, Side
from warptheory.symbolic.quadrature import Environment, Evaluate, quadrature
from warptheory.symbolic.values import Argument

LENGTH = sp.Symbol("N", integer=True, positive=True)  # pixels of the periodic grid along each axis
_IMAGES = 1500  # of a spectrum at multiples of 2π, which falls as 1/l² at least; mostly as 1/l³
_STRATA: Mapping[int, int] = {1: 16, 2: 8}  # of the law of an offset, over the matrices of a row, by axes
_HELD_PER_ENTRY = 4  # by sample, row and column, and then by rows
_FREQUENCIES = 128  # a trapezoid rule is exact for rows that are shorter


class CommonEnergy(Node):
    """Σⱼ (Σ_l E k(ε − j + lN))² over the j of a period: args (k, offsets along an axis, N)."""

    offsets = Argument[OffsetField](1)

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the double sum."""
        j, turn = sp.symbols("j l", integer=True)
        (offset,) = self.offsets.symbols
        value = KernelValue(self.args[0], 0, offset - j + turn * self.args[2], Side.RIGHT)
        average = OffsetAverage(value, self.args[1])
        return sp.Sum(sp.Sum(average, (turn, -sp.oo, sp.oo)) ** 2, (j, 0, self.args[2] - 1))

    @property
    def free_symbols(self) -> set[sp.Symbol]:
        """N, and those of the law."""
        own: set[sp.Symbol] = self.args[2].free_symbols
        return own | self.offsets.axis_law.free_symbols

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Average the kernel by quadrature at every displacement, and wrap them."""
        period = int(evaluate(self.args[2], environment))
        farthest = np.abs(quadrature(self.offsets.axis_law, environment, evaluate)[0]).max()
        reach = math.ceil(farthest) + len(self.args[0].content.taps)
        displacement, (offset,) = sp.Symbol("m", integer=True), self.offsets.symbols
        average = OffsetAverage(KernelValue(self.args[0], 0, offset - displacement, Side.RIGHT), self.args[1])
        displacements = np.arange(-reach, reach + 1)
        means = np.asarray(average.numeric({**environment, displacement: displacements}, evaluate))
        return float((np.bincount(displacements % period, means) ** 2).sum())


class TransferEnergy(Node):
    """(1/N) Σ_r |H(2πr/N)|², H(ω) = Σ_l ĝ(ω + 2πl): args (ĝ, N)."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the double sum."""
        r, turn = sp.symbols("r l", integer=True)
        one = self.args[0].subs(FREQUENCY, 2 * sp.pi * (r / self.args[1] + turn))
        return sp.Sum(sp.Abs(sp.Sum(one, (turn, -sp.oo, sp.oo))) ** 2, (r, 0, self.args[1] - 1)) / self.args[1]

    @property
    def free_symbols(self) -> set[sp.Symbol]:
        """Those of N and of ĝ, without the frequency."""
        found: set[sp.Symbol] = self.args[0].free_symbols | self._length.free_symbols
        return found - {FREQUENCY}

    @property
    def _length(self) -> sp.Expr:
        return self.args[1]

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Sum images of ĝ at every frequency."""
        frequencies = int(evaluate(self._length, environment))
        along = 2 * np.pi * np.arange(frequencies)[:, None] / frequencies
        at = along + 2 * np.pi * np.arange(-_IMAGES, _IMAGES + 1)
        with np.errstate(invalid="ignore", divide="ignore"):  # at ω = 0 the transform has a value of its own
            values = np.asarray(evaluate(self.args[0], {**environment, FREQUENCY: at}))
        return float((np.abs(values.sum(1)) ** 2).mean())


class TransferIntegral(TransferEnergy):
    """(1/2π) ∫ |H(ω)|² dω over a period: args (ĝ,)."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the integral of the sum."""
        turn = sp.Symbol("l", integer=True)
        one = self.args[0].subs(FREQUENCY, FREQUENCY + 2 * sp.pi * turn)
        inner = sp.Abs(sp.Sum(one, (turn, -sp.oo, sp.oo))) ** 2
        return sp.Integral(inner, (FREQUENCY, -sp.pi, sp.pi)) / (2 * sp.pi)

    @property
    def _length(self) -> sp.Expr:
        return sp.Integer(_FREQUENCIES)


_BY_POISSON = (
    "the filter E w has the transfer function H(ω) = Σ_l k̂χ(ω + 2πl) (Poisson summation), χ the characteristic "
    "function of an offset: its energy by Parseval; "
)


@dataclass(frozen=True)
class RowsExperiment(DerivedExperiment):
    """What is known of the rows of a warp by independent offsets, and how its matrices are drawn."""

    pixels: ClassVar[Mapping[int, int]] = {1: 24, 2: 8}

    @property
    def law(self) -> Law:
        """The law of an offset along an axis."""
        return laws.get(self.setting.offsets)

    @property
    def symbols(self) -> Set[str]:
        """The scale of the offsets, and the length of the grid."""
        return {*(symbol.name for symbol in self.law.free_symbols), LENGTH.name}

    @property
    def strata(self) -> int:
        """Number of matrices of a row."""
        return _STRATA[self.setting.dim]

    @property
    def rows_of_grid(self) -> sp.Expr:
        """Nᵈ, pixels of the grid."""
        return LENGTH**self.setting.dim

    def check_values(self, values: Mapping[str, float]) -> None:
        """Check that the kernel does not meet itself around the grid.

        Raises:
            ArgumentError: a grid that is shorter than the kernel.
        """
        taps = len(self.kernel.taps)
        if values[LENGTH.name] < taps:
            expected = f"at least the {taps} pixels of a row of the kernel"
            raise ArgumentError(LENGTH.name, expected=expected, received=values[LENGTH.name])

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of values that the matrices hold while they are put together: an entry and its places."""
        entries = self.strata * (values[LENGTH.name] * len(self.kernel.taps)) ** self.setting.dim
        return int(_HELD_PER_ENTRY * entries)

    def own_energy_steps(self) -> tuple[Step, ...]:
        """Return the steps to G, by the algebra: Var y of white input of variance one."""
        return Variance(self._warped("epsilon")).derive().steps[2:]

    def common_energy(self) -> tuple[Step, ...]:
        """Return the steps to M on the periodic grid; only the first where the sum over images would not end."""
        opaque = Opaque(self.kernel), Opaque(OffsetField(self.setting.offsets, 1))
        first = Step("Average each row", "", CommonEnergy(*opaque, LENGTH) ** self.setting.dim)
        if not self._has_transform:
            return (first,)
        transfer = TransferEnergy(self._transform, LENGTH) ** self.setting.dim
        return first, Step("Transform", f"{_BY_POISSON}the frequencies of the grid are 2πr/N", transfer)

    def common_energy_of_the_line(self) -> tuple[Step, ...]:
        """Return the steps to M without a period, by the algebra: E y y′ of white input and independent offsets.

        Only the first where the sum over images would not end.
        """
        common = Covariance(self._warped("epsilon"), self._warped("eta")).derive().steps[-2]
        first = Step("Average each row", "", common.expression)
        if not self._has_transform:
            return (first,)
        transfer = TransferIntegral(self._transform) ** self.setting.dim
        return first, Step("Transform", f"{_BY_POISSON}the grid is long", transfer)

    def offsets(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float]
    ) -> Float[Tensor, "B d *S"]:
        """Draw the offsets of `strata` matrices for each row, shape (B, d, *S) of rows times strata.

        Each offset of a row has one value from each of as many equal parts of its law (a Latin hypercube). Offsets of
        one matrix stay independent, each of its law, and the mean over a row scatters less.
        """
        size = (int(values[LENGTH.name]),) * self.setting.dim
        shape = (rows, self.strata, self.setting.dim, *size)
        strata = np.arange(self.strata).reshape(-1, *[1] * (len(shape) - 2))
        order = generator.permuted(np.broadcast_to(strata, shape), axis=1)
        drawn = self.law.of_uniform((order + generator.random(shape)) / self.strata)
        scale = values[self.law.scale.name] if self.law.scale.is_Symbol else float(self.law.scale)
        return torch.from_numpy(drawn * scale + float(self.law.location)).flatten(0, 1)

    def stacked_matrices(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float]
    ) -> tuple[sparse.csr_array, tuple[int, ...], tuple[int, ...]]:
        """Draw B = rows·strata matrices, one on top of the other: the operator from one image to as many channels.

        Returns:
            The matrix (B·Nᵈ, Nᵈ), and the shapes (1, *S) and (B, *S) of the images.
        """
        offsets = self.offsets(generator, rows, values)
        size, count = tuple(offsets.shape[2:]), len(offsets)
        matrix = warping.warp_matrix(offsets, size, self.setting.kernel, "periodic")
        sample, row, column = matrix.indices().numpy()
        pixels = math.prod(size)
        places = (sample * pixels + row, column)
        stacked = sparse.csr_array((matrix.values().numpy(), places), shape=(count * pixels, pixels))
        return stacked, (1, *size), (count, *size)

    @property
    def _has_transform(self) -> bool:
        """Whether k̂ has a closed form and k̂χ falls fast enough: χ does not fall at all where offsets have atoms."""
        return self.law.density is not None and not self.kernel.spectrum.has(sp.Integral)

    @property
    def _transform(self) -> sp.Expr:
        """The transform of q∗k, k̂(ω)χ(ω)."""
        return self.kernel.spectrum * self.law.characteristic_function(FREQUENCY)

    def _warped(self, name: str) -> sp.Expr:
        offsets = OffsetField(self.setting.offsets, self.setting.dim, name=name)
        return warp(IIDField("x", mean=0, deviation=1), offsets, self.setting.kernel)[PIXEL]


def energies(stacked: sparse.csr_array | LinearOperator, rows: int) -> Float[ndarray, "rows"]:
    """Return the energy per pixel of the matrices of a stack (B·N, M), a mean for each row, shape (rows,)."""
    assert isinstance(stacked, sparse.csr_array)
    ends = np.concatenate([[0.0], np.cumsum(stacked.data**2)])[stacked.indptr[:: stacked.shape[0] // rows]]
    return np.diff(ends) * rows / stacked.shape[0]


def filter_energies(filters: Float[ndarray, "B 1 *S"], rows: int) -> Float[ndarray, "rows"]:
    """Return the energy of filters (B, 1, *S), a mean for each row, shape (rows,)."""
    found: ndarray = (filters**2).reshape(rows, -1).sum(1) * rows / len(filters)
    return found


def combined(
    own: tuple[Step, ...], common: tuple[Step, ...], reason: str, write: Callable[[sp.Expr, sp.Expr], sp.Expr]
) -> tuple[Step, ...]:
    """Return the steps of a function of G and M: first those of G, then those of M.

    Args:
        own: steps to G.
        common: steps to M.
        reason: why it is that function.
        write: the function, of G and M.
    """
    steps = [Step("Average over the rows", reason, write(own[0].expression, common[0].expression))]
    steps += [Step(step.name, step.reason, write(step.expression, common[0].expression)) for step in own[1:]]
    steps += [Step(step.name, step.reason, write(own[-1].expression, step.expression)) for step in common[1:]]
    return tuple(steps)
