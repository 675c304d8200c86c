"""The work of a compiled kernel, shared by threads: C functions void f(void *words) over numbered tasks.

`words` are 64-bit integers: how the work is shared, then the arguments of the kernel one after the other.

The tasks are cut into chunks of successive tasks, and these into one queue for each thread. A thread
empties its own queue first and then helps with the others', so threads that are late or slow do not
hold up the rest; and as long as none is, the same thread takes the same part of every call, and finds
it in its own cache.
"""

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numba import carray
from numba.cpython.unsafe.tuple import tuple_setitem

from warptheory.warping.engines.machine import threads
from warptheory.warping.engines.machine.compilation import callee
from warptheory.warping.engines.machine.memory import call_for_number, count_up
from warptheory.warping.engines.machine.threads import CFunction

Words = tuple[int, ...]
DTYPES = {torch.float32: "float32", torch.float64: "float64"}

_CHUNKS = 4  # per thread
_MOST_WORDS = 2**20  # a bound for numba's view of them
# Words of the header: counter of threads come, address of their numbers' function, threads, chunks, tasks;
# the counters of the queues follow.
_COME, _NUMBER, _THREADS, _CHUNK_COUNT, _TASKS, _QUEUES = range(6)


def run(function: CFunction, tasks: int, seconds: float, arguments: Sequence[int]) -> None:
    """Run a kernel over its tasks, which take about so many seconds on one thread."""
    count = min(threads.worth(seconds), tasks)
    chunks = 1 if count == 1 else min(tasks, _CHUNKS * count)
    runtime = threads.pool()
    number = runtime.number if runtime is not None and count > 1 else 0
    words = array("q", (0, number, count, chunks, tasks, *(0,) * count, *arguments))
    function.run(words.buffer_info()[0], count, seconds)


@callee
def words_of(data: Any) -> Any:
    """Return the words behind the pointer that a kernel is called with."""
    return carray(data, (_MOST_WORDS,), np.int64)


@callee
def arguments_of(words: Any) -> Any:
    """Return the place of the first argument among the words."""
    return _QUEUES + words[_THREADS]


@callee
def taken(data: Any, words: Any) -> Any:
    """Yield the tasks that the thread that asks takes, chunk by chunk: the first and one past the last."""
    number = call_for_number(words[_NUMBER]) if words[_NUMBER] else count_up(data, _COME)
    threads, chunks, tasks = words[_THREADS], words[_CHUNK_COUNT], words[_TASKS]
    for beyond in range(threads):
        queue = (number + beyond) % threads
        first, last = queue * chunks // threads, (queue + 1) * chunks // threads
        while words[_QUEUES + queue] < last - first:
            chunk = first + count_up(data, _QUEUES + queue)
            if chunk >= last:
                break
            yield chunk * tasks // chunks, (chunk + 1) * tasks // chunks


@callee
def take_numbers(words: Any, at: Any, template: Any) -> Any:
    """Return as many numbers as the template has, from place `at` on, and the place after them."""
    numbers = template
    for place in range(len(template)):
        numbers = tuple_setitem(numbers, place, words[at + place])
    return numbers, at + len(template)
