"""Networks of the stability study that tell classes, or make images of the same size, in plain torch.

What computes offsets is named `offset`, what it is computed from and nothing else reads is named `localiser`. Each
network takes the number of channels that it sees, the number of its outputs, its depth, α in pixels, whether heads
start at zero, and whether it gives outputs at every position.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from warptheory.paper.analyses._stability_parts import (
    head,
    norm_conv,
    norm_conv_signals,
    ring,
    warp,
    warp_signals,
    warp_taps,
)

WIDTH = 6


class _Blocks(nn.Module):
    """A stem, blocks, and a linear layer: of every position, or of means behind a pooling half-way."""

    def __init__(self, stem: nn.Module, blocks: list[nn.Module], outputs: int, *, dense: bool) -> None:
        super().__init__()
        self.stem, self.blocks, self.last, self.dense = stem, nn.ModuleList(blocks), nn.Linear(WIDTH, outputs), dense

    def forward(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B K *S"] | Float[Tensor, "B K"]:
        x = self.stem(x)
        pool = functional.avg_pool1d if x.dim() == 3 else functional.avg_pool2d
        for number, block in enumerate(self.blocks):
            if number == (len(self.blocks) + 1) // 2 and not self.dense:
                x = pool(x, 2)
            x = block(x)
        if self.dense:
            return torch.as_tensor(self.last(x.movedim(1, -1)).movedim(-1, 1))
        return torch.as_tensor(self.last(x.flatten(2).mean(-1)))


class _SelfWarpBlock(nn.Module):
    """A residual block that reads what it is given where its own head says."""

    def __init__(self, alpha: float, *, zero: bool) -> None:
        super().__init__()
        self.alpha, self.offset = alpha, head(nn.Conv2d(WIDTH, 2, 3, padding=1), zero=zero)
        self.mix = nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(WIDTH)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        read = warp(x, self.alpha * self.offset(x))
        return functional.relu(read + self.norm(self.mix(read)))


class _SignalWarpBlock(nn.Module):
    """The same for signals."""

    def __init__(self, alpha: float, *, zero: bool) -> None:
        super().__init__()
        self.alpha, self.offset = alpha, head(nn.Conv1d(WIDTH, 1, 5, padding=2), zero=zero)
        self.mix = nn.Conv1d(WIDTH, WIDTH, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm1d(WIDTH)

    def forward(self, x: Float[Tensor, "B C N"]) -> Float[Tensor, "B C N"]:
        read = warp_signals(x, self.alpha * self.offset(x))
        return functional.relu(read + self.norm(self.mix(read)))


class _DeformableLayer(nn.Module):
    """A 3×3 filter whose taps move: nine warps and a 1×1 convolution; no shortcut."""

    taps: Tensor

    def __init__(self, alpha: float, *, zero: bool) -> None:
        super().__init__()
        self.alpha, self.offset = alpha, head(nn.Conv2d(WIDTH, 18, 3, padding=1), zero=zero)
        self.mix = nn.Conv2d(9 * WIDTH, WIDTH, 1, bias=False)
        self.norm = nn.BatchNorm2d(WIDTH)
        self.register_buffer("taps", ring().view(1, 9, 2, 1, 1))

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        moved = self.alpha * self.offset(x).unflatten(1, (9, 2))
        return functional.relu(self.norm(self.mix(warp_taps(x, moved + self.taps))))


class _ModulatedLayer(nn.Module):
    """A residual modulated deformable convolution: one convolution computes its offsets and its mask."""

    taps: Tensor

    def __init__(self, alpha: float, *, zero: bool) -> None:
        super().__init__()
        self.alpha, self.offset_and_mask = alpha, head(nn.Conv2d(WIDTH, 27, 3, padding=1), zero=zero)
        self.mix = nn.Conv2d(9 * WIDTH, WIDTH, 1, bias=False)
        self.norm = nn.BatchNorm2d(WIDTH)
        self.register_buffer("taps", ring().view(1, 9, 2, 1, 1))

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        offsets, mask = self.offset_and_mask(x).split((18, 9), dim=1)
        batch, _, rows, columns = x.shape
        read = warp_taps(x, self.alpha * offsets.view(batch, 9, 2, rows, columns) + self.taps)
        weighed = read.view(batch, WIDTH, 9, rows, columns) * (2 * mask.sigmoid()).unsqueeze(1)
        return functional.relu(x + self.norm(self.mix(weighed.flatten(1, 2))))


class _AttentionLayer(nn.Module):
    """Attention to four points a head, which start in four directions; then a layer that is pointwise."""

    directions: Tensor

    def __init__(self, alpha: float, *, zero: bool) -> None:
        super().__init__()
        self.alpha, self.offset = alpha, head(nn.Conv2d(WIDTH, 16, 1), zero=zero)
        self.weight, self.value = nn.Conv2d(WIDTH, 8, 1), nn.Conv2d(WIDTH, WIDTH, 1)
        self.out = nn.Conv2d(WIDTH, WIDTH, 1, bias=False)
        self.norm, self.last_norm = nn.BatchNorm2d(WIDTH), nn.BatchNorm2d(WIDTH)
        self.feed = nn.Sequential(nn.Conv2d(WIDTH, 2 * WIDTH, 1), nn.ReLU(), nn.Conv2d(2 * WIDTH, WIDTH, 1))
        around = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
        self.register_buffer("directions", torch.stack((around, 2 * around)).view(1, 8, 2, 1, 1))

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        batch, _, rows, columns = x.shape
        places = (self.alpha * self.offset(x).unflatten(1, (8, 2)) + self.directions).reshape(-1, 4, 2, rows, columns)
        values = self.value(x).reshape(2 * batch, WIDTH // 2, rows, columns)
        read = warp_taps(values, places).view(batch, 2, WIDTH // 2, 4, rows, columns)
        weights = self.weight(x).view(batch, 2, 1, 4, rows, columns).softmax(3)
        x = self.norm(x + self.out((read * weights).sum(3).flatten(1, 2)))
        return functional.relu(self.last_norm(x + self.feed(x)))


class _AffineTransformer(nn.Module):
    """An affine spatial transformer in front of convolutions, with outputs at every position or of all together."""

    identity: Tensor

    def __init__(self, channels: int, outputs: int, depth: int, alpha: float, *, zero: bool, dense: bool) -> None:
        super().__init__()
        self.localiser = nn.Sequential(
            nn.Conv2d(channels, WIDTH, 5, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(WIDTH * 36, 32), nn.ReLU()
        )
        self.alpha, self.offset = alpha, head(nn.Linear(32, 6), zero=zero)
        self.register_buffer("identity", torch.eye(2, 3))
        layers = [norm_conv(channels if number == 0 else WIDTH, WIDTH) for number in range(depth)]
        self.net = nn.Sequential(*layers, *_last(outputs, dense=dense))

    def forward(self, x: Float[Tensor, "B C 12 12"]) -> Float[Tensor, "B K *S"]:
        theta = self.alpha * self.offset(self.localiser(x)).view(-1, 2, 3) + self.identity
        grid = functional.affine_grid(theta, list(x.shape), align_corners=True)
        return torch.as_tensor(self.net(functional.grid_sample(x, grid, align_corners=True, padding_mode="border")))


def _last(outputs: int, *, dense: bool) -> tuple[nn.Module, ...]:
    """Return the last layers behind features of 12×12 pixels."""
    if dense:
        return (nn.Conv2d(WIDTH, outputs, 1),)
    return nn.AvgPool2d(3), nn.Flatten(), nn.Linear(16 * WIDTH, outputs)


class _FeatureLocaliser(nn.Module):
    """A block that shifts and scales features as a whole, by a localiser with BatchNorm; then a convolution."""

    def __init__(self, alpha: float, *, zero: bool) -> None:
        super().__init__()
        self.localiser = nn.Sequential(
            norm_conv(WIDTH, WIDTH, 3, 2), nn.Flatten(), nn.Linear(36 * WIDTH, 16), nn.ReLU()
        )
        self.alpha, self.offset = alpha, head(nn.Linear(16, 3), zero=zero)
        self.mix = norm_conv(WIDTH, WIDTH)

    def forward(self, x: Float[Tensor, "B C 12 12"]) -> Float[Tensor, "B C 12 12"]:
        zoom, down, across = (self.alpha * self.offset(self.localiser(x))).unbind(1)
        nothing = torch.zeros_like(zoom)
        theta = torch.stack((1 + zoom, nothing, across, nothing, 1 + zoom, down), dim=1).view(-1, 2, 3)
        grid = functional.affine_grid(theta, list(x.shape), align_corners=True)
        return torch.as_tensor(self.mix(functional.grid_sample(x, grid, align_corners=True, padding_mode="border")))


def selfwarp(channels: int, outputs: int, depth: int, alpha: float, *, zero: bool, dense: bool) -> nn.Module:
    """Build a residual network of self-warps."""
    return _Blocks(
        norm_conv(channels, WIDTH), [_SelfWarpBlock(alpha, zero=zero) for _ in range(depth)], outputs, dense=dense
    )


def signal_selfwarp(channels: int, outputs: int, depth: int, alpha: float, *, zero: bool, dense: bool) -> nn.Module:
    """Build a residual network of self-warps for signals."""
    blocks: list[nn.Module] = [_SignalWarpBlock(alpha, zero=zero) for _ in range(depth)]
    return _Blocks(norm_conv_signals(channels, WIDTH), blocks, outputs, dense=dense)


def deformable(channels: int, outputs: int, depth: int, alpha: float, *, zero: bool, dense: bool) -> nn.Module:
    """Build a plain chain of deformable convolutions."""
    return _Blocks(
        norm_conv(channels, WIDTH), [_DeformableLayer(alpha, zero=zero) for _ in range(depth)], outputs, dense=dense
    )


def modulated(channels: int, outputs: int, depth: int, alpha: float, *, zero: bool, dense: bool) -> nn.Module:
    """Build a residual network of modulated deformable convolutions."""
    return _Blocks(
        norm_conv(channels, WIDTH), [_ModulatedLayer(alpha, zero=zero) for _ in range(depth)], outputs, dense=dense
    )


def attention(channels: int, outputs: int, depth: int, alpha: float, *, zero: bool, dense: bool) -> nn.Module:
    """Build a network of deformable attention to a few points."""
    return _Blocks(
        norm_conv(channels, WIDTH), [_AttentionLayer(alpha, zero=zero) for _ in range(depth)], outputs, dense=dense
    )


def transformer(channels: int, outputs: int, depth: int, alpha: float, *, zero: bool, dense: bool) -> nn.Module:
    """Build an affine spatial transformer in front of convolutions."""
    return _AffineTransformer(channels, outputs, depth, alpha, zero=zero, dense=dense)


def feature_localiser(channels: int, outputs: int, depth: int, alpha: float, *, zero: bool, dense: bool) -> nn.Module:
    """Build a network that shifts and scales its features by localisers with BatchNorm."""
    blocks = [_FeatureLocaliser(alpha, zero=zero) for _ in range(depth)]
    return nn.Sequential(norm_conv(channels, WIDTH), *blocks, *_last(outputs, dense=dense))
