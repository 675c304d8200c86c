"""Interpolation kernels, one file each: one definition, everything else derived by machine.

>>> import warptheory as wt
>>> wt.kernels.get("linear").functionals().rho_bar
2/3
"""

from functools import cache

from warptheory.core.catalogue import build_entry, entry_modules
from warptheory.core.errors import ArgumentError
from warptheory.kernels._kernel import FREQUENCY, POSITION, SHIFT, Functionals, Kernel, Piece
from warptheory.kernels._periodic import FRACTION, NoClosedFormError, PeriodicFunction

__all__ = [
    "FRACTION",
    "FREQUENCY",
    "POSITION",
    "SHIFT",
    "Functionals",
    "Kernel",
    "NoClosedFormError",
    "PeriodicFunction",
    "Piece",
    "get",
    "names",
]


def names() -> list[str]:
    """Return the names of all kernels, in alphabetical order."""
    return sorted(entry_modules(__name__))


def get(kernel: str | Kernel) -> Kernel:
    """Return a kernel by its name; a kernel object is returned as it is.

    Args:
        kernel: a name in `names()`, or a `Kernel`.

    Raises:
        UnknownNameError: no kernel of that name.
        ArgumentError: neither a name nor a kernel.
    """
    if isinstance(kernel, Kernel):
        return kernel
    if not isinstance(kernel, str):
        raise ArgumentError("kernel", expected="a name or a Kernel", received=f"{type(kernel).__name__}")
    return _build(kernel)


@cache
def _build(name: str) -> Kernel:
    kernel: Kernel = build_entry(__name__, name, argument="kernel")
    return kernel
