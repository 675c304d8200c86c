"""Small classifiers of five families, of any number of sampling layers, each with a plain twin of the same weights.

Every network scales its offsets by α, and its heads start at zero or are drawn. Its `offset_parameters` are those that
reach the loss only through sampling positions; a twin has them too, and does not use them.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from warptheory import networks
from warptheory.core.streams import Stream
from warptheory.operators.predicted_deform_conv import DeformConvPack2d
from warptheory.operators.self_warp import SelfWarp, SelfWarp1d, SelfWarp2d

WIDTH = 6  # channels of the first stage


@dataclass(frozen=True)
class Heads:
    """How the heads of a network start, and how far their output moves samples.

    Attributes:
        scale: α, pixels of offset per unit of a head's output; 0 is the plain twin.
        gain: h: filters are drawn with E‖w‖² = h² for each component of the offsets; 0 starts at zero offsets.
    """

    scale: float = 1.0
    gain: float = 0.0


class Classifier(nn.Module):
    """Features, their mean over positions, and a linear layer.

    Args:
        features: from images to features.
        channels: number of their channels.
        classes: number of classes.
    """

    def __init__(self, features: nn.Module, channels: int, classes: int) -> None:
        super().__init__()
        self.features = features
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K"]:
        """Return class scores, shape (B, classes)."""
        scores: Tensor = self.classifier(self.features(x).flatten(2).mean(2))
        return scores


class ScaledDeformConv(DeformConvPack2d):
    """A deformable convolution whose head's output is multiplied by α, 3×3; its head has E‖w‖² = h²."""

    def __init__(self, channels_in: int, channels: int, stride: int, heads: Heads) -> None:
        super().__init__(channels_in, channels, 3, stride, 1, bias=False, boundary="border")
        self.scale = heads.scale
        self.conv_offset.register_forward_hook(self._scaled)

    def _scaled(self, _: nn.Module, __: object, found: Tensor) -> Tensor:
        return self.scale * found


class AffineTransformer(nn.Module):
    """A spatial transformer: a small network chooses an affine map for each image, θ = identity + α·output.

    Args:
        channels: number of channels of what is warped.
        heads: its scale and start.
        bound: largest deviation of an entry of θ from the identity, by a tanh; None for none.
    """

    def __init__(self, channels: int, heads: Heads, bound: float | None = None) -> None:
        super().__init__()
        self.localiser = nn.Sequential(
            nn.Conv2d(channels, WIDTH, 5, 2, 2),
            nn.ReLU(),
            nn.Conv2d(WIDTH, 2 * WIDTH, 5, 2, 2),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(16 * 2 * WIDTH, 32),
            nn.ReLU(),
        )
        self.head = nn.Linear(32, 6)
        self.scale, self.bound = heads.scale, bound
        self.shift = (0.0, 0.0)  # of every sample at the start, along width and height, in half images

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Return the warped images, zeros where samples lie off them."""
        found = self.scale * self.head(self.localiser(x))
        if self.bound is not None:
            found = self.bound * torch.tanh(found / self.bound)
        identity = torch.eye(2, 3, dtype=x.dtype)
        shift = x.new_tensor([[0, 0, self.shift[0]], [0, 0, self.shift[1]]])
        theta = identity + found.unflatten(1, (2, 3)) + shift
        grid = functional.affine_grid(theta, list(x.shape), align_corners=True)
        return functional.grid_sample(x, grid, align_corners=True)


class SignalWarpBlock(nn.Module):
    """Two convolutions along the rows of an image with a shortcut, in front of the branch a self-warp."""

    def __init__(self, channels: int, heads: Heads) -> None:
        super().__init__()
        self.warp = SelfWarp1d(channels, scale=heads.scale, head_gain=heads.gain)
        self.branch = nn.Sequential(
            nn.Conv1d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm1d(channels),
            nn.ReLU(),
            nn.Conv1d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm1d(channels),
        )

    def forward(self, x: Float[Tensor, "B C N"]) -> Float[Tensor, "B C N"]:
        """Return the block's output, shape (B, C, N)."""
        return functional.relu(x + self.branch(self.warp(x)))


def selfwarp_residual(layers: int, classes: int, heads: Heads, size: int) -> nn.Module:
    """Build the library's residual network of 3n layers, in which warps alone move values from pixel to pixel."""
    options: dict[str, Any] = {
        "scale": heads.scale,
        "head_gain": heads.gain,
        "placement": "both",
        "mixing": "pointwise",
    }
    return networks.selfwarp_resnet(2 * layers + 2, classes, 1, WIDTH, **options)


def deformable_chain(layers: int, classes: int, heads: Heads, size: int) -> nn.Module:
    """Build a chain of deformable convolutions of 3×3 taps with BatchNorm and ReLU, in three stages."""
    parts, channels = _stem(), WIDTH
    for width, stride in _stages(layers):
        parts += [ScaledDeformConv(channels, width, stride, heads), nn.BatchNorm2d(width), nn.ReLU()]
        channels = width
    return Classifier(nn.Sequential(*parts), channels, classes)


def pointwise_chain(layers: int, classes: int, heads: Heads, size: int) -> nn.Module:
    """Build a chain of convolutions, each behind a self-warp whose head sees one pixel."""
    parts, channels = _stem(), WIDTH
    for width, stride in _stages(layers):
        parts += [SelfWarp2d(channels, kernel_size=1, scale=heads.scale, head_gain=heads.gain)]
        parts += [nn.Conv2d(channels, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        channels = width
    return Classifier(nn.Sequential(*parts), channels, classes)


def transformers(layers: int, classes: int, heads: Heads, size: int) -> nn.Module:
    """Build spatial transformers one behind the other, and a classifier that knows places: a layer and a linear one."""
    parts: list[nn.Module] = [AffineTransformer(1, heads) for _ in range(layers)]
    parts += [
        nn.Conv2d(1, WIDTH, 3, 2, 1, bias=False),
        nn.BatchNorm2d(WIDTH),
        nn.ReLU(),
        nn.Flatten(),
        nn.Unflatten(1, (-1, 1)),
    ]
    return Classifier(nn.Sequential(*parts), WIDTH * math.ceil(size / 2) ** 2, classes)


def signal_residual(layers: int, classes: int, heads: Heads, size: int) -> nn.Module:
    """Build a residual network of signals: the rows of an image are channels."""
    stem = [
        nn.Flatten(1, 2),
        nn.Conv1d(size, 2 * WIDTH, 3, padding=1, bias=False),
        nn.BatchNorm1d(2 * WIDTH),
        nn.ReLU(),
    ]
    return Classifier(
        nn.Sequential(*stem, *[SignalWarpBlock(2 * WIDTH, heads) for _ in range(layers)]), 2 * WIDTH, classes
    )


@dataclass(frozen=True)
class NetworkFamily:
    """Networks that differ in the number of their sampling layers.

    Attributes:
        name: its name.
        layers: numbers of sampling layers that are tried.
        build: takes layers, classes, heads and the side of an image.
    """

    name: str
    layers: tuple[int, ...]
    build: Callable[[int, int, Heads, int], nn.Module]

    def network(self, layers: int, classes: int, heads: Heads, size: int, seed: int) -> nn.Module:
        """Build a network; its weights depend on the seed and the layers' names, and those of heads on the gain."""
        with torch.random.fork_rng(devices=[]):
            found = self.build(layers, classes, heads, size)
        _initialise(found, heads, seed)
        return found.train()


FAMILIES = {
    family.name: family
    for family in (
        NetworkFamily("residual self-warp", (3, 9, 18), selfwarp_residual),
        NetworkFamily("deformable chain", (3, 6), deformable_chain),
        NetworkFamily("spatial transformers", (1, 3), transformers),
        NetworkFamily("1-D residual", (3, 6, 12), signal_residual),
        NetworkFamily("pointwise chain", (3, 6), pointwise_chain),
    )
}


def offset_parameters(network: nn.Module) -> list[nn.Parameter]:
    """Return the parameters that reach the loss only through sampling positions."""
    return [
        parameter for module in network.modules() for part in _offset_parts(module) for parameter in part.parameters()
    ]


def heads_of(network: nn.Module) -> list[nn.Module]:
    """Return the layers whose outputs are offsets, or the parameters of maps."""
    return [head for module in network.modules() for head in _offset_parts(module) if not _is_localiser(head)]


def _offset_parts(module: nn.Module) -> Iterator[nn.Module]:
    if isinstance(module, SelfWarp):
        yield module.head
    if isinstance(module, ScaledDeformConv):
        yield module.conv_offset
    if isinstance(module, AffineTransformer):
        yield from (module.localiser, module.head)


def _is_localiser(part: nn.Module) -> bool:
    return isinstance(part, nn.Sequential)


def _stem() -> list[nn.Module]:
    return [nn.Conv2d(1, WIDTH, 3, padding=1, bias=False), nn.BatchNorm2d(WIDTH), nn.ReLU()]


def _stages(layers: int) -> Iterator[tuple[int, int]]:
    """Yield channels and stride of every layer: three stages, the later of two and four times the channels."""
    for layer in range(layers):
        stage, before = 3 * layer // layers, 3 * (layer - 1) // layers
        yield WIDTH * 2**stage, 2 if layer and stage > before else 1


@torch.no_grad()
def _initialise(network: nn.Module, heads: Heads, seed: int) -> None:
    """Draw the weights of every layer from a stream of its name, by torch's default law; heads by their gain."""
    found = {id(head) for head in heads_of(network)}
    for name, layer in network.named_modules():
        if not isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear):
            continue
        generator = torch.Generator().manual_seed(int(Stream(seed, f"weights/{name}").generator().integers(2**63)))
        inputs = layer.weight[0].numel()
        if id(layer) in found:
            layer.weight.normal_(std=heads.gain / math.sqrt(inputs), generator=generator)
        else:
            layer.weight.uniform_(-1 / math.sqrt(inputs), 1 / math.sqrt(inputs), generator=generator)
        if layer.bias is not None:
            layer.bias.zero_()
