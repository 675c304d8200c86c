"""A convolution with few output channels on torch's memory, by compiled loops; see `loops`."""

from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from warptheory.warping.engines.layout import empty_image
from warptheory.warping.engines.machine import tasks
from warptheory.warping.engines.thin import loops
from warptheory.warping.engines.thin.loops import Shape
from warptheory.warping.engines.thin.registers import BLOCK, REGISTER_BYTES

_UNIT_PIXELS = 1024  # images of fewer pixels share a unit
_SCRATCH_BYTES = 2**19  # of a unit's image: what it copies should stay in the second-level cache
_SECONDS_A_PRODUCT = 0.05e-9  # on one thread


def convolve(x: Float[Tensor, "B C H W"], weight: Float[Tensor, "D C K K"], bias: Float[Tensor, " D"]) -> Tensor:
    """Convolve images (B, C, H, W) to (B, D, H, W), zeros around them; the result has the layout of x."""
    plan = plan_of(x, weight)
    y = _empty_result(x, weight.shape[0])
    bias = bias.contiguous()
    function = loops.convolve_function(weight.shape[2], weight.shape[0], tasks.DTYPES[x.dtype])
    tasks.run(function, plan.units, plan.seconds, convolution_words(plan, y, x, weight, bias))
    return y


def convolution_words(plan: "ConvolutionPlan", y: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> tuple[int, ...]:
    """Return the arguments of a convolution (B, C, H, W) → (B, D, H, W), with a contiguous bias."""
    return (*plan.shape, *_words(y), *_words(x), *_words(weight), bias.data_ptr())


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
    plan = plan_of(x, weight)
    dx = empty_image(x, x.shape[2:]) if needs[0] else None
    sums = Sums.of(plan, weight, needs[1:])
    function = loops.differentiate_function(weight.shape[2], weight.shape[0], tasks.DTYPES[x.dtype])
    words = gradients_words(plan, g, x, weight, summand, dx, sums)
    tasks.run(function, plan.units, plan.seconds * sum(needs[:2]), words)
    return dx, *sums.totals(weight)


def gradients_words(
    plan: "ConvolutionPlan",
    g: Tensor,
    x: Tensor,
    weight: Tensor,
    summand: Tensor | None,
    dx: Tensor | None,
    sums: "Sums",
) -> tuple[int, ...]:
    """Return the arguments of a backward pass of (B, C, H, W) → (B, D, H, W); `summand` may be dx itself."""
    tensors = [word for tensor in (g, x, weight, summand, dx) for word in _words(tensor)]
    return (*plan.shape, *tensors, *sums.addresses())


@dataclass(frozen=True)
class Sums:
    """The sums of each unit for the gradients of weights and bias; None where one is not needed."""

    weight: Float[ndarray, "units blocks K K D lanes"] | None
    bias: Float[ndarray, "units D"] | None

    @classmethod
    def of(cls, plan: "ConvolutionPlan", weight: Float[Tensor, "D C K K"], needs: tuple[bool, bool]) -> "Sums":
        """Make room for what is needed of the gradients of weights (D, C, K, K) and bias."""
        outputs, channels, size, _ = weight.shape
        lanes, dtype = REGISTER_BYTES // weight.element_size(), tasks.DTYPES[weight.dtype]
        by_unit = (plan.units, -(-channels // lanes), size, size, outputs, lanes)
        return cls(
            np.empty(by_unit, dtype) if needs[0] else None,
            np.empty((plan.units, outputs), dtype) if needs[1] else None,
        )

    def addresses(self) -> tuple[int, int]:
        """Return where they lie, 0 for what is not needed."""
        weight, bias = (0 if sums is None else sums.ctypes.data for sums in (self.weight, self.bias))
        return weight, bias

    def totals(self, weight: Float[Tensor, "D C K K"]) -> tuple[Tensor | None, Tensor | None]:
        """Return the gradients of the weights (D, C, K, K) and of the bias (D,), one unit added after the other."""
        dweight = dbias = None
        if self.weight is not None:
            total = torch.from_numpy(self.weight.sum(0))  # NumPy adds the units one after the other
            blocks, size, _, outputs, lanes = total.shape
            by_lane = total.permute(3, 0, 4, 1, 2).reshape(outputs, blocks * lanes, size, size)
            dweight = by_lane[:, : weight.shape[1]].contiguous()
        if self.bias is not None:
            dbias = torch.from_numpy(self.bias.sum(0))
        return dweight, dbias


class ConvolutionPlan(NamedTuple):
    """How a convolution is cut, which depends on shapes alone, and about how many seconds it takes on one thread."""

    shape: Shape
    units: int
    seconds: float


def plan_of(x: Float[Tensor, "B C H W"], weight: Float[Tensor, "D C K K"]) -> ConvolutionPlan:
    """Return how the convolution of images (B, C, H, W) with filters (D, C, K, K) is cut."""
    return _plan(x.shape, weight.shape[0], weight.shape[2], x.element_size())


@lru_cache(maxsize=1024)
def _plan(shape: tuple[int, ...], outputs: int, size: int, itemsize: int) -> ConvolutionPlan:
    batch, channels, height, width = shape
    lanes = REGISTER_BYTES // itemsize
    line = (width + BLOCK + size) * -(-channels // lanes) * lanes * itemsize
    rows = min(height, max(_SCRATCH_BYTES // line - size, size))
    images = max(1, _UNIT_PIXELS // (height * width)) if rows == height else 1
    units = -(-batch // images) * -(-height // rows)
    return ConvolutionPlan(
        Shape(batch, channels, height, width, images, rows), units, _SECONDS_A_PRODUCT * prod(shape) * outputs * size**2
    )


def _words(values: Tensor | None) -> tuple[int, ...]:
    return (0,) * 5 if values is None else (values.data_ptr(), *values.stride())


def _empty_result(x: Tensor, channels: int) -> Tensor:
    """Return uninitialised images of so many channels in the layout of x: channels-last, else planes."""
    is_packed = x.stride(1) == 1 and not x.is_contiguous()
    layout = torch.channels_last if is_packed else torch.contiguous_format
    return torch.empty((x.shape[0], channels, *x.shape[2:]), dtype=x.dtype, memory_format=layout)
