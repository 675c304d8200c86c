"""Head and warp of a self-warp in one compiled pass over the images, forward and backward.

One after the other, each would read all images from memory; together, the warp finds in the cache what its head has
just read. They are the loops of `_thin_kernels` and of `warping`, called for a few images at a time, and give the same
to the last bit.
"""

from functools import cache
from typing import Any

import torch
from jaxtyping import Float
from numba import carray
from torch import Tensor

from warptheory.operators import _thin_cpu as thin
from warptheory.operators import _thin_kernels as thin_kernels
from warptheory.warping import _cpu
from warptheory.warping._cpu import _entries, _threads
from warptheory.warping._cpu._compile import c_function
from warptheory.warping._cpu._kernels import WHOLE_IMAGES, differentiate_tasks, gather_units
from warptheory.warping._cpu._memory import as_pointer
from warptheory.warping._cpu._threads import Entry
from warptheory.warping._layout import is_dense, spans_pixels

_DIM = 2


def fits(x: Float[Tensor, "B C H W"], weight: Float[Tensor, "D C K K"]) -> bool:
    """Return whether images (B, C, H, W) lie dense, are not cut into bands, and are enough for all threads."""
    plan = thin.plan_of(x, weight)
    is_whole = plan.shape.rows == plan.shape.height and plan.shape.batch >= _cpu.MANY_IMAGES
    return is_dense(x) and is_whole and plan.units >= _threads.worth(plan.seconds)


def forward(
    x: Float[Tensor, "B C H W"], weight: Float[Tensor, "D C K K"], bias: Float[Tensor, " D"], boundary: str
) -> tuple[Float[Tensor, "B C H W"], Float[Tensor, "B G 2 H W"]]:
    """Return the warped images (B, C, H, W), and the offsets (B, G, 2, H, W) that the head's filters give."""
    plan, bias = thin.plan_of(x, weight), bias.contiguous()
    y = torch.empty_like(x)
    # In planes: the warp reads the offsets axis by axis.
    offsets = x.new_empty((x.shape[0], weight.shape[0] // _DIM, _DIM, *x.shape[2:]))
    _, words = _cpu.gather_call(y, x, offsets, boundary)
    entry = _forward_entry(weight.shape[2], weight.shape[0], thin.DTYPES[x.dtype])
    arguments = (*thin.convolution_words(plan, offsets.flatten(1, 2), x, weight, bias), *words)
    _entries.run(entry, plan.units, plan.seconds + _cpu.seconds_to_gather(y), arguments)
    return y, offsets


def backward(
    g: Float[Tensor, "B C H W"],
    x: Float[Tensor, "B C H W"],
    weight: Float[Tensor, "D C K K"],
    offsets: Float[Tensor, "B G 2 H W"],
    boundary: str,
    needs: tuple[bool, bool, bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Return the gradients that are needed of images (B, C, H, W), weights and bias, given that of the result."""
    plan = thin.plan_of(x, weight)
    g = g if spans_pixels(g) else g.contiguous()
    dx = torch.empty_like(x) if needs[0] else None
    doffsets = torch.empty_like(offsets)
    sums = thin.Sums.of(plan, weight, needs[1:])
    _, words = _cpu.gradients_call(g, x, offsets, dx, doffsets, boundary, central_knots=False)
    # The warp's gradient of the image is there when the head's is added.
    through_head = thin.gradients_words(plan, doffsets.flatten(1, 2), x, weight, dx, dx, sums)
    entry = _backward_entry(weight.shape[2], weight.shape[0], thin.DTYPES[x.dtype])
    seconds = 2 * plan.seconds + _cpu.seconds_to_differentiate(g)
    _entries.run(entry, plan.units, seconds, (*through_head, WHOLE_IMAGES, 0, *words))
    return dx, *sums.totals(weight)


@cache
def _forward_entry(size: int, outputs: int, dtype: str) -> Entry:
    """Return the forward pass of filters of one size and number, compiled if need be; a task is a unit of the head."""
    taps, channels_out, real = thin_kernels.templates(size, outputs, dtype)
    axes, strides, _ = _entries.templates(_DIM, dtype)

    def warp_all(data: Any) -> None:
        words = _entries.words_of(data)
        convolution, at = thin_kernels.take_convolution(words, _entries.arguments_of(words))
        gather, _ = _entries.take_gather(words, at, axes, strides)
        shape, target, source, weights, bias_at = convolution
        problem = gather[0]
        scratch = thin_kernels.convolution_scratch(shape, weights, taps, channels_out, real)
        bias = carray(as_pointer(bias_at), (len(channels_out),), real.dtype)
        pixels = shape.height * shape.width
        units = problem.counts[1] * ((pixels + problem.unit - 1) // problem.unit)  # of an image
        number = _entries.thread_number(data, words)
        first, last = _entries.next_tasks(data, words, number)
        while first < last:
            for task in range(first, last):
                thin_kernels.convolve_unit(task, shape, target, source, bias, scratch, taps, channels_out, real)
                image, end = task * shape.images, min((task + 1) * shape.images, shape.batch)
                gather_units(image * units, end * units, *gather, real)
            first, last = _entries.next_tasks(data, words, number)

    return Entry(c_function(warp_all))


@cache
def _backward_entry(size: int, outputs: int, dtype: str) -> Entry:
    """Return the backward pass of filters of one size and number, compiled if need be; tasks as in the forward pass."""
    taps, channels_out, real = thin_kernels.templates(size, outputs, dtype)
    axes, strides, _ = _entries.templates(_DIM, dtype)

    def differentiate_all(data: Any) -> None:
        words = _entries.words_of(data)
        through_head, at = thin_kernels.take_gradients(words, _entries.arguments_of(words))
        through_warp, _ = _entries.take_gradients(words, at, axes, strides)
        shape, gradients = through_head
        groups = through_warp[2].counts[1]
        scratch = thin_kernels.gradients_scratch(shape, gradients, taps, channels_out, real)
        number = _entries.thread_number(data, words)
        first, last = _entries.next_tasks(data, words, number)
        while first < last:
            for task in range(first, last):
                image, end = task * shape.images, min((task + 1) * shape.images, shape.batch)
                differentiate_tasks(image * groups, end * groups, *through_warp, real)
                thin_kernels.differentiate_unit(task, shape, gradients, scratch, taps, channels_out, real)
            first, last = _entries.next_tasks(data, words, number)

    return Entry(c_function(differentiate_all))
