"""Files of others are left alone, whatever their names; what the library wrote is replaced and removed."""

import json
import os

import numpy as np
import pandas as pd
import pytest

from warptheory.core import cache, files, records, run_folders
from warptheory.core.errors import ArgumentError
from warptheory.core.files import MARK

MANIFEST = records.Manifest("test", seed=3, device="cpu")
USERS = b"what a user has written"


def write_table(path):
    records.write_table(path, pd.DataFrame({"x": [1.0, 2.0]}), MANIFEST)


def write_arrays(path):
    records.write_arrays(path, {"x": np.ones(3)}, MANIFEST)


def write_json(path):
    records.write_json(path, {"x": 1})


def write_text(path):
    files.write_text(path, f"text\n{MARK}\n")


def hold(path):
    with run_folders.held(path.parent):
        pass


def configure(path):
    run_folders.check_configuration(path.parent, {"seed": 1})


WRITERS = {
    "t.parquet": write_table,
    "a.safetensors": write_arrays,
    "r.json": write_json,
    "t.txt": write_text,
    "lock": hold,
    "configuration.json": configure,
}


def a_file(path, own):
    own.rename(path)


def a_link(path, own):
    path.symlink_to(own)


def a_hard_link(path, own):
    path.hardlink_to(own)


@pytest.mark.parametrize("content", [USERS, b"", b'{"a": 1}', b"[]", b"process"], ids=len)
@pytest.mark.parametrize("stands", [a_file, a_link, a_hard_link])
@pytest.mark.parametrize("name", WRITERS)
def test_a_file_of_the_users_is_left_alone(tmp_path, name, stands, content):
    folder, own = tmp_path / "out", tmp_path / "own"
    folder.mkdir()
    own.write_bytes(content)
    stands(folder / name, own)
    with pytest.raises(ArgumentError, match="^out: expected "):
        WRITERS[name](folder / name)
    assert (folder / name).read_bytes() == content
    assert [path.name for path in folder.iterdir()] == [name]


@pytest.mark.parametrize("name", WRITERS)
def test_a_link_to_nothing_stays_one(tmp_path, name):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / name).symlink_to(tmp_path / "nothing")
    with pytest.raises(ArgumentError, match="^out: expected "):
        WRITERS[name](folder / name)
    assert not (tmp_path / "nothing").exists()
    assert (folder / name).is_symlink()


@pytest.mark.parametrize("name", ["t.parquet", "a.safetensors"])
def test_a_manifest_of_the_users_is_left_alone(tmp_path, name):
    """Before anything is written."""
    manifest = (tmp_path / name).with_suffix(".json")
    manifest.write_bytes(USERS)
    with pytest.raises(ArgumentError, match="something that it did not write, which is left alone"):
        WRITERS[name](tmp_path / name)
    assert manifest.read_bytes() == USERS
    assert [path.name for path in tmp_path.iterdir()] == [manifest.name]


@pytest.mark.parametrize("name", WRITERS)
def test_what_was_written_is_written_again(tmp_path, name):
    for _ in range(3):
        WRITERS[name](tmp_path / name)


@pytest.mark.parametrize("name", ["t.parquet", "a.safetensors", "r.json", "t.txt"])
def test_a_pipe_is_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(ArgumentError, match="^out: expected "):
        WRITERS[name](tmp_path / name)


def test_records_and_locks_from_before_the_mark_are_known(tmp_path):
    """By the fields of a manifest, by what a lock says, by what a configuration is."""
    write_table(tmp_path / "t.parquet")
    manifest = json.loads((tmp_path / "t.json").read_text())
    del manifest["written_by"]
    (tmp_path / "r.json").write_text(json.dumps(manifest))
    write_json(tmp_path / "r.json")
    (tmp_path / "lock").write_text("process 12")
    hold(tmp_path / "lock")
    (tmp_path / "configuration.json").write_text('{"configuration": {"seed": 1}}')
    configure(tmp_path / "configuration.json")
    run_folders.forget_configuration(tmp_path)
    assert not (tmp_path / "configuration.json").exists()


def test_folders_in_a_folder_are_no_links(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "own").mkdir()
    assert files.inner_folder(tmp_path / "out", "records") == tmp_path / "out" / "records"
    (tmp_path / "out" / "chunks").symlink_to(tmp_path / "own")
    with pytest.raises(ArgumentError, match="^out: expected a folder chunks in .*, got a link, which is not followed$"):
        files.inner_folder(tmp_path / "out", "chunks")


def test_a_cache_removes_only_entries(tmp_path, monkeypatch):
    """Also not what has an entry's name, and is none."""
    monkeypatch.setenv("WARPTHEORY_CACHE", str(tmp_path))
    monkeypatch.setattr(cache, "MAX_ENTRIES", 1)
    (tmp_path / f"{'0' * 64}.json").write_bytes(USERS)
    (tmp_path / "own").write_bytes(USERS)
    (tmp_path / f"{'1' * 64}.json").symlink_to(tmp_path / "own")
    for number in range(3):
        cache.cached_text([str(number)], ("core",), lambda: "text")
    assert (tmp_path / f"{'0' * 64}.json").read_bytes() == (tmp_path / f"{'1' * 64}.json").read_bytes() == USERS
    assert (tmp_path / f"{'1' * 64}.json").is_symlink()
