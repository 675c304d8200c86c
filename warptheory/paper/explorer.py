"""The page of `warptheory explore`: curves from the records of analyses, and pictures that the browser warps.

An analysis adds a curve of its own to the page by naming it in its entry: `explored=(ExplorerCurve("B4", "share of dead
inputs", RECORD, control="spread", choices=("kernel", "dim"), axis=…, text=…, order=…),)`. The record is a table of
curve points, as `paper.curves.write_curves` and `results.write_points` write it; the formula beside the curve is
derived from the result. Kernels, laws, numbers of axes and values that a reader can choose are those of the records.
"""

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sympy as sp
from numpy import ndarray

from warptheory import __version__, kernels, results, symbolic
from warptheory.core import records
from warptheory.core.cache import DERIVATION_ROOMS, cached_text
from warptheory.core.errors import ArgumentError
from warptheory.fields import laws
from warptheory.paper import analyses
from warptheory.paper.analyses import explorer_curves, explorer_photograph
from warptheory.paper.entries import ExplorerCurve, RunSettings
from warptheory.paper.pages import record_path
from warptheory.report import ExplorerFormula, ExplorerPanel, write_explorer

_PAGE = "explore.html"
_COLUMNS = ("result", "quantity", "kernel", "dim", "given", "value", "theory", "estimate", "stderr", "n")
_AXES = {
    "spread": "standard deviation of the offsets (pixels)",
    "slope": "deviation τ of the slopes ∂ε",
    "depth": "layers L",
}
_LAW = "offsets = "


def explored_curves() -> list[ExplorerCurve]:
    """Return the curves that analyses offer, in their order."""
    found = [curve for name in analyses.names() for curve in analyses.get(name).explored]
    return sorted(found, key=lambda curve: (curve.order, curve.result))


def explored_scripts() -> list[str]:
    """Return the names of the analyses that the page draws from."""
    offering = [name for name in analyses.names() if analyses.get(name).explored]
    return [*offering, explorer_photograph.ANALYSIS.name]


def page_path(out: Path) -> Path:
    """Return where the page stands: in a folder, or in the file of that name that ends in .html."""
    return out if out.suffix == ".html" else out / _PAGE


def write_page(path: Path, settings: RunSettings) -> None:
    """Write the page from the records.

    Args:
        path: the file.
        settings: how the records came about.

    Raises:
        ArgumentError: a record that is missing, damaged or holds something else, or something in the page's place that
            is no page of ours.
    """
    records.check_free(path)
    curves = explored_curves()
    tables = {name: _checked_points(record_path(name, settings)) for name in {curve.record for curve in curves}}
    pictures = record_path(explorer_photograph.RECORD, settings)
    photograph = _photograph(pictures)
    panels = []
    for number, curve in enumerate(curves):
        settings.on_progress(number / len(curves), f"{curve.result} {curve.quantity}")
        panels.append(_panel(curve, tables[curve.record]))
    sources = [*(record_path(name, settings) for name in sorted(tables)), pictures]
    manifests = [{"record": path.name, **records.read_json(path.with_suffix(".json"))} for path in sources]
    manifest = records.Manifest(records.command_line(), settings.seed, settings.device)
    choices = {"kernels": _kernels(photograph["kernels"]), **_choices(panels, photograph)}
    write_explorer(path, panels, choices, photograph, {**asdict(manifest), "version": __version__}, manifests)


# ---- curves ---------------------------------------------------------------------------------------------


def _checked_points(path: Path) -> pd.DataFrame:
    """Return a record of curve points.

    Raises:
        ArgumentError: a table of something else.
    """
    table = records.read_table(path)
    missing = [name for name in _COLUMNS if name not in table]
    if missing:
        raise _refused(path, f"columns {', '.join(missing)}", "others")
    for name in ("result", "quantity", "kernel", "given"):
        if not all(isinstance(text, str) for text in table[name]):
            raise _refused(path, f"names in the column {name}", "something else")
    for name in ("dim", "value", "theory", "estimate", "stderr", "n"):
        if not pd.api.types.is_numeric_dtype(table[name]):
            raise _refused(path, f"numbers in the column {name}", table[name].dtype)
    return table


def _refused(path: Path, expected: str, received: object) -> ArgumentError:
    return ArgumentError("record", expected=f"{path.name} with {expected}", received=received)


def _panel(curve: ExplorerCurve, table: pd.DataFrame) -> ExplorerPanel:
    """Return the curves of a quantity with their formulas.

    Raises:
        ArgumentError: no such rows in the record, or rows that are no finite numbers.
    """
    rows = table[(table["result"] == curve.result) & (table["quantity"] == curve.quantity)]
    if rows.empty:
        raise ArgumentError("record", expected=f"{curve.record} with {curve.result} {curve.quantity}", received="none")
    result, found = results.get(curve.result), dict[str, ExplorerFormula]()
    by_choices: dict[str, dict[str, Any]] = {}
    for _, points in rows.groupby(["kernel", "dim", "given"], sort=False):
        first = points.iloc[0]
        law = _law(first["given"])
        chosen = {"kernel": kernels.get(first["kernel"]).name, "dim": int(first["dim"]), "offsets": law}
        key = "|".join(str(chosen[name]) for name in curve.choices)
        unit = explorer_curves.deviation(law) if curve.control == "spread" else 1.0
        by_choices[key] = _numbers(curve, points.sort_values("value"), unit)
        found[key] = _formula(curve.result, curve.quantity, tuple((name, chosen[name]) for name in curve.choices))
    return ExplorerPanel(
        label=curve.result,
        title=result.title,
        quantity=curve.quantity,
        text=curve.text,
        axis=curve.axis,
        abscissa=_AXES[curve.control],
        control=curve.control,
        choices=curve.choices,
        power=curve.power,
        logarithmic=curve.logarithmic,
        curves=by_choices,
        formulas=found,
    )


def _law(given: str) -> str:
    """Return the law of the offsets that a curve point names, or the default one."""
    named = [part.removeprefix(_LAW) for part in given.split(", ") if part.startswith(_LAW)]
    return named[0] if named else results.Setting().offsets


def _numbers(curve: ExplorerCurve, points: pd.DataFrame, unit: float) -> dict[str, Any]:
    """Return the numbers of a curve: the closed form's, and those of the points that were simulated.

    Args:
        curve: the curve.
        points: its rows, in the order of the parameter.
        unit: by which the parameter is multiplied for the horizontal axis.
    """
    simulated = points[points["n"] > 0]
    found = {
        "x": [float(f"{value * unit:.9g}") for value in points["value"]],
        "theory": points["theory"].tolist(),
        "at": [float(f"{value * unit:.9g}") for value in simulated["value"]],
        "expected": simulated["theory"].tolist(),
        "estimate": simulated["estimate"].tolist(),
        "stderr": simulated["stderr"].tolist(),
        "n": [int(n) for n in simulated["n"]],
    }
    if not all(np.isfinite(numbers).all() for numbers in found.values()):
        expected = f"finite numbers of {curve.result} {curve.quantity} in {curve.record}"
        raise ArgumentError("record", expected=expected, received="others")
    return found


@cache
def _formula(label: str, quantity: str, choices: tuple[tuple[str, Any], ...]) -> ExplorerFormula:
    """Return a quantity's closed form, with what its symbols stand for."""

    def make() -> str:
        derivation = results.get(label).derive(quantity, **dict(choices))
        form = symbolic.mathml(derivation.equation)
        return json.dumps([form, sorted(symbol.name for symbol in derivation.result.free_symbols)])

    request = ["explorer", label, quantity, str(choices)]
    form, names = json.loads(cached_text(request, DERIVATION_ROOMS, make))
    meanings = (results.meaning_of(name, label) for name in names)
    return ExplorerFormula(form, tuple((entry.text, entry.meaning) for entry in meanings if entry is not None))


def _choices(panels: Iterable[ExplorerPanel], photograph: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a reader can choose, besides kernels."""
    everything = list(panels)

    def of(control: str) -> list[float]:
        moved = [panel for panel in everything if panel.control == control]
        widest = max(moved, key=lambda panel: len(panel.curves), default=None)
        return [] if widest is None else max((list(curve["x"]) for curve in widest.curves.values()), key=len)

    dims = {
        int(key.split("|")[panel.choices.index("dim")])
        for panel in everything
        if "dim" in panel.choices
        for key in panel.curves
    }
    return {
        "dims": sorted(dims),
        "offsets": list(photograph["laws"]),
        "laws": {
            law: {"symbol": str(laws.get(law).scale), "deviation": explorer_curves.deviation(law)}
            for law in photograph["laws"]
        },
        "spread": of("spread"),
        "slope": of("slope"),
        "depth": of("depth"),
        "pictures": list(photograph["pictures"]),
    }


def _kernels(names: Iterable[str]) -> list[dict[str, Any]]:
    """Return kernels by family, with the value of the parameter that tells those of one family apart."""
    found = []
    for name in names:
        family, _, given = name.partition("(")
        number = explorer_curves.parameter(family)
        value = None if number is None else float(given[:-1]) if given else float(number.default)
        parameter = None if number is None else sp.pretty(sp.Symbol(number.name))
        found.append({"name": name, "family": family, "parameter": parameter, "value": value})
    return sorted(found, key=lambda kernel: (kernel["family"], kernel["value"] or 0.0))


# ---- pictures -------------------------------------------------------------------------------------------


def _photograph(path: Path) -> dict[str, Any]:
    """Return what the browser warps, arrays as base64 of their little-endian bytes.

    Raises:
        ArgumentError: arrays that are missing, or of another shape or type.
    """
    arrays = records.read_arrays(path)
    rows, columns = explorer_photograph.SIZE
    dim, waves = explorer_photograph.DIM, explorer_photograph.WAVES
    layers, levels = len(explorer_curves.LAYERS), explorer_photograph.LEVELS

    def taken(name: str, dtype: str, *shape: int | None) -> ndarray:
        array = arrays.get(name)
        fits = array is not None and array.dtype == np.dtype(dtype) and array.ndim == len(shape)
        if array is None or not fits or any(n not in (None, m) for n, m in zip(shape, array.shape, strict=True)):
            received = "none" if array is None else f"{array.dtype} {array.shape}"
            raise _refused(path, f"an array {name} of {dtype} {shape}", received)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise _refused(path, f"finite numbers in {name}", "others")
        return np.asarray(array)

    def named(prefix: str) -> list[str]:
        return sorted(name.removeprefix(prefix) for name in arrays if name.startswith(prefix))

    tables = {name: taken(f"taps.{name}", "int32", None) for name in named("taps.")}
    order = explorer_curves.varied_laws()
    return {
        "size": [rows, columns],
        "levels": _base64(_below(path, taken("levels", "uint16", dim, rows, columns), levels)),
        "laws": {
            law: _base64(taken(f"quantiles.{law}", "float32", levels))
            for law in sorted(named("quantiles."), key=lambda law: order.index(law) if law in order else len(order))
        },
        "wavevectors": _base64(taken("wavevectors", "float64", waves, dim)),
        "amplitudes": _base64(taken("amplitudes", "float64", layers, dim, 2, waves)),
        "waves": waves,
        "fractions": explorer_photograph.FRACTIONS,
        "kernels": {
            name: {
                "taps": [int(tap) for tap in taps],
                "weights": _base64(taken(f"weights.{name}", "float32", len(taps), explorer_photograph.FRACTIONS)),
            }
            for name, taps in tables.items()
        },
        "pictures": {
            name: _picture(taken(f"picture.{name}", "uint8", None, rows, columns)) for name in _pictures(named)
        },
    }


def _pictures(named: Callable[[str], list[str]]) -> list[str]:
    """Return the names of the pictures, white noise last."""
    return sorted(named("picture."), key=lambda name: (name == explorer_photograph.NOISE, name))


def _below(path: Path, levels: ndarray, count: int) -> ndarray:
    if levels.size and levels.max() >= count:
        raise _refused(path, f"levels below {count}", int(levels.max()))
    return levels


def _picture(pixels: ndarray) -> dict[str, Any]:
    return {"channels": len(pixels), "pixels": _base64(pixels)}


def _base64(array: ndarray) -> str:
    little_endian = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return base64.b64encode(little_endian.tobytes()).decode("ascii")
