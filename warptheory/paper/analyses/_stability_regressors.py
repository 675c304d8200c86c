"""Networks of the stability study that make images or signals, in plain torch; names as in `_stability_classifiers`."""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from warptheory.paper.analyses._stability_parts import (
    head,
    norm_conv,
    positions,
    ring,
    sample,
    warp,
    warp_taps,
)

WIDTH = 6


class _Rectifier(nn.Module):
    """Features that are warped by flows from a coarser level, stage after stage, and decoded."""

    def __init__(self, channels: int, outputs: int, depth: int, alpha: float, *, zero: bool) -> None:
        super().__init__()
        self.alpha, self.stem = alpha, norm_conv(channels, WIDTH)
        self.coarse = nn.ModuleList(norm_conv(WIDTH, WIDTH, 3, 2) for _ in range(depth))
        self.offset = nn.ModuleList(head(nn.Conv2d(WIDTH, 2, 3, padding=1), zero=zero) for _ in range(depth))
        self.mix = nn.ModuleList(nn.Conv2d(2 * WIDTH, WIDTH, 3, padding=1) for _ in range(depth))
        self.out = nn.Conv2d(WIDTH, outputs, 1)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K H W"]:
        x = self.stem(x)
        for coarse, offset, mix in zip(self.coarse, self.offset, self.mix, strict=True):
            below = coarse(x)
            flow = self.alpha * functional.interpolate(offset(below), scale_factor=2, mode="bilinear")
            above = functional.interpolate(below, scale_factor=2, mode="bilinear")
            read = warp(x, flow)
            x = read + functional.relu(mix(torch.cat((read, above), dim=1)))
        return torch.as_tensor(self.out(x))


class _Registration(nn.Module):
    """A pair of images to a displacement: every parameter reaches the loss through sampling positions alone."""

    def __init__(self, channels: int, depth: int, alpha: float, *, zero: bool) -> None:
        super().__init__()
        self.alpha, width = alpha, WIDTH
        self.localiser = nn.ModuleList(
            nn.ModuleList((norm_conv(2 * channels, width), norm_conv(width, width, 3, 2), norm_conv(2 * width, width)))
            for _ in range(depth)
        )
        self.offset = nn.ModuleList(head(nn.Conv2d(width, 2, 3, padding=1), zero=zero) for _ in range(depth))

    def forward(self, moving: Float[Tensor, "B C H W"], fixed: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D H W"]:
        """Return the moved image and the displacement in pixels, rows first, shape (B, C + 2, H, W)."""
        field = torch.zeros_like(positions(moving)).expand(len(moving), -1, -1, -1)
        moved = moving
        for stage, offset in zip(self.localiser, self.offset, strict=True):
            assert isinstance(stage, nn.ModuleList)
            fine, coarse, join = stage
            above = fine(torch.cat((moved, fixed), dim=1))
            below = functional.interpolate(coarse(above), scale_factor=2, mode="bilinear")
            step = self.alpha * offset(join(torch.cat((above, below), dim=1)))
            field = step + warp(field, step)
            moved = warp(moving, field)
        return torch.cat((moved, field), dim=1)


class _SpacedLayer(nn.Module):
    """A filter of nine taps whose positions are learnt, and the same at every pixel."""

    taps: Tensor

    def __init__(self, inputs: int, outputs: int, alpha: float, *, zero: bool) -> None:
        super().__init__()
        self.alpha = alpha
        self.offset = nn.Parameter(torch.zeros(9, 2) if zero else torch.randn(9, 2))
        self.mix = nn.Conv2d(9 * inputs, outputs, 1)
        self.register_buffer("taps", ring())

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K H W"]:
        places = (self.alpha * self.offset + self.taps).view(1, 9, 2, 1, 1)
        return torch.as_tensor(self.mix(warp_taps(x, places.expand(len(x), -1, -1, *x.shape[-2:]))))


class _Spaced(nn.Module):
    """Layers with learnt positions, BatchNorm and ReLU between them."""

    def __init__(self, channels: int, outputs: int, depth: int, alpha: float, *, zero: bool, dense: bool) -> None:
        super().__init__()
        self.dense = dense
        sides = [channels, *[WIDTH] * (depth - 1), outputs]
        layers: list[nn.Module] = [_SpacedLayer(sides[0], sides[1], alpha, zero=zero)]
        for inside, outside in pairwise(sides[1:]):
            layers += [nn.BatchNorm2d(inside), nn.ReLU(), _SpacedLayer(inside, outside, alpha, zero=zero)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K H W"] | Float[Tensor, "B K"]:
        found = torch.as_tensor(self.layers(x))
        return found if self.dense else found.mean((2, 3))


class _UpsamplingStage(nn.Module):
    """Convolution, and features of twice the size, read where a head says."""

    def __init__(self, alpha: float, *, zero: bool) -> None:
        super().__init__()
        self.mix = norm_conv(WIDTH, WIDTH)
        self.alpha, self.offset = alpha, head(nn.Conv2d(WIDTH, 8, 1), zero=zero)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C h w"]:
        x = self.mix(x)
        offsets = functional.pixel_shuffle(self.alpha * self.offset(x), 2)
        return sample(x, (positions(offsets) + 0.5) / 2 - 0.5 + offsets)


class _Upsampler(nn.Module):
    """Stages that sample features of twice the size dynamically, and a last convolution."""

    def __init__(self, channels: int, outputs: int, depth: int, alpha: float, *, zero: bool) -> None:
        super().__init__()
        self.stem = norm_conv(channels, WIDTH)
        self.stages = nn.Sequential(*(_UpsamplingStage(alpha, zero=zero) for _ in range(depth)))
        self.out = nn.Conv2d(WIDTH, outputs, 3, padding=1)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K h w"]:
        return torch.as_tensor(self.out(self.stages(self.stem(x))))


def rectifier(channels: int, outputs: int, depth: int, alpha: float, *, zero: bool, dense: bool) -> nn.Module:
    """Build an encoder and decoder whose features are aligned by flows."""
    return _Rectifier(channels, outputs, depth, alpha, zero=zero)


def registration(channels: int, outputs: int, depth: int, alpha: float, *, zero: bool, dense: bool) -> nn.Module:
    """Build a network that registers pairs of images of so many channels."""
    return _Registration(channels, depth, alpha, zero=zero)


def spaced(channels: int, outputs: int, depth: int, alpha: float, *, zero: bool, dense: bool) -> nn.Module:
    """Build layers with taps at learnt positions."""
    return _Spaced(channels, outputs, depth, alpha, zero=zero, dense=dense)


def upsampler(channels: int, outputs: int, depth: int, alpha: float, *, zero: bool, dense: bool) -> nn.Module:
    """Build a network that doubles the size by dynamic sampling, `depth` times."""
    return _Upsampler(channels, outputs, depth, alpha, zero=zero)
