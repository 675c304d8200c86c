"""A convolution with few output channels on torch's memory, by compiled loops; see `_thin_kernels`."""

from functools import lru_cache
from math import prod
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory.operators import _thin_kernels as kernels
from warptheory.operators._thin_kernels import Shape
from warptheory.warping._cpu import _entries, _threads
from warptheory.warping._layout import empty_image

_DTYPES = {torch.float32: "float32", torch.float64: "float64"}
_UNIT_PIXELS = 1024  # images of fewer pixels share a unit
_SCRATCH_BYTES = 2**19  # of a unit's image: what it copies should stay in the second-level cache
_SERIAL_PRODUCTS = 200_000  # fewer products than this are not worth waking threads for


def convolve(x: Float[Tensor, "B C H W"], weight: Float[Tensor, "D C K K"], bias: Float[Tensor, " D"]) -> Tensor:
    """Convolve images (B, C, H, W) to (B, D, H, W), zeros around them; the result has the layout of x."""
    outputs, _, size, _ = weight.shape
    plan = _plan(x.shape, outputs, size, x.element_size())
    y = _empty_result(x, outputs)
    bias = bias.contiguous()
    words = (*plan.shape, *_words(y), *_words(x), *_words(weight), bias.data_ptr())
    _entries.run(kernels.convolve_entry(size, outputs, _DTYPES[x.dtype]), plan.units, plan.threads(), words)
    return y


def gradients(
    g: Float[Tensor, "B D H W"],
    x: Float[Tensor, "B C H W"],
    weight: Float[Tensor, "D C K K"],
    needs: tuple[bool, bool, bool],
    summand: Float[Tensor, "B C H W"] | None = None,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Return the gradients that are needed of image, weights and bias, given that of the result (B, D, H, W).

    `summand` (B, C, H, W) is added to the gradient of the image.
    """
    outputs, channels, size, _ = weight.shape
    plan = _plan(x.shape, outputs, size, x.element_size())
    lanes = kernels.REGISTER_BYTES // x.element_size()
    blocks = -(-channels // lanes)
    dtype = _DTYPES[x.dtype]
    dx = empty_image(x, x.shape[2:]) if needs[0] else None
    weight_sums = np.empty((plan.units, blocks, size, size, outputs, lanes) if needs[1] else 0, dtype)
    bias_sums = np.empty((plan.units, outputs) if needs[2] else 0, dtype)
    sums_at = [sums.ctypes.data if need else 0 for sums, need in zip((weight_sums, bias_sums), needs[1:], strict=True)]
    tensors = [word for tensor in (g, x, weight, summand, dx) for word in _words(tensor)]
    entry = kernels.differentiate_entry(size, outputs, dtype)
    _entries.run(entry, plan.units, plan.threads(), (*plan.shape, *tensors, *sums_at))
    dweight = dbias = None
    if needs[1]:
        # NumPy adds the units one after the other.
        by_lane = torch.from_numpy(weight_sums.sum(0)).permute(3, 0, 4, 1, 2)
        dweight = by_lane.reshape(outputs, blocks * lanes, size, size)[:, :channels].contiguous()
    if needs[2]:
        dbias = torch.from_numpy(bias_sums.sum(0))
    return dx, dweight, dbias


class Plan(NamedTuple):
    """How a convolution is cut, which depends on shapes alone, and how many products it has."""

    shape: Shape
    units: int
    products: int

    def threads(self) -> int:
        """Return how many threads it is worth."""
        return 1 if self.products < _SERIAL_PRODUCTS else _threads.available()


@lru_cache(maxsize=1024)
def _plan(shape: tuple[int, ...], outputs: int, size: int, itemsize: int) -> Plan:
    batch, channels, height, width = shape
    lanes = kernels.REGISTER_BYTES // itemsize
    line = (width + kernels.BLOCK + size) * -(-channels // lanes) * lanes * itemsize
    rows = min(height, max(_SCRATCH_BYTES // line - size, size))
    images = max(1, _UNIT_PIXELS // (height * width)) if rows == height else 1
    units = -(-batch // images) * -(-height // rows)
    return Plan(Shape(batch, channels, height, width, images, rows), units, prod(shape) * outputs * size**2)


def _words(values: Tensor | None) -> tuple[int, ...]:
    return (0,) * 5 if values is None else (values.data_ptr(), *values.stride())


def _empty_result(x: Tensor, channels: int) -> Tensor:
    """Return uninitialised images of so many channels in the layout of x: channels-last, else planes."""
    is_packed = x.stride(1) == 1 and not x.is_contiguous()
    layout = torch.channels_last if is_packed else torch.contiguous_format
    return torch.empty((x.shape[0], channels, *x.shape[2:]), dtype=x.dtype, memory_format=layout)
