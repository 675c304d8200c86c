import json

import numpy as np
import pandas as pd
import pytest

from warptheory.core import files, records
from warptheory.core.errors import ArgumentError

MANIFEST = records.Manifest("test", seed=3, device="cpu", settings={"a": 1})


def test_table_and_manifest_come_back(tmp_path):
    table = pd.DataFrame({"x": [1.0, 2.0], "name": ["a", "b"]})
    path = tmp_path / "t.parquet"
    records.write_table(path, table, MANIFEST)
    pd.testing.assert_frame_equal(records.read_table(path), table)
    manifest = records.read_json(tmp_path / "t.json")
    assert manifest["seed"] == 3
    assert manifest["rows"] == 2
    assert manifest["versions"]["torch"].startswith("2.13.0")


def test_arrays_come_back(tmp_path):
    arrays = {"x": np.arange(6.0).reshape(2, 3)}
    records.write_arrays(tmp_path / "a.safetensors", arrays, MANIFEST)
    np.testing.assert_array_equal(records.read_arrays(tmp_path / "a.safetensors")["x"], arrays["x"])
    assert json.loads((tmp_path / "a.json").read_text())["shapes"] == {"x": [2, 3]}


def test_a_failed_write_leaves_the_old_file_and_no_debris(tmp_path):
    path = tmp_path / "r.json"
    records.write_json(path, {"old": 1})

    def fail(temporary):
        temporary.write_text("half")
        raise RuntimeError("disk")

    with pytest.raises(RuntimeError):
        records.write_atomically(path, fail)
    assert records.read_json(path) == {"old": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["r.json"]


def test_unwritable_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ArgumentError, match=r"^out: expected a folder that can be written to, got .*file/below \(Not a directory\)$"
    ):
        records.output_folder(tmp_path / "file" / "below")


def test_missing_record(tmp_path):
    for read in (records.read_table, records.read_arrays, records.read_json):
        with pytest.raises(ArgumentError, match="^record: expected a record that a command wrote"):
            read(tmp_path / "nothing")


def test_files_have_the_permissions_that_the_user_asks_for(tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("by Python's own open")
    files.write_text(tmp_path / "atomic", "through a temporary file")
    assert (tmp_path / "atomic").stat().st_mode == plain.stat().st_mode
