"""Images continued beyond their edges, with a gradient that is faster than that of torch's padding."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from warptheory.core.torch_internals import is_eager, is_watched
from warptheory.warping import boundaries

_MODES = {"mirror": "reflect", "border": "replicate", "zeros": "constant", "periodic": "circular"}


def continued(x: Float[Tensor, "B C *S"], before: int, after: int, boundary: str) -> Float[Tensor, "B C *T"]:
    """Continue each axis of images (B, C, *S) by numbers of pixels and a boundary rule: (B, C, *T)."""
    if before == after == 0:
        return x
    if boundary != "zeros" and is_eager(x) and is_watched(x):
        watched: Tensor = cast("Any", _Continued).apply(x, before, after, boundary)
        return watched
    return _padded(x, before, after, boundary)


class _Continued(torch.autograd.Function):
    """The backward pass of a numerical call adds what lies outside to the pixels it was read from, line by line."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, before: int, after: int, boundary: str) -> Tensor:
        ctx.size, ctx.rule = x.shape, (before, after, boundary)
        return _padded(x, before, after, boundary)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None, None]:
        if is_eager(g) and not is_watched(g):
            return _folded(g, ctx.size[2:], 2, ctx.rule), None, None, None
        with torch.enable_grad():
            x = g.new_zeros(ctx.size).requires_grad_()
            (found,) = torch.autograd.grad(_padded(x, *ctx.rule), x, g, create_graph=torch.is_grad_enabled())
        return found, None, None, None


def _padded(x: Tensor, before: int, after: int, boundary: str) -> Tensor:
    # torch pads no further than once over the image.
    if boundary in ("zeros", "border") or max(before, after) < min(x.shape[2:]):
        return functional.pad(x, [before, after] * (x.ndim - 2), _MODES[boundary])
    for axis, size in enumerate(x.shape[2:], start=2):
        pixels, _ = boundaries.get(boundary)(torch.arange(-before, size + after, device=x.device), size)
        x = x.index_select(axis, pixels)
    return x


def _folded(g: Tensor, size: Sequence[int], first: int, rule: tuple[int, int, str]) -> Tensor:
    """Return the adjoint of `_padded` along axes from the first on, whose sizes were these: a tensor of its own."""
    if not size:
        return g.clone(memory_format=torch.contiguous_format)
    (n, *others), (before, after, boundary) = size, rule
    found = _folded(g.narrow(first, before, n), others, first + 1, rule)
    pixels, _ = boundaries.get(boundary)(torch.arange(-before, n + after), n)
    for line, pixel in enumerate(pixels.tolist()):
        if not before <= line < before + n:
            found.select(first, pixel).add_(_folded(g.select(first, line), others, first, rule))
    return found
