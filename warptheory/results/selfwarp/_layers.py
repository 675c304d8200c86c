"""Self-warp layers with given heads, as results draw them: the module itself, in double precision."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from warptheory.operators.self_warp import SelfWarp, SelfWarp1d, SelfWarp2d

_LAYERS: dict[int, type[SelfWarp]] = {1: SelfWarp1d, 2: SelfWarp2d}


def own_pixel_layer(
    weights: Sequence[Sequence[float]], scale: float, kernel: str = "linear", device: str = "cpu"
) -> SelfWarp:
    """Return a layer on a periodic grid whose offsets are ε = αWx, W a matrix of weights for the pixel itself.

    Args:
        weights: W, a row for each of the d components of the offsets, a column for each channel.
        scale: α, in pixels per unit of the head's output.
        kernel: name of the interpolation kernel.
        device: device of the head.
    """
    matrix = torch.tensor(weights, dtype=torch.float64, device=device)
    dim, channels = matrix.shape
    layer = _LAYERS[dim](channels, kernel_size=1, scale=scale, kernel=kernel, boundary="periodic").double().to(device)
    with torch.no_grad():
        layer.head.weight.copy_(matrix.reshape(layer.head.weight.shape))
    return layer.requires_grad_(requires_grad=False)


def offsets_of(layer: SelfWarp, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B d *S"]:
    """Return the offsets that a layer with one group computes at an input (B, C, *S), in pixels, shape (B, d, *S)."""
    return layer.offsets(x)[:, 0]
