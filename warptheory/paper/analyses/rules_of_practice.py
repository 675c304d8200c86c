"""What rules of practice for the learning rate of offsets correspond to: each rule, and what theory recommends there.

Writes `rules_of_practice.parquet`: a row for each rule, with the multiplier in use and the one at which the ratio of
speeds (G5) is 1/30 on a small network of that kind, a geometric mean over batches and weights. What is carried to other
sizes, or follows from a formula alone, says so.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from markupsafe import Markup

from warptheory.core import records
from warptheory.core.streams import Stream
from warptheory.paper.analyses._offset_networks import speed_ratio
from warptheory.paper.analyses._practice_networks import TapNetwork, TransformerNetwork
from warptheory.paper.entries import Analysis, Cost, DocumentTable, ReportPassage, RunSettings, Section
from warptheory.report import Columns, fragment, html_table, markdown_table, table_rows
from warptheory.training import data

RECORD = "rules_of_practice.parquet"
TARGET = 1 / 30  # a tenth of the ratio of speeds at which networks of the study began to fail
SEEDS, IMAGES, SIZE, WIDTH = 6, 32, 32, 8
IMAGE_NET = 224  # pixels along a side
RATE, MEMORY = 0.1, 10.0  # of ACU's base learning rate, and steps that a momentum of 0.9 remembers
WIDEST, NARROWEST = 12.0, 0.23  # of the kernel of delays, in steps of time


def run(settings: RunSettings) -> Path:
    """Compute what theory recommends for each rule, and return the path of the record."""
    rows = [*measured(settings), *derived()]
    path = records.output_folder(settings.out) / RECORD
    chosen = {"seeds": SEEDS, "images": IMAGES, "size": SIZE, "width": WIDTH, "target": TARGET}
    records.write_table(path, pd.DataFrame(rows), records.Manifest(__name__, settings.seed, "cpu", chosen))
    return path


def measured(settings: RunSettings) -> Iterator[dict[str, object]]:
    """Yield the rows of rules that a network stands for."""
    kinds: dict[str, Callable[[int], TapNetwork | TransformerNetwork]] = {
        "predicted": lambda classes: TapNetwork(WIDTH, classes, predicted=True),
        "static": lambda classes: TapNetwork(WIDTH, classes, predicted=False),
        "transformer": lambda classes: TransformerNetwork(WIDTH, classes, SIZE),
    }
    found = {}
    for number, (name, build) in enumerate(kinds.items()):
        found[name] = np.array([recommended(name, build, settings.seed + seed) for seed in range(SEEDS)])
        settings.on_progress((number + 1) / len(kinds), name)
    carried = (SIZE / IMAGE_NET) ** 2
    ratio = found["static"] / found["predicted"]
    yield _row("DCN, offset heads", "0.1", found["predicted"], "measured on three deformable layers")
    yield _row("DCLS, static positions", "5", found["static"], "measured on the same layers, positions shared")
    patches = " to ".join(f"{9 * channels * WIDTH / 2:g}" for channels in (1, 4))
    reason = f"measured; the input patches of the heads have energies of {patches} (G5) if E x² = ½, as behind ReLU"
    yield _row("static over predicted positions", "50", ratio, reason)
    yield _row("STN, whole localiser, 32 pixels", "", found["transformer"], "measured on a transformer of 32 pixels")
    reason = "carried to 224 pixels by (224/32)², for details that stay at the scale of a pixel"
    yield _row("STN, whole localiser, 224 pixels", "1e-3", carried * found["transformer"], reason)


def recommended(name: str, build: Callable[[int], TapNetwork | TransformerNetwork], seed: int) -> float:
    """Return the multiplier at which the ratio of speeds is the target, for α = 1.

    Args:
        name: name of the kind, for its random numbers.
        build: makes the network for a number of classes.
        seed: seed of weights and batch.
    """
    stream = Stream(seed, f"rules of practice, {name}").generator()
    found = data.load("patches", seed=seed, size=SIZE, train_per_class=IMAGES, test_per_class=1)
    chosen = stream.permutation(len(found.train.images))[:IMAGES]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(stream.integers(2**31)))
        network = build(len(found.classes)).double().train()
    images, labels = found.train.images[chosen].double(), found.train.labels[chosen]
    return TARGET / speed_ratio(network, images, labels, network.offsets())


def derived() -> Iterator[dict[str, object]]:
    """Yield the rows of rules that follow from a formula alone."""
    for channels in (64, 256, 512):
        equal = 1 / np.sqrt(3 * 2 * channels / 9)
        reason = "C13: equal speeds in parameter space, 1/√(3κC_o/T), white features, T = 9, κ = 2"
        yield _row(f"DCN, {channels} output channels", "0.1", np.array([equal]), reason)
    reason = "one pixel per memory of the momentum, gradients of unit norm, rate 0.1: an upper bound, not a target"
    yield _row("ACU, unit-norm gradients", "0.01", np.array([1 / (RATE * MEMORY)]), reason)
    for width in (WIDEST, NARROWEST):
        reason = "energy of the value over that of its derivative, ∫k²/∫k′²: how much slower positions are than weights"
        yield _row(f"delays, σ = {width:g}", "100", np.array([slowness(width)]), reason)
        reason = "steps of time from the optimum to where the curvature of an alignment loss turns negative"
        yield _row(f"delays, basin at σ = {width:g}", "", np.array([basin(width)]), reason)


def slowness(width: float) -> float:
    """Return ∫k²/∫k′² for a Gaussian kernel of unit mass, in squared steps of time.

    Args:
        width: its deviation σ, in steps of time.
    """
    places, kernel = _gaussian(width)
    return float(np.trapezoid(kernel**2, places) / np.trapezoid(np.gradient(kernel, places) ** 2, places))


def basin(width: float) -> float:
    """Return how far from the optimum the alignment loss of white input stays convex, in steps of time.

    Args:
        width: deviation σ of the kernel, in steps of time.
    """
    places, kernel = _gaussian(width)
    overlap = np.convolve(kernel, kernel, "same")  # the kernel's autocorrelation; the loss is a constant less it
    curvature = -np.gradient(np.gradient(overlap, places), places)
    outward = places >= 0
    return float(places[outward][np.argmax(curvature[outward] < 0)])


def _gaussian(width: float) -> tuple[np.ndarray, np.ndarray]:
    places = np.linspace(-8 * width, 8 * width, 4001)
    return places, np.exp(-((places / width) ** 2) / 2) / (width * np.sqrt(2 * np.pi))


def _row(rule: str, practice: str, values: np.ndarray, reason: str) -> dict[str, object]:
    logarithms = np.log(values)
    return {
        "rule": rule,
        "practice": practice,
        "recommended": float(np.exp(logarithms.mean())),
        "spread": float(np.exp(logarithms.std())),
        "count": len(values),
        "reason": reason,
    }


def table_of_rules(table: pd.DataFrame) -> Markup:
    """Return the table."""
    columns = _columns()
    return html_table(table_rows(table), columns, text=tuple(columns))


def _columns() -> Columns:
    return {"rule": "{rule}", "in use": "{practice}", "theory": _theory, "how": "{reason}"}


def rules_table(table: pd.DataFrame) -> str:
    """Return the same as a Markdown table."""
    footer = "In use: multipliers of released models. Theory: geometric means, with the factor of a standard deviation."
    return markdown_table(table_rows(table), _columns(), footer)


def _theory(row: Mapping[str, Any]) -> str:
    """Return the recommended multiplier, with its spread if there are several."""
    spread = f" (× or ÷ {row['spread']:.2f})" if row["count"] > 1 else ""
    return f"{row['recommended']:.2g}{spread}"


def finding(table: pd.DataFrame) -> Markup:
    """Return what was found, in a sentence."""
    value = table.set_index("rule")["recommended"]
    return fragment(
        """At a ratio of speeds of 1/30 predicted offsets take the multiplier {{ predicted }} (practice: 0.1), static
positions {{ static }} (DCLS: 5), and a localiser {{ carried }} at 224 pixels (STN: 1e-3), carried over and not run.""",
        predicted=f"{value['DCN, offset heads']:.2g}",
        static=f"{value['DCLS, static positions']:.2g}",
        carried=f"{value['STN, whole localiser, 224 pixels']:.2g}",
    )


ANALYSIS = Analysis(
    run=run,
    writes=(RECORD,),
    cost=Cost(quick=30, full=30),
    tables=(DocumentTable("rules", rules_table, (RECORD,)),),
    section=Section(
        title="Rules of practice for the learning rate of offsets",
        order=87,
        finding=ReportPassage(finding, (RECORD,)),
        parts=(
            "Multipliers that released models use, beside those at which one step of the offsets moves the output a "
            "thirtieth as far as the step of all else (G5). Networks are small and at initialisation; the spread is "
            "that over batches and weights. Adam divides by the size of gradients: what concerns it, as the delays "
            "do, says how slow or how confined positions are, and not what multiplier to take.",
            ReportPassage(table_of_rules, (RECORD,)),
        ),
    ),
)
