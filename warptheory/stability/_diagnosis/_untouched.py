"""A context that leaves a model, its optimizer and all random numbers as they were, to the last bit.

The model itself is tried, not a copy: copies lose hooks, and a loss may refer to the model. So everything that a step
changes is kept before, and put back after, also if an error ends the trial: values of parameters, gradients and
buffers, the attributes of modules, the optimizer's state, rates and counters, and the states of generators.
"""

import copy
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Randomness:
    """The states of the generators that a model may draw from: of torch on every device, of NumPy and of Python."""

    cpu: Tensor
    devices: list[Tensor]
    numpy: Any
    python: Any

    @classmethod
    def now(cls) -> "Randomness":
        """Return the present states."""
        devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        return cls(torch.get_rng_state(), devices, np.random.get_state(), random.getstate())  # noqa: NPY002

    def restore(self) -> None:
        """Go back to these states, so that what is drawn next is drawn again."""
        torch.set_rng_state(self.cpu)
        if self.devices:
            torch.cuda.set_rng_state_all(self.devices)
        np.random.set_state(self.numpy)  # noqa: NPY002
        random.setstate(self.python)


@contextmanager
def untouched(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Leave a model and its optimizer as they are now, whatever happens within."""
    randomness = Randomness.now()
    undo = [*_of_modules(model), *_of_tensors(model, optimizer), _of_optimizer(optimizer)]
    try:
        yield
    finally:
        with torch.no_grad():
            for each in undo:
                each()
        randomness.restore()


def _of_modules(model: nn.Module) -> Iterator[Callable[[], None]]:
    """Yield what gives each module its attributes back: the same objects, in the same order."""
    for module in model.modules():
        attributes = vars(module)
        parts = {name: dict(value) for name, value in attributes.items() if isinstance(value, dict)}
        yield _of_dictionary(attributes, dict(attributes))
        for name, part in parts.items():
            yield _of_dictionary(attributes[name], part)


def _of_dictionary(dictionary: dict[Any, Any], kept: dict[Any, Any]) -> Callable[[], None]:
    def restore() -> None:
        dictionary.clear()
        dictionary.update(kept)

    return restore


def _of_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[Callable[[], None]]:
    """Yield what puts the values of parameters, gradients and buffers back, and what was asked of them."""
    grouped = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    leaves = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers(), *grouped)}
    for tensor in leaves.values():
        yield _of_leaf(tensor)


def _of_leaf(tensor: Tensor) -> Callable[[], None]:
    value, needed, gradient = tensor.detach().clone(), tensor.requires_grad, tensor.grad
    kept = None if gradient is None else gradient.detach().clone()

    def restore() -> None:
        tensor.copy_(value)
        if gradient is not None and kept is not None:
            gradient.detach().copy_(kept)
        tensor.grad = gradient
        if tensor.is_leaf and tensor.requires_grad != needed:
            tensor.requires_grad_(needed)

    return restore


def _of_optimizer(optimizer: torch.optim.Optimizer) -> Callable[[], None]:
    attributes = dict(vars(optimizer))
    groups = [{name: _kept(value) for name, value in group.items()} for group in optimizer.param_groups]
    states = {
        parameter: {name: _kept(value) for name, value in state.items()} for parameter, state in optimizer.state.items()
    }

    def restore() -> None:
        vars(optimizer).clear()
        vars(optimizer).update(attributes)
        for group, kept in zip(optimizer.param_groups, groups, strict=True):
            group.clear()
            group.update({name: put_back() for name, put_back in kept.items()})
        optimizer.state.clear()
        for parameter, state in states.items():
            optimizer.state[parameter] = {name: put_back() for name, put_back in state.items()}

    return restore


def _kept(value: Any) -> Callable[[], Any]:
    """Return what returns a value as it is now: of a tensor the same object, with its present numbers."""
    if isinstance(value, Tensor):
        numbers = value.detach().clone()

        def put_back() -> Any:
            value.detach().copy_(numbers)
            return value

        return put_back
    kept = value if isinstance(value, list) else copy.deepcopy(value)
    return lambda: kept
