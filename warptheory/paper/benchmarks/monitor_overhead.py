"""Time a training step of a self-warp ResNet-20 with and without the monitor.

Three kinds of step run in turn in one process, on the same tensors: without a monitor, with one that only counts the
step, and with one that records it. The ratios of each round are taken, and medians over the rounds are written as JSON.
What the monitor costs at an interval n is a recorded step and n − 1 counted ones, over n plain ones.
"""

import statistics
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from warptheory import networks, stability
from warptheory.core import records
from warptheory.core.device import device_name
from warptheory.paper.entries import Benchmark, Cost, RunSettings
from warptheory.paper.timings import Spread, interleaved, seconds, write_timings
from warptheory.stability.monitoring import IMAGES, INTERVAL

ROUNDS = {"quick": 3, "full": 9}
WARM_UP = 2
HEAD_DEVIATION = 0.05  # of the head's weights, which gives offsets of about a pixel


class WatchedTraining:
    """A model, a batch and an optimizer that leaves the weights where they are."""

    def __init__(self, depth: int, width: int, batch: int, seed: int, device: str) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.model = networks.selfwarp_resnet(depth, width=width, seed=seed).to(device)
        with torch.no_grad():
            for parameter in self.model.parameter_groups()["warping"]:
                parameter.copy_(HEAD_DEVIATION * torch.randn(parameter.shape, generator=generator))
        images = torch.randn(batch, 3, 32, 32, generator=generator)
        self.images = images.to(device).contiguous(memory_format=torch.channels_last)
        self.labels: Tensor = (torch.arange(batch) % 10).to(device)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.0, momentum=0.9)
        self.device = device

    def seconds(self, watch: AbstractContextManager[object]) -> float:
        """Return the seconds of one step inside a context."""
        with watch:
            return seconds(self._step, device=self.device)

    def _step(self) -> None:
        loss = functional.cross_entropy(self.model(self.images), self.labels)
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        self.optimizer.step()


def run(
    settings: RunSettings,
    *,
    depth: int = 20,
    width: int = 16,
    batch: int = 128,
) -> Path:
    """Time the steps and write `monitor_overhead_<device>.json`; return its path."""
    device, rounds, batch = settings.device, settings.rounds or ROUNDS[settings.profile], batch // settings.thin
    training = WatchedTraining(depth, width, batch, settings.seed, device)
    kinds: dict[str, Callable[[], AbstractContextManager[object]]] = {
        "plain": nullcontext,
        "counted": lambda: stability.monitor(training.model, interval=2, first_step=1),
        "recorded": lambda: stability.monitor(training.model, interval=1),
    }

    def sample(number: int) -> dict[str, float]:
        # Turned round each time, so that none always follows the same.
        order = list(kinds) if number % 2 else list(reversed(kinds))
        return {kind: training.seconds(kinds[kind]()) for kind in order}

    samples = interleaved(settings, rounds, WARM_UP, sample)
    results: dict[str, object] = {
        f"{kind}_seconds": statistics.median(sample[kind] for sample in samples) for kind in kinds
    }
    for kind in ("counted", "recorded"):
        results[kind] = asdict(Spread.of([sample[kind] / sample["plain"] for sample in samples]))
    shares = [
        ((INTERVAL - 1) * sample["counted"] + sample["recorded"]) / (INTERVAL * sample["plain"]) for sample in samples
    ]
    results["at_interval"] = asdict(Spread.of(shares))
    chosen = {
        "model": f"selfwarp_resnet({depth}, width={width})",
        "batch": batch,
        "interval": INTERVAL,
        "images": IMAGES,
        "rounds": rounds,
        "threads": torch.get_num_threads(),
        "device_name": device_name(device),
    }
    return write_timings(settings, __name__, chosen, {"results": results})


def summary(path: Path) -> str:
    """Return a record of `run` as a table for the terminal."""
    record = records.read_json(path)
    results, settings = record["results"], record["settings"]
    names = {
        "counted": "a step that is counted",
        "recorded": "a step that is recorded",
        "at_interval": f"on average at an interval of {settings['interval']}",
    }
    lines = [f"{settings['model']}, batch {settings['batch']}: {1e3 * results['plain_seconds']:.0f} ms a step without"]
    for name, text in names.items():
        ratio = results[name]
        lines.append(f"{text:36}{ratio['median']:>7.3f}   ({ratio['lowest']:.3f} … {ratio['highest']:.3f})")
    return "\n".join(lines)


BENCHMARK = Benchmark(
    run=run,
    summary=summary,
    writes=("monitor_overhead_*.json",),
    cost=Cost(quick=10, full=25),
)
