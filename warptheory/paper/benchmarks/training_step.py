"""Time a training step of ResNet-20: plain, with self-warps, and with the same warps by `F.grid_sample`.

One step is forward pass, backward pass and SGD with momentum, on one batch in channels-last. Warps by `grid_sample`
compute their offsets as ours do, or, "torch alone", by torch's own convolution. The four networks have the same
weights and take turns in one process; ratios are taken in each round, and their medians written as JSON. Heads of the
warps are drawn, not zero, so that pixels do move.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float
from markupsafe import Markup
from torch import Tensor, nn
from torch.nn import functional

from warptheory import warping
from warptheory.core import records
from warptheory.core.allocator import keep_freed_memory
from warptheory.core.device import device_name
from warptheory.networks import ResidualBlock, selfwarp_resnet
from warptheory.operators import SelfWarp2d
from warptheory.paper.benchmarks.warp import grid_sample
from warptheory.paper.entries import Benchmark, Cost, DocumentTable, ReportPassage, RunSettings, Section
from warptheory.paper.timings import Spread, interleaved, seconds, spread_text, write_timings
from warptheory.report import fragment, markdown_table

DEPTH = 20
WIDTH = 16
BATCH = 128
SIZE = 32
ROUNDS = {"quick": 3, "full": 9}
WARM_UP = 2
HEAD_GAIN = 0.5  # pixels, of features of unit energy
LEARNING_RATE = 1e-3  # small, so that the networks stay what they are
# What is said of a round: one step's time over another's.
RATIOS = {
    "self-warp over plain": ("self-warp", "plain"),
    "grid_sample over plain": ("grid_sample", "plain"),
    "grid_sample over self-warp": ("grid_sample", "self-warp"),
    "torch alone over self-warp": ("torch alone", "self-warp"),
}


class GridSampleWarp(nn.Module):
    """A self-warp that reads its input by torch's `grid_sample`.

    Args:
        layer: the self-warp whose offsets are taken, one group, linear kernel, boundary "border".
        torch_alone: whether the head too is torch's convolution.
    """

    def __init__(self, layer: SelfWarp2d, *, torch_alone: bool) -> None:
        super().__init__()
        self.layer, self.torch_alone = layer, torch_alone

    def offsets(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 2 H W"]:
        """Return the offsets in pixels, shape (B, 2, H, W)."""
        if not self.torch_alone:
            return cast("Tensor", self.layer.offsets(x)[:, 0])
        head = self.layer.head
        return cast(
            "Tensor", self.layer.field.scale * functional.conv2d(x, head.weight, head.bias, padding=head.padding)
        )

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Return the warped images, shape (B, C, H, W)."""
        return grid_sample(x, self.offsets(x), padding_mode="border")


@dataclass(frozen=True)
class TimedTraining:
    """A network, its optimiser and the batch it sees."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    images: Tensor
    labels: Tensor

    def step(self) -> None:
        """Take one step."""
        self.optimizer.zero_grad()
        torch.autograd.backward(functional.cross_entropy(self.network(self.images), self.labels))
        self.optimizer.step()

    def seconds(self) -> float:
        """Return the seconds that one step takes."""
        return seconds(self.step, device=str(self.images.device))


def network(name: str, depth: int, width: int, seed: int) -> nn.Module:
    """Return the network of one name in `RATIOS`, of the same weights as the others."""
    found = selfwarp_resnet(depth, width=width, warp=name != "plain", head_gain=HEAD_GAIN, seed=seed)
    for block in found.blocks if name in ("grid_sample", "torch alone") else ():
        if isinstance(block, ResidualBlock) and isinstance(block.warp, SelfWarp2d):
            block.warp = GridSampleWarp(block.warp, torch_alone=name == "torch alone")
    return found


def trainings(depth: int, width: int, batch: int, size: int, seed: int, device: str) -> dict[str, TimedTraining]:
    """Return the networks with their optimisers, and a batch of random images and labels."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(batch, 3, size, size, generator=generator)
    labels = torch.randint(10, (batch,), generator=generator).to(device)
    images = images.to(device).contiguous(memory_format=torch.channels_last)
    found = {}
    for name in ("plain", "self-warp", "grid_sample", "torch alone"):
        model = network(name, depth, width, seed).to(device)
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs omit it
        optimizer = torch.optim.SGD(model.parameters(), LEARNING_RATE, momentum=0.9)
        found[name] = TimedTraining(model, optimizer, images, labels)
    return found


def run(
    settings: RunSettings,
    *,
    depth: int = DEPTH,
    width: int = WIDTH,
    batch: int = BATCH,
    size: int = SIZE,
) -> Path:
    """Time the networks in turn, and write `training_step_<device>.json`; return its path."""
    device, rounds, batch = settings.device, settings.rounds or ROUNDS[settings.profile], batch // settings.thin
    keep_freed_memory()
    trained = trainings(depth, width, batch, size, settings.seed, device)
    samples = interleaved(
        settings, rounds, WARM_UP, lambda _: {name: training.seconds() for name, training in trained.items()}
    )
    chosen = {
        "depth": depth,
        "width": width,
        "batch": batch,
        "size": size,
        "layout": "channels-last",
        "dtype": "float32",
        "head_gain": HEAD_GAIN,
        "rounds": rounds,
        "threads": torch.get_num_threads(),
        "backend": warping.backend(torch.zeros(1, 1, 4, 4, device=device)).name,
        "device_name": device_name(device),
    }
    results = {
        "warps": depth // 6 * 3,
        "seconds": {name: asdict(Spread.of([sample[name] for sample in samples])) for name in trained},
        "ratios": {
            name: asdict(Spread.of([sample[over] / sample[under] for sample in samples]))
            for name, (over, under) in RATIOS.items()
        },
        "share_of_the_step": asdict(Spread.of([1 - sample["plain"] / sample["self-warp"] for sample in samples])),
    }
    return write_timings(settings, __name__, chosen, {**results})


def summary(path: Path) -> str:
    """Return a record of `run` as a table for the terminal."""
    record = records.read_json(path)
    lines = [f"{name:28}{1e3 * found['median']:>8.1f} ms a step" for name, found in record["seconds"].items()]
    shares = {f"share of the {record['warps']} warps": record["share_of_the_step"]}
    for name, found in {**record["ratios"], **shares}.items():
        lines.append(f"{name:28}{found['median']:>8.3f}   ({found['lowest']:.3f} … {found['highest']:.3f})")
    return "\n".join(lines)


def step_table(step: dict[str, Any], monitor: dict[str, Any]) -> str:
    """Return a Markdown table of what warps and the monitor add to a training step."""
    settings = step["settings"]
    share = f"share of the {step['warps']} self-warps in the step"
    watched = f"with the monitor over without, on average at an interval of {monitor['settings']['interval']}"
    ratios = {
        **{name: spread_text(found, 2) for name, found in {**step["ratios"], share: step["share_of_the_step"]}.items()},
        watched: spread_text(monitor["results"]["at_interval"], 3),
    }
    rows = [{"name": name, "ratio": ratio} for name, ratio in ratios.items()]
    footer = (
        f"ResNet-{settings['depth']}, width {settings['width']}, batch {settings['batch']}, {settings['layout']}, "
        f"{settings['dtype']}; medians of {settings['rounds']} interleaved rounds, in brackets the lowest and the "
        f"highest, on {settings['device_name']} ({step['machine']}), {settings['threads']} threads."
    )
    return markdown_table(rows, {"time of a training step": "{name}", "ratio": "{ratio}"}, footer)


def step_times(step: dict[str, Any], monitor: dict[str, Any]) -> Markup:
    """Return what a training step costs, as HTML."""
    return fragment(
        """<p>ResNet-{{ step.settings.depth }}, width {{ step.settings.width }}, batch {{ step.settings.batch }},
{{ step.settings.layout }}, {{ step.settings.dtype }}, {{ step.settings.device_name }},
{{ step.settings.threads }} threads; medians of {{ step.settings.rounds }} interleaved rounds, in brackets the lowest
and the highest: {% for name, found in step.ratios.items() %}{{ name }} {{ found | spread }}, {% endfor %}
share of the {{ step.warps }} warps in the step {{ step.share_of_the_step | spread }}. The monitor, on average at an
interval of {{ monitor.settings.interval }} steps, makes it {{ monitor.results.at_interval | spread }} times as
long.</p>""",
        step=step,
        monitor=monitor,
    )


RECORD = "training_step_*.json"
READS = (RECORD, "monitor_overhead_*.json")

BENCHMARK = Benchmark(
    run=run,
    summary=summary,
    writes=(RECORD,),
    cost=Cost(quick=15, full=30),
    section=Section(title="What a training step costs", order=82, parts=(ReportPassage(step_times, READS),)),
    tables=(DocumentTable("training_step", step_table, READS),),
)
