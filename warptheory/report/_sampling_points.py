"""Sampling points on the image, and offset fields as arrows and as colours; positions are rows and columns in pixels.

>>> import torch
>>> from warptheory import networks, report, stability
>>> model = networks.selfwarp_resnet(8, width=4)
>>> image = torch.zeros(1, 3, 16, 16)
>>> points = stability.sampling_points(model, image, (2, 3))
>>> figure = report.plot_sampling_points(image, points, stability.receptive_field(model, image, (2, 3)))
>>> figure = report.plot_offset_field(stability.offset_fields(model, image)[0])

Each panel can also be drawn alone, into any axes: `draw_sampling_points`, `draw_offset_arrows`, `draw_offset_colours`.
"""

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from warptheory.core.checks import check_integer
from warptheory.core.errors import ArgumentError
from warptheory.core.text import one_line, shown
from warptheory.report.style import GREY, ORANGE, house_style
from warptheory.stability import LayerOffsets, SamplingPoints

# An image, or one of a batch; and what is drawn on it.
Picture = Float[np.ndarray, "*CHW"] | Float[Tensor, "*CHW"]
Points = pd.DataFrame | SamplingPoints | Sequence[SamplingPoints]

WEIGHT = "weight (share of the output pixel)"

_AXES = 2
_ARROWS = 20  # along the longer side, at most
_LARGEST_MARK, _SMALLEST_MARK = 60.0, 8.0  # points²
_MARK = "#21918C"  # the middle of viridis
_OPAQUE = 0.85
_SATURATED = 0.99  # share of the offsets that are told apart by colour
_WHEEL_PIXELS = 101
# Offsets are colours on a plane of CIELAB: left to right is blue to yellow, up to down light green to dark red. Blue
# and yellow, and light and dark, are seen apart with any form of colour blindness, and distances as they are.
_NEUTRAL, _ALONG_ROWS, _ALONG_COLUMNS = (65.0, 0.0, 0.0), (-28.0, 42.0, 0.0), (0.0, 0.0, 62.0)


def plot_sampling_points(
    image: Picture,
    points: Points,
    receptive_field: Float[np.ndarray, "H W"] | None = None,
) -> Figure:
    """Draw the points that output pixels sample, on the image, with their weights.

    Args:
        image: shape (H, W), (1, H, W), (3, H, W), or as one of a batch, (1, 1, H, W) or (1, 3, H, W); its values are
            spread over the whole range.
        points: what `stability.sampling_points` returned, one or several, or a record of `stability.write_points`.
        receptive_field: a result of `stability.receptive_field`, shape (H, W): laid over the image, the more opaque
            the stronger.

    Raises:
        ArgumentError: another shape, or points that are not on two axes.
    """
    table = _table_of(points)
    with house_style():
        figure = Figure(figsize=(4.8, 4.4), layout="constrained")
        axes = figure.subplots()
        marks = draw_sampling_points(axes, image, table, receptive_field)
        axes.set_title(_title(table), parse_math=False)
        if not weigh_alike(table):
            figure.colorbar(marks, ax=axes, label=WEIGHT, shrink=0.85)
        handles = sampling_handles(has_field=receptive_field is not None)
        figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


def draw_sampling_points(
    axes: Axes,
    image: Picture,
    points: Points,
    receptive_field: Float[np.ndarray, "H W"] | None = None,
) -> PathCollection:
    """Draw the panel of `plot_sampling_points`; return the points, for a colour bar.

    Args:
        axes: where to draw.
        image: as in `plot_sampling_points`, such as shape (3, H, W).
        points: as there.
        receptive_field: a result of `stability.receptive_field`, shape (H, W).

    Raises:
        ArgumentError: another shape, or points that are not on two axes.
    """
    points = _table_of(points)
    picture = _displayable(image)
    axes.imshow(picture, cmap="gray", interpolation="nearest")
    if receptive_field is not None:
        _draw_strength(axes, receptive_field)
    ordered = points.sort_values("weight")  # the heaviest on top
    weights = ordered["weight"].to_numpy()
    heaviest = weights.max() if len(weights) and weights.max() > 0 else 1.0
    marks = axes.scatter(
        ordered["position1"],
        ordered["position0"],
        s=_SMALLEST_MARK + (_LARGEST_MARK - _SMALLEST_MARK) * weights / heaviest,
        **({"color": _MARK} if weigh_alike(points) else {"c": weights, "norm": Normalize(0, heaviest)}),
        edgecolors="white",
        linewidths=0.6,
        zorder=3,
    )
    starts = points.drop_duplicates(["start0", "start1"])
    for colour, width in (("black", 2.6), ("white", 1.2)):
        columns, rows = starts["start1"], starts["start0"]
        axes.plot(columns, rows, "x", color=colour, markeredgewidth=width, markersize=8, zorder=4)
    _frame(axes, picture.shape[:2], points)
    return marks


def _title(points: pd.DataFrame) -> str:
    layer, below = str(points["layer"].iloc[0]), int(points["layers"].iloc[0]) - 1
    name = f"layer {one_line(layer)}" if layer else "the model itself"
    return f"Sampled through {name}" + (f" and {below} sampling layer{'s' * (below > 1)} below" if below else "")


def weigh_alike(points: pd.DataFrame) -> bool:
    """Whether all points of a table have the same weight, so that no scale is needed."""
    weights = points["weight"]
    return bool(weights.max() - weights.min() <= 1e-9 * weights.max())


def _table_of(points: Points) -> pd.DataFrame:
    """Return points as a table.

    Raises:
        ArgumentError: none, something else, or points that are not on two axes.
    """
    several = [points] if isinstance(points, SamplingPoints) else points
    if not isinstance(several, pd.DataFrame):
        if not isinstance(several, Sequence) or not several or not all(isinstance(e, SamplingPoints) for e in several):
            expected = "results of stability.sampling_points, or a record of stability.write_points"
            raise ArgumentError("points", expected=expected, received=shown(points))
        several = pd.concat([each.table() for each in several], ignore_index=True)
    axes = sum(name in several for name in ("position0", "position1", "position2"))
    if axes != _AXES:
        expected = "positions on two axes, which an image has"
        raise ArgumentError("points", expected=expected, received=counted_axes(axes))
    return several


def counted_axes(count: int) -> str:
    """Return how many axes there are, in words."""
    return f"{count} {'axis' if count == 1 else 'axes'}"


def sampling_handles(*, has_field: bool) -> list[Line2D]:
    """Return what the legend of `draw_sampling_points` shows, with the gradient of the output pixel or without."""
    handles = [
        Line2D([], [], marker="o", color=_MARK, markeredgecolor="white", markersize=6, linestyle="", label="sampled"),
        Line2D([], [], marker="x", color="black", markersize=6, linestyle="", label="without offsets"),
    ]
    if has_field:
        label = "gradient of the output pixel"
        handles.append(Line2D([], [], marker="s", color=ORANGE, markersize=6, linestyle="", label=label))
    return handles


def _draw_strength(axes: Axes, field: Float[np.ndarray, "H W"]) -> None:
    """Lay a field over the image, the strongest pixel nearly opaque."""
    strength = np.nan_to_num(field, nan=0.0, posinf=0.0)
    layer = np.empty((*field.shape, 4))
    layer[..., :3] = to_rgb(ORANGE)
    layer[..., 3] = _OPAQUE * strength / (strength.max() or 1.0)
    axes.imshow(layer, interpolation="nearest")


def _displayable(image: Picture) -> Float[np.ndarray, "*HWC"]:
    """Return an image as Matplotlib takes it, its values spread over [0, 1]."""
    array = image.numpy(force=True) if isinstance(image, Tensor) else np.asarray(image)
    whole = array[0] if array.ndim == 4 and len(array) == 1 else array
    values = whole[None] if whole.ndim == _AXES else whole
    if values.ndim != 3 or len(values) not in (1, 3):
        raise ArgumentError("image", expected="shape (H, W), (1, H, W) or (3, H, W)", received=tuple(image.shape))
    low, high = float(values.min()), float(values.max())
    spread = (values - low) / (high - low) if high > low else np.full_like(values, 0.5)
    return (
        np.repeat(spread, 4 - len(values), axis=0).transpose(1, 2, 0) if len(values) == 1 else spread.transpose(1, 2, 0)
    )


def _frame(axes: Axes, size: tuple[int, ...], points: pd.DataFrame | None = None) -> None:
    """Show the image, and points outside it as well, up to half its size away."""
    (top, bottom), (left, right) = (_limits(n, points, number) for number, n in enumerate(size))
    axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal", xlabel="column (pixels)", ylabel="row (pixels)")


def _limits(length: int, points: pd.DataFrame | None, axis: int) -> tuple[float, float]:
    low, high = -0.5, length - 0.5
    if points is None or points.empty:
        return low, high
    found = points[f"position{axis}"].replace([math.inf, -math.inf], math.nan)
    return max(min(low, found.min() - 1), -length / 2), min(max(high, found.max() + 1), 1.5 * length)


def plot_offset_field(
    offsets: Float[np.ndarray, "2 H W"] | LayerOffsets, title: str = "", *, field: int | None = None
) -> Figure:
    """Draw an offset field twice: as arrows, and as colours with the wheel that explains them.

    Args:
        offsets: one of the results of `stability.offset_fields`; or ε in pixels, shape (2, H, W): along rows first.
            Pixels that are not finite are left out.
        title: name of the field; that of the layer by default.
        field: which of a layer's fields, offset groups × taps, is drawn; by default that of the longest offsets (root
            mean square).

    Raises:
        ArgumentError: another shape, a layer of another number of axes, or no such field.
    """
    drawn = offsets
    if isinstance(drawn, LayerOffsets):
        number = chosen_field(drawn, field)
        title = title or field_title(drawn, number)
        drawn = drawn.offsets[number]
    elif field is not None:
        raise ArgumentError("field", expected="None for an array, which is one field", received=field)
    with house_style():
        figure = Figure(figsize=(7.2, 2.9), layout="constrained")
        arrows, colours, wheel = figure.subplots(1, 3, width_ratios=(1, 1, 0.4))
        factor = draw_offset_arrows(arrows, drawn)
        arrows.set_title("to scale" if factor == 1 else f"arrows {factor:g} times as long")
        longest = draw_offset_colours(colours, drawn)
        colours.set_title("direction and length")
        draw_colour_wheel(wheel, longest)
        if title:
            figure.suptitle(one_line(title), fontsize=9, parse_math=False)
    return figure


def chosen_field(layer: LayerOffsets, field: int | None) -> int:
    """Return the number of the field of a layer that is drawn; arguments and errors as in `plot_offset_field`."""
    count, dim = layer.offsets.shape[:2]
    if dim != _AXES:
        expected = "a layer that moves along two axes, rows and columns"
        raise ArgumentError("offsets", expected=expected, received=counted_axes(dim))
    if field is not None:
        check_integer("field", field, least=0, most=count - 1)
        return field
    energies = np.nan_to_num(layer.offsets, nan=0.0, posinf=0.0, neginf=0.0).reshape(count, -1)
    return int(np.argmax(np.square(energies).sum(1)))


def field_title(layer: LayerOffsets, field: int) -> str:
    """Return what is written over the drawing of a field of a layer."""
    count = len(layer.offsets)
    one_of = f", field {field} of 0 … {count - 1}" if count > 1 else ""
    return f"{f'layer {layer.layer}' if layer.layer else 'the model itself'}: {layer.operator}{one_of}"


def draw_offset_arrows(axes: Axes, offsets: Float[np.ndarray, "2 H W"]) -> float:
    """Draw arrows from pixels to where they sample; return by what factor they are longer than that.

    Args:
        axes: where to draw.
        offsets: ε in pixels, shape (2, H, W).

    Raises:
        ArgumentError: another shape.
    """
    size = _check_field(offsets)
    step = max(1, math.ceil(max(size) / _ARROWS))
    rows, columns = (np.arange(n % step // 2 + (step - 1) // 2, n, step) for n in size)
    chosen = offsets[:, rows][:, :, columns]
    factor = _readable_factor(chosen, step)
    longer = factor * np.where(np.isfinite(chosen), chosen, np.nan)
    draw_arrows(axes, rows, columns, longer, color="black", width=0.004, minlength=0)
    axes.plot(*np.meshgrid(columns, rows), ".", color=GREY, markersize=1.5, zorder=0.5)
    _frame(axes, size)
    return factor


def draw_arrows(
    axes: Axes, rows: np.ndarray, columns: np.ndarray, offsets: Float[np.ndarray, "2 h w"], **look: Any
) -> None:
    """Draw offsets, shape (2, h, w), as arrows to scale that begin at some pixels.

    Args:
        axes: where to draw.
        rows: the pixels' rows, one for each row of the offsets, or for each pixel.
        columns: their columns, likewise.
        offsets: ε in pixels, shape (2, h, w).
        **look: Matplotlib's words for the look of arrows.
    """
    axes.quiver(columns, rows, *offsets[::-1], angles="xy", scale_units="xy", scale=1, **look)


def _readable_factor(offsets: Float[np.ndarray, "2 h w"], step: int) -> float:
    """Return 1, 2 or 5 times a power of ten with which long arrows reach about the next one."""
    lengths = np.hypot(*offsets)
    lengths = lengths[np.isfinite(lengths) & (lengths > 0)]
    if not len(lengths):
        return 1.0
    ratio = step / float(np.quantile(lengths, 0.9))
    if 0.4 <= ratio <= 2:
        return 1.0
    power = 10.0 ** math.floor(math.log10(ratio))
    return float(f"{max(digit for digit in (1, 2, 5) if digit * power <= ratio * (1 + 1e-9)) * power:.6g}")


def draw_offset_colours(axes: Axes, offsets: Float[np.ndarray, "2 H W"], longest: float | None = None) -> float:
    """Draw an offset field as an image of colours; return the length with the most saturated ones, in pixels.

    Args:
        axes: where to draw.
        offsets: ε in pixels, shape (2, H, W); what is not finite is white.
        longest: that length; None for one that 99 % of the offsets do not exceed. Longer ones have its colour.

    Raises:
        ArgumentError: another shape.
    """
    size = _check_field(offsets)
    lengths = np.hypot(*offsets)
    finite = np.isfinite(lengths)
    if longest is None:
        longest = float(np.quantile(lengths[finite], _SATURATED)) if finite.any() else 1.0
    colours = np.ones((*size, 3))
    colours[finite] = offset_colours(offsets[:, finite] / (longest or 1.0))
    axes.imshow(colours, interpolation="nearest")
    _frame(axes, size)
    return longest


def draw_colour_wheel(axes: Axes, longest: float) -> None:
    """Draw the legend of `draw_offset_colours`: the colour of every offset up to a length in pixels.

    Args:
        axes: where to draw; its ticks are replaced.
        longest: the length at the rim, in pixels; a field without offsets has 0, and gets a rim of 1.
    """
    rim = longest or 1.0
    line = np.linspace(-1, 1, _WHEEL_PIXELS)
    directions = np.stack(np.meshgrid(line, line, indexing="ij"))
    inside = np.hypot(*directions) <= 1
    colours = np.ones((*inside.shape, 4))
    colours[..., 3] = inside
    colours[inside, :3] = offset_colours(directions[:, inside])
    axes.imshow(colours, extent=(-rim, rim, rim, -rim), interpolation="bilinear")
    axes.spines[["left", "bottom"]].set_visible(False)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks([-rim, 0, rim], [f"{-rim:.2g}", "0", f"{rim:.2g}"])
    axes.set(xlabel="columns (pixels)", ylabel="rows (pixels)", title="colour of ε")


def offset_colours(offsets: Float[np.ndarray, "2 *N"]) -> Float[np.ndarray, "*N 3"]:
    """Return the sRGB colours (*N, 3) of offsets (2, *N) in units of the longest: grey for none.

    Colours change evenly with the offset: they are a plane in CIELAB.
    """
    from skimage.color import lab2rgb

    rim = np.maximum(np.hypot(*offsets), 1)
    rows, columns = (part[..., None] for part in offsets / rim)
    lab = np.asarray(_NEUTRAL) + rows * np.asarray(_ALONG_ROWS) + columns * np.asarray(_ALONG_COLUMNS)
    return cast("np.ndarray", np.clip(lab2rgb(lab), 0, 1))


def _check_field(offsets: Float[np.ndarray, "2 H W"]) -> tuple[int, int]:
    if not isinstance(offsets, np.ndarray):
        expected = "an array of shape (2, H, W), or one result of stability.offset_fields, such as the first, [0]"
        raise ArgumentError("offsets", expected=expected, received=type(offsets).__name__)
    if offsets.ndim != 3 or len(offsets) != 2:
        raise ArgumentError("offsets", expected="shape (2, H, W)", received=offsets.shape)
    return offsets.shape[1], offsets.shape[2]
