"""Time operators against their originals, or against what they are without this library.

Ours and the peer run in turn in one process, on the same tensors; the ratio of each round is taken, and medians over
the rounds are written as JSON: above one, ours is faster. A call is the forward pass and all gradients. The memory
that a call needs at its peak, beyond what it was given, is measured in a process of its own for each.
"""

import itertools
import logging
import math
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from markupsafe import Markup
from torch import Tensor
from torch.nn import functional

from warptheory import operators
from warptheory.core import records
from warptheory.core.allocator import keep_freed_memory
from warptheory.core.device import device_name
from warptheory.paper.entries import Benchmark, Cost, DocumentTable, ReportPassage, RunSettings, Section
from warptheory.paper.timings import Spread, interleaved, seconds, write_timings
from warptheory.report import fragment, html_table, markdown_table

ROUNDS = {"quick": 3, "full": 9}
WARM_UP = 2
SAMPLE_SECONDS = 0.05  # that the calls of a sample last together, at least
DEFORMABLE_SHAPES = ((4, 32, 64, 64), (1, 32, 128, 128), (4, 64, 56, 56), (2, 16, 128, 128), (2, 128, 28, 28))
LEVELS = ((64, 64), (32, 32), (16, 16), (8, 8))
QUERIES = (sum(height * width for height, width in LEVELS), 300)
_KIBIBYTE, _MEBIBYTE = 2**10, 2**20
_PEAK_RESET = Path("/proc/self/clear_refs")
_THRESHOLD, _SMALL_BLOCK = "MALLOC_MMAP_THRESHOLD_", 2**16  # glibc's name of the size from which it maps blocks

Call = Callable[[], object]


@dataclass(frozen=True)
class Contest:
    """What is compared.

    Attributes:
        operator: ours.
        peer: what it is compared with.
        setting: sizes, in words.
        calls: makes both calls, ours first, of a seed and a device.
        package: the peer's package; empty for torch alone.
        device: the kind of device that it is for, or empty for all.
        with_memory: whether memory is measured as well, which takes seconds.
    """

    operator: str
    peer: str
    setting: str
    calls: Callable[[int, str], tuple[Call, Call]]
    package: str = ""
    device: str = ""
    with_memory: bool = False

    def can_run(self, device: str) -> bool:
        """Return whether the peer is installed, and the device one that the contest is for."""
        is_there = not self.package or find_spec(self.package) is not None
        return is_there and device.startswith(self.device or device)


def _draw(generator: torch.Generator, device: str, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator).to(device).requires_grad_()


def _both_passes(function: Callable[..., Tensor], *inputs: Tensor) -> Call:
    """Return a call of a function and of all its gradients."""
    leaves = [each for each in inputs if each.requires_grad]

    def call() -> object:
        y = function(*inputs)
        return torch.autograd.grad(y, leaves, torch.ones_like(y))

    return call


# ---- deformable convolution


def deformable_by_grid_sample(x: Tensor, offset: Tensor, weight: Tensor) -> Tensor:
    """Convolve images (B, C, H, W) with displaced taps by the definition: a `grid_sample` for each tap of 3×3."""
    height, width = x.shape[2:]
    rows = torch.arange(height, dtype=x.dtype, device=x.device)[:, None]
    columns = torch.arange(width, dtype=x.dtype, device=x.device)
    total = torch.zeros((), device=x.device)
    for tap, (row, column) in enumerate(itertools.product(range(3), repeat=2)):
        y, z = rows + row - 1 + offset[:, 2 * tap], columns + column - 1 + offset[:, 2 * tap + 1]
        grid = torch.stack([(2 * z + 1) / width - 1, (2 * y + 1) / height - 1], -1)
        samples = functional.grid_sample(x, grid, align_corners=False)
        total = total + torch.einsum("bchw,dc->bdhw", samples, weight[:, :, row, column])
    return total


def _torchvision(x: Tensor, offset: Tensor, weight: Tensor) -> Tensor:
    found: Tensor = import_module("torchvision.ops").deform_conv2d(x, offset, weight, padding=1)
    return found


def _deformable(
    shape: tuple[int, int, int, int], layout: torch.memory_format, peer: Callable[..., Tensor], seed: int, device: str
) -> tuple[Call, Call]:
    generator = torch.Generator().manual_seed(seed)
    batch, channels, height, width = shape
    x = _draw(generator, device, *shape).detach().contiguous(memory_format=layout).requires_grad_()
    offset = _draw(generator, device, batch, 18, height, width)
    weight = _draw(generator, device, channels, channels, 3, 3)
    ours = partial(operators.deform_conv2d, padding=1)
    return _both_passes(ours, x, offset, weight), _both_passes(peer, x, offset, weight)


# ---- multi-scale deformable attention


def attention_by_grid_sample(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    """Attend to levels (B, S, H, D) at locations (B, Q, H, L, P, 2) by the definition: a `grid_sample` a level."""
    batch, _, heads, width = value.shape
    grids, count = 2 * locations - 1, locations.shape[1]
    sampled = []
    for level, part in enumerate(torch.split(value, [rows * columns for rows, columns in LEVELS], dim=1)):
        image = part.flatten(2).transpose(1, 2).reshape(batch * heads, width, *LEVELS[level])
        grid = grids[:, :, :, level].transpose(1, 2).flatten(0, 1)
        sampled.append(functional.grid_sample(image, grid, align_corners=False))
    factors = weights.transpose(1, 2).reshape(batch * heads, 1, count, -1)
    summed = (torch.stack(sampled, -2).flatten(-2) * factors).sum(-1)
    return summed.reshape(batch, heads * width, count).transpose(1, 2)


def _attention(queries: int, seed: int, device: str) -> tuple[Call, Call]:
    generator = torch.Generator().manual_seed(seed)
    batch, heads, width, points = 2, 8, 32, 4
    value = _draw(generator, device, batch, QUERIES[0], heads, width)
    shape = (batch, queries, heads, len(LEVELS), points)
    locations = torch.rand(*shape, 2, generator=generator).to(device).requires_grad_()
    logits = torch.randn(shape, generator=generator)
    weights = logits.flatten(-2).softmax(-1).reshape(shape).to(device).requires_grad_()
    sizes = torch.tensor(LEVELS)

    def ours(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
        found: Tensor = operators.multi_scale_deformable_attention(value, sizes, locations, weights)
        return found

    inputs = (value, locations, weights)
    return _both_passes(ours, *inputs), _both_passes(attention_by_grid_sample, *inputs)


# ---- learnable spacings


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Let nobody log warnings meanwhile."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _spacing(version: str, arguments: tuple[Any, ...], groups: int, seed: int, device: str) -> tuple[Call, Call]:
    """Return constructions of the dense kernel, with the gradients of weights, positions and widths."""
    torch.manual_seed(seed)
    options = {"groups": groups, "version": version}
    with _without_warnings():  # of what is faster on a GPU
        theirs = import_module("DCLS.construct.modules").Dcls2d(*arguments, **options).to(device)
    ours = operators.LearnableSpacingConv2d(*arguments, **options).to(device)
    ours.load_state_dict(theirs.state_dict(), strict=False)

    names = ("weight", "P", "SIG")
    inputs = [[each for name, each in layer.named_parameters() if name in names] for layer in (ours, theirs)]
    # The parameters are passed for their gradients; the layers hold them.
    mine = _both_passes(lambda *_: ours.dense_kernel(), *inputs[0])
    peers = _both_passes(lambda *_: theirs.DCK(theirs.weight, theirs.P, theirs.SIG), *inputs[1])
    return mine, peers


# ---- blurred pooling


def _blur_pool(size: int, seed: int, device: str) -> tuple[Call, Call]:
    x = _draw(torch.Generator().manual_seed(seed), device, 8, 64, 64, 64)
    theirs = import_module("antialiased_cnns").BlurPool(64, filt_size=size, stride=2).to(device)
    return _both_passes(operators.BlurPool2d(64, filt_size=size).to(device), x), _both_passes(theirs, x)


def contests() -> Iterator[Contest]:
    """Yield everything that is compared."""
    layouts = {"planes": torch.contiguous_format, "channels-last": torch.channels_last}
    for shape, (name, layout) in itertools.product(DEFORMABLE_SHAPES, layouts.items()):
        said = f"{'×'.join(map(str, shape))}, 3×3, {name}"
        made = partial(_deformable, shape, layout)
        is_first = shape == DEFORMABLE_SHAPES[0]
        by_torch = partial(made, deformable_by_grid_sample)
        yield Contest("deform_conv2d", "grid_sample", said, by_torch, with_memory=is_first)
        yield Contest("deform_conv2d", "torchvision", said, partial(made, _torchvision), "torchvision", "cuda")
    for queries in QUERIES:
        said = f"2 images, 8 heads of 32, {len(LEVELS)} levels, 4 points, {queries} queries"
        calls, is_first = partial(_attention, queries), queries == QUERIES[0]
        yield Contest("multi_scale_deformable_attention", "grid_sample", said, calls, with_memory=is_first)
    for version in ("v1", "gauss"):
        for said, arguments, groups in (
            ("depthwise 96, 34 of 17×17", (96, 96, 34, 17, 17), 96),
            ("32 → 32, 16 of 9×9", (32, 32, 16, 9, 9), 1),
        ):
            dense = (*arguments[:3], 1, 0, (arguments[3], arguments[4]))
            made = partial(_spacing, version, dense, groups)
            yield Contest("LearnableSpacingConv2d", "dcls", f"{version}, {said}, construction", made, "DCLS")
    for size in (3, 4, 5):
        said = f"8×64×64×64, {size} taps"
        yield Contest("BlurPool2d", "antialiased-cnns", said, partial(_blur_pool, size), "antialiased_cnns")


# ---- the measurement


def run(settings: RunSettings) -> Path:
    """Time every contest and write `operators_<device>.json`; return its path."""
    seed, device, rounds = settings.seed, settings.device, settings.rounds or ROUNDS[settings.profile]
    keep_freed_memory()
    chosen = [each for each in contests() if each.can_run(device)][:: settings.thin]
    rows = []
    for number, contest in enumerate(chosen):
        settings.on_progress(number / len(chosen), f"{contest.operator}, {contest.setting}")
        rows.append({**_said(contest), **compare(contest, seed, device, rounds)})
    about = {"dtype": "float32", "rounds": rounds, "device_name": device_name(device)}
    return write_timings(settings, __name__, about, {"results": rows})


def _said(contest: Contest) -> dict[str, str]:
    return {"operator": contest.operator, "peer": contest.peer, "setting": contest.setting}


def compare(contest: Contest, seed: int, device: str, rounds: int) -> dict[str, float]:
    """Time both calls of a contest in turn; return the ratio over the rounds, and the memory of each."""
    calls = dict(zip(("ours", "peer"), contest.calls(seed, device), strict=True))
    fastest = {name: min(seconds(call, device=device) for _ in range(WARM_UP)) for name, call in calls.items()}
    repeats = {name: 1 + int(SAMPLE_SECONDS / fastest[name]) for name in calls}
    quiet = RunSettings(Path(), seed, device)
    samples = interleaved(
        quiet, rounds, WARM_UP, lambda _: {name: seconds(call, repeats[name], device) for name, call in calls.items()}
    )
    found = Spread.of([sample["peer"] / sample["ours"] for sample in samples]).named("ratio")
    memory = _peaks(contest, seed, device) if contest.with_memory else {}
    return {**found, **{f"{name}_mebibytes": value / _MEBIBYTE for name, value in memory.items()}}


def _peaks(contest: Contest, seed: int, device: str) -> dict[str, float]:
    """Return the bytes that each call needs at its peak beyond its inputs; NaN where the system does not tell."""
    found = {}
    with _freed_at_once():
        for number, name in enumerate(("ours", "peer")):
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                found[name] = pool.submit(peak, contest, number, seed, device).result()
    return found


@contextmanager
def _freed_at_once() -> Iterator[None]:
    """Let processes that start meanwhile give large blocks back to the system when they are freed."""
    before = os.environ.get(_THRESHOLD)
    os.environ[_THRESHOLD] = str(_SMALL_BLOCK)
    try:
        yield
    finally:
        if before is None:
            del os.environ[_THRESHOLD]
        else:
            os.environ[_THRESHOLD] = before


def peak(contest: Contest, number: int, seed: int, device: str) -> float:
    """Return the bytes that one side of a contest needs at its peak, in this process, at its second call."""
    call = contest.calls(seed, device)[number]
    call()  # loads and compiles
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
        given = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        call()
        torch.cuda.synchronize(device)
        return float(torch.cuda.max_memory_allocated(device) - given)
    try:
        _PEAK_RESET.write_text("5")  # which Linux documents as the reset of VmHWM
    except OSError:
        return math.nan
    before = _resident("VmRSS")
    call()
    return _resident("VmHWM") - before


def _resident(name: str) -> float:
    """Return a number of bytes that Linux tells of this process."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(name))) * _KIBIBYTE


# ---- what is shown of it


def _lines(benchmark: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the rows of the tables."""
    return [
        {
            "operator": row["operator"],
            "peer": row["peer"],
            "setting": row["setting"],
            "ratio": f"{row['ratio']:.2f} ({row['ratio_lowest']:.2f} … {row['ratio_highest']:.2f})",
            "memory": f"{row['ours_mebibytes']:.0f} / {row['peer_mebibytes']:.0f}" if "ours_mebibytes" in row else "",
        }
        for row in benchmark["results"]
    ]


def summary(path: Path) -> str:
    """Return a record of `run` as a table for the terminal."""
    lines = [f"{'operator':33}{'peer':18}{'setting':62}peer / ours             MiB ours / peer"]
    for row in _lines(records.read_json(path)):
        lines.append(f"{row['operator']:33}{row['peer']:18}{row['setting']:62}{row['ratio']:24}{row['memory']}")
    return "\n".join(lines)


_HEADS = {
    "operator": "operator",
    "peer": "peer",
    "setting": "setting",
    "time of peer / ours": "ratio",
    "MiB at peak, ours / peer": "memory",
}


def operators_table(benchmark: dict[str, Any]) -> str:
    """Return a Markdown table of all contests."""
    settings = benchmark["settings"]
    footer = (
        f"Forward pass and all gradients, {settings['dtype']}: medians of {settings['rounds']} interleaved rounds, in "
        f"brackets the lowest and the highest, on {settings['device_name']} ({benchmark['machine']}), "
        f"torch {benchmark['versions']['torch']}. Memory is what a call needs beyond its inputs."
    )
    return markdown_table(_lines(benchmark), {head: f"{{{name}}}" for head, name in _HEADS.items()}, footer)


def comparison(benchmark: dict[str, Any]) -> Markup:
    """Return a table of all contests, as HTML."""
    columns = {head: f"{{{name}}}" for head, name in _HEADS.items()}
    return html_table(_lines(benchmark), columns, text=("operator", "peer", "setting"))


def finding(benchmark: dict[str, Any]) -> Markup:
    """Return what was found, in a sentence."""
    rows = [row for row in benchmark["results"] if row["peer"] == "grid_sample"]
    return fragment(
        """Forward pass and gradients of a deformable convolution take the definition by grid_sample
{{ "%.1f" | format(lowest) }} to {{ "%.1f" | format(highest) }} times as long as the operator
(on {{ device }}).""",
        lowest=min(row["ratio"] for row in rows if row["operator"] == "deform_conv2d"),
        highest=max(row["ratio"] for row in rows if row["operator"] == "deform_conv2d"),
        device=benchmark["settings"]["device_name"],
    )


RECORD = "operators_*.json"

BENCHMARK = Benchmark(
    run=run,
    summary=summary,
    writes=(RECORD,),
    cost=Cost(quick=60, full=180),
    section=Section(
        title="The operators",
        order=91,
        finding=ReportPassage(finding, (RECORD,)),
        parts=(
            """Operators are compared with their originals where these run beside this torch, else with their
definition by torch's <code>grid_sample</code>.""",
            ReportPassage(comparison, (RECORD,)),
        ),
    ),
    tables=(DocumentTable("operators", operators_table, (RECORD,)),),
)
