"""Runs that are killed go on where they were: no finished chunk is lost, and the table is the same."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time

import pandas as pd
import pytest

from tests.waiting import PATIENCE

COMMAND = [sys.executable, "-m", "warptheory", "verify", "A2", "A3", "--dim", "1", "--plain", "--workers", "1"]
SECONDS = 2.0  # in which a run stores some chunks


def start(folder):
    environment = {**os.environ, "WARPTHEORY_TEST_SHAPES": "off"}
    return subprocess.Popen(
        [*COMMAND, "--out", str(folder)], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def finished_chunks(folder):
    """Return label, number and content of every stored chunk."""
    path = folder / "chunks.sqlite"
    if not path.is_file():
        return set()
    connection = sqlite3.connect(path)
    try:
        return set(connection.execute("SELECT label, number, sums FROM chunk"))
    except sqlite3.OperationalError:  # killed before the table was there
        return set()
    finally:
        connection.close()


def finish(folder):
    process = start(folder)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors.decode()
    return pd.read_parquet(folder / "verdicts.parquet")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    return finish(folder), finished_chunks(folder)


@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_killed_at_random_moments(tmp_path, undisturbed, kills):
    moments, stored = random.Random(kills), set()
    for _ in range(kills):
        process = start(tmp_path)
        while process.poll() is None and len(finished_chunks(tmp_path)) <= len(stored):
            time.sleep(0.01)
        time.sleep(moments.uniform(0.0, SECONDS))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stderr.close()
        found = finished_chunks(tmp_path)
        assert stored <= found
        stored = found
    table, chunks = undisturbed
    pd.testing.assert_frame_equal(finish(tmp_path), table, check_exact=True)
    assert finished_chunks(tmp_path) == chunks


def test_a_folder_in_use_is_refused(tmp_path):
    from warptheory.montecarlo import chunk_store

    with chunk_store(tmp_path, {}):
        process = start(tmp_path)
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    assert b"no other run is using" in errors


A3 = ("verify", "A3", "--dim", "1", "--kernel", "linear")


@pytest.mark.usefixtures("as_users_call")
def test_another_run_in_the_same_folder_is_refused(warptheory, tmp_path):
    assert warptheory(*A3, "--out", tmp_path)[0] == 0
    code, _, errors = warptheory(*A3, "--out", tmp_path, "--seed", "1")
    assert code == 2
    assert "seed was 0 and is 1" in " ".join(errors.split())
    assert warptheory(*A3, "--out", tmp_path, "--seed", "1", "--fresh")[0] == 0


@pytest.mark.usefixtures("as_users_call")
def test_rows_as_json_and_a_chunk_alone(warptheory):
    """Numbers come through to the last bit, and the mean of a chunk is the one that the run merged."""
    from warptheory import montecarlo, results

    def run(*options):
        code, out, _ = warptheory(*A3, *options)
        assert code == 0
        return out.splitlines()

    rows = [json.loads(line) for line in run("--json", "--scheduler", "threads")]
    table = results.check(results.match(["A3"]), kernel="linear", dim=1)
    assert [row["estimate"] for row in rows] == table["estimate"].tolist()
    assert {row["verdict"] for row in rows} == {"verified"}
    claim = results.get("A3").claim(dim=1)
    estimation = montecarlo.Estimation(claim.experiment, claim.values, 0.0, 1.0, 0, claim.label)
    (moments,) = estimation.batch(range(7, 8)).run()
    line = next(line for line in run("--replay", "7") if line.startswith(f"{claim.label}, chunk 7, column 1"))
    assert float(line.split("mean ")[1].split(",")[0]) == moments.mean[1]
