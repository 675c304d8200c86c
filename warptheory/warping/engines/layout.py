"""How images lie in memory, in planes or channels-last, and the layout of results: that of their input."""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from warptheory.warping.shapes import GridTensor, GroupedOffsets, ImageTensor


def is_channels_last(values: ImageTensor) -> bool:
    """Return whether the channels of a pixel of images (B, C, *S) lie side by side, and pixels do not."""
    return values.stride(1) == 1 and values.shape[1] > 1 and prod(values.shape[2:]) > 1


def spans_pixels(values: Tensor, first_axis: int = 2) -> bool:
    """Return whether one stride leads through all pixels of images (B, C, *S) in C order; *S begins at `first_axis`."""
    if values.is_contiguous():
        return True
    expected = None
    for axis in reversed(range(first_axis, values.ndim)):
        if values.shape[axis] == 1:
            continue
        if expected is not None and values.stride(axis) != expected:
            return False
        expected = values.stride(axis) * values.shape[axis]
    return True


def has_dense_planes(values: ImageTensor) -> bool:
    """Return whether the pixels of a channel of images (B, C, *S) follow each other without a gap."""
    return values.is_contiguous() or (spans_pixels(values) and pixel_stride(values.shape[2:], values.stride()[2:]) == 1)


def pixel_stride(size: Sequence[int], strides: Sequence[int]) -> int:
    """Return the stride between successive pixels, given that one stride spans them all."""
    return next((stride for n, stride in zip(reversed(size), reversed(strides), strict=True) if n > 1), 1)


def is_dense(values: ImageTensor) -> bool:
    """Return whether images (B, C, *S) are laid out as `empty_image` would lay them out."""
    if values.is_contiguous() and not is_channels_last(values):
        return True
    expected = _strides(values, values.shape[2:])
    return all(
        length == 1 or stride == wanted
        for length, stride, wanted in zip(values.shape, values.stride(), expected, strict=True)
    )


def _strides(like: Tensor, size: Sequence[int]) -> tuple[int, ...]:
    order = (0, *range(2, like.ndim), 1) if is_channels_last(like) else tuple(range(like.ndim))
    shape = (like.shape[0], like.shape[1], *size)
    strides = [1] * like.ndim
    step = 1
    for axis in reversed(order):
        strides[axis] = step
        step *= shape[axis]
    return tuple(strides)


def empty_image(like: ImageTensor, size: Sequence[int], dtype: torch.dtype | None = None) -> GridTensor:
    """Return uninitialised images (B, C, *size) in the layout of `like`: channels-last, else planes."""
    if size == like.shape[2:] and is_dense(like):
        return torch.empty_like(like, dtype=dtype)
    if not is_channels_last(like):
        return like.new_empty((*like.shape[:2], *size), dtype=dtype)
    return like.new_empty_strided((like.shape[0], like.shape[1], *size), _strides(like, size), dtype=dtype)


def empty_offsets(like: GroupedOffsets) -> GroupedOffsets:
    """Return uninitialised offsets (B, G, d, *T) with the strides of `like`, if these are dense; else contiguous."""
    kept = torch.empty_like(like)
    return kept if spans_pixels(kept, first_axis=3) else like.new_empty(like.shape)


def laid_out(found: GridTensor, like: ImageTensor) -> GridTensor:
    """Return a result (B, C, *T) in the layout that `empty_image` gives it beside an image (B, C, *S)."""
    promised = empty_image(like, found.shape[2:])
    return found if found.stride() == promised.stride() else promised.copy_(found)
