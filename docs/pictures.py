"""Pictures of README and start page, drawn from the records of the gallery.

python -m docs.pictures
"""

from pathlib import Path

from docs import committed, gallery_scripts
from warptheory.paper import analyses, figures
from warptheory.paper.analyses import iid_statistics

FOLDER = Path(__file__).parent / "pictures"
_DOTS = 110  # an inch, enough for a page that is read on a screen


def main() -> None:
    """Draw Figure 1, and the forward gain of warps by theory and simulation."""
    figure1 = figures.numbered("1")
    forward = next(
        plot.plot
        for plot in gallery_scripts.all_plots()
        if plot.entry is analyses.get("iid_statistics") and plot.plot.draw is iid_statistics.plot_forward
    )
    FOLDER.mkdir(exist_ok=True)
    for name, plot in (("figure1", figure1), ("forward_gain", forward)):
        figure = plot.draw(*committed.read(plot.reads))
        figure.savefig(FOLDER / f"{name}.png", dpi=_DOTS)


if __name__ == "__main__":
    main()
