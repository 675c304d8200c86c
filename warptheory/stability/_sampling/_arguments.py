"""Checks of an image, and of a pixel of a layer's output."""

import operator
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from warptheory.core.errors import ArgumentError
from warptheory.stability._sampling._passage import Passage


def check_image(image: Tensor) -> None:
    """Raise ArgumentError unless it is one image, shape (1, C, *S)."""
    if not isinstance(image, Tensor) or image.ndim < 3 or len(image) != 1:
        received = tuple(image.shape) if isinstance(image, Tensor) else type(image).__name__
        raise ArgumentError("image", expected="one image, shape (1, C, *S)", received=received)


def start_of(passage: Passage, top: int, pixel: Sequence[int]) -> Float[Tensor, "1 d"]:
    """Return a pixel of the output of operation `top` as a point, shape (1, d).

    Raises:
        ArgumentError: no pixel of that grid.
    """
    offsets = passage.calls[top].offsets(1)
    return pixel_of(pixel, tuple(offsets.shape[3:]), offsets)


def pixel_of(pixel: Sequence[int], grid: tuple[int, ...], like: Tensor) -> Float[Tensor, "1 d"]:
    """Return a pixel of a grid as a point, shape (1, d), on the device of a tensor (*S).

    Raises:
        ArgumentError: no pixel of that grid.
    """
    try:
        indices = [operator.index(index) for index in pixel]
    except TypeError as error:
        raise ArgumentError("pixel", expected=f"{len(grid)} integers", received=repr(pixel)) from error
    if len(indices) != len(grid) or not all(0 <= index < n for index, n in zip(indices, grid, strict=True)):
        raise ArgumentError("pixel", expected=f"a pixel of the grid {grid}", received=tuple(indices))
    return like.new_tensor([indices], dtype=torch.float64)
