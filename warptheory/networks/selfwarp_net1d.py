"""A small convolutional network for short signals such as MNIST-1D, with or without self-warps."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from warptheory.core.checks import check_fits, check_flag, check_integer
from warptheory.networks._network import Family, WarpedNetwork, check_options, initialise
from warptheory.operators.self_warp import SelfWarp1d

# What is left of 40 samples after three strides of two; the classifier sees where features are.
_DEEPEST = 60  # no signal has 2⁶⁰ samples
_POSITIONS = 5


class SignalBlock(nn.Module):
    """A convolution of stride two with normalisation and ReLU, in front of it a self-warp.

    Args:
        channels_in: number of input channels.
        channels: number of output channels.
        size: odd size of the filters.
        warp: options of the self-warp; None for a block without.
    """

    def __init__(self, channels_in: int, channels: int, size: int, warp: dict[str, Any] | None) -> None:
        super().__init__()
        self.warp = nn.Identity() if warp is None else SelfWarp1d(channels_in, **warp)
        self.convolution = nn.Conv1d(channels_in, channels, size, stride=2, padding=size // 2, bias=False)
        self.norm = nn.BatchNorm1d(channels)

    def forward(self, x: Float[Tensor, "B C N"]) -> Float[Tensor, "B D n"]:
        """Return the block's output, shape (B, channels, N/2)."""
        return functional.relu(self.norm(self.convolution(self.warp(x))))


class SelfWarpNet1d(WarpedNetwork):
    """A network of `depth` convolutions for signals; arguments as in `selfwarp_net1d`."""

    dim = 1

    def __init__(
        self,
        /,
        classes: int = 10,
        channels_in: int = 1,
        width: int = 50,
        depth: int = 3,
        *,
        warp: bool = True,
        **options: Any,
    ) -> None:
        super().__init__()
        check_options(options, selfwarp_net1d)
        check_flag("warp", warp)
        check_integer("depth", check_integer("depth", depth), most=_DEEPEST)
        filters = 3 * (depth - 1) * check_integer("width", width) ** 2
        check_fits("width", width, 4 * (filters + _POSITIONS * width * check_integer("classes", classes)))
        entering = [check_integer("channels_in", channels_in)] + [check_integer("width", width)] * (depth - 1)
        sizes = [5] + [3] * (depth - 1)
        blocks = [
            SignalBlock(channels, width, size, options if warp else None)
            for channels, size in zip(entering, sizes, strict=True)
        ]
        self.blocks = nn.Sequential(*blocks)
        self.classifier = nn.Linear(_POSITIONS * width, classes)

    def forward(self, x: Float[Tensor, "B C N"]) -> Float[Tensor, "B K"]:
        """Return the class scores of signals (B, C, N), shape (B, classes)."""
        features = functional.adaptive_avg_pool1d(self.blocks(x), _POSITIONS)
        scores: Tensor = self.classifier(features.flatten(1))
        return scores


def selfwarp_net1d(
    classes: int = 10,
    channels_in: int = 1,
    width: int = 50,
    depth: int = 3,
    *,
    warp: bool = True,
    seed: int = 0,
    **options: Any,
) -> SelfWarpNet1d:
    """Build a convolutional network with reproducible weights: signals (B, channels_in, N) → (B, classes).

    A convolution with filters of 5 samples is followed by ones of 3, each with stride two, batch normalisation and
    ReLU, and a linear classifier sees the features of 5 stretches of the signal, in order.

    Args:
        classes: number of classes.
        channels_in: number of channels of the signal.
        width: channels of every convolution.
        depth: number of convolutions; a signal needs 2^depth samples or more. MNIST-1D has 40.
        warp: a self-warp in front of each convolution; False gives the plain twin, whose other weights are the same.
        seed: seed of the initial weights; torch's own generators are left as they were.
        options: of every self-warp, such as groups, scale, head_gain, lipschitz; see `operators.SelfWarp`. `groups`
            other than 1 and "channels" has to divide `channels_in` too.

    Raises:
        ArgumentError: an argument that does not fit.
        UnknownNameError: no such option.

    Source: S. Greydanus, D. Kobak, Scaling Down Deep Learning with MNIST-1D, ICML 2024 (three convolutions of stride
        two, here with batch normalisation); arXiv 2511.20800 (self-warp).
    """
    with torch.random.fork_rng(devices=[]):
        network = SelfWarpNet1d(classes, channels_in, width, depth, warp=warp, **options)
    initialise(network, seed)
    return network


FAMILY = Family("net1d", ("net1d",), selfwarp_net1d)
