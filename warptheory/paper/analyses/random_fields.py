"""Homogeneous random fields: theory and simulation of results C2, C3, C4 and C6, and of layers on a grid (C3, D9).

Writes `random_fields.parquet`, one row for each value of a parameter. Spreads s of the offsets, lengths and lags are in
pixels; the pixel is the unit of length (h = 1), so that ℓ is ℓ/h. Fields have mean 0, variance 1 and a covariance that
is squared-exponential. Fields of the continuum are read from a finer grid with cubic splines.

Gradient variances after L layers are mean squares of the differences of neighbouring pixels, on one periodic grid that
every layer reads and writes, C(0) = 1. Theory is C3's growth without a grid, and for the linear kernel D9's chain of
distances, with what interpolation takes away; the ceiling 2C(0)/h² is C4's number for a white field. It bounds what a
grid can hold and is far from reached: interpolation takes away what roughening makes, and where it takes nothing
("nearest") neighbours come to read the same pixel.

The worst case beside C6 is that of `analyses/natural_images.py`: E|∇x|² · max |ε|², the maximum over a region.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from warptheory import results
from warptheory.fields import FieldSampler, SquaredExponential
from warptheory.paper.curves import manifest_of, points_of, write_curves
from warptheory.paper.entries import Analysis, Cost, Plot, ReportPassage, RunSettings, Section
from warptheory.report import fragment
from warptheory.report.panels import LineStyle, Look, draw, draw_by_dim, letter, mark, select
from warptheory.report.style import BLUE, GREEN, GREY, ORANGE, VERMILION, house_style
from warptheory.results import Curve, CurvePoint, evenly_spaced, with_estimate
from warptheory.results.discretization.gradient_growth import GrowthInLayers

DIMS = (1, 2)
SPLINE = "bspline3(prefilter=True)"
LAG_SPREADS = (0.3, 1.0, 3.0)  # pixels
SPREADS = tuple(round(float(s), 4) for s in np.geomspace(0.1, 16, 41))  # pixels
SIMULATED_SPREADS = (0.1, 6.0, 1.0, 2.5, 0.4)
LENGTHS = tuple(round(float(length), 4) for length in np.geomspace(0.2, 12.8, 41))  # pixels
SIMULATED_LENGTHS = (0.2, 0.5, 1.0, 2.5, 8.0)
# Layers on a grid: a field that the grid resolves well, so that there is room for growth.
LAYERED: Mapping[str, float] = {"tau": 0.6, "ell": 6.0, "ell_epsilon": 6.0}
LAYERS = (0, 1, 2, 3, 4, 6, 8, 12, 16)
SIMULATED_LAYERS = (1, 4, 16, 2, 8, 3, 12, 6)  # the first are kept when every n-th is
ON_GRID = "gradient variance on the grid after L layers"
CONTINUUM = "gradient variance of the continuum after L layers"
CEILING = "largest gradient variance on the grid"
WORST_CASE = "worst case of the displacement error"
REGION = {1: (256,), 2: (64, 64)}  # pixels
PIXEL_SPACING: Mapping[str, float] = {"h": 1.0}  # lengths in pixels


def moved_covariance() -> Iterator[Curve]:
    """Yield the covariance of a moved field against the lag along every axis, for spreads of the offsets (C2)."""
    result, values, simulated = results.get("C2"), evenly_spaced(0.0, 10.0, 41), (0.0, 4.0, 1.0, 8.0, 2.0)
    for spread in LAG_SPREADS:
        for dim in DIMS if spread == 1 else (1,):
            given = {"s": spread}
            yield Curve(result, "covariance", "t", values, simulated, SPLINE, dim, given, rtol=2e-2, atol=1.5e-2)


def roughening() -> Iterator[Curve]:
    """Yield the slope variance against the spread of the offsets (C3)."""
    values, simulated = evenly_spaced(0.05, 4.0, 41), (0.4, 2.0, 1.2, 3.0, 4.0)
    for dim in DIMS:
        yield Curve(results.get("C3"), "slope variance", "s", values, simulated, SPLINE, dim, rtol=2e-2)


def displacements() -> Iterator[Curve]:
    """Yield how far offsets move a field from itself against their spread, and its law for small ones (C6)."""
    result = results.get("C6")
    for dim in DIMS:
        yield Curve(result, "displacement error", "s", SPREADS, SIMULATED_SPREADS, SPLINE, dim, rtol=2e-2)
    yield Curve(result, "displacement error, small offsets", "s", SPREADS, (), SPLINE)


def interpolation() -> Iterator[Curve]:
    """Yield the variance of an interpolated field and of its offset derivative against the field's length (C4)."""
    result = results.get("C4")
    for kernel in ("linear", "keys"):
        for quantity in ("variance", "variance of the offset derivative"):
            for dim in DIMS if kernel == "linear" else (1,):  # of keys on two axes the derivation takes long
                yield Curve(result, quantity, "l", LENGTHS, SIMULATED_LENGTHS, kernel, dim, PIXEL_SPACING, rtol=1.5e-2)


def worst_cases(seed: int, device: str, thin: int) -> Iterator[CurvePoint]:
    """Yield E|∇x|² · E max |ε|², simulated for a spread of one pixel; both grow with its square."""
    for dim in DIMS:
        curve = Curve(results.get("C6"), WORST_CASE, "s", kernel=SPLINE, dim=dim)
        unit = with_estimate(curve.at(1.0), WorstCaseExperiment(dim), {}, rtol=1e-2, seed=seed, device=device)
        for spread in SPREADS[::thin]:
            scale = spread**2
            yield replace(unit, value=spread, estimate=scale * unit.estimate, stderr=scale * unit.stderr)


@dataclass(frozen=True)
class WorstCaseExperiment:
    """E|∇x|² · max |ε|² over a region, for offsets of unit spread and the lengths of C6.

    Attributes:
        dim: number d of axes.
    """

    dim: int

    @property
    def symbols(self) -> set[str]:
        """None: all is fixed."""
        return set()

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels of the region, over the components."""
        return self.dim * math.prod(REGION[self.dim])

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw offsets over the region, and return the bound; shape (rows,)."""
        lengths = results.get("C6").values
        sampler = FieldSampler(SquaredExponential(lengths["l_e"], 1.0, self.dim), REGION[self.dim])
        offsets = sampler.sample(rows, generator, channels=self.dim, device=device)
        gradient = self.dim / lengths["l"] ** 2
        return gradient * offsets.square().sum(1).flatten(1).amax(1)


def layers(seed: int, device: str, thin: int) -> Iterator[CurvePoint]:
    """Yield gradient variances after L layers: of the continuum, on the grid for three kernels, and its ceiling."""
    length, spread = LAYERED["ell"], LAYERED["tau"] * LAYERED["ell_epsilon"]
    field = SquaredExponential(length, dim=1)
    start = 2 * float(field(0.0) - field(1.0))
    one = Curve(
        results.get("C3"), "slope variance", "s", kernel=SPLINE, given={"l": length, "l_e": LAYERED["ell_epsilon"]}
    )
    slopes = float(field.second_moment())
    growth = one.theory(spread) / slopes
    continuum = Curve(results.get("C3"), CONTINUUM, "L", kernel=SPLINE, given=LAYERED)
    yield from (replace(continuum.at(float(n)), theory=slopes * growth**n) for n in LAYERS)
    white = Curve(results.get("C4"), "variance of the offset derivative", "l", given=PIXEL_SPACING)
    yield replace(Curve(results.get("C4"), CEILING, "L").at(math.inf), theory=white.theory(1e-3))
    chain = Curve(results.get("D9"), "growth of the gradient variance in L layers", "L", given=LAYERED)
    on_grid = Curve(results.get("D9"), ON_GRID, "L", given=LAYERED)
    chosen = SIMULATED_LAYERS[::thin]
    for number in LAYERS:
        point = replace(on_grid.at(float(number)), theory=start * (chain.theory(float(number)) if number else 1.0))
        yield grown(point, start, seed, device) if number in chosen else point
    for kernel in (SPLINE, "nearest"):
        for number in sorted(chosen):
            yield grown(replace(on_grid, kernel=kernel).at(float(number)), start, seed, device)


def grown(point: CurvePoint, start: float, seed: int, device: str) -> CurvePoint:
    """Return a point with its estimate: the growth in its layers, times the gradient variance at the start."""
    experiment, values = GrowthInLayers(results.Setting(point.kernel)), {**LAYERED, "L": point.value}
    found = with_estimate(point, experiment, values, rtol=3e-2, seed=seed, device=device)
    return replace(found, estimate=start * found.estimate, stderr=start * found.stderr)


def run(settings: RunSettings) -> Path:
    """Compute and write the record; return its path."""
    seed, device, thin = settings.seed, settings.device, settings.thin
    curves = (*moved_covariance(), *roughening(), *displacements(), *interpolation())
    points = list(points_of(curves, settings))
    points += [*worst_cases(seed, device, thin), *layers(seed, device, thin)]
    return write_curves(points, manifest_of(__name__, settings, layers=dict(LAYERED)), settings)


_SPREAD = "spread s of the offsets (pixels)"
_SPREADS = ((GREEN, "^"), (BLUE, "o"), (VERMILION, "s"))
_KERNELS = {
    "nearest": Look("nearest, simulated", GREY, marker="v", hollow=True),
    "bspline3(prefilter=True)": Look("bspline3, prefiltered, simulated", ORANGE, marker="D"),
    "linear": Look("linear (D9)", BLUE),
}


def plot_moved_fields(table: pd.DataFrame) -> Figure:
    """Draw the covariance of moved fields, their slopes, and layers of offsets on a grid (C2, C3, D9).

    Args:
        table: the record.
    """
    with house_style():
        figure = Figure(figsize=(7.2, 5.8), layout="constrained")
        first, second, third, fourth = figure.subplots(2, 2).flat
        _draw_covariance(first, table)
        letter(first, "a", "C2: covariance, d = 1")
        _draw_roughening(second, table)
        letter(second, "b", "C3: one layer roughens")
        _draw_layers(third, table)
        letter(third, "c", "C3 and D9: layers on a grid, d = 1")
        _draw_displacement(fourth, table)
        letter(fourth, "d", "C6: distance from the field itself")
    return figure


def plot_interpolated_fields(table: pd.DataFrame) -> Figure:
    """Draw the variance of interpolated fields and of their offset derivative against the length (C4).

    Args:
        table: the record.
    """
    with house_style():
        figure = Figure(figsize=(7.2, 2.9), layout="constrained")
        panels = figure.subplots(1, 2)
        handles: list[Line2D] = []
        for axes, quantity in zip(panels, ("variance", "variance of the offset derivative"), strict=True):
            curves = (("linear", 1, BLUE, "-", "o"), ("linear", 2, VERMILION, "-", "s"), ("keys", 1, GREEN, "--", "^"))
            handles = []
            for kernel, dim, colour, line, marker in curves:
                style: LineStyle = "--" if line == "--" else "-"
                rows = select(table, "C4", quantity, kernel=kernel, dim=dim)
                handles.append(draw(axes, rows, Look(f"{kernel}, d = {dim}", colour, style, marker)))
            axes.set(xlabel="length ℓ/h of the field (pixels)", xscale="log")
            mark(axes.xaxis, 0.2, 0.5, 1, 2, 5, 10)
        letter(panels[0], "a", "C4: variance")
        panels[0].set(ylabel="Var y / C(0)", ylim=(0.4, 1.04))
        panels[0].legend(handles=handles, loc="lower right")
        letter(panels[1], "b", "C4: offset gradient")
        panels[1].set(ylabel="Var ∂₁Wx · h² / C(0)", yscale="log")
    return figure


def _draw_covariance(axes: Axes, table: pd.DataFrame) -> None:
    rows = select(table, "C2", "covariance", dim=1)
    handles = []
    spreads = sorted(rows["given"].unique(), key=_number)
    for given, (colour, marker) in zip(spreads, _SPREADS, strict=True):
        look = Look(f"s = {_number(given):g} px", colour, marker=marker)
        handles.append(draw(axes, rows[rows["given"] == given], look))
    axes.set(xlabel="lag t (pixels)", ylabel="Cov(y(0), y(t)) / C(0)")
    axes.legend(handles=handles, loc="upper right", title="spread of the offsets")


def _draw_roughening(axes: Axes, table: pd.DataFrame) -> None:
    handles = draw_by_dim(axes, table, "C3", "slope variance")
    axes.set(xlabel=_SPREAD, ylabel="slope variance λ₂(y) (1/pixel²)", ylim=(0, None))
    axes.legend(handles=handles, loc="upper left")


def _draw_layers(axes: Axes, table: pd.DataFrame) -> None:
    """Draw growth in the continuum, the ceiling, and what three kernels make of it."""
    handles = [draw(axes, select(table, "C3", CONTINUUM), Look("continuum (C3)", GREEN, "--"))]
    ceiling = float(select(table, "C4", CEILING)["theory"].iloc[0])
    axes.axhline(ceiling, color=GREY, linestyle=":", linewidth=1.2)
    handles.append(Line2D([], [], color=GREY, linestyle=":", linewidth=1.2, label="ceiling 2C(0)/h²"))
    for kernel, look in _KERNELS.items():
        rows = select(table, "D9", ON_GRID, kernel=kernel)
        handle = draw(axes, rows, look)
        if rows["theory"].isna().all():
            handle.set_linestyle("")
        handles.append(handle)
    axes.set(xlabel="layers L", ylabel="gradient variance (1/pixel²)", yscale="log", ylim=(0.02, 250))
    mark(axes.yaxis, 0.1, 1)
    axes.set_xticks([0, 4, 8, 12, 16])
    axes.legend(handles=handles, loc="upper left")


def _draw_displacement(axes: Axes, table: pd.DataFrame) -> None:
    handles = draw_by_dim(axes, table, "C6", "displacement error", "C6, ")
    small = select(table, "C6", "displacement error, small offsets")
    handles.append(draw(axes, small, Look("λ₂ s², d = 1", BLUE, "-.", width=0.9)))
    bound = select(table, "C6", WORST_CASE, dim=1)
    (line,) = axes.plot(bound["value"], bound["estimate"], color=GREEN, linestyle="--", linewidth=1.2)
    line.set_label("worst case, d = 1")
    axes.axhline(2, color=GREY, linestyle=":", linewidth=1.2)
    handles += [line, Line2D([], [], color=GREY, linestyle=":", linewidth=1.2, label="2C(0)")]
    axes.set(xlabel=_SPREAD, ylabel="E |x∘φ − x|² / C(0)", xscale="log", yscale="log", ylim=(1e-3, 30))
    axes.set_xticks([0.1, 1, 10], ["0.1", "1", "10"])
    axes.legend(handles=handles, loc="lower right")


def _number(given: str) -> float:
    return float(given.rpartition("=")[2])


def finding(curves: pd.DataFrame) -> Markup:
    """Return what was found, in a sentence."""
    line, plane = curves[curves["dim"] == 1], curves[curves["dim"] == 2]
    unmoved = line[(line["quantity"] == "covariance") & (line["value"] == 0) & line["estimate"].notna()]
    slopes = plane[plane["quantity"] == "slope variance"].sort_values("value")
    steepest = slopes[slopes["estimate"].notna()].iloc[-1]
    return fragment(
        """Offsets do not change the variance of a smooth field, {{ low }} to {{ high }} of it measured (C1, C2),
but they steepen its slopes by the factor 1 + dτ² a layer: at a spread of {{ spread }} pixels in the plane their
variance is {{ variance }} where the formula has {{ theory }} (C3).""",
        low=f"{unmoved['estimate'].min():.3f}",
        high=f"{unmoved['estimate'].max():.3f}",
        spread=f"{steepest['value']:g}",
        variance=f"{steepest['estimate']:.3f} ± {steepest['stderr']:.3f}",
        theory=f"{steepest['theory']:.3f}",
    )


ANALYSIS = Analysis(
    run=run,
    writes=("random_fields.parquet",),
    cost=Cost(quick=40, full=40),
    section=Section(
        title="Homogeneous random fields",
        order=50,
        finding=ReportPassage(finding, ("random_fields.parquet",)),
        parts=(
            """Smooth Gaussian fields, C(τ) = C(0) exp(−|τ|²/2ℓ²), moved by offsets that are smooth Gaussian fields
too, of the spread s per component. Without a grid only the offsets change a field; on a grid interpolation does so as
well.""",
            Plot(
                plot_moved_fields,
                ("random_fields.parquet",),
                alt="Covariance, slopes, layers and displacement of fields moved by random offsets",
                caption="""<b>What offsets do.</b> (a) C2: offsets do not change the variance; the covariance falls
faster at short lags and lasts longer at long ones. (b) C3: slopes of the offsets add to those of the field, by the
factor 1 + dτ². (c) In the continuum layers multiply these factors (dashed). Where no correlation is negative, a grid
of pixels h holds a gradient variance of at most 2C(0)/h² (dotted), and comes nowhere near it here: linear
interpolation takes away what roughening makes (D9, an exact chain), the prefiltered spline less, and with
<code>nearest</code>, which takes nothing, neighbours come to read the same pixel. Slopes of the offsets τ = 0.6. (d)
C6: the distance from the unmoved field follows λ₂ d s² while offsets are small, and ends at 2C(0); the worst case,
E|∇x|² times the largest |ε|² in a region, grows on.""",
            ),
            Plot(
                plot_interpolated_fields,
                ("random_fields.parquet",),
                alt="Variance of interpolated fields and of their offset gradient against the length of the field",
                caption="""<b>What interpolation does.</b> C4: (a) the variance that is left at a uniform fraction,
and (b) the variance of the offset gradient, from white noise on the left to fields that the grid resolves.""",
            ),
        ),
    ),
)
