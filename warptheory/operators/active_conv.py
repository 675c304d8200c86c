"""Active convolution: a convolution whose taps lie at learned positions, the same at every pixel."""

import itertools
import math
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from warptheory.core.checks import check_flag, check_integer
from warptheory.core.errors import ArgumentError
from warptheory.operators._convolution import Geometry, PerAxis
from warptheory.operators._convolution_layer import ConvolutionLayer
from warptheory.operators._entry import OperatorEntry, OperatorExample
from warptheory.operators._operator import checked_reading
from warptheory.patterns import Chain, Lattice, Pattern, SamplingPattern

__all__ = ["ActiveConv1d", "ActiveConv2d", "ActiveConv3d"]


class _ActiveConv(ConvolutionLayer):
    """A convolution with K synapses at learned positions, in pixels from the centre of the kernel.

    The first synapse stays at the centre. The others start on the taps of a plain convolution: those next to the
    centre first, each ring in the order of the angle from the last axis towards the one before.

    Args:
        in_channels: number C of channels of the input.
        out_channels: number D of channels of the outcome.
        kernel_size: odd numbers of taps, along all axes or each; K is their product.
        stride: pixels between output pixels, along all axes or each.
        padding: pixels before the first one and after the last, as of a plain convolution.
        dilation: pixels between taps at the start.
        bias: whether a bias is added.
        position_groups: number G of groups of successive outcomes, each with positions of its own.
        normalize: whether the gradient of each position is divided by its Euclidean norm, so that a step of gradient
            descent moves it by the learning rate in pixels.
        warm_up: number of passes in training, with gradients, during which positions get no gradient.
        kernel: how to read between pixels, a name or a `Kernel`.
        boundary: what lies outside of the image, the name of a boundary rule.

    Attributes:
        weight: the filters, shape (D, C, K).
        positions: of all synapses but the first, in pixels, first axis first, shape (G, K − 1, d).

    Raises:
        ArgumentError: a number that makes no sense, an even kernel size, or groups that do not divide the outcomes.
        UnknownNameError: no such kernel or boundary.

    Source: Y. Jeon, J. Kim, arXiv 1703.09076; the Caffe layer AConvFast.
    """

    options = ("position_groups", "normalize", "warm_up", "kernel", "boundary")
    passes: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: PerAxis = 3,
        stride: PerAxis = 1,
        padding: PerAxis = 0,
        dilation: PerAxis = 1,
        bias: bool = True,
        position_groups: int = 1,
        normalize: bool = False,
        warm_up: int = 0,
        *,
        kernel: Any = "linear",
        boundary: str = "zeros",
    ) -> None:
        geometry = Geometry.of(kernel_size, stride, padding, dilation, self.dim)
        super().__init__(in_channels, out_channels, geometry, 1, bias)
        if any(n % 2 == 0 for n in self.geometry.kernel_size):
            raise ArgumentError("kernel_size", expected="odd numbers, with a tap at the centre", received=kernel_size)
        self.position_groups = check_integer("position_groups", position_groups)
        if out_channels % position_groups:
            raise ArgumentError("position_groups", expected=f"a divisor of {out_channels}", received=position_groups)
        self.normalize = check_flag("normalize", normalize)
        self.warm_up = check_integer("warm_up", warm_up, least=0)
        self.kernel, self.boundary = checked_reading(kernel, boundary)
        self.taps = _taps(self.geometry)
        self.add_parameters(out_channels, in_channels, len(self.taps))
        self.positions = nn.Parameter(torch.empty(position_groups, len(self.taps) - 1, self.dim))
        self.register_buffer("passes", torch.zeros((), dtype=torch.long))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw filters and bias as torch's convolutions do, and put positions on their taps."""
        super().reset_parameters()
        self.positions.copy_(self._start())
        self.passes.zero_()

    def sampling(self, input: Float[Tensor, "B C *S"]) -> SamplingPattern:  # noqa: A002
        """Return how G copies of an input (B, C, *S) are sampled, with offsets from the taps of a plain convolution."""
        size, groups = self.size_of(input), self.position_groups
        grid = self.geometry.grid(size)
        # The first synapse has no offset.
        offsets = functional.pad(self._moving() - self._start(), (0, 0, 1, 0)).flatten(0, 1).to(input.dtype)
        everywhere = offsets.reshape(1, *offsets.shape, *[1] * self.dim).expand(len(input), -1, -1, *grid)
        return SamplingPattern(
            size,
            groups * self.in_channels,
            everywhere,
            self._lattice(),
            len(self.taps),
            filters=self.weight,
            kernel=self.kernel,
            boundary=self.boundary,
        )

    def pattern(self, input: Float[Tensor, "B C *S"]) -> Pattern:  # noqa: A002
        """Return the pattern at an input (B, C, *S): its channels are copied for each group, then sampled."""
        sampling = self.sampling(input)
        if self.position_groups == 1:
            return sampling
        copies = torch.eye(self.in_channels, dtype=input.dtype, device=input.device).repeat(self.position_groups, 1)
        still = input.new_zeros(1, 1, 1, *[1] * self.dim).expand(len(input), 1, self.dim, *sampling.size)
        lattice = Lattice.unit(self.dim)
        copying = SamplingPattern(
            sampling.size, self.in_channels, still, lattice, filters=copies.unsqueeze(-1), kernel="nearest"
        )
        return Chain((copying, sampling))

    def forward(self, input: Float[Tensor, "B C *S"]) -> Float[Tensor, "B D *T"]:  # noqa: A002
        """Return the convolution of an input (B, C, *S), shape (B, D, *T)."""
        self.size_of(input)
        copies = input.repeat(1, self.position_groups, *[1] * self.dim) if self.position_groups > 1 else input
        found = self.finish(self.sampling(input).apply(copies))
        if self.warm_up and self.training and torch.is_grad_enabled():
            self.passes += 1
        return found

    def _start(self) -> Float[Tensor, "k d"]:
        """Return where positions start, shape (K − 1, d)."""
        return self.positions.new_tensor(self.taps[1:]).reshape(-1, self.dim)

    def _moving(self) -> Float[Tensor, "G k d"]:
        """Return the positions, with the gradients that they are to have."""
        moving: Tensor = self.positions
        if self.normalize:
            moving = cast("Tensor", cast("Any", _UnitGradient).apply(moving))
        if self.warm_up:
            is_warm = (self.passes >= self.warm_up).to(moving.dtype)
            moving = self.positions.detach() + (moving - moving.detach()) * is_warm
        return moving

    def _lattice(self) -> Lattice:
        middle = [step * (n // 2) for step, n in zip(self.dilation, self.kernel_size, strict=True)]
        origins = [
            tuple(float(place + at - pad) for place, at, pad in zip(tap, middle, self.padding, strict=True))
            for tap in self.taps
        ]
        return Lattice(tuple(map(float, self.stride)), tuple(origins) * self.position_groups)


class ActiveConv1d(_ActiveConv):
    """Convolution of signals (B, C, N) whose taps lie at learned positions."""

    dim = 1


class ActiveConv2d(_ActiveConv):
    """Convolution of images (B, C, H, W) whose taps lie at learned positions."""

    dim = 2


class ActiveConv3d(_ActiveConv):
    """Convolution of volumes (B, C, Z, H, W) whose taps lie at learned positions."""

    dim = 3


class _UnitGradient(torch.autograd.Function):
    """Positions as they are, whose gradients have length one: those of a position that has one at all."""

    generate_vmap_rule = True

    @staticmethod
    def forward(positions: Float[Tensor, "G k d"]) -> Float[Tensor, "G k d"]:
        return positions.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """Keep nothing."""

    @staticmethod
    def backward(ctx: Any, g: Float[Tensor, "G k d"]) -> Float[Tensor, "G k d"]:
        square = g.square().sum(-1, keepdim=True)
        is_there = square > 0
        return g * torch.where(is_there, torch.where(is_there, square, 1.0).rsqrt(), 0.0)


def _taps(geometry: Geometry) -> tuple[tuple[int, ...], ...]:
    """Return the taps of a plain convolution from its centre, in the order of the synapses."""

    def order(tap: tuple[int, ...]) -> tuple[float, ...]:
        y, x = (0, *tap)[-2:]
        return (max(map(abs, tap)), *tap[:-2], math.atan2(y, x) % math.tau)

    found = sorted(itertools.product(*[range(-(n // 2), n // 2 + 1) for n in geometry.kernel_size]), key=order)
    return tuple(tuple(step * n for step, n in zip(geometry.dilation, tap, strict=True)) for tap in found)


def _example(
    layer: type[_ActiveConv], geometry: tuple[Any, ...], groups: int, size: tuple[int, ...]
) -> OperatorExample:
    kernel_size, stride, padding = geometry

    @torch.no_grad()
    def build() -> _ActiveConv:
        made = layer(2, 4, kernel_size, stride, padding, position_groups=groups)
        made.positions.add_(torch.randn_like(made.positions))
        return made

    return OperatorExample(build, lambda x, _: (x,), (2, 2, *size))


operator = OperatorEntry(
    formula=r"y_o[n] = b_o + \sum_c \sum_k F_{o c k}\, x_c(s n - q + m + p_{g(o) k})",
    where={
        r"F": "the filters",
        r"p_{g k}": "the learned position of synapse k, for the group g of the outcome, in pixels",
        r"s": "the stride",
        r"q": "the padding",
        r"m": "the centre of the kernel",
    },
    source="Y. Jeon, J. Kim, arXiv 1703.09076; the Caffe layer AConvFast of the authors",
    conventions=(
        "Positions are in pixels from the centre, first axis first; the Caffe layer has one list for each axis.",
        "The first synapse is the centre and never moves.",
        "At whole positions, where it starts, the derivative in a position is the right-hand one.",
    ),
    initialisation="Positions on the taps of a plain convolution, and filters as those of torch's: the layer is the "
    "plain convolution, dilated if asked for. The authors train positions at a hundredth of the learning rate with "
    "gradients of length one, and not at all in the first 10 000 steps.",
    examples={
        "1d": _example(ActiveConv1d, (3, 1, 1), 1, (5,)),
        "2d": _example(ActiveConv2d, ((3, 1), (2, 1), (1, 0)), 2, (4, 3)),
    },
)
