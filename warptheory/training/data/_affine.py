"""Random affine maps that place small images on a larger canvas, and their inverses."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import warping
from warptheory.core.checks import check_fits, check_integer, check_number


@dataclass(frozen=True)
class AffineRanges:
    """What the maps are drawn from.

    Attributes:
        canvas: side of the canvas, in pixels.
        rotation: angles are uniform in ± this, in radians.
        smallest: least size of a placed image over its own; sizes are log-uniform.
        largest: largest size.
        aspect: ratios of width to height are log-uniform between one over this and this.
        shear: shears are uniform in ± this, without unit.

    Raises:
        ArgumentError: numbers that bound no range.
    """

    canvas: int
    rotation: float
    smallest: float
    largest: float
    aspect: float
    shear: float

    def __post_init__(self) -> None:
        check_integer("canvas", self.canvas)
        check_fits("canvas", self.canvas, 4 * self.canvas**2)
        check_number("rotation", self.rotation, least=0)
        check_number("smallest", self.smallest, above=0)
        check_number("largest", self.largest, least=self.smallest)
        check_number("aspect", self.aspect, least=1)
        check_number("shear", self.shear, least=0)


@dataclass(frozen=True)
class AffineMaps:
    """t = c + A(s − m): where point s of an image lies on the canvas, m being the image's middle.

    Points are (row, column), in pixels; pixels lie at whole numbers.

    Attributes:
        linear: A, shape (N, 2, 2), float64.
        centre: c, shape (N, 2), float64.
    """

    linear: Float[Tensor, "N 2 2"]
    centre: Float[Tensor, "N 2"]

    @classmethod
    def drawn(
        cls, count: int, shape: tuple[int, int], ranges: AffineRanges, generator: np.random.Generator
    ) -> "AffineMaps":
        """Draw maps: the image is stretched, sheared along its rows, turned, and put at a uniform position.

        The position is uniform among those where the frame of the placed image, from the outer edges of its pixels,
        lies within the canvas. Along an axis where the frame is longer than the canvas it is put in the middle.

        Args:
            count: number of maps N.
            shape: height and width of the images, in pixels.
            ranges: what is drawn from.
            generator: source of all numbers.
        """
        angle = generator.uniform(-ranges.rotation, ranges.rotation, count)
        size = np.exp(generator.uniform(math.log(ranges.smallest), math.log(ranges.largest), count))
        aspect = np.exp(generator.uniform(-math.log(ranges.aspect), math.log(ranges.aspect), count))
        shear = generator.uniform(-ranges.shear, ranges.shear, count)
        height, width = size / np.sqrt(aspect), size * np.sqrt(aspect)
        zero, cosine, sine = np.zeros(count), np.cos(angle), np.sin(angle)
        turned = _matrices(cosine, -sine, sine, cosine)
        linear = turned @ _matrices(np.ones(count), zero, shear, np.ones(count)) @ _matrices(height, zero, zero, width)
        extent = np.abs(linear) @ np.array(shape)
        room = np.maximum(ranges.canvas - extent, 0)
        middle = (ranges.canvas - 1) / 2
        centre = middle + room * (generator.random((count, 2)) - 0.5)
        return cls(torch.from_numpy(linear), torch.from_numpy(centre))

    def place(self, images: Float[Tensor, "N C H W"], canvas: int) -> Float[Tensor, "N C S S"]:
        """Put images on canvases of zeros, read bilinearly; beside an image there are zeros.

        Args:
            images: shape (N, C, H, W), one for each map.
            canvas: side S of the canvas, in pixels.
        """
        inverse = torch.linalg.inv(self.linear)
        points = _lattice(canvas, canvas).flatten(1)
        sources = inverse @ (points - self.centre.unsqueeze(-1)) + _middle(images)
        return _read(images, sources, (canvas, canvas))

    def undo(self, placed: Float[Tensor, "N C S S"], shape: tuple[int, int]) -> Float[Tensor, "N C H W"]:
        """Read the images back from their canvases, up to what two bilinear readings blur.

        Args:
            placed: canvases, shape (N, C, S, S).
            shape: height H and width W of the images.
        """
        points = _lattice(*shape)
        middle = torch.tensor(shape).sub(1).div(2).unsqueeze(-1)
        sources = self.linear @ (points.flatten(1) - middle) + self.centre.unsqueeze(-1)
        return _read(placed, sources, shape)


def _matrices(*entries: np.ndarray) -> Float[np.ndarray, "N 2 2"]:
    return np.stack(entries, -1).reshape(-1, 2, 2)


def _lattice(height: int, width: int) -> Float[Tensor, "2 H W"]:
    axes = (torch.arange(side, dtype=torch.float64) for side in (height, width))
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))


def _middle(images: Float[Tensor, "N C H W"]) -> Float[Tensor, "2 1"]:
    return (torch.tensor(images.shape[2:], dtype=torch.float64).unsqueeze(-1) - 1) / 2


def _read(
    images: Float[Tensor, "N C H W"], sources: Float[Tensor, "N 2 P"], shape: tuple[int, int]
) -> Float[Tensor, "N C S T"]:
    offsets = sources.reshape(len(sources), 2, *shape) - _lattice(*shape)
    return warping.warp(images, offsets)
