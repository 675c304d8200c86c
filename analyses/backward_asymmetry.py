"""The backward pass is not the mirror of the forward pass: theory and simulation of results B1 to B8.

Writes `backward_asymmetry.parquet`, one row for each value of a parameter, with the columns of
`iid_statistics.parquet`: half-widths a and spreads s of the offsets in pixels, slopes τ without unit, the
grid's size N in pixels, layers L. The gradient that is sent back has mean 0 and variance 1, or is one.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import montecarlo, results
from warptheory.core import records
from warptheory.core.analysis import run_as_script
from warptheory.core.checkout import load_script
from warptheory.results import PIXEL, Quantity, Result, Setting
from warptheory.results.backward import constants, folding, stacked_gradients
from warptheory.symbolic import ExcessKurtosis, Expectation, IIDField, OffsetField, Variance, WideOffsets, warp

SCRIPT = "analyses/backward_asymmetry.py"
DIMS = (1, 2)
FORWARD_TAILS = "excess kurtosis, offsets uniform on [−a, a)"
FORWARD_ONES = "variance of warped ones"
RESPONSE = "mean square of the response to ones"
GROWTH = "growth of the backward gain per doubling of the resolution"
SLOPES = (0.5, 0.8, 1.2)
_STRATA = 256

curves = load_script("analyses", "iid_statistics", "analysis")
grid = curves.grid


def forward_tails(setting: Setting) -> ExcessKurtosis:
    """State the excess kurtosis of y[n] for normal input and the offsets of B2."""
    x = IIDField("x", law="normal", mean=0)
    return ExcessKurtosis(warp(x, OffsetField("uniform", setting.dim), setting.kernel)[PIXEL])


def forward_ones(setting: Setting) -> Variance:
    """State Var (W1)[n]."""
    return Variance(warp(constants.ONES, OffsetField(setting.offsets, setting.dim), setting.kernel)[PIXEL])


def stacked_moment(setting: Setting, layers: int) -> WideOffsets:
    """State the second moment of W₁ᵀ…W_Lᵀ1 for wide offsets."""
    return WideOffsets(Expectation(stacked_gradients.stack(setting, layers)[PIXEL] ** 2), stacked_gradients.HALF_WIDTH)


def extended(label: str, quantity: Quantity) -> Result:
    """Return a result with one quantity of ours in place of its own, under its label."""
    return replace(results.get(label), quantities=(quantity,))


@dataclass(frozen=True)
class ResponseExperiment:
    """The mean of (Wᵀ1)² on a grid of N pixels; a row is drawn as in `folding.GrowthExperiment`.

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
        hits = folding.mean_square_hits(slope, 2 * math.pi * uniform[1], uniform[2], self.pixels)
        return hits.reshape(rows, _STRATA).mean(1)


def second_moments() -> Iterator[Any]:
    """Yield the second moments of both passes against the half-width of uniform offsets (A4, B1)."""
    given = {"offsets": "uniform"}
    values, simulated = grid(0.05, 1.55, 61), {"A4": grid(0.25, 1.25, 3), "B1": grid(0.05, 1.05, 3)}
    for dim in DIMS:
        for label, quantity in (("A4", "variance"), ("B1", "second moment")):
            yield curves.Curve(
                results.get(label), quantity, "a", values, simulated[label], "linear", dim, given, rtol=4e-3
            )


def tails() -> Iterator[Any]:
    """Yield the excess kurtosis of both passes against the half-width of uniform offsets (A5, B2)."""
    forward = extended("A5", Quantity(FORWARD_TAILS, forward_tails))
    values, simulated = grid(0.05, 3.05, 61), (0.1, 0.45, 0.95, 2.1)
    for dim in DIMS:
        yield curves.Curve(
            results.get("B2"), "excess kurtosis", "a", values, simulated, "linear", dim, rtol=1e-2, atol=1e-2
        )
        yield curves.Curve(forward, FORWARD_TAILS, "a", values, simulated, "linear", dim, rtol=1e-2, atol=5e-3)


def response_to_ones() -> Iterator[Any]:
    """Yield the variance of the response to ones, of both passes, against the spread of normal offsets (B3)."""
    forward = extended("B3", Quantity(FORWARD_ONES, forward_ones))
    for dim in DIMS:
        backward = results.get("B3"), "variance of the response to ones"
        yield curves.Curve(*backward, "s", grid(0.02, 2.0, 40), grid(0.02, 2.0, 8), "linear", dim, rtol=1e-2)
        yield curves.Curve(forward, FORWARD_ONES, "s", (0.02, 2.0), grid(0.25, 1.75, 4), "linear", dim, atol=1e-3)


def dead_inputs() -> Iterator[Any]:
    """Yield the share of dead inputs against the spread of normal offsets (B4)."""
    for kernel in ("linear", "nearest"):
        for dim in DIMS:
            values, simulated = grid(0.2, 2.4, 45), grid(0.4, 2.4, 6)
            yield curves.Curve(
                results.get("B4"), "share of dead inputs", "s", values, simulated, kernel, dim, rtol=2e-2
            )


def column_sums() -> Iterator[Any]:
    """Yield the expected largest column sum against the size of the grid (B5)."""
    sizes = tuple(float(2 ** (number / 2) // 1) for number in range(4, 29))
    simulated = tuple(float(2**number) for number in range(2, 15, 2))
    yield curves.Curve(results.get("B5"), "largest column sum", "N", sizes, simulated, "nearest", 1, rtol=5e-3)


def folds() -> Iterator[Any]:
    """Yield the probability of a fold and the mean number of preimages against the slopes (B7)."""
    for dim in (1, 2, 3):
        for quantity in ("fold probability", "preimages"):
            values, simulated = grid(0.16, 1.6, 49), grid(0.4, 1.6, 7)
            yield curves.Curve(results.get("B7"), quantity, "tau", values, simulated, "linear", dim, rtol=1e-2)


def jensen() -> Iterator[Any]:
    """Yield the gain of a diffeomorphism in both passes against its largest slope (B6)."""
    simulated = {1: grid(0.1, 0.9, 5), 2: grid(0.3, 0.8, 2)}
    for dim in DIMS:
        yield curves.Curve(
            results.get("B6"), "backward gain", "tau", grid(0.0, 0.9, 46), simulated[dim], "linear", dim, rtol=4e-3
        )
    yield curves.Curve(results.get("B6"), "forward gain", "tau", (0.0, 0.9), grid(0.1, 0.9, 5), "linear", 1, rtol=4e-3)


def growth() -> Iterator[Any]:
    """Yield how much the backward gain of Gaussian slopes grows per doubling of the resolution (B7)."""
    for tau in SLOPES:
        yield curves.Curve(results.get("B7"), GROWTH, "tau", (tau,), (tau,), "linear", 1, rtol=1e-2)


def responses(seed: int, device: str, thin: int) -> Iterator[dict[str, Any]]:
    """Yield the mean of (Wᵀ1)² on ever finer grids, which theory gives up to a constant (B7)."""
    for tau in SLOPES:
        curve = curves.Curve(results.get("B7"), RESPONSE, "N", given={"tau": tau})
        for power in range(3, 11)[::thin]:
            pixels = 2**power
            found = montecarlo.estimate(
                ResponseExperiment(pixels),
                {"tau": tau},
                rtol=2e-3,
                seed=seed,
                label=f"B7 {RESPONSE}, N={pixels}, tau={tau:g}",
                device=device,
            )
            simulated = {"theory": np.nan, "estimate": found.value, "stderr": found.stderr, "n": found.n}
            yield {**curve.row(float(pixels)), **simulated}


def stacked() -> Iterator[Any]:
    """Yield the second moment of ones sent back through some layers of wide offsets (B8)."""
    layers = tuple(float(number) for number in curves.LAYERS)
    name = "second moment after three layers, wide offsets"
    for dim in DIMS:
        yield curves.Layers(
            results.get("B8"), name, "L", layers, layers, "linear", dim, {}, 1e-2, stacked=stacked_moment
        )


def limits() -> Iterator[dict[str, Any]]:
    """Yield the limits of wide offsets, and the largest row sum, which no size of the grid changes."""
    yield curves.limit(results.get("B5"), "infinity norm", "N", "nearest", 1)
    for dim in DIMS:
        yield curves.limit(results.get("B2"), "excess kurtosis, wide offsets", "a", "linear", dim)
        yield curves.limit(results.get("B3"), "variance of the response to ones, wide offsets", "s", "linear", dim)
        for kernel in ("linear", "nearest"):
            yield curves.limit(results.get("B4"), "share of dead inputs, wide offsets", "s", kernel, dim)


def run(out: Path, seed: int = 0, device: str = "cpu", thin: int = 1) -> Path:
    """Compute and write the record; return its path.

    Args:
        out: folder of the record.
        seed: seed of every random number.
        device: torch device on which the operator runs.
        thin: keep every `thin`-th value of the parameters only.
    """
    montecarlo.check_device(device)
    parts = (second_moments, tails, response_to_ones, dead_inputs, column_sums, stacked, folds, jensen, growth)
    rows = [row for part in parts for curve in part() for row in curves.points(curve, seed, device, thin)]
    rows += [*responses(seed, device, thin), *limits()]
    path = records.output_folder(out) / "backward_asymmetry.parquet"
    written: Path = curves.write(path, rows, SCRIPT, seed, device, thin)
    return written


if __name__ == "__main__":
    run_as_script(run, __doc__)
