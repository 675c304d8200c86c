"""Committed files of the paper: records of computations that take minutes, and values known from elsewhere.

They stand in `paper_repro/` of a checkout, and the wheel installs them. Records of a long computation are copied by the
quick profile, which computes a part of them anew. `origin.json` beside them says what each computation depended on: its
configuration with the digests of its data, and the definitions of its script, hashed without comments. When either has
changed the records are stale, and have to be made again:

    warptheory reproduce --profile full --only NAME
    python -m warptheory.paper.committed NAME
"""

import argparse
import json
import math
import shutil
from dataclasses import asdict
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from warptheory.core import records
from warptheory.core.errors import ArgumentError
from warptheory.core.files import is_ours, write_atomically
from warptheory.core.fingerprint import definitions_hash
from warptheory.paper.entries import Analysis, LongComputation, RecomputedCell, RunSettings, Script

_CHECKOUT = Path(__file__).parents[2] / "paper_repro"
_INSTALLED = "share/warptheory/paper_repro"
_ORIGIN = "origin.json"
_ROUNDING = 1e-5  # of projections of float32 data, on any processor


def committed_file(name: str) -> Path:
    """Return the path of a committed file.

    Args:
        name: its path in `paper_repro/`, such as "expected.toml".

    Raises:
        ArgumentError: it is neither in a checkout nor among the files that were installed.
    """
    installed = (
        file for file in metadata.files("warptheory") or () if file.as_posix().endswith(f"{_INSTALLED}/{name}")
    )
    places = [_CHECKOUT / name, _CHECKOUT.parent / _INSTALLED / name, *(Path(str(file.locate())) for file in installed)]
    for place in places:
        if place.exists():
            return place.resolve()
    expected = f"{name} in {_CHECKOUT}, or among the files that the wheel installs"
    raise ArgumentError("committed file", expected=expected, received="no such file")


def committed_record(name: str) -> Path:
    """Return the path of a committed record; raises as `committed_file`."""
    return committed_file(f"records/{name}")


def origin_of(entry: Analysis, long: LongComputation) -> dict[str, Any]:
    """Return what the records of a long computation depend on, as JSON has it."""
    found: dict[str, Any] = json.loads(json.dumps(long.configuration(), default=str))
    return {"configuration": found, "definitions": definitions_hash(entry.run)}


def digest(values: Float[ndarray, "N *rest"]) -> list[float]:
    """Return three numbers that tell data (N, …) from others: projections on vectors that are always the same.

    A hash of the bytes would also tell processors apart, whose sums differ in the last bit.
    """
    rows = values.reshape(len(values), -1)
    generator = np.random.default_rng(0)
    pairs = [(generator.standard_normal(len(rows)), generator.standard_normal(rows.shape[1])) for _ in range(3)]
    return [float(left @ (rows @ right)) for left, right in pairs]


def committed_computation(entry: Script, settings: RunSettings) -> LongComputation | None:
    """Return the long computation in place of which a script draws committed records, None if it computes itself."""
    return entry.long if isinstance(entry, Analysis) and settings.profile == "quick" else None


def is_stale(entry: Analysis, long: LongComputation) -> bool:
    """Whether configuration, data or definitions have changed since the records were committed."""
    origins = records.read_json(committed_record(_ORIGIN))
    return not _same(origins.get(entry.name), origin_of(entry, long))


def _same(first: Any, second: Any) -> bool:
    """Whether two objects of JSON are the same, numbers up to rounding."""
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(_same(first[name], second[name]) for name in first)
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(_same, first, second))
    if isinstance(first, float) and isinstance(second, float):
        return math.isclose(first, second, rel_tol=_ROUNDING)
    return bool(first == second)


def draw_committed(entry: Analysis, long: LongComputation, settings: RunSettings) -> RecomputedCell:
    """Copy committed records to where a run writes, compute a part of them anew, and return both.

    The comparison is also written, as `<script>_cell.json`.

    Raises:
        ArgumentError: records are missing, or something else stands in a place of theirs.
    """
    folder = records.output_folder(settings.out)
    for name in entry.records:
        source = committed_record(name)
        write_atomically(folder / name, partial(_copy, source), _is_ours)
    cell = long.cell(settings, committed_record(entry.writes[0]).parent)
    records.write_json(folder / cell_record(entry), {**asdict(cell), "agrees": cell.agrees})
    return cell


def cell_record(entry: Script) -> str:
    """Return the name of the record of the part that was computed anew."""
    return f"{entry.name}_cell.json"


def _copy(source: Path, place: Path) -> None:
    shutil.copyfile(source, place)


def _is_ours(path: Path) -> bool:
    return records.is_record(path) if path.suffix == ".json" else is_ours(path)


def commit(entry: Analysis, long: LongComputation, source: Path, folder: Path) -> None:
    """Copy the records of a full run to where they are committed, with what they depend on."""
    for name in entry.records:
        shutil.copyfile(source / name, folder / name)
    path = folder / _ORIGIN
    known = records.read_json(path) if path.is_file() else {}
    records.write_json(path, {**known, entry.name: origin_of(entry, long)})


def main() -> None:
    """Commit the records of a long computation that a full run has made."""
    from warptheory.paper import analyses

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("name", help="name of the analysis")
    parser.add_argument("--records", type=Path, default=Path("paper_repro/out/records"), help="records of the full run")
    arguments = parser.parse_args()
    entry = analyses.get(arguments.name)
    if entry.long is None:
        raise ArgumentError("name", expected="an analysis with a long computation", received=arguments.name)
    commit(entry, entry.long, arguments.records, records.output_folder(_CHECKOUT / "records"))


if __name__ == "__main__":
    main()
