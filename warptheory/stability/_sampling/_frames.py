"""What runs now, by the frames of this thread and by hooks of modules."""

import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from torch import nn
from torch.autograd.function import FunctionCtx

_CALL = nn.Module._call_impl.__code__


def autograd_function() -> FunctionCtx | None:
    """Return the context of the innermost `torch.autograd.Function` that runs, forward or backward; None without."""
    for frame in _frames():
        code = frame.f_code
        if code.co_argcount:
            first = frame.f_locals.get(code.co_varnames[0])
            if isinstance(first, FunctionCtx) and code.co_name in ("forward", "backward"):
                return first
    return None


def is_called_within(model: nn.Module) -> bool:
    """Return whether a call of a model runs inside another one of it."""
    return sum(frame.f_code is _CALL and frame.f_locals.get("self") is model for frame in _frames()) > 1


def _frames() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        yield frame
        frame = frame.f_back


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
