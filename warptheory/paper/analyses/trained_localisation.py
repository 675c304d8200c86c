"""How few positions hold the gradient of trained self-warp networks, block by block, beside what K3 says of stacks.

Writes `trained_localisation.parquet`, a row for each block of networks of 9, 18 and 27 blocks, before and after
training, with warps and without: the share of the positions of an image that holds half of the energy of the slopes of
the block's input, of the gradient that arrives at it, and of the gradient of its offsets; and the slope τ of the
offsets. Heads are drawn at random, so that warps move from the start, and branch and shortcut of a block read warped
values: it is the stack of K3 but for convolutions, BatchNorm and ReLU.

K3 adds 2I(τ) a warp to the square of the normal deviate of the share, Φ⁻¹, from where the network without warps has it
at the same block.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional

from warptheory import results
from warptheory.core import records
from warptheory.fields.localisation import share_of_positions
from warptheory.networks.selfwarp_resnet import ResidualBlock
from warptheory.operators import SelfWarp
from warptheory.paper.committed import digest
from warptheory.paper.entries import (
    Analysis,
    Cost,
    LongComputation,
    Plot,
    RecomputedCell,
    ReportPassage,
    RunSettings,
    Section,
)
from warptheory.report import fragment
from warptheory.report.panels import letter
from warptheory.report.style import BLUE, GREY, VERMILION, house_style
from warptheory.training import TrainingRun, TrainingSettings, train
from warptheory.training.data import Dataset
from warptheory.warping.jacobian import offset_jacobian

RECORD = "trained_localisation.parquet"
BLOCKS = {9: "resnet20", 18: "resnet38", 27: "resnet56"}
SETTINGS: Mapping[str, Any] = {"steps": 60, "batch": 64}
WARPS: Mapping[str, Any] = {"head_gain": 1.0, "scale": 0.3, "placement": "both"}
WIDTH = 8
SEEDS = 2
WATCHED = 64  # test images
SHARES = ("slopes", "gradients", "offset gradients")


def plan(blocks: int, seed: int, most_steps: int | None, *, warped: bool) -> TrainingRun:
    """Return one run."""
    steps = SETTINGS["steps"] if most_steps is None else min(SETTINGS["steps"], most_steps)
    name = BLOCKS[blocks]
    options = {"width": WIDTH, **(WARPS if warped else {})}
    settings = TrainingSettings(**{**SETTINGS, "steps": steps}, seed=seed)
    return TrainingRun(f"selfwarp-{name}" if warped else name, "patches", settings, options)


@dataclass
class BlockMaps:
    """What a block has seen in a pass forward and back.

    Attributes:
        block: its number, from 1.
        features: its input, shape (B, C, H, W).
        gradient: the gradient that arrived at its input, likewise.
        offsets: the offsets of its warp, shape (B, d, H, W); None without one.
        offset_gradient: their gradient, likewise.
    """

    block: int
    features: Float[Tensor, "B C H W"] | None = None
    gradient: Float[Tensor, "B C H W"] | None = None
    offsets: Float[Tensor, "B d H W"] | None = None
    offset_gradient: Float[Tensor, "B d H W"] | None = None

    def shares(self) -> dict[str, float]:
        """Return shares of positions with half of the energy, means over the images, and the slope τ."""
        assert self.features is not None
        assert self.gradient is not None
        rows = slope_energy(self.features)
        found = {"slopes": _share(rows), "gradients": _share(self.gradient.square().sum(1))}
        if self.offsets is None or self.offset_gradient is None:
            return {**found, "offset gradients": math.nan, "tau": 0.0}
        tau = float(offset_jacobian(self.offsets).square().mean().sqrt())
        return {**found, "offset gradients": _share(self.offset_gradient.square().sum(1)), "tau": tau}


def slope_energy(features: Float[Tensor, "B C H W"]) -> Float[Tensor, "B h w"]:
    """Return the energy of forward differences, summed over channels, shape (B, H − 1, W − 1)."""
    down, across = torch.diff(features, dim=2)[..., :-1], torch.diff(features, dim=3)[..., :-1, :]
    return (down.square() + across.square()).sum(1)


def _share(energy: Float[Tensor, "B *S"]) -> float:
    return float(share_of_positions(energy).nanmean())


@contextmanager
def watched_blocks(model: nn.Module) -> Iterator[list[BlockMaps]]:
    """Watch the blocks of a residual network over one pass forward and back."""
    maps: list[BlockMaps] = []
    hooks = []
    blocks = [module for module in model.modules() if isinstance(module, ResidualBlock)]
    for number, block in enumerate(blocks, start=1):
        maps.append(BlockMaps(number))
        hooks.append(block.register_forward_pre_hook(_watch_input(maps[-1])))
        if isinstance(block.warp, SelfWarp):
            hooks.append(block.warp.field.register_forward_hook(_watch_offsets(maps[-1])))
    try:
        yield maps
    finally:
        for hook in hooks:
            hook.remove()


def _watch_input(seen: BlockMaps) -> Any:
    def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.features = inputs[0].detach()
        inputs[0].register_hook(lambda gradient: setattr(seen, "gradient", gradient))  # type: ignore[no-untyped-call]

    return hook


def _watch_offsets(seen: BlockMaps) -> Any:
    def hook(module: nn.Module, inputs: tuple[Tensor, ...], offsets: Tensor) -> None:
        seen.offsets = offsets.detach().flatten(0, 1)
        offsets.register_hook(  # type: ignore[no-untyped-call]
            lambda gradient: setattr(seen, "offset_gradient", gradient.flatten(0, 1))
        )

    return hook


def measured(model: nn.Module, dataset: Dataset) -> list[BlockMaps]:
    """Return what the blocks see of test images, spread over the classes, with BatchNorm's statistics of these."""
    images, labels = dataset.test.images, dataset.test.labels
    chosen = torch.linspace(0, len(images) - 1, WATCHED).long()
    model.train()
    with watched_blocks(model) as maps:
        functional.cross_entropy(model(images[chosen]), labels[chosen]).backward()  # type: ignore[no-untyped-call]
    model.zero_grad()
    return maps


def rows_of(one: TrainingRun, blocks: int, *, warped: bool, device: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a network: measure it, train it, and measure again."""
    dataset = one.load_data()
    described = {"blocks": blocks, "warped": warped, "seed": one.settings.seed, "steps": one.settings.steps}
    before = one.build_model(dataset)
    trained = train(one, device=torch.device(device))
    for is_trained, model in ((False, before), (True, trained.model.cpu())):
        for maps in measured(model, dataset):
            accuracy = trained.test_accuracy if is_trained else math.nan
            yield {**described, "trained": is_trained, "block": maps.block, **maps.shares(), "accuracy": accuracy}


def run(settings: RunSettings) -> Path:
    """Train all networks and write the record; return its path."""
    rows: list[dict[str, Any]] = []
    seeds = range(settings.seed, settings.seed + SEEDS)
    jobs = [(blocks, seed, warped) for seed in seeds for blocks in BLOCKS for warped in (True, False)]
    for number, (blocks, seed, warped) in enumerate(jobs):
        one = plan(blocks, seed, settings.most_steps, warped=warped)
        settings.on_progress(number / len(jobs), f"train {one.model}, seed {seed}")
        rows += rows_of(one, blocks, warped=warped, device=settings.device)
    path = records.output_folder(settings.out) / RECORD
    chosen = {"seeds": SEEDS, "most_steps": settings.most_steps, **SETTINGS, **WARPS}
    records.write_table(path, pd.DataFrame(rows), records.Manifest(__name__, settings.seed, settings.device, chosen))
    return path


def predicted(rows: pd.DataFrame, plain: pd.DataFrame) -> pd.DataFrame:
    """Return what K3 makes of a network's slopes: its entropy, and for comparison the variance of log-slopes.

    Args:
        rows: a row for each block of a network with warps, its τ and its shares.
        plain: the same of the network without warps.
    """
    k3, k2 = results.get("K3"), results.get("K2")
    start = stats.norm.isf(plain["slopes"].to_numpy()) ** 2
    entropy = [2 * k3.evaluate("entropy of the energy a layer", dim=2, tau=tau) for tau in rows["tau"]]
    variance = [4 * k2.evaluate(dim=2, tau=tau) for tau in rows["tau"]]
    behind = [pd.Series(each).cumsum().shift(fill_value=0.0).to_numpy() for each in (entropy, variance)]
    return rows.assign(
        by_entropy=stats.norm.sf((start + behind[0]) ** 0.5), by_variance=stats.norm.sf((start + behind[1]) ** 0.5)
    )


def means(table: pd.DataFrame, blocks: int, *, warped: bool, trained: bool) -> pd.DataFrame:
    """Return means over the seeds, a row for each block."""
    chosen = (table["blocks"] == blocks) & (table["warped"] == warped) & (table["trained"] == trained)
    return table[chosen].groupby("block", as_index=False)[[*SHARES, "tau", "accuracy"]].mean()


def plot_trained_localisation(table: pd.DataFrame) -> Figure:
    """Draw shares over the blocks, before and after training.

    Args:
        table: the record.
    """
    with house_style():
        figure = Figure(figsize=(7.2, 5.0), layout="constrained")
        panels = figure.subplots(2, len(BLOCKS), sharey=True)
        for column, blocks in enumerate(BLOCKS):
            for row, trained in enumerate((False, True)):
                axes = panels[row, column]
                _draw_network(axes, table, blocks, trained=trained)
                state = "trained" if trained else "untrained"
                letter(axes, "abcdef"[3 * row + column], f"{blocks} blocks, {state}")
            panels[0, column].set(xticks=range(0, blocks + 1, blocks // 3))
            panels[1, column].set(xlabel="block", xticks=range(0, blocks + 1, blocks // 3))
        for row in (0, 1):
            panels[row, 0].set(ylabel="share with half of the energy", yscale="log", ylim=(4e-3, 0.6))
        figure.legend(handles=_legend(), loc="outside lower center", ncols=4)
    return figure


_LINES = {"slopes": (BLUE, "o"), "gradients": (VERMILION, "s")}


def _draw_network(axes: Axes, table: pd.DataFrame, blocks: int, *, trained: bool) -> None:
    warped, plain = (means(table, blocks, warped=each, trained=trained) for each in (True, False))
    for name, (colour, marker) in _LINES.items():
        axes.plot(warped["block"], warped[name], marker, color=colour, markersize=3)
        axes.plot(plain["block"], plain[name], marker, color=colour, markersize=3, markerfacecolor="white")
    theory = predicted(warped, plain)
    axes.plot(theory["block"], theory["by_entropy"], "-", color=BLUE)
    axes.plot(theory["block"], theory["by_variance"], ":", color=BLUE)


def _legend() -> list[Line2D]:
    point: dict[str, Any] = {"linestyle": "", "markersize": 3}
    shown = []
    for name, (colour, marker) in _LINES.items():
        shown.append(Line2D([], [], color=colour, marker=marker, label=f"{name}, warped", **point))
        shown.append(
            Line2D([], [], color=colour, marker=marker, markerfacecolor="white", label=f"{name}, plain", **point)
        )
    shown.append(Line2D([], [], color=GREY, label="slopes, K3 by the entropy"))
    shown.append(Line2D([], [], color=GREY, linestyle=":", label="slopes, by the variance"))
    return shown


def finding(table: pd.DataFrame) -> Markup:
    """Return what was found, in a sentence."""
    warped, plain = (means(table, 27, warped=each, trained=False) for each in (True, False))
    theory = predicted(warped, plain)
    after, plain_after = (means(table, 27, warped=each, trained=True) for each in (True, False))
    return fragment(
        """In networks of 27 blocks K3's independent layers would leave half of the energy of the last block's slopes in
{{ theory }} of the positions; it sits in {{ warped }} with warps and {{ plain }} without before training,
{{ after }} and {{ plain_after }} after: convolutions mix positions faster than warps part them. Half of the gradient
at the first block sits in {{ gradient }} and {{ plain_gradient }} before, {{ gradient_after }} and
{{ plain_gradient_after }} after.""",
        theory=f"{theory['by_entropy'].iloc[-1]:.1%}",
        warped=f"{warped['slopes'].iloc[-1]:.0%}",
        plain=f"{plain['slopes'].iloc[-1]:.0%}",
        after=f"{after['slopes'].iloc[-1]:.0%}",
        plain_after=f"{plain_after['slopes'].iloc[-1]:.0%}",
        gradient=f"{warped['gradients'].iloc[0]:.1%}",
        plain_gradient=f"{plain['gradients'].iloc[0]:.1%}",
        gradient_after=f"{after['gradients'].iloc[0]:.1%}",
        plain_gradient_after=f"{plain_after['gradients'].iloc[0]:.1%}",
    )


def configuration() -> dict[str, Any]:
    """Return what the committed record depends on: every run of the first seed with its data, and how many seeds."""
    runs = [plan(blocks, 0, None, warped=warped) for blocks in BLOCKS for warped in (True, False)]
    data = runs[0].load_data()
    digests = [digest(part.images.numpy()) for part in (data.train, data.test)]
    return {"runs": [asdict(one) for one in runs], "data": digests, "seeds": SEEDS, "watched": WATCHED}


def trained_cell(settings: RunSettings, committed: Path) -> RecomputedCell:
    """Train the network of 9 blocks with warps anew, and compare where half of its slopes' energy sits."""
    one = plan(9, 0, None, warped=True)
    settings.on_progress(0.0, f"train {one.model}, seed 0")
    rows = pd.DataFrame(rows_of(one, 9, warped=True, device=settings.device))
    known = records.read_table(committed / RECORD)
    known = known[(known["blocks"] == 9) & known["warped"] & (known["seed"] == 0) & known["trained"]]
    shares = [float(table["slopes"].iloc[:3].mean()) for table in (known, rows[rows["trained"]])]
    return RecomputedCell(
        what="share of positions with half of the slopes' energy, mean over three of 9 trained blocks, seed 0",
        committed=shares[0],
        recomputed=shares[1],
        tolerance=0.05 * shares[0],
        reason=(
            "the order of sums differs between processors and numbers of threads, after which trainings part; networks "
            "of other seeds differ by about as much"
        ),
    )


ANALYSIS = Analysis(
    run=run,
    writes=(RECORD,),
    cost=Cost(quick=15, full=300),
    long=LongComputation(configuration=configuration, cell=trained_cell),
    section=Section(
        title="Localisation in trained networks",
        order=85,
        finding=ReportPassage(finding, (RECORD,)),
        parts=(
            f"""Residual networks of width {WIDTH} on photograph patches, trained for {SETTINGS["steps"]} steps of
{SETTINGS["batch"]} images; offsets come from heads that are drawn at random, at α = {WARPS["scale"]:g}, and branch and
shortcut read warped values. Their plain twins have the same weights without warps.""",
            Plot(
                plot_trained_localisation,
                (RECORD,),
                alt="Share of positions with half of the energy over the blocks of networks, untrained and trained",
                caption="""The share of an image's positions that holds half of the energy of the slopes of a block's
input, and of the gradient that arrives there: with warps (filled) and without (hollow), means over seeds. Lines: what
K3 makes of the slopes of the plain twin with the measured slopes τ of the offsets of all blocks before. Convolutions,
BatchNorm and ReLU, which K3 does not know, mix positions again: the slopes of features do not gather as its
independent layers would, while gradients do so on their way back, from the last block to the first.""",
            ),
        ),
    ),
)
