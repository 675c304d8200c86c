"""How libraries lay offsets out in a tensor; each layout turns them into pixels (B, F, d, *T), axis 0 first."""

from dataclasses import dataclass, replace
from typing import Literal, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from warptheory.core.checks import check_integer
from warptheory.core.errors import ArgumentError
from warptheory.core.text import shown
from warptheory.patterns.lattice import Lattice


@runtime_checkable
class OffsetLayout(Protocol):
    """Turns a tensor as a library takes it, and its gradient, into F offset fields in pixels."""

    def offsets(self, raw: Float[Tensor, "B *R"]) -> Float[Tensor, "B F d *T"]:
        """Return the offsets (B, F, d, *T) of a tensor (B, *R), in pixels of the sampled image."""

    def gradient(self, gradient: Float[Tensor, "B *R"]) -> Float[Tensor, "B F d *T"]:
        """Return ∂L/∂ε (B, F, d, *T), per pixel, of the gradient (B, *R) of that tensor."""


@dataclass(frozen=True)
class PixelOffsets:
    """The layout of `warp`: (B, d, *T) or (B, G, d, *T), in pixels.

    Attributes:
        dim: number d of axes.
    """

    dim: int

    def offsets(self, raw: Float[Tensor, "B *R"]) -> Float[Tensor, "B F d *T"]:
        """Return the offsets (B, G, d, *T)."""
        return raw.unsqueeze(1) if raw.ndim == self.dim + 2 else raw

    def gradient(self, gradient: Float[Tensor, "B *R"]) -> Float[Tensor, "B F d *T"]:
        """Return the gradient (B, G, d, *T)."""
        return self.offsets(gradient)


@dataclass(frozen=True)
class NormalisedGrid:
    """The layout of `grid_sample`: absolute positions (B, *T, d) in [−1, 1], the last axis of the image first.

    Offsets count from the identity grid of the output's size, whose positions `Lattice.of_resize` gives.

    Attributes:
        size: spatial size S of the image.
        align_corners: whether ±1 are the centres of the outermost pixels, or their outer edges.
    """

    size: tuple[int, ...]
    align_corners: bool

    def offsets(self, raw: Float[Tensor, "B *R"]) -> Float[Tensor, "B F d *T"]:
        """Return position − identity (B, 1, d, *T), in pixels."""
        grid = raw.flip(-1).movedim(-1, 1)
        lattice = Lattice.of_resize(self.size, tuple(grid.shape[2:]), self.align_corners)
        size = grid.new_tensor(self.size).reshape(-1, *[1] * len(self.size))
        positions = (grid + 1) / 2 * (size - 1) if self.align_corners else ((grid + 1) * size - 1) / 2
        return (positions - lattice.identity(grid)).unsqueeze(1)

    def gradient(self, gradient: Float[Tensor, "B *R"]) -> Float[Tensor, "B F d *T"]:
        """Return the gradient (B, 1, d, *T), per pixel; zero along an axis on which nothing can move."""
        found = gradient.flip(-1).movedim(-1, 1)
        lengths = [n - 1 if self.align_corners else n for n in self.size]
        scale = found.new_tensor([2 / length if length else 0.0 for length in lengths])
        return (found * scale.reshape(-1, *[1] * len(self.size))).unsqueeze(1)


@dataclass(frozen=True)
class OffsetOutput:
    """How a module's output holds offsets; the default is that of deformable convolutions, [dy₀, dx₀, dy₁, dx₁, …].

    Attributes:
        order: "pairs" for [dy₀, dx₀, dy₁, dx₁, …], "planes" for [dy₀, dy₁, …, dx₀, dx₁, …].
        last_axis_first: whether dx comes before dy.
        channels: first and last + 1 channel that hold offsets, where others hold masks; None for all.
        channels_last: whether the output is (B, *T, C), and not (B, C, *T).
        scale: pixels per unit of the output.
        dim: number d of axes.
        item: which of the outputs, of a module that returns several: an index of a tuple, or a key of a mapping.

    Raises:
        ArgumentError: no such order, no axes, or a scale that is zero or not finite.
    """

    order: Literal["pairs", "planes"] = "pairs"
    last_axis_first: bool = False
    channels: tuple[int, int] | None = None
    channels_last: bool = False
    scale: float = 1.0
    dim: int = 2
    item: int | str | None = None

    def __post_init__(self) -> None:
        if self.order not in ("pairs", "planes"):
            raise ArgumentError("order", expected="'pairs' or 'planes'", received=repr(self.order))
        if self.dim < 1:
            raise ArgumentError("dim", expected="a positive integer", received=self.dim)
        if not 0 < abs(self.scale) < float("inf"):
            raise ArgumentError("scale", expected="a finite number other than zero", received=self.scale)

    def offsets(self, raw: Float[Tensor, "B *R"]) -> Float[Tensor, "B F d *T"]:
        """Return the offsets (B, F, d, *T), in pixels."""
        return self._fields(raw) * self.scale if self.scale != 1 else self._fields(raw)

    def gradient(self, gradient: Float[Tensor, "B *R"]) -> Float[Tensor, "B F d *T"]:
        """Return the gradient (B, F, d, *T), per pixel."""
        return self._fields(gradient) / self.scale if self.scale != 1 else self._fields(gradient)

    def lattice(self, raw: Float[Tensor, "B *R"]) -> Lattice:
        """Return where samples lie without offsets, for a tensor (B, *R): output pixel n reads pixel n."""
        return Lattice.unit(self.dim)

    def of_image(self, size: tuple[int, ...]) -> "OffsetOutput":
        """Return the layout where the sampled image has a spatial size S: this one."""
        return self

    def _fields(self, raw: Tensor) -> Tensor:
        values = raw.movedim(-1, 1) if self.channels_last else raw
        if self.channels is not None:
            values = values[:, slice(*self.channels)]
        if values.ndim != self.dim + 2 or values.shape[1] % self.dim:
            raise ArgumentError(
                "modules",
                expected=f"outputs with {self.dim} axes and a multiple of {self.dim} channels of offsets",
                received=f"shape {tuple(raw.shape)}",
            )
        pairs = self.order == "pairs"
        count = values.shape[1] // self.dim
        fields = values.reshape(len(values), *((count, self.dim) if pairs else (self.dim, count)), *values.shape[2:])
        fields = fields if pairs else fields.transpose(1, 2)
        return fields.flip(2) if self.last_axis_first else fields


@dataclass(frozen=True)
class AbsolutePositions:
    """How a tensor holds the positions at which an image is read, and not offsets: (B, *T, d), (x, y) in pixels.

    Offsets count from the grid that is spread evenly over the image. Where the positions lie on no grid of d axes, such
    as a list (B, N, d), they have no place of their own: offsets are the positions, and there are no slopes.

    Attributes:
        last_axis_first: whether x, along the last axis of the image, comes before y.
        units: "pixels", where 0 is the centre of the first pixel, or "normalised", from −1 to 1.
        align_corners: whether −1 and 1 are the centres of the outermost pixels, or their outer edges; a grid of another
            size is spread between these.
        channels_first: whether the tensor is (B, d, *T), and not (B, *T, d).
        size: spatial size S of the image; None for that of what is sampled, and where that is not known of the grid.
        dim: number d of axes.
        item: as of `OffsetOutput`.

    Raises:
        ArgumentError: no such units, no axes, or a size of another number of axes.
    """

    last_axis_first: bool = True
    units: Literal["pixels", "normalised"] = "pixels"
    align_corners: bool = True
    channels_first: bool = False
    size: tuple[int, ...] | None = None
    dim: int = 2
    item: int | str | None = None

    def __post_init__(self) -> None:
        if self.units not in ("pixels", "normalised"):
            raise ArgumentError("units", expected="'pixels' or 'normalised'", received=shown(self.units))
        check_integer("dim", self.dim)
        if self.size is not None and len(self.size) != self.dim:
            raise ArgumentError("size", expected=f"{self.dim} lengths", received=shown(self.size))

    def offsets(self, raw: Float[Tensor, "B *R"]) -> Float[Tensor, "B F d *T"]:
        """Return position − grid (B, 1, d, *T), in pixels; positions (B, 1, d, N, 1, …) where they lie on no grid."""
        positions = self._coordinates(raw)
        if self.units == "normalised":
            size = positions.new_tensor(self._size_for(raw)).reshape(-1, *[1] * self.dim)
            half = (size - 1) / 2
            positions = half + positions * (half if self.align_corners else size / 2)
        return (positions - self.lattice(raw).identity(positions)).unsqueeze(1)

    def gradient(self, gradient: Float[Tensor, "B *R"]) -> Float[Tensor, "B F d *T"]:
        """Return the gradient (B, 1, d, *T), per pixel; zero along an axis on which nothing can move."""
        found = self._coordinates(gradient)
        if self.units == "normalised":
            lengths = [n - 1 if self.align_corners else n for n in self._size_for(gradient)]
            scale = found.new_tensor([2 / length if length else 0.0 for length in lengths])
            found = found * scale.reshape(-1, *[1] * self.dim)
        return found.unsqueeze(1)

    def lattice(self, raw: Float[Tensor, "B *R"]) -> Lattice:
        """Return where samples lie without offsets, for a tensor (B, *R)."""
        grid = self._grid(raw)
        if len(grid) != self.dim:
            return Lattice.free(self.dim)
        return Lattice.of_resize(self._size_for(raw), grid, self.align_corners)

    def of_image(self, size: tuple[int, ...]) -> "AbsolutePositions":
        """Return the layout where the sampled image has a spatial size S, unless the user has given one."""
        return self if self.size is not None or len(size) != self.dim else replace(self, size=size)

    def _grid(self, raw: Tensor) -> tuple[int, ...]:
        axis = 1 if self.channels_first else -1
        if raw.ndim < 3 or raw.shape[axis] != self.dim:
            wanted = f"(B, {self.dim}, *T)" if self.channels_first else f"(B, *T, {self.dim})"
            received = f"shape {tuple(raw.shape)}"
            raise ArgumentError("positions", expected=f"positions of shape {wanted}", received=received)
        return tuple(raw.shape[2:] if self.channels_first else raw.shape[1:-1])

    def _size_for(self, raw: Tensor) -> tuple[int, ...]:
        grid = self._grid(raw)
        if self.size is None and len(grid) != self.dim:
            expected = "the size of the image, for positions from −1 to 1 that lie on no grid"
            raise ArgumentError("positions", expected=expected, received="none")
        return grid if self.size is None else self.size

    def _coordinates(self, raw: Tensor) -> Tensor:
        """Return the numbers as they are, (B, d, *T), axis 0 first; (B, d, N, 1, …) of positions on no grid."""
        grid = self._grid(raw)
        found = raw if self.channels_first else raw.movedim(-1, 1)
        found = found.flip(1) if self.last_axis_first else found
        return found if len(grid) == self.dim else found.reshape(len(raw), self.dim, -1, *[1] * (self.dim - 1))


SamplingLayout = OffsetOutput | AbsolutePositions
