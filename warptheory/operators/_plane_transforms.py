"""Offsets of affine, projective and thin-plate transforms of an image's plane, as `affine_grid` normalises it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from warptheory.core.checks import check_flag, is_whole
from warptheory.core.errors import ArgumentError
from warptheory.operators._arguments import check_shape
from warptheory.patterns import Lattice


@dataclass(frozen=True)
class Frame:
    """An image of size S, a grid of output pixels of size T, and the coordinates from −1 to 1 that both share.

    Attributes:
        size: S.
        grid: T.
        align_corners: whether ±1 are the centres of the outermost pixels, or their outer edges.
    """

    size: tuple[int, ...]
    grid: tuple[int, ...]
    align_corners: bool

    @property
    def lattice(self) -> Lattice:
        """Where output pixels lie without a transform."""
        lattice = Lattice.of_resize(self.size, self.grid, self.align_corners)
        # Between the centres of one pixel there is no way to go.
        flat = [self.align_corners and n == 1 for n in self.size]
        spacing = [0.0 if still else step for still, step in zip(flat, lattice.spacing, strict=True)]
        return replace(lattice, spacing=tuple(spacing))

    def coordinates(self, like: Tensor) -> Float[Tensor, "N d"]:
        """Return the coordinates of all output pixels in C order, the last axis first, shape (N, d)."""
        axes = [
            (2 * torch.arange(n, dtype=like.dtype, device=like.device) - (n - 1))
            / (max(n - 1, 1) if self.align_corners else n)
            for n in self.grid
        ]
        return torch.stack([each.flatten() for each in torch.meshgrid(*axes, indexing="ij")][::-1], -1)

    def pixels(self, moved: Float[Tensor, "B N d"]) -> Float[Tensor, "B 1 d *T"]:
        """Return displacements (B, N, d) in these coordinates, the last axis first, in pixels: (B, 1, d, *T)."""
        lengths = [n - 1 if self.align_corners else n for n in self.size]
        offsets = moved.flip(-1) * moved.new_tensor(lengths) / 2
        return torch.unflatten(offsets.transpose(1, 2), 2, self.grid).unsqueeze(1)

    def for_warp(self, offsets: Float[Tensor, "B 1 d *T"]) -> Float[Tensor, "B d *T"]:
        """Return position − index (B, d, *T), which `warp` takes, of offsets from the lattice (B, 1, d, *T)."""
        found = offsets[:, 0]
        return found if self.lattice.is_unit else found + self.lattice.displacement(found)[0]


def frame(size: Sequence[int], image_size: Sequence[int] | None, align_corners: bool) -> Frame:
    """Return the frame of an outcome of size (B, C, *T), and of images of size S, T by default.

    Raises:
        ArgumentError: no such sizes, by name of the argument.
    """
    if not isinstance(size, Sequence) or not 3 <= len(size) <= 5 or not all(is_whole(n) and n > 0 for n in size[2:]):
        raise ArgumentError("size", expected="B, C and 1 to 3 positive sizes", received=size)
    grid = tuple(int(n) for n in size[2:])
    sizes: Sequence[int] = grid if image_size is None else image_size
    if not isinstance(sizes, Sequence) or len(sizes) != len(grid) or not all(is_whole(n) and n > 0 for n in sizes):
        raise ArgumentError("image_size", expected=f"{len(grid)} positive sizes", received=image_size)
    return Frame(tuple(map(int, sizes)), grid, check_flag("align_corners", align_corners))


def affine(theta: Float[Tensor, "B d D"], within: Frame) -> Float[Tensor, "B 1 d *T"]:
    """Return the offsets (B, 1, d, *T) of matrices (B, d, d + 1) from the lattice of a frame."""
    dim = len(within.grid)
    check_shape("theta", theta, (len(theta), dim, dim + 1))
    at = within.coordinates(theta)
    # The difference from the identity is exactly zero at the identity, where kernels have their kinks.
    change = theta - torch.eye(dim, dim + 1, dtype=theta.dtype, device=theta.device)
    return within.pixels(_linear(at, change))


def projective(theta: Float[Tensor, "B 3 3"], within: Frame) -> Float[Tensor, "B 1 d *T"]:
    """Return the offsets (B, 1, 2, *T) of homographies (B, 3, 3); NaN for what comes from infinity."""
    if len(within.grid) != 2:
        raise ArgumentError("size", expected="two axes, for homographies", received=within.grid)
    check_shape("theta", theta, (len(theta), 3, 3))
    at = within.coordinates(theta)
    change = theta - torch.eye(3, dtype=theta.dtype, device=theta.device)
    moved = _linear(at, change)
    # x' − x = (Δx − x·Δw)/(1 + Δw) with the change Δ of homogeneous coordinates.
    by = 1 + moved[..., 2:]
    is_infinite = by.abs() < torch.finfo(by.dtype).eps
    found = (moved[..., :2] - at * moved[..., 2:]) / by.masked_fill(is_infinite, 1)
    return within.pixels(found.masked_fill(is_infinite, math.nan))


def _linear(at: Float[Tensor, "N d"], matrix: Float[Tensor, "B R D"]) -> Float[Tensor, "B N R"]:
    """Return matrices (B, R, d + 1) times coordinates (N, d) and 1; no matrix product, which autocast would round."""
    return (at[:, None] * matrix[:, None, :, :-1]).sum(-1) + matrix[:, None, :, -1]


def thin_plate(
    theta: Float[Tensor, "B K 2"], within: Frame, points: Float[Tensor, "K 2"], spline: Float[Tensor, "L K"]
) -> Float[Tensor, "B 1 d *T"]:
    """Return the offsets (B, 1, 2, *T) of displacements (B, K, 2) at points (K, 2), given their spline (K + 3, K)."""
    if len(within.grid) != 2:
        raise ArgumentError("size", expected="two axes, for thin plates", received=within.grid)
    check_shape("theta", theta, (len(theta), len(points), 2))
    at = within.coordinates(theta).double()
    terms = torch.cat([_plate(at, points.double()), _affine_terms(at)], 1)
    return within.pixels((terms @ spline.double() @ theta.double()).to(theta.dtype))


def regular_points(count: int) -> Float[Tensor, "K 2"]:
    """Return K = n² points (K, 2) on a regular grid from −1 to 1, x before y, row after row, in double precision."""
    along = torch.linspace(-1, 1, count, dtype=torch.float64)
    return torch.cartesian_prod(along, along).flip(1)


def spline_of(points: Float[Tensor, "K 2"]) -> Float[Tensor, "L K"]:
    """Return the matrix (K + 3, K) from values at points (K, 2) to weights of a thin plate and of 1, x, y; in doubles.

    Raises:
        ArgumentError: points of which no three span a triangle, or two are the same.
    """
    wide, count = points.detach().double(), len(points)
    system = wide.new_zeros(count + 3, count + 3)
    system[:count, :count] = _plate(wide, wide)
    system[:count, count:] = _affine_terms(wide)
    system[count:, :count] = system[:count, count:].T
    found, failed = torch.linalg.inv_ex(system)
    if int(failed) or float(torch.linalg.cond(system)) > 1 / torch.finfo(torch.float64).eps:
        raise ArgumentError("control_points", expected="different points, not all on a line", received=points.tolist())
    weights: Tensor = found[:, :count]
    return weights


def _plate(at: Float[Tensor, "N 2"], points: Float[Tensor, "K 2"]) -> Float[Tensor, "N K"]:
    """Return r² log r of distances, (N, K)."""
    squares = (at[:, None] - points).square().sum(-1)
    return torch.xlogy(squares, squares) / 2


def _affine_terms(at: Float[Tensor, "N 2"]) -> Float[Tensor, "N 3"]:
    return torch.cat([torch.ones_like(at[:, :1]), at], 1)
