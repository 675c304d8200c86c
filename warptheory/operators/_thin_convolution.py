"""A convolution with fewer output channels than a vector register holds, such as the head of a self-warp.

The CPU's convolution loops pad output channels to a register, so that 2 cost as much as 16. Compiled loops, whose
registers run over the input channels, take plain eager calls; every other call is torch's own convolution, and so are
derivatives that are to be differentiated again.
"""

from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.overrides import handle_torch_function, has_torch_function_variadic

from warptheory.core.torch_internals import is_eager, is_watched

_MOST_OUTPUTS = 8  # more of them fill torch's registers well enough
_FEW_PRODUCTS = 100_000  # fewer take no time, and need not be compiled for


class ThinConvolution2d(nn.Conv2d):
    """A convolution that keeps the size of its images, fast on the CPU for few output channels.

    Args:
        channels_in: number of input channels.
        channels_out: number of output channels.
        kernel_size: odd size of the filters.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel_size: int) -> None:
        super().__init__(channels_in, channels_out, kernel_size, padding=kernel_size // 2)

    def forward(self, input: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D H W"]:  # noqa: A002 (torch's name)
        """Return the convolved images, shape (B, channels_out, H, W)."""
        if self.bias is None or not self.is_fast(input):
            return super().forward(input)
        return convolve(input, self.weight, self.bias)

    def is_fast(self, x: Float[Tensor, "B C H W"]) -> bool:
        """Return whether the compiled loops take images (B, C, H, W)."""
        if self.bias is None:
            return False
        return _is_thin(x, self.weight) and is_eager(x, self.weight, self.bias)


def convolve(
    x: Float[Tensor, "B C H W"], weight: Float[Tensor, "D C K K"], bias: Float[Tensor, " D"]
) -> Float[Tensor, "B D H W"]:
    """Convolve images (B, C, H, W) to (B, D, H, W) by the compiled loops."""
    # Function modes see the call, as they see those of torch.nn.functional; one that only listens changes nothing.
    if has_torch_function_variadic(x, weight, bias):
        seen: Tensor = handle_torch_function(convolve, (x, weight, bias), x, weight, bias)
        return seen
    call = _ThinConvolution.apply if is_watched(x, weight, bias) else _loops().convolve
    found: Tensor = call(x, weight, bias)
    return found


def _is_thin(x: Tensor, weight: Tensor) -> bool:
    """Return whether the loops can take a convolution, and are the faster ones."""
    is_known = x.is_cpu and weight.is_cpu and x.dtype == weight.dtype == torch.float32
    if not is_known or x.ndim != 4 or x.shape[1] != weight.shape[1] or weight.shape[0] > _MOST_OUTPUTS:
        return False
    return x.numel() * weight[:, 0].numel() >= _FEW_PRODUCTS


@cache
def _loops() -> ModuleType:
    """Import the compiled loops, which numba makes slow to import."""
    return import_module("warptheory.warping.engines.thin.convolution")


class _ThinConvolution(torch.autograd.Function):
    """(x, weight, bias) ↦ the convolved images."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        found: Tensor = _loops().convolve(x, weight, bias)
        return found

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        if is_eager(g, x, weight) and not is_watched(g, x, weight):
            fast: tuple[Tensor | None, ...] = _loops().gradients(g, x, weight, ctx.needs_input_grad)
            return fast
        padding = [weight.shape[2] // 2] * 2
        slow: tuple[Tensor | None, ...] = torch.ops.aten.convolution_backward(
            g, x, weight, [weight.shape[0]], [1, 1], padding, [1, 1], False, [0, 0], 1, list(ctx.needs_input_grad)
        )
        return slow
