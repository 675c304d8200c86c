"""mmcv's deformable convolutions, plain and modulated: autograd functions around compiled code."""

import sys
from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.nn.modules.utils import _pair

from warptheory.stability._sampling._call import AutogradSource, SamplingCall
from warptheory.stability._sampling._convolution import deformable_convolution


def sources() -> list[AutogradSource]:
    """Return the classes of those modules of mmcv that are loaded."""
    known: dict[tuple[str, str], Callable[..., SamplingCall]] = {
        ("mmcv.ops.deform_conv", "DeformConv2dFunction"): _read,
        ("mmcv.ops.modulated_deform_conv", "ModulatedDeformConv2dFunction"): _read_modulated,
    }
    found = [(getattr(sys.modules.get(module), name, None), read) for (module, name), read in known.items()]
    return [AutogradSource(function, read) for function, read in found if function is not None]


def _read(
    output: Tensor,
    x: Tensor,
    offset: Tensor,
    weight: Tensor,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    deform_groups: int = 1,
    *_: Any,
    operator: str = "deform_conv2d",
    mask: Tensor | None = None,
) -> SamplingCall:
    geometry = (_pair(stride), _pair(padding), _pair(dilation))
    # The output has no place in the graph before the function returns: no gradient could be read from it.
    tensors = (x, output.detach(), offset, weight)
    return deformable_convolution(f"mmcv {operator}", tensors, mask, geometry, deform_groups)


def _read_modulated(
    output: Tensor, x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor | None = None, *numbers: Any
) -> SamplingCall:
    return _read(output, x, offset, weight, *numbers, operator="modulated_deform_conv2d", mask=mask)
