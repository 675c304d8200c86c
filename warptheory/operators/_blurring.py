"""Blurring: each channel is filtered, and every stride-th pixel of the outcome is kept."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from warptheory.core.errors import ArgumentError
from warptheory.operators._continuation import continued
from warptheory.patterns import Lattice, SamplingPattern
from warptheory.warping.arguments import check_values

# The originals' names of what lies outside, with those of the library's boundary rules.
_BOUNDARIES = {"reflect": "mirror", "refl": "mirror", "replicate": "border", "repl": "border"}
_BOUNDARIES |= {"zero": "zeros", "circular": "periodic"}


def boundary_of(pad_type: str) -> str:
    """Return the name of the boundary rule that an original's name of a padding means.

    Raises:
        ArgumentError: no such padding.
    """
    if pad_type not in _BOUNDARIES:
        raise ArgumentError("pad_type", expected=" or ".join(map(repr, _BOUNDARIES)), received=repr(pad_type))
    return _BOUNDARIES[pad_type]


def binomial_filters(channels: int, size: int, dim: int) -> Float[Tensor, "C 1 *K"]:
    """Return for each channel the product of d binomial filters, of sum 1, shape (C, 1, *K)."""
    row = torch.tensor([math.comb(size - 1, k) / 2 ** (size - 1) for k in range(size)])
    filters = row
    for _ in range(dim - 1):
        filters = filters.unsqueeze(-1) * row
    return filters.repeat(channels, 1, *[1] * dim)


@dataclass(frozen=True)
class Blur:
    """How filters of K pixels along each axis are laid over an image.

    Attributes:
        before: pixels by which an axis is continued before its first pixel.
        after: pixels by which it is continued after its last one.
        stride: pixels between output pixels.
        boundary: name of the boundary rule.
    """

    before: int
    after: int
    stride: int
    boundary: str

    def apply(self, x: Float[Tensor, "B C *S"], filters: Float[Tensor, "D 1 *K"]) -> Float[Tensor, "B C *T"]:
        """Filter images (B, C, *S): (B, C, *T).

        Raises:
            ArgumentError: another number of axes or channels, or an image smaller than the filters.
        """
        self._grid(x, filters)
        dim, filters, pads = x.ndim - 2, filters.to(x.dtype), (self.before, self.after)
        # A convolution pads with zeros by itself, at both ends alike.
        inner = self.before if self.boundary == "zeros" and self.before == self.after else 0
        padded = x if inner else continued(x, *pads, self.boundary)
        if filters[0].numel() == 1 and not inner:
            kept: Any = (..., *[slice(None, None, self.stride)] * dim)
            return padded[kept] * filters[:, 0]
        convolve = (functional.conv1d, functional.conv2d, functional.conv3d)[dim - 1]
        return convolve(padded, filters, stride=self.stride, padding=inner, groups=len(filters))

    def pattern(self, x: Float[Tensor, "B C *S"], filters: Float[Tensor, "D 1 *K"]) -> SamplingPattern:
        """Return the pattern at images (B, C, *S); errors as of `apply`."""
        grid, dim, taps = self._grid(x, filters), x.ndim - 2, filters[0].numel()
        steps = (self.stride,) * dim, (self.before,) * dim, (1,) * dim
        return SamplingPattern(
            tuple(x.shape[2:]),
            x.shape[1],
            x.new_zeros(len(x), taps, dim, *grid),
            Lattice.of_convolution(filters.shape[2:], steps, 1),
            taps,
            filters=filters.flatten(2).to(x.dtype),
            kernel="nearest",
            boundary=self.boundary,
        )

    def _grid(self, x: Tensor, filters: Tensor) -> tuple[int, ...]:
        """Return the size T of the outcome."""
        if check_values("input", x) != filters.ndim - 2 or x.shape[1] != len(filters):
            expected = f"shape (B, {len(filters)}, *S) with {filters.ndim - 2} axes S"
            raise ArgumentError("input", expected=expected, received=tuple(x.shape))
        spare = [n + self.before + self.after - k for n, k in zip(x.shape[2:], filters.shape[2:], strict=True)]
        if min(spare) < 0:
            least = tuple(k - self.before - self.after for k in filters.shape[2:])
            raise ArgumentError("input", expected=f"at least {least} pixels", received=f"size {tuple(x.shape[2:])}")
        return tuple(each // self.stride + 1 for each in spare)


def check_covered(x: Float[Tensor, "B C *S"], reach: Sequence[int]) -> None:
    """Check that an input, images (B, C, *S), holds a window of some pixels.

    Raises:
        ArgumentError: they are smaller, or have another number of axes.
    """
    if check_values("input", x) != len(reach) or any(n < k for n, k in zip(x.shape[2:], reach, strict=True)):
        expected = f"shape (B, C, *S) with {len(reach)} axes S of at least {tuple(reach)} pixels"
        raise ArgumentError("input", expected=expected, received=tuple(x.shape))
