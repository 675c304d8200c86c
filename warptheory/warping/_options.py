"""How a call interpolates, in words that torch can record, and what the words stand for."""

from functools import cache, lru_cache
from typing import NamedTuple

from warptheory import kernels
from warptheory.core.torch_internals import constant_when_traced
from warptheory.kernels import CardinalSpline, Kernel
from warptheory.warping import boundaries
from warptheory.warping._dispatch import check_name
from warptheory.warping.arguments import check_kernel_fits, check_knot
from warptheory.warping.interpolation import Interpolation

_MOVED = ">>"
_own_kernels: dict[str, Kernel] = {}
_handles: dict[Kernel, str] = {}


class WarpOptions(NamedTuple):
    """How to interpolate, and by which backend.

    Attributes:
        kernel: handle of the kernel.
        boundary: name of the boundary rule.
        knot: which derivative at knots, "right" or "central".
        backend: the one asked for; an empty name leaves the choice to each call.
    """

    kernel: str
    boundary: str
    knot: str
    backend: str

    def interpolation(self) -> Interpolation:
        """Return what the words stand for."""
        return _interpolation(self.kernel, self.boundary, self.knot)


def options(kernel: str | Kernel, boundary: str, knot: str, backend: str | None) -> WarpOptions:
    """Check the options of a call.

    Raises:
        ArgumentError: no such knot rule or backend, or a kernel and a boundary rule that do not go together.
        UnknownNameError: no such kernel or boundary rule.
    """
    return WarpOptions(*_checked(kernel, boundary, knot, backend))


# torch.compile takes the outcome as a constant instead of tracing the catalogues.
@constant_when_traced
def _checked(kernel: str | Kernel, boundary: str, knot: str, backend: str | None) -> tuple[str, str, str, str]:
    try:
        return remembered(kernel, boundary, knot, backend)
    except TypeError:  # something that cannot be hashed; the checks say what is wrong with it
        return remembered.__wrapped__(kernel, boundary, knot, backend)


@lru_cache(maxsize=256)
def remembered(kernel: str | Kernel, boundary: str, knot: str, backend: str | None) -> tuple[str, str, str, str]:
    """Return the options of a call as four texts."""
    check_knot(knot)
    rule, resolved = boundaries.get(boundary), kernels.get(kernel)
    check_kernel_fits(resolved, rule.name)
    check_name(backend)
    return kernel_handle(resolved), rule.name, knot, backend or ""


@cache
def _interpolation(kernel: str, boundary: str, knot: str) -> Interpolation:
    return Interpolation(kernel_of(kernel), boundaries.get(boundary), knot)


def kernel_handle(kernel: Kernel) -> str:
    """Return a name for a kernel: its own if the catalogue has it, else one that holds in this process."""
    if kernel.name.partition("(")[0] in kernels.names() and kernels.get(kernel.name) == kernel:
        return kernel.name
    handle = _handles.setdefault(kernel, f"{kernel.name}#{len(_handles)}")
    _own_kernels[handle] = kernel
    return handle


def moved_handle(handle: str, pixels: int) -> str:
    """Return a handle for the spline of a cardinal spline, moved by some pixels."""
    return f"{handle}{_MOVED}{pixels}"


@cache
def kernel_of(handle: str) -> Kernel:
    """Return the kernel of a handle."""
    if handle in _own_kernels:
        return _own_kernels[handle]
    name, _, pixels = handle.rpartition(_MOVED)
    if not name:
        return kernels.get(handle)
    cardinal = kernel_of(name)
    assert isinstance(cardinal, CardinalSpline)
    return cardinal.gathering(int(pixels))
