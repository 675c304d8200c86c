"""Records: what a command computed, as files. Parquet tables, safetensors arrays, JSON with a manifest.

A record is written whole or not at all, and replaced only by the library that wrote it (`core.files`).
"""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from warptheory.core.errors import ArgumentError
from warptheory.core.files import (
    MARK,
    check_replaceable,
    is_ours,
    is_ours_or_json,
    write_atomically,
    write_text,
)
from warptheory.core.files import inner_folder as inner_folder
from warptheory.core.files import output_folder as output_folder

if TYPE_CHECKING:
    import pandas as pd

_WRITTEN_BY = "written_by"  # where the mark is, in JSON
_RECORDED_PACKAGES = ("warptheory", "numpy", "scipy", "sympy", "torch", "numba", "matplotlib", "scikit-image")


@dataclass(frozen=True)
class Manifest:
    """How a record came about.

    Attributes:
        command: the command or function that wrote it.
        seed: seed of every random number in it.
        device: device that computed it.
        settings: what was chosen, by name.
        versions: versions of Python and of the packages that matter.
        commit: commit of the source, or "unknown" outside a checkout.
        machine: processor architecture and number of cores.
    """

    command: str
    seed: int
    device: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=lambda: installed_versions())
    commit: str = field(default_factory=lambda: source_commit())
    machine: str = field(default_factory=lambda: f"{platform.machine()}, {os.cpu_count()} cores")


def processor() -> str:
    """Return the name of the processor, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def installed_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on."""
    versions = {"python": platform.python_version()}
    for package in _RECORDED_PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def source_commit() -> str:
    """Return the commit of the checkout that holds the package, "unknown" if there is none."""
    folder = Path(__file__).parent
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()


def check_free(*paths: Path) -> None:
    """Check that records may be written, with the manifests beside them, before long work is done for them.

    Raises:
        ArgumentError: something else stands in a place of theirs.
    """
    for path in paths:
        check_replaceable(path, is_record if path.suffix == ".json" else is_ours)
        if path.suffix in (".parquet", ".safetensors"):
            check_replaceable(path.with_suffix(".json"), is_record)


def is_record(path: Path) -> bool:
    """Whether a JSON file is a record: it has the mark, or all fields of a manifest, as had those before the mark."""
    return is_ours_or_json(path, lambda found: {entry.name for entry in fields(Manifest)} <= found.keys())


def write_json(path: Path, content: Any, ours: Callable[[Path], bool] = is_record) -> None:
    """Write JSON, atomically, with the mark; what is no object has to hold it already.

    Args:
        path: the file.
        content: what JSON can hold.
        ours: tells whether the library wrote what stands in its place.

    Raises:
        ArgumentError: something else stands there.
    """
    marked = {_WRITTEN_BY: MARK, **content} if isinstance(content, Mapping) else content
    write_text(path, json.dumps(marked, indent=1, ensure_ascii=False) + "\n", ours)


def read_json(path: Path) -> Any:
    """Read a JSON file, without the mark.

    Raises:
        ArgumentError: there is no such record, or it is damaged.
    """
    content = _read(path, lambda: json.loads(path.read_text(encoding="utf-8")))
    return {name: x for name, x in content.items() if name != _WRITTEN_BY} if isinstance(content, dict) else content


def write_table(path: Path, table: "pd.DataFrame", manifest: Manifest) -> None:
    """Write a table as Parquet and its manifest beside it, atomically.

    Args:
        path: file ending in .parquet; the manifest takes the ending .json.
        table: the table.
        manifest: how it came about.

    Raises:
        ArgumentError: something that is no record stands in a place of theirs.
    """
    import pyarrow as pa
    from pyarrow import parquet

    check_free(path)
    content = pa.Table.from_pandas(table, preserve_index=False)
    marked = content.replace_schema_metadata({**(content.schema.metadata or {}), _WRITTEN_BY.encode(): MARK.encode()})
    write_atomically(path, lambda temporary: parquet.write_table(marked, temporary))
    write_json(path.with_suffix(".json"), {**asdict(manifest), "rows": len(table), "columns": list(table.columns)})


def read_table(path: Path) -> "pd.DataFrame":
    """Read a Parquet table.

    Raises:
        ArgumentError: there is no such record, or it is damaged.
    """
    import pandas as pd  # a second that those who draw and read no table never need

    return cast("pd.DataFrame", _read(path, lambda: pd.read_parquet(path)))


def read(path: Path) -> Any:
    """Read a record by the ending of its name: a table, arrays by name, or what JSON holds.

    Raises:
        ArgumentError: there is no such record, or it is damaged.
    """
    readers = {".parquet": read_table, ".safetensors": read_arrays, ".json": read_json}
    return readers[path.suffix](path)


def write_arrays(path: Path, arrays: Mapping[str, Any], manifest: Manifest) -> None:
    """Write NumPy arrays as safetensors and their manifest beside them, atomically.

    Args:
        path: file ending in .safetensors; the manifest takes the ending .json.
        arrays: arrays by name.
        manifest: how they came about.

    Raises:
        ArgumentError: something that is no record stands in a place of theirs.
    """
    from safetensors.numpy import save_file

    check_free(path)
    write_atomically(path, lambda temporary: save_file(dict(arrays), temporary, {_WRITTEN_BY: MARK}))
    shapes = {name: list(array.shape) for name, array in arrays.items()}
    write_json(path.with_suffix(".json"), {**asdict(manifest), "shapes": shapes})


def read_arrays(path: Path) -> dict[str, Any]:
    """Read NumPy arrays by name from a safetensors file.

    Raises:
        ArgumentError: there is no such record, or it is damaged.
    """
    from safetensors.numpy import load_file

    return cast("dict[str, Any]", _read(path, lambda: load_file(path)))


def command_line() -> str:
    """Return the command that is running, without the path of the program."""
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])


def _read(path: Path, read: Callable[[], Any]) -> Any:
    expected = "a record that a command wrote"
    if not path.is_file():
        raise ArgumentError("record", expected=expected, received=f"no file {path}")
    try:
        return read()
    except Exception as error:  # what readers raise on damaged files is not documented
        raise ArgumentError("record", expected=expected, received=f"{path}: {type(error).__name__}: {error}") from error
