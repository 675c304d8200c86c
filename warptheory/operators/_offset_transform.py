"""From the output of a head to the offsets of a layer: scale, smoothing, a bound on slopes, a factor on gradients."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from warptheory.core.checks import check_number

# Weights of the Gaussian beyond so many deviations, 3e-4 of the largest, are left out.
_DEVIATIONS = 4


class OffsetTransform(nn.Module):
    """ε from α, the head's output and the options: scaled, then smoothed, then bounded; hooks see the offsets here.

    Args:
        dim: number d of axes.
        scale: α, pixels of offset per unit of the head's output.
        lipschitz: see `bound_slopes`; None sets no bound.
        smoothing: see `smooth`; 0 does not.
        gradient_scale: see `scale_gradient`.

    Raises:
        ArgumentError: a number that is not finite, a negative one where it makes no sense, or a bound that is not
            positive.
    """

    def __init__(
        self,
        dim: int,
        scale: float = 1.0,
        lipschitz: float | None = None,
        smoothing: float = 0.0,
        gradient_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.scale = check_number("scale", scale)
        self.smoothing = check_number("smoothing", smoothing, least=0)
        self.gradient_scale = check_number("gradient_scale", gradient_scale, least=0)
        self.lipschitz = None if lipschitz is None else check_number("lipschitz", lipschitz, above=0)

    def forward(self, found: Float[Tensor, "B Gd *T"]) -> Float[Tensor, "B G d *T"]:
        """Return the offsets in pixels, shape (B, G, d, *T), of a head's output, shape (B, G·d, *T)."""
        offsets = torch.unflatten(found, 1, (-1, self.dim))
        if self.scale != 1:
            offsets = self.scale * offsets
        if self.smoothing > 0:
            offsets = smooth(offsets, self.smoothing)
        if self.lipschitz is not None:
            offsets = bound_slopes(offsets, self.lipschitz)
        return offsets if self.gradient_scale == 1 else scale_gradient(offsets, self.gradient_scale)

    @property
    def is_plain(self) -> bool:
        """Whether offsets are the head's output as it is."""
        return self.scale == self.gradient_scale == 1 and self.smoothing == 0 and self.lipschitz is None

    def extra_repr(self) -> str:
        """Return the arguments."""
        options = f"lipschitz={self.lipschitz}, smoothing={self.smoothing}, gradient_scale={self.gradient_scale}"
        return f"{self.dim}, scale={self.scale}, {options}"


def smooth(offsets: Float[Tensor, "B G d *T"], deviation: float) -> Float[Tensor, "B G d *T"]:
    """Smooth offsets (B, G, d, *T) by a Gaussian along each axis.

    Beyond an edge the offset of the edge continues, so that constants stay. Every result is an average of offsets, and
    every slope one of slopes: neither grows.

    Args:
        offsets: ε in pixels.
        deviation: σ > 0 of the Gaussian, in pixels.
    """
    radius = math.ceil(_DEVIATIONS * deviation)
    places = torch.arange(-radius, radius + 1, dtype=offsets.dtype, device=offsets.device)
    weights = torch.exp(-(places**2) / (2 * deviation**2))
    weights = weights / weights.sum()
    for axis in range(3, offsets.ndim):
        rows = offsets.movedim(axis, -1)
        padded = functional.pad(rows.reshape(-1, 1, rows.shape[-1]), (radius, radius), mode="replicate")
        offsets = functional.conv1d(padded, weights[None, None]).reshape(rows.shape).movedim(-1, axis)
    return offsets


def bound_slopes(offsets: Float[Tensor, "B G d *T"], bound: float) -> Float[Tensor, "B G d *T"]:
    """Shrink offsets (B, G, d, *T), by one factor for each image and group, until `lipschitz_constant` ≤ bound.

    Fields within the bound stay as they are, bit for bit. With a bound L < 1 the map t ↦ t + ε(t) does not fold, and
    J ≥ (1 − L)ᵈ. The factor is differentiated too; where a field reaches the bound its derivative jumps.

    Args:
        offsets: ε in pixels.
        bound: L > 0, without unit.

    Source: theory labels F1 and G1.
    """
    excess = (_squared_constant(offsets) / bound**2).clamp_min(1)
    return offsets / excess.sqrt().reshape(*offsets.shape[:2], *[1] * (offsets.ndim - 2))


def lipschitz_constant(offsets: Float[Tensor, "B G d *T"]) -> Float[Tensor, "B G"]:
    """Return a bound on the Lipschitz constant of each offset field (B, G, d, *T), shape (B, G), without unit.

    It is √Σⱼ maxₙ |ε(n + eⱼ) − ε(n)|². Each column of a Jacobian, be it of forward or backward differences or that
    of the field interpolated linearly between pixels, is an average of such differences along its axis: the Frobenius
    norm of the Jacobian is at most this, anywhere.
    """
    return _squared_constant(offsets).sqrt()


def _squared_constant(offsets: Tensor) -> Tensor:
    total = offsets.new_zeros(offsets.shape[:2])
    for axis in range(3, offsets.ndim):
        if offsets.shape[axis] > 1:
            total = total + torch.diff(offsets, dim=axis).square().sum(2).flatten(2).amax(2)
    return total


def scale_gradient(values: Float[Tensor, "*S"], factor: float) -> Float[Tensor, "*S"]:
    """Return finite values of any shape (*S) as they are, whose gradient is multiplied by a factor on its way back."""
    constant = values.detach()
    # What is added is zero, exactly; its derivative is the factor, in every mode and to any order.
    return constant + factor * (values - constant)
