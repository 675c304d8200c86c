"""Independent inputs: theory and simulation of results A4, A5, A6, A9 and A11.

Writes `iid_statistics.parquet`, one row for each value of a parameter: the closed form's number and, at
some of the values, the estimate with its standard error. Offsets and displacements are in pixels, the
input has mean 0 and variance 1.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from warptheory import results
from warptheory.paper.curves import manifest_of, of_layers, points_of, write_curves
from warptheory.paper.entries import Analysis, Cost, Plot, ReportPassage, RunSettings, Section
from warptheory.report import fragment
from warptheory.report.panels import Look, draw, draw_by_dim, letter, mark, select
from warptheory.report.style import BLUE, GREEN, GREY, VERMILION, house_style
from warptheory.results import Curve, Setting, evenly_spaced
from warptheory.results.iid import stacks
from warptheory.symbolic import Variance, WideOffsets

KERNELS = ("linear", "keys", "gauss(0.5)")
DIMS = (1, 2)
PIXEL_STEP = 0.1  # finite step of the curvature, in pixels
LAYERS = (1, 2, 3, 4)
STACKED = "variance after L layers, wide offsets"


def forward_gain() -> Iterator[Curve]:
    """Yield Var y against the spread of normal offsets (A4)."""
    for kernel in KERNELS:
        smooth = kernel == "gauss(0.5)"  # its ρ varies little, and takes longer
        values, simulated = evenly_spaced(0.02, 0.8, 17 if smooth else 41), evenly_spaced(0.02, 0.8, 3 if smooth else 5)
        for dim in DIMS:
            yield Curve(results.get("A4"), "variance", "s", values, simulated, kernel, dim, {"offsets": "normal"})


def kurtosis() -> Iterator[Curve]:
    """Yield the excess kurtosis of y for normal input, by kernel and number of axes (A5)."""
    once = (0.0,)
    for kernel in KERNELS:
        for dim in (1,) if kernel == "gauss(0.5)" else DIMS:  # on two axes it takes too long
            yield Curve(results.get("A5"), "excess kurtosis", "", once, once, kernel, dim, atol=4e-3)


def covariance() -> Iterator[Curve]:
    """Yield the covariance of two values against the displacement between them (A6)."""
    name, values = "covariance at a displacement", evenly_spaced(0.0, 2.4, 41)
    for kernel in KERNELS:
        simulated = evenly_spaced(0.0, 2.4, 3 if kernel == "gauss(0.5)" else 5)
        for dim in DIMS:
            yield Curve(results.get("A6"), name, "Delta", values, simulated, kernel, dim, atol=8e-3)


def curvature() -> Iterator[Curve]:
    """Yield the curvature of the alignment loss, by finite steps and by automatic differentiation (A11)."""
    result, values = results.get("A11"), evenly_spaced(0.0, 2.0, 61)
    steps, automatic = "curvature at a finite step", "curvature by automatic differentiation"
    for kernel in ("linear", "keys"):
        given = {"step": PIXEL_STEP}
        yield Curve(result, steps, "Delta", values, evenly_spaced(0.05, 1.95, 6), kernel, given=given, atol=3e-2)
        yield Curve(result, automatic, "Delta", values, evenly_spaced(0.24, 1.76, 5), kernel, atol=3e-2)


def stacked(numbers: Sequence[int]) -> Iterator[Curve]:
    """Yield the variance after some numbers of layers of wide offsets (A9), a curve of one point for each."""
    three = "variance after three layers, wide offsets"
    yield from of_layers("A9", three, STACKED, stacked_variance, numbers=numbers, dims=DIMS, rtol=2e-2)


def stacked_variance(setting: Setting, layers: int) -> WideOffsets:
    """State the variance after some layers of wide offsets."""
    return WideOffsets(Variance(stacks.stack(setting, layers)[results.PIXEL]), results.HALF_WIDTH)


def run(settings: RunSettings) -> Path:
    """Compute and write the record; return its path."""
    curves = [*forward_gain(), *kurtosis(), *covariance(), *curvature(), *stacked(LAYERS[:: settings.thin])]
    return write_curves(list(points_of(curves, settings)), manifest_of(__name__, settings), settings)


_KERNELS = {"linear": (BLUE, "o"), "keys": (VERMILION, "s"), "gauss(0.5)": (GREEN, "^")}


def plot_forward(table: pd.DataFrame) -> Figure:
    """Draw the forward gain against the spread of the offsets, the tails, and stacks (A4, A5, A9).

    Args:
        table: the record.
    """
    with house_style():
        figure = Figure(figsize=(7.2, 5.4), layout="constrained")
        first, second, third, fourth = figure.subplots(2, 2).flat
        for axes, name, dim in ((first, "a", 1), (second, "b", 2)):
            handles = _by_kernel(axes, table, "A4", "variance", dim)
            letter(axes, name, f"A4: forward gain, d = {dim}")
            axes.set(xlabel="spread s of normal offsets (pixels)", ylabel="Var y / Var x", ylim=(0, 1.04))
        first.legend(handles=handles, loc="lower left")
        _draw_kurtosis(third, table)
        _draw_stacks(fourth, table)
    return figure


def plot_displacement(table: pd.DataFrame) -> Figure:
    """Draw covariance and curvature against the displacement (A6, A11).

    Args:
        table: the record.
    """
    with house_style():
        figure = Figure(figsize=(7.2, 5.4), layout="constrained")
        first, second, third, fourth = figure.subplots(2, 2).flat
        for axes, name, dim in ((first, "a", 1), (second, "b", 2)):
            axes.axhline(0, color=GREY, linewidth=0.6)
            handles = _by_kernel(axes, table, "A6", "covariance at a displacement", dim)
            letter(axes, name, f"A6: covariance of two values, d = {dim}")
            axes.set(xlabel="displacement Δ along every axis (pixels)", ylabel="Cov(y, y′) / Var x")
        first.legend(handles=handles, loc="upper right")
        for axes, name, kernel in ((third, "c", "linear"), (fourth, "d", "keys")):
            handles = _draw_curvature(axes, table, kernel)
            letter(axes, name, f"A11: curvature of the alignment loss, {kernel}")
        third.legend(handles=handles, loc="upper right", bbox_to_anchor=(1, 0.9))
    return figure


def _by_kernel(axes: Axes, table: pd.DataFrame, result: str, quantity: str, dim: int) -> list[Line2D]:
    return [
        draw(axes, select(table, result, quantity, kernel=kernel, dim=dim), Look(kernel, colour, marker=marker))
        for kernel, (colour, marker) in _KERNELS.items()
    ]


def _draw_kurtosis(axes: Axes, table: pd.DataFrame) -> None:
    """Draw theory as short bars, side by side for the numbers of axes."""
    for place, (kernel, (colour, marker)) in enumerate(_KERNELS.items()):
        found = select(table, "A5", "excess kurtosis", kernel=kernel).sort_values("dim")
        for number, (_, row) in enumerate(found.iterrows()):
            dim, at = row["dim"], place + 0.36 * (number - (len(found) - 1) / 2)
            axes.plot([at - 0.13, at + 0.13], [row["theory"]] * 2, color=colour, linewidth=1.4)
            axes.errorbar(
                at, row["estimate"], yerr=row["stderr"], fmt=marker, color=colour, markersize=4.2, linewidth=1
            )
            axes.annotate(
                f"d = {dim}", (at, row["theory"]), (0, 7), textcoords="offset points", ha="center", fontsize=8
            )
    letter(axes, "c", "A5: tails of y for normal x")
    axes.set_xticks(range(len(_KERNELS)), list(_KERNELS))
    axes.set(xlabel="kernel", ylabel="excess kurtosis", xlim=(-0.5, len(_KERNELS) - 0.5), ylim=(0, 0.36))


def _draw_stacks(axes: Axes, table: pd.DataFrame) -> None:
    handles = draw_by_dim(axes, table, "A9", "variance after L layers, wide offsets")
    letter(axes, "d", "A9: forward through stacked warps")
    axes.set(xlabel="layers L", ylabel="Var y / Var x", yscale="log")
    mark(axes.yaxis, 0.05, 0.1, 0.2, 0.5)
    axes.set_xticks(sorted(table.loc[table["result"] == "A9", "value"].unique()))
    axes.legend(handles=handles, loc="lower left")


def _draw_curvature(axes: Axes, table: pd.DataFrame, kernel: str) -> list[Line2D]:
    """Draw the curvature by finite steps broad, and that by automatic differentiation on top of it."""
    looks = {
        "curvature at a finite step": Look("three evaluations, 0.1 pixel apart", BLUE, width=2.4),
        "curvature by automatic differentiation": Look("automatic differentiation", VERMILION, "--", "s", hollow=True),
    }
    axes.axhline(0, color=GREY, linewidth=0.6)
    axes.set(xlabel="displacement Δ from the target (pixels)", ylabel="curvature / Var x (1/pixel²)")
    return [draw(axes, select(table, "A11", quantity, kernel=kernel), look) for quantity, look in looks.items()]


def finding(curves: pd.DataFrame) -> Markup:
    """Return what was found, in a sentence."""
    gains = curves[curves["result"] == "A4"]
    kept = gains[gains["value"] == gains["value"].max()].groupby(["kernel", "dim"])["theory"].first()
    return fragment(
        """Linear interpolation at scattered positions keeps {{ line }} of the variance of independent pixels along a
line, {{ plane }} in the plane; Keys' cubic {{ cubic_line }} and {{ cubic_plane }} (A4).""",
        line=f"{kept['linear', 1]:.0%}",
        plane=f"{kept['linear', 2]:.0%}",
        cubic_line=f"{kept['keys', 1]:.0%}",
        cubic_plane=f"{kept['keys', 2]:.0%}",
    )


ANALYSIS = Analysis(
    run=run,
    writes=("iid_statistics.parquet",),
    cost=Cost(quick=40, full=40),
    section=Section(
        title="Independent inputs",
        order=30,
        finding=ReportPassage(finding, ("iid_statistics.parquet",)),
        parts=(
            """White input, read at random positions. In every figure of this section and the next, lines are the
closed forms of the named results and points are simulations of the same experiments with the real operator, ± 1
standard error (often smaller than the point).""",
            Plot(
                plot_forward,
                ("iid_statistics.parquet",),
                alt="Forward gain, excess kurtosis, and variance of stacked warps",
                caption="""<b>What interpolation keeps.</b> (a, b) A4: the share of variance that is kept falls from
that of whole offsets to ρ̄ᵈ, its value for a uniform fraction, as soon as offsets spread over half a pixel. The
sharper the kernel, the more it keeps; the Gaussian of the learnable spacings smooths even where it stands. (c) A5: a
fraction that varies mixes variances, so that normal input leaves with slightly heavier tails. (d) A9: every layer of
widely spread offsets takes the same factor, so the variance falls geometrically with depth.""",
            ),
            Plot(
                plot_displacement,
                ("iid_statistics.parquet",),
                alt="Covariance and curvature against the displacement",
                caption="""<b>Where the two values are read.</b> (a, b) A6: the covariance of two values falls with
the displacement between them like the kernel's autocorrelation, a cubic B-spline for the linear kernel; the lobes of
<code>keys</code> make it negative beyond one pixel. (c) A11: the curvature of ½(y(p + Δ) − y(p))², linear kernel.
Three evaluations of the loss find it falling to negative values beyond 2/3 of a pixel; automatic differentiation, for
which a linear interpolant has no second derivative, says 2 everywhere, also where the loss bends the other way. (d)
For <code>keys</code>, whose slope is continuous, both agree.""",
            ),
        ),
    ),
)
