"""Benchmarks write their records; how fast anything is, no test says."""

import numpy as np
import pytest

from warptheory import results
from warptheory.core import records
from warptheory.paper.benchmarks import monitor_overhead, monte_carlo, verification, warp
from warptheory.paper.entries import RunSettings


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("benchmark")
    small = {"duration": 1e-3, "precision": 1e-2, "elements": 2**12, "labels": ["A2", "A4", "B4", "C2"]}
    return monte_carlo.run(RunSettings(folder, seed=3, rounds=1), **small)


def test_record(path):
    record = records.read_json(path)
    assert path.name == "monte_carlo_cpu.json"
    assert (record["seed"], record["settings"]["rounds"]) == (3, 1)
    assert {row["result"] for row in record["samples_per_second"]} == {"A4", "B3", "C2"}
    for row in (*record["samples_per_second"], record["time_to_precision"]):
        assert 0 < row["ratio"]["lowest"] <= row["ratio"]["median"] <= row["ratio"]["highest"]
    assert [row["reduction"] for row in record["gains"]] == ["conditioning", "conditioning", "none", "controls"]
    assert [row["gain"] is None for row in record["gains"]] == [True, False, False, False]
    assert record["gains"][2]["gain"] == 1


def test_summary(path):
    text = monte_carlo.summary(path)
    assert "samples per second" in text
    assert "A4" in text
    assert "conditioning" in text


@pytest.mark.parametrize(
    "comparison", monte_carlo.COMPARISONS, ids=lambda comparison: f"{comparison.result}, {comparison.method}"
)
def test_peer_draws_what_the_result_is_about(comparison):
    """NumPy's code estimates the same number, within 5 of its standard errors over blocks."""
    peer = comparison.peer(np.random.default_rng(1), 2**13)
    case = monte_carlo.first_case(comparison.result)
    means = np.array([peer() for _ in range(200)])
    found = means[:, 1] - means[:, 0] ** 2 if comparison.result != "C2" else means[:, 1]
    error = found.std(ddof=1) / np.sqrt(len(found))
    # The square of a block's mean has a mean of its own, variance/samples.
    bias = found.std(ddof=1) / np.sqrt(peer.samples)
    assert abs(found.mean() - results.get(case.result).evaluate(case.quantity, standard=True)) < 5 * error + bias


def test_warp(tmp_path, monkeypatch):
    """Idle, and beside busy processes, which are gone afterwards."""
    processes = []

    class Process(warp.subprocess.Popen):
        def __init__(self, *arguments, **keywords):
            super().__init__(*arguments, **keywords)
            processes.extend([self] if "-S" in self.args else [])

    monkeypatch.setattr(warp.subprocess, "Popen", Process)
    path = warp.run(RunSettings(tmp_path, seed=3, rounds=1), shapes=[(1, 2, 8, 8)])
    rows = records.read_json(path)["results"]
    assert [row["busy_processes"] for row in rows] == [0] * 8 + [1] * 8
    assert all(0 < row["ratio_lowest"] <= row["ratio"] <= row["ratio_highest"] for row in rows)
    assert len(processes) == 8
    assert all(process.poll() is not None for process in processes)
    assert len(warp.summary(path).splitlines()) == 17


def test_verification(tmp_path, monkeypatch):
    """On one core, where nobody else has to be started."""
    monkeypatch.setattr(verification.os, "cpu_count", lambda: 1)
    path = verification.run(RunSettings(tmp_path, seed=3, rounds=2), labels=["A1"], profiles=["quick"])
    runs = records.read_json(path)["runs"]
    assert [(row["profile"], row["seed"]) for row in runs] == [("quick", 3), ("quick", 4)]
    for row in runs:
        assert (row["verified"], row["refuted"], row["undecided"]) == (row["claims"], [], [])
        assert row["seconds"] > 0
        assert row["smallest_effects"] == [0.01, 0.05]  # at the standard values, and at random points
    assert "quick" in verification.summary(path)


def test_monitor_overhead(tmp_path):
    path = monitor_overhead.run(RunSettings(tmp_path, seed=3, rounds=2), depth=8, width=2, batch=4)
    record = records.read_json(path)
    assert path.name == "monitor_overhead_cpu.json"
    assert (record["settings"]["rounds"], record["settings"]["batch"]) == (2, 4)
    results = record["results"]
    for kind in ("counted", "recorded", "at_interval"):
        assert 0 < results[kind]["lowest"] <= results[kind]["median"] <= results[kind]["highest"]
    assert "a step that is recorded" in monitor_overhead.summary(path)
