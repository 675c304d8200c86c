"""Discretization errors of photographs, measured and predicted."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from warptheory import warping
from warptheory.paper.analyses._photographs import (
    BOUNDARY,
    EDGES,
    GRADIENT,
    LEFT,
    MARGIN,
    PATCH,
    RIGHT,
    WHOLE,
    PhotographRegion,
    PhotographSource,
    inside,
    on,
    weights,
)


def errors(
    windows: Float[ndarray, "C H W"],
    gradients: Float[ndarray, "C 2 P Q"],
    kernel: str,
    quantity: str,
    step: int,
    device: str = "cpu",
) -> Float[ndarray, "C parts P Q"]:
    """Return how far the grid of every `step`-th pixel, moved to all pixels inside the margin, misses the photograph.

    Args:
        windows: the photographs (C, H, W); all share the offsets, so that weights are computed once.
        gradients: the true derivatives along both axes inside the margin, per pixel of the photographs.
        kernel: name of the kernel.
        quantity: "value", or "gradient", with a part for each axis, per pixel of the grid.
        step: q, a divisor of H and W.
        device: torch device of the operator.
    """
    grid = on(device, windows[None, :, ::step, ::step])
    pixels = [torch.arange(n - 2 * MARGIN, dtype=grid.dtype, device=device) for n in windows.shape[1:]]
    offsets = torch.stack(torch.meshgrid(*[(MARGIN + p) / step - p for p in pixels], indexing="ij"))[None]
    if quantity != GRADIENT:
        return cast(
            "ndarray", (warping.warp(grid, offsets, kernel, BOUNDARY)[0].cpu().numpy() - inside(windows))[:, None]
        )
    return cast("ndarray", warping.warp_gradient(grid, offsets, kernel, BOUNDARY)[0].cpu().numpy() - step * gradients)


def between_blocks(squares: Float[ndarray, "H W"]) -> float:
    """Return the standard error of the mean of (H, W) values between blocks of about a patch, a scalar."""
    rows, columns = (max(2, round(n / PATCH)) for n in squares.shape)
    means = [b.mean() for row in np.array_split(squares, rows) for b in np.array_split(row, columns, axis=1)]
    return float(np.std(means, ddof=1) / math.sqrt(len(means)))


def excess_kurtosis(values: ndarray) -> float:
    """Return E(v − Ev)⁴/(Var v)² − 3 over all values, a scalar."""
    squares = np.square(values - values.mean())
    return float(np.square(squares).mean() / squares.mean() ** 2 - 3)


@dataclass(frozen=True)
class ErrorRow:
    """One error, predicted and measured.

    Attributes:
        image: name of the photograph.
        field: "photograph", or "Gaussian" for a field drawn with its spectrum.
        kernel: name of the kernel.
        quantity: "value", or "gradient", the mean of both axes.
        step: q.
        region: where the error is measured.
        spectrum: "own" for that of the region, "other half" for that of the rest of the window.
        predicted: mean squared error by the spectrum, at the phases and with the truth of the measurement.
        predicted_stderr: its standard error between patches.
        predicted_all_phases: the same for all phases, as in D4, resp. with the derivative iω, as in D5.
        measured: mean squared error of the operator.
        measured_stderr: its standard error between blocks.
        variance: of the truth: Var x, resp. the mean square of ∂x.
        edge_pixels: share of the pixels, those with the largest gradient, that are called edges.
        edge_share: share of the squared error at edges.
        edge_ratio: mean squared error there, over the prediction.
        excess_kurtosis: of the error.
        seed: of the Gaussian field.
    """

    image: str
    field: str
    kernel: str
    quantity: str
    step: int
    region: str
    spectrum: str
    predicted: float
    predicted_stderr: float
    predicted_all_phases: float
    measured: float
    measured_stderr: float
    variance: float
    edge_pixels: float
    edge_share: float
    edge_ratio: float
    excess_kurtosis: float
    seed: int


def error_rows(
    sources: Sequence[PhotographSource], kernel: str, quantity: str, step: int, seed: int, device: str = "cpu"
) -> Iterator[ErrorRow]:
    """Yield the errors of one kernel in all regions of all sources."""
    windows, gradients = np.stack([s.window for s in sources]), np.stack([s.gradient for s in sources])
    found = errors(windows, gradients, kernel, quantity, step, device)
    for source, error in zip(sources, found, strict=True):
        pairs = [(WHOLE, WHOLE), (LEFT, RIGHT), (RIGHT, LEFT)] if source.field == "photograph" else [(WHOLE, WHOLE)]
        for region, known in pairs:
            yield error_row(source, error, region, known, (kernel, quantity, step, seed))


def error_row(
    source: PhotographSource,
    error: Float[ndarray, "P H W"],
    region: PhotographRegion,
    known: PhotographRegion,
    what: tuple[str, str, int, int],
) -> ErrorRow:
    """Compare the error (P, H, W) in a region with the prediction from the spectrum of a region."""
    kernel, quantity, step, seed = what
    here, at_edges, band = region.cut(error), source.at_edges[region.name], source.bands[known.name]
    squares = np.square(here).mean(0)
    predicted, predicted_stderr = band.predict(weights(kernel, quantity, step, False))
    slopes = float(np.square(step * region.cut(source.gradient)).mean())
    return ErrorRow(
        image=source.image,
        field=source.field,
        kernel=kernel,
        quantity=quantity,
        step=step,
        region=region.name,
        spectrum="own" if region == known else "other half",
        predicted=predicted,
        predicted_stderr=predicted_stderr,
        predicted_all_phases=float(band.density @ weights(kernel, quantity, step, True)),
        measured=float(squares.mean()),
        measured_stderr=between_blocks(squares),
        variance=slopes if quantity == GRADIENT else float(region.cut(inside(source.window)).var()),
        edge_pixels=EDGES,
        edge_share=float(squares[at_edges].sum() / squares.sum()),
        edge_ratio=float(squares[at_edges].mean()) / predicted,
        excess_kurtosis=excess_kurtosis(here),
        seed=seed,
    )
