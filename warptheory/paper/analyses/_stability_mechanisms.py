"""The mechanisms of `stability_mechanisms`: for each a network that violates it alone, its repair and its twin."""

import math
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from itertools import product
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor, nn

from warptheory import networks
from warptheory.paper.analyses._stability_networks import WIDTH, AffineTransformer
from warptheory.paper.analyses._stability_trainings import (
    CLASSES,
    SIZE,
    ShortTraining,
    losses_of,
    speed_ratio,
    task_of,
)

AFFINE, UPRIGHT = "affine digits", "upright digits"
TARGET = 1 / 30  # speed ratio of a repaired network (G5)
CLIP = 0.2  # of the gradient of each parameter
ROLES = ("violated", "repaired", "twin")
PIXEL = 2 / (SIZE - 1)  # in half images
OFF_KNOT = 1e-3 * PIXEL


@dataclass(frozen=True)
class Trainee:
    """A network and the multiplier that it is trained with.

    Attributes:
        network: a classifier.
        multiplier: m, on the learning rate of what computes offsets.
        clip: largest norm of the gradient of each parameter; None for none.
    """

    network: nn.Module
    multiplier: float
    clip: float | None = None


@dataclass(frozen=True)
class Mechanism:
    """One way in which a training fails, or is said to.

    Attributes:
        name: its name.
        label: label of the result.
        column: what shows it.
        logarithmic: whether that is drawn on a logarithmic axis.
        value: what shows it, of the rows of the monitor in one step.
        trainees: makes, of a seed, the three networks by their role.
        stops: whether it is said to stop training; None where nothing is said beforehand.
    """

    name: str
    label: str
    column: str
    logarithmic: bool
    value: Callable[[pd.DataFrame], float]
    trainees: Callable[[int], Mapping[str, Trainee]]
    stops: bool | None = True


def repaired_multiplier(network: nn.Module, seed: int, task: str = AFFINE, small: float = 1e-3) -> float:
    """Return the multiplier at which ρ is `TARGET`, from one batch, ρ being proportional to it where it is small."""
    batch = next(iter(task_of(task).batches(seed + 1000, 1)))
    return small * TARGET / speed_ratio(network, batch, small)


class MeanOfSides(nn.Module):
    """A network whose scores are the mean over four positions beside a knot, so that its derivative is the central one.

    Args:
        network: it; its spatial transformer is moved by a thousandth of a pixel either way along both axes.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K"]:
        """Return class scores, shape (B, classes)."""
        (transformer,) = [each for each in self.network.modules() if isinstance(each, AffineTransformer)]
        scores = []
        for right, down in product((-1.0, 1.0), repeat=2):
            transformer.shift = (OFF_KNOT * right, OFF_KNOT * down)
            scores.append(self.network(x))
        transformer.shift = (0.0, 0.0)
        return torch.stack(scores).mean(0)


# ---- networks


def _chain(seed: int, scale: float) -> nn.Module:
    return ShortTraining(AFFINE, "deformable chain", 3, scale, seed=seed).network()


def _residual(seed: int, blocks: int, scale: float, gain: float, placement: str = "both") -> nn.Module:
    """Return a self-warp ResNet with 3×3 convolutions, which learns without its warps too."""
    options: dict[str, Any] = {"scale": scale, "head_gain": gain, "placement": placement}
    return networks.selfwarp_resnet(2 * blocks + 2, CLASSES, 1, WIDTH, seed=seed, **options).train()


def knowing_upright_digits(seed: int, scale: float = 1.0) -> nn.Module:
    """Return a spatial transformer before a classifier that knows upright digits, and does not learn any more."""
    found = ShortTraining(UPRIGHT, "spatial transformers", 1, scale=0.0, seed=seed).network()
    losses_of(found, task_of(UPRIGHT), 0.0, seed)
    for parameter in found.parameters():
        parameter.requires_grad_(False)
    for module in found.modules():
        if isinstance(module, AffineTransformer):
            module.scale = scale
            module.requires_grad_(True)
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
            module.train = lambda mode=True, module=module: module  # type: ignore[method-assign, misc]
    return found


# ---- trainees


def runaway(seed: int) -> dict[str, Trainee]:
    """Heads of zero whose offsets learn far too fast: α²m a thousand times what is recommended."""
    network = _chain(seed, 1.0)
    repaired = repaired_multiplier(network, seed)
    twin = Trainee(_chain(seed, 0.0), 0.0)
    return {
        "violated": Trainee(deepcopy(network), 1000 * repaired),
        "repaired": Trainee(network, repaired),
        "twin": twin,
    }


def explosion(seed: int) -> dict[str, Trainee]:
    """Heads that are drawn, six warps deep, whose offsets hardly learn; the repair is heads of zero."""
    violated = Trainee(_residual(seed, 6, 3.0, 1.0), 1e-4)
    return {
        "violated": violated,
        "repaired": Trainee(_residual(seed, 6, 3.0, 0.0), 1e-4),
        "twin": Trainee(_residual(seed, 6, 0.0, 0.0), 0.0),
    }


def off_the_image(seed: int) -> dict[str, Trainee]:
    """A spatial transformer whose first map reads beyond the image; the repair is the identity."""
    network = ShortTraining(AFFINE, "spatial transformers", 1, seed=seed).network()
    thrown = deepcopy(network)
    for module in thrown.modules():
        if isinstance(module, AffineTransformer):
            module.shift = (2.1, 2.1)
    twin = ShortTraining(AFFINE, "spatial transformers", 1, scale=0.0, seed=seed).network()
    return {"violated": Trainee(thrown, 0.02), "repaired": Trainee(network, 0.02), "twin": Trainee(twin, 0.0)}


def stuck(seed: int) -> dict[str, Trainee]:
    """Only the warp can help, and its multiplier is a thousandth of what trains."""
    network = knowing_upright_digits(seed)
    twin = Trainee(knowing_upright_digits(seed, 0.0), 0.0)
    return {"violated": Trainee(deepcopy(network), 3e-5), "repaired": Trainee(network, 3e-2), "twin": twin}


def knot(seed: int) -> dict[str, Trainee]:
    """Samples that start on pixels, where autograd's derivative is that of one side; the repair is the mean of both."""
    network = knowing_upright_digits(seed)
    twin = Trainee(knowing_upright_digits(seed, 0.0), 0.0)
    return {"violated": Trainee(deepcopy(network), 3e-2), "repaired": Trainee(MeanOfSides(network), 3e-2), "twin": twin}


def folds(seed: int) -> dict[str, Trainee]:
    """Heads that are drawn, so that maps fold, three warps deep; the repair is heads of zero."""
    return {
        "violated": Trainee(_residual(seed, 3, 1.0, 1.0, "branch"), 1e-3),
        "repaired": Trainee(_residual(seed, 3, 1.0, 0.0, "branch"), 1e-3),
        "twin": Trainee(_residual(seed, 3, 0.0, 0.0, "branch"), 0.0),
    }


def localisation(seed: int) -> dict[str, Trainee]:
    """The network that explodes, each gradient clipped: what is left is that few positions say where it points."""
    return {role: Trainee(one.network, one.multiplier, CLIP) for role, one in explosion(seed).items()}


def _growth(rows: pd.DataFrame) -> float:
    """Return the amplitude of the gradient at the first warp's input over that at the last one's output."""
    ordered = rows.sort_values("depth")
    first, last = ordered["input_gradient_variance"].iloc[0], ordered["output_gradient_variance"].iloc[-1]
    return math.sqrt(first / last) if last > 0 else math.nan


def _largest(column: str) -> Callable[[pd.DataFrame], float]:
    return lambda rows: float(rows[column].max())


MECHANISMS = {
    each.name: each
    for each in (
        Mechanism("runaway", "G5", "deviation of offsets (pixels)", True, _largest("offset_deviation"), runaway),
        Mechanism("explosion", "G2", "gradient, first over last warp", True, _growth, explosion),
        Mechanism("off the image", "B4", "share of inputs never read", False, _largest("dead_fraction"), off_the_image),
        Mechanism("stuck", "G5", "deviation of offsets (pixels)", True, _largest("offset_deviation"), stuck),
        Mechanism("knot", "A10", "deviation of offsets (pixels)", True, _largest("offset_deviation"), knot, stops=None),
        Mechanism("folds", "G1", "share of pixels that fold", False, _largest("fold_fraction"), folds, stops=False),
        Mechanism("localisation", "K3", "gradient, first over last warp", True, _growth, localisation, stops=None),
    )
}
