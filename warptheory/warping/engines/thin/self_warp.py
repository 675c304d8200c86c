"""Head and warp of a self-warp in one compiled pass over the images, forward and backward.

One after the other, each would read all images from memory; together, the warp finds in the cache what its head has
just read. They are the loops of `convolution` and of the linear kernel, called for a few images at a time, and give the
same to the last bit.
"""

from functools import cache
from typing import Any

import torch
from jaxtyping import Float
from numba import carray
from torch import Tensor

from warptheory.warping.engines.cpu import functions, linear
from warptheory.warping.engines.cpu.differentiating import WHOLE_IMAGES, differentiate_tasks
from warptheory.warping.engines.cpu.gathering import gather_units
from warptheory.warping.engines.layout import is_dense, spans_pixels
from warptheory.warping.engines.machine import tasks, threads
from warptheory.warping.engines.machine.compilation import c_function
from warptheory.warping.engines.machine.memory import as_pointer
from warptheory.warping.engines.machine.threads import CFunction
from warptheory.warping.engines.thin import convolution, loops

_DIM = 2


def fits(x: Float[Tensor, "B C H W"], weight: Float[Tensor, "D C K K"]) -> bool:
    """Return whether images (B, C, H, W) lie dense, are not cut into bands, and are enough for all threads."""
    plan = convolution.plan_of(x, weight)
    is_whole = plan.shape.rows == plan.shape.height and plan.shape.batch >= linear.MANY_IMAGES
    return is_dense(x) and is_whole and plan.units >= threads.worth(plan.seconds)


def forward(
    x: Float[Tensor, "B C H W"], weight: Float[Tensor, "D C K K"], bias: Float[Tensor, " D"], boundary: str
) -> tuple[Float[Tensor, "B C H W"], Float[Tensor, "B G 2 H W"]]:
    """Return the warped images (B, C, H, W), and the offsets (B, G, 2, H, W) that the head's filters give."""
    plan, bias = convolution.plan_of(x, weight), bias.contiguous()
    y = torch.empty_like(x)
    # In planes: the warp reads the offsets axis by axis.
    offsets = x.new_empty((x.shape[0], weight.shape[0] // _DIM, _DIM, *x.shape[2:]))
    _, words = linear.gather_launch(y, x, offsets, boundary)
    function = _forward_function(weight.shape[2], weight.shape[0], tasks.DTYPES[x.dtype])
    arguments = (*convolution.convolution_words(plan, offsets.flatten(1, 2), x, weight, bias), *words)
    tasks.run(function, plan.units, plan.seconds + linear.seconds_to_gather(y), arguments)
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
    plan = convolution.plan_of(x, weight)
    g = g if spans_pixels(g) else g.contiguous()
    dx = torch.empty_like(x) if needs[0] else None
    doffsets = torch.empty_like(offsets)
    sums = convolution.Sums.of(plan, weight, needs[1:])
    _, words = linear.gradients_launch(g, x, offsets, dx, doffsets, boundary, central_knots=False)
    # The warp's gradient of the image is there when the head's is added.
    through_head = convolution.gradients_words(plan, doffsets.flatten(1, 2), x, weight, dx, dx, sums)
    function = _backward_function(weight.shape[2], weight.shape[0], tasks.DTYPES[x.dtype])
    seconds = 2 * plan.seconds + linear.seconds_to_differentiate(g)
    tasks.run(function, plan.units, seconds, (*through_head, WHOLE_IMAGES, 0, *words))
    return dx, *sums.totals(weight)


@cache
def _forward_function(size: int, outputs: int, dtype: str) -> CFunction:
    """Return the forward pass of filters of one size and number, compiled if need be; a task is a unit of the head."""
    taps, channels_out, real = loops.templates(size, outputs, dtype)
    axes, strides, _ = functions.templates(_DIM, dtype)

    def warp_all(data: Any) -> None:
        words = tasks.words_of(data)
        through_head, at = loops.take_convolution(words, tasks.arguments_of(words))
        gather, _ = functions.take_gather(words, at, axes, strides)
        shape, target, source, weights, bias_at = through_head
        problem = gather[0]
        scratch = loops.convolution_scratch(shape, weights, taps, channels_out, real)
        bias = carray(as_pointer(bias_at), (len(channels_out),), real.dtype)
        pixels = shape.height * shape.width
        units = problem.counts[1] * ((pixels + problem.unit - 1) // problem.unit)  # of an image
        for first, last in tasks.taken(data, words):
            for task in range(first, last):
                loops.convolve_unit(task, shape, target, source, bias, scratch, taps, channels_out, real)
                image, end = task * shape.images, min((task + 1) * shape.images, shape.batch)
                gather_units(image * units, end * units, *gather, real)

    return CFunction(c_function(warp_all))


@cache
def _backward_function(size: int, outputs: int, dtype: str) -> CFunction:
    """Return the backward pass of filters of one size and number, compiled if need be; tasks as in the forward pass."""
    taps, channels_out, real = loops.templates(size, outputs, dtype)
    axes, strides, _ = functions.templates(_DIM, dtype)

    def differentiate_all(data: Any) -> None:
        words = tasks.words_of(data)
        through_head, at = loops.take_gradients(words, tasks.arguments_of(words))
        through_warp, _ = functions.take_gradients(words, at, axes, strides)
        shape, gradients = through_head
        groups = through_warp[2].counts[1]
        scratch = loops.gradients_scratch(shape, gradients, taps, channels_out, real)
        for first, last in tasks.taken(data, words):
            for task in range(first, last):
                image, end = task * shape.images, min((task + 1) * shape.images, shape.batch)
                differentiate_tasks(image * groups, end * groups, *through_warp, real)
                loops.differentiate_unit(task, shape, gradients, scratch, taps, channels_out, real)

    return CFunction(c_function(differentiate_all))
