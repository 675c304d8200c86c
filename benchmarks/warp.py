"""Time `warp` against `F.grid_sample` with the grid that it needs from the same offsets.

Both run in turn in one process, on the same tensors in the same memory layout. The ratio of each round
is taken, and medians over the rounds are written as JSON; a ratio above one means that ours is faster.
The forward pass is also compared with a copy: the share of the copy's bandwidth at which the least
traffic, reading image and offsets once and writing the result, was moved.

On the CPU, training shapes are also timed beside as many busy processes as there are threads, as when data are loaded
or others use the machine: threads that have to wait for their turn cost more than they save.
"""

import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

import warptheory as wt
from warptheory.core import records
from warptheory.core.allocator import keep_freed_memory
from warptheory.core.benchmark import run_benchmark_as_script
from warptheory.core.device import device_name

TRAINING_SHAPES = ((8, 64, 32, 32), (8, 16, 32, 32), (128, 16, 32, 32), (4, 64, 128, 128))
GPU_SHAPES = ((64, 64, 56, 56), (16, 256, 28, 28), (8, 64, 256, 256))
OTHER_SHAPES = ((1, 3, 1024, 1024), (1, 1, 16, 16))
SPREAD = 3.0  # pixels
WAVELENGTH = 16  # pixels between independent values of the smooth offsets
ROUNDS = 9
WARM_UP = 2
# Calls of a sample last at least this long together, so that the clock's resolution does not matter.
SAMPLE_SECONDS = 2e-3
BUSY_SAMPLE_SECONDS = 0.05  # many turns of the scheduler, which are some milliseconds each
LAYOUTS = {"channels-last": torch.channels_last, "contiguous": torch.contiguous_format}


def grid_sample(x: Tensor, offsets: Tensor, mode: str = "bilinear", padding_mode: str = "zeros") -> Tensor:
    """Sample x (B, C, H, W) at offsets (B, 2, H, W) by torch, in torch's words for kernel and boundary."""
    height, width = x.shape[2:]
    rows = torch.arange(height, dtype=x.dtype, device=x.device)[:, None] + offsets[:, 0]
    columns = torch.arange(width, dtype=x.dtype, device=x.device) + offsets[:, 1]
    grid = torch.stack([(2 * columns + 1) / width - 1, (2 * rows + 1) / height - 1], dim=-1)
    return functional.grid_sample(x, grid, mode=mode, padding_mode=padding_mode, align_corners=False)


@dataclass(frozen=True)
class Case:
    """Tensors of one comparison."""

    x: Tensor
    offsets: Tensor
    g: Tensor

    @classmethod
    def draw(cls, shape: tuple[int, ...], kind: str, layout: str, seed: int, device: str) -> "Case":
        """Draw an image, offsets and an output gradient."""
        generator = torch.Generator().manual_seed(seed)
        batch, _, height, width = shape
        x, g = (torch.randn(shape, generator=generator) for _ in range(2))
        coarse = (height, width) if kind == "iid" else (max(height // WAVELENGTH, 2), max(width // WAVELENGTH, 2))
        offsets = SPREAD * torch.randn(batch, 2, *coarse, generator=generator)
        offsets = functional.interpolate(offsets, size=(height, width), mode="bilinear", align_corners=False)
        x, g = (values.to(device).contiguous(memory_format=LAYOUTS[layout]) for values in (x, g))
        return cls(x.requires_grad_(), offsets.to(device).requires_grad_(), g)

    def run(self, operator: Callable[[Tensor, Tensor], Tensor], *, backward: bool) -> None:
        """Call an operator, and take both gradients if `backward`."""
        if not backward:
            with torch.no_grad():
                operator(self.x, self.offsets)
            return
        torch.autograd.grad(operator(self.x, self.offsets), (self.x, self.offsets), self.g)

    def copy(self) -> None:
        """Copy the image."""
        self.x.detach().clone(memory_format=torch.preserve_format)


def seconds(call: Callable[[], None], repeats: int, device: str) -> float:
    """Return the seconds of one call, over several."""
    _wait(device)
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    _wait(device)
    return (time.perf_counter() - start) / repeats


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def compare(
    case: Case, *, backward: bool, rounds: int, device: str, at_least: float = SAMPLE_SECONDS
) -> dict[str, float]:
    """Time peer, ours and a copy in turn, each for so many seconds at a time; return medians over the rounds."""
    calls = {
        "peer": lambda: case.run(grid_sample, backward=backward),
        "ours": lambda: case.run(wt.warp, backward=backward),
        "copy": case.copy,
    }
    fastest = {name: min(seconds(call, 1, device) for _ in range(WARM_UP + 1)) for name, call in calls.items()}
    repeats = {name: 1 + int(at_least / fastest[name]) for name in calls}
    samples = [
        {name: seconds(call, repeats[name], device) for name, call in calls.items()} for _ in range(rounds + WARM_UP)
    ][WARM_UP:]
    ratios = [sample["peer"] / sample["ours"] for sample in samples]
    found = {
        "ratio": statistics.median(ratios),
        "ratio_lowest": min(ratios),
        "ratio_highest": max(ratios),
        **{f"{name}_seconds": statistics.median(sample[name] for sample in samples) for name in calls},
    }
    if not backward:
        least = 2 * case.x.nbytes + case.offsets.nbytes
        found["share_of_copy_bandwidth"] = least / found["ours_seconds"] / (2 * case.x.nbytes / found["copy_seconds"])
    return found


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _busy_processes(count: int) -> Iterator[None]:
    """Keep so many processors busy with other work."""
    with ExitStack() as stack:
        for _ in range(count):
            process = stack.enter_context(subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"]))
            stack.callback(process.kill)
        yield


def run(
    out: Path,
    seed: int = 0,
    device: str = "cpu",
    rounds: int = ROUNDS,
    on_progress: Callable[[float, str], None] | None = None,
    shapes: Sequence[tuple[int, int, int, int]] | None = None,
) -> Path:
    """Time every case, or those of some shapes, and write `warp_<device>.json`; return its path."""
    keep_freed_memory()
    training = TRAINING_SHAPES if device == "cpu" else GPU_SHAPES
    most = torch.get_num_threads()
    counts = sorted({1, most}) if device == "cpu" else [most]
    kinds, passes = ("smooth", "iid"), (False, True)
    cases = list(itertools.product([0], counts, shapes or (*training, *OTHER_SHAPES), LAYOUTS, kinds, passes))
    if device == "cpu":
        cases += itertools.product([most], [most], shapes or training, LAYOUTS, kinds, passes)
    rows: list[dict[str, object]] = []
    for number, (beside, threads, shape, layout, kind, backward) in enumerate(cases):
        if on_progress is not None:
            on_progress(number / len(cases), f"{shape}, {threads} threads")
        with _threads(threads), _busy_processes(beside):
            case = Case.draw(shape, kind, layout, seed, device)
            at_least = BUSY_SAMPLE_SECONDS if beside else SAMPLE_SECONDS
            found = compare(case, backward=backward, rounds=rounds, device=device, at_least=at_least)
        setting = {"shape": shape, "layout": layout, "offsets": kind, "threads": threads, "busy_processes": beside}
        rows.append({**setting, "pass": "forward and both gradients" if backward else "forward", **found})
    settings = {
        "dtype": "float32",
        "rounds": rounds,
        "spread_px": SPREAD,
        "wavelength_px": WAVELENGTH,
        "backend": wt.warping.backend(torch.zeros(1, 1, 4, 4, device=device)).name,
        "device_name": device_name(device),
        "training_shapes": training,
    }
    manifest = records.Manifest("benchmarks/warp.py", seed, device, settings)
    path = records.output_folder(out) / f"warp_{device.partition(':')[0]}.json"
    records.write_json(path, {**asdict(manifest), "results": rows})
    return path


def summary(path: Path) -> str:
    """Return a record of `run` as a table for the terminal."""
    titles = f"{'shape':20}{'layout':>14}{'offsets':>8}{'threads':>8}{'busy':>6}  {'pass':28}{'ratio':>7}"
    lines = [f"{titles}   grid_sample / warp"]
    for row in records.read_json(path)["results"]:
        shape = "×".join(map(str, row["shape"]))
        setting = f"{shape:20}{row['layout']:>14}{row['offsets']:>8}{row['threads']:>8}"
        setting += f"{row.get('busy_processes', 0):>6}"
        spread = f"({row['ratio_lowest']:.2f} … {row['ratio_highest']:.2f})"
        lines.append(f"{setting}  {row['pass']:28}{row['ratio']:>7.2f}   {spread}")
    return "\n".join(lines)


if __name__ == "__main__":
    run_benchmark_as_script(run, summary, __doc__, ROUNDS, Path(__file__).parent / "results")
