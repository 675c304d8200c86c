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
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from markupsafe import Markup
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional

from warptheory import warping
from warptheory.core import records
from warptheory.core.allocator import keep_freed_memory
from warptheory.core.device import device_name
from warptheory.paper.entries import Benchmark, Cost, DocumentTable, ReportPassage, RunSettings, Section
from warptheory.paper.timings import Spread, seconds, write_timings
from warptheory.report import Columns, fragment, house_style, html_table, markdown_table, shown_figure
from warptheory.report.panels import mark
from warptheory.report.style import BLUE, GREY, ORANGE

TRAINING_SHAPES = ((8, 64, 32, 32), (8, 16, 32, 32), (128, 16, 32, 32), (4, 64, 128, 128))
GPU_SHAPES = ((64, 64, 56, 56), (16, 256, 28, 28), (8, 64, 256, 256))
OTHER_SHAPES = ((1, 1, 16, 16), (1, 3, 1024, 1024))
SPREAD = 3.0  # pixels
WAVELENGTH = 16  # pixels between independent values of the smooth offsets
ROUNDS = {"quick": 3, "full": 9}
WARM_UP = 2
# Calls of a sample last at least this long together, so that the clock's resolution does not matter.
SAMPLE_SECONDS = 2e-3
BUSY_SAMPLE_SECONDS = 0.05  # many turns of the scheduler, which are some milliseconds each
_PASSES = ("forward", "forward and both gradients")
LAYOUTS = {"channels-last": torch.channels_last, "contiguous": torch.contiguous_format}


def grid_sample(x: Tensor, offsets: Tensor, mode: str = "bilinear", padding_mode: str = "zeros") -> Tensor:
    """Sample x (B, C, H, W) at offsets (B, 2, H, W) by torch, in torch's words for kernel and boundary."""
    height, width = x.shape[2:]
    rows = torch.arange(height, dtype=x.dtype, device=x.device)[:, None] + offsets[:, 0]
    columns = torch.arange(width, dtype=x.dtype, device=x.device) + offsets[:, 1]
    grid = torch.stack([(2 * columns + 1) / width - 1, (2 * rows + 1) / height - 1], dim=-1)
    return functional.grid_sample(x, grid, mode=mode, padding_mode=padding_mode, align_corners=False)


@dataclass(frozen=True)
class WarpCase:
    """Tensors of one comparison."""

    x: Tensor
    offsets: Tensor
    g: Tensor

    @classmethod
    def draw(cls, shape: tuple[int, ...], kind: str, layout: str, seed: int, device: str) -> "WarpCase":
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
        """Call an operator on x (B, C, H, W) and its offsets, and take both gradients if `backward`."""
        if not backward:
            with torch.no_grad():
                operator(self.x, self.offsets)
            return
        torch.autograd.grad(operator(self.x, self.offsets), (self.x, self.offsets), self.g)

    def copy(self) -> None:
        """Copy the image."""
        self.x.detach().clone(memory_format=torch.preserve_format)


def compare(
    case: WarpCase, *, backward: bool, rounds: int, device: str, at_least: float = SAMPLE_SECONDS
) -> dict[str, float]:
    """Time peer, ours and a copy in turn, each for so many seconds at a time; return medians over the rounds."""
    calls = {
        "peer": lambda: case.run(grid_sample, backward=backward),
        "ours": lambda: case.run(warping.warp, backward=backward),
        "copy": case.copy,
    }
    warm_up = min(WARM_UP, rounds)
    fastest = {name: min(seconds(call, device=device) for _ in range(warm_up + 1)) for name, call in calls.items()}
    repeats = {name: 1 + int(at_least / fastest[name]) for name in calls}
    samples = [
        {name: seconds(call, repeats[name], device) for name, call in calls.items()} for _ in range(rounds + warm_up)
    ][warm_up:]
    found = {
        **Spread.of([sample["peer"] / sample["ours"] for sample in samples]).named("ratio"),
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


def run(settings: RunSettings, shapes: Sequence[tuple[int, int, int, int]] | None = None) -> Path:
    """Time every case, or those of some shapes, and write `warp_<device>.json`; return its path."""
    seed, device, rounds = settings.seed, settings.device, settings.rounds or ROUNDS[settings.profile]
    keep_freed_memory()
    training = (TRAINING_SHAPES if device == "cpu" else GPU_SHAPES)[:: settings.thin]
    most = torch.get_num_threads()
    counts = sorted({1, most}) if device == "cpu" else [most]
    kinds, passes = ("smooth", "iid"), (False, True)
    cases = list(
        itertools.product([0], counts, shapes or (*training, *OTHER_SHAPES[:: settings.thin]), LAYOUTS, kinds, passes)
    )
    if device == "cpu":
        # Calls of large shapes take minutes beside others.
        beside_others = training if settings.profile == "full" else training[:2]
        cases += itertools.product([most], [most], shapes or beside_others, LAYOUTS, kinds, passes)
    rows: list[dict[str, object]] = []
    for number, (beside, threads, shape, layout, kind, backward) in enumerate(cases):
        settings.on_progress(number / len(cases), f"{shape}, {threads} threads")
        with _threads(threads), _busy_processes(beside):
            case = WarpCase.draw(shape, kind, layout, seed, device)
            at_least = BUSY_SAMPLE_SECONDS if beside else SAMPLE_SECONDS
            found = compare(case, backward=backward, rounds=rounds, device=device, at_least=at_least)
        setting = {"shape": shape, "layout": layout, "offsets": kind, "threads": threads, "busy_processes": beside}
        rows.append({**setting, "pass": _PASSES[backward], **found})
    chosen = {
        "dtype": "float32",
        "rounds": rounds,
        "spread_px": SPREAD,
        "wavelength_px": WAVELENGTH,
        "backend": warping.backend(torch.zeros(1, 1, 4, 4, device=device)).name,
        "device_name": device_name(device),
        "training_shapes": training,
    }
    return write_timings(settings, __name__, chosen, {"results": rows})


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


def speed_table(benchmark: dict[str, Any]) -> str:
    """Return a Markdown table of geometric means over shapes and offsets, and of the slowest case."""
    settings, rows = benchmark["settings"], pd.DataFrame(benchmark["results"])
    rows["shape"] = rows["shape"].map(tuple)
    rows["busy"] = rows.get("busy_processes", 0)
    training = [tuple(shape) for shape in settings["training_shapes"]]
    others = [[shape] for shape in rows["shape"].drop_duplicates() if shape not in training]
    lines: list[dict[str, object]] = []
    for chosen in (training, *others):
        groups = rows[rows["shape"].isin(chosen)].groupby(["busy", "threads", "layout"], sort=True)
        for (busy, threads, layout), group in groups:
            count = group["shape"].nunique()
            name = f"{count} training shapes" if chosen is training else "×".join(map(str, chosen[0]))
            beside = f", {busy} busy processes beside" if busy else ""
            cells = {passes: _ratios(group[group["pass"] == passes]) for passes in _PASSES}
            lines.append({"images": f"{name}{beside}", "threads": threads, "layout": layout, **cells})
    listed = ", ".join("×".join(map(str, shape)) for shape in settings["training_shapes"])
    footer = (
        f"Time of `F.grid_sample` with its grid over that of `warp`, {settings['dtype']}: geometric mean over shapes "
        f"and smooth and iid offsets of {settings['spread_px']:g} pixels, in brackets the slowest case; medians of "
        f"{settings['rounds']} interleaved rounds on {settings['device_name']} ({benchmark['machine']}), "
        f"torch {benchmark['versions']['torch']}. Training shapes: {listed}."
    )
    return markdown_table(lines, {head: f"{{{head}}}" for head in ("images", "threads", "layout", *_PASSES)}, footer)


def _ratios(rows: pd.DataFrame) -> str:
    return f"{np.exp(np.log(rows['ratio']).mean()):.1f} ({rows['ratio'].min():.1f})"


def plot_speed(timings: pd.DataFrame) -> Figure:
    """Draw how many times faster `warp` is than `grid_sample` with its grid, for every case.

    Args:
        timings: the rows of the record.
    """
    passes = dict(zip(_PASSES, "os", strict=True))
    layouts = {"channels-last": BLUE, "contiguous": ORANGE}
    is_alone = timings.get("busy_processes", 0) == 0
    timings = timings[(timings["threads"] == timings["threads"].max()) & is_alone]
    names = timings["shape"].map(lambda shape: "×".join(map(str, shape))) + ", " + timings["offsets"]
    order = list(dict.fromkeys(names))
    with house_style():
        figure = Figure(figsize=(7.2, 0.9 + 0.26 * len(order)), layout="constrained")
        axes = figure.subplots()
        for (passed, marker), (layout, colour) in itertools.product(passes.items(), layouts.items()):
            chosen = (timings["pass"] == passed) & (timings["layout"] == layout)
            rows = timings[chosen]
            shift = {"channels-last": -0.12, "contiguous": 0.12}[layout]
            axes.errorbar(
                rows["ratio"],
                [order.index(name) + shift for name in names[chosen]],
                xerr=[rows["ratio"] - rows["ratio_lowest"], rows["ratio_highest"] - rows["ratio"]],
                fmt=marker,
                color=colour,
                markerfacecolor=colour if passed == "forward" else "white",
                markersize=4.5,
                linewidth=0.8,
                label=f"{passed}, {layout}",
            )
        axes.axvline(1, color=GREY, linewidth=0.8)
        axes.set_xscale("log")
        mark(axes.xaxis, 1, 2, 3, 5, 10, 20)
        axes.set_yticks(range(len(order)), order, fontsize=8)
        axes.set_ylim(len(order) - 0.4, -0.6)
        axes.set_xlabel("time of grid_sample with its grid / time of warp (bars: range over the rounds)")
        figure.legend(loc="outside upper center", ncols=2, fontsize=8)
    return figure


def comparison(benchmark: dict[str, Any]) -> Markup:
    """Return the plot of all cases and a table of them, as HTML."""
    caption = fragment(
        """Backend {{ settings.backend }}, {{ settings.dtype }}, {{ settings.device_name }} ({{ machine }}),
{{ results | map(attribute='threads') | max }} threads; medians of {{ settings.rounds }} interleaved rounds, seed
{{ seed }}; offsets of {{ settings.spread_px }} pixels' spread, smooth (independent every {{ settings.wavelength_px }}
pixels) or independent.""",
        **benchmark,
    )
    plot = shown_figure(
        plot_speed(pd.DataFrame(benchmark["results"])), "Speed of warp relative to grid_sample", caption
    )
    columns: Columns = {
        "shape": lambda row: "×".join(map(str, row["shape"])),
        "layout": "{layout}",
        "offsets": "{offsets}",
        "threads": "{threads}",
        "pass": "{pass}",
        "grid_sample / warp": "{ratio:.2f}",
        "lowest": "{ratio_lowest:.2f}",
        "highest": "{ratio_highest:.2f}",
        "of copy bandwidth": lambda row: f"{row['share_of_copy_bandwidth']:.0%}" if row["pass"] == "forward" else "",
    }
    timings = html_table(benchmark["results"], columns, text=("layout", "offsets", "pass"))
    return plot + fragment(
        """<details><summary>{{ count }} timings, one by one</summary>
{{ timings }}
</details>""",
        count=len(benchmark["results"]),
        timings=timings,
    )


def finding(benchmark: dict[str, Any]) -> Markup:
    """Return what was found, in a sentence."""
    timings = pd.DataFrame(benchmark["results"])
    ratios = timings[timings["busy_processes"] == 0].groupby("pass")["ratio"].median()
    return fragment(
        """torch's grid_sample with its grid takes
{%- for name, ratio in ratios %} {{ "%.1f" | format(ratio) }} times as long as the operator {{ name }}
{{- " and" if not loop.last }}{% endfor %} on {{ device }} (medians over the timed cases).""",
        device=benchmark["settings"]["device_name"],
        ratios=list(ratios.items()),
    )


RECORD = "warp_*.json"

BENCHMARK = Benchmark(
    run=run,
    summary=summary,
    writes=(RECORD,),
    cost=Cost(quick=25, full=75),
    section=Section(
        title="The operator",
        order=90,
        finding=ReportPassage(finding, (RECORD,)),
        parts=(
            """Every number on this page was computed by the same function that networks train with. It is compared
here with torch's <code>F.grid_sample</code>, which needs a normalised grid; building the grid from the offsets is part
of its time.""",
            ReportPassage(comparison, (RECORD,)),
        ),
    ),
    tables=(DocumentTable("speed", speed_table, (RECORD,)),),
)
