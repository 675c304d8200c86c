"""Warping, the one operator: y(t) = x(t + ε(t)), its adjoint, its offset derivative and its matrix.

Conventions: pixel centres sit on integers; offsets are in pixels, in array-axis order (axis 0 first),
relative to the output pixel; B batch, C channels, G offset groups, d = 1, 2 or 3 spatial axes.

The operator is computed by one of several engines (see `backend` and `engines`), which agree to rounding: the readable
reference in plain torch, for every kernel; compiled loops on the CPU, for every kernel that reads finitely many
pixels; and Triton kernels on the GPU, for the linear one. It is differentiable to any order, backward and
forward, and works under `torch.func`, `torch.compile` and `torch.export`.

The path of a call: its arguments are checked and its options become words that torch can record (`_options`), the
pixels become coefficients if the kernel needs that (`_prefilter`), the operator is told to torch with its derivatives
(`_operator`, by `_autograd`), the engine is chosen (`_dispatch`), and its `gather` or `scatter` computes.

Knots: a kernel such as linear has kinks, at integer positions, where zero-initialised offsets sit. Such a place is a
knot; the argument `knot` names the side whose derivative in the offset holds there. It is the right-hand one
(knot="right", torch's choice: x[n+1] − x[n] for linear), or the mean of both sides (knot="central":
(x[n+1] − x[n−1])/2, a quarter of the variance on white input, result A10). A derivative taken at a knot along several
axes follows the rule along each.
"""

from collections.abc import Sequence
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_variadic

from warptheory import kernels
from warptheory.core.errors import ArgumentError
from warptheory.core.listing import public_names
from warptheory.kernels import Kernel
from warptheory.warping import _operator, _prefilter, boundaries, reference
from warptheory.warping._dispatch import Backend, BackendError, choose
from warptheory.warping._options import WarpOptions
from warptheory.warping._options import options as checked_options
from warptheory.warping.arguments import (
    check_offset_shape,
    check_offsets,
    check_pair,
    check_room,
    check_size,
    check_values,
)
from warptheory.warping.interpolation import Interpolation
from warptheory.warping.shapes import GridTensor, ImageTensor, OffsetTensor

_INDEX_BYTES = 8
_MATRIX_LIMIT = 2**63  # torch numbers the places of a sparse tensor

__all__ = [
    "Backend",
    "BackendError",
    "backend",
    "boundaries",
    "hit_counts",
    "splat",
    "warp",
    "warp_gradient",
    "warp_matrix",
]
__dir__ = public_names(__name__)


def warp(
    x: ImageTensor,
    offsets: OffsetTensor,
    kernel: str | Kernel = "linear",
    boundary: str = "zeros",
    *,
    knot: str = "right",
    backend: str | None = None,
) -> GridTensor:
    """Gather x at displaced positions: y[n] = Σₘ k(n + ε[n] − m) x[m].

    Args:
        x: images, shape (B, C, *S), floating dtype; S has d = 1, 2 or 3 axes.
        offsets: ε in pixels, shape (B, d, *T), or (B, G, d, *T) where G groups of C/G successive
            channels have offsets of their own; array-axis order (axis 0 first). T may differ from S.
            Offsets that are NaN or 2³⁰ pixels or more sample nothing (zeros) or the edge pixel
            (other boundaries; NaN: the first pixel), with zero gradient. Beside the edge of an image
            that is infinite there, "cpu" may return NaN where the others return an infinity.
        kernel: a name such as "linear" or "gauss(0.7)", or a `Kernel`; see `kernels.names()`.
        boundary: "zeros", "border", "reflect", "mirror" or "periodic"; see `warping.boundaries` for pictures
            and for SciPy's and torch's names of the same rules.
        knot: the derivative in the offset at kinks of the kernel, "right" or "central".
        backend: "reference", "cpu" or "triton"; None takes the environment variable WARPTHEORY_BACKEND,
            and failing that the fastest that can run the call. Derivatives for which "triton" has no
            kernel of its own are the reference's.

    Returns:
        y, shape (B, C, *T), dtype and memory layout (channels-last or not) of x; computed in the wider
        of the two dtypes, and in float32 at least.

    Raises:
        ArgumentError: a shape, dtype, device or size that does not fit, by name of the argument.
        UnknownNameError: no such kernel or boundary.
        BackendError: the backend asked for cannot run the call.

    Source: arXiv 2511.20800, y(t) = x(t + ε(t)); at knots: result A10.
    """
    # Function modes see the call, as they see those of torch.nn.functional.
    if has_torch_function_variadic(x, offsets):
        return handle_torch_function(warp, (x, offsets), x, offsets, kernel, boundary, knot=knot, backend=backend)
    dim, options = _prepare("x", x, offsets, kernel, boundary, knot, backend)
    filtered, options = _prefilter.coefficients(x, options)
    # Offsets as they came: the operator itself adds the axis of a single group, which is one node less for autograd.
    y = _operator.gather(filtered, offsets, (0,) * dim, options)
    return y if filtered is x else y.to(x.dtype)


def splat(
    g: GridTensor,
    offsets: OffsetTensor,
    size: Sequence[int] | None = None,
    kernel: str | Kernel = "linear",
    boundary: str = "zeros",
    *,
    knot: str = "right",
    backend: str | None = None,
) -> ImageTensor:
    """Scatter g to displaced positions, the exact adjoint of `warp` in x: Σₙ k(n + ε[n] − m) g[n].

    Args:
        g: values on the output grid, shape (B, C, *T), floating dtype.
        offsets: ε in pixels, shape (B, d, *T) or (B, G, d, *T), as in `warp`.
        size: spatial size S of the result; None takes T.
        kernel: a name in `kernels.names()`, or a `Kernel`.
        boundary: "zeros", "border", "reflect", "mirror" or "periodic".
        knot: the derivative in the offset at kinks of the kernel, "right" or "central".
        backend: as in `warp`.

    Returns:
        Wᵀg, shape (B, C, *size), dtype and memory layout of g.

    Raises:
        ArgumentError, UnknownNameError, BackendError: as `warp`.

    Source: the transfer (Perron–Frobenius) operator on the grid; arXiv 2511.20800, backward pass.
    """
    dim, options = _prepare("g", g, offsets, kernel, boundary, knot, backend)
    grouped = check_offsets(offsets, dim)
    if g.shape[2:] != grouped.shape[3:]:
        raise ArgumentError(
            "offsets", expected=f"grid {tuple(g.shape[2:])}, as in g", received=f"grid {tuple(grouped.shape[3:])}"
        )
    sizes = check_size(size, g.shape[2:])
    check_room("size", g.shape[0] * g.shape[1] * prod(sizes), g, f"{tuple(g.shape[:2])} images of {sizes}")
    prefilter = _prefilter.prefilter_of(options, g.dtype)
    if prefilter is None:
        return _operator.scatter(g, grouped, sizes, (0,) * dim, options)
    wide = g.to(torch.promote_types(g.dtype, torch.float32))
    longer = tuple(length + 2 * prefilter.margin for length in sizes)
    found = _operator.scatter(wide, grouped, longer, (0,) * dim, options._replace(kernel=prefilter.gathers))
    return _prefilter.adjoint(found, options).to(g.dtype)


def hit_counts(
    offsets: OffsetTensor,
    size: Sequence[int] | None = None,
    kernel: str | Kernel = "linear",
    boundary: str = "zeros",
    *,
    backend: str | None = None,
) -> Float[Tensor, "B G *S"]:
    """Add up the weights with which each input pixel is read: the splat of ones, Σₙ k(n + ε[n] − m).

    These are the column sums of W. For kernels ≥ 0, zero marks a dead input, to which no gradient flows.

    Args:
        offsets: ε in pixels, shape (B, d, *T) or (B, G, d, *T), as in `warp`.
        size: spatial size S of the image; None takes T. Where both readings of the offsets' shape are
            possible, `size` decides, else it is (B, d, *T).
        kernel: a name in `kernels.names()`, or a `Kernel`.
        boundary: "zeros", "border", "reflect", "mirror" or "periodic".
        backend: as in `warp`.

    Returns:
        The counts, shape (B, G, *S), G = 1 for offsets (B, d, *T); dtype of the offsets.

    Raises:
        ArgumentError, UnknownNameError, BackendError: as `warp`.

    Source: results B3 (column sums) and B4 (dead inputs).
    """
    grouped = check_offsets(offsets, dim=len(size) if isinstance(size, Sequence) else None)
    ones = grouped.new_ones(()).expand(*grouped.shape[:2], *grouped.shape[3:])
    return splat(ones, grouped, size, kernel, boundary, backend=backend)


def warp_gradient(
    x: ImageTensor,
    offsets: OffsetTensor,
    kernel: str | Kernel = "linear",
    boundary: str = "zeros",
    *,
    knot: str = "right",
    backend: str | None = None,
) -> Float[Tensor, "B C d *T"]:
    """Differentiate the warped image in its offsets: (∂ᵢWx)[n] = Σₘ ∂ᵢk(n + ε[n] − m) x[m].

    A loss with output gradient g has ∂L/∂εᵢ[n] = Σ_c g_c[n] (∂ᵢWx_c)[n], the sum over the channels
    that share the offset.

    Args:
        x: images, shape (B, C, *S), floating dtype.
        offsets: ε in pixels, shape (B, d, *T) or (B, G, d, *T), as in `warp`.
        kernel: a name in `kernels.names()`, or a `Kernel`.
        boundary: "zeros", "border", "reflect", "mirror" or "periodic".
        knot: which derivative at kinks of the kernel, "right" or "central".
        backend: as in `warp`.

    Returns:
        The derivatives per pixel of offset, shape (B, C, d, *T), dtype of x.

    Raises:
        ArgumentError, UnknownNameError, BackendError: as `warp`.

    Source: result A7; at knots: A10.
    """
    dim, options = _prepare("x", x, offsets, kernel, boundary, knot, backend)
    grouped = check_offsets(offsets, dim)
    check_room("offsets", dim * x.shape[0] * x.shape[1] * prod(grouped.shape[3:]), x, _grid(grouped.shape))
    filtered, options = _prefilter.coefficients(x, options)
    axes = [tuple(int(axis == i) for axis in range(dim)) for i in range(dim)]
    return torch.stack([_operator.gather(filtered, grouped, orders, options) for orders in axes], dim=2).to(x.dtype)


def warp_matrix(
    offsets: OffsetTensor,
    size: Sequence[int] | None = None,
    kernel: str | Kernel = "linear",
    boundary: str = "zeros",
) -> Float[Tensor, "B *GNM"]:
    """Assemble W as a sparse tensor, for small grids: vec(y) = W vec(x).

    Args:
        offsets: ε in pixels, shape (B, d, *T) or (B, G, d, *T), as in `warp`; where both readings of a
            shape are possible, `size` decides, else it is (B, d, *T).
        size: spatial size S of the image that W acts on; None takes T.
        kernel: a name in `kernels.names()`, or a `Kernel`.
        boundary: "zeros", "border", "reflect", "mirror" or "periodic".

    Returns:
        Coalesced sparse COO tensor of shape (B, N, M), or (B, G, N, M) for grouped offsets, with
        N = ∏T and M = ∏S in C order, dtype of the offsets. With a prefilter a row is as wide as the
        filter's response, some sixty pixels along an axis in float64.

    Raises:
        ArgumentError: a shape, dtype or size that does not fit, by name of the argument.
        UnknownNameError: no such kernel or boundary.
    """
    grouped = check_offsets(offsets, dim=len(size) if isinstance(size, Sequence) else None)
    sizes = check_size(size, grouped.shape[3:])
    options = checked_options(kernel, boundary, "right", None)
    interpolation = options.interpolation()
    _check_matrix_fits(grouped, sizes, interpolation.kernel)
    prefilter = _prefilter.prefilter_of(options, grouped.dtype)
    if prefilter is None:
        matrix = reference.warp_matrix(grouped, sizes, interpolation)
    else:
        matrix = _prefilter.matrix(grouped, sizes, prefilter)
    return matrix if offsets.ndim == grouped.ndim else matrix.select(1, 0).coalesce()


def backend(
    x: ImageTensor | None = None,
    offsets: OffsetTensor | None = None,
    kernel: str | Kernel = "linear",
    boundary: str = "zeros",
    *,
    size: Sequence[int] | None = None,
    backend: str | None = None,
) -> Backend:
    """Say which backend a call of `warp` or `splat` would use, and why.

    Args:
        x: the image of the call, or g for `splat`, shape (B, C, *S); None stands for one that fits the
            offsets, of their dtype and device, and without offsets for float32 on the default device.
        offsets: the offsets of the call, shape (B, d, *T) or (B, G, d, *T); None: of the dtype of x.
        kernel: the kernel of the call.
        boundary: the boundary rule of the call.
        size: the spatial size of the result of `splat`, where it is another one than that of g; None for `warp`.
        backend: the backend to be asked for, if any; None as in `warp`.

    Returns:
        The backend's name and the reason.

    Raises:
        ArgumentError: a shape, dtype, device or size that does not fit, or no such backend.
        UnknownNameError: no such kernel or boundary.
        BackendError: the backend asked for cannot run the call.

    >>> import warptheory as wt
    >>> print(wt.warping.backend(kernel="keys"))
    cpu: its compiled loop over the taps of any compact kernel
    """
    if x is None and offsets is not None:
        batch, groups, axes, *_ = check_offset_shape(offsets)
        x = offsets.new_empty(batch, groups, *[1] * axes)
    values = torch.empty(1, 1, 1, 1) if x is None else x
    dim = check_values("x", values)
    grouped = values.new_empty(values.shape[0], 1, dim, *[1] * dim)
    if offsets is not None:
        grouped = check_offsets(offsets, dim)
        check_pair("x", values, grouped, grouped.shape)
    sizes = None if size is None else check_size(size, values.shape[2:])
    return choose(values, grouped, Interpolation(kernels.get(kernel), boundaries.get(boundary)), backend, sizes)


def _prepare(
    argument: str,
    values: Tensor,
    offsets: Tensor,
    kernel: str | Kernel,
    boundary: str,
    knot: str,
    backend: str | None,
) -> tuple[int, WarpOptions]:
    """Check the arguments of a call; return the number of axes, and how to sample."""
    dim = check_values(argument, values)
    shape = check_offset_shape(offsets, dim)
    check_pair(argument, values, offsets, shape)
    check_room("offsets", values.shape[0] * values.shape[1] * prod(shape[3:]), values, _grid(shape))
    return dim, checked_options(kernel, boundary, knot, backend)


def _grid(shape: Sequence[int]) -> str:
    return f"a grid of {tuple(shape[3:])}"


def _check_matrix_fits(offsets: Tensor, size: tuple[int, ...], kernel: Kernel) -> None:
    """Check that a matrix of offsets (B, G, d, *T) can be stored: entries with four indices, or all of its numbers."""
    batch, groups, _, *grid = offsets.shape
    taps = prod(len(kernel.taps) if kernel.is_compact else length for length in size)
    rows, columns = prod(grid), prod(size)
    received = f"{batch * groups} matrices of {rows} rows and {columns} columns"
    if batch * groups * rows * columns >= _MATRIX_LIMIT:
        raise ArgumentError("size", expected="fewer than 2⁶³ places in all matrices together", received=received)
    entry = offsets.element_size() + 4 * _INDEX_BYTES
    check_room("offsets", batch * groups * rows * taps, offsets, received, entry)
    if kernel.prefilter is not None:
        check_room("size", (batch * groups * rows + columns) * columns, offsets, received)
