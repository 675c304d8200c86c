"""Which engine runs a call, and why: the table of engines, and one dispatch for all operators.

An engine is a module that computes (`engines.engine`). A backend is the name by which a user asks for one and is told
which one it was. The native engine is that of the tensors' device; it runs what it can unless another one is asked for.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import cast

from torch import Tensor

from warptheory.core.errors import ArgumentError, WarpTheoryError
from warptheory.warping.engines.engine import Engine
from warptheory.warping.interpolation import Interpolation
from warptheory.warping.shapes import GroupedOffsets, ImageTensor

VARIABLE = "WARPTHEORY_BACKEND"
REFERENCE = "reference"
# Engines by the names that users know; each is imported when it is first asked for.
ENGINES = {
    REFERENCE: "warptheory.warping.reference",
    "cpu": "warptheory.warping.engines.cpu.engine",
    "triton": "warptheory.warping.engines.triton.engine",
}


class BackendError(WarpTheoryError):
    """A backend that was asked for by name cannot run a call; the message says why."""


@dataclass(frozen=True)
class Backend:
    """The backend of a call: the name of the engine that runs it, and why it is the one."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


@cache
def engine(name: str) -> Engine:
    """Import an engine."""
    return cast("Engine", import_module(ENGINES[name]))


def engine_for(
    values: Tensor,
    offsets: Tensor,
    interpolation: Interpolation,
    argument: str | None,
    size: Sequence[int] | None = None,
) -> Engine:
    """Return the engine of the backend that `choose` gives; arguments and errors as there."""
    return engine(_pick(values, offsets, interpolation, *_requested(argument), size)[0])


def choose(
    x: ImageTensor,
    offsets: GroupedOffsets,
    interpolation: Interpolation,
    argument: str | None,
    size: Sequence[int] | None = None,
) -> Backend:
    """Choose the backend of a call.

    Args:
        x: the image (of `splat`: what is scattered), shape (B, C, *S).
        offsets: grouped offsets, shape (B, G, d, *T).
        interpolation: how to read between pixels.
        argument: what the caller asked for, a name in `ENGINES`; None takes the environment variable's, and failing
            that the fastest.
        size: that of the image that values are scattered into; None where `x` is the image.

    Raises:
        ArgumentError: no backend of that name.
        BackendError: the backend asked for cannot run the call.
    """
    requested, origin = _requested(argument)
    name, obstacle = _pick(x, offsets, interpolation, requested, origin, size)
    if requested is not None:
        return Backend(name, f"asked for by {origin}")
    if obstacle is not None:
        return Backend(name, f"not {_native(x)}: {obstacle}")
    if interpolation.is_linear:
        return Backend(name, f"the fast kernels for {x.device.type} tensors")
    return Backend(name, "its compiled loop over the taps of any compact kernel")


def _pick(
    values: Tensor,
    offsets: Tensor,
    interpolation: Interpolation,
    requested: str | None,
    origin: str,
    size: Sequence[int] | None = None,
) -> tuple[str, str | None]:
    """Return the name of the engine, and what kept the native one from being it, or None where nothing did."""
    name = requested or _native(values)
    obstacle = engine(name).obstacle(values, offsets, interpolation, size)
    if obstacle is None:
        return name, None
    if requested is not None:
        raise BackendError(f"backend {requested!r}, asked for by {origin}, cannot run this call: {obstacle}")
    return REFERENCE, obstacle


def _native(values: Tensor) -> str:
    return "triton" if values.is_cuda else "cpu"


def _requested(argument: str | None) -> tuple[str | None, str]:
    """Return the backend that is asked for, if one is, and by what."""
    if argument is not None:
        check_name(argument)
        return argument, "the argument"
    variable = os.environ.get(VARIABLE)
    if not variable:
        return None, ""
    check_name(variable, VARIABLE)
    return variable, f"the environment variable {VARIABLE}"


def check_name(name: str | None, argument: str = "backend") -> None:
    """Check the name of a backend; None leaves the choice open."""
    if name is not None and name not in ENGINES:
        raise ArgumentError(argument, expected=f"one of {', '.join(ENGINES)}", received=repr(name))
