"""A self-warp as one node of the graph: head and warp together, on the CPU, where nobody asks for the offsets.

Plain eager calls with the linear kernel take it; what it returns is, to the last bit, what the head and the warp return
one after the other, and derivatives that are to be differentiated again are theirs.
"""

from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from warptheory import warping
from warptheory.core.torch_internals import has_listeners, is_eager, is_traced, is_watched
from warptheory.operators._offset_transform import OffsetTransform
from warptheory.operators._thin_convolution import ThinConvolution2d, convolve

_KERNEL, _BACKEND, _DIM = "linear", "cpu", 2


def fused_self_warp(
    x: Float[Tensor, "B C *S"], head: nn.Module, field: OffsetTransform, kernel: str, boundary: str
) -> Float[Tensor, "B C *S"] | None:
    """Return images (B, C, H, W) read at what their head returns as offsets; None where one pass cannot do it all."""
    if is_traced():  # what follows asks things that torch's compiler cannot read
        return None
    # Their subclasses, such as parametrized heads, may do anything else.
    if type(head) is not ThinConvolution2d or type(field) is not OffsetTransform:
        return None
    if head.bias is None or not _is_fusible(x, head, field, kernel, boundary):
        return None
    weight, bias = head.weight, head.bias
    if is_watched(x, weight, bias):
        watched: Tensor = cast("Any", _FusedSelfWarp).apply(x, weight, bias, boundary)
        return watched
    alone: Tensor = _loops().forward(x, weight, bias, boundary)[0]
    return alone


def _is_fusible(x: Tensor, head: ThinConvolution2d, field: OffsetTransform, kernel: str, boundary: str) -> bool:
    # Function modes and hooks should hear of the offsets; and who takes saved tensors away, as checkpoints do, may call
    # again while nobody listens, and expects the same ones.
    if has_listeners(head, field):
        return False
    if not field.is_plain or kernel != _KERNEL or not head.is_fast(x):
        return False
    outputs, channels, *size = head.weight.shape
    if outputs % _DIM or channels % max(outputs // _DIM, 1) or size[0] != size[1] or size[0] % 2 == 0:
        return False
    # The offsets will be of the dtype of x.
    backend = warping.backend(x, kernel=_KERNEL, boundary=boundary)
    return backend.name == _BACKEND and bool(_loops().fits(x, head.weight))


@cache
def _loops() -> ModuleType:
    """Import the compiled loops, which numba makes slow to import."""
    return import_module("warptheory.warping.engines.thin.self_warp")


class _FusedSelfWarp(torch.autograd.Function):
    """(x, weight, bias) ↦ x read at x's convolution."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, boundary: str) -> Tensor:
        y, offsets = _loops().forward(x, weight, bias, boundary)
        ctx.save_for_backward(x, weight, bias, offsets)
        ctx.boundary = boundary
        return cast("Tensor", y)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, offsets = ctx.saved_tensors
        needs = ctx.needs_input_grad[:3]
        if is_eager(g, x, weight, bias) and not is_watched(g, x, weight, bias):
            return *_loops().backward(g, x, weight, offsets, ctx.boundary, needs), None
        return *_gradients(g, (x, weight, bias), ctx.boundary, needs), None


def _gradients(
    g: Tensor, inputs: tuple[Tensor, Tensor, Tensor], boundary: str, needs: tuple[bool, bool, bool]
) -> list[Tensor | None]:
    """Return the gradients that are needed by differentiating both parts; they can be differentiated again if asked."""
    is_asked = torch.is_grad_enabled()
    with torch.enable_grad(), torch.autocast("cpu", enabled=False):
        # Views, so that the gradients end here and do not run on into what the inputs were made of.
        views = [each.view_as(each) if need else each for each, need in zip(inputs, needs, strict=True)]
        x, weight, bias = views
        if is_eager(x, weight, bias):  # by the same loops: rounding must not move a position across a pixel
            found = convolve(x, weight, bias)
        else:
            found = functional.conv2d(x, weight, bias, padding=weight.shape[2] // 2)
        y = warping.warp(x, torch.unflatten(found, 1, (-1, _DIM)), _KERNEL, boundary)
        wanted = [each for each, need in zip(views, needs, strict=True) if need]
        gradients = iter(torch.autograd.grad(y, wanted, g, create_graph=is_asked))
    return [next(gradients) if need else None for need in needs]
