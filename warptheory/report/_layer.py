"""What a layer of any model does at an image: its offsets, and the points of the image that an output pixel samples.

>>> import torch
>>> from warptheory import networks, report
>>> model = networks.selfwarp_resnet(8, width=4, head_gain=0.5)
>>> figure = report.plot_layer(model, torch.rand(1, 3, 32, 32), "blocks.1.warp")
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor, nn

from warptheory import stability
from warptheory.core.errors import ArgumentError, UnknownNameError
from warptheory.core.text import one_line
from warptheory.patterns.layouts import SamplingLayout
from warptheory.report._sampling_points import (
    chosen_field,
    draw_colour_wheel,
    draw_offset_arrows,
    draw_offset_colours,
    draw_sampling_points,
    field_title,
    sampling_handles,
    weigh_alike,
)
from warptheory.report.style import house_style
from warptheory.stability import LayerOffsets, SamplingPoints

_CLOSE = 12.0  # pixels along the side of the panel that is close by, at least
_SHOWN_AS_IT_IS = (1, 3)  # channels; of other numbers the mean is shown


def plot_layer(
    model: nn.Module,
    image: Float[Tensor, "1 C H W"],
    layer: str | None = None,
    *,
    call: int = 0,
    pixel: Sequence[int] | None = None,
    field: int | None = None,
    modules: Mapping[str, SamplingLayout] | None = None,
) -> Figure:
    """Draw what a layer does at an image: the points that an output pixel samples, and the layer's offsets.

    Two panels show the points of the output pixel, through all sampling layers below, on the image and close by; two
    show the offsets of the layer on the grid of its output, as arrows and as colours. Where a user named a module's
    output, what it samples is not known, and the image stands alone.

    Args:
        model: any torch model whose sampling `stability.monitor` sees; it runs in evaluation mode, and is left as it
            was.
        image: one image, shape (1, C, H, W); of other numbers of channels than 1 and 3 the mean is shown.
        layer: dotted name of the sampling layer; None for the last that ran.
        call: which of the operations in that layer.
        pixel: row and column of the output pixel; None for a typical one: of the middle half of the grid that whose
            offsets are nearest to the median length.
        field: which of the layer's offset fields (groups × taps) is drawn; None for that of the longest offsets. The
            points are of all fields.
        modules: as for `stability.monitor`.

    Raises:
        ArgumentError: more than one image, a model without sampling operations, a layer that does not move along two
            axes, a pixel outside the grid, or no such call or field.
        UnknownNameError: no sampling operation ran in that layer; that of a model that samples itself is ''.
    """
    found = _find(stability.offset_fields(model, image, modules), layer, call)
    number = chosen_field(found, field)
    place = typical_pixel(found) if pixel is None else tuple(pixel)
    picture = image if image.shape[1] in _SHOWN_AS_IT_IS else image.mean(1, keepdim=True)
    with house_style():
        figure = Figure(figsize=(13, 3.7), layout="constrained")
        whole, close, arrows, colours, wheel = figure.subplots(1, 5, width_ratios=(1, 1, 1, 1, 0.36))
        if found.size:
            points = stability.sampling_points(model, image, place, found.layer, call=found.call, modules=modules)
            _draw_points(whole, close, picture, points)
        else:
            whole.imshow(picture[0].mean(0).numpy(force=True), cmap="gray", interpolation="nearest")
            whole.set_title("what is sampled is not known")
            close.set_visible(False)
        factor = draw_offset_arrows(arrows, found.offsets[number])
        to_scale = "offsets, to scale" if factor == 1 else f"offsets, {factor:g} times as long"
        arrows.set_title(to_scale if np.isfinite(found.offsets[number]).any() else "no offset is finite")
        draw_colour_wheel(wheel, draw_offset_colours(colours, found.offsets[number]))
        colours.set_title("offsets, direction and length")
        for axes in (arrows, colours):
            axes.plot(place[1], place[0], "o", color="black", fillstyle="none", markersize=8)
            axes.set(xlabel="output column (pixels)", ylabel="output row (pixels)")
        figure.suptitle(one_line(field_title(found, number)), fontsize=9, parse_math=False)
    return figure


def typical_pixel(layer: LayerOffsets) -> tuple[int, ...]:
    """Return an output pixel of the middle half of the grid whose offsets are nearest to the median length there.

    Pixels with an offset that is not finite do not count; where all have one, the middle of the grid is returned.
    """
    lengths = np.linalg.norm(layer.offsets, axis=1).mean(0)
    middle = tuple(slice(n // 4, n // 4 + max(1, n // 2)) for n in lengths.shape)
    finite = np.isfinite(lengths[middle])
    if not finite.any():
        return tuple(n // 2 for n in lengths.shape)
    distances = np.where(finite, np.abs(lengths[middle] - np.median(lengths[middle][finite])), np.inf)
    centre = [(n - 1) / 2 for n in distances.shape]
    nearest = np.argwhere(distances <= distances.min())
    chosen = nearest[np.argmin(np.square(nearest - centre).sum(1))]
    return tuple(int(index) + part.start for index, part in zip(chosen, middle, strict=True))


def _find(fields: Sequence[LayerOffsets], layer: str | None, call: int) -> LayerOffsets:
    """Return the operation that is drawn; raises as `plot_layer`."""
    if not fields:
        raise ArgumentError("model", expected="a model that samples", received="no sampling operation")
    if layer is None:
        return fields[-1]
    of_layer = [each for each in fields if each.layer == layer]
    if not of_layer:
        raise UnknownNameError("layer", layer, {each.layer or "'' (the model itself)" for each in fields})
    for each in of_layer:
        if each.call == call:
            return each
    raise ArgumentError("call", expected=f"a call of {layer!r}, 0 … {len(of_layer) - 1}", received=call)


def _draw_points(whole: Axes, close: Axes, picture: Tensor, points: SamplingPoints) -> None:
    """Draw the points that an output pixel samples on the image, and close by, with their scale and legend."""
    draw_sampling_points(whole, picture, points)
    marks = draw_sampling_points(close, picture, points)
    (top, bottom), (left, right) = _window(points, 0), _window(points, 1)
    close.set(xlim=(left, right), ylim=(bottom, top), title="the same, close by")
    frame = Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor="black", linewidth=1.2)
    whole.add_patch(frame)
    whole.set_title(f"sampled by output pixel ({', '.join(map(str, points.pixel))})")
    if not weigh_alike(points.table()):
        close.figure.colorbar(marks, ax=close, label="weight (share)", shrink=0.85)
    close.figure.legend(handles=sampling_handles(has_field=False), loc="outside lower left", ncols=2)


def _window(points: SamplingPoints, axis: int) -> tuple[float, float]:
    """Return the ends of a square around the points along an axis, in pixels."""
    reached = np.vstack([points.positions, [points.start]])
    reached = reached[np.isfinite(reached).all(1)]
    side = max(_CLOSE, float(np.ptp(reached, axis=0).max()) + 4)
    middle = float(reached[:, axis].min() + reached[:, axis].max()) / 2
    return middle - side / 2, middle + side / 2
