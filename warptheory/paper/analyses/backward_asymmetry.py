"""The backward pass is not the mirror of the forward pass: theory and simulation of results B1 to B8.

Writes `backward_asymmetry.parquet`, one row for each value of a parameter: half-widths a and spreads s of the
offsets in pixels, slopes τ without unit, the grid's size N in pixels, layers L. The gradient that is sent back has
mean 0 and variance 1, or is one. Simulations are as precise as a marker in the figures is high.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from markupsafe import Markup
from torch import Tensor

from warptheory import results
from warptheory.paper.analyses._backward_plots import plot_reading, plot_slopes, plot_two_passes
from warptheory.paper.curves import extended, manifest_of, of_layers, points_of, write_curves
from warptheory.paper.entries import Analysis, Cost, ExplorerCurve, Plot, ReportPassage, RunSettings, Section
from warptheory.report import fragment
from warptheory.results import PIXEL, Curve, CurvePoint, Quantity, Setting, evenly_spaced, with_estimate
from warptheory.results.backward import constants, folding, stacked_gradients
from warptheory.symbolic import ExcessKurtosis, Expectation, IIDField, OffsetField, Variance, WideOffsets, warp

DIMS = (1, 2)
FORWARD_TAILS = "excess kurtosis, offsets uniform on [−a, a)"
FORWARD_ONES = "variance of warped ones"
RESPONSE = "mean square of the response to ones"
GROWTH = "growth of the backward gain per doubling of the resolution"
SPREADS = tuple(round(0.2 * 12 ** (number / 44), 4) for number in range(45))  # pixels, denser where the shares rise
STACKED = "second moment after L layers, wide offsets"
SLOPES = (0.5, 0.8, 1.2)
RESOLUTIONS = tuple(2**power for power in range(3, 11))  # pixels in a period
LAYERS = (1, 2, 3, 4)
_STRATA = 256


def second_moments() -> Iterator[Curve]:
    """Yield the second moments of both passes against the half-width of uniform offsets (A4, B1)."""
    forward, backward = results.get("A4"), results.get("B1")
    values, given = evenly_spaced(0.05, 1.55, 61), {"offsets": "uniform"}
    for dim in DIMS:
        yield Curve(forward, "variance", "a", values, evenly_spaced(0.25, 1.25, 3), dim=dim, given=given)
        yield Curve(backward, "second moment", "a", values, evenly_spaced(0.05, 1.05, 3), dim=dim, given=given)


def tails() -> Iterator[Curve]:
    """Yield the excess kurtosis of both passes against the half-width of uniform offsets (A5, B2)."""
    forward = extended("A5", Quantity(FORWARD_TAILS, forward_tails))
    values, simulated = evenly_spaced(0.05, 3.05, 61), (0.1, 0.45, 0.95, 2.1)
    for dim in DIMS:
        yield Curve(results.get("B2"), "excess kurtosis", "a", values, simulated, dim=dim, atol=2e-2)
        yield Curve(forward, FORWARD_TAILS, "a", values, simulated, dim=dim, atol=1e-2)


def forward_tails(setting: Setting) -> ExcessKurtosis:
    """State the excess kurtosis of y[n] for normal input and the offsets of B2."""
    x = IIDField("x", law="normal", mean=0)
    return ExcessKurtosis(warp(x, OffsetField("uniform", setting.dim), setting.kernel)[PIXEL])


def response_to_ones() -> Iterator[Curve]:
    """Yield the variance of the response to ones, of both passes, against the spread of normal offsets (B3)."""
    backward, forward = results.get("B3"), extended("B3", Quantity(FORWARD_ONES, forward_ones))
    values, simulated = evenly_spaced(0.02, 2.0, 40), evenly_spaced(0.02, 2.0, 8)
    for dim in DIMS:
        yield Curve(backward, "variance of the response to ones", "s", values, simulated, dim=dim)
        yield Curve(forward, FORWARD_ONES, "s", (0.02, 2.0), evenly_spaced(0.25, 1.75, 4), dim=dim, atol=1e-3)


def forward_ones(setting: Setting) -> Variance:
    """State Var (W1)[n]."""
    return Variance(warp(constants.ONES, OffsetField(setting.offsets, setting.dim), setting.kernel)[PIXEL])


def dead_inputs() -> Iterator[Curve]:
    """Yield the share of dead inputs against the spread of normal offsets (B4)."""
    result, values, simulated = results.get("B4"), SPREADS, evenly_spaced(0.4, 2.4, 6)
    for kernel in ("linear", "nearest"):
        for dim in DIMS:
            yield Curve(result, "share of dead inputs", "s", values, simulated, kernel, dim, rtol=3e-2)


def column_sums() -> Iterator[Curve]:
    """Yield the expected largest column sum against the size of the grid (B5)."""
    sizes = tuple(float(2 ** (number / 2) // 1) for number in range(4, 29))
    simulated = tuple(float(2**number) for number in range(2, 15, 2))
    yield Curve(results.get("B5"), "largest column sum", "N", sizes, simulated, "nearest", rtol=5e-3)


def folds() -> Iterator[Curve]:
    """Yield the probability of a fold and the mean number of preimages against the slopes (B7)."""
    result, values, simulated = results.get("B7"), evenly_spaced(0.16, 1.6, 49), evenly_spaced(0.4, 1.6, 5)
    for dim in (1, 2, 3):
        for quantity in ("fold probability", "preimages"):
            yield Curve(result, quantity, "tau", values, simulated, dim=dim)


def jensen() -> Iterator[Curve]:
    """Yield the gain of a diffeomorphism in both passes against its largest slope (B6)."""
    result, values, simulated = results.get("B6"), evenly_spaced(0.0, 0.9, 46), evenly_spaced(0.1, 0.9, 5)
    yield Curve(result, "backward gain", "tau", values, simulated)
    yield Curve(result, "backward gain", "tau", values, (0.3, 0.8), dim=2)
    yield Curve(result, "forward gain", "tau", (0.0, 0.9), simulated)


def growth() -> Iterator[Curve]:
    """Yield how much the backward gain of Gaussian slopes grows per doubling of the resolution (B7)."""
    for tau in SLOPES:
        yield Curve(results.get("B7"), GROWTH, "tau", (tau,), (tau,))


def stacked(numbers: Sequence[int]) -> Iterator[Curve]:
    """Yield the second moment of ones after some numbers of layers of wide offsets (B8), a curve of one point each."""
    three = "second moment after three layers, wide offsets"
    yield from of_layers("B8", three, STACKED, stacked_moment, numbers=numbers, dims=DIMS, rtol=1.5e-2)


def stacked_moment(setting: Setting, layers: int) -> WideOffsets:
    """State the second moment of W₁ᵀ…W_Lᵀ1 for wide offsets."""
    return WideOffsets(Expectation(stacked_gradients.stack(setting, layers)[PIXEL] ** 2), results.HALF_WIDTH)


def limits() -> Iterator[Curve]:
    """Yield what no value of the parameter changes: limits of wide offsets, and the largest row sum."""
    yield Curve(results.get("B5"), "infinity norm", "N", kernel="nearest")
    for dim in DIMS:
        yield Curve(results.get("B2"), "excess kurtosis, wide offsets", "a", dim=dim)
        yield Curve(results.get("B3"), "variance of the response to ones, wide offsets", "s", dim=dim)
        for kernel in ("linear", "nearest"):
            yield Curve(results.get("B4"), "share of dead inputs, wide offsets", "s", kernel=kernel, dim=dim)


def responses(seed: int, device: str, thin: int) -> Iterator[CurvePoint]:
    """Yield the mean of (Wᵀ1)² on ever finer grids, which theory gives up to a constant (B7)."""
    for tau in SLOPES:
        curve = Curve(results.get("B7"), RESPONSE, "N", given={"tau": tau})
        for pixels in RESOLUTIONS[::thin]:
            point, experiment = curve.at(float(pixels)), ResponseExperiment(pixels)
            yield with_estimate(point, experiment, {"tau": tau}, rtol=4e-3, seed=seed, device=device)


@dataclass(frozen=True)
class ResponseExperiment:
    """The mean of (Wᵀ1)² on a grid of N pixels; a row is drawn as in `folding.CausticGrowth`.

    Attributes:
        pixels: N, the period of the wave in pixels.
    """

    pixels: int

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels of a row."""
        return self.pixels * _STRATA

    @property
    def symbols(self) -> set[str]:
        """The deviation of the slopes."""
        return {"tau"}

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw Gaussian waves from a Latin hypercube of their amplitude, phase and place; shape (rows,)."""
        order = generator.permuted(np.broadcast_to(np.arange(_STRATA), (3, rows, _STRATA)), axis=-1)
        uniform = torch.from_numpy((order + generator.random(order.shape)) / _STRATA).to(device).flatten(1)
        slope = values["tau"] * torch.sqrt(-2 * torch.log1p(-uniform[0]))
        phase, shift = 2 * math.pi * uniform[1], uniform[2]
        hits = folding.mean_square_hits(slope[:, None, None], phase[:, None, None], shift[:, None], self.pixels)
        return hits.reshape(rows, _STRATA).mean(1)


def run(settings: RunSettings) -> Path:
    """Compute and write the record; return its path."""
    seed, device, thin = settings.seed, settings.device, settings.thin
    parts = (second_moments, tails, response_to_ones, dead_inputs, column_sums, folds, jensen, growth)
    curves = [*(curve for part in parts for curve in part()), *stacked(LAYERS[::thin])]
    points = list(points_of(curves, settings))
    points += [*responses(seed, device, thin), *(curve.limit() for curve in limits())]
    return write_curves(points, manifest_of(__name__, settings), settings)


def finding(curves: pd.DataFrame) -> Markup:
    """Return what was found, in a sentence."""
    line = curves[curves["dim"] == 1]
    wide = line.loc[line["quantity"] == "excess kurtosis, wide offsets", "theory"].iloc[0]
    forward = line[line["result"] == "A5"].sort_values("value").iloc[-1]
    dead = line[(line["quantity"] == "share of dead inputs, wide offsets") & (line["kernel"] == "linear")]["theory"]
    return fragment(
        """The backward pass has the second moment of the forward pass (B1) and other statistics: for widely spread
offsets on a line its excess kurtosis tends to {{ wide }} (B2), where the forward pass has {{ forward }} at a
half-width of {{ spread }} pixels (A5), and no gradient reaches {{ dead }} of the inputs (B4).""",
        wide=f"{wide:.2g}",
        forward=f"{forward['theory']:.2g}",
        spread=f"{forward['value']:.3g}",
        dead=f"{dead.iloc[0]:.0%}",
    )


ANALYSIS = Analysis(
    run=run,
    writes=("backward_asymmetry.parquet",),
    cost=Cost(quick=60, full=60),
    explored=(
        ExplorerCurve(
            "B4",
            "share of dead inputs",
            "backward_asymmetry.parquet",
            control="spread",
            choices=("kernel", "dim", "offsets"),
            axis="share of the inputs",
            text="Inputs that no output reads: no gradient reaches them, whatever the loss.",
            order=40,
        ),
        ExplorerCurve(
            "B7",
            "fold probability",
            "backward_asymmetry.parquet",
            control="slope",
            choices=("dim",),
            axis="P(J < 0)",
            text="Smooth Gaussian offsets turn a share of the picture over: it is read in the wrong order. The slope τ "
            "decides, whatever kernel interpolates.",
            order=60,
        ),
        ExplorerCurve(
            "B7",
            "preimages",
            "backward_asymmetry.parquet",
            control="slope",
            choices=("dim",),
            axis="E|J|",
            text="How many outputs read one point of the input, on average. Above one there are folds.",
            order=70,
        ),
    ),
    section=Section(
        title="The backward pass",
        order=40,
        finding=ReportPassage(finding, ("backward_asymmetry.parquet",)),
        parts=(
            """The gradient with respect to the input is Wᵀg, a scatter by the same offsets. It has the forward pass's
second moment and little else of it.""",
            Plot(
                plot_two_passes,
                ("backward_asymmetry.parquet",),
                alt="Second moments, excess kurtosis and response to ones of both passes",
                caption="""<b>Same energy, other statistics.</b> Linear kernel. (a) A4 and B1: the second moments of
both passes coincide for every spread of the offsets. (b, c) B2: but the backward pass has heavy tails for normal
gradients, which grow with the spread towards 2.7 and 2.43 (dashed), while the forward pass (A5, at the same offsets)
stays at a few tenths: an output reads a whole set of taps, an input is read by a random number of outputs. (d) B3:
rows of W sum to one, so constants pass forward unchanged; backward, they turn into noise of variance up to ρ̄ᵈ
(dashed).""",
            ),
            Plot(
                plot_reading,
                ("backward_asymmetry.parquet",),
                alt="Dead inputs, largest column sum, stacks and growth with the resolution",
                caption="""<b>How often an input is read.</b> (a) B4: a share of the inputs is read by no output and
learns nothing, up to exp(−|S|ᵈ) for a kernel of support |S| (dashed). (b) B5: some inputs gather many gradients. The
line is the exact expectation of the largest column sum for positions spread over the whole grid; the dotted guide is
its order of growth, not its value. (c) B8: a constant gradient sent back through L layers of widely spread,
independent offsets, linear kernel: the second moment approaches 1/(1 − ρ̄ᵈ), 3 and 9/5. (d) B7: smooth Gaussian
offsets of slope deviation τ have caustics, and the backward gain has no continuum limit: it grows by 2 log(2) p_J(0)
with every doubling of the resolution. The slopes of the lines are derived; their heights, on which the theory is
silent, are set by the finest grid.""",
            ),
            Plot(
                plot_slopes,
                ("backward_asymmetry.parquet",),
                alt="Fold probability, preimages, and gain of a diffeomorphism against the slopes",
                caption="""<b>Slopes decide.</b> (a) B7: the share of folded positions (J &lt; 0) for iid normal
slopes; more axes fold earlier. (b) B7: the mean number of output positions that read one input position, E|J|; it
exceeds one only because of folds, since counted with orientation it is one. (c) B6: without any fold, εᵢ = τ sin tᵢ
and a smooth homogeneous gradient, the forward gain is one and the backward gain (1 − τ²)^(−d/2), as Jensen's
inequality demands.""",
            ),
        ),
    ),
)
