"""Write the table of verdicts in README.md from the records of `make reproduce`."""

import argparse
import re
from pathlib import Path

import pandas as pd

from warptheory.core import records
from warptheory.core.checkout import checkout_folder

BEGIN, END = "<!-- verdicts: begin -->", "<!-- verdicts: end -->"


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


def main() -> None:
    """Replace the block between the markers in README.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=Path, default=Path("paper_repro/out/records"))
    arguments = parser.parse_args()
    table = verdict_table(records.read_table(arguments.records / "verdicts.parquet"))
    readme = checkout_folder("paper_repro").parent / "README.md"
    text = readme.read_text(encoding="utf-8")
    block = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    records.write_text(readme, block.sub(lambda _: f"{BEGIN}\n{table}\n{END}", text))


if __name__ == "__main__":
    main()
