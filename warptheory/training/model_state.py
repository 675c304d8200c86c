"""The state of a model and its optimizer as tensors by name, and its fingerprint."""

from collections.abc import Mapping
from hashlib import sha256

import torch
from numpy import ndarray
from torch import Tensor, nn

from warptheory.core.errors import ArgumentError

_MODEL, _OPTIMIZER = "model", "optimizer"


def weights_of(model: nn.Module) -> dict[str, ndarray]:
    """Return a model's weights and buffers as arrays by name, each of its own shape, such as (D, C, 3, 3)."""
    return {name: tensor.detach().cpu().contiguous().numpy() for name, tensor in model.state_dict().items()}


def state_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return copies of a model's weights and buffers and of its optimizer's state, on the CPU, each of its own shape.

    Names begin with "model." or "optimizer.": model.stem.weight of shape (D, C, 3, 3), optimizer.0.momentum_buffer.
    """
    found = {f"{_MODEL}.{name}": tensor for name, tensor in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        found |= {f"{_OPTIMIZER}.{index}.{name}": x for name, x in state.items() if isinstance(x, Tensor)}
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in found.items()}


def restore_state(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Set a model and its optimizer to the state that `state_tensors` returned.

    Args:
        model: built as when the state was taken.
        optimizer: likewise.
        tensors: by name, each of the shape that it had, such as (D, C, 3, 3).

    Raises:
        ArgumentError: the state of another model.
    """
    weights: dict[str, Tensor] = {}
    state: dict[int, dict[str, Tensor]] = {}
    for path, tensor in tensors.items():
        owner, _, name = path.partition(".")
        if owner == _MODEL:
            weights[name] = tensor
            continue
        index, _, name = name.partition(".")
        number = int(index) if index.isascii() and index.isdigit() else -1
        state.setdefault(number, {})[name] = tensor
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ArgumentError("model", expected="the model of the checkpoint", received=error) from error
    _check_optimizer_state(optimizer, state)
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    _lay_out(optimizer)


def _check_optimizer_state(optimizer: torch.optim.Optimizer, state: Mapping[int, Mapping[str, Tensor]]) -> None:
    """Check that there is a parameter for each part of a state, and of its shape.

    Raises:
        ArgumentError: there is none.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for number, parts in state.items():
        for name, tensor in parts.items():
            if not 0 <= number < len(parameters) or tensor.shape not in (parameters[number].shape, torch.Size()):
                received = f"{name!r} of parameter {number}, of shape {tuple(tensor.shape)}"
                raise ArgumentError("checkpoint", expected="the state of this run's optimizer", received=received)


def fingerprint(model: nn.Module) -> str:
    """Return the SHA-256 of a model's weights and buffers: equal if and only if they are, to the last bit."""
    digest = sha256()
    for name, tensor in sorted(model.state_dict().items()):
        plain = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {plain.dtype} {tuple(plain.shape)}\n".encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _lay_out(optimizer: torch.optim.Optimizer) -> None:
    """Give the state the parameters' order in memory, on which the rounding of vectorised updates may depend."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
