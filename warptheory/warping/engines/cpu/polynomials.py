"""Taps whose weights are polynomials in the fraction: what `reference.weighted_taps` works out, compiled.

A block of positions at a time, and in it power after power, so that Horner's scheme becomes vector instructions.
"""

from functools import cache
from math import prod
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numba import carray
from torch import Tensor

from warptheory.kernels import PolynomialTaps
from warptheory.warping.boundaries import Boundary
from warptheory.warping.engines.machine import tasks
from warptheory.warping.engines.machine.compilation import c_function, callee
from warptheory.warping.engines.machine.memory import as_pointer
from warptheory.warping.engines.machine.threads import CFunction
from warptheory.warping.reference import WILD

_BLOCK = 256  # positions whose fractions are held at a time
_SECONDS_A_WEIGHT = 1.3e-9  # on one thread


def bases_and_weights(
    polynomials: PolynomialTaps,
    offset: Float[Tensor, "N 1 *T"],
    axis: int,
    size: int,
    boundary: Boundary,
    sides: int,
    order: int,
) -> tuple[Int[Tensor, "sides P"], Float[Tensor, "sidesK P"]]:
    """Return the pixels that taps are counted from, a row for each side of a knot, and the weights, K rows for each.

    Args:
        polynomials: the weights as functions of the fraction.
        offset: offsets along the axis, (N, 1, *T); P = N·∏T.
        axis: number of the axis.
        size: pixels of the image along it.
        boundary: where offsets beyond numbers read.
        sides: 1 for the right-hand weights at a knot, 2 for these and the left-hand ones.
        order: number of derivatives, for offsets beyond numbers have none.
    """
    offset = offset.contiguous()
    cells, count, powers = polynomials.coefficients.shape
    bases = torch.empty((sides, offset.numel()), dtype=torch.long)
    weights = offset.new_empty((sides * count, offset.numel()))
    # The mean over both sides of a knot
    coefficients = (polynomials.coefficients / sides).astype(tasks.DTYPES[offset.dtype])
    upper = polynomials.upper.astype(tasks.DTYPES[offset.dtype])
    words = [
        *(offset.data_ptr(), bases.data_ptr(), weights.data_ptr(), coefficients.ctypes.data, upper.ctypes.data),
        *(offset.numel(), sides, cells, count, powers),
        *(offset.shape[2 + axis], prod(offset.shape[3 + axis :]), size),
        *(boundary.has_outside, order > 0),
    ]
    blocks = -(-offset.numel() // _BLOCK)
    if blocks:
        tasks.run(_function(offset.dtype), blocks, _SECONDS_A_WEIGHT * weights.numel(), words)
    return bases, weights


# ---- compiled ---------------------------------------------------------------------------------------


@callee
def _is_wild(offset: Any) -> Any:
    return not (abs(offset) < WILD)  # also NaN


@callee
def _split(offsets: Any, first: Any, last: Any, from_left: Any, grid: Any, bases: Any, fractions: Any) -> None:
    """Write the pixel below each position, from whichever side, and the fraction that is left."""
    length, step, size, has_outside = grid
    coordinate, place = first // step % length, first % step
    for n in range(first, last):
        offset = offsets[n]
        wild = _is_wild(offset)
        tame = offsets.dtype.type(0) if wild else offset
        whole = np.int64(tame)
        whole -= tame < offsets.dtype.type(whole)  # rounded down, not towards zero
        fraction = tame - offsets.dtype.type(whole)
        if from_left and fraction == 0:
            # An integer is the pixel below plus one; beyond 2²⁴, float32 has no name for that pixel.
            whole -= 1
            fraction = offsets.dtype.type(1)
        fractions[n - first] = fraction
        edge = -int(WILD) if has_outside else (size - 1 if offset > 0 else 0)
        bases[n] = edge if wild else coordinate + whole
        place += 1
        if place == step:
            place, coordinate = 0, coordinate + 1
            if coordinate == length:
                coordinate = 0


@callee
def _choose_cells(fractions: Any, count: Any, upper: Any, from_left: Any, chosen: Any) -> None:
    """Write the number of the cell of each fraction; the last one also takes 1."""
    for n in range(count):
        cell = 0
        for place in range(upper.size - 1):
            cell += fractions[n] > upper[place] if from_left else fractions[n] >= upper[place]
        chosen[n] = cell


@callee
def _horner(coefficients: Any, fractions: Any, weights: Any) -> None:
    """Write Σₙ cₙ fⁿ of fractions of one cell; the sum is begun with the largest power."""
    weights[:] = coefficients[-1]
    for power in range(coefficients.size - 2, -1, -1):
        coefficient = coefficients[power]
        for n in range(weights.size):
            weights[n] = weights[n] * fractions[n] + coefficient


@callee
def _horner_by_cells(coefficients: Any, chosen: Any, fractions: Any, weights: Any) -> None:
    """Write the same of fractions of several cells; coefficients are (cells, degree + 1)."""
    for n in range(weights.size):
        cell, powers = chosen[n], coefficients.shape[1]
        weight = coefficients[cell, powers - 1]
        for power in range(powers - 2, -1, -1):
            weight = weight * fractions[n] + coefficients[cell, power]
        weights[n] = weight


@callee
def _work_out(first: Any, last: Any, arrays: Any, grid: Any, has_order: Any, scratch: Any) -> None:
    """Work out the taps of the positions number `first` … `last` − 1, at most a block of them."""
    offsets, bases, weights, coefficients, upper = arrays
    fractions, chosen = scratch
    cells, count = coefficients.shape[0], coefficients.shape[1]
    for side in range(bases.shape[0]):
        _split(offsets, first, last, side == 1, grid, bases[side], fractions)
        if cells > 1:
            _choose_cells(fractions, last - first, upper, side == 1, chosen)
        for tap in range(count):
            row = weights[side * count + tap, first:last]
            if cells > 1:
                _horner_by_cells(coefficients[:, tap], chosen, fractions, row)
            else:
                _horner(coefficients[0, tap], fractions, row)
        if has_order:
            for n in range(first, last):
                if _is_wild(offsets[n]):
                    weights[side * count : (side + 1) * count, n] = 0


@cache
def _function(dtype: torch.dtype) -> CFunction:
    """Return the loop, compiled if need be; a task is a block of positions."""
    real = np.empty(0, tasks.DTYPES[dtype])

    def work_out_all(data: Any) -> None:
        words = tasks.words_of(data)
        at = tasks.arguments_of(words)
        total, sides, cells, count, powers = (
            words[at + 5],
            words[at + 6],
            words[at + 7],
            words[at + 8],
            words[at + 9],
        )
        arrays = (
            carray(as_pointer(words[at]), (total,), real.dtype),
            carray(as_pointer(words[at + 1]), (sides, total), np.int64),
            carray(as_pointer(words[at + 2]), (sides * count, total), real.dtype),
            carray(as_pointer(words[at + 3]), (cells, count, powers), real.dtype),
            carray(as_pointer(words[at + 4]), (cells,), real.dtype),
        )
        grid = words[at + 10], words[at + 11], words[at + 12], words[at + 13] != 0
        scratch = np.empty(_BLOCK, real.dtype), np.empty(_BLOCK, np.int64)
        for first, last in tasks.taken(data, words):
            for block in range(first, last):
                start = block * _BLOCK
                _work_out(start, min(start + _BLOCK, total), arrays, grid, words[at + 14] != 0, scratch)

    return CFunction(c_function(work_out_all))
