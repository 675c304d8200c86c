"""Deformable convolutions where the compiled ones of torchvision and mmcv are missing, and ours.

They compute what their sources define, by an independent way: taps gathered by `grid_sample`, offsets
[dy₀, dx₀, dy₁, dx₁, …] for each offset group, zeros outside, a mask on each tap; then a sum over taps and channels.
"""

import sys
import types
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn import functional
from torch.nn.modules.utils import _pair

from warptheory import operators

SCHEMA = (
    "deform_conv2d(Tensor input, Tensor weight, Tensor offset, Tensor mask, Tensor bias, SymInt stride_h, "
    "SymInt stride_w, SymInt pad_h, SymInt pad_w, SymInt dilation_h, SymInt dilation_w, SymInt groups, "
    "SymInt offset_groups, bool use_mask) -> Tensor"
)


def deformable(x, offset, mask, weight, stride, padding, dilation, offset_groups):
    """Compute a deformable convolution (weight groups: one) of x (B, C, H, W)."""
    height, width = x.shape[2:]
    rows, columns = weight.shape[2:]
    outcome = 0
    for number in range(rows * columns):
        row, column = divmod(number, columns)
        taps = []
        for group, part in enumerate(x.chunk(offset_groups, 1)):
            channel = 2 * (group * rows * columns + number)
            dy, dx = offset[:, channel], offset[:, channel + 1]
            y = torch.arange(dy.shape[1])[:, None] * stride[0] - padding[0] + row * dilation[0] + dy
            z = torch.arange(dx.shape[2]) * stride[1] - padding[1] + column * dilation[1] + dx
            grid = torch.stack([(2 * z + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)
            tap = functional.grid_sample(part, grid, align_corners=False)
            taps.append(tap if mask is None else tap * mask[:, group * rows * columns + number, None])
        outcome = outcome + torch.einsum("oc,bchw->bohw", weight[:, :, row, column], torch.cat(taps, 1))
    return outcome


@contextmanager
def torchvision():
    """Load a module of that name, and register its operator, as the compiled library does."""
    library = torch.library.Library("torchvision", "DEF")
    library.define(SCHEMA)

    def operator(x, weight, offset, mask, bias, sh, sw, ph, pw, dh, dw, groups, offset_groups, use_mask):
        found = deformable(x, offset, mask if use_mask else None, weight, (sh, sw), (ph, pw), (dh, dw), offset_groups)
        return found + bias[:, None, None]

    library.impl("deform_conv2d", operator, "CompositeImplicitAutograd")
    sys.modules["torchvision"] = types.ModuleType("torchvision")
    try:
        yield
    finally:
        del sys.modules["torchvision"]
        library._destroy()


class DeformConv2dFunction(torch.autograd.Function):
    """The class around mmcv's compiled operator, with its signature."""

    @staticmethod
    def forward(
        ctx, x, offset, weight, stride=1, padding=0, dilation=1, groups=1, deform_groups=1, bias=False, im2col=32
    ):
        ctx.arguments = (_pair(stride), _pair(padding), _pair(dilation), deform_groups)
        ctx.save_for_backward(x, offset, weight)
        return deformable(x, offset, None, weight, *ctx.arguments)

    @staticmethod
    def backward(ctx, gradient):
        leaves = [each.detach().requires_grad_() for each in ctx.saved_tensors]
        with torch.enable_grad():
            outcome = deformable(leaves[0], leaves[1], None, leaves[2], *ctx.arguments)
        return *torch.autograd.grad(outcome, leaves, gradient), *[None] * 7


class ModulatedDeformConv2dFunction(torch.autograd.Function):
    """As `DeformConv2dFunction`, with a mask and a bias."""

    @staticmethod
    def forward(ctx, x, offset, mask, weight, bias=None, stride=1, padding=0, dilation=1, groups=1, deform_groups=1):
        ctx.arguments = (_pair(stride), _pair(padding), _pair(dilation), deform_groups)
        ctx.save_for_backward(x, offset, mask, weight)
        return deformable(x, offset, mask, weight, *ctx.arguments)

    @staticmethod
    def backward(ctx, gradient):
        leaves = [each.detach().requires_grad_() for each in ctx.saved_tensors]
        with torch.enable_grad():
            outcome = deformable(*leaves, *ctx.arguments)
        return *torch.autograd.grad(outcome, leaves, gradient), *[None] * 6


@contextmanager
def warptheory():
    """Load nothing: this library is there."""
    yield


@contextmanager
def mmcv():
    """Load the two modules of mmcv that hold these classes."""
    modules = {
        "mmcv.ops.deform_conv": DeformConv2dFunction,
        "mmcv.ops.modulated_deform_conv": ModulatedDeformConv2dFunction,
    }
    for name, function in modules.items():
        sys.modules[name] = types.ModuleType(name)
        setattr(sys.modules[name], function.__name__, function)
    try:
        yield
    finally:
        for name in modules:
            del sys.modules[name]


class DeformableLayer(nn.Module):
    """A convolution predicts offsets (and masks) of a deformable one, computed by a library's operator."""

    def __init__(self, library, channels=2, filters=3, stride=2, groups=1, masked=False):
        super().__init__()
        self.library, self.stride, self.groups, self.masked = library, stride, groups, masked
        self.weight = nn.Parameter(torch.randn(filters, channels, 3, 3))
        self.conv_offset = nn.Conv2d(channels, (3 if masked else 2) * 9 * groups, 3, stride, padding=1)

    def forward(self, x):
        """Return the convolution of x (B, C, H, W)."""
        predicted = self.conv_offset(x)
        offset, mask = predicted[:, : 18 * self.groups], None
        if self.masked:
            mask = predicted[:, 18 * self.groups :].sigmoid()
        numbers = (self.stride, 1, 1)
        if self.library == "mmcv":
            if self.masked:
                apply = ModulatedDeformConv2dFunction.apply
                return apply(x, offset, mask, self.weight, None, *numbers, 1, self.groups)
            return DeformConv2dFunction.apply(x, offset, self.weight, *numbers, 1, self.groups)
        if self.library == "warptheory":
            return operators.deform_conv2d(x, offset, self.weight, None, *numbers, mask)
        bias = torch.zeros(len(self.weight), dtype=x.dtype)
        pairs = [number for number in numbers for _ in range(2)]
        unused = x.new_zeros(len(x), 0)
        return torch.ops.torchvision.deform_conv2d(
            x, self.weight, offset, unused if mask is None else mask, bias, *pairs, 1, self.groups, self.masked
        )
