"""The images that a matrix maps between: their shapes, and the strides from output to input pixels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from warptheory.core.checks import check_integer
from warptheory.core.errors import ArgumentError
from warptheory.core.text import shown


@dataclass(frozen=True)
class Images:
    """The shapes of the images that a matrix (D·N, C·M) maps between.

    Attributes:
        inputs: (C, *S).
        outputs: (D, *T).
        stride: input pixels from one output pixel to the next, S over T, along each axis.
    """

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    stride: tuple[int, ...]


def checked_images(
    shape: tuple[int, ...], input_shape: Sequence[int], output_shape: Sequence[int] | None = None
) -> Images:
    """Return the images that a matrix of some shape maps between.

    Args:
        shape: that of the matrix, (D·N, C·M).
        input_shape: (C, *S).
        output_shape: (D, *T); None takes that of the input.

    Raises:
        ArgumentError: shapes that do not fit the matrix, or each other: T has to divide S.
    """
    inputs = checked_shape("input_shape", input_shape)
    outputs = inputs if output_shape is None else checked_shape("output_shape", output_shape)
    taken = " (None takes that of the input)" if output_shape is None else ""
    if len(inputs) != len(outputs):
        raise ArgumentError("output_shape", expected=f"{len(inputs) - 1} axes beside channels", received=outputs)
    for name, images, length, of in (
        ("input_shape", inputs, shape[1], "columns"),
        ("output_shape", outputs, shape[0], f"rows{taken}"),
    ):
        if math.prod(images) != length:
            expected = f"{length} pixels over all channels, as the matrix has {of}"
            raise ArgumentError(name, expected=expected, received=f"{images}, {math.prod(images)} pixels")
    for axis, (length, shorter) in enumerate(zip(inputs[1:], outputs[1:], strict=True), start=1):
        if length % shorter:
            expected = f"a length that divides that of the input, {length} (for finer outputs take the transpose)"
            raise ArgumentError(f"output_shape[{axis}]", expected=expected, received=shorter)
    stride = tuple(length // shorter for length, shorter in zip(inputs[1:], outputs[1:], strict=True))
    return Images(inputs, outputs, stride)


def checked_shape(argument: str, shape: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of an image (C, *S) with positive lengths.

    Raises:
        ArgumentError: anything else.
    """
    least, lengths = 2, as_sequence(shape)
    if not isinstance(lengths, Sequence) or isinstance(lengths, str | bytes) or len(lengths) < least:
        raise ArgumentError(argument, expected="channels and at least one spatial axis, (C, *S)", received=shown(shape))
    return tuple(check_integer(f"{argument}[{axis}]", length) for axis, length in enumerate(lengths))


def as_sequence(lengths: Any) -> Any:
    """Return an array of NumPy (d,) as a list, and all else as it is."""
    return lengths.tolist() if isinstance(lengths, np.ndarray) else lengths
