"""How an operator reads between pixels: the kernel, the boundary rule, and the derivative at knots."""

from dataclasses import dataclass
from functools import cached_property

from warptheory import kernels
from warptheory.kernels import Kernel
from warptheory.warping.boundaries import Boundary

# α: the number of derivatives along each axis.
Orders = tuple[int, ...]


@dataclass(frozen=True)
class Interpolation:
    """How to read between pixels.

    Attributes:
        kernel: the kernel.
        boundary: what is read outside the image.
        knot: which derivative at knots, "right" or "central".
    """

    kernel: Kernel
    boundary: Boundary
    knot: str = "right"

    @cached_property
    def is_linear(self) -> bool:
        """Whether the kernel is the catalogue's linear one, and not another of its name."""
        linear = kernels.get("linear")
        return self.kernel is linear or self.kernel == linear
