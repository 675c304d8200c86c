"""The CIFAR family of residual networks, with or without self-warps in its blocks."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from warptheory.core.checks import check_fits, check_flag, check_integer, check_known
from warptheory.core.errors import ArgumentError
from warptheory.networks._network import Family, WarpedNetwork, check_options, initialise
from warptheory.operators.self_warp import SelfWarp2d

_DEEPEST = 9998  # of four digits, as in names
PLACEMENTS = ("branch", "both", "between")
# What mixes pixels in a block, and the size of its filters.
MIXINGS = {"convolution": 3, "pointwise": 1}


class ResidualBlock(nn.Module):
    """Two convolutions with a shortcut, and a self-warp.

    Args:
        channels_in: number of input channels.
        channels: number of output channels.
        stride: stride of the first convolution.
        placement: what reads warped values: the "branch", "both" branch and shortcut, or the second convolution only,
            the warp being "between" the two.
        size: size of the convolutions' filters.
        warp: options of the self-warp; None for a block without.
    """

    def __init__(
        self,
        channels_in: int,
        channels: int,
        stride: int,
        placement: str = "branch",
        size: int = 3,
        warp: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        warped = channels if placement == "between" else channels_in
        self.warp: nn.Module = nn.Identity() if warp is None else SelfWarp2d(warped, **warp)
        self.first = nn.Conv2d(channels_in, channels, size, stride, padding=size // 2, bias=False)
        self.first_norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, size, padding=size // 2, bias=False)
        self.second_norm = nn.BatchNorm2d(channels)
        self.placement = placement
        self.stride = stride
        self.padding = channels - channels_in

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        """Return the block's output, shape (B, channels, H/stride, W/stride)."""
        is_between = self.placement == "between"
        entering = x if is_between else self.warp(x)
        branch = functional.relu(self.first_norm(self.first(entering)))
        branch = self.second_norm(self.second(self.warp(branch) if is_between else branch))
        return functional.relu(branch + self._shortcut(entering if self.placement == "both" else x))

    def _shortcut(self, x: Tensor) -> Tensor:
        """Subsample, and pad channels with zeros: the paper's shortcut without parameters ("option A")."""
        return functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.padding))


class SelfWarpResNet(WarpedNetwork):
    """A residual network of depth 6n + 2 for small images; arguments as in `selfwarp_resnet`."""

    dim = 2

    def __init__(
        self,
        /,
        depth: int,
        classes: int = 10,
        channels_in: int = 3,
        width: int = 16,
        *,
        warp: bool = True,
        placement: str = "branch",
        mixing: str = "convolution",
        **options: Any,
    ) -> None:
        super().__init__()
        check_flag("warp", warp)
        blocks, rest = divmod(check_integer("depth", check_integer("depth", depth), most=_DEEPEST) - 2, 6)
        if rest or blocks < 1:
            raise ArgumentError("depth", expected="6n + 2 with n ≥ 1 (20, 32, 44, 56, 110)", received=depth)
        check_known("placement", placement, PLACEMENTS)
        check_known("mixing", mixing, MIXINGS)
        check_options(options, selfwarp_resnet)
        channels = width = check_integer("width", width)
        # Two convolutions in each block of the three stages, of which the later have two and four times the channels.
        weights = 2 * blocks * (1 + 4 + 16) * width**2 * MIXINGS[mixing] ** 2
        check_fits("width", width, 4 * (weights + 9 * width * check_integer("channels_in", channels_in)))
        self.stem = nn.Conv2d(channels_in, width, 3, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(width)
        stages: list[nn.Module] = []
        for stage in range(3):
            for block in range(blocks):
                stride = 2 if stage > 0 and block == 0 else 1
                sizes = (channels, width * 2**stage, stride)
                stages.append(ResidualBlock(*sizes, placement, MIXINGS[mixing], options if warp else None))
                channels = width * 2**stage
        self.blocks = nn.Sequential(*stages)
        check_fits("classes", check_integer("classes", classes), 4 * channels * classes)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K"]:
        """Return the class scores of images (B, C, H, W), shape (B, classes)."""
        features = self.blocks(functional.relu(self.stem_norm(self.stem(x))))
        scores: Tensor = self.classifier(features.mean((2, 3)))
        return scores


def selfwarp_resnet(
    depth: int = 20,
    classes: int = 10,
    channels_in: int = 3,
    width: int = 16,
    *,
    warp: bool = True,
    placement: str = "branch",
    mixing: str = "convolution",
    seed: int = 0,
    **options: Any,
) -> SelfWarpResNet:
    """Build a residual network with reproducible weights: images (B, channels_in, H, W) → (B, classes).

    Args:
        depth: number of weighted layers, 6n + 2: 20, 32, 44, 56, 110. Heads of warps do not count.
        classes: number of classes.
        channels_in: number of image channels.
        width: channels of the first stage; the next ones have two and four times as many.
        warp: a self-warp in each block; False gives the plain twin, whose other weights are the same.
        placement: what reads warped values: "branch", the residual branch, while the shortcut leaves pixels where they
            are; "both", branch and shortcut, so that what a block passes on is moved too; "between", the second
            convolution of the branch only.
        mixing: "convolution", 3×3 in the blocks; "pointwise", 1×1, so that pixels are mixed by warps alone. The stem,
            which makes features of the image's channels, stays 3×3.
        seed: seed of the initial weights; torch's own generators are left as they were.
        options: of every self-warp, such as groups, scale, head_gain, lipschitz; see `operators.SelfWarp`.

    Raises:
        ArgumentError: a depth that is not 6n + 2, or an argument that does not fit.
        UnknownNameError: no such placement, mixing or option.

    Source: K. He et al., CVPR 2016, section 4.2 (the plain twin); arXiv 2511.20800 (self-warp).
    """
    with torch.random.fork_rng(devices=[]):
        network = SelfWarpResNet(
            depth, classes, channels_in, width, warp=warp, placement=placement, mixing=mixing, **options
        )
    initialise(network, seed)
    return network


FAMILY = Family("resnet(?P<depth>[0-9]{1,4})", tuple(f"resnet{n}" for n in (20, 32, 44, 56, 110)), selfwarp_resnet)
