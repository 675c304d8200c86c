"""Listening for gradients: the first that comes to a tensor is handed on, and the listener is gone."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from warptheory.stability._sampling._readable import is_readable


class Expectation:
    """Held by each listener of a group, and by nothing else: when it is gone, no gradient can come any more."""


class GradientListeners:
    """Listeners that wait for the gradients of tensors.

    A listener goes with the graph of its tensor. A leaf, such as a parameter, outlives the graph: its listener stays
    until a gradient comes or `forget_leaves` is called.
    """

    def __init__(self) -> None:
        self._leaves: list[RemovableHandle] = []

    def listen(
        self,
        tensor: Tensor,
        receive: Callable[[Tensor], None],
        expectation: Expectation,
        is_expected: Callable[[], bool] = lambda: True,
    ) -> None:
        """Hand the first expected gradient of a tensor on, and no other.

        Args:
            tensor: a tensor that requires a gradient.
            receive: called with the gradient.
            expectation: kept for as long as the gradient may come.
            is_expected: asked when a gradient comes.
        """
        hook = _OnceHook(receive, expectation, is_expected)
        hook.handle = tensor.register_hook(hook)
        if tensor.is_leaf:
            self._leaves.append(hook.handle)

    def forget_leaves(self) -> None:
        """Let go of tensors that outlive their graph; the others go with it."""
        for handle in self._leaves:
            handle.remove()
        self._leaves = []


class _OnceHook:
    handle: RemovableHandle

    def __init__(
        self, receive: Callable[[Tensor], None], expectation: Expectation, is_expected: Callable[[], bool]
    ) -> None:
        self._receive, self._expectation, self._is_expected = receive, expectation, is_expected

    def __call__(self, gradient: Tensor) -> None:
        if self._is_expected() and is_readable(gradient):
            self.handle.remove()
            with torch.no_grad():
                self._receive(gradient)
