"""What runs now, by the frames of this thread."""

import sys
from collections.abc import Iterator
from types import FrameType

from torch import nn
from torch.autograd.function import FunctionCtx

_CALL = nn.Module._call_impl.__code__


def autograd_function(ignored: str = "") -> FunctionCtx | None:
    """Return the context of the innermost `torch.autograd.Function` that runs, forward or backward; None without.

    Args:
        ignored: file whose frames do not count.
    """
    for frame in _frames():
        code = frame.f_code
        if code.co_argcount and code.co_filename != ignored:
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
