"""Heads: plain convolutions of the geometry of a layer, which compute its offsets and masks."""

from typing import Any

from torch import nn

from warptheory.operators._convolution import Geometry

_CONVOLUTIONS: tuple[Any, ...] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def head(channels: int, outputs: int, geometry: Geometry) -> nn.Module:
    """Return a convolution of that many channels to that many outputs, with bias."""
    shape = (geometry.kernel_size, geometry.stride, geometry.padding, geometry.dilation)
    made: nn.Module = _CONVOLUTIONS[len(geometry.stride) - 1](channels, outputs, *shape)
    return made


def zero(layer: nn.Module) -> None:
    """Set all parameters of a layer to zero."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


def draw(layer: nn.Module, deviation: float) -> None:
    """Draw all parameters of a layer from a normal law."""
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=deviation)
