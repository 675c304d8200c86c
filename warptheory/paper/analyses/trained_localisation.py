"""How few positions hold the gradient of trained self-warp networks, block by block, beside what K3 and F5 say.

Writes `trained_localisation.parquet`, a row for each block of networks of 9, 18 and 27 blocks, before and after
training, with warps and without. It has the share of the positions of an image that holds half of the energy of the
slopes of the block's input, and of the gradient that arrives at it; that share of the gradient as the cascade of F5
predicts it from a forward pass; how much the gradient grew on its way there, measured and predicted; and the slope τ
of the offsets. Heads are drawn at random, so that warps move from the start, and branch and shortcut of a block read
warped values: it is the stack of K3 but for convolutions, BatchNorm and ReLU.

K3 adds 2I(τ) a warp to the square of the normal deviate of the share, Φ⁻¹, from where the network without warps has it
at the same block.
"""

import math
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import asdict
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
from torch import Tensor
from torch.nn import functional

from warptheory import networks, results
from warptheory.core import records
from warptheory.fields.localisation import share_of_positions
from warptheory.networks import ResidualBlock, SelfWarpResNet
from warptheory.operators.self_warp import SelfWarp
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
from warptheory.report.style import BLUE, VERMILION, house_style
from warptheory.stability import measured_gradients, predicted_gradients
from warptheory.training import TrainingSettings, accuracy, data, fit
from warptheory.training.data import Dataset, LabelledImages
from warptheory.warping.jacobian import offset_jacobian

RECORD = "trained_localisation.parquet"
BLOCKS = (9, 18, 27)
SIZE = 16  # pixels; 4×4 positions are left behind the two strides, of the 8×8 that are published 2×2
WIDTH = 8  # channels of the first stage
WARPS: Mapping[str, Any] = {"head_gain": 1.0, "scale": 0.3, "placement": "both"}
SETTINGS: Mapping[str, Any] = {
    "steps": 200,
    "batch": 32,
    "optimizer": "adamw",
    "learning_rate": 3e-3,
    "warm_up": 20,
}
SEEDS = 2
WATCHED = 32  # test images
MEASURED = [
    "slopes",
    "gradients",
    "predicted gradients",
    "growth",
    "predicted growth",
    "tau",
    "train_accuracy",
    "test_accuracy",
]


def settings_of(seed: int, most_steps: int | None) -> TrainingSettings:
    """Return how a network is trained."""
    steps = SETTINGS["steps"] if most_steps is None else min(SETTINGS["steps"], most_steps)
    warm_up = min(SETTINGS["warm_up"], steps - 1)
    return TrainingSettings(**{**SETTINGS, "steps": steps, "warm_up": warm_up}, seed=seed)


def enlarged_digits(seed: int) -> Dataset:
    """Load handwritten digits, resampled to SIZE pixels."""
    loaded = data.load("digits", seed=seed)
    train, test = (
        LabelledImages(functional.interpolate(part.images, size=(SIZE, SIZE), mode="bilinear"), part.labels)
        for part in (loaded.train, loaded.test)
    )
    return Dataset(loaded.name, loaded.classes, train, test)


def network_of(blocks: int, seed: int, *, warped: bool) -> SelfWarpResNet:
    """Build a network, or its plain twin with the same weights."""
    options = {"warp": warped, **(WARPS if warped else {})}
    return networks.selfwarp_resnet(2 * blocks + 2, 10, 1, WIDTH, seed=seed, **options)


def measured(network: SelfWarpResNet, images: LabelledImages) -> Iterator[dict[str, float]]:
    """Yield what every block sees of images in training mode, means over these; the network is left as it was."""
    copy = deepcopy(network).train()
    entering = block_inputs(copy, images.images)
    found = measured_gradients(copy, images.images, images.labels)
    told = predicted_gradients(copy, images.images, images.labels)
    for number, (block, features) in enumerate(zip(copy.blocks, entering, strict=True)):
        assert isinstance(block, ResidualBlock)
        yield {
            "block": number + 1,
            "slopes": _share(slope_energy(features)),
            "gradients": _share(found.energies[number]),
            "predicted gradients": _share(told.energies[number]),
            "growth": found.amplitudes[number],
            "predicted growth": told.amplitudes[number],
            "tau": offset_slope(block, features),
        }


@torch.no_grad()
def block_inputs(network: SelfWarpResNet, images: Float[Tensor, "B C H W"]) -> list[Tensor]:
    """Return what enters every block, each of shape (B, C, H, W)."""
    entering: list[Tensor] = []
    hooks = [block.register_forward_pre_hook(lambda _, given: entering.append(given[0])) for block in network.blocks]
    network(images)
    for hook in hooks:
        hook.remove()
    return entering


def slope_energy(features: Float[Tensor, "B C H W"]) -> Float[Tensor, "B h w"]:
    """Return the energy of forward differences, summed over channels, shape (B, H − 1, W − 1)."""
    down, across = torch.diff(features, dim=2)[..., :-1], torch.diff(features, dim=3)[..., :-1, :]
    return (down.square() + across.square()).sum(1)


@torch.no_grad()
def offset_slope(block: ResidualBlock, features: Float[Tensor, "B C H W"]) -> float:
    """Return τ of the offsets that a block computes of its input (B, C, H, W); 0 for a block without a warp."""
    if not isinstance(block.warp, SelfWarp):
        return 0.0
    offsets = block.warp.offsets(features).flatten(0, 1)
    return float(offset_jacobian(offsets).square().mean().sqrt())


def _share(energy: Float[Tensor, "B *S"]) -> float:
    return float(share_of_positions(energy).nanmean())


def rows_of(
    blocks: int, seed: int, most_steps: int | None, *, warped: bool, device: str = "cpu"
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a network: measure it, train it, and measure again."""
    digits, network = enlarged_digits(seed), network_of(blocks, seed, warped=warped)
    spread = torch.linspace(0, len(digits.test.images) - 1, WATCHED).long()
    watched = digits.test.at(spread)
    settings = settings_of(seed, most_steps)
    described = {"blocks": blocks, "warped": warped, "seed": seed, "steps": settings.steps}
    for row in measured(network, watched):
        yield {**described, "trained": False, **row, "train_accuracy": math.nan, "test_accuracy": math.nan}
    fit(network.to(device), digits.train.images, digits.train.labels, settings)
    network = network.cpu()
    learnt = {
        f"{name}_accuracy": accuracy(network, part.images, part.labels)
        for name, part in (("train", digits.train), ("test", digits.test))
    }
    for row in measured(network, watched):
        yield {**described, "trained": True, **row, **learnt}


def run(settings: RunSettings) -> Path:
    """Train all networks and write the record; return its path."""
    rows: list[dict[str, Any]] = []
    seeds = range(settings.seed, settings.seed + SEEDS)
    jobs = [(blocks, seed, warped) for seed in seeds for blocks in BLOCKS for warped in (True, False)]
    for number, (blocks, seed, warped) in enumerate(jobs):
        settings.on_progress(number / len(jobs), f"{blocks} blocks, {'warped' if warped else 'plain'}, seed {seed}")
        rows += rows_of(blocks, seed, settings.most_steps, warped=warped, device=settings.device)
    path = records.output_folder(settings.out) / RECORD
    chosen = {"seeds": SEEDS, "most_steps": settings.most_steps, "size": SIZE, "width": WIDTH, **SETTINGS, **WARPS}
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
    return table[chosen].groupby("block", as_index=False)[MEASURED].mean()


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
    axes.plot(warped["block"], warped["predicted gradients"], "-", color=VERMILION)


def _legend() -> list[Line2D]:
    point: dict[str, Any] = {"linestyle": "", "markersize": 3}
    shown = []
    for name, (colour, marker) in _LINES.items():
        shown.append(Line2D([], [], color=colour, marker=marker, label=f"{name}, warped", **point))
        shown.append(
            Line2D([], [], color=colour, marker=marker, markerfacecolor="white", label=f"{name}, plain", **point)
        )
    shown.append(Line2D([], [], color=BLUE, label="slopes, K3 by the entropy"))
    shown.append(Line2D([], [], color=BLUE, linestyle=":", label="slopes, by the variance"))
    shown.append(Line2D([], [], color=VERMILION, label="gradients, warped, F5"))
    return shown


def finding(table: pd.DataFrame) -> Markup:
    """Return what was found, in a sentence or two."""
    warped, plain = (means(table, 27, warped=each, trained=False) for each in (True, False))
    after, plain_after = (means(table, 27, warped=each, trained=True) for each in (True, False))
    return fragment(
        """In self-warp networks of 27 blocks half of an image's gradient at the first block sits in {{ gradient }} of
the positions before training, in {{ told }} by the cascade (F5), and in {{ gradient_after }} after, by the cascade
{{ told_after }}; without warps in {{ plain_gradient }} and {{ plain_gradient_after }}. Half of the energy of the last
block's slopes sits in {{ slopes }} before and {{ slopes_after }} after, where K3's independent layers would leave it in
{{ theory }} and {{ theory_after }}: convolutions, which K3 does not know, mix positions again. From the last block to
the first the gradient grows by {{ growth }} before training, by the cascade {{ told_growth }}, and by
{{ growth_after }} after, by the cascade {{ told_growth_after }}: its weights of random sign are those of a network that
has not been trained.""",
        gradient=f"{warped['gradients'].iloc[0]:.1%}",
        told=f"{warped['predicted gradients'].iloc[0]:.1%}",
        gradient_after=f"{after['gradients'].iloc[0]:.1%}",
        told_after=f"{after['predicted gradients'].iloc[0]:.1%}",
        plain_gradient=f"{plain['gradients'].iloc[0]:.1%}",
        plain_gradient_after=f"{plain_after['gradients'].iloc[0]:.1%}",
        slopes=f"{warped['slopes'].iloc[-1]:.0%}",
        slopes_after=f"{after['slopes'].iloc[-1]:.0%}",
        theory=f"{predicted(warped, plain)['by_entropy'].iloc[-1]:.2%}",
        theory_after=f"{predicted(after, plain_after)['by_entropy'].iloc[-1]:.2%}",
        growth=f"{warped['growth'].iloc[0]:.3g}",
        told_growth=f"{warped['predicted growth'].iloc[0]:.2g}",
        growth_after=f"{after['growth'].iloc[0]:.2g}",
        told_growth_after=f"{after['predicted growth'].iloc[0]:.2g}",
    )


def introduction(table: pd.DataFrame) -> Markup:
    """Return what was trained, and how well."""
    rows = []
    for blocks in BLOCKS:
        warped, plain = (means(table, blocks, warped=each, trained=True).iloc[0] for each in (True, False))
        rows.append(
            f"{blocks} blocks: {warped['test_accuracy']:.1%} ({plain['test_accuracy']:.1%}), on training images "
            f"{warped['train_accuracy']:.1%} ({plain['train_accuracy']:.1%})"
        )
    return fragment(
        """<p>Residual networks of width {{ width }} on handwritten digits, enlarged to {{ size }}×{{ size }} pixels,
trained for {{ steps }} steps of {{ batch }} images; offsets come from heads that are drawn at random, at α =
{{ scale }}, and branch and shortcut read warped values. Their plain twins have the same weights without warps. Test
accuracy with warps (without), means over {{ seeds }} seeds: {{ rows | join("; ") }}.</p>""",
        width=WIDTH,
        size=SIZE,
        steps=SETTINGS["steps"],
        batch=SETTINGS["batch"],
        scale=WARPS["scale"],
        seeds=SEEDS,
        rows=rows,
    )


def configuration() -> dict[str, Any]:
    """Return what the committed record depends on."""
    digits = enlarged_digits(0)
    return {
        "blocks": BLOCKS,
        "warps": WARPS,
        "width": WIDTH,
        "training": asdict(settings_of(0, None)),
        "data": [digest(part.images.numpy()) for part in (digits.train, digits.test)],
        "seeds": SEEDS,
        "watched": WATCHED,
    }


def trained_cell(settings: RunSettings, committed: Path) -> RecomputedCell:
    """Train the network of 9 blocks with warps anew, and compare where half of its slopes' energy sits."""
    settings.on_progress(0.0, "9 blocks, warped, seed 0")
    rows = pd.DataFrame(rows_of(9, 0, None, warped=True, device=settings.device))
    known = records.read_table(committed / RECORD)
    known = known[(known["blocks"] == 9) & known["warped"] & (known["seed"] == 0) & known["trained"]]
    shares = [float(table["slopes"].iloc[:3].mean()) for table in (known, rows[rows["trained"]])]
    return RecomputedCell(
        what="share of positions with half of the slopes' energy, mean over three of 9 trained blocks, seed 0",
        committed=shares[0],
        recomputed=shares[1],
        tolerance=0.1 * shares[0],
        reason=(
            "the order of sums differs between processors and numbers of threads, after which trainings part; networks "
            "of other seeds differ by more"
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
            ReportPassage(introduction, (RECORD,)),
            Plot(
                plot_trained_localisation,
                (RECORD,),
                alt="Share of positions with half of the energy over the blocks of networks, untrained and trained",
                caption="""The share of an image's positions that holds half of the energy of the slopes of a block's
input, and of the gradient that arrives there: with warps (filled) and without (hollow), means over images and seeds.
Blue lines: what K3 makes of the slopes of the plain twin with the measured slopes τ of the offsets of all blocks
before. Red line: the cascade of F5 from a forward pass. It predicts a mean energy, about which a single gradient
scatters from position to position, so that less of them hold half of it.""",
            ),
        ),
    ),
)
