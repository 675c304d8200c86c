"""What networks with self-warps share: groups of parameters, reproducible weights, options by name."""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import nn

from warptheory.core.errors import ArgumentError, UnknownNameError
from warptheory.core.streams import Stream
from warptheory.operators import SelfWarp


class WarpedNetwork(nn.Module):
    """A network whose parameters fall into those that compute offsets, and the rest.

    Attributes:
        dim: number of axes of what it classifies: 1 for signals, 2 for images.
    """

    dim: ClassVar[int]

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the parameters in two groups: "warping" computes offsets, "rest" is everything else."""
        warping = [p for module in self.modules() if isinstance(module, SelfWarp) for p in module.parameters()]
        chosen = set(map(id, warping))
        return {"warping": warping, "rest": [p for p in self.parameters() if id(p) not in chosen]}


@torch.no_grad()
def initialise(network: nn.Module, seed: int) -> None:
    """Draw the weights of every layer from a stream of the layer's name.

    A layer's weights are therefore the same whatever else is in the network: a warped network and its plain twin agree.
    Convolutions and linear layers take torch's default law, uniform within 1/√(inputs of an output).
    """
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


def check_count(argument: str, value: object) -> int:
    """Return a number of things.

    Raises:
        ArgumentError: not a positive integer.
    """
    if type(value) is not int or value < 1:
        raise ArgumentError(argument, expected="a positive integer", received=repr(value))
    return value
