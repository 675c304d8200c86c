"""The geometry of convolutions: kernel size, stride, padding and dilation along each axis."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from jaxtyping import Float
from torch import Tensor

from warptheory.core.checks import is_whole
from warptheory.core.errors import ArgumentError
from warptheory.core.torch_internals import has_autocast
from warptheory.patterns import Lattice

PerAxis = int | Sequence[int]


@dataclass(frozen=True)
class Geometry:
    """Where the taps of a convolution lie, along each of d axes.

    Attributes:
        kernel_size: numbers of taps.
        stride: pixels between output pixels.
        padding: pixels before the first one.
        dilation: pixels between taps.
    """

    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]

    @classmethod
    def of(cls, kernel_size: PerAxis, stride: PerAxis, padding: PerAxis, dilation: PerAxis, dim: int) -> "Geometry":
        """Return the geometry along d axes, of numbers for all axes or for each.

        Raises:
            ArgumentError: something that is no number of pixels, by name.
        """
        return cls(
            per_axis("kernel_size", kernel_size, dim),
            per_axis("stride", stride, dim),
            per_axis("padding", padding, dim, least=0),
            per_axis("dilation", dilation, dim),
        )

    @property
    def taps(self) -> int:
        """Number K of taps."""
        return prod(self.kernel_size)

    def grid(self, size: Sequence[int], argument: str = "input") -> tuple[int, ...]:
        """Return the size of the outcome, for images of a size.

        Raises:
            ArgumentError: an image smaller than the taps reach, by name of the argument.
        """
        reach = [step * (n - 1) + 1 for n, step in zip(self.kernel_size, self.dilation, strict=True)]
        found = [
            (n + 2 * pad - extent) // step + 1
            for n, pad, extent, step in zip(size, self.padding, reach, self.stride, strict=True)
        ]
        if min(found) < 1:
            raise ArgumentError(
                argument, expected=f"a padded image of at least {tuple(reach)} pixels", received=f"size {tuple(size)}"
            )
        return tuple(found)

    def lattice(self, groups: int = 1) -> Lattice:
        """Return the lattice of the taps, for each offset group."""
        return Lattice.of_convolution(self.kernel_size, (self.stride, self.padding, self.dilation), groups)


def per_axis(argument: str, value: PerAxis, dim: int, least: int = 1) -> tuple[int, ...]:
    """Return a number for each of d axes, of one for all or of d.

    Raises:
        ArgumentError: not that many whole numbers, or one below the least.
    """
    values = (value,) * dim if is_whole(value) else value
    if (
        not isinstance(values, Sequence)
        or isinstance(values, str | bytes)
        or len(values) != dim
        or not all(is_whole(each) and each >= least for each in values)
    ):
        numbers = "a number" if dim == 1 else f"a number or {dim} numbers"
        raise ArgumentError(argument, expected=f"{numbers} ≥ {least}", received=value)
    return tuple(int(each) for each in values)


def biased(y: Float[Tensor, "B D *T"], bias: Float[Tensor, "D"] | None) -> Float[Tensor, "B D *T"]:
    """Add a bias (D,) to images (B, D, *T).

    Raises:
        ArgumentError: a bias of another length or dtype.
    """
    if bias is None:
        return y
    if not isinstance(bias, Tensor) or tuple(bias.shape) != (y.shape[1],):
        received = tuple(bias.shape) if isinstance(bias, Tensor) else type(bias).__name__
        raise ArgumentError("bias", expected=f"shape {(y.shape[1],)}", received=received)
    if bias.dtype != y.dtype and not has_autocast(y):
        raise ArgumentError("bias", expected=f"dtype {y.dtype}, as input has", received=bias.dtype)
    return y + bias.to(y.dtype).reshape(-1, *[1] * (y.ndim - 2))
