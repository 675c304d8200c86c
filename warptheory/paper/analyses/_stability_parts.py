"""Parts of the networks of the stability study: warps, heads and blocks in plain torch.

The gather of signals is declared, because nobody could see it otherwise; nothing else is ours.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from warptheory import stability


def warp(x: Float[Tensor, "B C H W"], offsets: Float[Tensor, "B 2 h w"]) -> Float[Tensor, "B C h w"]:
    """Read images bilinearly at t + ε(t), the edge repeated.

    Args:
        x: what is read, shape (B, C, H, W).
        offsets: ε in pixels, rows first, shape (B, 2, H, W).
    """
    return sample(x, offsets + positions(offsets))


def sample(x: Float[Tensor, "B C H W"], places: Float[Tensor, "B 2 h w"]) -> Float[Tensor, "B C h w"]:
    """Read images bilinearly at places in pixels, rows first, shape (B, 2, h, w), the edge repeated."""
    rows, columns = x.shape[-2:]
    grid = torch.stack((places[:, 1] * (2 / (columns - 1)) - 1, places[:, 0] * (2 / (rows - 1)) - 1), dim=-1)
    return functional.grid_sample(x, grid, align_corners=True, padding_mode="border")


def positions(like: Float[Tensor, "*rest H W"]) -> Float[Tensor, "2 H W"]:
    """Return row and column of every pixel of an image (…, H, W), shape (2, H, W)."""
    rows, columns = (torch.arange(side, dtype=like.dtype, device=like.device) for side in like.shape[-2:])
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij"))


def warp_taps(x: Float[Tensor, "B C H W"], offsets: Float[Tensor, "B K 2 H W"]) -> Float[Tensor, "B CK H W"]:
    """Read images with K taps a pixel, by one call of grid_sample.

    Args:
        x: what is read, shape (B, C, H, W).
        offsets: from a pixel to each tap, in pixels, shape (B, K, 2, H, W).

    Returns:
        Every tap's image, channel by channel, shape (B, C·K, H, W).
    """
    batch, taps, _, rows, columns = offsets.shape
    places = (offsets + positions(x)).transpose(1, 2).reshape(batch, 2, taps * rows, columns)
    return sample(x, places).view(batch, -1, rows, columns)


@stability.sampling(
    positions="offsets", image="x", layout=stability.OffsetOutput(dim=1), kernel="linear", boundary="border"
)
def warp_signals(x: Float[Tensor, "B C N"], offsets: Float[Tensor, "B 1 N"]) -> Float[Tensor, "B C N"]:
    """Read signals linearly at t + ε(t), the ends repeated; offsets in samples, shape (B, 1, N)."""
    last = x.shape[-1] - 1
    places = (torch.arange(last + 1, dtype=x.dtype, device=x.device) + offsets).clamp(0, last)
    left = places.detach().nan_to_num().floor().clamp(max=last - 1)
    share = places - left
    index = left.long().expand_as(x)
    return x.gather(-1, index) * (1 - share) + x.gather(-1, index + 1) * share


def ring(radius: float = 1.0) -> Float[Tensor, "9 2"]:
    """Return the taps of a 3×3 filter, rows first, shape (9, 2)."""
    steps = torch.arange(-1.0, 2.0) * radius
    return torch.stack(torch.meshgrid(steps, steps, indexing="ij"), dim=-1).reshape(9, 2)


def head(layer: nn.Conv1d | nn.Conv2d | nn.Linear, *, zero: bool) -> nn.Module:
    """Start a layer that computes offsets: at zero, or with unit gain; its bias at zero."""
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    if zero:
        nn.init.zeros_(layer.weight)
    else:
        nn.init.normal_(layer.weight, 0, layer.weight[0].numel() ** -0.5)
    return layer


def norm_conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Return a convolution, BatchNorm and ReLU."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


def norm_conv_signals(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Return a convolution of signals with three taps, BatchNorm and ReLU."""
    return nn.Sequential(nn.Conv1d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm1d(outputs), nn.ReLU())
