"""Layers of dcls made into ours and back: the same kernel, where dcls counts its positions in ways of its own."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from warptheory.core.errors import ArgumentError
from warptheory.operators._entry import Counterpart

_VERSIONS = ("v0", "v1", "max", "gauss")
# The axis along which each row of P moves in dcls' version "v0"; in others it is the last one first.
_V0_AXES = {1: (0,), 2: (0, 1), 3: (0, 2, 1)}


def counterpart(kind: Any) -> Counterpart:
    """Return what our class of learnable spacings along d axes stands for."""
    return Counterpart(f"DCLS.construct.modules.Dcls{kind.dim}d", kind, lambda layer: _to_ours(layer, kind), _to_dcls)


def _to_ours(layer: Any, kind: Callable[..., Any]) -> nn.Module:
    size = tuple(layer.dilated_kernel_size)
    made = kind(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_count,
        layer.stride,
        layer.padding,
        size,
        layer.groups,
        layer.bias is not None,
        layer.padding_mode,
        layer.version,
    ).to(layer.weight)
    positions = torch.stack([layer.P.detach()[row] + shift for row, shift in _rows(layer.version, size)])
    outside = int((positions != _inside(positions, size)).any(0).sum())
    if outside:
        expected = "positions inside of the kernel: what dcls makes of others is empty or cut off"
        raise ArgumentError("model", expected=expected, received=f"{outside} outside")
    made.load_state_dict({**layer.state_dict(), "P": positions})
    found: nn.Module = made
    return found


def _to_dcls(layer: Any, original: Callable[..., nn.Module]) -> nn.Module:
    if layer.version not in _VERSIONS or max(layer.dilation) > 1:
        expected = f"a version of {', '.join(_VERSIONS)}, and no dilation, as dcls has"
        raise ArgumentError("model", expected=expected, received=f"{layer.version!r}, dilation {layer.dilation}")
    size = layer.dilated_kernel_size
    made = original(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_count,
        layer.stride,
        layer.padding,
        size,
        layer.groups,
        layer.bias is not None,
        layer.padding_mode,
        layer.version,
    ).to(layer.weight)
    positions = torch.empty_like(layer.P)
    for inside, (row, shift) in zip(_inside(layer.P.detach(), size), _rows(layer.version, size), strict=True):
        positions[row] = inside - shift
    made.load_state_dict({**layer.state_dict(), "P": positions})
    return made


def _inside(positions: Tensor, size: tuple[int, ...]) -> Tensor:
    """Return our positions (d, *S) within the kernel."""
    rows = [row.clamp(-(n // 2), n - 1 - n // 2) for row, n in zip(positions, reversed(size), strict=True)]
    return torch.stack(rows)


def _rows(version: str, size: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return for each of our rows of P dcls' row, and what is added to its positions to count from our centre.

    dcls counts from the centre of the axis whose number the row has, whichever axis it moves along.
    """
    dim = len(size)
    axes = _V0_AXES[dim] if version == "v0" else tuple(reversed(range(dim)))
    theirs = [axes.index(dim - 1 - row) for row in range(dim)]
    return [(row, size[row] // 2 - size[dim - 1 - ours] // 2) for ours, row in enumerate(theirs)]
