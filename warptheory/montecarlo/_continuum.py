"""Statistics of the continuum, run: fields drawn on a grid that is finer than the pixels stand for those between them.

Values between the points of the fine grid are read by the real operator with the cardinal cubic spline, whose relative
error is of order (spacing/length)⁴ for a field that is smooth on the scale of the fine grid. Its coefficients are those
of a periodic row: one quotient of Fourier series, however often the field is read.
"""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import cast

import numpy as np
import torch
from torch import Tensor

from warptheory import kernels, symbolic, warping
from warptheory.core.errors import ArgumentError
from warptheory.fields import FieldSampler
from warptheory.kernels import CardinalSpline
from warptheory.montecarlo._drawing import periodic_sampler
from warptheory.montecarlo._extent import EXACT_KERNEL, Values
from warptheory.montecarlo._simulation import CORRELATED, Simulation
from warptheory.symbolic import (
    ComposedField,
    Field,
    GaussianField,
    HeadTap,
    InputField,
    MomentStatistic,
    OffsetField,
    SplattedField,
    WarpedField,
)
from warptheory.symbolic.composition import ComposedValue, SlopeValue, is_of_continuum
from warptheory.symbolic.input_fields import PixelValue
from warptheory.symbolic.moved_fields import SampledValue, SplatValue
from warptheory.symbolic.values import RandomAtom

_SPLINE = kernels.get("bspline3")  # reads the coefficients of EXACT_KERNEL


@dataclass(frozen=True)
class ContinuumSimulation(Simulation):
    """An experiment that estimates a statistic with values of the continuum.

    Attributes:
        statistic: a function of moments.
        inputs: law of the input fields whose law is left open.
        refinement: points of the fine grid per pixel, along each axis; positions of values are multiples of its
            inverse. Where nothing is read on the pixels' own grid, all points of the fine one are used.
        on_points: whether offsets are rounded to points of the fine grid, at which a field is exact however rough.
        wrapped: share of C(0) that correlations across the period of a row may add.
    """

    refinement: int = 4
    on_points: bool = False
    wrapped: float = CORRELATED

    @property
    def share_of_images(self) -> float:
        """Share of C(0) that correlations across the period of a row may add."""
        return self.wrapped

    def row_elements(self, values: Values) -> int:
        """Return the number of points that a row draws."""
        return int(np.prod(self.shape(values))) * int(self.refinement**self.dim)

    @cached_property
    def _reads_pixels(self) -> bool:
        """Whether some value or offset lives on the pixels' grid, and not on the finer one."""
        on_grid = any(isinstance(atom, SampledValue | SplatValue) for atom in self._atoms)
        independent = any(not isinstance(field, GaussianField) for field in self.input_fields)
        return on_grid or independent or not all(map(_is_fine, self._sources))

    def _sampler(self, field: GaussianField, size: tuple[int, ...], values: Values) -> FieldSampler:
        return periodic_sampler(field, size, tuple(sorted(values.items())), self.refinement)

    def _draw_offsets(
        self,
        source: OffsetField,
        generator: np.random.Generator,
        rows: int,
        size: tuple[int, ...],
        values: Values,
        device: str,
    ) -> Tensor:
        # A sampler of offsets that have a covariance counts the pixels itself.
        is_sampled = source.covariance is not None and not self._is_given(source)
        rate = self.refinement if _is_fine(source) and not is_sampled else 1
        offsets = super()._draw_offsets(source, generator, rows, tuple(rate * n for n in size), values, device)
        return torch.round(offsets * self.refinement) / self.refinement if self.on_points else offsets

    def _read_by(self, field: InputField, tap: HeadTap, state: dict[object, Tensor], values: Values) -> Tensor:
        """Return what a tap reads at every point of the fine grid, shape (rows, 1, *T)."""
        steps = [symbolic.evaluate(part, values) * self.refinement for part in tap.place]
        return self._rolled(self._differentiated(state[field], None, tap.orders)[:, 0], steps)[:, None]

    def _value_of(self, atom: RandomAtom, state: dict[object, Tensor], values: Values) -> Tensor:
        """Return a value at every pixel, or at every point of the fine grid, shape (rows, *T)."""
        if isinstance(atom, SampledValue | SplatValue):
            return super()._value_of(atom, state, values)
        if isinstance(atom, PixelValue) and not isinstance(atom.field, GaussianField):
            return super()._value_of(atom, state, values)
        field = self._fine(atom, state, values)
        if isinstance(atom, ComposedValue | SlopeValue) and not _is_fine(atom.site.offsets):
            return self._rolled(field, self._steps(atom, values, 1))
        moved = self._rolled(field, self._steps(atom, values, self.refinement))
        return self._on_pixels(moved) if self._reads_pixels else moved

    def _on_pixels(self, fine: Tensor) -> Tensor:
        """Return the points of the fine grid that are pixels."""
        for axis in range(fine.ndim - self.dim, fine.ndim):
            pixels = torch.arange(0, fine.shape[axis], self.refinement, device=fine.device)
            fine = fine.index_select(axis, pixels)
        return fine

    @property
    def _axes(self) -> list[int]:
        return list(range(1, self.dim + 1))

    def _steps(self, atom: RandomAtom, values: Values, rate: int) -> list[float]:
        """Return the position of a value in steps of 1/rate pixel.

        Raises:
            ArgumentError: it lies between them, where values are known at points of the grid alone.
        """
        index = atom.index if isinstance(atom, PixelValue) else atom.site.index
        symbols = {symbol for part in index for symbol in part.free_symbols if symbol.is_integer}
        numbers = [symbolic.evaluate(part.subs(dict.fromkeys(symbols, 0)), values) * rate for part in index]
        steps = [float(round(x)) if abs(x - round(x)) <= 1e-9 * max(1, abs(x)) else x for x in numbers]
        if not all(map(float.is_integer, steps)) and (self.on_points or rate < self.refinement):
            raise ArgumentError("values", expected=f"positions at multiples of 1/{rate} pixel", received=index)
        return steps + [0.0] * (self.dim - len(steps))

    def _rolled(self, field: Tensor, steps: list[float]) -> Tensor:
        """Return a field read so many steps of its grid further along each axis, between points by its Fourier series.

        The fine grid resolves the fields, so that this is as good as the slopes are.
        """
        whole = [math.floor(step) for step in steps]
        moved = torch.roll(field, [-number for number in whole], dims=self._axes)
        for axis, rest in zip(self._axes, (step - n for step, n in zip(steps, whole, strict=True)), strict=True):
            if rest:
                length = moved.shape[axis]
                waves = torch.fft.rfft(moved.movedim(axis, -1))
                phase = 2 * math.pi * rest * torch.fft.rfftfreq(length, dtype=field.dtype, device=field.device)
                moved = torch.fft.irfft(torch.polar(torch.ones_like(phase), phase) * waves, n=length).movedim(-1, axis)
        return moved

    def _fine(self, atom: RandomAtom, state: dict[object, Tensor], values: Values) -> Tensor:
        """Return what a value is read from, on the fine grid, or on the pixels for offsets that live there."""
        if isinstance(atom, PixelValue):
            orders = (*atom.orders, *[0] * (self.dim - len(atom.orders)))
            return self._differentiated(state[atom.field], None, orders)[:, 0]
        assert isinstance(atom, ComposedValue | SlopeValue)
        found = self._composed(atom.whole, state, values)[:, 0]
        if isinstance(atom, ComposedValue):
            return found
        _check_fine(atom.site.offsets, "a slope")
        return self._slope(found, atom.axis)

    def _composed(self, field: ComposedField, state: dict[object, Tensor], values: Values) -> Tensor:
        """Return a composed field, or its derivative in the offset per pixel, shape (rows, 1, *T)."""
        if field not in state:
            inner = field.field
            if isinstance(inner, ComposedField):
                _check_fine(inner.offsets, "a field that is composed again")
            source = self._composed(inner, state, values) if isinstance(inner, ComposedField) else state[inner]
            state[field] = self._differentiated(source, self._positions(field.offsets, state, values), field.orders)
        return state[field]

    def _positions(self, offsets: OffsetField, state: dict[object, Tensor], values: Values) -> Tensor:
        """Return offsets counted in points of the fine grid, from the point of the same number."""
        drawn = self._displaced(offsets, state, values)
        if _is_fine(offsets):
            return drawn * self.refinement
        # One offset for each pixel n, whose point of the fine grid is refinement·n.
        numbers = [torch.arange(length, dtype=torch.float64, device=drawn.device) for length in drawn.shape[2:]]
        pixels = torch.stack(torch.meshgrid(*numbers, indexing="ij"))
        return drawn * self.refinement + (self.refinement - 1) * pixels

    def _differentiated(self, source: Tensor, offsets: Tensor | None, orders: tuple[int, ...]) -> Tensor:
        """Read the fine grid at displaced points, or a derivative there per pixel."""
        if sum(orders) > 1:
            raise ArgumentError("statistic", expected="values and first derivatives", received=f"orders {orders}")
        if offsets is None and not any(orders):
            return source
        if offsets is None:
            offsets = torch.zeros((len(source), self.dim, *source.shape[2:]), dtype=source.dtype, device=source.device)
        if self.on_points and any(orders):
            raise ArgumentError("statistic", expected="values, on points of the grid", received="derivatives")
        if self.on_points:  # where linear interpolation is exact, and needs no prefilter
            return warping.warp(source, offsets, "linear", "periodic")
        if not any(orders):
            return warping.warp(_coefficients(source), offsets, _SPLINE, "periodic")
        slopes = warping.warp_gradient(_coefficients(source), offsets, _SPLINE, "periodic")
        return self.refinement * slopes[:, :, orders.index(1)]

    def _slope(self, field: Tensor, axis: int) -> Tensor:
        """Return the derivative of a field on the fine grid along an axis, per pixel, by its Fourier series."""
        length = field.shape[axis + 1]
        frequency = 2 * math.pi * self.refinement * torch.fft.rfftfreq(length, dtype=field.dtype, device=field.device)
        frequency[length // 2 :] *= length % 2  # of the Nyquist wave the grid sees the cosine alone
        waves = torch.fft.rfft(field.movedim(axis + 1, -1))
        return cast("Tensor", torch.fft.irfft(1j * frequency * waves, n=length).movedim(-1, axis + 1))

    def _tensor(self, field: Field, state: dict[object, Tensor], values: Values) -> Tensor:
        """Return a field on the pixels' grid, shape (rows, 1, *size)."""
        if isinstance(field, GaussianField):
            return self._on_pixels(state[field])
        return super()._tensor(field, state, values)

    def _moved(self, field: Field, state: dict[object, Tensor], values: Values) -> Tensor:
        """Return a warped or splatted field; its offsets are those of the pixels."""
        if isinstance(field, WarpedField | SplattedField) and _is_fine(field.offsets):
            source = field.offsets.source
            state = {**state, source: self._on_pixels(state[source])}
        return super()._moved(field, state, values)


def _coefficients(values: Tensor) -> Tensor:
    """Return the coefficients of the cardinal spline through values on a torus, shape (rows, 1, *T) as given."""
    size, axes = tuple(values.shape[2:]), tuple(range(2, values.ndim))
    waves = torch.fft.rfftn(values, dim=axes).mul_(_inverse_response(size).to(values.device))
    return cast("Tensor", torch.fft.irfftn(waves, s=size, dim=axes))


@lru_cache(maxsize=8)
def _inverse_response(size: tuple[int, ...]) -> Tensor:
    """Return what a coefficient has of a value, by frequency in the order of `rfftn`: one over the spline's samples."""
    assert isinstance(EXACT_KERNEL, CardinalSpline)
    _, middle, beside = map(float, EXACT_KERNEL.prefilter)
    found = torch.ones((), dtype=torch.float64)
    for length in size:
        found = found[..., None] / (
            middle + 2 * beside * torch.cos(2 * math.pi * torch.fft.fftfreq(length, dtype=torch.float64))
        )
    return found[..., : size[-1] // 2 + 1]


def _is_fine(offsets: OffsetField) -> bool:
    """Whether offsets live on the fine grid: those of a covariance or a head, and one offset for all points."""
    return offsets.covariance is not None or offsets.is_shared or offsets.head is not None


def _check_fine(offsets: OffsetField, of_what: str) -> None:
    """Check that offsets are known between the pixels.

    Raises:
        ArgumentError: they are independent from pixel to pixel.
    """
    if not _is_fine(offsets):
        raise ArgumentError(
            "statistic",
            expected=f"{of_what} to have offsets that are shared or have a covariance",
            received=f"{offsets.name}, independent from pixel to pixel",
        )


def simulation_of(statistic: MomentStatistic, inputs: str = "normal") -> Simulation:
    """Return the experiment that runs a statistic, on a finer grid where it has values of the continuum.

    Args:
        statistic: a function of moments.
        inputs: law of the input fields whose law is left open.
    """
    atoms = {atom for operand in statistic.operands for atom in operand.atoms(RandomAtom)}
    return (ContinuumSimulation if any(map(is_of_continuum, atoms)) else Simulation)(statistic, inputs)
