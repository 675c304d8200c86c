"""Time `warp` against `F.grid_sample` with the grid that it needs from the same offsets.

Both run in turn in one process; the ratio of each round is taken, and medians over the rounds are
written to `benchmarks/results/`. A ratio above one means that ours is faster.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

import warptheory as wt
from warptheory.core import records

SHAPES = ((8, 64, 32, 32), (8, 16, 32, 32), (4, 64, 128, 128), (1, 3, 1024, 1024), (1, 1, 16, 16))
SPREAD = 3.0  # pixels


def grid_sample(x: Tensor, offsets: Tensor) -> Tensor:
    """Sample x (B, C, H, W) at offsets (B, 2, H, W) by torch: (B, C, H, W)."""
    height, width = x.shape[2:]
    rows = torch.arange(height, dtype=x.dtype, device=x.device)[:, None] + offsets[:, 0]
    columns = torch.arange(width, dtype=x.dtype, device=x.device) + offsets[:, 1]
    grid = torch.stack([(2 * columns + 1) / width - 1, (2 * rows + 1) / height - 1], dim=-1)
    return functional.grid_sample(x, grid, align_corners=False)


def seconds(operator: Callable[[Tensor, Tensor], Tensor], x: Tensor, offsets: Tensor, *, backward: bool) -> float:
    """Time one call, with both gradients if `backward`."""
    start = time.perf_counter()
    y = operator(x, offsets)
    if backward:
        torch.autograd.grad(y.sum(), (x, offsets))
    if x.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def compare(shape: tuple[int, ...], rounds: int, device: str) -> list[dict[str, object]]:
    """Time one shape, forward and with both gradients."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator).to(device).requires_grad_()
    offsets = (SPREAD * torch.randn(shape[0], 2, *shape[2:], generator=generator)).to(device).requires_grad_()
    rows: list[dict[str, object]] = []
    for backward in (False, True):
        pairs = [
            (seconds(grid_sample, x, offsets, backward=backward), seconds(wt.warp, x, offsets, backward=backward))
            for _ in range(rounds + 2)
        ][2:]  # the first two rounds warm caches up
        rows.append(
            {
                "shape": shape,
                "pass": "forward and both gradients" if backward else "forward",
                "grid_sample_over_warp": statistics.median(peer / ours for peer, ours in pairs),
                "warp_median_seconds": statistics.median(ours for _, ours in pairs),
                "rounds": rounds,
            }
        )
    return rows


def main() -> None:
    """Time every shape and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    rows = [row for shape in SHAPES for row in compare(shape, arguments.rounds, arguments.device)]
    settings = {"threads": torch.get_num_threads(), "dtype": "float32", "spread_px": SPREAD, "backend": "reference"}
    manifest = records.Manifest("benchmarks/warp.py", 0, arguments.device, settings)
    path = records.output_folder(arguments.out) / f"warp_{arguments.device.partition(':')[0]}.json"
    records.write_json(path, {**asdict(manifest), "results": rows})
    for row in rows:
        print(f"{row['shape']!s:22} {row['pass']:28} grid_sample / warp = {row['grid_sample_over_warp']:.2f}")


if __name__ == "__main__":
    main()
