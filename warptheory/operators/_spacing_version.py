"""What every version of learnable spacings shares: how a weight at a position is spread over the taps of a kernel."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

# Below this a sine is taken from its series, whose first term left out is 1e-17: quotients have no derivative at zero.
_SMALL = 0.05


@dataclass(frozen=True)
class Place:
    """Positions along one axis of a dense kernel, in taps, and where its taps lie as seen from there.

    Attributes:
        position: p of each synapse, inside the kernel, shape (S, K).
        size: number n of taps.
    """

    position: Float[Tensor, "S K"]
    size: int

    @property
    def steps(self) -> Float[Tensor, "S K n"]:
        """Tap − position, shape (S, K, n)."""
        taps = torch.arange(self.size, dtype=self.position.dtype, device=self.position.device)
        return taps - self.position.unsqueeze(-1)

    @property
    def is_last(self) -> Bool[Tensor, "S K 1"]:
        """Whether a position is the last tap, from where it can move backwards only, shape (S, K, 1)."""
        return (self.position >= self.size - 1).unsqueeze(-1)


class SpacingVersion(ABC):
    """How one weight is spread over the taps, in proportion to a profile.

    Widths are |SIG| plus the least width, as in dcls. At SIG = 0 the derivative is that from the right, so that a
    width which starts there can grow.
    """

    least_width: float = 0.0
    dims: tuple[int, ...] = (1, 2, 3)
    sums_to_one: bool = False

    @abstractmethod
    def start(self, dim: int) -> tuple[float, ...]:
        """Return the rows of SIG at the start: a width for each axis, then what else there is; empty for none."""

    @abstractmethod
    def factors(self, places: Sequence[Place], rows: Sequence[Float[Tensor, "S K"]]) -> list[Tensor]:
        """Return factors (S, K, n), one an axis, whose outer product is the profile, or one (S, K, N) for all axes.

        Args:
            places: along the axes, first axis first.
            rows: those of SIG, shape (S, K), which begin with the last axis.
        """

    def width(self, row: Float[Tensor, "S K"]) -> Float[Tensor, "S K 1"]:
        """Return s (S, K, 1) of a row of SIG (S, K)."""
        return (magnitude(row) + self.least_width).unsqueeze(-1)


class ProductVersion(SpacingVersion):
    """A version with a profile of its own along each axis; a subclass says `along`."""

    def factors(self, places: Sequence[Place], rows: Sequence[Float[Tensor, "S K"]]) -> list[Tensor]:
        """Return the profile of each axis, shape (S, K, n)."""
        return [self.along(place, rows, len(places) - 1 - axis) for axis, place in enumerate(places)]

    @abstractmethod
    def along(self, place: Place, rows: Sequence[Float[Tensor, "S K"]], row: int) -> Float[Tensor, "S K n"]:
        """Return the profile (S, K, n) along an axis, given the rows of SIG (S, K) and the number of the axis' row."""


def magnitude(values: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
    """Return |values| (*S), whose derivative at zero is one."""
    return torch.where(values < 0, -values, values)


def sinc(values: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
    """Return sin πx/πx for values (*S), with all derivatives at zero too, which torch's lacks."""
    x = math.pi * values
    is_small = x.abs() < _SMALL
    square = torch.where(is_small, x, 0.0).square()
    series = 1 - square / 6 * (1 - square / 20 * (1 - square / 42))
    far = torch.where(is_small, 1.0, x)
    return torch.where(is_small, series, far.sin() / far)
