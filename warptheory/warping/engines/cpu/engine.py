"""The engine of tensors on the CPU: the linear kernel's loops, and for the rest the loop over separable taps."""

from collections.abc import Sequence

from warptheory.warping import reference
from warptheory.warping.engines.cpu import linear, separable
from warptheory.warping.engines.cpu.plan import BOUNDARIES
from warptheory.warping.engines.layout import laid_out
from warptheory.warping.interpolation import Interpolation, Orders
from warptheory.warping.shapes import GridTensor, GroupedOffsets, ImageTensor


def obstacle(
    values: ImageTensor, offsets: GroupedOffsets, interpolation: Interpolation, size: Sequence[int] | None = None
) -> str | None:
    """Return why the loops cannot take values (B, C, *S) and offsets (B, G, d, *T); None if they can."""
    if not interpolation.kernel.is_compact:
        return f"its loop is for compact kernels, and {interpolation.kernel.name!r} reads the whole axis"
    if interpolation.boundary.name not in BOUNDARIES:
        return f"its loops know the boundaries {', '.join(BOUNDARIES)}, not {interpolation.boundary.name!r}"
    return linear.unsupported(values, offsets, size)


def gather(x: ImageTensor, offsets: GroupedOffsets, interpolation: Interpolation, orders: Orders) -> GridTensor:
    """Gather ∂ᵅW x, (B, C, *T)."""
    if _has_loop(interpolation, orders):
        return linear.gather(x, offsets, interpolation.boundary.name, orders)
    return laid_out(separable.gather(x, offsets, interpolation, orders), like=x)


def scatter(
    g: GridTensor, offsets: GroupedOffsets, size: Sequence[int], interpolation: Interpolation, orders: Orders
) -> ImageTensor:
    """Scatter ∂ᵅWᵀg, (B, C, *size)."""
    if _has_loop(interpolation, orders):
        return linear.scatter(g, offsets, size, interpolation.boundary.name, orders)
    return laid_out(separable.scatter(g, offsets, size, interpolation, orders), like=g)


def gradients(
    g: GridTensor, x: ImageTensor, offsets: GroupedOffsets, interpolation: Interpolation, needs: tuple[bool, bool]
) -> tuple[ImageTensor | None, GroupedOffsets | None]:
    """Return Wᵀg (B, C, *S) and Σ_c g_c ∂ᵢWx_c (B, G, d, *T), or the one that is needed."""
    if interpolation.is_linear:
        return linear.gradients(g, x, offsets, interpolation.boundary.name, interpolation.knot, *needs)
    return reference.gradients_by_gathers(gather, scatter, g, x, offsets, interpolation, needs)


def _has_loop(interpolation: Interpolation, orders: Orders) -> bool:
    """Return whether the linear kernel's loops take these derivatives; at knots theirs is the right-hand one."""
    return interpolation.is_linear and (not any(orders) or (interpolation.knot == "right" and max(orders) <= 1))
