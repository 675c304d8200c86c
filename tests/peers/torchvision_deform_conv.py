"""What torchvision's deformable convolution computes, recorded: python -m tests.peers.torchvision_deform_conv.

It needs torch, torchvision and NumPy, and is run in an environment made for it; `torchvision_deform_conv.json` keeps
what it found. Inputs are drawn by a seed. Of each outcome and gradient the record has projections on random directions,
on which two different tensors do not agree.
"""

import importlib.metadata
import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

RECORD = Path(__file__).with_suffix(".json")
SEEDS = range(80)
DIRECTIONS = 3
_OFFSETS = ("random", "random", "zero", "whole")


@dataclass(frozen=True)
class Call:
    """A call of the layer, and its inputs in double precision, by name."""

    kernel_size: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    tensors: dict[str, Tensor]

    @property
    def geometry(self) -> dict[str, Any]:
        """Arguments beside tensors, without the groups, which are read off the shapes."""
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation}


def drawn(seed: int) -> Call:
    """Return the call of a seed: every other one has random offsets, the rest zero or whole ones."""
    rng = np.random.default_rng([20, seed])

    def pair(least: int, most: int) -> tuple[int, int]:
        first, second = map(int, rng.integers(least, most + 1, 2))
        return first, second

    kernel, stride, padding, dilation = pair(1, 3), pair(1, 2), pair(0, 2), pair(1, 2)
    groups, offset_groups = int(rng.integers(1, 3)), int(rng.integers(1, 4))
    channels, outputs = groups * offset_groups, groups * int(rng.integers(1, 3))
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    size = [max(1, n - 2 * p) + int(rng.integers(0, 4)) for n, p in zip(reach, padding, strict=True)]
    axes = zip(size, padding, reach, stride, strict=True)
    grid = [(n + 2 * p - extent) // s + 1 for n, p, extent, s in axes]
    taps, batch = offset_groups * math.prod(kernel), int(rng.integers(1, 3))
    shapes = {
        "input": (batch, channels, *size),
        "offset": (batch, 2 * taps, *grid),
        "mask": (batch, taps, *grid),
        "weight": (outputs, channels // groups, *kernel),
        "bias": (outputs,),
    }
    tensors = {name: torch.from_numpy(rng.standard_normal(shape)) for name, shape in shapes.items()}
    kind = _OFFSETS[seed % len(_OFFSETS)]
    if kind == "zero":
        tensors["offset"].zero_()
    if kind == "whole":
        tensors["offset"] = (2 * tensors["offset"]).round()
    if rng.random() < 0.3:
        tensors.pop("mask")
    if rng.random() < 0.3:
        tensors.pop("bias")
    return Call(kernel, stride, padding, dilation, groups, tensors)


def projections(call: Call, function: Callable[..., Tensor], seed: int) -> dict[str, list[float]]:
    """Return those of a function's outcome and of its gradients in all tensors, by name."""
    leaves = {name: each.clone().requires_grad_() for name, each in call.tensors.items()}
    y = function(**leaves)
    rng = np.random.default_rng([21, seed])
    g = torch.from_numpy(rng.standard_normal(tuple(y.shape)))
    gradients = torch.autograd.grad(y, list(leaves.values()), g)
    found = {"outcome": y.detach(), **dict(zip(leaves, gradients, strict=True))}
    return {
        name: [
            float((each * torch.from_numpy(rng.standard_normal(tuple(each.shape)))).sum()) for _ in range(DIRECTIONS)
        ]
        for name, each in found.items()
    }


def tangent_call() -> tuple[Call, Tensor]:
    """Return the call whose derivative along a tangent of its offsets is looked at, and the tangent."""
    call = drawn(0)
    return call, torch.from_numpy(np.random.default_rng(22).standard_normal(tuple(call.tensors["offset"].shape)))


def of_offset(call: Call, function: Callable[..., Tensor]) -> Callable[[Tensor], Tensor]:
    """Return a function of the offsets alone: the sum of the squares of the outcome."""
    rest = {name: each for name, each in call.tensors.items() if name != "offset"}
    return lambda offset: function(offset=offset, **rest).square().sum()


def _message(function: Callable[[], object]) -> str:
    """Return what a call raises; nothing where it raises nothing."""
    try:
        function()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _defects(functional: Callable[..., Tensor]) -> dict[str, Any]:
    call, tangent = tangent_call()
    loss = of_offset(call, lambda **tensors: functional(**tensors, **call.geometry))
    offset, step = call.tensors["offset"], 1e-6

    def second() -> None:
        leaf = offset.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(leaf), leaf, create_graph=True)
        torch.autograd.grad(gradient.sum(), leaf)

    return {
        "double_backward": _message(second),
        "forward_mode": float(torch.func.jvp(loss, (offset,), (tangent,))[1]),
        "finite_difference": float(loss(offset + step * tangent) - loss(offset - step * tangent)) / (2 * step),
    }


def main() -> None:
    """Write the record."""
    from torchvision.ops import DeformConv2d, deform_conv2d

    calls = []
    for seed in SEEDS:
        call = drawn(seed)
        weight, x = call.tensors["weight"], call.tensors["input"]
        layer = DeformConv2d(x.shape[1], len(weight), call.kernel_size, groups=call.groups, **call.geometry).double()

        def theirs(input: Tensor, offset: Tensor, weight: Tensor, mask: Any = None, bias: Any = None, layer=layer):  # noqa: A002
            layer._parameters.update(weight=weight, bias=bias)
            return layer(input, offset, mask)

        calls.append({"seed": seed, "projections": projections(call, theirs, seed)})
    versions = {name: importlib.metadata.version(name) for name in ("torch", "torchvision", "numpy")}
    found = {"versions": {"python": sys.version.split()[0], **versions}, **_defects(deform_conv2d), "calls": calls}
    lines = ",\n".join(json.dumps(each) for each in found.pop("calls"))
    head = json.dumps(found, indent=1)[:-2]
    RECORD.write_text(f'{head},\n "calls": [\n{lines}\n]}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
