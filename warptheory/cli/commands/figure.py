"""`warptheory figure`: draw a figure of the paper."""

from typing import Annotated

import typer

from warptheory.cli import _options as options

EXAMPLES = "Example:  warptheory figure 1 --out figures_out"


def command(
    number: Annotated[str, typer.Argument(help="Number of the figure, such as 1.")],
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    out: options.ReproduceOut = options.DEFAULT_OUT,
) -> None:
    """Draw a figure of the paper as PDF and PNG, computing its record first if it is missing."""
    from warptheory.cli._console import progress_bar
    from warptheory.core import records
    from warptheory.core.checkout import load_script
    from warptheory.core.text import one_line

    folder = records.output_folder(out)
    with progress_bar("figure") as update:
        update(0.0, number)
        drawn = load_script("paper_repro", "driver", "figure").draw_figure(f"figure{number}", folder, seed, device)
        update(1.0, number)
    for suffix in (".pdf", ".png"):
        print(one_line(str((folder / drawn["file"]).with_suffix(suffix))))
