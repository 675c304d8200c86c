"""The kernels as C functions void f(void *words), one for each number of axes and dtype.

`words` are 64-bit integers: how the work is shared, then the arguments of the kernel one after the other.

The tasks are cut into chunks of successive tasks, and these into one queue for each thread. A thread
empties its own queue first and then helps with the others', so threads that are late or slow do not
hold up the rest; and as long as none is, the same thread takes the same part of every call, and finds
it in its own cache.
"""

from array import array
from collections.abc import Sequence
from functools import cache

import numpy as np
from numba import carray

from warptheory.warping._cpu import _threads
from warptheory.warping._cpu._compile import c_function, callee
from warptheory.warping._cpu._kernels import (
    Gradients,
    Problem,
    Values,
    differentiate_tasks,
    gather_units,
    take_numbers,
)
from warptheory.warping._cpu._memory import as_pointer, call_for_number, count_up
from warptheory.warping._cpu._threads import Entry

Words = tuple[int, ...]

_REAL: dict[str, np.ndarray] = {"float32": np.empty(0, np.float32), "float64": np.empty(0, np.float64)}
_CHUNKS = 4  # per thread
_MOST_WORDS = 2**20  # a bound for numba's view of them
# Words of the header: counter of threads come, address of their numbers' function, threads, chunks, tasks;
# the counters of the queues follow.
_COME, _NUMBER, _THREADS, _CHUNK_COUNT, _TASKS, _QUEUES = range(6)


def run(entry: Entry, tasks: int, seconds: float, arguments: Sequence[int]) -> None:
    """Run a kernel over its tasks, which take about so many seconds on one thread."""
    threads = min(_threads.worth(seconds), tasks)
    chunks = 1 if threads == 1 else min(tasks, _CHUNKS * threads)
    runtime = _threads.pool()
    number = runtime.number if runtime is not None and threads > 1 else 0
    words = array("q", (0, number, threads, chunks, tasks, *(0,) * threads, *arguments))
    entry.run(words.buffer_info()[0], threads, seconds)


def problem_words(problem: Problem) -> Words:
    """Return a problem as the kernels read it."""
    cut = (problem.unit, problem.stripe, problem.scratch)
    return (*problem.counts, *problem.size, *problem.grid, problem.boundary, *problem.orders, *cut)


@callee
def words_of(data):
    """Return the words behind the pointer that a kernel is called with."""
    return carray(data, (_MOST_WORDS,), np.int64)


@callee
def arguments_of(words):
    """Return the place of the first argument among the words."""
    return _QUEUES + words[_THREADS]


@callee
def thread_number(data, words):
    """Return the number of the thread that asks, once."""
    return call_for_number(words[_NUMBER]) if words[_NUMBER] else count_up(data, _COME)


@callee
def next_tasks(data, words, number):
    """Return the tasks that thread `number` takes next, the first and one past the last; (0, 0) when none is left."""
    threads, chunks, tasks = words[_THREADS], words[_CHUNK_COUNT], words[_TASKS]
    for beyond in range(threads):
        queue = (number + beyond) % threads
        first, last = queue * chunks // threads, (queue + 1) * chunks // threads
        if words[_QUEUES + queue] < last - first:
            chunk = first + count_up(data, _QUEUES + queue)
            if chunk < last:
                return chunk * tasks // chunks, (chunk + 1) * tasks // chunks
    return 0, 0


@callee
def _take_problem(words, at, axes):
    counts, at = take_numbers(words, at, (0, 0, 0))
    size, at = take_numbers(words, at, axes)
    grid, at = take_numbers(words, at, axes)
    boundary, at = words[at], at + 1
    orders, at = take_numbers(words, at, axes)
    return Problem(counts, size, grid, boundary, orders, words[at], words[at + 1], words[at + 2]), at + 3


# Templates of strides: of what lives on the output grid, and of offsets.
_ON_GRID, _OFFSETS = (0, 0, 0), (0, 0, 0, 0)


@callee
def take_gather(words, at, axes, image):
    """Read a problem and its tensors, as `_cpu` writes them; `axes` and `image` are templates."""
    addresses, at = take_numbers(words, at, (0, 0, 0))
    problem, at = _take_problem(words, at, axes)
    target, at = take_numbers(words, at, _ON_GRID)
    source, at = take_numbers(words, at, image)
    offsets, at = take_numbers(words, at, _OFFSETS)
    tensors = Values(addresses[0], target), Values(addresses[1], source), Values(addresses[2], offsets)
    return (problem, *tensors), at


@callee
def take_gradients(words, at, axes, image):
    """Read the mode, the ranges, a problem and its tensors, as `_cpu` writes them; `axes` and `image` are templates."""
    (mode, ranges_at, stripes), at = take_numbers(words, at, (0, 0, 0))
    addresses, at = take_numbers(words, at, (0, 0, 0, 0, 0))
    is_central, at = words[at] != 0, at + 1
    problem, at = _take_problem(words, at, axes)
    gradient, at = take_numbers(words, at, _ON_GRID)
    source, at = take_numbers(words, at, image)
    offsets, at = take_numbers(words, at, _OFFSETS)
    image_gradient, at = take_numbers(words, at, image)
    offset_gradient, at = take_numbers(words, at, _OFFSETS)
    task = Gradients(
        Values(addresses[0], gradient),
        Values(addresses[1], source),
        Values(addresses[2], offsets),
        Values(addresses[3], image_gradient),
        Values(addresses[4], offset_gradient),
        addresses[3] != 0,
        addresses[4] != 0,
        is_central,
    )
    ranges = carray(as_pointer(ranges_at), (problem.counts[0], problem.counts[1], stripes, 2), np.int64)
    return (mode, ranges, problem, task), at


def templates(dim: int, dtype: str) -> tuple[Words, Words, np.ndarray]:
    """Return what tells a kernel the number of axes and the dtype, while it is compiled."""
    return (0,) * dim, (0,) * (2 + dim), _REAL[dtype]


@cache
def gather_entry(dim: int, dtype: str) -> Entry:
    """Return the gather of one number of axes and dtype, compiled if need be."""
    axes, image, real = templates(dim, dtype)

    def gather_all(data):
        words = words_of(data)
        call, _ = take_gather(words, arguments_of(words), axes, image)
        number = thread_number(data, words)
        first, last = next_tasks(data, words, number)
        while first < last:
            gather_units(first, last, *call, real)
            first, last = next_tasks(data, words, number)

    return Entry(c_function(gather_all))


@cache
def differentiate_entry(dim: int, dtype: str) -> Entry:
    """Return the gradients of one number of axes and dtype, compiled if need be."""
    axes, image, real = templates(dim, dtype)

    def differentiate_all(data):
        words = words_of(data)
        call, _ = take_gradients(words, arguments_of(words), axes, image)
        number = thread_number(data, words)
        first, last = next_tasks(data, words, number)
        while first < last:
            differentiate_tasks(first, last, *call, real)
            first, last = next_tasks(data, words, number)

    return Entry(c_function(differentiate_all))
