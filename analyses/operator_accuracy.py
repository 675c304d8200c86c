"""Largest float32 error of `warp` and of `grid_sample` against float64, over the width of the image.

Writes `operator_accuracy.parquet`: one row per width and operator, with the errors of the forward pass
and of both gradients of Σ y², relative to the largest true value.
"""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

import warptheory as wt
from warptheory.core import records
from warptheory.core.analysis import run_as_script
from warptheory.core.checkout import load_script

WIDTHS = (32, 128, 512, 1024, 2048, 8192)
HEIGHT = 16
SPREAD = 3.0  # pixels
# The gradient in the offsets jumps at knots, and an operator that rounds positions falls on their wrong
# side now and then; offsets this far from knots compare rounding alone.
CLEARANCE = 0.05

Operator = Callable[[Tensor, Tensor], Tensor]


def run(out: Path, seed: int = 0, device: str = "cpu") -> Path:
    """Compute and write the record; return its path."""
    peer = load_script("benchmarks", "warp", "benchmark").grid_sample
    operators: dict[str, Operator] = {"warp": wt.warp, "grid_sample": peer}
    rows = []
    for width in WIDTHS:
        x, offsets = _inputs(width, seed, device)
        truth = _passes(wt.warp, x.double(), offsets.double())
        for name, operator in operators.items():
            found = _passes(operator, x, offsets)
            errors = {
                quantity: float((found[quantity] - truth[quantity]).abs().max() / truth[quantity].abs().max())
                for quantity in truth
            }
            rows.append({"width": width, "operator": name, **errors, "seed": seed})
    path = records.output_folder(out) / "operator_accuracy.parquet"
    settings = {"height_px": HEIGHT, "spread_px": SPREAD, "clearance_px": CLEARANCE, "dtype": "float32"}
    records.write_table(
        path, pd.DataFrame(rows), records.Manifest("analyses/operator_accuracy.py", seed, device, settings)
    )
    return path


def _inputs(width: int, seed: int, device: str) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(1, 4, HEIGHT, width, generator=generator)
    offsets = SPREAD * torch.randn(1, 2, HEIGHT, width, generator=generator)
    fraction = offsets - offsets.floor()
    return x.to(device), (offsets.floor() + fraction.clamp(CLEARANCE, 1 - CLEARANCE)).to(device)


def _passes(operator: Operator, x: Tensor, offsets: Tensor) -> dict[str, Tensor]:
    x, offsets = (values.detach().clone().requires_grad_() for values in (x, offsets))
    y = operator(x, offsets)
    image_gradient, offset_gradient = torch.autograd.grad(y.square().sum(), (x, offsets))
    found = {"forward": y.detach(), "image_gradient": image_gradient, "offset_gradient": offset_gradient}
    return {name: values.double() for name, values in found.items()}


if __name__ == "__main__":
    run_as_script(run, __doc__)
