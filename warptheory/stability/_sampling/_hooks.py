"""Hooks of modules that are not copied with them."""

from collections.abc import Callable
from typing import Any


class ModuleHook:
    """A hook of a module; a copy of it, pickled ones included, does nothing.

    A model is copied with its hooks. Those of a copy would report to a copy of whoever listens, for ever.

    Args:
        function: called with what the hook is called with.
    """

    def __init__(self, function: Callable[..., None] | None = None) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> None:
        """Hand everything on, and change nothing."""
        if self._function is not None:
            self._function(*arguments)

    def __reduce__(self) -> tuple[type["ModuleHook"], tuple[()]]:
        """Return how a copy is made: without the function."""
        return ModuleHook, ()
