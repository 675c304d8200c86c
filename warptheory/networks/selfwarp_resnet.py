"""The CIFAR family of residual networks, with or without self-warp in front of each block."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from warptheory.core.errors import ArgumentError
from warptheory.operators import SelfWarp2d


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions with a shortcut, whose branch reads the (warped) input of the block.

    Args:
        channels_in: number of input channels.
        channels: number of output channels.
        stride: stride of the first convolution.
        warp: whether the branch warps its input by offsets computed from it.
    """

    def __init__(self, channels_in: int, channels: int, stride: int, *, warp: bool) -> None:
        super().__init__()
        self.warp = SelfWarp2d(channels_in) if warp else nn.Identity()
        self.first = nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(channels)
        self.stride = stride
        self.padding = channels - channels_in

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        """Return the block's output, shape (B, channels, H/stride, W/stride)."""
        branch = functional.relu(self.first_norm(self.first(self.warp(x))))
        branch = self.second_norm(self.second(branch))
        # The parameter-free shortcut of the paper ("option A"): subsample, and pad channels with zeros.
        shortcut = functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.padding))
        return functional.relu(branch + shortcut)


class SelfWarpResNet(nn.Module):
    """A residual network of depth 6n + 2 for small images.

    Args:
        depth: number of weighted layers, 6n + 2: 20, 32, 44, 56, 110.
        classes: number of classes.
        channels_in: number of image channels.
        width: channels of the first stage; the next ones have two and four times as many.
        warp: self-warp in front of each branch; False gives the plain twin, by the same code.

    Raises:
        ArgumentError: a depth that is not 6n + 2.

    Source: K. He et al., CVPR 2016, section 4.2 (the plain twin); arXiv 2511.20800 (self-warp).
    """

    def __init__(
        self, depth: int, classes: int = 10, channels_in: int = 3, width: int = 16, *, warp: bool = True
    ) -> None:
        super().__init__()
        blocks, rest = divmod(depth - 2, 6)
        if rest or blocks < 1:
            raise ArgumentError("depth", expected="6n + 2 with n ≥ 1 (20, 32, 44, 56, 110)", received=depth)
        self.stem = nn.Conv2d(channels_in, width, 3, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(width)
        stages: list[nn.Module] = []
        channels = width
        for stage in range(3):
            for block in range(blocks):
                stride = 2 if stage > 0 and block == 0 else 1
                stages.append(ResidualBlock(channels, width * 2**stage, stride, warp=warp))
                channels = width * 2**stage
        self.blocks = nn.Sequential(*stages)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K"]:
        """Return the class scores of images (B, C, H, W), shape (B, classes)."""
        features = self.blocks(functional.relu(self.stem_norm(self.stem(x))))
        return self.classifier(features.mean((2, 3)))

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the parameters in two groups: "warping" computes offsets, "rest" is everything else."""
        warping = [p for module in self.modules() if isinstance(module, SelfWarp2d) for p in module.parameters()]
        chosen = set(map(id, warping))
        return {"warping": warping, "rest": [p for p in self.parameters() if id(p) not in chosen]}


def selfwarp_resnet(
    depth: int = 20, classes: int = 10, channels_in: int = 3, width: int = 16, *, warp: bool = True, seed: int = 0
) -> SelfWarpResNet:
    """Build a `SelfWarpResNet` with reproducible weights: images (B, channels_in, H, W) → (B, classes).

    Args:
        depth: 6n + 2.
        classes: number of classes.
        channels_in: number of image channels.
        width: channels of the first stage.
        warp: False gives the plain twin.
        seed: seed of the initial weights; the global generator is left as it was.

    Raises:
        ArgumentError: a depth that is not 6n + 2.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SelfWarpResNet(depth, classes, channels_in, width, warp=warp)
