"""Checks of what users pass to operators: tensors, their shapes and dtypes, odd numbers; each error names it.

And how layers tell the arguments back.
"""

from collections.abc import Sequence

from torch import Tensor

from warptheory.core.checks import check_integer
from warptheory.core.errors import ArgumentError
from warptheory.core.torch_internals import has_autocast
from warptheory.warping.arguments import check_values


def odd(argument: str, value: int, least: int = 1) -> int:
    """Return an odd number, of at least `least`.

    Raises:
        ArgumentError: anything else.
    """
    number = check_integer(argument, value, least=least)
    if number % 2 == 0:
        raise ArgumentError(argument, expected="an odd number", received=value)
    return number


def check_tensor(argument: str, value: object, axes: int | None = None, layout: str = "") -> None:
    """Check that something is a tensor of a floating dtype, with a number of axes, which a layout names: "(B, C)".

    Raises:
        ArgumentError: it is not, by name of the argument.
    """
    if not isinstance(value, Tensor):
        raise ArgumentError(argument, expected=f"a tensor {layout}".rstrip(), received=type(value).__name__)
    if not value.is_floating_point():
        raise ArgumentError(argument, expected="a floating dtype", received=value.dtype)
    if axes is not None and value.ndim != axes:
        raise ArgumentError(argument, expected=f"shape {layout}", received=tuple(value.shape))


def check_tensors(**tensors: object) -> None:
    """Check that arguments are tensors of a floating dtype, or None.

    Raises:
        ArgumentError: one is not, by its name.
    """
    for argument, value in tensors.items():
        if value is not None:
            check_tensor(argument, value)


def check_shape(argument: str, tensor: Tensor, shape: Sequence[int]) -> None:
    """Check that something is a tensor of a shape (*S), of any dtype.

    Raises:
        ArgumentError: it is not, by name of the argument.
    """
    if not isinstance(tensor, Tensor):
        raise ArgumentError(argument, expected=f"a tensor {tuple(shape)}", received=type(tensor).__name__)
    if tuple(tensor.shape) != tuple(shape):
        raise ArgumentError(argument, expected=f"shape {tuple(shape)}", received=tuple(tensor.shape))


def check_same_dtype(argument: str, tensor: Tensor, other: str, like: Tensor) -> None:
    """Check that a tensor (*S) has the dtype of another (*T), such as "input", unless autocast makes them alike.

    Raises:
        ArgumentError: it has not, by name of the argument.
    """
    if tensor.dtype != like.dtype and not has_autocast(tensor):
        raise ArgumentError(argument, expected=f"dtype {like.dtype}, as {other}", received=tensor.dtype)


def check_for_layer(argument: str, tensor: Tensor, parameter: object) -> None:
    """Check that a tensor (*S) has the dtype of a layer's parameter (*T); anything but a tensor says nothing.

    Raises:
        ArgumentError: it has not, by name of the argument.
    """
    if isinstance(parameter, Tensor):
        check_same_dtype(argument, tensor, "the layer's parameters have", parameter)


def check_images(argument: str, images: Tensor, channels: int, dim: int, parameter: object) -> tuple[int, ...]:
    """Check images (B, C, *S) with d axes for a layer, by its number of channels and a parameter (*T); return S.

    Raises:
        ArgumentError: they do not fit, by name of the argument.
    """
    if check_values(argument, images) != dim or images.shape[1] != channels:
        expected = f"shape (B, {channels}, *S) with {dim} axes S"
        raise ArgumentError(argument, expected=expected, received=tuple(images.shape))
    check_for_layer(argument, images, parameter)
    return tuple(images.shape[2:])


def check_pixels(argument: str, images: Tensor, channels: int | None, dim: int) -> tuple[int, ...]:
    """Check images (B, *S, C), channels last, with d axes and a number of channels, or any; return S.

    Raises:
        ArgumentError: they do not fit, by name of the argument.
    """
    check_tensor(argument, images)
    if images.ndim != dim + 2 or (channels is not None and images.shape[-1] != channels):
        expected = f"shape (B, *S, {'C' if channels is None else channels}) with {dim} axes S"
        raise ArgumentError(argument, expected=expected, received=tuple(images.shape))
    if 0 in images.shape[1:-1]:
        raise ArgumentError(argument, expected="no empty spatial axis", received=tuple(images.shape))
    return tuple(images.shape[1:-1])


def told(layer: object, *names: str) -> str:
    """Return settings of a layer, by the names of its arguments, as its `extra_repr` tells them: "stride=1, pad=0"."""
    return ", ".join(f"{name}={getattr(layer, name)!r}" for name in names)
