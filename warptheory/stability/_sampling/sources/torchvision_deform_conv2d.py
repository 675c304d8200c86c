"""`torchvision.ops.deform_conv2d`, by the operator that every caller of it reaches."""

import sys
from typing import Any

import torch
from torch import Tensor

from warptheory.stability._sampling._call import FunctionSource, SamplingCall
from warptheory.stability._sampling._convolution import deformable_convolution


def sources() -> list[FunctionSource]:
    """Return the operator, if torchvision is loaded and has it."""
    if "torchvision" not in sys.modules or not hasattr(torch.ops.torchvision, "deform_conv2d"):
        return []
    operator = torch.ops.torchvision.deform_conv2d
    return [FunctionSource(each, _read) for each in (operator, operator.default)]


def _read(
    output: Tensor, x: Tensor, weight: Tensor, offset: Tensor, mask: Tensor, bias: Tensor, *numbers: Any
) -> SamplingCall:
    stride, padding, dilation = numbers[0:2], numbers[2:4], numbers[4:6]
    _, groups, use_mask = numbers[6:]
    tensors, geometry = (x, output, offset, weight), (stride, padding, dilation)
    return deformable_convolution("deform_conv2d", tensors, mask if use_mask else None, geometry, groups)
