"""Write the tables in README.md: verdicts and accuracy from `make reproduce`, timings from `make bench`."""

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from warptheory import results
from warptheory.core import records
from warptheory.core.checkout import checkout_folder
from warptheory.core.files import content_of
from warptheory.report import accuracy_summary


def verdict_table(verdicts: pd.DataFrame) -> str:
    """Return a Markdown table with the first setting of each quantity."""
    lines = [
        "| result | quantity | setting | theory | simulation ± standard error | rows | power | verdict |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in verdicts.drop_duplicates(["result", "quantity"]).to_dict(orient="records"):
        law = "" if "fixed" in row["offsets"] else f", {row['offsets']} offsets"
        setting = f"{row['kernel']}, d = {row['dim']}, {row['inputs']} input, {row['values']}{law}"
        lines.append(
            f"| {row['result']} | {row['quantity']} | {setting} | {row['theory']:.6g} "
            f"| {row['estimate']:.6g} ± {row['stderr']:.2g} | {row['n']} | {row['power']:.4f} | {row['verdict']} |"
        )
    counts = ", ".join(f"{count} {verdict}" for verdict, count in verdicts["verdict"].value_counts().items())
    drawn = ", ".join(f"{kind} in {count}" for kind, count in verdicts["drawn"].value_counts().items())
    footer = (
        f"All claims of that run (seed {verdicts['seed'].iloc[0]}, z = {verdicts['z'].iloc[0]:.2f}): {counts}; "
        f"{(verdicts['point'] > 0).sum()} at random points. Drawn are: {drawn}. Rows are independent: realisations of "
        "all fields, or sets of offsets that cover their law evenly."
    )
    return "\n".join([*lines, "", footer])


def power_table(planted: pd.DataFrame) -> str:
    """Return a Markdown table of the planted errors, and of how many were refused."""
    lines = ["| planted error | refused |", "|---|---|"]
    for kind, found in planted.groupby("error", sort=False):
        lines.append(f"| {kind} | {found['refused'].sum()} of {len(found)} |")
    footer = (
        f"Planted in the closed forms of {planted['result'].nunique()} results, in every setting in which they are "
        f"checked (seed {planted['seed'].iloc[0]:.0f}): scaled by the smallest error that matters, the whole sign "
        "flipped, a term dropped or its sign flipped, at random points the exponent of one power of a symbol wrong, "
        "where that changes the value by as much. Not planted: "
        f"{results.not_planted(planted)}."
    )
    return "\n".join([*lines, "", footer])


def speed_table(benchmark: dict[str, Any]) -> str:
    """Return a Markdown table of geometric means over shapes and offsets, and of the slowest case."""
    settings, rows = benchmark["settings"], pd.DataFrame(benchmark["results"])
    rows["shape"] = rows["shape"].map(tuple)
    rows["busy"] = rows.get("busy_processes", 0)
    training = [tuple(shape) for shape in settings["training_shapes"]]
    others = [[shape] for shape in rows["shape"].drop_duplicates() if shape not in training]
    lines = [
        "| images | threads | layout | forward | forward and both gradients |",
        "|---|---|---|---|---|",
    ]
    for chosen in (training, *others):
        name = f"{len(training)} training shapes" if len(chosen) > 1 else "×".join(map(str, chosen[0]))
        groups = rows[rows["shape"].isin(chosen)].groupby(["busy", "threads", "layout"], sort=True)
        for (busy, threads, layout), group in groups:
            cells = [_ratios(group[group["pass"] == passes]) for passes in ("forward", "forward and both gradients")]
            beside = f", {busy} busy processes beside" if busy else ""
            lines.append(f"| {name}{beside} | {threads} | {layout} | {cells[0]} | {cells[1]} |")
    listed = ", ".join("×".join(map(str, shape)) for shape in settings["training_shapes"])
    footer = (
        f"Time of `F.grid_sample` with its grid over that of `warp`, {settings['dtype']}: geometric mean over shapes "
        f"and smooth and iid offsets of {settings['spread_px']:g} pixels, in brackets the slowest case; medians of "
        f"{settings['rounds']} interleaved rounds on {settings['device_name']} ({benchmark['machine']}), "
        f"torch {benchmark['versions']['torch']}. Training shapes: {listed}."
    )
    return "\n".join([*lines, "", footer])


def _ratios(rows: pd.DataFrame) -> str:
    return f"{np.exp(np.log(rows['ratio']).mean()):.1f} ({rows['ratio'].min():.1f})"


def accuracy_table(accuracy: pd.DataFrame) -> str:
    """Return a Markdown table of the largest float32 errors over the width of the image."""
    quantities = ("forward", "image_gradient", "offset_gradient")
    titles = " | ".join(quantity.replace("_", " ") for quantity in quantities)
    lines = [f"| width | operator | {titles} |", "|---|---|---|---|---|"]
    for row in accuracy.to_dict(orient="records"):
        errors = " | ".join(f"{row[quantity]:.1e}" for quantity in quantities)
        lines.append(f"| {row['width']} | `{row['operator']}` | {errors} |")
    footer = f"Largest float32 error against float64, relative to the largest value (seed {accuracy['seed'].iloc[0]})."
    return "\n".join([*lines, "", footer])


def orders_table(orders: pd.DataFrame) -> str:
    """Return a Markdown table of fitted orders in the spacing of the grid, with their 95 % intervals."""
    lines = ["| error | kernel | field | order for h → 0 | fitted | its closed form |", "|---|---|---|---|---|---|"]
    for row in orders.to_dict(orient="records"):
        error = f"{row['result']}: {row['scale']}, {row['error']}, {row['source']}"
        interval = "" if row["source"] == "closed form" else f" ({row['low']:.3f} to {row['high']:.3f})"
        fitted = f"{row['fitted']:.3f}{interval}"
        lines.append(
            f"| {error} | {row['kernel']} | {row['field']} | {row['expected']:g} | {fitted} "
            f"| {row['closed_form']:.3f} |"
        )
    footer = (
        "Slopes of log error against log h; in brackets 95 % intervals from the standard errors between independent "
        "rows, and beside them the slope of the closed form over the same spacings, which differs from the limit by "
        f"higher orders (seed {orders['seed'].iloc[0]})."
    )
    return "\n".join([*lines, "", footer])


def photographs_table(agreement: pd.DataFrame) -> str:
    """Return a Markdown table of how well errors on photographs are predicted from their spectra."""
    lines = [
        "| quantity | spectrum of | correlation | the same relative to the variance | slope ± standard error "
        "| measured over predicted: median (quartiles) | n |",
        "|---|---|---|---|---|---|---|",
    ]
    names = {"own": "the photograph itself", "other half": "its other half", "Gaussian": "(Gaussian fields instead)"}
    chosen = agreement[(agreement["kernel"] == "all") | ~agreement["quantity"].isin(["value", "gradient"])]
    for row in chosen.to_dict(orient="records"):
        ratio = f"{row['ratio']:.2f} ({row['ratio_low']:.2f} to {row['ratio_high']:.2f})"
        lines.append(
            f"| {row['quantity']} | {names[row['spectrum']]} | {row['correlation']:.4f} "
            f"| {row['correlation_relative']:.3f} | {row['slope']:.3f} ± {row['slope_stderr']:.3f} | {ratio} "
            f"| {row['n']} |"
        )
    return "\n".join([*lines, "", "Correlations and slopes are of logarithms, over photographs and kernels."])


def fields_table(benchmark: dict[str, Any]) -> str:
    """Return a Markdown table of the time of a random field against GSTools."""
    settings = benchmark["settings"]
    lines = ["| dtype | GSTools' time over ours | lowest and highest of the rounds |", "|---|---|---|"]
    for row in benchmark["results"]:
        lines.append(f"| {row['dtype']} | {row['ratio']:.0f} | {row['ratio_lowest']:.0f}, {row['ratio_highest']:.0f} |")
    volume = f"{'×'.join(map(str, settings['volume']))} takes {benchmark['volume']['gibibytes']:.2f} GiB"
    footer = (
        f"One field of {'×'.join(map(str, settings['size']))} of a squared exponential, length "
        f"{settings['length_px']:g} pixels, by GSTools' randomization method with its default modes; medians of "
        f"{settings['rounds']} rounds on {settings['device_name']}, {settings['threads']} threads. "
        f"A volume of {volume}."
    )
    return "\n".join([*lines, "", footer])


def monte_carlo_table(benchmark: dict[str, Any]) -> str:
    """Return Markdown tables of the simulations against NumPy, and of the gain of every result."""
    lines = ["| result | NumPy | samples per second, ours over NumPy's |", "|---|---|---|"]
    for row in benchmark["samples_per_second"]:
        threads = f"{row['threads']} thread{'s' if row['threads'] > 1 else ''}"
        lines.append(f"| {row['result']} | {row['method']}, {threads} | {_spread(row['ratio'], 2)} |")
    reached = benchmark["time_to_precision"]
    time = (
        f"{reached['result']} to a standard error of {reached['stderr']:.1e}, one core each: NumPy takes "
        f"{_spread(reached['ratio'], 0)} times as long."
    )
    gains = ["| result | reduction | variance × time, plain over reduced |", "|---|---|---|"]
    for row in benchmark["gains"]:
        gain = (
            "infinite" if row["gain"] is None else f"{row['gain']:.2g}" if row["gain"] < 100 else f"{row['gain']:.0f}"
        )
        kind = "none, it runs as it is" if row["reduction"] == "none" else row["reduction"]
        gains.append(f"| {row['result']} {row['quantity']} | {kind} | {'' if row['reduction'] == 'none' else gain} |")
    settings = benchmark["settings"]
    footer = (
        f"Medians of {settings['rounds']} interleaved rounds, in brackets the lowest and the highest, on "
        f"{settings['device_name']} ({benchmark['machine']}), {settings['workers']} workers, float64, load average "
        f"{settings['load_average']:.1f}; gains are measured once, in the first setting of each result."
    )
    return "\n".join([*lines, "", time, "", *gains, "", footer])


def verification_table(benchmark: dict[str, Any]) -> str:
    """Return a Markdown table of the verification of everything at both profiles, and of its time."""
    heads = ("profile", "smallest error that matters", "seed", "claims", "verified", "refuted", "undecided", "minutes")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in benchmark["runs"]:
        least, most = (100 * effect for effect in row["smallest_effects"])
        lines.append(
            f"| {row['profile']} | {least:g} to {most:g} % | {row['seed']} | {row['claims']} | {row['verified']} "
            f"| {len(row['refuted'])} | {len(row['undecided'])} | {row['seconds'] / 60:.1f} |"
        )
    settings = benchmark["settings"]
    footer = (
        f"`benchmarks/verification.py` on {settings['device_name']} ({benchmark['machine']}), nothing stored before."
    )
    return "\n".join([*lines, "", footer])


def networks_table(accuracy: pd.DataFrame) -> str:
    """Return a Markdown table of the networks with and without warps."""
    heads = ("data", "network", "steps × batch", "test accuracy", "lowest to highest", "published")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    summary = accuracy_summary(accuracy).to_dict(orient="records")
    for row in summary:
        published = "" if pd.isna(row["published_accuracy"]) else f"{100 * row['published_accuracy']:.0f} %"
        lines.append(
            f"| {row['data']} | {row['network']} | {row['steps']:.0f} × {row['batch']:.0f} "
            f"| {100 * row['mean']:.1f} ± {100 * row['std']:.1f} % "
            f"| {100 * row['min']:.1f} to {100 * row['max']:.1f} % | {published} |"
        )
    sources = {row["data"]: row["published_by"] for row in summary if row["published_by"]}
    seeds = sorted(accuracy["seed"].unique())
    footer = (
        f"Mean ± standard deviation over {len(seeds)} seeds ({seeds[0]} to {seeds[-1]}) of weights, order and patches. "
        "Images are classified by the photograph that they come from (patches), or by the digit. Offsets start at zero "
        f"and learn at {accuracy['warping_multiplier'].iloc[0]:g} of the learning rate. Published: "
        f"{'; '.join(f'{data}, {source}' for data, source in sources.items())}."
    )
    return "\n".join([*lines, "", footer])


def step_table(step: dict[str, Any], monitor: dict[str, Any]) -> str:
    """Return a Markdown table of what warps and the monitor add to a training step."""
    settings = step["settings"]
    lines = ["| time of a training step | ratio |", "|---|---|"]
    lines += [f"| {name} | {_spread(found, 2)} |" for name, found in step["ratios"].items()]
    lines.append(f"| share of the {step['warps']} self-warps in the step | {_spread(step['share_of_the_step'], 2)} |")
    watched = f"with the monitor over without, on average at an interval of {monitor['settings']['interval']}"
    lines.append(f"| {watched} | {_spread(monitor['results']['at_interval'], 3)} |")
    footer = (
        f"ResNet-{settings['depth']}, width {settings['width']}, batch {settings['batch']}, {settings['layout']}, "
        f"{settings['dtype']}; medians of {settings['rounds']} interleaved rounds, in brackets the lowest and the "
        f"highest, on {settings['device_name']} ({step['machine']}), {settings['threads']} threads."
    )
    return "\n".join([*lines, "", footer])


def _spread(found: dict[str, float], digits: int) -> str:
    return f"{found['median']:.{digits}f} ({found['lowest']:.{digits}f} to {found['highest']:.{digits}f})"


def replace_block(text: str, name: str, content: str) -> str:
    """Replace what stands between a block's markers."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    block = re.compile(f"{re.escape(begin)}.*{re.escape(end)}", re.DOTALL)
    return block.sub(lambda _: f"{begin}\n{content}\n{end}", text)


def blocks(source: Path, benchmarks: Path) -> dict[str, Callable[[], str]]:
    """Return what writes each block of README.md, from the records of a run and from those of the benchmarks."""

    def table(name: str) -> pd.DataFrame:
        return records.read_table(source / f"{name}.parquet")

    def benchmark(name: str) -> dict[str, Any]:
        found: dict[str, Any] = records.read_json(benchmarks / f"{name}_cpu.json")
        return found

    return {
        "verdicts": lambda: verdict_table(table("verdicts")),
        "power": lambda: power_table(table("power")),
        "accuracy": lambda: accuracy_table(table("operator_accuracy")),
        "speed": lambda: speed_table(benchmark("warp")),
        "orders": lambda: orders_table(table("discretization_orders")),
        "photographs": lambda: photographs_table(table("natural_images_agreement")),
        "monte_carlo": lambda: monte_carlo_table(benchmark("monte_carlo")),
        "verification": lambda: verification_table(benchmark("verification")),
        "networks": lambda: networks_table(table("selfwarp_accuracy")),
        "training_step": lambda: step_table(benchmark("training_step"), benchmark("monitor_overhead")),
        "fields": lambda: fields_table(benchmark("fields")),
    }


def main() -> None:
    """Replace the blocks between the markers in README.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=Path, default=Path("paper_repro/out/records"))
    parser.add_argument("--benchmarks", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--blocks", nargs="*", help="names of the blocks to write; by default all")
    arguments = parser.parse_args()
    readme = checkout_folder("paper_repro").parent / "README.md"
    text = readme.read_text(encoding="utf-8")
    writers = blocks(arguments.records, arguments.benchmarks)
    for name in arguments.blocks or writers:
        text = replace_block(text, name, writers[name]())
    # The blocks' markers say that it is a README to be written into.
    records.write_text(readme, text, lambda path: b": begin -->" in (content_of(path) or b""))


if __name__ == "__main__":
    main()
