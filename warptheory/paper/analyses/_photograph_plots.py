"""Plots of photographs against the theory of homogeneous fields, from the records of `analyses/natural_images.py`."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from warptheory.report.panels import Look, letter, stripe_rows
from warptheory.report.style import BLUE, GREEN, GREY, ORANGE, VERMILION, house_style

PURPLE = "#CC79A7"  # the palette's next
_KERNELS = {
    "nearest": Look("nearest", GREY, marker="v", hollow=True),
    "linear": Look("linear", BLUE, marker="o", hollow=True),
    "gauss": Look("gauss(0.5)", GREEN, marker="^", hollow=True),
    "keys": Look("keys", VERMILION, marker="s", hollow=True),
    "lanczos3": Look("lanczos3", PURPLE, marker="D", hollow=True),
    "bspline3(prefilter=True)": Look("bspline3, prefiltered", ORANGE, marker="x"),
}
_UNITS = {"value": "intensity²", "gradient": "intensity²/pixel²"}
_FIELDS = {"photograph": "photograph", "Gaussian": "Gaussian field of its spectrum"}
_QUANTITIES = {"value": Look("value", BLUE, marker="o"), "gradient": Look("gradient", VERMILION, marker="s")}
_SHOWN_KERNEL, _SHOWN_STEP = "linear", 2


def plot_photographs(errors: pd.DataFrame, agreement: pd.DataFrame) -> Figure:
    """Draw measured against predicted errors of the value and of the gradient (D4, D5), with the identity line.

    Above, spectrum and error are of the same pixels; below, of the two halves of each photograph.

    Args:
        errors: the record `natural_images`.
        agreement: the record `natural_images_agreement`.
    """
    photographs = errors[errors["field"] == "photograph"]
    names = {"own": "its own spectrum", "other half": "the other half's spectrum"}
    with house_style():
        figure = Figure(figsize=(7.2, 6.9), layout="constrained")
        axes = figure.subplots(2, 2)
        for row, (spectrum, name) in enumerate(names.items()):
            for column, (quantity, label) in enumerate((("value", "D4: value"), ("gradient", "D5: gradient"))):
                panel: Axes = axes[row, column]
                chosen = (photographs["quantity"] == quantity) & (photographs["spectrum"] == spectrum)
                _draw_agreement(panel, photographs[chosen])
                letter(panel, "abcd"[2 * row + column], f"{label}, {name}")
                error = f"squared error ({_UNITS[quantity]})"
                panel.set(xlabel=f"predicted {error}", ylabel=f"measured {error}")
                numbers = _numbers(agreement, quantity, spectrum)
                panel.text(0.97, 0.04, numbers, transform=panel.transAxes, ha="right", fontsize=8)
        handles = [_handle(look) for look in _KERNELS.values()]
        handles.append(Line2D([], [], color=GREY, linewidth=0.9, linestyle="--", label="measured = predicted"))
        figure.legend(handles=handles, loc="outside upper center", ncols=4)
    return figure


def plot_limits(errors: pd.DataFrame, displacements: pd.DataFrame) -> Figure:
    """Draw where photographs are not homogeneous fields: errors at edges, their tails, and deformations (C6).

    Errors of the linear kernel on every second pixel. A quarter of them are zero, at pixels of the grid, so that those
    of a Gaussian field have an excess kurtosis too.

    Args:
        errors: the record `natural_images`.
        displacements: the record `natural_images_displacement`.
    """
    shown = errors[
        (errors["kernel"] == _SHOWN_KERNEL) & (errors["step"] == _SHOWN_STEP) & (errors["region"] == "whole")
    ]
    key = shown[(shown["field"] == "photograph") & (shown["quantity"] == "value")]
    order = list(key.sort_values("edge_share")["image"])
    with house_style():
        figure = Figure(figsize=(7.2, 4.4), layout="constrained")
        shares, tails, deformations = figure.subplots(1, 3, width_ratios=(1.15, 1, 1.25))
        _draw_by_image(shares, shown, order, "edge_share")
        share = shown["edge_pixels"].iloc[0]
        shares.axvline(share, color=GREY, linewidth=0.9, linestyle="--")
        shares.set_yticks(range(len(order)), [name.replace("_", " ") for name in order])
        shares.set(xlabel=f"share of the squared error in\n{share:.0%} of the pixels, at edges", xlim=(0, 1))
        letter(shares, "a", f"{_SHOWN_KERNEL}: errors at edges")
        _draw_by_image(tails, shown, order, "excess_kurtosis")
        tails.set_yticks(range(len(order)), [])
        tails.set_xscale("symlog", linthresh=1)
        tails.set_xlim(-0.5, 300)
        tails.set_xticks([0, 1, 10, 100], ["0", "1", "10", "100"])
        tails.set_xlabel("excess kurtosis\nof the error")
        letter(tails, "b", f"{_SHOWN_KERNEL}: tails")
        _draw_displacements(deformations, displacements)
        letter(deformations, "c", "C6: random deformations")
        handles = [
            _handle(Look(f"{quantity}, {name}", look.colour, marker=look.marker, hollow=field == "Gaussian"))
            for quantity, look in _QUANTITIES.items()
            for field, name in _FIELDS.items()
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=2)
    return figure


def _handle(look: Look) -> Line2D:
    """Return what stands for points in a legend."""
    colour, inside = look.colour, "white" if look.hollow else look.colour
    return Line2D(
        [], [], color=colour, linestyle="", marker=look.marker, markersize=5, markerfacecolor=inside, label=look.label
    )


def _draw_agreement(axes: Axes, rows: pd.DataFrame) -> None:
    ends = rows[["predicted", "measured"]].to_numpy()
    low, high = ends.min() / 1.6, ends.max() * 1.6
    axes.plot([low, high], [low, high], color=GREY, linewidth=0.9, linestyle="--", zorder=1)
    for kernel, look in _KERNELS.items():
        chosen = rows[rows["kernel"] == kernel]
        # Kernels err alike, one marker upon the other: hollow, they all remain visible.
        axes.errorbar(
            chosen["predicted"],
            chosen["measured"],
            xerr=chosen["predicted_stderr"],
            yerr=chosen["measured_stderr"],
            fmt=look.marker,
            color=look.colour,
            markersize=4.4,
            markeredgewidth=0.9,
            markerfacecolor="none",
            ecolor=(*to_rgb(look.colour), 0.35),
            elinewidth=0.6,
            zorder=2,
        )
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high))


def _numbers(agreement: pd.DataFrame, quantity: str, spectrum: str) -> str:
    """Return the agreement over all kernels, as text."""
    chosen = (agreement["quantity"] == quantity) & (agreement["spectrum"] == spectrum) & (agreement["kernel"] == "all")
    (row,) = agreement[chosen].to_dict("records")
    return (
        f"correlation of logarithms {row['correlation']:.3f}\n"
        f"slope {row['slope']:.2f} ± {row['slope_stderr']:.2f} (1 SE)\n"
        f"median ratio {row['ratio']:.2f}"
    )


def _draw_by_image(axes: Axes, rows: pd.DataFrame, order: list[str], column: str) -> None:
    """Draw a number of each photograph, full, and of its Gaussian field, hollow, on one row."""
    stripe_rows(axes, len(order))
    for quantity, look in _QUANTITIES.items():
        for field in _FIELDS:
            found = rows[(rows["quantity"] == quantity) & (rows["field"] == field)].set_index("image")[column]
            inside = "white" if field == "Gaussian" else look.colour
            axes.plot(
                found[order], range(len(order)), look.marker, color=look.colour, markersize=4.2, markerfacecolor=inside
            )
    axes.set_ylim(-0.6, len(order) - 0.4)


def _draw_displacements(axes: Axes, rows: pd.DataFrame) -> None:
    """Draw measured displacement errors and the worst case over the prediction, photographs side by side."""
    images = list(rows["image"].unique())
    shift = rows["image"].map(lambda name: 1.22 ** (2 * images.index(name) / max(len(images) - 1, 1) - 1))
    place = rows["spread"] * shift
    axes.axhline(1, color=GREY, linewidth=0.9, linestyle="--")
    axes.errorbar(
        place,
        rows["measured"] / rows["predicted"],
        yerr=rows["measured_stderr"] / rows["predicted"],
        fmt="o",
        color=BLUE,
        markersize=3.2,
        linewidth=0.7,
        label="measured (bar: ± 1 SE)",
    )
    axes.plot(
        place,
        rows["bound"] / rows["predicted"],
        "^",
        color=GREEN,
        markersize=3.6,
        label="worst case, mean |∇x|² · max |ε|²",
    )
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    spreads = np.unique(rows["spread"])
    axes.set_xticks(spreads, [f"{spread:g}" for spread in spreads])
    axes.set(xlabel="spread of the offsets (pixels)", ylabel="E |x∘φ − x|² over its prediction")
    axes.set_ylim(top=3000)
    axes.legend(loc="upper left")
