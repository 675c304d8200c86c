"""Checks of what users pass to the warping operators; each error names the argument."""

from collections.abc import Sequence

import torch
from torch import Tensor

from warptheory.core.checks import is_whole
from warptheory.core.device import memory
from warptheory.core.errors import ArgumentError
from warptheory.core.torch_internals import is_plain, is_traced
from warptheory.kernels import Kernel

MAX_DIM = 3
_GIB = 2**30
KNOTS = ("right", "central")


def check_values(argument: str, values: Tensor) -> int:
    """Check a tensor (B, C, *S) and return its number d of spatial axes."""
    if not isinstance(values, Tensor):
        raise ArgumentError(argument, expected="a tensor (B, C, *S)", received=type(values).__name__)
    _check_dense(argument, values)
    if not values.is_floating_point():
        raise ArgumentError(argument, expected="a floating dtype", received=_dtype(values))
    dim = values.ndim - 2
    if not 1 <= dim <= MAX_DIM:
        raise ArgumentError(argument, expected="shape (B, C, *S) with 1, 2 or 3 spatial axes", received=_shape(values))
    if 0 in values.shape[2:]:
        raise ArgumentError(argument, expected="no empty spatial axis", received=_shape(values))
    return dim


def _check_dense(argument: str, tensor: Tensor) -> None:
    if tensor.layout != torch.strided or tensor.is_nested:
        layout = "a nested tensor" if tensor.is_nested else str(tensor.layout).removeprefix("torch.")
        raise ArgumentError(argument, expected="a dense tensor", received=layout)


def check_offsets(offsets: Tensor, dim: int | None = None) -> Tensor:
    """Check offsets (B, d, *T) or (B, G, d, *T) and return them as (B, G, d, *T).

    Without `dim`, d is read from the shape, as (B, d, *T) where that fits.
    """
    return offsets if len(check_offset_shape(offsets, dim)) == offsets.ndim else offsets.unsqueeze(1)


def check_offset_shape(offsets: Tensor, dim: int | None = None) -> Sequence[int]:
    """Check offsets as `check_offsets` does, and return only the shape (B, G, d, *T)."""
    if not isinstance(offsets, Tensor):
        raise ArgumentError("offsets", expected="a tensor (B, d, *T) or (B, G, d, *T)", received=type(offsets).__name__)
    _check_dense("offsets", offsets)
    if not offsets.is_floating_point():
        raise ArgumentError("offsets", expected="a floating dtype (offsets are in pixels)", received=_dtype(offsets))
    shape = _with_groups(offsets, dim)
    if 0 in shape[3:]:
        raise ArgumentError("offsets", expected="no empty spatial axis", received=_shape(offsets))
    if shape[1] == 0:
        raise ArgumentError("offsets", expected="at least one offset group", received=_shape(offsets))
    return shape


def _with_groups(offsets: Tensor, dim: int | None) -> Sequence[int]:
    shape = offsets.shape
    dims = range(1, MAX_DIM + 1) if dim is None else (dim,)
    for d in dims:
        if len(shape) == 2 + d and shape[1] == d:
            return (shape[0], 1, *shape[1:])
    for d in dims:
        if len(shape) == 3 + d and shape[2] == d:
            return shape
    d_name = "d" if dim is None else str(dim)
    raise ArgumentError(
        "offsets", expected=f"shape (B, {d_name}, *T) or (B, G, {d_name}, *T)", received=_shape(offsets)
    )


def check_pair(argument: str, values: Tensor, offsets: Tensor, shape: Sequence[int]) -> None:
    """Check that values (B, C, …) and offsets fit together; `shape` is that of the offsets as (B, G, d, *T)."""
    batch, channels = values.shape[:2]
    if batch != shape[0]:
        raise ArgumentError("offsets", expected=f"batch {batch}, as in {argument}", received=f"batch {shape[0]}")
    if channels % shape[1]:
        raise ArgumentError(
            "offsets",
            expected=f"a number of offset groups that divides the {channels} channels of {argument}",
            received=f"{shape[1]} groups",
        )
    if values.device != offsets.device:
        raise ArgumentError(
            "offsets", expected=f"device {values.device}, as in {argument}", received=f"device {offsets.device}"
        )


def check_knot(knot: str) -> None:
    """Check the name of the rule for derivatives at knots."""
    if knot not in KNOTS:
        raise ArgumentError("knot", expected=" or ".join(map(repr, KNOTS)), received=repr(knot))


def check_kernel_fits(kernel: Kernel, boundary: str) -> None:
    """Check that a kernel that reads every pixel is used on a periodic image."""
    if not kernel.is_compact and boundary != "periodic":
        raise ArgumentError(
            "boundary",
            expected=f"'periodic': kernel {kernel.name!r} reads the whole axis",
            received=repr(boundary),
        )


def check_size(size: Sequence[int] | None, default: Sequence[int]) -> tuple[int, ...]:
    """Check the spatial size of the warped image; None is the size of the offset grid."""
    if size is None:
        return tuple(default)
    expected = f"{len(default)} positive integers"
    if not isinstance(size, Sequence) or isinstance(size, bytes | bytearray) or len(size) != len(default):
        raise ArgumentError("size", expected=expected, received=size)
    if not all(is_whole(n) and n > 0 for n in size):
        raise ArgumentError("size", expected=expected, received=tuple(size))
    return tuple(n if isinstance(n, int) else int(n) for n in size)  # a traced size stays one


def check_room(argument: str, values: int, like: Tensor, received: str, itemsize: int | None = None) -> None:
    """Check that so many values of the dtype of a tensor (*S), or of `itemsize` bytes each, fit its device's memory.

    An expanded tensor, or a size, asks for any number in a few bytes; the system would promise that memory, and kill
    the process that uses it.
    """
    if is_traced() or like.is_meta:
        return
    needed = values * (itemsize or like.element_size())
    most = memory(like.device)
    if needed > most and is_plain(like):
        raise ArgumentError(
            argument,
            expected=f"what fits the {most / _GIB:.3g} GiB of memory of {like.device}",
            received=f"{received}, for which {needed / _GIB:.3g} GiB are needed",
        )


def _shape(tensor: Tensor) -> str:
    return f"shape {tuple(tensor.shape)}"


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
