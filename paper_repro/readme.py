"""Write the tables in README.md: verdicts and accuracy from `make reproduce`, timings from `make bench`."""

import argparse
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from warptheory.core import records
from warptheory.core.checkout import checkout_folder


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
            f"| {row['result']} | {row['quantity']} | {setting} | {row['theory']:.5f} "
            f"| {row['estimate']:.5f} ± {row['stderr']:.5f} | {row['n']} | {row['power']:.4f} | {row['verdict']} |"
        )
    counts = ", ".join(f"{count} {verdict}" for verdict, count in verdicts["verdict"].value_counts().items())
    footer = f"All claims of that run (seed {verdicts['seed'].iloc[0]}, z = {verdicts['z'].iloc[0]:.2f}): {counts}."
    return "\n".join([*lines, "", footer])


def speed_table(benchmark: dict[str, Any]) -> str:
    """Return a Markdown table of geometric means over shapes and offsets, and of the slowest case."""
    settings, rows = benchmark["settings"], pd.DataFrame(benchmark["results"])
    rows["shape"] = rows["shape"].map(tuple)
    training = [tuple(shape) for shape in settings["training_shapes"]]
    others = [[shape] for shape in rows["shape"].drop_duplicates() if shape not in training]
    lines = [
        "| images | threads | layout | forward | forward and both gradients |",
        "|---|---|---|---|---|",
    ]
    for chosen in (training, *others):
        name = f"{len(training)} training shapes" if len(chosen) > 1 else "×".join(map(str, chosen[0]))
        for (threads, layout), group in rows[rows["shape"].isin(chosen)].groupby(["threads", "layout"], sort=True):
            cells = [_ratios(group[group["pass"] == passes]) for passes in ("forward", "forward and both gradients")]
            lines.append(f"| {name} | {threads} | {layout} | {cells[0]} | {cells[1]} |")
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


def replace_block(text: str, name: str, content: str) -> str:
    """Replace what stands between a block's markers."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    block = re.compile(f"{re.escape(begin)}.*{re.escape(end)}", re.DOTALL)
    return block.sub(lambda _: f"{begin}\n{content}\n{end}", text)


def main() -> None:
    """Replace the blocks between the markers in README.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=Path, default=Path("paper_repro/out/records"))
    parser.add_argument("--benchmarks", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    readme = checkout_folder("paper_repro").parent / "README.md"
    text = readme.read_text(encoding="utf-8")
    blocks = {
        "verdicts": verdict_table(records.read_table(arguments.records / "verdicts.parquet")),
        "accuracy": accuracy_table(records.read_table(arguments.records / "operator_accuracy.parquet")),
        "speed": speed_table(records.read_json(arguments.benchmarks / "warp_cpu.json")),
    }
    for name, content in blocks.items():
        text = replace_block(text, name, content)
    records.write_text(readme, text)


if __name__ == "__main__":
    main()
