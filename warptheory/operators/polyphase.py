"""Polyphase sampling: of the phases of a grid, one is chosen by its content, so that a shift of the input shifts it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from warptheory.core.checks import check_flag, check_integer, check_number
from warptheory.core.errors import ArgumentError
from warptheory.operators._blurring import Blur, binomial_filters, boundary_of
from warptheory.operators._entry import Defect, OperatorEntry, OperatorExample
from warptheory.operators._operator import SamplingOperator
from warptheory.operators._polyphase import (
    CRITERIA,
    PhaseScore,
    grid_of,
    merged,
    mixture_pattern,
    phases_of,
    selection_pattern,
)
from warptheory.patterns import Chain, Transposed
from warptheory.warping.arguments import check_values

__all__ = ["PolyphaseDown1d", "PolyphaseDown2d", "PolyphaseUp1d", "PolyphaseUp2d"]


class _Polyphase(SamplingOperator):
    """Phases of a grid, and a binomial filter."""

    dim: ClassVar[int]
    filt: Tensor

    def __init__(self, channels: int, pad_type: str, filt_size: int, stride: int) -> None:
        super().__init__()
        self.channels = check_integer("channels", channels)
        self.filt_size = check_integer("filt_size", filt_size)
        self.stride = check_integer("stride", stride)
        self.blur = Blur((filt_size - 1) // 2, filt_size // 2, 1, boundary_of(pad_type))
        self.pad_type = pad_type
        self.register_buffer("filt", binomial_filters(channels, filt_size, self.dim))

    def _checked(self, phase: Tensor, x: Tensor) -> Tensor:
        """Check weights (B, P) of the phases."""
        shape = (len(x), self.stride**self.dim)
        if not isinstance(phase, Tensor) or tuple(phase.shape) != shape or not phase.is_floating_point():
            received = tuple(phase.shape) if isinstance(phase, Tensor) else type(phase).__name__
            raise ArgumentError("phase", expected=f"floating weights of shape {shape}", received=received)
        return phase


class PolyphaseDown(_Polyphase):
    """Downsampling to a phase of the blurred input that the input itself chooses: y[n] = Σ_φ w_φ (b∗x)[s·n + φ].

    Shifted input gives shifted outcome, exactly, if shifts are circular, sizes multiples of the stride and the padding
    is: `phase_weights` says which phase was chosen, and `PolyphaseUp` returns to it.

    Args:
        channels: number C of channels, which share the phase.
        pad_type: what lies outside for the blur, as in `BlurPool`.
        filt_size: pixels of the binomial filter b along each axis; 1 for none.
        stride: s, pixels between output pixels; there are P = s^d phases.
        phase: how it is chosen. "l2", "l1", "l_infty": the largest norm; "non_abs_max": the largest pixel; "l2_min",
            "l1_min": the smallest norm. A tie goes to the first phase, and no gradient passes through the choice.
            "learned": the highest score of a small network; in training a draw, by Gumbel's softmax, from the law whose
            logits are the scores. "mixture": all phases, with the softmax of scores/tau as weights.
        hid_channels: channels of that network; None for as many as C.
        tau: temperature of the softmax.
        hard: whether a draw in training is one phase, with the gradient of the soft weights (straight-through); False:
            it is the soft weights.

    Raises:
        ArgumentError: a number that makes no sense, no such padding, or no such way of choosing.

    Source: A. Chaman, I. Dokmanić, arXiv 2011.14214 (norms); R. A. Rojas-Gomez et al., arXiv 2210.08001 (learned);
        S. Saha, T. Gokhale, arXiv 2404.07410 (mixture).
    """

    def __init__(
        self,
        channels: int,
        pad_type: str = "circular",
        filt_size: int = 3,
        stride: int = 2,
        phase: str = "l2",
        *,
        hid_channels: int | None = None,
        tau: float = 1.0,
        hard: bool = False,
    ) -> None:
        super().__init__(channels, pad_type, filt_size, stride)
        known = (*CRITERIA, "learned", "mixture")
        if phase not in known:
            raise ArgumentError("phase", expected=" or ".join(map(repr, known)), received=repr(phase))
        self.phase, self.hard = phase, check_flag("hard", hard)
        self.tau = check_number("tau", tau, above=0)
        self.hid_channels = check_integer("hid_channels", channels if hid_channels is None else hid_channels)
        self.score = None if phase in CRITERIA else PhaseScore(channels, self.hid_channels, self.dim)

    @property
    def selects(self) -> bool:
        """Whether one phase is read, and not a mixture: always by a norm, and in evaluation if it is learned."""
        return self.phase in CRITERIA or (self.phase == "learned" and not self.training)

    def phase_weights(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B P"]:
        """Return the weights (B, P) of the phases, in C order, at images (B, C, *S); drawn anew if they are drawn."""
        return self._weights(self._phases(x))

    def _phases(self, x: Tensor) -> Tensor:
        return phases_of(self.blur.apply(x, self.filt), self.stride)

    def _weights(self, phases: Tensor) -> Tensor:
        scores = CRITERIA[self.phase](phases.detach().flatten(2)) if self.score is None else self.score(phases)
        if self.selects:
            chosen = functional.one_hot(scores.argmax(1), phases.shape[1])
            return chosen.to(phases.dtype)
        if self.phase == "mixture":
            return functional.softmax(scores / self.tau, 1)
        return functional.gumbel_softmax(scores, self.tau, self.hard)

    def pattern(self, x: Float[Tensor, "B C *S"], phase: Float[Tensor, "N P"] | None = None) -> Chain:
        """Return the pattern at an input (B, C, *S): the blur, then one whole offset, or a tap for each phase.

        Args:
            x: images, shape (B, C, *S).
            phase: weights of the phases, shape (B, P), in place of those that the input chooses.
        """
        weights = self.phase_weights(x) if phase is None else self._checked(phase, x)
        if self.selects:
            phases = selection_pattern(x, weights.argmax(1), self.stride)
        else:
            phases = mixture_pattern(tuple(x.shape[2:]), self.channels, weights, self.stride)
        return Chain((self.blur.pattern(x, self.filt), phases))

    def forward(self, x: Float[Tensor, "B C *S"], phase: Float[Tensor, "N P"] | None = None) -> Float[Tensor, "B C *T"]:
        """Return the smaller images: (B, C, *S) → (B, C, *T), T = S/s rounded up; arguments as of `pattern`."""
        phases = self._phases(x)
        weights = self._weights(phases) if phase is None else self._checked(phase, x)
        if self.selects:
            return phases[torch.arange(len(x), device=x.device), weights.argmax(1)]
        return torch.einsum("bp,bp...->b...", weights.to(phases.dtype), phases)


class PolyphaseUp(_Polyphase):
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
        self, y: Float[Tensor, "B C *T"], phase: Float[Tensor, "N P"], size: Sequence[int] | None = None
    ) -> Chain:
        """Return the pattern at an input (B, C, *T): the phases backwards, then the blur.

        Args:
            y: images, shape (B, C, *T).
            phase: `PolyphaseDown.phase_weights`, shape (B, P).
            size: S of the outcome, of which T is S/s rounded up; None for s·T.
        """
        found = self._size(y, phase, size)
        phases = mixture_pattern(found, self.channels, phase, self.stride)
        return Chain((Transposed(phases), self.blur.pattern(y.new_zeros(len(y), self.channels, *found), self.filt)))

    def forward(
        self, y: Float[Tensor, "B C *T"], phase: Float[Tensor, "N P"], size: Sequence[int] | None = None
    ) -> Float[Tensor, "B C *S"]:
        """Return the larger images: (B, C, *T) → (B, C, *S); arguments as of `pattern`."""
        found = self._size(y, phase, size)
        phases = y.unsqueeze(1) * phase.reshape(*phase.shape, 1, *[1] * self.dim).to(y.dtype)
        return self.blur.apply(merged(phases, self.stride, found), self.filt)

    def _size(self, y: Tensor, phase: Tensor, size: Sequence[int] | None) -> tuple[int, ...]:
        if check_values("y", y) != self.dim or y.shape[1] != self.channels:
            expected = f"shape (B, {self.channels}, *T) with {self.dim} axes T"
            raise ArgumentError("y", expected=expected, received=tuple(y.shape))
        self._checked(phase, y)
        grid = tuple(y.shape[2:])
        found = tuple(self.stride * n for n in grid) if size is None else tuple(size)
        if len(found) != self.dim or grid_of(found, self.stride) != grid:
            raise ArgumentError("size", expected=f"sizes of which {grid} is 1/{self.stride}", received=found)
        return found


class PolyphaseDown1d(PolyphaseDown):
    """Polyphase downsampling of signals (B, C, N); arguments as in `PolyphaseDown`."""

    dim = 1


class PolyphaseDown2d(PolyphaseDown):
    """Polyphase downsampling of images (B, C, H, W); arguments as in `PolyphaseDown`."""

    dim = 2


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
    formula=r"y_c[n] = \sum_\varphi w_\varphi \sum_k b_k\, x_c[s n + \varphi + k]",
    where={
        r"\varphi": "the phases, 0 … s − 1 along each axis",
        r"w": "their weights: 1 for the phase of the largest norm or score, or a softmax of scores",
        r"b": "the filter of BlurPool",
        r"s": "the stride",
    },
    source="A. Chaman, I. Dokmanić, arXiv 2011.14214; R. A. Rojas-Gomez et al., arXiv 2210.08001; S. Saha, T. Gokhale, "
    "arXiv 2404.07410",
    conventions=(
        "Phases are counted in C order, the last axis fastest, and all channels of an image share one.",
        "A tie goes to the first phase; norms have no gradient through the choice, scores have one in training.",
        "An axis that is no multiple of the stride is wrapped around, and shifts are then not kept exactly.",
    ),
    initialisation="The network of the scores starts as torch's convolutions: the first choices are arbitrary, and the "
    "same for shifted input.",
    examples={
        "norm 1d": OperatorExample(lambda: PolyphaseDown1d(3), lambda x, _: (x,), (2, 3, 6)),
        "mixture 2d": OperatorExample(
            lambda: PolyphaseDown2d(2, filt_size=2, phase="mixture", hid_channels=3), lambda x, _: (x,), (2, 2, 6, 5)
        ),
        "up 2d": OperatorExample(lambda: PolyphaseUp2d(2, filt_size=2), _up_inputs, (2, 2, 3, 2)),
    },
    defects=(
        Defect(
            "The first release of adaptive polyphase sampling takes every map for a square of its height: one of 4 × 8 "
            "pixels is read at wrong pixels without a word, one of 8 × 4 raises.",
            "Any size.",
            "test_norms_on_rectangles",
        ),
        Defect(
            "Its upsampling blurs three zeros for each pixel by a filter of sum 1: a constant 1 comes out as 1/4.",
            "The filter has the sum s^d.",
            "test_upsampling_keeps_a_constant",
        ),
    ),
)
