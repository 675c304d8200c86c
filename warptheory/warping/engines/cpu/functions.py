"""The linear kernel's loops as C functions, one for each number of axes and dtype, and how they read their words."""

from functools import cache

import numpy as np
from numba import carray

from warptheory.warping.engines.cpu.differentiating import GradientTask, differentiate_tasks
from warptheory.warping.engines.cpu.gathering import gather_units
from warptheory.warping.engines.cpu.problem import Problem
from warptheory.warping.engines.machine import tasks
from warptheory.warping.engines.machine.compilation import c_function, callee
from warptheory.warping.engines.machine.memory import StridedValues, as_pointer
from warptheory.warping.engines.machine.tasks import Words
from warptheory.warping.engines.machine.threads import CFunction


def problem_words(problem: Problem) -> Words:
    """Return a problem as the kernels read it."""
    cut = (problem.unit, problem.stripe, problem.scratch)
    return (*problem.counts, *problem.size, *problem.grid, problem.boundary, *problem.orders, *cut)


@callee
def _take_problem(words, at, axes):
    counts, at = tasks.take_numbers(words, at, (0, 0, 0))
    size, at = tasks.take_numbers(words, at, axes)
    grid, at = tasks.take_numbers(words, at, axes)
    boundary, at = words[at], at + 1
    orders, at = tasks.take_numbers(words, at, axes)
    return Problem(counts, size, grid, boundary, orders, words[at], words[at + 1], words[at + 2]), at + 3


# Templates of strides: of what lives on the output grid, and of offsets.
_ON_GRID, _OFFSETS = (0, 0, 0), (0, 0, 0, 0)


@callee
def take_gather(words, at, axes, image):
    """Read a problem and its tensors, as `linear` writes them; `axes` and `image` are templates."""
    addresses, at = tasks.take_numbers(words, at, (0, 0, 0))
    problem, at = _take_problem(words, at, axes)
    target, at = tasks.take_numbers(words, at, _ON_GRID)
    source, at = tasks.take_numbers(words, at, image)
    offsets, at = tasks.take_numbers(words, at, _OFFSETS)
    tensors = (
        StridedValues(addresses[0], target),
        StridedValues(addresses[1], source),
        StridedValues(addresses[2], offsets),
    )
    return (problem, *tensors), at


@callee
def take_gradients(words, at, axes, image):
    """Read the mode, the ranges, a problem and its tensors, as `linear` writes them, by templates as `take_gather`."""
    (mode, ranges_at, stripes), at = tasks.take_numbers(words, at, (0, 0, 0))
    addresses, at = tasks.take_numbers(words, at, (0, 0, 0, 0, 0))
    is_central, at = words[at] != 0, at + 1
    problem, at = _take_problem(words, at, axes)
    gradient, at = tasks.take_numbers(words, at, _ON_GRID)
    source, at = tasks.take_numbers(words, at, image)
    offsets, at = tasks.take_numbers(words, at, _OFFSETS)
    image_gradient, at = tasks.take_numbers(words, at, image)
    offset_gradient, at = tasks.take_numbers(words, at, _OFFSETS)
    task = GradientTask(
        StridedValues(addresses[0], gradient),
        StridedValues(addresses[1], source),
        StridedValues(addresses[2], offsets),
        StridedValues(addresses[3], image_gradient),
        StridedValues(addresses[4], offset_gradient),
        addresses[3] != 0,
        addresses[4] != 0,
        is_central,
    )
    ranges = carray(as_pointer(ranges_at), (problem.counts[0], problem.counts[1], stripes, 2), np.int64)
    return (mode, ranges, problem, task), at


def templates(dim: int, dtype: str) -> tuple[Words, Words, np.ndarray]:
    """Return what tells a kernel the axes, an image (B, C, *S) and the dtype, while it is compiled."""
    return (0,) * dim, (0,) * (2 + dim), np.empty(0, dtype)


@cache
def gather_function(dim: int, dtype: str) -> CFunction:
    """Return the gather of one number of axes and dtype, compiled if need be."""
    axes, image, real = templates(dim, dtype)

    def gather_all(data):
        words = tasks.words_of(data)
        call, _ = take_gather(words, tasks.arguments_of(words), axes, image)
        for first, last in tasks.taken(data, words):
            gather_units(first, last, *call, real)

    return CFunction(c_function(gather_all))


@cache
def differentiate_function(dim: int, dtype: str) -> CFunction:
    """Return the gradients of one number of axes and dtype, compiled if need be."""
    axes, image, real = templates(dim, dtype)

    def differentiate_all(data):
        words = tasks.words_of(data)
        call, _ = take_gradients(words, tasks.arguments_of(words), axes, image)
        for first, last in tasks.taken(data, words):
            differentiate_tasks(first, last, *call, real)

    return CFunction(c_function(differentiate_all))
