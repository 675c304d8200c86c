"""Runs that are killed go on where they were: no finished chunk is lost, and the table is the same."""

import json
import random
import sqlite3
import time

import pandas as pd
import pytest

from tests.cli.running import begin
from tests.waiting import PATIENCE

COMMAND = ("verify", "A2", "A3", "--dim", "1", "--kernel", "linear", "--plain", "--workers", "1")
A3 = ("verify", "A3", "--dim", "1", "--kernel", "linear", "--inputs", "normal")
SECONDS = 0.5  # in which a run stores some chunks


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


def finish(*command):
    """Run a command to its end; return its exit code and what it said."""
    process, said = begin(*command)
    assert said.poll(PATIENCE)
    text = said.recv()
    process.join()
    return process.exitcode, text


def verdicts(folder):
    code, text = finish(*COMMAND, "--out", folder)
    assert code == 0, text
    return pd.read_parquet(folder / "verdicts.parquet")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    return verdicts(folder), finished_chunks(folder)


def kill(folder, chunks, seconds=0.0):
    """Start the run and kill it so long after so many chunks are stored; return them."""
    process, said = begin(*COMMAND, "--out", folder)
    while process.is_alive() and len(finished_chunks(folder)) < chunks:
        time.sleep(0.005)
    time.sleep(seconds)
    process.kill()
    process.join()
    said.close()
    return finished_chunks(folder)


def check_resumed(folder, undisturbed):
    table, chunks = undisturbed
    pd.testing.assert_frame_equal(verdicts(folder), table, check_exact=True)
    assert finished_chunks(folder) == chunks


def test_killed_at_three_moments(tmp_path, undisturbed):
    """Before the first chunk, among the first ones, and near the end."""
    most, stored = len(undisturbed[1]), set()
    for chunks in (0, 1, 3 * most // 4):
        found = kill(tmp_path, chunks)
        assert stored <= found
        assert chunks <= len(found) <= most
        stored = found
    check_resumed(tmp_path, undisturbed)


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path, undisturbed):
    moments, stored = random.Random(50), set()
    for _ in range(50):
        found = kill(tmp_path, min(len(stored) + 1, len(undisturbed[1])), moments.uniform(0.0, SECONDS))
        assert stored <= found
        stored = found
    check_resumed(tmp_path, undisturbed)


def test_a_folder_in_use_is_refused(tmp_path):
    """By another process, until it is released."""
    from warptheory.montecarlo import chunk_store

    with chunk_store(tmp_path, {}):
        code, text = finish(*COMMAND, "--out", tmp_path)
    assert code == 2
    assert "no other run is using" in text
    assert "in use by process" in text
    with chunk_store(tmp_path, {}):
        pass


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
    table = results.check(results.match(["A3"]), kernel="linear", dim=1, inputs="normal")
    assert [row["estimate"] for row in rows] == table["estimate"].tolist()
    assert {row["verdict"] for row in rows} == {"verified"}
    claim = results.get("A3").claim(dim=1)
    estimation = montecarlo.Estimation(claim.experiment, claim.values, 0.0, 1.0, 0, claim.label)
    (moments,) = estimation.batch(range(7, 8)).run()
    line = next(line for line in run("--replay", "7") if line.startswith(f"{claim.label}, chunk 7, column 1"))
    assert float(line.split("mean ")[1].split(",")[0]) == moments.mean[1]
