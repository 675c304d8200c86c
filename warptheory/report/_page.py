"""The report: one HTML page that holds everything it shows, made from records alone."""

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from warptheory import results
from warptheory.core import records
from warptheory.core.files import MARK, check_replaceable
from warptheory.core.text import printable
from warptheory.report._backward import plot_reading, plot_slopes, plot_two_passes
from warptheory.report._discretization import plot_errors, plot_orders
from warptheory.report._iid import plot_displacement, plot_forward
from warptheory.report._mathml import checked_mathml
from warptheory.report._natural_images import plot_limits, plot_photographs
from warptheory.report._plots import plot_accuracy, plot_deviations, plot_speed
from warptheory.report._random_fields import plot_interpolated_fields, plot_moved_fields
from warptheory.report._training import accuracy_summary, plot_accuracy_of_networks


def write_report(folder: Path, figures: Sequence[Mapping[str, str]]) -> Path:
    """Write `report.html` from the records in `folder`/records, and return its path.

    Args:
        folder: output folder of a run; the page is written into it.
        figures: figures of the paper to show: their "file" (PNG, relative to folder), "title" and
            "caption".

    Raises:
        ArgumentError: a record is missing, or the folder cannot be written to.
    """
    check_replaceable(records.output_folder(folder) / "report.html")
    source = folder / "records"
    verdicts = records.read_table(source / "verdicts.parquet")
    expected = records.read_table(source / "expected.parquet")
    iid = records.read_table(source / "iid_statistics.parquet")
    backward = records.read_table(source / "backward_asymmetry.parquet")
    fields = records.read_table(source / "random_fields.parquet")
    errors = records.read_table(source / "discretization_error.parquet")
    orders = records.read_table(source / "discretization_orders.parquet")
    images = {
        name: records.read_table(source / f"natural_images{name}.parquet")
        for name in ("", "_agreement", "_displacement")
    }
    derivations = records.read_json(source / "derivations.json")
    manifest = records.read_json(source / "verdicts.json")
    networks = records.read_table(source / "selfwarp_accuracy.parquet")
    benchmark = _benchmark(source, "warp")
    page = (
        _environment()
        .get_template("report.html")
        .render(
            mark=MARK,
            manifest=manifest,
            results=[
                {**result, "claims": _rows(verdicts[verdicts["result"] == result["label"]])} for result in derivations
            ],
            counts=verdicts["verdict"].value_counts().to_dict(),
            power=_power(records.read_table(source / "power.parquet")),
            expected=_rows(expected),
            deviations=_svg(plot_deviations(verdicts)),
            iid={"forward": _svg(plot_forward(iid)), "displacement": _svg(plot_displacement(iid))},
            backward={
                "two_passes": _svg(plot_two_passes(backward)),
                "reading": _svg(plot_reading(backward)),
                "slopes": _svg(plot_slopes(backward)),
            },
            fields={
                "moved": _svg(plot_moved_fields(fields)),
                "interpolated": _svg(plot_interpolated_fields(fields)),
            },
            discretization={"errors": _svg(plot_errors(errors)), "orders": _svg(plot_orders(errors, orders))},
            photographs={
                "agreement": _svg(plot_photographs(images[""], images["_agreement"])),
                "limits": _svg(plot_limits(images[""], images["_displacement"])),
            },
            networks={"plot": _svg(plot_accuracy_of_networks(networks)), "rows": _rows(accuracy_summary(networks))},
            step=_benchmark(source, "training_step"),
            monitor=_benchmark(source, "monitor_overhead"),
            accuracy=_svg(plot_accuracy(records.read_table(source / "operator_accuracy.parquet"))),
            benchmark={**benchmark, "plot": _svg(plot_speed(pd.DataFrame(benchmark["results"])))},
            figures=[{**figure, "data": _png(folder / figure["file"])} for figure in figures],
        )
    )
    path = folder / "report.html"
    records.write_text(path, page)
    return path


def _power(planted: pd.DataFrame) -> dict[str, Any]:
    """Return how many planted errors of each kind were refused, by result, and those that were not."""
    kinds = list(planted["error"].dropna().unique())
    rows = [
        {
            "result": result,
            "counts": [
                (int(found[found["error"] == kind]["refused"].sum()), int((found["error"] == kind).sum()))
                for kind in kinds
            ],
        }
        for result, found in planted.groupby("result", sort=False)
    ]
    counts = {"total": len(planted), "refused": int(planted["refused"].sum())}
    return {"kinds": kinds, "rows": rows, **counts, "not_planted": results.not_planted(planted)}


def _benchmark(source: Path, name: str) -> dict[str, Any]:
    """Return the record of a benchmark, on whichever device it was taken."""
    found = sorted(source.glob(f"{name}_*.json"))
    benchmark: dict[str, Any] = records.read_json(found[0] if found else source / f"{name}_cpu.json")
    return benchmark


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("warptheory.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
    )
    environment.filters["mathml"] = checked_mathml
    environment.filters["value"] = lambda number: f"{number:.5g}"
    environment.filters["error"] = lambda number: f"{number:.1g}"
    environment.filters["percent"] = lambda share: f"{100 * share:.1f} %"
    environment.filters["spread"] = lambda found: (
        f"{found['median']:.2f} ({found['lowest']:.2f} to {found['highest']:.2f})"
    )
    return environment


def _shown(value: Any) -> Any:
    """Return what a page shows of a value: text without characters that control or hide; markup as it is."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict(orient="records")]


def _svg(figure: Figure) -> str:
    """Return a figure as an SVG data address; text is drawn as paths, so no font is needed."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _png(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")
