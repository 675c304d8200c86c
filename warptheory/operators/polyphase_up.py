"""Polyphase upsampling: pixels return to the phase that polyphase sampling chose."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from warptheory.core.errors import ArgumentError
from warptheory.operators._arguments import check_images
from warptheory.operators._entry import Defect, OperatorEntry, OperatorExample
from warptheory.operators._polyphase import Polyphase, grid_of, merged, mixture_pattern
from warptheory.patterns import Chain, Transposed

__all__ = ["PolyphaseUp1d", "PolyphaseUp2d"]


class PolyphaseUp(Polyphase):
    """Upsampling to the phase that was chosen: the pixels return to their places, zeros between them are blurred over.

    The blur has the sum s^d, so that a constant keeps its mean.

    Args:
        channels: number C of channels.
        pad_type: what lies outside for the blur, as in `BlurPool`.
        filt_size: pixels of the binomial filter along each axis; 1 for none.
        stride: s, output pixels for each pixel.

    Raises:
        ArgumentError: a number that makes no sense, or no such padding.

    Source: as of `PolyphaseDown`.
    """

    def __init__(self, channels: int, pad_type: str = "circular", filt_size: int = 3, stride: int = 2) -> None:
        super().__init__(channels, pad_type, filt_size, stride)
        # It continues an image the other way round, which takes back the half pixel of an even filter.
        self.blur = replace(self.blur, before=self.blur.after, after=self.blur.before)
        self.filt *= self.stride**self.dim

    def pattern(
        self,
        input: Float[Tensor, "B C *T"],  # noqa: A002
        phase: Float[Tensor, "N P"],
        size: Sequence[int] | None = None,
    ) -> Chain:
        """Return the pattern at an input (B, C, *T): the phases backwards, then the blur.

        Args:
            input: images, shape (B, C, *T).
            phase: `PolyphaseDown.phase_weights`, shape (B, P).
            size: S of the outcome, of which T is S/s rounded up; None for s·T.
        """
        found = self._size(input, phase, size)
        phases = mixture_pattern(found, self.channels, phase, self.stride)
        return Chain(
            (Transposed(phases), self.blur.pattern(input.new_zeros(len(input), self.channels, *found), self.filt))
        )

    def forward(
        self,
        input: Float[Tensor, "B C *T"],  # noqa: A002
        phase: Float[Tensor, "N P"],
        size: Sequence[int] | None = None,
    ) -> Float[Tensor, "B C *S"]:
        """Return the larger images: (B, C, *T) → (B, C, *S); arguments as of `pattern`."""
        found = self._size(input, phase, size)
        phases = input.unsqueeze(1) * phase.reshape(*phase.shape, 1, *[1] * self.dim).to(input.dtype)
        return self.blur.apply(merged(phases, self.stride, found), self.filt)

    def _size(self, y: Tensor, phase: Tensor, size: Sequence[int] | None) -> tuple[int, ...]:
        grid = check_images("input", y, self.channels, self.dim, None)
        self.checked(phase, y)
        found: Sequence[int] = [self.stride * n for n in grid] if size is None else size
        if not isinstance(found, Sequence) or len(found) != self.dim or grid_of(found, self.stride) != grid:
            raise ArgumentError("size", expected=f"sizes of which {grid} is 1/{self.stride}", received=size)
        return tuple(found)


class PolyphaseUp1d(PolyphaseUp):
    """Polyphase upsampling of signals (B, C, N); arguments as in `PolyphaseUp`."""

    dim = 1


class PolyphaseUp2d(PolyphaseUp):
    """Polyphase upsampling of images (B, C, H, W); arguments as in `PolyphaseUp`."""

    dim = 2


def _up_inputs(x: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
    weights = torch.rand(len(x), 4, generator=generator, dtype=x.dtype)
    return x, weights / weights.sum(1, keepdim=True)


operator = OperatorEntry(
    formula=r"y_c[m] = s^d \sum_\varphi w_\varphi \sum_{n k:\, s n + \varphi = m + k} b_k\, x_c[n]",
    where={
        r"\varphi": "the phases, 0 … s − 1 along each axis",
        r"w": "their weights, as polyphase downsampling chose them",
        r"b": "the filter of BlurPool",
        r"s": "the stride",
        r"d": "the number of axes",
    },
    source="A. Chaman, I. Dokmanić, arXiv 2105.04040; R. A. Rojas-Gomez et al., arXiv 2210.08001",
    conventions=(
        "It is the adjoint of polyphase downsampling with circular padding, times s^d: a constant keeps its mean.",
        "A filter of even size lies half a pixel towards lower indices, which takes back that of the way down.",
    ),
    initialisation="Nothing is learned.",
    examples={
        "2d": OperatorExample(lambda: PolyphaseUp2d(2, filt_size=2), _up_inputs, (2, 2, 3, 2)),
    },
    defects=(
        Defect(
            "Its upsampling blurs three zeros for each pixel by a filter of sum 1: a constant 1 comes out as 1/4.",
            "The filter has the sum s^d.",
            "test_upsampling_keeps_a_constant",
        ),
    ),
)
