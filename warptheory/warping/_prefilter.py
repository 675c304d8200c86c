"""The prefilter of kernels that interpolate only after one: coefficients in place of pixel values.

A B-spline of degree three is no interpolant: Σₘ k(n − m) x[m] blurs x. With the coefficients c that
solve Σₘ k(n − m) c[m] = x[n], c continued by the boundary rule, the warp of c returns x at integers
(M. Unser, IEEE Signal Process. Mag. 16(6), 1999). Images are small along an axis, so the system is
solved by its inverse matrix: accurate, differentiable, and its adjoint is the transpose.
"""

import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory.kernels import Kernel
from warptheory.warping import boundaries
from warptheory.warping._layout import empty_image, is_channels_last
from warptheory.warping._operator import kernel_handle, kernel_of
from warptheory.warping._tracing import constant_when_traced


def coefficients(
    x: Float[Tensor, "B C *S"], kernel: str, boundary: str, adjoint: bool = False
) -> Float[Tensor, "B C *S"]:
    """Return the coefficients of x, or the adjoint of that map; x itself for kernels without a prefilter.

    `kernel` is the handle of the kernel.
    """
    if not _has_prefilter(kernel):
        return x
    return (_prefilter if torch.compiler.is_compiling() else _apply)(x, kernel, boundary, adjoint)


def _apply(x: Tensor, kernel: str, boundary: str, adjoint: bool) -> Tensor:
    result = x.to(torch.promote_types(x.dtype, torch.float32))
    with _without_autocast(x.device.type):  # it would take the product in half precision
        for axis in range(2, x.ndim):
            matrix = _matrix(kernel, x.shape[axis], boundary).to(result)
            result = (result.movedim(axis, -1) @ (matrix if adjoint else matrix.T)).movedim(-1, axis)
    result = result.to(x.dtype)
    return result.movedim(1, -1).contiguous().movedim(-1, 1) if is_channels_last(x) else result.contiguous()


def _without_autocast(device: str) -> AbstractContextManager[Any]:
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()


# One node for torch.compile and torch.export, which cannot trace how the matrix comes about.
@torch.library.custom_op("warptheory::prefilter", mutates_args=())
def _prefilter(x: Tensor, kernel: str, boundary: str, adjoint: bool) -> Tensor:
    return _apply(x, kernel, boundary, adjoint)


@_prefilter.register_fake
def _fake_prefilter(x: Tensor, kernel: str, boundary: str, adjoint: bool) -> Tensor:
    return empty_image(x, x.shape[2:])


def _save_rule(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, ctx.kernel, ctx.boundary, ctx.adjoint = inputs


def _prefilter_backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None, None]:
    return _prefilter(g, ctx.kernel, ctx.boundary, not ctx.adjoint), None, None, None


_prefilter.register_autograd(_prefilter_backward, setup_context=_save_rule)


@constant_when_traced
def _has_prefilter(kernel: str) -> bool:
    return kernel_of(kernel).prefilter is not None


def after_prefilter(
    matrix: Float[Tensor, "B G N M"], kernel: Kernel, size: Sequence[int], boundary: str
) -> Float[Tensor, "B G N M"]:
    """Return the sparse product of a matrix that acts on coefficients and the prefilter of a whole grid."""
    axes = [_matrix(kernel_handle(kernel), length, boundary) for length in size]
    return (matrix.to_dense() @ functools.reduce(torch.kron, axes).to(matrix)).to_sparse()


def _matrix(kernel: str, size: int, boundary: str) -> Float[Tensor, "M M"]:
    """Return the matrix from pixel values to coefficients along an axis, in float64; `kernel` is a handle."""
    return torch.from_numpy(_inverse(kernel, size, boundary))


@cache
def _inverse(kernel: str, size: int, boundary: str) -> np.ndarray:
    # The first caller may be in a mode (inference, fake tensors, a default device) that would be remembered with
    # the matrix. Modes belong to a thread, and a new one has none.
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(_solve, kernel, size, boundary).result()


def _solve(kernel: str, size: int, boundary: str) -> np.ndarray:
    samples = [float(sample) for sample in kernel_of(kernel).prefilter or ()]
    rows = torch.arange(size)
    blur = torch.zeros(size, size, dtype=torch.float64)
    for tap, sample in enumerate(samples, start=-(len(samples) // 2)):
        columns, inside = boundaries.get(boundary)(rows + tap, size)
        weight = torch.full((size,), sample, dtype=torch.float64)
        blur.index_put_((rows, columns), weight if inside is None else weight * inside, accumulate=True)
    return torch.linalg.inv(blur).numpy()
