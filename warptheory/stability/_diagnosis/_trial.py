"""Trials: a model, its loss and its optimizer on one batch, again and again from the same state.

Every run draws the same random numbers, so that dropout and the like differ between two runs by what was changed, and
by nothing else.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from warptheory.core.errors import ArgumentError
from warptheory.core.text import one_line, shortened, shown
from warptheory.stability._diagnosis._untouched import Randomness, optimizer_untouched

Loss = Callable[[Any, Any], Tensor]
Update = Mapping[str, Tensor]

_LONGEST_ERROR = 160


@dataclass(frozen=True, eq=False)
class Run:
    """A forward pass.

    Attributes:
        outputs: tensors of real numbers that the model returned, in their order.
        features: the last outcome of a module that is no scalar, for models that return a loss alone; None if the
            model has no modules.
        loss: the loss, a scalar.
    """

    outputs: tuple[Tensor, ...]
    features: Tensor | None
    loss: Tensor

    def observed(self) -> tuple[Tensor, ...]:
        """Return the tensors whose change says how far a step moves the model: its outputs on which the loss depends.

        Of a model that returns scalars only, such as its loss, these are the features before it.
        """
        fields = tuple(each for each in self.outputs if each.numel() > 1)
        if not fields and self.features is not None:
            return (self.features,)
        return fields or self.outputs


class Attempt:
    """A model that is tried on one batch; its parameters are changed and put back.

    Args:
        model: the model, in the mode in which it is to be tried.
        loss: of output and target.
        optimizer: holds parameters of the model.
        inputs: arguments of the model.
        target: second argument of the loss.

    Attributes:
        parameters: all parameters that can be learned, of the model by dotted name and of the optimizer besides by
            place.
    """

    def __init__(
        self, model: nn.Module, loss: Loss, optimizer: torch.optim.Optimizer, inputs: tuple[Any, ...], target: Any
    ) -> None:
        self.model, self.optimizer = model, optimizer
        self.parameters = named_parameters(model, optimizer)
        self._loss, self._inputs, self._target = loss, inputs, target
        self._randomness = Randomness.now()
        self._before = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}
        self._buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]

    def run(self, within: AbstractContextManager[Any] | None = None) -> Run:
        """Run the model and the loss within a context, from the state and the random numbers of the beginning.

        Raises:
            ArgumentError: a batch that the model cannot take, or a loss that is no scalar.
        """
        self._randomness.restore()
        with torch.no_grad():
            for buffer, value in self._buffers:
                buffer.copy_(value)
        return self._forward(within)

    def _forward(self, within: AbstractContextManager[Any] | None = None) -> Run:
        with _last_features(self.model) as features, within or nullcontext():
            output = _called("batches", "inputs that the model takes", self.model, *self._inputs)
            loss = _called("loss", "a function of output and target", self._loss, output, self._target)
        if not isinstance(loss, Tensor) or loss.numel() != 1 or not loss.is_floating_point():
            received = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else shown(loss)
            raise ArgumentError("loss", expected="a function that returns a scalar tensor", received=received)
        found = tuple(each for each in _tensors(output) if each.is_floating_point())
        return Run(found, features[-1] if features else None, loss.reshape(()))

    def gradients(self, within: AbstractContextManager[Any] | None = None) -> tuple[Run, dict[str, Tensor | None]]:
        """Run forwards and backwards; return the pass, and the gradient of each parameter, None where there is none.

        Hooks of parameters and modules have changed the gradients, as in training.

        Raises:
            ArgumentError: as `run`.
        """
        for parameter in self.parameters.values():
            parameter.grad = None
        with torch.enable_grad(), within or nullcontext():
            run = self.run()
            # Of a loss that is not finite nothing is asked: torch's samplers crash at positions that are NaN.
            if run.loss.requires_grad and bool(torch.isfinite(run.loss)):
                torch.autograd.backward(run.loss)
        found = {name: parameter.grad for name, parameter in self.parameters.items()}
        for parameter in self.parameters.values():
            parameter.grad = None
        return run, {name: None if each is None else each.detach().clone() for name, each in found.items()}

    def look(self) -> Run:
        """Run the model where steps have brought it, with the first random numbers, and leave it there."""
        randomness = Randomness.now()
        buffers = [(buffer, buffer.detach().clone()) for buffer in self.model.buffers()]
        self._randomness.restore()
        try:
            return self._forward()
        finally:
            randomness.restore()
            with torch.no_grad():
                for buffer, value in buffers:
                    buffer.copy_(value)

    def step(self) -> Run:
        """Take a step of the optimizer in earnest: parameters, buffers and random numbers go on."""
        for parameter in self.parameters.values():
            parameter.grad = None
        with torch.enable_grad():
            run = self._forward()
            if bool(torch.isfinite(run.loss)):
                torch.autograd.backward(run.loss)
                self.optimizer.step()
        for parameter in self.parameters.values():
            parameter.grad = None
        return run

    def update(self, gradients: Mapping[str, Tensor | None]) -> dict[str, Tensor]:
        """Return what one step of the optimizer changes in each parameter, given gradients; nothing is changed."""
        for name, parameter in self.parameters.items():
            parameter.grad = gradients.get(name)
        try:
            with optimizer_untouched(self.optimizer):
                self.optimizer.step()
        except TypeError as error:
            received = f"{type(self.optimizer).__name__}: {one_line(str(error))}"
            raise ArgumentError("optimizer", expected="one that steps without a closure", received=received) from error
        finally:
            for parameter in self.parameters.values():
                parameter.grad = None
        found = {name: parameter.detach() - self._before[name] for name, parameter in self.parameters.items()}
        self.move({}, 0.0)
        return found

    def move(self, update: Update, multiple: float = 1.0) -> None:
        """Set the parameters to those of the beginning plus a multiple of an update; those without one stay."""
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(self._before[name])
                if name in update:
                    parameter.add_(update[name], alpha=multiple)

    @contextmanager
    def moved(self, update: Update, multiple: float = 1.0) -> Iterator[None]:
        """Have the parameters moved, within."""
        self.move(update, multiple)
        try:
            yield
        finally:
            self.move({}, 0.0)

    @contextmanager
    def set_to(self, values: Mapping[str, Tensor]) -> Iterator[None]:
        """Have some parameters set to other values, within."""
        with self.moved({name: value - self._before[name] for name, value in values.items()}):
            yield


def named_parameters(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, nn.Parameter]:
    """Return the parameters of a model by dotted name, and those of its optimizer that are not the model's by place."""
    found = {name: parameter for name, parameter in model.named_parameters() if parameter.is_floating_point()}
    known = {id(parameter) for parameter in found.values()}
    for number, group in enumerate(optimizer.param_groups):
        for place, parameter in enumerate(group["params"]):
            if id(parameter) not in known:
                found[f"optimizer group {number}, parameter {place}"] = parameter
    return found


def present(gradients: Mapping[str, Tensor | None]) -> dict[str, Tensor]:
    """Return the gradients (*S) that there are."""
    return {name: each for name, each in gradients.items() if each is not None}


def distance(first: Sequence[Tensor], second: Sequence[Tensor]) -> float:
    """Return the root mean square difference of two lists of tensors of the same shapes."""
    energy = sum(
        float((a.detach().double() - b.detach().double()).square().sum()) for a, b in zip(first, second, strict=True)
    )
    return math.sqrt(energy / max(1, sum(each.numel() for each in first)))


def norm_of(tensors: Sequence[Tensor | None]) -> float:
    """Return the Euclidean norm of all entries of some tensors of any shapes (*S); None counts as zero."""
    return math.sqrt(sum(float(each.double().square().sum()) for each in tensors if each is not None))


def dot(first: Mapping[str, Tensor | None], second: Update) -> float:
    """Return the inner product of gradients with an update."""
    pairs = ((first.get(name), each) for name, each in second.items())
    return sum(float((a.double() * b.double()).sum()) for a, b in pairs if a is not None)


def checked_batch(batch: Any) -> tuple[tuple[Any, ...], Any]:
    """Return a batch as arguments of the model and a target.

    Raises:
        ArgumentError: other than a pair.
    """
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        received = f"{type(batch).__name__} of {len(batch)}" if hasattr(batch, "__len__") else type(batch).__name__
        raise ArgumentError("batches", expected="pairs (inputs, target)", received=received)
    inputs, target = batch
    return (tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)), target


def _called(argument: str, expected: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call what a user gave; what goes wrong in it names the argument."""
    try:
        return function(*arguments)
    except ArgumentError:
        raise
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError, KeyError, AssertionError) as error:
        received = shortened(one_line(f"{type(error).__name__}: {error}"), _LONGEST_ERROR)
        raise ArgumentError(argument, expected=expected, received=received) from error


def _tensors(output: Any) -> list[Tensor]:
    """Return the tensors in what a model returned, whatever holds them."""
    leaves = pytree.tree_leaves(output)
    unpacked = [
        each if isinstance(each, Tensor) else list(vars(each).values()) if hasattr(each, "__dict__") else []
        for each in leaves
    ]
    return [each for each in pytree.tree_leaves(unpacked) if isinstance(each, Tensor)]


@contextmanager
def _last_features(model: nn.Module) -> Iterator[list[Float[Tensor, "..."]]]:
    """Keep, within, the last outcome of a part of the model that holds more than one number."""
    found: list[Tensor] = []

    def keep(_: nn.Module, __: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.is_floating_point() and output.numel() > 1:
            found[:] = [output]

    parts = [part for part in model.modules() if part is not model and not isinstance(part, torch.jit.ScriptModule)]
    handles = [part.register_forward_hook(keep) for part in parts]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
