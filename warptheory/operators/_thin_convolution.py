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

from warptheory.warping._eager import is_plain, is_traced, is_watched

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
        if self.bias is None or not _is_fast(input, self.weight, self.bias):
            return super().forward(input)
        if not is_watched(input, self.weight, self.bias):
            alone: Tensor = _loops().convolve(input, self.weight, self.bias)
            return alone
        found: tuple[Tensor, Tensor] = _ThinConvolution.apply(input, self.weight, self.bias)
        return found[1]

    def beside(self, x: Float[Tensor, "B C H W"]) -> tuple[Float[Tensor, "B C H W"], Float[Tensor, "B D H W"]]:
        """Return the images (B, C, H, W) for another use, and the convolved images (B, channels_out, H, W).

        The same as (x, self(x)); the gradient from the other use is added where the convolution's own is worked out,
        which saves a pass through memory.
        """
        if self.bias is None or _is_hooked(self) or not is_watched(x) or not _is_fast(x, self.weight, self.bias):
            return x, self(x)
        found: tuple[Tensor, Tensor] = _ThinConvolution.apply(x, self.weight, self.bias)
        return found


def _is_hooked(module: nn.Module) -> bool:
    """Return whether somebody wants to see the calls of a module."""
    own = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
    return any(own) or bool(torch.nn.modules.module._has_any_global_hook())


def _is_fast(x: Tensor, weight: Tensor, bias: Tensor) -> bool:
    return _is_thin(x, weight) and _is_eager(x, weight, bias)


def _is_thin(x: Tensor, weight: Tensor) -> bool:
    """Return whether the loops can take a convolution, and are the faster ones."""
    is_known = x.is_cpu and weight.is_cpu and x.dtype == weight.dtype == torch.float32
    if not is_known or x.ndim != 4 or x.shape[1] != weight.shape[1] or len(weight) > _MOST_OUTPUTS:
        return False
    return x.numel() * weight[:, 0].numel() >= _FEW_PRODUCTS


def _is_eager(*tensors: Tensor) -> bool:
    """Return whether nobody records or transforms the call, or takes its derivative forward."""
    is_seen = is_traced() or torch._C._are_functorch_transforms_active() or torch._C._len_torch_function_stack() > 0
    is_forward = torch.autograd.forward_ad._current_level >= 0
    return not (is_seen or is_forward or torch.is_autocast_enabled("cpu")) and is_plain(*tensors)


@cache
def _loops() -> ModuleType:
    """Import the compiled loops, which numba makes slow to import."""
    return import_module("warptheory.operators._thin_cpu")


class _ThinConvolution(torch.autograd.Function):
    """(x, weight, bias) ↦ (x, convolved images)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, weight)
        return x, _loops().convolve(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, summand: Tensor | None, g: Tensor | None) -> tuple[Tensor | None, ...]:
        if g is None:
            return summand, None, None
        x, weight = ctx.saved_tensors
        tensors = [each for each in (g, x, weight, summand) if each is not None]
        if _is_eager(*tensors) and not is_watched(*tensors):
            fast: tuple[Tensor | None, ...] = _loops().gradients(g, x, weight, ctx.needs_input_grad, summand)
            return fast
        padding = [weight.shape[2] // 2] * 2
        dx, *rest = torch.ops.aten.convolution_backward(
            g, x, weight, [len(weight)], [1, 1], padding, [1, 1], False, [0, 0], 1, list(ctx.needs_input_grad)
        )
        return dx if summand is None or dx is None else dx + summand, *rest
