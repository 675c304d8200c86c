"""Small networks of the kinds that rules of practice are about: deformable taps, and a spatial transformer."""

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from warptheory import warping

_SIDE = 3  # taps of a layer along each axis
_LAYERS = ((1, 1), (2, 2), (4, 2))  # channels over the width, stride


class TapLayer(nn.Module):
    """Nine warps and a mixing of their channels; each tap has an offset of its own, predicted or static and shared.

    Args:
        inputs: channels that it reads.
        outputs: channels that it returns.
        stride: of its outputs.
        predicted: whether a head of 3 × 3 taps computes the offsets; else they are parameters.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, *, predicted: bool) -> None:
        super().__init__()
        taps = _SIDE**2
        self.mix = nn.Conv2d(taps * inputs, outputs, 1, bias=False)
        self.norm, self.stride = nn.BatchNorm2d(outputs), stride
        self.head = nn.Conv2d(inputs, 2 * taps, 3, 1, 1) if predicted else None
        if self.head is not None:
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(cast("Tensor", self.head.bias))
        self.static = None if predicted else nn.Parameter(torch.zeros(2 * taps))
        places = torch.arange(_SIDE) - _SIDE // 2
        self.places = torch.cartesian_prod(places, places)

    def offsets(self) -> Sequence[nn.Parameter]:
        """Return the parameters that act through positions alone."""
        return [self.static] if self.static is not None else list(cast("nn.Conv2d", self.head).parameters())

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D I J"]:
        """Return what it makes of features, shape (B, D, I, J)."""
        moved = x.new_zeros(len(x), 2 * len(self.places), *x.shape[2:])
        moved = moved + (
            self.static.reshape(1, -1, 1, 1) if self.static is not None else cast("nn.Module", self.head)(x)
        )
        pieces = [
            warping.warp(x, offset + place.to(x).reshape(1, 2, 1, 1), "linear", "border")
            for place, offset in zip(self.places, moved.reshape(len(x), -1, 2, *x.shape[2:]).unbind(1), strict=True)
        ]
        y = torch.cat(pieces, 1)[:, :, :: self.stride, :: self.stride]
        return torch.relu(self.norm(self.mix(y)))


class TapNetwork(nn.Module):
    """A stem, three layers of taps, and a linear readout.

    Args:
        width: channels of the first layer.
        classes: number of outputs.
        predicted: whether heads compute the offsets.
    """

    def __init__(self, width: int, classes: int, *, predicted: bool) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        channels, layers = width, []
        for factor, stride in _LAYERS:
            layers.append(TapLayer(channels, factor * width, stride, predicted=predicted))
            channels = factor * width
        self.layers, self.readout = nn.ModuleList(layers), nn.Linear(channels, classes)

    def offsets(self) -> list[nn.Parameter]:
        """Return the parameters that act through positions alone."""
        return [parameter for layer in self.layers for parameter in cast("TapLayer", layer).offsets()]

    def forward(self, x: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B K"]:
        """Return outputs, shape (B, K)."""
        y = self.stem(x)
        for layer in self.layers:
            y = layer(y)
        return cast("Tensor", self.readout(y.mean((2, 3))))


class TransformerNetwork(nn.Module):
    """A spatial transformer, its localiser and affine head, in front of three convolutions.

    Args:
        width: channels of the first convolution.
        classes: number of outputs.
        size: pixels of an image along a side, a multiple of four.
    """

    def __init__(self, width: int, classes: int, size: int) -> None:
        super().__init__()
        self.localiser = nn.Sequential(
            nn.Conv2d(1, width, 5, 2, 2), nn.ReLU(), nn.Conv2d(width, 2 * width, 5, 2, 2), nn.ReLU(), nn.Flatten(),
            nn.Linear(2 * width * (size // 4) ** 2, 32), nn.ReLU(), nn.Linear(32, 6),
        )  # fmt: skip
        head = cast("nn.Linear", self.localiser[-1])
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        channels = 1
        layers: list[nn.Module] = []
        for factor, stride in _LAYERS:
            layers += [nn.Conv2d(channels, factor * width, 3, stride, 1, bias=False)]
            channels = factor * width
            layers += [nn.BatchNorm2d(channels), nn.ReLU()]
        self.body, self.readout = nn.Sequential(*layers), nn.Linear(channels, classes)

    def offsets(self) -> list[nn.Parameter]:
        """Return the parameters that act through positions alone."""
        return list(self.localiser.parameters())

    def forward(self, x: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B K"]:
        """Return outputs, shape (B, K)."""
        transform = self.localiser(x).reshape(-1, 2, 3) + torch.eye(2, 3).to(x)
        grid = functional.affine_grid(transform, list(x.shape), align_corners=True)
        y = self.body(functional.grid_sample(x, grid, align_corners=True))
        return cast("Tensor", self.readout(y.mean((2, 3))))
