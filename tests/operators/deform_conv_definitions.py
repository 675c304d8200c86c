"""Deformable convolution written down twice without this library: by seven loops, and by `grid_sample` per tap."""

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def bilinear(image, y, x):
    """Return an image (H, W) at a place: four corners, zeros outside."""
    height, width = image.shape
    top, left = math.floor(y), math.floor(x)
    total = 0.0
    for row, column in itertools.product((top, top + 1), (left, left + 1)):
        if 0 <= row < height and 0 <= column < width:
            total += (1 - abs(y - row)) * (1 - abs(x - column)) * image[row, column]
    return total


def seven_loops(x, offset, weight, bias, stride, padding, dilation, mask):
    """Return the outcome of torchvision's deform_conv2d for NumPy arrays: channel order and groups are its."""
    batch, channels, height, width = x.shape
    outputs, per_group, kernel_h, kernel_w = weight.shape
    rows = (height + 2 * padding[0] - dilation[0] * (kernel_h - 1) - 1) // stride[0] + 1
    columns = (width + 2 * padding[1] - dilation[1] * (kernel_w - 1) - 1) // stride[1] + 1
    groups = channels // per_group
    offset_groups = offset.shape[1] // (2 * kernel_h * kernel_w)
    found = np.zeros((batch, outputs, rows, columns))
    for b in range(batch):
        for o in range(outputs):
            for i in range(rows):
                for j in range(columns):
                    for c in range(per_group):
                        for k in range(kernel_h):
                            for m in range(kernel_w):
                                channel = o // (outputs // groups) * per_group + c
                                group = channel // (channels // offset_groups)
                                tap = group * kernel_h * kernel_w + k * kernel_w + m
                                y = i * stride[0] - padding[0] + k * dilation[0] + offset[b, 2 * tap, i, j]
                                z = j * stride[1] - padding[1] + m * dilation[1] + offset[b, 2 * tap + 1, i, j]
                                factor = 1.0 if mask is None else mask[b, tap, i, j]
                                found[b, o, i, j] += weight[o, c, k, m] * factor * bilinear(x[b, channel], y, z)
                    found[b, o, i, j] += bias[o]
    return found


def tap_by_tap(
    input: Tensor,  # noqa: A002
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    mask: Tensor | None = None,
) -> Tensor:
    """Return the outcome (B, D, *T) for d = 1, 2 or 3 axes, reading each tap of each offset group by `grid_sample`."""
    dim, size, kernel = input.ndim - 2, input.shape[2:], weight.shape[2:]
    stride, padding, dilation = (
        (each,) * dim if isinstance(each, int) else each for each in (stride, padding, dilation)
    )
    taps, grid = math.prod(kernel), offset.shape[2:]
    offsets = offset.reshape(len(offset), -1, taps, dim, *grid)
    masks = None if mask is None else mask.reshape(len(mask), -1, taps, *grid)
    images, groups = torch.chunk(input, offsets.shape[1], 1), input.shape[1] // weight.shape[1]
    filters = torch.unflatten(weight.flatten(2), 0, (groups, -1))
    total: Any = 0
    for tap, place in enumerate(np.ndindex(*kernel)):
        samples = []
        for group, image in enumerate(images):
            places = []
            for axis in range(dim):
                steps = stride[axis] * torch.arange(grid[axis], dtype=input.dtype)
                steps = steps - padding[axis] + dilation[axis] * place[axis]
                reached = steps.reshape(-1, *[1] * (dim - 1 - axis)) + offsets[:, group, tap, axis]
                places.append((2 * reached + 1) / size[axis] - 1)
            if dim == 1:  # a line is an image of one row
                image, places = image.unsqueeze(2), [torch.zeros_like(places[0]).unsqueeze(1), places[0].unsqueeze(1)]
            read = functional.grid_sample(
                image, torch.stack(places[::-1], -1), "bilinear", "zeros", align_corners=False
            )
            read = read.squeeze(2) if dim == 1 else read
            samples.append(read if masks is None else read * masks[:, group, None, tap])
        joined = torch.unflatten(torch.cat(samples, 1), 1, (groups, -1))
        total = total + torch.einsum("goi,bgi...->bgo...", filters[..., tap], joined).flatten(1, 2)
    return total if bias is None else total + bias.reshape(-1, *[1] * dim)


@dataclass
class Call:
    """A call in 1, 2 or 3 dimensions, drawn by a seed: tensors by name, and geometry."""

    dim: int
    tensors: dict[str, Tensor]
    geometry: dict[str, tuple[int, ...]]
    groups: int

    @classmethod
    def drawn(cls, seed: int) -> "Call":
        rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
        dim = seed % 3 + 1

        def numbers(least, most):
            return tuple(map(int, rng.integers(least, most + 1, dim)))

        kernel, stride, padding, dilation = numbers(1, 3), numbers(1, 2), numbers(0, 2), numbers(1, 2)
        groups, offset_groups = int(rng.integers(1, 3)), int(rng.integers(1, 4))
        channels, outputs = groups * offset_groups, groups * int(rng.integers(1, 3))
        reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
        size = [max(1, n - 2 * p) + int(rng.integers(0, 3)) for n, p in zip(reach, padding, strict=True)]
        axes = zip(size, padding, reach, stride, strict=True)
        grid = [(n + 2 * p - extent) // s + 1 for n, p, extent, s in axes]
        taps, batch = offset_groups * math.prod(kernel), int(rng.integers(1, 3))
        shapes = {
            "input": (batch, channels, *size),
            "offset": (batch, dim * taps, *grid),
            "weight": (outputs, channels // groups, *kernel),
            "bias": (outputs,),
            "mask": (batch, taps, *grid),
        }
        tensors = {name: torch.randn(shape, generator=generator, dtype=torch.float64) for name, shape in shapes.items()}
        for name in ("bias", "mask"):
            if rng.random() < 0.3:
                tensors.pop(name)
        return cls(dim, tensors, {"stride": stride, "padding": padding, "dilation": dilation}, groups)


def with_gradients(function, tensors):
    """Return a function's outcome and its gradients in all tensors, by name."""
    leaves = {name: each.clone().requires_grad_() for name, each in tensors.items()}
    y = function(**leaves)
    g = torch.randn(y.shape, generator=torch.Generator().manual_seed(0), dtype=y.dtype)
    return {"outcome": y.detach(), **dict(zip(leaves, torch.autograd.grad(y, list(leaves.values()), g), strict=True))}
