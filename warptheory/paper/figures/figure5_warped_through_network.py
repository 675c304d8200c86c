"""Figure 5: sample images carried through the warps of a SelfWarp ResNet-56, layer by layer, a row for each image."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from warptheory.paper.entries import PaperFigure
from warptheory.report import draw_arrows, house_style

COLUMNS = 7  # layers that are shown, besides the image itself
LINES = 4  # pixels between drawn grid lines


def draw(arrays: dict[str, Any], manifest: dict[str, Any]) -> Figure:
    """Return the figure: in each row an image, then as it is read through the first 1, … , L warps."""
    chosen = manifest["settings"]
    images, offsets, warped = arrays["images"], arrays["offsets"], arrays["warped"]
    shown = shown_layers(len(chosen["layers"]))
    with house_style():
        figure = Figure(figsize=(7.2, 0.5 + 0.88 * len(images)), layout="constrained")
        axes = figure.subplots(len(images), len(shown) + 1, squeeze=False)
        for row, image in enumerate(images):
            # One scale for the row, so that what changes along it is the doing of the warps.
            low, high = np.quantile(image, (0.005, 0.995))
            _show(axes[row, 0], image, low, high)
            axes[row, 0].set_ylabel(chosen["photographs"][row], fontsize=7, rotation=0, ha="right", va="center")
            for column, layer in enumerate(shown, start=1):
                _show(axes[row, column], warped[row, layer], low, high)
                _draw_grid(axes[row, column], offsets[row, layer])
        axes[0, 0].set_title("input", fontsize=8)
        for column, layer in enumerate(shown, start=1):
            pixels = images.shape[2] // chosen["strides"][layer]
            axes[0, column].set_title(f"warp {layer + 1}\n({pixels}×{pixels})", fontsize=8)
    return figure


def shown_layers(count: int) -> list[int]:
    """Return the numbers of the layers that are shown, from the first to the last."""
    return sorted(set(np.linspace(0, count - 1, COLUMNS).round().astype(int).tolist()))


def _show(axes: Axes, image: np.ndarray, low: float, high: float) -> None:
    axes.imshow(np.clip((image - low) / max(high - low, 1e-6), 0, 1).transpose(1, 2, 0).squeeze(), cmap="gray")
    axes.set(xticks=[], yticks=[])


def _draw_grid(axes: Axes, offsets: np.ndarray) -> None:
    """Draw, over the warped image, how far each of the grid's points has been moved: a line to where it is read."""
    height, width = offsets.shape[1:]
    rows, columns = np.mgrid[LINES // 2 : height : LINES, LINES // 2 : width : LINES]
    moved = offsets[:, rows, columns]
    draw_arrows(axes, rows, columns, moved, color="white", edgecolor="black", linewidth=0.25, width=0.012)
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))


def caption(arrays: dict[str, Any], manifest: dict[str, Any]) -> str:
    """Return the caption, with the measured numbers of the record."""
    chosen, offsets = manifest["settings"], arrays["offsets"]
    length = np.hypot(offsets[:, -1, 0], offsets[:, -1, 1])
    return (
        "Of each photograph the test patch with the most detail, "
        f"{length.shape[1]}×{length.shape[2]} pixels, on one scale in a row, read at the composed offsets of the "
        f"first warps of the network, up to all {len(chosen['layers'])}; in brackets the layer's own pixels. Arrows "
        "lead to where a pixel is read, to scale. After the last warp they are "
        f"{length.mean():.1f} pixels long in the mean, {length.max():.1f} at most. Width {chosen['width']}, "
        f"trained for {chosen['steps']} steps, test accuracy {chosen['test_accuracy']:.2f}."
    )


FIGURE = PaperFigure(
    draw=draw,
    reads=("warped_through_network.safetensors", "warped_through_network.json"),
    title="Figure 5. Images carried through the warps of a SelfWarp ResNet-56",
    caption=caption,
    order=105,
    alt="Photographs as the successive warps of a trained network read them",
)
