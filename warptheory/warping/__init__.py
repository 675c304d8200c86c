"""Warping, the one operator: y(t) = x(t + ε(t)), its adjoint, its offset derivative and its matrix.

Conventions: pixel centres sit on integers; offsets are in pixels, in array-axis order (axis 0 first),
relative to the output pixel; B batch, C channels, G offset groups, d = 1, 2 or 3 spatial axes.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from warptheory import kernels
from warptheory.core.errors import ArgumentError
from warptheory.kernels import Kernel
from warptheory.warping import _reference, boundaries
from warptheory.warping._arguments import check_offsets, check_pair, check_size, check_values

# (B, d, *T) or (B, G, d, *T); an optional axis is more than a shape annotation can say.
Offsets = Float[Tensor, "B *GdT"]

__all__ = ["splat", "warp", "warp_gradient", "warp_matrix"]


def warp(
    x: Float[Tensor, "B C *S"],
    offsets: Offsets,
    kernel: str | Kernel = "linear",
    boundary: str = "zeros",
) -> Float[Tensor, "B C *T"]:
    """Gather x at displaced positions: y[n] = Σₘ k(n + ε[n] − m) x[m].

    Differentiable in x and in the offsets. At a knot of the kernel (an integer position, for linear)
    the gradient in the offset is the right-hand derivative, as in torch's grid_sample.

    Args:
        x: images, shape (B, C, *S), floating dtype; S has d = 1, 2 or 3 axes.
        offsets: ε in pixels, shape (B, d, *T), or (B, G, d, *T) where G groups of C/G successive
            channels have offsets of their own; array-axis order (axis 0 first). T may differ from S.
            Offsets that are NaN or 2³⁰ pixels or more sample nothing (zeros) or the edge pixel
            (other boundaries; NaN: the first pixel), with zero gradient.
        kernel: a name in `kernels.names()`, or a `Kernel`.
        boundary: "zeros", "border", "reflect" or "periodic"; see `warping.boundaries` for pictures
            and for SciPy's and torch's names of the same rules.

    Returns:
        y, shape (B, C, *T), dtype of x; computed in the wider of the two dtypes.

    Raises:
        ArgumentError: a shape, dtype, device or size that does not fit, by name of the argument.
        UnknownNameError: no such kernel or boundary.

    Source: arXiv 2511.20800, y(t) = x(t + ε(t)).
    """
    dim = check_values("x", x)
    grouped = check_offsets(offsets, dim)
    check_pair("x", x, grouped)
    return _reference.warp(x, grouped, kernels.get(kernel), boundaries.get(boundary))


def splat(
    g: Float[Tensor, "B C *T"],
    offsets: Offsets,
    size: Sequence[int] | None = None,
    kernel: str | Kernel = "linear",
    boundary: str = "zeros",
) -> Float[Tensor, "B C *S"]:
    """Scatter g to displaced positions, the exact adjoint of `warp` in x: Σₙ k(n + ε[n] − m) g[n].

    Args:
        g: values on the output grid, shape (B, C, *T), floating dtype.
        offsets: ε in pixels, shape (B, d, *T) or (B, G, d, *T), as in `warp`.
        size: spatial size S of the result; None takes T.
        kernel: a name in `kernels.names()`, or a `Kernel`.
        boundary: "zeros", "border", "reflect" or "periodic".

    Returns:
        Wᵀg, shape (B, C, *size), dtype of g.

    Raises:
        ArgumentError: a shape, dtype, device or size that does not fit, by name of the argument.
        UnknownNameError: no such kernel or boundary.

    Source: the transfer (Perron–Frobenius) operator on the grid; arXiv 2511.20800, backward pass.
    """
    dim = check_values("g", g)
    grouped = check_offsets(offsets, dim)
    check_pair("g", g, grouped)
    if g.shape[2:] != grouped.shape[3:]:
        raise ArgumentError(
            "offsets", expected=f"grid {tuple(g.shape[2:])}, as in g", received=f"grid {tuple(grouped.shape[3:])}"
        )
    return _reference.splat(g, grouped, check_size(size, g.shape[2:]), kernels.get(kernel), boundaries.get(boundary))


def warp_gradient(
    x: Float[Tensor, "B C *S"],
    offsets: Offsets,
    kernel: str | Kernel = "linear",
    boundary: str = "zeros",
) -> Float[Tensor, "B C d *T"]:
    """Differentiate the warped image in its offsets: (∂ᵢWx)[n] = Σₘ ∂ᵢk(n + ε[n] − m) x[m].

    A loss with output gradient g has ∂L/∂εᵢ[n] = Σ_c g_c[n] (∂ᵢWx_c)[n], the sum over the channels
    that share the offset.

    Args:
        x: images, shape (B, C, *S), floating dtype.
        offsets: ε in pixels, shape (B, d, *T) or (B, G, d, *T), as in `warp`.
        kernel: a name in `kernels.names()`, or a `Kernel`; at a knot its right-hand derivative.
        boundary: "zeros", "border", "reflect" or "periodic".

    Returns:
        The derivatives per pixel of offset, shape (B, C, d, *T), dtype of x.

    Raises:
        ArgumentError: a shape, dtype, device or size that does not fit, by name of the argument.
        UnknownNameError: no such kernel or boundary.

    Source: result A7.
    """
    dim = check_values("x", x)
    grouped = check_offsets(offsets, dim)
    check_pair("x", x, grouped)
    return _reference.warp_gradient(x, grouped, kernels.get(kernel), boundaries.get(boundary))


def warp_matrix(
    offsets: Offsets,
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
        boundary: "zeros", "border", "reflect" or "periodic".

    Returns:
        Coalesced sparse COO tensor of shape (B, N, M), or (B, G, N, M) for grouped offsets, with
        N = ∏T and M = ∏S in C order, dtype of the offsets.

    Raises:
        ArgumentError: a shape, dtype or size that does not fit, by name of the argument.
        UnknownNameError: no such kernel or boundary.
    """
    grouped = check_offsets(offsets, dim=None if size is None else len(size))
    sizes = check_size(size, grouped.shape[3:])
    matrix = _reference.warp_matrix(grouped, sizes, kernels.get(kernel), boundaries.get(boundary))
    return matrix if offsets.ndim == grouped.ndim else matrix.select(1, 0).coalesce()
