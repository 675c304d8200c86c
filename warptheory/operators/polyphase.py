"""Polyphase sampling: of the phases of a grid, one is chosen by its content, so that a shift of the input shifts it."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from warptheory.core.checks import check_flag, check_integer, check_number
from warptheory.core.errors import ArgumentError
from warptheory.operators._arguments import check_for_layer, check_images
from warptheory.operators._entry import Defect, OperatorEntry, OperatorExample
from warptheory.operators._polyphase import (
    CRITERIA,
    PhaseScore,
    Polyphase,
    mixture_pattern,
    phases_of,
    selection_pattern,
)
from warptheory.patterns import Chain

__all__ = ["PolyphaseDown1d", "PolyphaseDown2d"]


class PolyphaseDown(Polyphase):
    """Downsampling to a phase of the blurred input that the input itself chooses: y[n] = Σ_φ w_φ (b∗x)[s·n + φ].

    Where one phase is chosen, shifted input gives shifted outcome, exactly, if shifts are circular, sizes multiples of
    the stride and the padding is: `phase_weights` says which phase it was, and `PolyphaseUp` returns to it. For a
    mixture that holds at shifts by multiples of the stride. Others permute the weights of its phases, and move only
    those phases that wrap around. Weights drawn in training are drawn anew for the shifted input.

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

    options = ("phase", "hid_channels", "tau", "hard")

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

    def phase_weights(self, input: Float[Tensor, "B C *S"]) -> Float[Tensor, "B P"]:  # noqa: A002
        """Return the weights (B, P) of the phases, in C order, at images (B, C, *S); drawn anew if they are drawn."""
        return self._weights(self._phases(input))

    def _phases(self, x: Tensor) -> Tensor:
        check_images("input", x, self.channels, self.dim, None)
        return phases_of(self.blur.apply(x, self.filt), self.stride)

    def _weights(self, phases: Tensor) -> Tensor:
        if self.score is not None:
            check_for_layer("input", phases, self.score.conv1.weight)
        scores = CRITERIA[self.phase](phases.detach().flatten(2)) if self.score is None else self.score(phases)
        if self.selects:
            chosen = functional.one_hot(scores.argmax(1), phases.shape[1])
            return chosen.to(phases.dtype)
        if self.phase == "mixture":
            return functional.softmax(scores / self.tau, 1)
        return functional.gumbel_softmax(scores, self.tau, self.hard)

    def pattern(self, input: Float[Tensor, "B C *S"], phase: Float[Tensor, "N P"] | None = None) -> Chain:  # noqa: A002
        """Return the pattern at an input (B, C, *S): the blur, then one whole offset, or a tap for each phase.

        Args:
            input: images, shape (B, C, *S).
            phase: weights of the phases, shape (B, P), in place of those that the input chooses; they are taken as they
                are, and all phases are added.
        """
        weights = self.phase_weights(input) if phase is None else self.checked(phase, input)
        if phase is None and self.selects:
            phases = selection_pattern(input, weights.argmax(1), self.stride)
        else:
            phases = mixture_pattern(tuple(input.shape[2:]), self.channels, weights, self.stride)
        return Chain((self.blur.pattern(input, self.filt), phases))

    def forward(
        self,
        input: Float[Tensor, "B C *S"],  # noqa: A002
        phase: Float[Tensor, "N P"] | None = None,
    ) -> Float[Tensor, "B C *T"]:
        """Return the smaller images: (B, C, *S) → (B, C, *T), T = S/s rounded up; arguments as of `pattern`."""
        phases = self._phases(input)
        weights = self._weights(phases) if phase is None else self.checked(phase, input)
        if phase is None and self.selects:
            return phases[torch.arange(len(input), device=input.device), weights.argmax(1)]
        return torch.einsum("bp,bp...->b...", weights.to(phases.dtype), phases)


class PolyphaseDown1d(PolyphaseDown):
    """Polyphase downsampling of signals (B, C, N); arguments as in `PolyphaseDown`."""

    dim = 1


class PolyphaseDown2d(PolyphaseDown):
    """Polyphase downsampling of images (B, C, H, W); arguments as in `PolyphaseDown`."""

    dim = 2


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
        "Phases are counted in C order, the last axis fastest, as learnable polyphase sampling does; adaptive "
        "polyphase sampling counts rows fastest. All channels of an image share one.",
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
    },
    defects=(
        Defect(
            "The first release of adaptive polyphase sampling takes every map for a square of its height: one of 4 × 8 "
            "pixels is read at wrong pixels without a word, one of 8 × 4 raises.",
            "Any size.",
            "test_norms_on_rectangles",
        ),
    ),
)
