"""Figure 1: an example input (top) and the same data, warped (bottom), with the offset field beside them."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from warptheory.paper.entries import PaperFigure
from warptheory.report import draw_arrows, house_style

ARROW_SPACING = 32  # pixels between drawn arrows
LINE_SPACING = 16  # pixels between drawn grid lines


def draw(arrays: dict[str, Any], manifest: dict[str, Any]) -> Figure:
    """Return the figure: photograph and offsets above, warped photograph and sampling grid below."""
    offsets = arrays["offsets"]
    with house_style():
        figure = Figure(figsize=(7.2, 5.0), layout="constrained")
        axes = figure.subplots(2, 2)
        _show_image(axes[0, 0], arrays["photograph"], "Input x(t)")
        _show_image(axes[1, 0], arrays["warped"], "Warped output y(t) = x(t + ε(t))")
        _show_offsets(figure, axes[0, 1], offsets)
        _show_grid(axes[1, 1], offsets)
    return figure


def _show_image(axes: Axes, image: np.ndarray, title: str) -> None:
    axes.imshow(np.clip(image.transpose(1, 2, 0).squeeze(), 0, 1), cmap="gray", vmin=0, vmax=1)
    axes.set_title(title)
    _label_pixels(axes, image.shape[1:])


def _show_offsets(figure: Figure, axes: Axes, offsets: np.ndarray) -> None:
    """Draw the length of the offsets as colour, and arrows from each pixel to where it samples."""
    length = np.hypot(*offsets)
    image = axes.imshow(length, cmap="cividis", vmin=0)
    rows, columns = (np.arange(ARROW_SPACING // 2, n, ARROW_SPACING) for n in length.shape)
    chosen = offsets[:, rows][:, :, columns]
    draw_arrows(axes, rows, columns, chosen, color="white", edgecolor="black", linewidth=0.3, width=0.005)
    axes.set_title("Offset field ε(t), arrows to scale")
    figure.colorbar(image, ax=axes, label="|ε| (pixels)", shrink=0.85)
    _label_pixels(axes, length.shape)


def _show_grid(axes: Axes, offsets: np.ndarray) -> None:
    """Draw where the rows and columns of the output grid sample the input."""
    height, width = offsets.shape[1:]
    rows, columns = np.mgrid[:height, :width] + offsets
    for row in range(0, height, LINE_SPACING):
        axes.plot(columns[row], rows[row], color="#0072B2", linewidth=0.6)
    for column in range(0, width, LINE_SPACING):
        axes.plot(columns[:, column], rows[:, column], color="#0072B2", linewidth=0.6)
    axes.set_title(f"Sampling positions t + ε(t), every {LINE_SPACING}th line")
    axes.set(aspect="equal", xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    _label_pixels(axes, (height, width))


def _label_pixels(axes: Axes, size: tuple[int, int]) -> None:
    ticks = {"xticks": range(0, size[1] + 1, 100), "yticks": range(0, size[0] + 1, 100)}
    axes.set(xlabel="column (pixels)", ylabel="row (pixels)", **ticks)


def caption(arrays: dict[str, Any], manifest: dict[str, Any]) -> str:
    """Return the caption, with the measured numbers of the record."""
    chosen = manifest["settings"]
    return (
        f"Top: the photograph “{chosen['photograph']}”. Bottom: the same data, warped by a smooth random offset field "
        f"(correlation length {chosen['correlation_length_px']:.0f} pixels; "
        f"measured spread {chosen['measured_spread_px']:.1f} pixels, "
        f"slope τ = {chosen['measured_slope']:.2f}, folded share {chosen['measured_fold_fraction']:.2%}). "
        "Right: the offset field, and the positions at which the input is sampled."
    )


FIGURE = PaperFigure(
    draw=draw,
    reads=("warped_image.safetensors", "warped_image.json"),
    title="Figure 1. An input and its warped version",
    caption=caption,
    order=101,
    alt="A photograph, its warped version, the offset field, and the positions at which the input is sampled",
)
