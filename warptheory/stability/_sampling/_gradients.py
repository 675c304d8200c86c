"""Listening for gradients, and telling which backward pass brings them."""

from collections.abc import Callable
from weakref import WeakValueDictionary

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from warptheory.core.torch_internals import backward_pass_number, when_backward_ends
from warptheory.stability._sampling._readable import harmless, is_readable


class PendingGradients:
    """Held by each listener of a group, and by nothing else: when it is gone, no gradient can come any more."""


class BackwardPass:
    """One backward pass, with those that run inside it.

    Attributes:
        number: its own; no other pass of the process has it.
        has_inner: whether others may run inside it, as they do in a recomputation.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.has_inner = False
        self._at_end: dict[int, Callable[[], None]] = {}

    def at_end(self, owner: object, call: Callable[[], None]) -> None:
        """Call a function when the pass ends without a failure, once for each owner."""
        self._at_end.setdefault(id(owner), call)

    def finish(self) -> None:
        """Call what waits for the end."""
        calls, self._at_end = list(self._at_end.values()), {}
        for call in calls:
            call()


class BackwardPasses:
    """Knows which backward pass is running; autograd alone holds them.

    Attributes:
        may_nest: whether passes were met that run inside others.
    """

    def __init__(self) -> None:
        self.may_nest = False
        self._running: WeakValueDictionary[int, BackwardPass] = WeakValueDictionary()

    def current(self) -> BackwardPass:
        """Return the outermost pass that runs now; called from inside one."""
        outer = next((each for each in self._running.values() if each.has_inner), None)
        if outer is not None:
            return outer
        number = backward_pass_number()
        found = self._running.get(number)
        if found is None:
            found = self._running[number] = BackwardPass(number)
            # Kept by autograd until the pass is over, even if it fails.
            when_backward_ends(found.finish)
        return found


def is_in_backward() -> bool:
    """Return whether this thread is inside a backward pass."""
    return backward_pass_number() != -1


def listen(tensor: Tensor, receive: Callable[[Tensor], bool], *kept: object) -> RemovableHandle:
    """Hand gradients of a tensor on until one is taken.

    Args:
        tensor: a tensor that requires a gradient.
        receive: called with a gradient; returns whether it takes it.
        kept: objects that live as long as the graph of the tensor, or until the handle is removed.

    Returns:
        The handle; a tensor that is no leaf takes the listener with its graph.
    """
    register: Callable[[_Listener], RemovableHandle] = tensor.register_hook
    return register(_Listener(receive, kept))


class _Listener:
    def __init__(self, receive: Callable[[Tensor], bool], kept: tuple[object, ...]) -> None:
        self._receive: Callable[[Tensor], bool] | None = receive
        self._kept = kept

    def __call__(self, gradient: Tensor) -> None:
        receive = self._receive
        if receive is None or not is_readable(gradient):
            return
        with torch.no_grad(), harmless("a gradient"):
            if receive(gradient):
                self._receive = None
