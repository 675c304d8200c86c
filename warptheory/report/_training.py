"""What self-warp networks learn beside their plain twins, and what their warps cost: drawn from records."""

import pandas as pd
from matplotlib.figure import Figure

from warptheory.report._style import BLUE, GREY, house_style

NAMES = {"patches": "photograph patches", "mnist1d": "MNIST-1D", "digits": "handwritten digits"}


def accuracy_summary(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each task, network and precision: mean, deviation and extremes over the seeds, their number.

    Args:
        accuracy: the record of `analyses/selfwarp_training.py`.
    """
    grouped = accuracy.groupby(["data", "network", "warped", "precision"], sort=False)
    found = grouped["test_accuracy"].agg(["mean", "std", "min", "max", "count"])
    settings = grouped[["steps", "batch", "classes", "tested", "parameters", "last_loss", "warping_multiplier"]].mean()
    published = grouped[["published_accuracy", "published_by"]].first()
    return found.join(settings).join(published).reset_index()


def plot_accuracy_of_networks(accuracy: pd.DataFrame) -> Figure:
    """Draw the test accuracy of every run, a row for each network, beside the published one.

    Args:
        accuracy: the record of `analyses/selfwarp_training.py`.
    """
    tasks = list(dict.fromkeys(accuracy["data"]))
    with house_style():
        figure = Figure(figsize=(7.2, 2.2), layout="constrained")
        for axes, task in zip(figure.subplots(1, len(tasks), squeeze=False)[0], tasks, strict=True):
            rows = accuracy[accuracy["data"] == task]
            labels = _labels(rows)
            names = list(dict.fromkeys(labels))
            for place, name in enumerate(names):
                scores = 100 * rows[labels == name]["test_accuracy"]
                colour = BLUE if name.startswith("SelfWarp") else GREY
                axes.plot(scores, [place] * len(scores), "o", color=colour, markerfacecolor="white", markersize=5)
                axes.plot([scores.mean()] * 2, [place - 0.25, place + 0.25], color=colour, linewidth=2)
            published = rows["published_accuracy"].iloc[0]
            if not pd.isna(published):
                published *= 100
                axes.axvline(published, color=GREY, linestyle=":")
                label = {"fontsize": 7, "color": GREY, "rotation": 90, "va": "bottom", "ha": "right"}
                axes.annotate("published", (published, len(names) - 0.5), (-1, 2), textcoords="offset points", **label)
                axes.margins(x=0.12)
            axes.set_yticks(range(len(names)), names)
            axes.set_ylim(len(names) - 0.4, -0.6)
            axes.set_xlabel("test accuracy (%)")
            axes.set_title(NAMES.get(task, task))
    return figure


def _labels(rows: pd.DataFrame) -> pd.Series:
    """Return the network of each row, with the precision where there are several."""
    names = rows["network"].str.replace("selfwarp-", "SelfWarp ")
    return names if rows["precision"].nunique() == 1 else names + ", " + rows["precision"]
