"""The gradients of a row: of what was sampled, the outcome, the offsets and the parameters, when they come."""

import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from torch.utils.weak import WeakIdKeyDictionary

from warptheory.core.torch_internals import tree_leaves
from warptheory.operators.self_warp import SelfWarp
from warptheory.stability._alarms import Alarms
from warptheory.stability._layer_statistics import LayerRow
from warptheory.stability._parameter_gradients import ParameterGradient
from warptheory.stability._sampling._call import SamplingCall
from warptheory.stability._sampling._gradients import BackwardPasses, PendingGradients, listen
from warptheory.stability._sampling._statistics import variance


class RowGradients:
    """Writes the gradients of sampling operations into their rows.

    A row takes those of the first backward pass that comes to its operation. Gradients of parameters may come before
    that of the outcome, so they are kept by pass until it is known which passes those are.

    Args:
        images: images of a batch of which statistics are taken, the first ones; None for all.
        alarms: told of every gradient.
    """

    def __init__(self, images: int | None, alarms: Alarms) -> None:
        self._images, self._alarms = images, alarms
        self._passes = BackwardPasses()
        self._parameters: WeakIdKeyDictionary = WeakIdKeyDictionary()
        self._waits: dict[LayerRow, _Wait] = {}
        self._detached: list[_Wait] = []

    def begin(self) -> None:
        """Begin a step: wait no longer for earlier rows that have no graph whose end could be seen."""
        self._parameters = WeakIdKeyDictionary()
        self._release_unfinished()

    def expect(
        self,
        row: LayerRow,
        module: nn.Module,
        call: SamplingCall,
        *,
        expects_backward: bool,
        recomputation: object = None,
    ) -> None:
        """Wait for the gradients of a call.

        Args:
            row: what is completed.
            module: the module in which the operation ran.
            call: the operation.
            expects_backward: whether a backward pass may come to the step.
            recomputation: what lives as long as the graph that will recompute the operation, with gradients; None if
                none will.
        """
        if not (expects_backward or call.requires_grad):
            return
        wait = self._waits[row] = _Wait(row, self._waits)
        for parameter in module.parameters():
            if parameter.requires_grad:
                wait.add(self._gradient_of(parameter))
        if recomputation is not None:
            wait.release_with(recomputation)
        elif _with_graph(call) is None:
            self._detached.append(wait)
        self._listen(wait, module, call)

    def expect_recomputed(self, row: LayerRow, module: nn.Module, call: SamplingCall) -> None:
        """Wait for the gradients of an operation that is recomputed, inside a backward pass."""
        wait = self._waits.get(row)
        if wait is not None:
            self._listen(wait, module, call)

    def expect_recomputations(self) -> None:
        """Say that recomputations will come, whose backward passes run inside others and bring gradients in parts."""
        self._passes.may_nest = True

    def begin_recomputation(self) -> None:
        """Say that a recomputation begins: a backward pass is about to run inside the current one."""
        self._passes.current().has_inner = True

    def end(self, output: Any) -> None:
        """End the forward pass of a step.

        Operations whose outcome has no graph, or outlives it, hear of the backward pass by the model's output.
        """
        tensors = [each for each in tree_leaves(output) if isinstance(each, Tensor) and each.requires_grad]
        if not self._detached or not tensors or any(each.is_leaf for each in tensors):
            for wait in self._detached:
                wait.row.passes = None
            return
        waits, self._detached, graph = self._detached, [], _Graph()

        for wait in waits:
            wait.release_with(graph)
            for each in tensors:
                listen(each, partial(self._reach, wait.row), graph)

    def forget(self) -> None:
        """Wait no longer for gradients of tensors that outlive their graph, such as parameters."""
        self._release_unfinished()
        for wait in list(self._waits.values()):
            wait.release()

    def _release_unfinished(self) -> None:
        for wait in self._detached:
            wait.release()
        self._detached = []

    def _gradient_of(self, parameter: Tensor) -> ParameterGradient:
        if parameter not in self._parameters or not self._parameters[parameter].is_listening:
            self._parameters[parameter] = ParameterGradient(parameter, self._passes)
        found: ParameterGradient = self._parameters[parameter]
        return found

    def _listen(self, wait: "_Wait", module: nn.Module, call: SamplingCall) -> None:
        """Listen to the tensors of a call, except to those that it listens to since its first run."""
        images, layout, marked = self._images, call.layout, _with_graph(call)
        if marked is not None:
            graph = _Graph()
            if not wait.is_bound:
                wait.release_with(graph)
            # The first listener of its tensor, so that the others know of the pass.
            listen(marked, partial(self._reach, wait.row), graph)
        # A self-warp reads a view of its input, and others may read the input beside it.
        x = _viewed(call.x) if isinstance(module, SelfWarp) else call.x
        read: dict[str, tuple[Tensor | None, Callable[[Tensor], Tensor]]] = {
            "output": (call.y, lambda gradient: gradient[:images]),
            "input": (x, lambda gradient: gradient[:images]),
            "offset": (call.raw, lambda gradient: layout.gradient(gradient[:images])),
        }
        for name, (tensor, values) in read.items():
            if tensor is None or not tensor.requires_grad or name in wait.names:
                continue
            wait.names.add(name)
            handle = listen(tensor, partial(self._receive, wait.row, wait.pending, name, values))
            if tensor.is_leaf:
                wait.leaves.append(handle)

    def _receive(
        self, row: LayerRow, _: PendingGradients | None, name: str, values: Callable[[Tensor], Tensor], gradient: Tensor
    ) -> bool:
        """Write a gradient, if its pass comes to the operation."""
        if row.passes is not None and self._passes.current().number not in row.passes:
            return False
        found = row.gradients[name] = float(variance(values(gradient)))
        if gradient.numel():
            self._alarms.gradient(row, f"{name}_gradient_variance", found)
        return True

    def _reach(self, row: LayerRow, _: Tensor) -> bool:
        """Note that the current pass comes to an operation; no longer when nothing waits for it."""
        current = self._passes.current()
        if row.passes is not None and current.number not in row.passes:
            row.passes.append(current.number)
            current.at_end(row, partial(self._end_of_pass, row))
        return row not in self._waits

    def _end_of_pass(self, row: LayerRow) -> None:
        wait, found = self._waits.get(row), row.parameter_moments
        if any(each.count for each in found):
            self._alarms.gradient(row, "parameter_gradient_variance", row.parameter_gradient_variance)
        # A pass that asked for other gradients than those of parameters leaves these to the next.
        if wait is not None and (found or not row.parameters):
            wait.release()


class _Graph:
    """Lives as long as the graph whose tensors it is kept with."""


class _Wait:
    """Waits for the gradients of a row.

    Attributes:
        row: the row.
        pending: keeps the row open.
        names: gradients that are listened to.
        leaves: listeners on tensors that outlive their graph.
        is_bound: whether it is released with something.
    """

    def __init__(self, row: LayerRow, waits: "dict[LayerRow, _Wait]") -> None:
        self.row = row
        self.pending: PendingGradients | None = row.expect()
        self.names: set[str] = set()
        self.leaves: list[RemovableHandle] = []
        self.is_bound = False
        self._waits = waits

    def add(self, gradient: ParameterGradient) -> None:
        """Wait for the gradient of a parameter as well."""
        gradient.enter()
        self.row.parameters.append(gradient)

    def release_with(self, other: object) -> None:
        """Wait no longer than something lives."""
        self.is_bound = True
        weakref.finalize(other, self.release).atexit = False

    def release(self) -> None:
        """Wait no longer for what outlives the graph: parameters and other leaves."""
        if self._waits.pop(self.row, None) is None:
            return
        self.pending = None
        for gradient in self.row.parameters:
            gradient.leave()
        for handle in self.leaves:
            handle.remove()


def _with_graph(call: SamplingCall) -> Tensor | None:
    """Return the tensor whose gradient tells that a pass comes to a call, and that goes with its graph; None without.

    It is the outcome, or the offsets where the outcome is not known, or has no place in the graph.
    """
    return next((each for each in (call.y, call.raw) if _has_graph(each)), None)


def _has_graph(tensor: Tensor | None) -> bool:
    return tensor is not None and tensor.requires_grad and not tensor.is_leaf


def _viewed(tensor: Tensor | None) -> Tensor | None:
    """Return the tensor that one is a view of, if it is a view of all of it as it is; else the tensor itself."""
    base = None if tensor is None else tensor._base
    if tensor is None or base is None:
        return tensor
    is_whole = base.shape == tensor.shape and base.stride() == tensor.stride()
    return base if is_whole and base.requires_grad else tensor
