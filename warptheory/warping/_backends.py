"""Which backend runs a call, and why: one dispatch for all operators.

A fast backend is a module with the functions `gather(x, offsets, boundary)`, `scatter(g, offsets, size,
boundary)` and `gradients(g, x, offsets, boundary, knot, needs_x, needs_offsets)`; `unsupported(x, offsets,
size)` says why it cannot take a call, and `computes(orders, knot)` whether gather and scatter take a keyword
`orders` with these derivatives. It is imported when it is first asked for. It is for one kernel; beside it
there is a general one for the rest, a module with the functions of the reference.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import ModuleType

from jaxtyping import Float
from torch import Tensor

from warptheory import kernels
from warptheory.core.errors import ArgumentError, WarpTheoryError
from warptheory.kernels import Kernel
from warptheory.warping import _triton

VARIABLE = "WARPTHEORY_BACKEND"
REFERENCE = "reference"
# Fast backends, the kernel that they are written for, and who takes the rest: other kernels and derivatives.
_MODULES = {"cpu": "warptheory.warping._cpu", "triton": "warptheory.warping._triton.operator"}
_FAST_KERNEL = "linear"
_GENERAL_MODULES = {"cpu": "warptheory.warping._cpu._separable"}
_GENERAL_REFERENCE = "warptheory.warping._reference"
NAMES = (REFERENCE, *_MODULES)


class BackendError(WarpTheoryError):
    """A backend that was asked for by name cannot run a call; the message says why."""


@dataclass(frozen=True)
class Backend:
    """The backend of a call: its name, and why it is the one."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


def choose(
    x: Float[Tensor, "B C *S"], offsets: Float[Tensor, "B G d *T"], kernel: Kernel, forced: str | None
) -> Backend:
    """Choose the backend of a call.

    Args:
        x: the image (of `splat`: what is scattered), shape (B, C, *S).
        offsets: grouped offsets, shape (B, G, d, *T).
        kernel: the kernel.
        forced: a name in `NAMES`, or None for the environment variable's, and failing that the fastest.

    Raises:
        ArgumentError: no backend of that name.
        BackendError: the backend asked for cannot run the call.
    """
    wish, wisher = _wish(forced)
    name, obstacle = _pick(x, offsets, kernel, wish, wisher)
    if wish is not None:
        return Backend(name, f"asked for by {wisher}")
    if obstacle is not None:
        return Backend(name, f"not {_native(x)}: {obstacle}")
    if is_fast_kernel(kernel):
        return Backend(name, f"the fast kernels for {x.device.type} tensors")
    return Backend(name, "its compiled loop over the taps of any compact kernel")


def name_of_choice(
    x: Tensor, offsets: Tensor, kernel: Kernel, forced: str | None, size: Sequence[int] | None = None
) -> str:
    """Return the name alone of what `choose` chooses, for calls that do not ask why.

    `size` is that of the image, where x is what is scattered into it.
    """
    return _pick(x, offsets, kernel, *_wish(forced), size)[0]


def _pick(
    x: Tensor, offsets: Tensor, kernel: Kernel, wish: str | None, wisher: str, size: Sequence[int] | None = None
) -> tuple[str, str | None]:
    """Return the backend, and what kept the native one from being it."""
    if wish == REFERENCE:
        return REFERENCE, None
    name = wish or _native(x)
    obstacle = _obstacle(name, x, offsets, kernel, size)
    if obstacle is None:
        return name, None
    if wish is not None:
        raise BackendError(f"backend {wish!r}, asked for by {wisher}, cannot run this call: {obstacle}")
    return REFERENCE, obstacle


def _native(x: Tensor) -> str:
    return "triton" if x.is_cuda else "cpu"


def _wish(forced: str | None) -> tuple[str | None, str]:
    if forced is not None:
        check_name(forced)
        return forced, "the argument"
    variable = os.environ.get(VARIABLE)
    if not variable:
        return None, ""
    check_name(variable, VARIABLE)
    return variable, f"the environment variable {VARIABLE}"


def check_name(wish: str | None, argument: str = "backend") -> None:
    """Check the name of a backend; None leaves the choice open."""
    if wish is not None and wish not in NAMES:
        raise ArgumentError(argument, expected=f"one of {', '.join(NAMES)}", received=repr(wish))


def _obstacle(name: str, x: Tensor, offsets: Tensor, kernel: Kernel, size: Sequence[int] | None) -> str | None:
    if not is_fast_kernel(kernel):
        if name in _GENERAL_MODULES:
            if not kernel.is_compact:
                return f"its loop is for compact kernels, and {kernel.name!r} reads the whole axis"
        elif kernel.name != _FAST_KERNEL:
            return f"its kernels are for {_FAST_KERNEL!r}, not {kernel.name!r}"
        else:
            return f"its kernels are for the catalogue's {_FAST_KERNEL!r}, not for another of that name"
    missing = _triton.unavailable() if name == "triton" else None
    if missing is not None:
        return missing
    obstacle: str | None = load(name).unsupported(x, offsets, size)
    return obstacle


def is_fast_kernel(kernel: Kernel) -> bool:
    """Return whether a kernel is the one that the fast backends are written for, and not another of its name."""
    return kernel is _fast_kernel() or kernel == _fast_kernel()


@cache
def _fast_kernel() -> Kernel:
    return kernels.get(_FAST_KERNEL)


@cache
def load(name: str) -> ModuleType:
    """Import a fast backend."""
    return import_module(_MODULES[name])


@cache
def load_general(name: str) -> ModuleType:
    """Import what computes any kernel and derivative for a backend, with the functions of the reference."""
    return import_module(_GENERAL_MODULES.get(name, _GENERAL_REFERENCE))
