"""What networks with self-warps share: families of names, parameter groups, reproducible weights, options by name."""

import inspect
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from warptheory.core.checks import check_integer
from warptheory.core.errors import UnknownNameError
from warptheory.core.streams import Stream
from warptheory.operators.self_warp import SelfWarp


class WarpedNetwork(nn.Module):
    """A network whose parameters fall into those that compute offsets, and the rest.

    Attributes:
        dim: number of axes of what it classifies: 1 for signals, 2 for images.
    """

    dim: ClassVar[int]

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the parameters in two groups: "warping" computes offsets, "rest" is everything else."""
        return parameter_groups(self)


def parameter_groups(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """Return the parameters of any model in two groups: "warping", those of its self-warps, and "rest".

    Args:
        model: a network of this library or of one's own; without `operators.SelfWarp` layers "warping" is empty.
    """
    warps = [module for module in model.modules() if isinstance(module, SelfWarp)]
    # By identity, once each: layers may share a head.
    warping = {id(parameter): parameter for warp in warps for parameter in warp.parameters()}
    rest = [parameter for parameter in model.parameters() if id(parameter) not in warping]
    return {"warping": list(warping.values()), "rest": rest}


@torch.no_grad()
def initialise(network: nn.Module, seed: int) -> None:
    """Draw the weights of every layer from a stream of the layer's name.

    A layer's weights are therefore the same whatever else is in the network: a warped network and its plain twin agree.
    Convolutions and linear layers take torch's default law, uniform within 1/√(inputs of an output).
    """
    check_integer("seed", seed, None)
    heads = {id(layer.head) for layer in network.modules() if isinstance(layer, SelfWarp)}
    for name, layer in network.named_modules():
        generator = torch.Generator().manual_seed(int(Stream(seed, f"weights/{name}").generator().integers(2**63)))
        if isinstance(layer, SelfWarp):
            layer.reset_head(generator)
        elif isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear) and id(layer) not in heads:
            bound = 1 / math.sqrt(layer.weight[0].numel())
            for parameter in layer.parameters():
                parameter.uniform_(-bound, bound, generator=generator)


def check_options(options: Mapping[str, object], network: Callable[..., Any]) -> None:
    """Refuse options that neither self-warp layers nor a network have.

    Args:
        options: what was left for the self-warps.
        network: takes the arguments of the network.

    Raises:
        UnknownNameError: such an option; the message lists those that exist.
    """
    layer = [name for name in inspect.signature(SelfWarp).parameters if name != "channels"]
    own = [name for name, one in inspect.signature(network).parameters.items() if one.kind != one.VAR_KEYWORD]
    for name in options:
        if name not in layer:
            raise UnknownNameError("option", name, [*own, *layer])


@dataclass(frozen=True)
class Family:
    """Networks of one builder, each with a plain twin.

    Attributes:
        pattern: regular expression of the plain networks' names; its named groups are whole-number arguments.
        names: the names that are listed; more may fit the pattern.
        builder: takes the pattern's groups, `classes`, `channels_in`, `warp` and options of its own.
    """

    pattern: str
    names: tuple[str, ...]
    builder: Callable[..., WarpedNetwork]

    def arguments(self, name: str) -> dict[str, int] | None:
        """Return the arguments that a plain network's name holds, None if it is not one of the family."""
        match = re.fullmatch(self.pattern, name, re.ASCII)
        return None if match is None else {key: int(value) for key, value in match.groupdict().items()}
