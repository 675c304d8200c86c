"""How the critical multiplier of offsets falls with depth, and which layers make it fall: result G6 on real networks.

Writes `critical_multiplier.parquet`: a row for every block of every network, with what its head's step does to the
output, and the energies that theory makes this of. Networks are as they are initialised, on patches of photographs.
"""

from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import torch
from markupsafe import Markup
from matplotlib.figure import Figure

from warptheory import results
from warptheory.core import records
from warptheory.core.streams import Stream
from warptheory.paper.analyses._offset_networks import OffsetFamily, OffsetNetwork, speeds
from warptheory.paper.entries import Analysis, Cost, Plot, ReportPassage, RunSettings, Section
from warptheory.report import Columns, fragment, html_table
from warptheory.report.panels import letter, mark
from warptheory.report.style import BLUE, GREEN, VERMILION, house_style
from warptheory.training import data

RECORD = "critical_multiplier.parquet"
FAMILIES: tuple[OffsetFamily, ...] = get_args(OffsetFamily)
DEPTHS = (3, 6, 12, 18)
SEEDS, IMAGES, SIZE, WIDTH = 3, 24, 16, 8  # SIZE pixels along a side
CRITICAL = 1 / 3  # of the ratio of speeds, where networks of the study began to fail
COLOURS = dict(zip(FAMILIES, (BLUE, GREEN, VERMILION), strict=True))


def run(settings: RunSettings) -> Path:
    """Measure all networks, and return the path of the record."""
    rows: list[dict[str, object]] = []
    depths, seeds = (DEPTHS, SEEDS) if settings.thin == 1 else ((DEPTHS[0], DEPTHS[-1]), 1)
    jobs = [(family, depth, seed) for family in FAMILIES for depth in depths for seed in range(seeds)]
    for done, (family, depth, seed) in enumerate(jobs):
        rows += measured(family, depth, settings.seed + seed)
        settings.on_progress((done + 1) / len(jobs), f"{family}, {depth} blocks")
    chosen = {"depths": list(DEPTHS), "seeds": SEEDS, "images": IMAGES, "size": SIZE, "width": WIDTH}
    path = records.output_folder(settings.out) / RECORD
    records.write_table(path, pd.DataFrame(rows), records.Manifest(__name__, settings.seed, "cpu", chosen))
    return path


def measured(family: OffsetFamily, depth: int, seed: int) -> list[dict[str, object]]:
    """Return the rows of a network, one for each block.

    Args:
        family: its family.
        depth: number of blocks.
        seed: seed of weights and batch.
    """
    stream = Stream(seed, f"critical multiplier, {family}, {depth} blocks").generator()
    found = data.load("patches", seed=seed, size=SIZE, train_per_class=IMAGES, test_per_class=1)
    chosen = stream.permutation(len(found.train.images))[:IMAGES]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(stream.integers(2**31)))
        network = OffsetNetwork(family, depth, WIDTH, len(found.classes)).double().train()
    found_speeds = speeds(network, found.train.images[chosen].double(), found.train.labels[chosen])
    whole: dict[str, object] = {"heads": found_speeds.heads, "rest": found_speeds.rest, "readout": found_speeds.readout}
    each = zip(found_speeds.layers, found_speeds.feature, found_speeds.slope, found_speeds.gradient, strict=True)
    return [
        {"family": family, "depth": depth, "seed": seed, "block": number, **whole}
        | dict(zip(("layer", "feature", "slope", "gradient"), values, strict=True))
        for number, values in enumerate(each)
    ]


def critical(table: pd.DataFrame) -> pd.DataFrame:
    """Return the critical α²m of every family and depth, a geometric mean over seeds, with its deviation of logs."""
    first = table[table["block"] == 0].assign(logarithm=lambda rows: np.log(CRITICAL * rows["rest"] / rows["heads"]))
    found = first.groupby(["family", "depth"])["logarithm"].agg(["mean", "std"]).reset_index()
    return found.assign(critical=np.exp(found["mean"]))


def exponent(table: pd.DataFrame, family: str, column: str = "critical") -> float:
    """Return the exponent of depth that fits best, by least squares of logarithms."""
    rows = critical(table)
    rows = rows[rows["family"] == family]
    return float(np.polyfit(np.log(rows["depth"]), np.log(rows[column]), 1)[0])


def of_theory(depth: int, start: float = 1.0) -> float:
    """Return what G6 makes the critical multiplier of a linear residual stream, over that of three layers."""
    stream = results.get("G6")
    ratios = [stream.evaluate(standard=True, L=layers, E_0=start) for layers in (3, depth)]
    return ratios[0] / ratios[1]


def plot_critical_multiplier(table: pd.DataFrame) -> Figure:
    """Draw the critical multiplier over depth, and what it is made of block by block."""
    with house_style():
        figure = Figure(figsize=(7.2, 2.6), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        found = critical(table)
        for family in FAMILIES:
            rows = found[found["family"] == family]
            left.errorbar(
                rows["depth"],
                rows["critical"],
                yerr=[
                    rows["critical"] * (1 - np.exp(-rows["std"].fillna(0))),
                    rows["critical"] * (np.exp(rows["std"].fillna(0)) - 1),
                ],
                marker="o",
                markersize=3,
                linewidth=0.9,
                color=COLOURS[family],
                label=family,
            )
            deep = table[(table["family"] == family) & (table["depth"] == max(DEPTHS))]
            by_block = deep.groupby("block")[["layer", "feature", "slope", "gradient"]].agg(_geometric)
            middle.semilogy(by_block.index, by_block["layer"] / by_block["layer"].iloc[-1], color=COLOURS[family])
            for column, line in (("feature", "-"), ("slope", "--"), ("gradient", ":")):
                right.semilogy(by_block.index, by_block[column], line, color=COLOURS[family])
        depths = np.array(DEPTHS)
        start = found[(found["family"] == FAMILIES[0]) & (found["depth"] == 3)]["critical"]
        if len(start):
            theory = [float(start.iloc[0]) * of_theory(int(depth)) for depth in depths]
            left.plot(depths, theory, "k--", linewidth=0.8, label="G6, E₀ = 1")
        left.set_xscale("log")
        left.set_yscale("log")
        mark(left.xaxis, *map(float, DEPTHS))
        left.set_xlabel("blocks")
        left.set_ylabel("critical α²m")
        left.legend(fontsize=5)
        middle.set_xlabel("block")
        middle.set_ylabel("speed by one head, over the last")
        right.set_xlabel("block")
        right.set_ylabel("energy")
        for axes, name, title in ((left, "a", "Depth"), (middle, "b", "Which heads"), (right, "c", "Why")):
            letter(axes, name, title)
        return figure


def _geometric(values: pd.Series) -> float:
    return float(np.exp(np.log(values).mean()))


def finding(table: pd.DataFrame) -> Markup:
    """Return what was found, in a sentence."""
    return fragment(
        """Between {{ least }} and {{ most }} blocks the critical multiplier falls as the depth to the power
{{ powers }}. A linear residual stream has {{ theory }} there by G6,
and 2 in the end: the 3/2 of a study is no law of its own.""",
        least=min(DEPTHS),
        most=max(DEPTHS),
        powers=", ".join(f"{exponent(table, family):.2f} ({family})" for family in FAMILIES),
        theory=f"{np.log(of_theory(max(DEPTHS))) / np.log(max(DEPTHS) / 3):.2f}",
    )


def sums(table: pd.DataFrame) -> Markup:
    """Return how coherently layers add, how fast gradients grow, and what the readout has of the rest's speed."""
    rows = []
    for family in FAMILIES:
        deep = table[(table["family"] == family) & (table["depth"] == max(DEPTHS))]
        nets = deep.groupby("seed")
        coherent = (nets["heads"].first() / nets["layer"].sum()).median()
        incoherent = (nets["heads"].first() / nets["layer"].agg(lambda each: np.sqrt((each**2).sum()))).median()
        gradient = deep.groupby("block")["gradient"].agg(_geometric)
        readout = (nets["readout"].first() / nets["rest"].first()).median()
        rows.append(
            {
                "family": family,
                "coherent": f"{coherent:.2f}",
                "incoherent": f"{incoherent:.2f}",
                "gradient": f"{(gradient.iloc[0] / gradient.iloc[-1]) ** (1 / (len(gradient) - 1)):.2f}",
                "readout": f"{readout:.2f}",
            }
        )
    columns: Columns = {
        f"family, {max(DEPTHS)} blocks": "{family}",
        "all heads over the sum of their speeds": "{coherent}",
        "over the root of the sum of squares": "{incoherent}",
        "growth of gradient energy a block, downwards": "{gradient}",
        "readout's speed over the rest's": "{readout}",
    }
    return fragment(
        """{{ table }}
<p>A plain block of two convolutions with BatchNorm and ReLU multiplies gradient energy by (π/(π − 1))² = {{ plain }} on
the way down, for BatchNorm takes the mean away that ReLU has made: its fall with depth is exponential while the
readout makes the rest's speed, and ends where the lowest blocks make both.</p>""",
        table=html_table(rows, columns, text=(next(iter(columns)),)),
        plain=f"{(np.pi / (np.pi - 1)) ** 2:.2f}",
    )


ANALYSIS = Analysis(
    run=run,
    writes=(RECORD,),
    cost=Cost(quick=45, full=45),
    section=Section(
        title="The critical multiplier of offsets over depth",
        order=86,
        finding=ReportPassage(finding, (RECORD,)),
        parts=(
            "How fast offsets move a network's output against all other parameters (G5) grows with depth, so that "
            "their learning rate has to fall. Of each block the speed that its head has alone is measured, with the "
            "energies that theory makes it of: of what the head reads, of the derivative, and of the gradient.",
            Plot(
                plot_critical_multiplier,
                (RECORD,),
                alt="Critical multiplier over depth, speed by block, and energies by block",
                caption="<b>The critical multiplier.</b> (a) Where the ratio of speeds is 1/3, geometric means over "
                "seeds with their deviation; dashed: G6 for a linear residual stream, from the residual networks' "
                "first point. (b) The speed that the head of one block has, in the deepest networks. (c) Energy of "
                "features (solid), of their derivatives (dashed), and of gradients over the last block's (dotted).",
            ),
            ReportPassage(sums, (RECORD,)),
        ),
    ),
)
