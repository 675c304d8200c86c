"""Self-warp: the offsets are computed from the very input that is warped."""

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from warptheory.core.checks import check_integer, check_number
from warptheory.core.errors import ArgumentError
from warptheory.operators._arguments import check_images, check_tensor, odd, told
from warptheory.operators._entry import OperatorEntry, OperatorExample
from warptheory.operators._fused_self_warp import fused_self_warp
from warptheory.operators._offset_transform import OffsetTransform
from warptheory.operators._operator import WarpOperator
from warptheory.operators._thin_convolution import ThinConvolution2d

__all__ = ["SelfWarp", "SelfWarp1d", "SelfWarp2d"]


class SelfWarp(WarpOperator):
    """y(t) = x(t + ε(t)) with ε = α(w∗x): a convolution, the head, computes the offsets by which its input is warped.

    The head starts at zero, so that a new layer is the identity. `head` computes w∗x, and `field` makes the offsets of
    it: a forward hook on `field` sees the offsets that were used, shape (B, G, d, *S).

    Args:
        channels: number C of input channels.
        groups: number G of offset groups; C/G successive channels share their offsets. 1: all share one field, and
            with it the sum of their offset gradients (theory F3); "channels": every channel has its own.
        kernel_size: odd size of the head's filters: how far the head looks.
        scale: α, pixels of offset per unit of the head's output. With a head that starts at zero, α² acts as a
            factor on the learning rate of the offsets (theory G5).
        kernel: name of the interpolation kernel.
        boundary: name of the boundary rule.
        head_gain: h ≥ 0: the head's filters are drawn from a normal law such that the filter of each component of
            the offsets has E‖w‖² = h². At h = 1 a layer multiplies gradient energies by 1 + α²dλ₂ (theory F3); the
            default 0 adds nothing at the start. Biases are 0.
        lipschitz: L > 0: offsets are shrunk, image by image and group by group, until no slope of theirs leaves the
            bound: at L < 1 nothing folds (theory F1, G1). None: no bound.
        smoothing: σ ≥ 0 in pixels of a Gaussian that smooths the offsets, and so lowers their slopes τ, on which
            folds, roughening and backward energy depend (theory G1, G3, G4). 0: none.
        gradient_scale: m ≥ 0, a factor on the gradient that reaches the offsets, and through them head and input;
            what the layer returns is unchanged. On the head's weights it acts as a learning rate multiplied by m does
            under gradient descent; unlike that, it also weakens the second path to the input, by m² in energy
            (theory F3, G2).

    Raises:
        ArgumentError: groups that do not divide the channels, an even kernel size, a negative gain, smoothing or
            gradient scale, a bound that is not positive, or a kernel and a boundary rule that do not go together.
        UnknownNameError: no such kernel or boundary rule.

    Source: arXiv 2511.20800, self-warp networks; theory section F.
    """

    dim: ClassVar[int]

    def __init__(
        self,
        channels: int,
        groups: int | str = 1,
        kernel_size: int = 3,
        scale: float = 1.0,
        kernel: str = "linear",
        boundary: str = "border",
        *,
        head_gain: float = 0.0,
        lipschitz: float | None = None,
        smoothing: float = 0.0,
        gradient_scale: float = 1.0,
    ) -> None:
        super().__init__(kernel, boundary)
        self.channels = check_integer("channels", channels)
        self.kernel_size = odd("kernel_size", kernel_size)
        self.groups = _group_count(groups, channels)
        self.head_gain = check_number("head_gain", head_gain, least=0)
        self.head = self._convolution(channels, self.dim * self.groups, kernel_size)
        self.field = OffsetTransform(self.dim, scale, lipschitz, smoothing, gradient_scale)
        self.reset_head()

    def extra_repr(self) -> str:
        """Return the arguments that neither the head nor the transform of its offsets tells."""
        return f"{self.channels}, {told(self, 'groups', 'kernel', 'boundary', 'head_gain')}"

    @staticmethod
    @abstractmethod
    def _convolution(channels: int, outputs: int, kernel_size: int) -> nn.Conv1d | nn.Conv2d:
        """Return a convolution that keeps the size of its input, along d axes."""

    @torch.no_grad()
    def reset_head(self, generator: torch.Generator | None = None) -> None:
        """Set the head to its start: filters of `head_gain`, drawn by a generator or by torch's own; no bias."""
        weight, bias = self.head.weight, self.head.bias
        weight.zero_()
        if self.head_gain > 0:
            # One component's filter has as many weights as weight[0].
            weight.normal_(std=self.head_gain / math.sqrt(weight[0].numel()), generator=generator)
        if bias is not None:
            bias.zero_()

    def forward(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B C *S"]:
        """Return the warped input: (B, C, *S) → (B, C, *S)."""
        check_tensor("x", x)
        if type(self).offsets is SelfWarp.offsets:
            fused = fused_self_warp(x, self.head, self.field, self.kernel, self.boundary)
            if fused is not None:
                return fused
        # Head and warp share a view, so that their gradients are added before others, as in the fused pass.
        return super().forward(x.view_as(x))

    def offsets(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B G d *S"]:
        """Return the offsets at an input (B, C, *S), in pixels, shape (B, G, d, *S)."""
        check_images("x", x, self.channels, self.dim, getattr(self.head, "weight", None))
        offsets: Tensor = self.field(self.head(x))
        return offsets


class SelfWarp1d(SelfWarp):
    """Self-warp of signals (B, C, N); arguments as in `SelfWarp`."""

    dim = 1

    @staticmethod
    def _convolution(channels: int, outputs: int, kernel_size: int) -> nn.Conv1d:
        return nn.Conv1d(channels, outputs, kernel_size, padding=kernel_size // 2)


class SelfWarp2d(SelfWarp):
    """Self-warp of images (B, C, H, W); arguments as in `SelfWarp`."""

    dim = 2

    @staticmethod
    def _convolution(channels: int, outputs: int, kernel_size: int) -> nn.Conv2d:
        return ThinConvolution2d(channels, outputs, kernel_size)


def _group_count(groups: int | str, channels: int) -> int:
    if groups == "channels":
        return channels
    expected = f'a divisor of the {channels} channels, or "channels"'
    if isinstance(groups, str):
        raise ArgumentError("groups", expected=expected, received=repr(groups))
    count = check_integer("groups", groups)
    if channels % count:
        raise ArgumentError("groups", expected=expected, received=count)
    return count


def _example(build: Callable[[], SelfWarp], shape: tuple[int, ...]) -> OperatorExample:
    def built() -> SelfWarp:
        layer = build()
        layer.reset_head(torch.Generator().manual_seed(0))
        return layer

    return OperatorExample(built, lambda x, _: (x,), shape)


operator = OperatorEntry(
    formula=r"y(t) = x(t + \varepsilon(t)), \qquad \varepsilon = \alpha\, (w * x)",
    where={r"w": "the filters of the head", r"\alpha": "the scale, in pixels per unit of the head's output"},
    source="arXiv 2511.20800",
    conventions=("The head pads with zeros; the warp reads by the boundary rule of the layer.",),
    initialisation="The head starts at zero: the layer is the identity, and its offsets sit on knots (A10).",
    examples={
        "1d": _example(lambda: SelfWarp1d(4, groups=2, head_gain=1.0), (2, 4, 7)),
        "2d": _example(lambda: SelfWarp2d(4, groups=2, head_gain=1.0), (2, 4, 6, 5)),
    },
)
