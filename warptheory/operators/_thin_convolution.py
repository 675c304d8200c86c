"""A convolution with fewer output channels than a vector register holds, such as the head of a self-warp.

The CPU's convolution loops pad output channels to a register, so that 2 cost as much as 16. Here successive rows of
the output are the channels of one convolution with a taller filter and a vertical stride, and the gradient of the
weights is that of the convolution in which input and output have changed places: its few channels are inputs.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.grad import conv2d_weight

# Values of the widest register, in float32; output channels that at least half fill it gain nothing.
_REGISTER = 16


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
        if self.bias is None or not _is_thin(input, self.weight):
            return super().forward(input)
        found: Tensor = _ThinConvolution.apply(input, self.weight, self.bias)
        return found


def _is_thin(x: Tensor, weight: Tensor) -> bool:
    """Return whether the rearranged convolution is the faster one."""
    is_plain = x.is_cpu and x.dtype == weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    return is_plain and weight.shape[2] > 1 and len(weight) <= _REGISTER // 2 and not torch.compiler.is_compiling()


def _rows_together(height: int, channels_out: int) -> int:
    """Return how many output rows fill a register: a divisor of the height."""
    return next(rows for rows in range(_REGISTER // channels_out, 0, -1) if height % rows == 0)


def _convolve(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve by filters that hold the weights once for every row of a block, each a row further down."""
    channels_out, _, size, _ = weight.shape
    rows = _rows_together(x.shape[2], channels_out)
    stacked = torch.cat([functional.pad(weight, (0, 0, row, rows - 1 - row)) for row in range(rows)])
    repeated = None if bias is None else bias.repeat(rows)
    blocks = functional.conv2d(x, stacked, repeated, stride=(rows, 1), padding=size // 2)
    # (B, row · D, H/rows, W), to be (B, D, H, W) in the layout of x.
    apart = blocks.unflatten(1, (rows, channels_out))
    if x.is_contiguous():
        return apart.permute(0, 2, 3, 1, 4).reshape(x.shape[0], channels_out, *x.shape[2:]).contiguous()
    pixels = apart.permute(0, 3, 1, 4, 2).reshape(x.shape[0], *x.shape[2:], channels_out)
    return pixels.contiguous().permute(0, 3, 1, 2)


class _ThinConvolution(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return _convolve(x, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:2])
        ctx.save_for_forward(*inputs[:2])

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        swapped, padding = weight.flip(2, 3).transpose(0, 1), weight.shape[2] // 2
        dx = functional.conv2d(g, swapped, padding=padding) if needs_x else None
        found = conv2d_weight(g, swapped.shape, x, padding=padding) if needs_weight else None
        dweight = None if found is None else found.transpose(0, 1).flip(2, 3)
        return dx, dweight, g.sum((0, 2, 3)) if needs_bias else None

    @staticmethod
    def jvp(ctx: Any, dx: Tensor | None, dweight: Tensor | None, dbias: Tensor | None) -> Tensor:
        x, weight = ctx.saved_tensors
        terms = [_convolve(a, b, None) for a, b in ((dx, weight), (x, dweight)) if a is not None and b is not None]
        if dbias is not None:
            terms.append(dbias[:, None, None].expand(x.shape[0], -1, *x.shape[2:]))
        return sum(terms[1:], terms[0])
