"""Where samples lie without offsets: on a regular lattice, one for each tap."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Lattice:
    """Where samples lie without offsets: output pixel n of field f reads at origins[f] + spacing·n, in pixels.

    Attributes:
        spacing: along each of the d axes.
        origins: for each of the F fields, a position of d coordinates; one position stands for all fields.
    """

    spacing: tuple[float, ...]
    origins: tuple[tuple[float, ...], ...]

    @classmethod
    def unit(cls, dim: int) -> "Lattice":
        """Return the lattice on which output pixel n reads input pixel n."""
        return cls((1.0,) * dim, ((0.0,) * dim,))

    @classmethod
    def of_resize(cls, size: Sequence[int], grid: Sequence[int], align_corners: bool) -> "Lattice":
        """Return the lattice of `affine_grid`'s identity, which spreads a grid over an image of another size.

        An axis of one pixel has no spacing, and stands for 1.
        """
        if align_corners:
            spacing = [(s - 1) / (t - 1) if t > 1 and s > 1 else 1.0 for s, t in zip(size, grid, strict=True)]
            origin = [0.0 if t > 1 else (s - 1) / 2 for s, t in zip(size, grid, strict=True)]
        else:
            spacing = [s / t for s, t in zip(size, grid, strict=True)]
            origin = [(step - 1) / 2 for step in spacing]
        return cls(tuple(spacing), (tuple(origin),))

    @classmethod
    def of_convolution(
        cls,
        kernel_size: Sequence[int],
        geometry: tuple[Sequence[int], Sequence[int], Sequence[int]],
        groups: int,
    ) -> "Lattice":
        """Return the lattice of a convolution's taps, last axis fastest, repeated for each offset group.

        The geometry is stride, padding and dilation, along each axis.
        """
        stride, padding, dilation = geometry
        origins = [
            tuple(float(step * t - pad) for t, step, pad in zip(tap, dilation, padding, strict=True))
            for tap in itertools.product(*map(range, kernel_size))
        ]
        return cls(tuple(map(float, stride)), tuple(origins) * groups)

    @classmethod
    def free(cls, dim: int) -> "Lattice":
        """Return the lattice without extent: every output pixel reads at pixel 0, and offsets are positions."""
        return cls((0.0,) * dim, ((0.0,) * dim,))

    @property
    def is_unit(self) -> bool:
        """Whether output pixel n reads input pixel n."""
        return self == Lattice.unit(len(self.spacing))

    @property
    def is_free(self) -> bool:
        """Whether output pixels have no place of their own."""
        return not any(self.spacing)

    def identity(self, like: Float[Tensor, "*GdT"]) -> Float[Tensor, "F d *T"]:
        """Return the positions without offsets, shape (F, d, *T), for a grid like that of (…, d, *T)."""
        dim = len(self.spacing)
        axes = [
            step * torch.arange(n, dtype=like.dtype, device=like.device)
            for step, n in zip(self.spacing, like.shape[-dim:], strict=True)
        ]
        steps = torch.stack(torch.meshgrid(*axes, indexing="ij"))
        return steps + like.new_tensor(self.origins).reshape(-1, dim, *[1] * dim)

    def displacement(self, like: Float[Tensor, "*GdT"]) -> Float[Tensor, "F d *T"]:
        """Return position − index without offsets, shape (F, d, *T) or broadcast to it, for a grid like (…, d, *T).

        It is what `warp` takes as offsets; an axis along which it is constant has length 1.
        """
        dim = len(self.spacing)
        found = like.new_tensor(self.origins).reshape(-1, dim, *[1] * dim)
        for axis, (step, n) in enumerate(zip(self.spacing, like.shape[-dim:], strict=True)):
            if step != 1:
                places = (step - 1) * torch.arange(n, dtype=like.dtype, device=like.device)
                along = torch.zeros(dim, *[1] * dim, dtype=like.dtype, device=like.device)
                along[axis] = 1
                found = found + along * places.reshape(*[-1 if axis == each else 1 for each in range(dim)])
        return found
