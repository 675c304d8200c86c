"""Largest float32 error of `warp` and of `grid_sample` against float64, over the width of the image.

Writes `operator_accuracy.parquet`: one row per width and operator, with the errors of the forward pass
and of both gradients of Σ y², relative to the largest true value.
"""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor

from warptheory import warping
from warptheory.core import records
from warptheory.paper.benchmarks.warp import grid_sample
from warptheory.paper.entries import Analysis, Cost, DocumentTable, Plot, RunSettings, Section
from warptheory.report import Columns, house_style, markdown_table, table_rows
from warptheory.report.style import BLUE, VERMILION

RECORD = "operator_accuracy.parquet"
WIDTHS = (32, 128, 512, 1024, 2048, 8192)
HEIGHT = 16
SPREAD = 3.0  # pixels
# The gradient in the offsets jumps at knots, and an operator that rounds positions falls on their wrong
# side now and then; offsets this far from knots compare rounding alone.
CLEARANCE = 0.05

Sampling = Callable[[Tensor, Tensor], Tensor]


def run(settings: RunSettings) -> Path:
    """Compute and write the record; return its path."""
    seed, device = settings.seed, settings.device
    operators: dict[str, Sampling] = {"warp": warping.warp, "grid_sample": grid_sample}
    rows = []
    for width in WIDTHS:
        x, offsets = _inputs(width, seed, device)
        truth = _passes(warping.warp, x.double(), offsets.double())
        for name, operator in operators.items():
            found = _passes(operator, x, offsets)
            errors = {
                quantity: float((found[quantity] - truth[quantity]).abs().max() / truth[quantity].abs().max())
                for quantity in truth
            }
            rows.append({"width": width, "operator": name, **errors, "seed": seed})
    path = records.output_folder(settings.out) / RECORD
    chosen = {"height_px": HEIGHT, "spread_px": SPREAD, "clearance_px": CLEARANCE, "dtype": "float32"}
    records.write_table(path, pd.DataFrame(rows), records.Manifest(__name__, seed, device, chosen))
    return path


def _inputs(width: int, seed: int, device: str) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(1, 4, HEIGHT, width, generator=generator)
    offsets = SPREAD * torch.randn(1, 2, HEIGHT, width, generator=generator)
    fraction = offsets - offsets.floor()
    return x.to(device), (offsets.floor() + fraction.clamp(CLEARANCE, 1 - CLEARANCE)).to(device)


def _passes(operator: Sampling, x: Tensor, offsets: Tensor) -> dict[str, Tensor]:
    x, offsets = (values.detach().clone().requires_grad_() for values in (x, offsets))
    y = operator(x, offsets)
    image_gradient, offset_gradient = torch.autograd.grad(y.square().sum(), (x, offsets))
    found = {"forward": y.detach(), "image_gradient": image_gradient, "offset_gradient": offset_gradient}
    return {name: values.double() for name, values in found.items()}


def plot_accuracy(accuracy: pd.DataFrame) -> Figure:
    """Draw the largest float32 error over the width of the image, for ours and torch's operator.

    Args:
        accuracy: the record.
    """
    styles = {"warp": (BLUE, "o", "warp"), "grid_sample": (VERMILION, "s", "grid_sample")}
    lines = {"forward": "-", "image_gradient": "--", "offset_gradient": ":"}
    with house_style():
        figure = Figure(figsize=(4.6, 3.3), layout="constrained")
        axes = figure.subplots()
        for operator, rows in accuracy.groupby("operator", sort=False):
            colour, marker, name = styles[str(operator)]
            for quantity, line in lines.items():
                label = f"{name}, {quantity.replace('_', ' ')}"
                axes.loglog(rows["width"], rows[quantity], line, color=colour, marker=marker, markersize=4, label=label)
        axes.set_xscale("log", base=2)
        axes.set_xticks(accuracy["width"].unique(), [str(width) for width in accuracy["width"].unique()])
        axes.set(xlabel="width of the image (pixels)", ylabel="largest float32 error / largest value")
        axes.set_ylim(top=3)
        axes.legend(ncols=2, fontsize=6.5, loc="upper left")
    return figure


def accuracy_table(accuracy: pd.DataFrame) -> str:
    """Return a Markdown table of the largest float32 errors over the width of the image."""
    columns: Columns = {
        "width": "{width}",
        "operator": "`{operator}`",
        "forward": "{forward:.1e}",
        "image gradient": "{image_gradient:.1e}",
        "offset gradient": "{offset_gradient:.1e}",
    }
    footer = f"Largest float32 error against float64, relative to the largest value (seed {accuracy['seed'].iloc[0]})."
    return markdown_table(table_rows(accuracy), columns, footer)


ANALYSIS = Analysis(
    run=run,
    writes=(RECORD,),
    cost=Cost(quick=4, full=4),
    section=Section(
        title="Accuracy of the operator",
        order=92,
        parts=(
            Plot(
                plot_accuracy,
                (RECORD,),
                alt="Accuracy of warp and grid_sample in float32",
                caption="""Largest float32 error against float64, offsets in pixels against a normalised grid: positions
in pixels lose nothing on wide images.""",
            ),
        ),
    ),
    tables=(DocumentTable("accuracy", accuracy_table, (RECORD,)),),
)
