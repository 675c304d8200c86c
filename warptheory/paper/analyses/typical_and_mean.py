"""What stacks of warps do to typical slopes and gradients, beside their means: results K1 to K5.

Writes `typical_and_mean.parquet`, the exponents and spreads against the slope τ of the offsets, and
`typical_quantiles.parquet`, what stacks of warps leave after some numbers of layers: quantiles and means of the energy
of slopes at outputs, quantiles of the gradient at inputs, and the share of the positions that holds half of the energy.
Stacks are composed of homogeneous Gaussian fields of offsets, each read by a cubic spline where the layers behind it
have moved a position to; slopes are those of the composed map. Standard errors are jackknifed over groups of stacks.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy import stats
from torch import Tensor

from warptheory import results
from warptheory.core import records
from warptheory.core.streams import Stream
from warptheory.fields.localisation import share_of_positions
from warptheory.paper.curves import manifest_of, points_of, write_curves
from warptheory.paper.entries import Analysis, Cost, Plot, ReportPassage, RunSettings, Section
from warptheory.report import fragment
from warptheory.report.panels import DIMS, draw_by_dim, letter, mark
from warptheory.report.style import GREY, house_style
from warptheory.results import Curve
from warptheory.results.typical.spread import composed_jacobians, slope_quantiles

RECORD, QUANTILES = "typical_and_mean.parquet", "typical_quantiles.parquet"
SLOPES = tuple(round(float(tau), 4) for tau in np.geomspace(0.1, 3, 41))
SIMULATED_SLOPES = (0.2, 0.6, 2.0, 0.35, 1.1)
TAU = 0.35  # of the stacks
LAYERS = (1, 2, 3, 4, 6, 9, 12, 15, 18, 21, 24, 27)  # self-warp networks have up to 27 blocks
STACKS = {1: 48, 2: 48, 3: 24}  # at 512, 400 and 512 positions
LEAST = 100.0  # positions that count, of those that are weighted
FEWEST = 30  # positions that hold half of the energy
GROUPS = 8  # of stacks, one of which is left out at a time
PROBABILITIES = (0.1, 0.5, 0.9)
SHARE, MEAN = "share with half of the energy", "mean"
FORWARD, BACKWARD = "forward", "backward"


def curves() -> Iterator[Curve]:
    """Yield the exponents and the spread against the slope of the offsets (K1, K2, K4)."""
    for label, quantity in (("K1", "top exponent"), ("K2", "variance of a layer"), ("K4", "sum of the exponents")):
        for dim in (1, 2, 3):
            values = tuple(tau for tau in SLOPES if label != "K4" or dim < 3 or tau >= 0.2)  # the series is long below
            yield Curve(results.get(label), quantity, "tau", values, SIMULATED_SLOPES, dim=dim, rtol=0.02, atol=6e-3)


@dataclass(frozen=True)
class StackPoint:
    """What stacks leave after a number of layers.

    Attributes:
        dim: number d of axes.
        way: "forward", the energy of slopes at outputs, or "backward", the gradient of ones at inputs.
        layers: the number L of layers.
        statistic: "10 %", "50 %", "90 %" for quantiles, "mean", "typical" for the exponential of the mean logarithm, or
            the share of positions that holds half of the energy.
        theory: the closed form's number; NaN where there is none.
        estimate: the stacks' number.
        stderr: its standard error.
        entropy: of the share, its normal approximation by the entropy of the energy (K3).
        gaussian: of the share, that by the variance of log-slopes.
        positions: number of positions.
    """

    dim: int
    way: str
    layers: int
    statistic: str
    theory: float = math.nan
    estimate: float = math.nan
    stderr: float = math.nan
    entropy: float = math.nan
    gaussian: float = math.nan
    positions: int = 0


def stack_points(dim: int, settings: RunSettings) -> Iterator[StackPoint]:
    """Yield what stacks of one number of axes leave after every number of layers."""
    stacks = max(GROUPS, STACKS[dim] // settings.thin)
    generator = Stream(settings.seed, f"typical and mean, d={dim}").generator()
    passed = composed_jacobians(generator, stacks, dim, TAU, max(LAYERS), settings.device)
    for layers, jacobian in enumerate(passed, start=1):
        if layers in LAYERS:
            yield from _forward(dim, layers, jacobian[:, :, 0].square().sum(-1).cpu())
            yield from _backward(dim, layers, torch.linalg.det(jacobian).abs().cpu())


def _forward(dim: int, layers: int, energy: Float[Tensor, "stacks positions"]) -> Iterator[StackPoint]:
    """Yield quantiles, mean and localisation of the energy of slopes, relative to that of the first.

    A share of too few positions tells of these few, and is left out.
    """
    exact = dict(zip(PROBABILITIES, slope_quantiles(dim, TAU, layers, PROBABILITIES) ** 2, strict=True))
    for probability, theory in exact.items():
        yield _point(dim, FORWARD, layers, _percent(probability), theory, energy, _Quantile(probability))
    typical = math.exp(2 * layers * results.get("K1").evaluate(dim=dim, tau=TAU))
    yield _point(dim, FORWARD, layers, "typical", typical, energy, _typical)
    yield _point(dim, FORWARD, layers, MEAN, (1 + dim * TAU**2) ** layers, energy, lambda values: float(values.mean()))
    name = "share of positions that hold half of the energy after L layers"
    theory = results.get("K3").evaluate(name, dim=dim, tau=TAU, L=layers)
    entropy = results.get("K3").evaluate("entropy of the energy a layer", dim=dim, tau=TAU)
    spread = results.get("K2").evaluate(dim=dim, tau=TAU)
    found = _point(dim, FORWARD, layers, SHARE, theory, energy, _share)
    if found.estimate * found.positions < FEWEST:
        found = replace(found, estimate=math.nan, stderr=math.nan)
    yield replace(found, entropy=_beyond(2 * layers * entropy), gaussian=_beyond(4 * layers * spread))


def _beyond(square: float) -> float:
    """Return Φ(−x) for a square x²."""
    return float(stats.norm.sf(math.sqrt(square)))


def _backward(dim: int, layers: int, size: Float[Tensor, "stacks positions"]) -> Iterator[StackPoint]:
    """Yield quantiles of the gradient 1/|J| at inputs, which find an output in proportion to |J|.

    Where few outputs have most of the inputs, what is measured tells of these few, and is left out.
    """
    counting = float(size.sum() ** 2 / size.square().sum())
    exact = dict.fromkeys(PROBABILITIES, math.nan)
    if dim == 1:
        above = [1 - probability for probability in PROBABILITIES]
        exact = dict(zip(PROBABILITIES, 1 / slope_quantiles(1, TAU, layers, above, power=1.0), strict=True))
    for probability, theory in exact.items():
        point = _point(dim, BACKWARD, layers, _percent(probability), theory, size, _InputQuantile(probability))
        yield point if counting >= LEAST else replace(point, estimate=math.nan, stderr=math.nan)
    typical = math.nan
    if dim < 3:
        logarithm = results.get("K4").evaluate("log|J| over the positions that read an input", dim=dim, tau=TAU)
        typical = math.exp(-layers * logarithm / results.get("B7").evaluate("preimages", dim=dim, tau=TAU))
    point = _point(dim, BACKWARD, layers, "typical", typical, size, _typical_at_inputs)
    yield point if counting >= LEAST else replace(point, estimate=math.nan, stderr=math.nan)


def _percent(probability: float) -> str:
    return f"{100 * probability:.0f} %"


Measure = Callable[[Float[Tensor, "stacks positions"]], float]


def _point(
    dim: int, way: str, layers: int, statistic: str, theory: float, values: Tensor, measure: Measure
) -> StackPoint:
    """Return a point with the stacks' number and its jackknifed standard error."""
    groups = torch.tensor_split(torch.arange(len(values)), GROUPS)
    rest = [measure(values[torch.isin(torch.arange(len(values)), group, invert=True)]) for group in groups]
    stderr = math.sqrt((GROUPS - 1) * float(np.var(rest)))
    return StackPoint(
        dim, way, layers, statistic, float(theory), measure(values), stderr, positions=int(values.numel())
    )


@dataclass(frozen=True)
class _Quantile:
    probability: float

    def __call__(self, values: Float[Tensor, "stacks positions"]) -> float:
        return float(np.quantile(values.numpy(), self.probability))


@dataclass(frozen=True)
class _InputQuantile:
    """A quantile of 1/|J| where positions count with |J|."""

    probability: float

    def __call__(self, values: Float[Tensor, "stacks positions"]) -> float:
        ordered = values.flatten().sort(descending=True).values
        share = torch.cumsum(ordered, 0) / ordered.sum()
        return float(1 / ordered[torch.searchsorted(share, self.probability)])


def _typical(values: Float[Tensor, "stacks positions"]) -> float:
    return float(values.log().mean().exp())


def _typical_at_inputs(values: Float[Tensor, "stacks positions"]) -> float:
    return float((-(values * values.log()).sum() / values.sum()).exp())


def _share(values: Float[Tensor, "stacks positions"]) -> float:
    return float(share_of_positions(values.flatten()[None]))


def run(settings: RunSettings) -> Path:
    """Compute and write both records; return the path of the first."""
    manifest = manifest_of(__name__, settings, tau=TAU, stacks=STACKS)
    path = write_curves(list(points_of(list(curves()), settings)), manifest, settings)
    rows = [asdict(point) for dim in STACKS for point in stack_points(dim, settings)]
    records.write_table(records.output_folder(settings.out) / QUANTILES, pd.DataFrame(rows), manifest)
    return path


def plot_typical_and_mean(table: pd.DataFrame) -> Figure:
    """Draw mean and typical energy of slopes, and the gradient at inputs, over layers.

    Args:
        table: the record of stacks.
    """
    with house_style():
        figure = Figure(figsize=(7.2, 4.9), layout="constrained")
        panels = figure.subplots(2, 3, sharex=True, sharey="row")
        for column, dim in enumerate(STACKS):
            _draw_forward(panels[0, column], table[table["dim"] == dim], dim)
            letter(panels[0, column], "abc"[column], f"slopes, d = {dim}")
            _draw_backward(panels[1, column], table[table["dim"] == dim], dim)
            letter(panels[1, column], "def"[column], f"gradients, d = {dim}")
            panels[1, column].set(xlabel="layers L", xticks=(0, 9, 18, 27))
        panels[0, 0].set(ylabel="‖∇y‖²/‖∇x‖² at outputs")
        panels[1, 0].set(ylabel="gradient of ones at inputs")
        figure.legend(handles=_legend(), loc="outside lower center", ncols=4)
    return figure


def _draw_forward(axes: Axes, rows: pd.DataFrame, dim: int) -> None:
    colour, _ = DIMS[dim]
    rows = rows[rows["way"] == FORWARD]
    _draw_band(axes, rows, colour)
    mean = rows[rows["statistic"] == MEAN]
    axes.plot(mean["layers"], mean["theory"], "--", color=colour)
    _draw_measured(axes, mean, colour, "D", hollow=True)
    axes.set(yscale="log")


def _draw_backward(axes: Axes, rows: pd.DataFrame, dim: int) -> None:
    colour, _ = DIMS[dim]
    rows = rows[rows["way"] == BACKWARD]
    _draw_band(axes, rows, colour)
    axes.axhline(1, linestyle="--", color=colour)
    axes.set(yscale="log")


def _draw_band(axes: Axes, rows: pd.DataFrame, colour: str) -> None:
    """Draw quantiles as a band with points, the typical value as a line with points."""
    low, middle, high = (rows[rows["statistic"] == _percent(p)].sort_values("layers") for p in PROBABILITIES)
    axes.fill_between(low["layers"], low["theory"], high["theory"], color=colour, alpha=0.18, linewidth=0)
    axes.plot(middle["layers"], middle["theory"], "-", color=colour)
    if middle["theory"].isna().all():
        typical = rows[rows["statistic"] == "typical"]
        axes.plot(typical["layers"], typical["theory"], "-.", color=colour)
    for part, marker in ((low, "v"), (middle, "o"), (high, "^")):
        _draw_measured(axes, part, colour, marker)


def _draw_measured(axes: Axes, rows: pd.DataFrame, colour: str, marker: str, *, hollow: bool = False) -> None:
    axes.errorbar(
        rows["layers"],
        rows["estimate"],
        yerr=rows["stderr"],
        fmt=marker,
        color=colour,
        markerfacecolor="white" if hollow else colour,
        markersize=3.6,
        linewidth=1,
        zorder=3,
    )


def _legend() -> Sequence[Line2D | Patch]:
    """Return what stands for the lines and points of all panels, in grey."""
    point: dict[str, Any] = {"linestyle": "", "markersize": 3.6}
    return [
        Line2D([], [], color=GREY, linestyle="--", label="mean, theory"),
        Line2D([], [], color=GREY, label="median, theory"),
        Line2D([], [], color=GREY, linestyle="-.", label="exp of mean log, theory"),
        Patch(color=GREY, alpha=0.18, label="10 to 90 %, theory"),
        Line2D([], [], color=GREY, marker="D", markerfacecolor="white", label="mean, measured", **point),
        Line2D([], [], color=GREY, marker="o", label="median, measured", **point),
        Line2D([], [], color=GREY, marker="v", label="10 %, measured", **point),
        Line2D([], [], color=GREY, marker="^", label="90 %, measured", **point),
    ]


def plot_exponents(curves: pd.DataFrame, table: pd.DataFrame) -> Figure:
    """Draw exponents and spread against the slope, and the share with half of the energy over layers.

    Args:
        curves: the record of exponents.
        table: the record of stacks.
    """
    with house_style():
        figure = Figure(figsize=(7.2, 5.4), layout="constrained")
        (first, second), (third, fourth) = figure.subplots(2, 2)
        for axes, label, quantity, title, name in (
            (first, "K1", "top exponent", "K1: the top exponent", "λ = E log r (a layer)"),
            (second, "K2", "variance of a layer", "K2: the spread", "v = Var log r (a layer)"),
            (third, "K4", "sum of the exponents", "K4: the sum of the exponents", "E log|J| (a layer)"),
        ):
            handles = draw_by_dim(axes, curves, label, quantity, dims=(1, 2, 3))
            axes.axhline(0, color=GREY, linewidth=0.8, zorder=0.5)
            axes.set(xlabel="slope τ of the offsets", ylabel=name, xscale="log")
            mark(axes.xaxis, 0.1, 0.2, 0.5, 1, 2)
            letter(axes, {first: "a", second: "b", third: "c"}[axes], title)
        first.legend(handles=handles, loc="upper left")
        _draw_localisation(fourth, table[table["statistic"] == SHARE])
        letter(fourth, "d", f"K3: localisation, τ = {TAU:g}")
    return figure


def _draw_localisation(axes: Axes, table: pd.DataFrame) -> None:
    for dim, (colour, marker) in DIMS.items():
        rows = table[table["dim"] == dim].sort_values("layers")
        axes.plot(rows["layers"], rows["theory"], "-", color=colour)
        axes.plot(rows["layers"], rows["entropy"], "--", color=colour, linewidth=0.9)
        axes.plot(rows["layers"], rows["gaussian"], ":", color=colour)
        _draw_measured(axes, rows, colour, marker)
    axes.set(xlabel="layers L", ylabel="share with half of ‖∇y‖²", yscale="log", ylim=(5e-5, 0.6))
    axes.set_xticks([0, 9, 18, 27])
    kinds: dict[str, Literal["-", "--", ":"]] = {"exact": "-", "by the entropy": "--", "by the variance": ":"}
    axes.legend(
        handles=[Line2D([], [], color=GREY, linestyle=line, label=name) for name, line in kinds.items()],
        loc="lower left",
    )


def _value(table: pd.DataFrame, dim: int, way: str, layers: int, statistic: str) -> pd.Series:
    chosen = (table["dim"] == dim) & (table["way"] == way) & (table["layers"] == layers)
    return table[chosen & (table["statistic"] == statistic)].iloc[0]


def finding(table: pd.DataFrame) -> Markup:
    """Return what was found, in a sentence."""
    layers = max(LAYERS)
    median, mean = (_value(table, 2, FORWARD, layers, name) for name in ("50 %", MEAN))
    share, received = _value(table, 2, FORWARD, 9, SHARE), _value(table, 2, BACKWARD, 9, "50 %")

    def told(row: pd.Series) -> str:
        return f"{row['estimate']:.3g} ± {row['stderr']:.1g}"

    return fragment(
        """After {{ layers }} layers of slopes τ = {{ tau }} in the plane the mean square slope should have grown to
{{ mean }} times its first value (C3); the median is {{ median }} times (K2 says {{ median_theory }}). After 9 layers
half of the energy sits in {{ share }} of the positions (K3 says {{ share_theory }}), and the median input receives
{{ received }} of the gradient that was sent.""",
        layers=layers,
        tau=f"{TAU:g}",
        mean=f"{mean['theory']:.0f}",
        median=told(median),
        median_theory=f"{median['theory']:.3g}",
        share=f"{100 * share['estimate']:.2g} ± {100 * share['stderr']:.1g} %",
        share_theory=f"{100 * share['theory']:.2g} %",
        received=told(received),
    )


ANALYSIS = Analysis(
    run=run,
    writes=(RECORD, QUANTILES),
    cost=Cost(quick=25, full=25),
    section=Section(
        title="The typical gradient against its mean",
        order=55,
        finding=ReportPassage(finding, (QUANTILES,)),
        parts=(
            f"""Stacks of warps whose offsets are independent smooth Gaussian fields of slopes τ = {TAU:g}, composed one
after the other. Energies and gradients are relative to those that enter. Points are measured on stacks, with standard
errors where they are larger than the points; positions within a stack are 1.2 correlation lengths apart.""",
            Plot(
                plot_typical_and_mean,
                (QUANTILES,),
                alt="Mean, median and quantiles of slopes and gradients over layers, on one, two and three axes",
                caption="""<b>Typical and mean.</b> (a–c) The energy of slopes at a uniformly drawn output: its mean
grows as (1 + dτ²)<sup>L</sup> (dashed, C3), its median shrinks on a line, stays in the plane and grows more slowly in
space (line, K2: exact); the band holds 80 % of the positions. From some depth on the measured
mean (diamonds) is that of a few positions, and scatters. (d–f) The gradient of ones that
arrives at a uniformly drawn input: its mean stays one, its median falls (K4); its mean square has no finite value for
Gaussian slopes (B7). On a line the law is exact, in the plane the exponential of the mean logarithm is.
Outputs are drawn, and count with the |J| that they cover; points end where fewer than a hundred would count.""",
            ),
            Plot(
                plot_exponents,
                (RECORD, QUANTILES),
                alt="Exponents and spread against the slope of the offsets, and localisation over layers",
                caption="""<b>Exponents and localisation.</b> (a) K1: in the plane slopes below one do nothing at all.
(b) K2. (c) K4 and, for d = 2, K7: at uniformly drawn outputs areas and volumes typically shrink up to τ ≈ 1. (d) K3:
the share of positions that holds half of the energy, exact, by the entropy of the energy, Φ(−√(2LI)), and by the
variance of log-slopes, Φ(−2√(Lv)), which counts slopes near zero that hold no energy; points end where it would be
fewer than thirty positions.""",
            ),
        ),
    ),
)
