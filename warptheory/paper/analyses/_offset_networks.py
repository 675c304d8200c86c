"""Networks whose sampling offsets start at zero, of three families, and how fast one step moves their output.

Plain torch, so that nothing of the theory is built in. Blocks warp what they read; a head of 3 × 3 taps, or shared
static offsets, says where to. The step is that of gradient descent on one batch with the rate 1, and small: outputs are
differentiated along it.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from warptheory import warping

OffsetFamily = Literal["residual", "residual, three stages", "plain"]
_STEP = 1e-5  # length of the step in parameter space, at which float64 leaves ten digits


class WarpedBlock(nn.Module):
    """A warp, two convolutions with BatchNorm, and perhaps a shortcut past all of it.

    Args:
        inputs: channels that it reads.
        outputs: channels that it returns.
        stride: of its first convolution.
        shortcut: whether it has one.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, *, shortcut: bool) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.first_norm, self.second_norm = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.head = nn.Conv2d(inputs, 2, 3, 1, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(cast("Tensor", self.head.bias))
        same = inputs == outputs and stride == 1
        projection = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        self.shortcut = None if not shortcut else nn.Identity() if same else projection
        self.read = self.sampled = torch.empty(0)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D I J"]:
        """Return what it makes of features, shape (B, D, I, J)."""
        self.read = x
        self.sampled = warping.warp(x, self.head(x), "linear", "border")
        y = torch.relu(self.first_norm(self.first(self.sampled)))
        y = self.second_norm(self.second(y))
        return torch.relu(y if self.shortcut is None else y + self.shortcut(x))


class OffsetNetwork(nn.Module):
    """A stem, blocks, and a linear readout of the mean over positions.

    Args:
        family: its family.
        depth: number of blocks; a multiple of three.
        width: channels of the first stage.
        classes: number of outputs.
    """

    def __init__(self, family: OffsetFamily, depth: int, width: int, classes: int) -> None:
        super().__init__()
        stages = 3 if family == "residual, three stages" else 1
        self.stem = nn.Sequential(nn.Conv2d(1, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        blocks, channels = [], width
        for number in range(depth):
            stage, place = divmod(number, depth // stages)
            stride = 2 if stage and not place else 1
            blocks.append(WarpedBlock(channels, width * 2**stage, stride, shortcut=family != "plain"))
            channels = width * 2**stage
        self.blocks = nn.ModuleList(blocks)
        self.readout = nn.Linear(channels, classes)

    def forward(self, x: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B K"]:
        """Return outputs, shape (B, K)."""
        y = self.stem(x)
        for block in self.blocks:
            y = block(y)
        return cast("Tensor", self.readout(y.mean((2, 3))))


@dataclass(frozen=True)
class NetworkSpeeds:
    """How far one step moves the output of a network, in root mean squares for the rate 1 and α²m = 1.

    Attributes:
        layers: through the head of each block alone.
        heads: through all heads together.
        rest: through all other parameters.
        readout: through those of the readout alone.
        feature: energy of what each head reads, E x².
        slope: squared derivative of it, per channel, summed over axes.
        gradient: energy of the gradient at each block's warp, over that at the last one's.
    """

    layers: tuple[float, ...]
    heads: float
    rest: float
    readout: float
    feature: tuple[float, ...]
    slope: tuple[float, ...]
    gradient: tuple[float, ...]


def speeds(network: OffsetNetwork, images: Float[Tensor, "B 1 H W"], labels: Int[Tensor, "B"]) -> NetworkSpeeds:
    """Measure how fast one step moves the outputs on the batch that it is taken on.

    Args:
        network: the network, in training mode, of double precision.
        images: the batch, shape (B, 1, H, W).
        labels: its labels, shape (B,).
    """
    output = network(images)
    blocks = cast("Sequence[WarpedBlock]", list(network.blocks))
    for block in blocks:
        block.sampled.retain_grad()
    nn.functional.cross_entropy(output, labels).backward()  # type: ignore[no-untyped-call]
    gradients = [cast("Tensor", block.sampled.grad).square().mean().item() for block in blocks]
    heads = [list(block.head.parameters()) for block in blocks]
    of_heads = [parameter for head in heads for parameter in head]
    known = set(map(id, of_heads))
    rest = [parameter for parameter in network.parameters() if id(parameter) not in known]
    each = [_moved(network, images, output, head) for head in heads]
    return NetworkSpeeds(
        layers=tuple(map(_size, each)),
        heads=_size(torch.stack(each).sum(0)),
        rest=_size(_moved(network, images, output, rest)),
        readout=_size(_moved(network, images, output, network.readout.parameters())),
        feature=tuple(block.read.detach().square().mean().item() for block in blocks),
        slope=tuple(_squared_slope(block.read.detach()) for block in blocks),
        gradient=tuple(each / gradients[-1] for each in gradients),
    )


def speed_ratio(
    network: nn.Module,
    images: Float[Tensor, "B C H W"],
    labels: Int[Tensor, "B"],
    offsets: Sequence[nn.Parameter],
) -> float:
    """Return how far one step of some parameters moves the outputs, over how far that of all others does.

    Args:
        network: the network, in training mode, of double precision.
        images: the batch, shape (B, C, H, W).
        labels: its labels, shape (B,).
        offsets: the parameters that act through sampling positions alone.
    """
    output = network(images)
    network.zero_grad()
    nn.functional.cross_entropy(output, labels).backward()  # type: ignore[no-untyped-call]
    known = set(map(id, offsets))
    rest = [parameter for parameter in network.parameters() if id(parameter) not in known]
    return _size(_moved(network, images, output, offsets)) / _size(_moved(network, images, output, rest))


def _moved(network: nn.Module, images: Tensor, before: Tensor, parameters: Iterable[nn.Parameter]) -> Tensor:
    """Return the derivative of the outputs along minus the gradient of some parameters."""
    pulls = [(parameter, parameter.grad) for parameter in parameters if parameter.grad is not None]
    length = math.sqrt(sum(float(pull.square().sum()) for _, pull in pulls))
    step = _STEP / max(length, 1e-300)
    with torch.no_grad():
        for parameter, pull in pulls:
            parameter.sub_(step * pull)
        after = network(images)
        for parameter, pull in pulls:
            parameter.add_(step * pull)
    return cast("Tensor", (after - before.detach()) / step)


def _size(moved: Tensor) -> float:
    return float(moved.square().mean().sqrt())


def _squared_slope(x: Tensor) -> float:
    return float(x.diff(dim=2).square().mean() + x.diff(dim=3).square().mean())
