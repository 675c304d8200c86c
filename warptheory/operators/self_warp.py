"""Self-warp: the offsets are computed from the very input that is warped."""

from jaxtyping import Float
from torch import Tensor, nn

from warptheory.core.errors import ArgumentError
from warptheory.operators._operator import SamplingOperator


class SelfWarp2d(SamplingOperator):
    """y(t) = x(t + α (w∗x)(t)): a convolution head computes the offsets, then the input is warped by them.

    The head starts at zero, so that a new layer is the identity.

    Args:
        channels: number C of input channels.
        groups: number G of offset groups; C/G channels share their offsets.
        kernel_size: odd size of the head's filters.
        scale: α, pixels of offset per unit of the head's output.
        kernel: name of the interpolation kernel.
        boundary: name of the boundary rule.

    Raises:
        ArgumentError: groups that do not divide the channels, or an even kernel size.

    Source: arXiv 2511.20800, self-warp networks; theory section F.
    """

    def __init__(
        self,
        channels: int,
        groups: int = 1,
        kernel_size: int = 3,
        scale: float = 1.0,
        kernel: str = "linear",
        boundary: str = "border",
    ) -> None:
        super().__init__(kernel, boundary)
        if groups < 1 or channels % groups:
            raise ArgumentError("groups", expected=f"a divisor of the {channels} channels", received=groups)
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ArgumentError("kernel_size", expected="an odd positive integer", received=kernel_size)
        self.groups = groups
        self.scale = scale
        self.head = nn.Conv2d(channels, 2 * groups, kernel_size, padding=kernel_size // 2)
        nn.init.zeros_(self.head.weight)
        if self.head.bias is not None:
            nn.init.zeros_(self.head.bias)

    def offsets(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B G 2 H W"]:
        """Return α(w∗x) at an input (B, C, H, W), in pixels, shape (B, G, 2, H, W)."""
        return self.scale * self.head(x).unflatten(1, (self.groups, 2))
