"""Figure 2: training a SelfWarp ResNet, layer by layer: offsets, offset gradients, folds and the loss."""

import math
import re

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, LinearSegmentedColormap
from matplotlib.figure import Figure

from warptheory.paper.entries import PaperFigure
from warptheory.report import house_style

# Early layers light green, late layers dark blue: lightness falls all the way, so the order survives any colour vision.
LAYERS = LinearSegmentedColormap.from_list("layers", ["#a6d96a", "#3fa796", "#2c6fab", "#0b1f5b"])
PLAIN = "#8a8a8a"
_MOST_TICKS = 9
_AVERAGED = 15  # steps over which a loss is averaged


def draw(layers: pd.DataFrame, steps: pd.DataFrame) -> Figure:
    """Return the figure: four panels over the steps of the training, a line for each warp, first layer to last."""
    layers, steps = first_run(layers, steps)
    with house_style():
        figure = Figure(figsize=(7.2, 5.2), layout="constrained")
        axes = figure.subplots(2, 2)
        _draw_layers(axes[0, 0], layers, "offset_deviation")
        axes[0, 0].set(title="(a) Offsets", ylabel="spread of the offsets (pixels)")
        _draw_layers(axes[0, 1], layers, "offset_gradient_variance")
        axes[0, 1].set(title="(b) Offset gradients", ylabel="variance of ∂L/∂ε (1/pixel²)", yscale="log")
        _draw_layers(axes[1, 0], layers, "fold_fraction")
        axes[1, 0].set(title="(c) Folds", ylabel="share of folded pixels")
        _draw_losses(axes[1, 1], steps)
        axes[1, 1].set_title("(d) Loss")
        for one in axes.flat:
            one.set_xlabel("step")
        scale = figure.colorbar(
            _mappable(layers["depth"]), ax=axes, label="warp, from the first block to the last", shrink=0.6, pad=0.02
        )
        depths = sorted(layers["depth"].unique())
        ticks = depths[:: math.ceil(len(depths) / _MOST_TICKS)]
        scale.set_ticks(ticks, labels=[str(depth + 1) for depth in ticks])
    return figure


def first_run(layers: pd.DataFrame, steps: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what the monitor recorded of the run of the first seed, and the losses of this run and of its twin."""
    seed = layers["seed"].min()
    return layers[layers["seed"] == seed], steps[steps["seed"] == seed]


def network_title(name: str) -> str:
    """Return how a network is written in text: "SelfWarp ResNet-20" for "selfwarp-resnet20"."""
    return re.sub(r"resnet(\d+)", r"ResNet-\1", name.replace("selfwarp-", "SelfWarp "))


def _mappable(depths: pd.Series) -> ScalarMappable:
    edges = np.arange(depths.max() + 2) - 0.5
    return ScalarMappable(BoundaryNorm(edges, LAYERS.N), LAYERS)


def _draw_layers(axes: Axes, layers: pd.DataFrame, column: str) -> None:
    last = max(1, layers["depth"].max())
    for depth in sorted(layers["depth"].unique()):
        rows = layers[layers["depth"] == depth]
        axes.plot(rows["step"], rows[column], color=LAYERS(depth / last), linewidth=1.3)


def _draw_losses(axes: Axes, steps: pd.DataFrame) -> None:
    for warped, colour in ((False, PLAIN), (True, LAYERS(0.75))):
        rows = steps[steps["warped"] == warped]
        label = network_title(rows["network"].iloc[0])
        axes.plot(rows["step"], rows["loss"], color=colour, linewidth=0.4, alpha=0.45)
        smooth = rows["loss"].rolling(_AVERAGED, center=True, min_periods=1).mean()
        axes.plot(rows["step"], smooth, color=colour, linewidth=1.6, label=label if warped else f"plain {label}")
    axes.set_ylabel("training loss (nats)")
    axes.legend()


def title(layers: pd.DataFrame, steps: pd.DataFrame) -> str:
    """Return number and title, with the name of the network."""
    return f"Figure 2. Training a {network_title(layers['network'].iloc[0])}"


def caption(layers: pd.DataFrame, steps: pd.DataFrame) -> str:
    """Return the caption, with the measured numbers of the record."""
    layers, steps = first_run(layers, steps)
    last = layers[layers["step"] == layers["step"].max()]
    spreads = last["offset_deviation"]
    return (
        f"Patches of photographs, {steps['step'].max() + 1} steps; a line for each of {len(last)} warps, early ones "
        "light green, late ones dark blue. (a) Standard deviation of the offsets: at the end "
        f"{spreads.min():.2g} to {spreads.max():.2g} pixels. (b) Variance of the gradient of the mean loss with "
        "respect to the offsets. (c) Share of pixels where the warp folds: at most "
        f"{layers['fold_fraction'].max():.2g}. (d) Loss of every step, and its mean over {_AVERAGED} steps, with the "
        f"plain twin. Offsets start at zero and learn at {last['warping_multiplier'].iloc[0]:g} of the rate."
    )


FIGURE = PaperFigure(
    draw=draw,
    reads=("selfwarp_layers.parquet", "selfwarp_steps.parquet"),
    title=title,
    caption=caption,
    order=102,
    alt="Spread of the offsets, variance of their gradients, folded share and loss, step by step of a training",
)
