"""What a sampling pattern holds: where one image is sampled, with which weights and filters; and facts of shape."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from warptheory.core.errors import ArgumentError
from warptheory.patterns.lattice import Lattice


@dataclass(frozen=True, eq=False)
class Taps:
    """y_o[n] = Σ_c Σ_k F[o, c, k] m_k[n] (W_k x_c)[n]: the taps k, and what becomes of their samples.

    Attributes are those of `SamplingPattern`, which says what they stand for.

    Raises:
        ArgumentError: shapes that do not fit together, by name of the attribute.
    """

    size: tuple[int, ...]
    channels: int
    offsets: Float[Tensor, "B F d *T"]
    lattice: Lattice
    taps: int = 1
    weights: Float[Tensor, "B F *T"] | None = None
    filters: Float[Tensor, "D I K"] | None = None
    kernel: Any = "linear"
    boundary: str = "zeros"
    knot: str = "right"

    def __post_init__(self) -> None:
        dim, shape = len(self.size), tuple(self.offsets.shape)
        if len(shape) != dim + 3 or shape[2] != dim:
            raise ArgumentError("offsets", expected=f"shape (B, F, {dim}, *T) with {dim} axes T", received=shape)
        if shape[1] % self.taps or self.channels % (shape[1] // self.taps or 1):
            expected = f"a multiple of {self.taps} taps, in groups that divide {self.channels} channels"
            raise ArgumentError("offsets", expected=expected, received=f"{shape[1]} fields")
        if len(self.lattice.spacing) != dim or len(self.lattice.origins) not in (1, shape[1]):
            expected = f"{dim} axes, and one origin or {shape[1]}"
            received = f"{len(self.lattice.spacing)} axes, {len(self.lattice.origins)} origins"
            raise ArgumentError("lattice", expected=expected, received=received)
        if self.weights is not None and tuple(self.weights.shape) != (*shape[:2], *shape[3:]):
            expected = f"shape {(*shape[:2], *shape[3:])}"
            raise ArgumentError("weights", expected=expected, received=tuple(self.weights.shape))
        if self.filters is not None:
            self._check_filters(tuple(self.filters.shape))

    def _check_filters(self, shape: tuple[int, ...]) -> None:
        expected = f"shape (D, C/groups, {self.taps}) for {self.channels} channels"
        if len(shape) != 3 or shape[2] != self.taps or shape[1] == 0 or self.channels % shape[1]:
            raise ArgumentError("filters", expected=expected, received=shape)
        if shape[0] % (self.channels // shape[1]):
            raise ArgumentError("filters", expected=f"{expected}, D a multiple of groups", received=shape)

    @property
    def batch(self) -> int:
        """Number B of images."""
        return len(self.offsets)

    @property
    def grid(self) -> tuple[int, ...]:
        """Size T of the grid of output pixels."""
        return tuple(self.offsets.shape[3:])

    @property
    def offset_groups(self) -> int:
        """Number G of offset groups."""
        return int(self.offsets.shape[1]) // self.taps

    @property
    def groups(self) -> int:
        """Number of groups of the filters: each mixes the channels of one group."""
        return 1 if self.filters is None else self.channels // self.filters.shape[1]

    @property
    def channels_out(self) -> int:
        """Number D of channels of the outcome."""
        return self.channels if self.filters is None else len(self.filters)

    def positions(self) -> Float[Tensor, "B F d *T"]:
        """Return where samples are taken, in pixels of the image, shape (B, F, d, *T)."""
        offsets = self._wide_offsets()
        return offsets if offsets.numel() == 0 else offsets + self.lattice.identity(offsets)

    def steps(self) -> Float[Tensor, "B F d *T"]:
        """Return position − output index of every sample, shape (B, F, d, *T): the offsets that `warp` takes."""
        if self.lattice.is_unit:
            return self.offsets
        offsets = self._wide_offsets()
        return offsets + self.lattice.displacement(offsets)

    def _wide_offsets(self) -> Float[Tensor, "B F d *T"]:
        """Return the offsets in float32 at least: half as many digits tell no pixel of a long axis from the next."""
        return self.offsets.to(torch.promote_types(self.offsets.dtype, torch.float32))
