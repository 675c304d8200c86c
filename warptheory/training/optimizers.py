"""Optimizers over a model's parameter groups, with a learning-rate multiplier for "warping"."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from warptheory import networks
from warptheory.core.checks import check_known
from warptheory.core.errors import ArgumentError

Groups = list[dict[str, Any]]


def _sgd(groups: Groups, momentum: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups, momentum=momentum)


def _adamw(groups: Groups, momentum: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, betas=(momentum, 0.999))


_OPTIMIZERS: dict[str, Callable[[Groups, float], torch.optim.Optimizer]] = {"adamw": _adamw, "sgd": _sgd}


def names() -> tuple[str, ...]:
    """Return the names of the optimizers."""
    return tuple(_OPTIMIZERS)


def parameter_groups(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """Return a model's own parameter groups, or else "warping" and "rest"; groups that are empty are left out."""
    own = getattr(model, "parameter_groups", None)
    groups: dict[str, list[nn.Parameter]] = own() if callable(own) else networks.parameter_groups(model)
    return {name: parameters for name, parameters in groups.items() if parameters}


def build_optimizer(
    model: nn.Module,
    name: str,
    *,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    warping_multiplier: float = 1.0,
) -> torch.optim.Optimizer:
    """Return the optimizer of a model; its learning rate is set before each step, by `set_learning_rate`.

    Args:
        model: its `parameter_groups()`, if it has them, name its parameters; else the parameters of its self-warps are
            "warping", and all others "rest".
        name: "sgd" or "adamw".
        momentum: momentum of sgd; decay rate of the first moment of adamw.
        weight_decay: of filters and matrices; vectors (biases, BatchNorm's parameters) have none.
        warping_multiplier: factor on the learning rate of the group "warping".

    Raises:
        ArgumentError: an unknown name, or a model without parameters that can be trained.

    Source: I. Loshchilov, F. Hutter, ICLR 2019 (AdamW).
    """
    check_known("optimizer", name, _OPTIMIZERS)
    multipliers = {"warping": warping_multiplier}
    groups: Groups = [
        {"params": chosen, "name": group, "weight_decay": decay, "multiplier": multipliers.get(group, 1.0)}
        for group, parameters in parameter_groups(model).items()
        for chosen, decay in _by_weight_decay(parameters, weight_decay)
        if chosen
    ]
    if not any(parameter.requires_grad for group in groups for parameter in group["params"]):
        raise ArgumentError("model", expected="a model with parameters to train", received=type(model).__name__)
    return _OPTIMIZERS[name](groups, momentum)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of the group "rest", and of each group its multiple."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["multiplier"]


def gradient_norms(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the norm of the gradient of each named group, a scalar each, on the device of its parameters."""
    parameters: dict[str, list[Tensor]] = {}
    for group in optimizer.param_groups:
        parameters.setdefault(group["name"], []).extend(group["params"])
    return {name: _norm_of_gradients(chosen) for name, chosen in parameters.items()}


def _norm_of_gradients(parameters: list[Tensor]) -> Float[Tensor, ""]:
    found = [parameter.grad for parameter in parameters if parameter.grad is not None]
    # Of no gradients, as in a group that is frozen, torch would make a zero on the CPU.
    return torch.nn.utils.get_total_norm(found) if found else parameters[0].new_zeros(())


def _by_weight_decay(parameters: list[nn.Parameter], decay: float) -> list[tuple[list[nn.Parameter], float]]:
    return [([p for p in parameters if p.ndim > 1], decay), ([p for p in parameters if p.ndim <= 1], 0.0)]
