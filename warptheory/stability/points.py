"""Which points of the image an output pixel samples, and with which weight: for any model the monitor understands.

>>> import torch
>>> from warptheory import networks, stability
>>> model = networks.selfwarp_resnet(8, width=4)
>>> image = torch.zeros(1, 3, 16, 16)
>>> points = stability.sampling_points(model, image, pixel=(2, 3), layer="blocks.2.warp")
>>> points.positions                        # through three warps, in pixels of the image
array([[4., 6.]])

Two views are offered. `sampling_points` composes the warps: a sample of the upper layer is carried down to the layer
below, where it is displaced again, and so on. A deformable convolution splits a point into its taps; a plain or
transposed convolution or a pooling leads to the centre of its window, padding and `nn.Upsample` to where they read, and
a shortcut around a warp is not followed. What other layers and functions (cropping by an index, `functional.pad`,
`functional.interpolate`) do to the grid is a guess by the sizes: see `sampling_points`. Between layers
a point outside a grid goes on where the layer's boundary rule reads instead; the last ones may lie outside the image.
These are the positions that the offsets stand for. `receptive_field` is the truth about all that the output pixel
reads, shortcuts and taps of plain convolutions included: the gradient of that pixel in the image. Drawn under the
points, it shows what the composition leaves out.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor, nn

from warptheory.core import html, records
from warptheory.core.checks import check_integer
from warptheory.core.errors import ArgumentError
from warptheory.core.presented import Presented
from warptheory.patterns import SamplingPattern
from warptheory.patterns.layouts import SamplingLayout
from warptheory.stability._sampling._arguments import check_image, pixel_of, start_of
from warptheory.stability._sampling._boundaries import as_read
from warptheory.stability._sampling._passage import Passage, follow
from warptheory.stability._sampling._watch import check_modules

LIMIT = 4096
_SHOWN_POINTS = 10  # in a notebook


@dataclass(frozen=True, eq=False)
class SamplingPoints(Presented):
    """The points that one output pixel samples.

    Attributes:
        layer: dotted name of the layer whose output pixel it is.
        pixel: index of the output pixel on the layer's own grid.
        start: the same place on the grid of `positions`, if nothing were displaced.
        positions: where samples are taken, in pixels of the image (or of the layer's input), shape (N, d).
        weights: share of each sample, shape (N,), positive and with sum 1 (0 if all masks are).
        size: size of the grid on which the positions lie.
        layers: the layers that were followed, from above.
        kept: share of the weight that these points hold, 1 unless their number was limited.
    """

    layer: str
    pixel: tuple[int, ...]
    start: tuple[float, ...]
    positions: Float[np.ndarray, "N d"]
    weights: Float[np.ndarray, "N"]
    size: tuple[int, ...]
    layers: tuple[str, ...]
    kept: float

    def _parts(self) -> Iterable[str]:
        return [repr(self.layer), f"pixel={self.pixel}", f"points={len(self.positions)}", f"size={self.size}"]

    def _subtitle(self) -> str:
        return f"of pixel {self.pixel} of {self.layer or 'the model itself'}"

    def _card(self) -> Iterable[object]:
        start = ", ".join(f"{place:.4g}" for place in self.start)
        yield html.properties(
            [
                ("points", len(self.positions)),
                ("without offsets", f"({start})"),
                ("grid", f"{' × '.join(map(str, self.size))} pixels"),
                ("followed", " ← ".join(each or "the model itself" for each in self.layers)),
                ("weight that they hold", f"{self.kept:.4g}"),
            ]
        )
        heaviest = np.argsort(-self.weights, kind="stable")[:_SHOWN_POINTS]
        columns = [html.Column(f"position along axis {axis} (pixels)") for axis in range(self.positions.shape[1])]
        rows = [[f"{value:.2f}" for value in self.positions[n]] + [f"{self.weights[n]:.4f}"] for n in heaviest]
        yield html.table([*columns, html.Column("weight (share)")], rows)
        if len(self.positions) > _SHOWN_POINTS:
            yield html.element("p", f"The {_SHOWN_POINTS} heaviest of {len(self.positions)} points; table() has all.")

    def table(self) -> pd.DataFrame:
        """Return a row for each point: layer, pixel, start and position along each axis, weight, size."""
        constant: dict[str, Any] = {"layer": self.layer, "layers": len(self.layers), "kept": self.kept}
        for axis, values in enumerate(zip(self.pixel, self.start, self.size, strict=True)):
            constant |= {f"{name}{axis}": value for name, value in zip(("pixel", "start", "size"), values, strict=True)}
        columns = {f"position{axis}": self.positions[:, axis] for axis in range(self.positions.shape[1])}
        return pd.DataFrame({**columns, "weight": self.weights}).assign(**constant)


def sampling_points(
    model: nn.Module,
    image: Float[Tensor, "1 C *S"],
    pixel: Sequence[int],
    layer: str | None = None,
    *,
    call: int = 0,
    below: bool = True,
    modules: Mapping[str, SamplingLayout] | None = None,
    limit: int = LIMIT,
) -> SamplingPoints:
    """Return the points that an output pixel of a layer samples, through it or through all sampling layers below.

    The model runs once, in evaluation mode, and is left as it was. Layers below are those that ran before; between
    pixels the offsets of a layer are interpolated linearly.

    Between two sampling layers the grid is followed through the modules of torch whose rule is known: convolutions,
    transposed ones, poolings, padding, and `nn.Upsample`. Where another layer or a function changes the size, the areas
    of both grids are laid upon each other: right for resizing with align_corners=False and for pixel shuffling, a
    guess for cropping and padding by indices or functions, for `functional.interpolate(align_corners=True)`, and for
    concatenation along the grid. Of branches that run side by side and change the size, the last is followed; shifts
    of those that keep it add up.

    Args:
        model: any torch model.
        image: one image, shape (1, C, *S).
        pixel: index of the output pixel, on the grid of the layer's output.
        layer: dotted name of the sampling layer; None for the last that ran.
        call: which of the operations in that layer.
        below: whether to follow the points down to the image; else they are on the layer's input.
        modules: as for `monitor`; outputs of which only offsets are known are not followed.
        limit: most points to keep; the heaviest are.

    Returns:
        Positions in pixels and weights. A warp has one point for each offset group, of equal weight. A tap of a
        deformable convolution weighs |mask| times the norm of its filters.

    Raises:
        ArgumentError: more than one image, a pixel outside the grid, a model without sampling operations, no points.
        UnknownNameError: no sampling operation ran in that layer.
    """
    check_image(image)
    check_integer("limit", limit)
    with torch.no_grad():
        passage, _ = follow(model, image, check_modules(model, modules))
        top = passage.find(layer, call)
        start = start_of(passage, top, pixel)
        followed = [top]
        if below:
            followed += [number for number in reversed(range(top)) if passage.calls[number].x is not None]
        return _compose(passage, followed, start, below, limit)


def points_of(pattern: SamplingPattern, pixel: Sequence[int], layer: str = "") -> SamplingPoints:
    """Return the points that an output pixel of a pattern samples, in the first image of its batch.

    Args:
        pattern: where an operator samples, its `pattern(…)`, or one of the `samplings()` where that is put together.
        pixel: index of the output pixel.
        layer: a name for the points.

    Returns:
        Positions in pixels and weights, as of `sampling_points`; the start is NaN where output pixels have no place.

    Raises:
        ArgumentError: a pixel outside the grid, another pattern, or one without images.
    """
    if not isinstance(pattern, SamplingPattern) or pattern.batch == 0:
        expected = "a SamplingPattern of at least one image, such as one of a pattern's samplings()"
        raise ArgumentError("pattern", expected=expected, received=type(pattern).__name__)
    place = pixel_of(pixel, pattern.grid, pattern.offsets)
    with torch.no_grad():
        positions, weights = _split(pattern, place, place.new_ones(1))
    start = place[0] * place.new_tensor(pattern.lattice.spacing) + place.new_tensor(pattern.lattice.origins).mean(0)
    if pattern.lattice.is_free:
        start = torch.full_like(start, math.nan)
    return SamplingPoints(
        layer=layer,
        pixel=tuple(int(index) for index in place[0]),
        start=tuple(start.tolist()),
        positions=positions.numpy(force=True),
        weights=weights.numpy(force=True),
        size=pattern.size,
        layers=(layer,),
        kept=1.0,
    )


def _compose(passage: Passage, followed: list[int], start: Tensor, below: bool, limit: int) -> SamplingPoints:
    """Carry a point through the layers, the upper ones first."""
    top = followed[0]
    points, still, weights = start, start, start.new_ones(1)
    kept = 1.0
    for number, lower in zip(followed, [*followed[1:], None], strict=True):
        points, weights, share = _heaviest(*_split(passage.calls[number].pattern(1), points, weights), limit)
        kept *= share
        lattice = passage.calls[number].lattice
        still = still * still.new_tensor(lattice.spacing) + still.new_tensor(lattice.origins).mean(0)
        size = passage.size_of_input(number)
        if below:
            if lower is not None:
                points = as_read(passage.calls[number].boundary, points, size)
            points, size = passage.descend(points, number, lower)
            still, _ = passage.descend(still, number, lower)
    return SamplingPoints(
        layer=passage.sites[top].layer,
        pixel=tuple(int(index) for index in start[0]),
        start=tuple(still[0].tolist()),
        positions=points.numpy(force=True),
        weights=weights.numpy(force=True),
        size=size,
        layers=tuple(passage.sites[number].layer for number in followed),
        kept=kept,
    )


def _split(
    pattern: SamplingPattern, points: Float[Tensor, "N d"], weights: Float[Tensor, "N"]
) -> tuple[Float[Tensor, "M d"], Float[Tensor, "M"]]:
    """Split each point on the output of a layer into those that it reads from the input."""
    positions, shares = pattern.points(points)
    shares = weights[:, None] * shares
    total = shares.sum()
    return positions.flatten(0, 1), (shares / total if total > 0 else shares).flatten()


def _heaviest(positions: Tensor, weights: Tensor, limit: int) -> tuple[Tensor, Tensor, float]:
    """Keep so many points, the heaviest; return their share of the weight as well."""
    if len(weights) <= limit:
        return positions, weights, 1.0
    chosen = weights.argsort(descending=True, stable=True)[:limit].sort().values
    share = float(weights[chosen].sum() / weights.sum()) if weights.sum() > 0 else 1.0
    return positions[chosen], weights[chosen] / (share or 1.0), share


def write_points(path: Path, points: Sequence[SamplingPoints], command: str = "sampling_points") -> None:
    """Write points as a record: one Parquet table with a manifest, which `core.records.read_table` reads.

    Args:
        path: file ending in .parquet.
        points: what `sampling_points` returned, for one or several pixels of one image.
        command: what the manifest says of how it came about.

    Raises:
        ArgumentError: no points.
    """
    if not points:
        raise ArgumentError("points", expected="at least one result of sampling_points", received="none")
    table = pd.concat([each.table() for each in points], ignore_index=True)
    settings = {"layers": list(points[0].layers)}
    records.write_table(path, table, records.Manifest(command, 0, "cpu", settings))
