"""The interface of an engine."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor

from warptheory.warping.interpolation import Interpolation, Orders
from warptheory.warping.shapes import GridTensor, ImageTensor


@runtime_checkable
class Engine(Protocol):
    """What computes gathers, scatters and both gradients; a module with these functions is one.

    Images and results are (B, C, *S) and (B, C, *T), offsets (B, G, d, *T) in pixels. Results have dtype and layout of
    what is read, gradients those of what they belong to. Engines agree with the reference to rounding.
    """

    def obstacle(
        self, values: Tensor, offsets: Tensor, interpolation: Interpolation, size: Sequence[int] | None = None
    ) -> str | None:
        """Return why the engine cannot take a call; None if it can, with derivatives of any order.

        It may leave derivatives of higher orders to the reference.

        Args:
            values: the image (B, C, *S), or what is scattered into one, (B, C, *T).
            offsets: (B, G, d, *T).
            interpolation: how to read between pixels.
            size: size of the image that values are scattered into; None where `values` are the image.
        """

    def gather(self, x: Tensor, offsets: Tensor, interpolation: Interpolation, orders: Orders) -> GridTensor:
        """Return ∂ᵅW x of images (B, C, *S), α = `orders`, shape (B, C, *T)."""

    def scatter(
        self, g: Tensor, offsets: Tensor, size: Sequence[int], interpolation: Interpolation, orders: Orders
    ) -> ImageTensor:
        """Return ∂ᵅWᵀg of values (B, C, *T), α = `orders`, shape (B, C, *size)."""

    def gradients(
        self, g: Tensor, x: Tensor, offsets: Tensor, interpolation: Interpolation, needs: tuple[bool, bool]
    ) -> tuple[Tensor | None, Tensor | None]:
        """Return Wᵀg (B, C, *S) and Σ_c g_c ∂ᵢWx_c (B, G, d, *T); None for the one that is not needed.

        `needs` is of x and of the offsets, in this order. These are the products of g with the Jacobians of `gather`
        in x and in the offsets; `warping.warp_gradient` is the latter Jacobian itself.
        """
