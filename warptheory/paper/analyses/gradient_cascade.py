"""Gradients of self-warp networks before their first step: predicted from a forward pass, and measured (F3–F5).

Writes `gradient_cascade.parquet`, a row for each place in each network: the amplitude of the gradient of the loss at
the input of a block, or behind the last one, against that behind the last one. It is measured by a backward pass, and
predicted from the same batch without one: by the cascade of the channels' second moments, by energies alone, and by the
product of mean gains. What the cascade predicts, the mean over random signs of the gradient behind the last block, is
measured too, by a backward pass for each of 32 draws. Beside it stand the share of positions that holds half of the
gradient energy, and, of every block, the energy that its offsets receive over what the local law says of it, and over
what spatial averages say (F4).

Networks have heads of unit gain, and see patches of photographs. They are as they are initialised, in training mode.
"""

import math
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from markupsafe import Markup
from numpy import ndarray
from torch import Tensor
from torch.nn import functional

from warptheory import warping
from warptheory.core import records
from warptheory.core.streams import Stream
from warptheory.networks import ResidualBlock, SelfWarpResNet, selfwarp_resnet
from warptheory.operators.self_warp import SelfWarp
from warptheory.paper.analyses._gradient_cascade_plots import (
    GOAL,
    LOG_GOAL,
    plot_explosion,
    plot_local_law,
    plot_profile,
)
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
from warptheory.report import Columns, fragment, html_table, table_rows
from warptheory.results.selfwarp.cascade import moments_of
from warptheory.stability import measured_gradients, output_gradient, randomly_signed_gradients, read_cascade
from warptheory.training import data

RECORD = "gradient_cascade.parquet"
BLOCKS = (3, 9, 18, 27)
SCALES = (0.1, 0.3, 1.0, 3.0)  # α, pixels per unit of the head's output
WIDTH = 8  # channels of the first stage
IMAGES = 8  # of the batch
DRAWS = 32  # of the signs of the gradient behind the last block


@dataclass(frozen=True)
class LabelledPatches:
    """What a network is given.

    Attributes:
        images: patches of photographs, shape (B, 1, H, W).
        labels: the photographs they are from, shape (B,).
        classes: how many photographs there are.
    """

    images: Tensor
    labels: Tensor
    classes: int


def batch(seed: int) -> LabelledPatches:
    """Draw a batch of patches."""
    found = data.load("patches", seed=seed, train_per_class=IMAGES, test_per_class=1)
    chosen = Stream(seed, "batch of the gradient cascade").generator().permutation(len(found.train.images))[:IMAGES]
    return LabelledPatches(found.train.images[chosen], found.train.labels[chosen], len(found.classes))


def network_of(blocks: int, scale: float, seed: int, classes: int) -> SelfWarpResNet:
    """Build a network as it would be trained, with heads of unit gain."""
    return selfwarp_resnet(2 * blocks + 2, classes, 1, WIDTH, seed=seed, scale=scale, head_gain=1.0).train()


def rows_of(
    blocks: int, scale: float, seed: int, drawn: LabelledPatches, *, compared: bool
) -> Iterator[dict[str, Any]]:
    """Yield what is predicted and measured at every place of a network.

    Args:
        blocks: number of blocks.
        scale: α of its self-warps.
        seed: of its weights.
        drawn: the batch.
        compared: whether the simpler predictions are made too.
    """
    network = network_of(blocks, scale, seed, drawn.classes)
    measured = measured_gradients(network, drawn.images, drawn.labels)
    signs = Stream(seed, f"signs of the gradient behind {blocks} blocks, scale {scale:g}").generator()
    signed = randomly_signed_gradients(network, drawn.images, drawn.labels, DRAWS, signs)
    drawn_gains = np.array([profile.log_gains for profile in signed])
    reading = read_cascade(network, drawn.images)
    start = moments_of(output_gradient(network, reading.features, drawn.labels))
    predicted = reading.cascade.profile(start)
    laws = [*local_laws(network, drawn), (math.nan, math.nan)]
    others = {
        "energies": reading.cascade.energy_profile(start).log_gains if compared else None,
        "means": reading.cascade.mean_profile(start).log_gains if compared else None,
    }
    for place in range(blocks + 1):
        yield {
            "seed": seed,
            "blocks": blocks,
            "scale": scale,
            "place": place,
            "measured": _decades(measured.log_gains[place]),
            "predicted": _decades(predicted.log_gains[place]),
            **_of_draws(drawn_gains[:, place], measured.log_gains[place]),
            **{name: math.nan if gains is None else _decades(gains[place]) for name, gains in others.items()},
            "measured_share": measured.half_energy_shares[place],
            "predicted_share": predicted.half_energy_shares[place],
            "local_law": laws[place][0],
            "averaged_law": laws[place][1],
        }


def local_laws(network: SelfWarpResNet, drawn: LabelledPatches) -> list[tuple[float, float]]:
    """Return, of every block, the energy that offsets receive over C|g|²λ summed, and over the product of averages."""
    copy, entered, left = deepcopy(network), [], []
    warps = [block.warp for block in copy.blocks if isinstance(block, ResidualBlock)]
    for warp in warps:
        warp.register_forward_pre_hook(lambda _, given: entered.append(given[0].detach()))
        warp.register_forward_hook(lambda _, given, found: left.append(found))
    gradients = torch.autograd.grad(functional.cross_entropy(copy(drawn.images), drawn.labels), left)
    found = []
    for warp, x, g in zip(warps, entered, gradients, strict=True):
        assert isinstance(warp, SelfWarp)
        with torch.no_grad():
            slopes = warping.warp_gradient(x, warp.offsets(x), warp.kernel, warp.boundary)
        received = float((g[:, :, None] * slopes).sum(1).square().sum(dtype=torch.float64))
        energy, roughness = g.double().square().sum(1), slopes.double().square().mean(1).sum(1)
        local, averaged = (energy * roughness).sum(), energy.sum() * roughness.mean()
        found.append((received / float(local), received / float(averaged)))
    return found


def _of_draws(log_gains: Float[ndarray, "K"], measured: float) -> dict[str, float]:
    """Return what K draws of random signs say of a place, in decades of the amplitude.

    The root mean square over draws and its standard error, the deviation of single draws, and the share of draws that
    are below what the loss's own gradient has.
    """
    energies = np.exp(log_gains - log_gains.max())  # of 10³⁶ and more
    mean, error = energies.mean(), energies.std(ddof=1) / math.sqrt(len(energies))
    return {
        "drawn": _decades(math.log(mean) + float(log_gains.max())),
        "drawn_error": _decades(float(error / mean)),
        "spread": _decades(float(log_gains.std(ddof=1))),
        "below": float((log_gains < measured).mean()),
    }


def _decades(log_energy: float) -> float:
    """Return the decimal logarithm of the amplitude whose energy has a natural logarithm."""
    return log_energy / 2 / math.log(10)


def run(settings: RunSettings) -> Path:
    """Predict and measure every network, and write the record; return its path."""
    seeds = range(settings.seed, settings.seed + settings.seeds)
    plan = [(seed, blocks, scale) for seed in seeds for blocks in BLOCKS for scale in SCALES][:: settings.thin]
    rows: list[dict[str, Any]] = []
    for number, (seed, blocks, scale) in enumerate(plan):
        settings.on_progress(number / len(plan), f"{blocks} blocks, α = {scale:g}, seed {seed}")
        rows += rows_of(blocks, scale, seed, batch(seed), compared=(seed, blocks) == (settings.seed, BLOCKS[-1]))
    chosen = {
        "seeds": settings.seeds,
        "blocks": BLOCKS,
        "scales": SCALES,
        "width": WIDTH,
        "images": IMAGES,
        "draws": DRAWS,
    }
    path = records.output_folder(settings.out) / RECORD
    records.write_table(path, pd.DataFrame(rows), records.Manifest(__name__, settings.seed, "cpu", chosen))
    return path


def configuration() -> dict[str, Any]:
    """Return what the committed record depends on."""
    found = [digest(batch(seed).images.numpy()) for seed in range(RunSettings.seeds)]
    chosen = {"blocks": BLOCKS, "scales": SCALES, "width": WIDTH, "images": IMAGES, "draws": DRAWS}
    return {**chosen, "seeds": RunSettings.seeds, "data": found}


def recompute(settings: RunSettings, committed: Path) -> RecomputedCell:
    """Predict one network anew and compare."""
    settings.on_progress(0.0, "3 blocks, α = 1")
    row = next(rows_of(BLOCKS[0], 1.0, 0, batch(0), compared=False))
    table = records.read_table(committed / RECORD)
    known = table[(table["seed"] == 0) & (table["blocks"] == BLOCKS[0]) & (table["scale"] == 1) & (table["place"] == 0)]
    return RecomputedCell(
        what="predicted growth of the gradient over 3 blocks at α = 1, seed 0, in decades",
        committed=float(known["predicted"].iloc[0]),
        recomputed=row["predicted"],
        tolerance=1e-2,
        reason=(
            "rounding differs between processors, and moves single sampling positions across a pixel and single values "
            "across the corner of a ReLU"
        ),
    )


def accuracy_by_decades(table: pd.DataFrame, known: str) -> pd.DataFrame:
    """Return how well a growth was predicted, a row for every three decades of the loss's own gradient.

    Args:
        table: the record.
        known: column of the growth: "drawn", the root mean square over random signs, or "measured", the loss's own.
    """
    ends = table[table["place"] == 0]
    error = ends["predicted"] - ends[known]
    first = (ends["measured"] // 3 * 3).clip(lower=0).astype(int)
    grouped = error.groupby(first)
    found = pd.DataFrame(
        {
            "networks": grouped.size(),
            "median": 10 ** grouped.median(),
            "lowest": 10 ** grouped.min(),
            "highest": 10 ** grouped.max(),
            "within": grouped.apply(lambda one: float((one.abs() <= LOG_GOAL).mean())),
        }
    )
    return found.rename_axis("decades").reset_index()


def accuracies(table: pd.DataFrame) -> Markup:
    """Return how well growth was predicted as an HTML table: over the mean over signs, and over the own gradient."""
    mean, own = accuracy_by_decades(table, "drawn"), accuracy_by_decades(table, "measured")
    columns: Columns = {
        "growth": lambda row: f"10^{row['decades']} to 10^{row['decades'] + 3}",
        "networks": "{networks}",
        "over mean": "{median:.2f}",
        "range": "{lowest:.2f}–{highest:.2f}",
        f"within {GOAL:g}×": "{within:.0%}",
        "over own": "{median_own:.2f}",
        "own range": "{lowest_own:.2f}–{highest_own:.2f}",
        f"own {GOAL:g}×": "{within_own:.0%}",
    }
    both = mean.merge(own.drop(columns="networks"), on="decades", suffixes=("", "_own"))
    return html_table(table_rows(both), columns, text=("growth",))


def finding(table: pd.DataFrame) -> Markup:
    """Return what was found, with its numbers."""
    ends = table[table["place"] == 0]
    mean, own = (ends["predicted"] - ends["drawn"]).abs(), (ends["predicted"] - ends["measured"]).abs()
    nine = ends["measured"] <= 9
    return fragment(
        """The growth of the gradient through self-warp networks of {{ least }} to {{ most }} blocks, up to
10^{{ decades }}, is predicted from one forward pass. What is predicted is the mean energy over random signs of the
gradient behind the last block: {{ mean_share }} of {{ count }} networks are within {{ goal }}× of its root, the median
ratio is {{ median }}, the worst factor {{ mean_worst }} ({{ mean_nine }} over the first nine decades). The loss's own
gradient is a single one, and is predicted less well: {{ own_share }} within {{ goal }}×, the worst factor
{{ own_worst }} ({{ own_nine }} over the first nine decades) (F5).""",
        least=BLOCKS[0],
        most=BLOCKS[-1],
        decades=f"{ends['measured'].max():.0f}",
        count=len(ends),
        goal=f"{GOAL:g}",
        median=f"{10 ** (ends['predicted'] - ends['drawn']).median():.2f}",
        mean_share=f"{(mean <= LOG_GOAL).mean():.0%}",
        mean_worst=f"{10 ** mean.max():.2f}",
        mean_nine=f"{10 ** mean[nine].max():.2f}",
        own_share=f"{(own <= LOG_GOAL).mean():.0%}",
        own_worst=f"{10 ** own.max():.2f}",
        own_nine=f"{10 ** own[nine].max():.2f}",
    )


def why_single_gradients_differ(table: pd.DataFrame) -> Markup:
    """Return where what is not predicted comes from, with its numbers."""
    ends = table[table["place"] == 0]
    strong = ends[ends["scale"] >= 1]
    apart = (ends["measured"] - ends["drawn"]).abs()
    return fragment(
        """Gradients of the same energies and other signs reach the input with amplitudes that scatter: at α ≥ 1 by a
factor of {{ spread }} (one deviation, the median of the networks), of {{ most }} at most. The loss's own is one of
them, off their root mean square by a factor of {{ apart }} at most; in {{ inside }} of {{ count }} networks it lies
between the least and the greatest of {{ draws }} draws, where {{ expected }} would if it were drawn like the others. It
is not: behind the pooling it is the same at every position of an image. A prediction of the mean does not know where a
single gradient falls. Where the mean itself is missed, positions have correlated gradients: of their correlations the
cascade keeps those of a shortcut with its branch, and no others.""",
        spread=f"{10 ** strong['spread'].median():.2f}",
        most=f"{10 ** ends['spread'].max():.2f}",
        apart=f"{10 ** apart.max():.2f}",
        inside=int(ends["below"].between(0, 1, inclusive="neither").sum()),
        count=len(ends),
        draws=DRAWS,
        expected=f"{len(ends) * (DRAWS - 1) / (DRAWS + 1):.0f}",
    )


def caption_of_explosion(table: pd.DataFrame) -> Markup:
    """Return the caption of the first plot."""
    seeds = table["seed"].nunique()
    return fragment(
        """Amplitude of the gradient at the first block's input over that behind the last block, before the first step,
{{ seeds }} seeds of weights and batches ({{ images }} patches of photographs, {{ width }} channels in the first stage,
heads of unit gain). Predicted: second moments of the channels at every position, propagated by the masks, gains, slopes
and weights that a forward pass shows. Left: over the root mean square of {{ draws }} backward passes, each with random
signs on the gradient behind the last block; bars: its standard error. Right: over the loss's own gradient; bars: one
deviation of single draws of signs. Grey: within {{ goal }}×.""",
        seeds=seeds,
        images=IMAGES,
        width=WIDTH,
        draws=DRAWS,
        goal=f"{GOAL:g}",
    )


ANALYSIS = Analysis(
    run=run,
    writes=(RECORD,),
    cost=Cost(quick=6, full=450),
    long=LongComputation(configuration=configuration, cell=recompute),
    section=Section(
        title="The gradient cascade of self-warp networks",
        order=75,
        finding=ReportPassage(finding, (RECORD,)),
        parts=(
            "A self-warp passes gradients to its input by two ways: through the values it reads, and through the head "
            "that computes where it reads them (F3). The second multiplies the energy at a position by the roughness "
            "of the features there (F4), layer after layer, so that energy gathers where features stay rough (F5).",
            Plot(
                plot_explosion,
                (RECORD,),
                alt="Predicted over measured growth of gradients in self-warp networks, for random signs and the loss",
                caption=caption_of_explosion,
            ),
            ReportPassage(accuracies, (RECORD,)),
            ReportPassage(why_single_gradients_differ, (RECORD,)),
            Plot(
                plot_profile,
                (RECORD,),
                alt="Growth and localisation of the gradient, block by block",
                caption="The way back through the deepest network, from right to left: measured, predicted by the "
                "cascade, and by the product of mean gains, which knows nothing of localisation. Right: the share of "
                "positions of all images that holds half of the gradient energy; 50 % if it were spread evenly.",
            ),
            Plot(
                plot_local_law,
                (RECORD,),
                alt="Energy received by offsets over the local law and over spatial averages",
                caption="The energy that the offsets of a block receive, over C|g(t)|²λ(t) summed over positions "
                "(left), and over the product of the spatial averages of |g|² and λ (right); every block of every "
                "network.",
            ),
        ),
    ),
)
