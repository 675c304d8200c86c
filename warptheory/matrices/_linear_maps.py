"""Operators as SciPy's linear operators, which are multiplied with and never written down as a matrix."""

import math
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator
from torch import Tensor

from warptheory import warping
from warptheory.core.errors import ArgumentError
from warptheory.core.text import shown
from warptheory.kernels import Kernel
from warptheory.matrices._images import as_sequence
from warptheory.warping.arguments import check_offset_shape, check_size


@runtime_checkable
class LinearMap(Protocol):
    """What has an adjoint: a linear map from images (B, C, *S) to (B, D, *T), such as a `patterns.Pattern`."""

    @property
    def batch(self) -> int:
        """Number B of images."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape (C, *S)."""

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape (D, *T)."""

    def apply(self, x: Tensor) -> Tensor:
        """Return A x for images (B, C, *S), shape (B, D, *T)."""

    def adjoint(self, g: Tensor) -> Tensor:
        """Return Aᵀ g for images (B, D, *T), shape (B, C, *S)."""


def warp_operator(
    offsets: Tensor, size: Sequence[int] | None = None, kernel: str | Kernel = "linear", boundary: str = "zeros"
) -> LinearOperator:
    """Return a warp as a linear operator: W x by `warp`, Wᵀ g by `splat`, in double precision.

    Offsets that are NaN sample what they do in `warp`: nothing with the boundary "zeros", else the first pixel.

    Args:
        offsets: ε in pixels, shape (1, d, *T), of one image.
        size: spatial size S of what is warped, d positive integers; None takes T.
        kernel: name of the interpolation kernel, or a `Kernel`.
        boundary: name of the boundary rule.

    Returns:
        W, shape (N, M) with N = ∏T and M = ∏S in C order.

    Raises:
        ArgumentError: offsets of another shape or of several images, or arguments that `warp` refuses; complex columns
            that it is multiplied with.
        UnknownNameError: no such kernel or boundary rule.
    """
    if not isinstance(offsets, Tensor) or offsets.ndim < 3 or offsets.shape[:2] != (1, offsets.ndim - 2):
        received = tuple(offsets.shape) if isinstance(offsets, Tensor) else type(offsets).__name__
        raise ArgumentError("offsets", expected="shape (1, d, *T), of one image", received=received)
    check_offset_shape(offsets)
    wide = offsets.detach().to(torch.float64)
    sizes = check_size(as_sequence(size), offsets.shape[2:])
    # What `warp` refuses it refuses now, and not in the middle of an iteration.
    warping.warp(wide.new_zeros(1, 1, *sizes), wide, kernel, boundary)
    grid = tuple(offsets.shape[2:])

    def gather(x: np.ndarray) -> np.ndarray:
        return _columns(warping.warp(_channels(x, sizes, wide), wide, kernel, boundary))

    def scatter(g: np.ndarray) -> np.ndarray:
        return _columns(warping.splat(_channels(g, grid, wide), wide, sizes, kernel, boundary))

    return LinearOperator(
        (math.prod(grid), math.prod(sizes)),
        matvec=gather,
        rmatvec=scatter,
        matmat=gather,
        rmatmat=scatter,
        dtype=np.dtype(np.float64),
    )


def linear_operator(
    of: LinearMap, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu"
) -> LinearOperator:
    """Return a layer's pattern at one image as a linear operator: A x by its `apply`, Aᵀ g by its `adjoint`.

    Args:
        of: the map, such as `layer.pattern(x)` for an image x (1, C, *S).
        dtype: that of the images which it takes, the layer's, a floating one.
        device: where they lie.

    Returns:
        A, shape (D·N, C·M) with N = ∏T and M = ∏S in C order.

    Raises:
        ArgumentError: no linear map, or one of several images; no floating dtype; no such device.
    """
    if not isinstance(of, LinearMap):
        raise ArgumentError("of", expected="a linear map, such as layer.pattern(x)", received=type(of).__name__)
    if not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise ArgumentError("dtype", expected="a floating dtype of torch", received=shown(dtype))
    _check_device(device)
    if of.batch != 1:
        raise ArgumentError("of", expected="the map of one image", received=f"a batch of {of.batch}")

    @torch.no_grad()
    def computed(function: Callable[[Tensor], Tensor], x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        image = torch.as_tensor(_real(x), device=device).to(dtype).reshape(1, *shape)
        result = function(image)
        if result.is_complex():
            raise ArgumentError("of", expected="a map to real images", received=result.dtype)
        found: np.ndarray = result.to(torch.float64).cpu().flatten().numpy()
        return found

    return LinearOperator(
        (math.prod(of.output_shape), math.prod(of.input_shape)),
        matvec=lambda x: computed(of.apply, x, of.input_shape),
        rmatvec=lambda g: computed(of.adjoint, g, of.output_shape),
        dtype=np.dtype(np.float64),
    )


def _channels(x: np.ndarray, size: tuple[int, ...], like: Tensor) -> Tensor:
    """Return columns (∏S, K), or one, as the channels of an image (1, K, *S) on the device of a tensor."""
    columns = np.ascontiguousarray(_real(x).T)
    return torch.as_tensor(columns, device=like.device).reshape(1, -1, *size)


def _columns(images: Tensor) -> np.ndarray:
    """Return the channels of an image (1, K, *S) as columns, shape (∏S, K)."""
    found: np.ndarray = images.cpu().flatten(2)[0].numpy().T
    return found


def _real(x: np.ndarray) -> np.ndarray:
    """Return real columns (M, K), or one, in double precision.

    Raises:
        ArgumentError: complex ones, whose imaginary part would be lost.
    """
    if np.iscomplexobj(x):
        raise ArgumentError("x", expected="real columns", received=x.dtype)
    return np.asarray(x, np.float64)


def _check_device(device: torch.device | str) -> None:
    expected = "a device that torch can use here, such as cpu"
    if not isinstance(device, torch.device | str):
        raise ArgumentError("device", expected=expected, received=shown(device))
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        raise ArgumentError("device", expected=expected, received=shown(device)) from error
