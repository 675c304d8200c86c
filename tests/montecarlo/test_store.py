"""Chunks on disk: whole or not at all, of one configuration, for one process at a time."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from warptheory.core.errors import ArgumentError
from warptheory.montecarlo import Moments, chunk_store
from warptheory.montecarlo._store import CHUNKS

CONFIGURATION = {"claims": ["A4"], "seed": 3}


def moments(seed, columns=3):
    return Moments.of(torch.from_numpy(np.random.default_rng(seed).standard_normal((20, columns))))


def assert_same(first, second):
    assert first.n == second.n
    for name in ("mean", "scatter", "third", "fourth"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


@pytest.mark.parametrize("columns", [0, 1, 2, 7])
def test_what_is_saved_is_there_to_the_last_bit(tmp_path, columns):
    with chunk_store(tmp_path, CONFIGURATION) as store:
        store.save("A4", 3, {0: moments(0, columns), 7: moments(1, columns)})
        store.save("A4/again", 3, {0: moments(2, columns)})
    with chunk_store(tmp_path, CONFIGURATION) as store:
        found = store.load("A4", 3)
        assert sorted(found) == [0, 7]
        assert_same(found[7], moments(1, columns))
        assert sorted(store.load("A4/again", 3)) == [0]
        assert store.load("A4", 4) == {}


def test_no_folder_keeps_nothing():
    with chunk_store(None, CONFIGURATION) as store:
        store.save("A4", 3, {0: moments(0)})
        assert store.load("A4", 3) == {}


def test_another_configuration_is_refused_and_names_what_differs(tmp_path):
    with chunk_store(tmp_path, CONFIGURATION) as store:
        store.save("A4", 3, {0: moments(0)})
    with (
        pytest.raises(ArgumentError, match=r"^out: .*--fresh.*seed was 3 and is 4$"),
        chunk_store(tmp_path, {**CONFIGURATION, "seed": 4}),
    ):
        pass
    with chunk_store(tmp_path, {**CONFIGURATION, "seed": 4}, fresh=True) as store:
        assert store.load("A4", 3) == {}


def test_a_second_process_is_told(tmp_path):
    other = (
        "import sys\nfrom pathlib import Path\nfrom warptheory.montecarlo import chunk_store\n"
        f"with chunk_store(Path({str(tmp_path)!r}), {CONFIGURATION!r}):\n    pass\n"
    )
    with chunk_store(tmp_path, CONFIGURATION):
        done = subprocess.run([sys.executable, "-c", other], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "expected a folder that no other run is using" in done.stderr
    assert "in use by process" in done.stderr
    with chunk_store(tmp_path, CONFIGURATION):  # released
        pass


def test_a_damaged_file_is_an_error_that_says_so(tmp_path):
    with chunk_store(tmp_path, CONFIGURATION):
        pass
    (tmp_path / CHUNKS).write_bytes(b"not a database" * 100)
    with (
        pytest.raises(ArgumentError, match="^out: expected chunks of an earlier run"),
        chunk_store(tmp_path, CONFIGURATION),
    ):
        pass
