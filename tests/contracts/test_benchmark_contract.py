"""The contract of benchmarks: each runs alone, and its record says on what. How fast anything is, no test says."""

from dataclasses import replace

import pytest

from tests.reproduction import SETTINGS
from tests.scripts import check_declared, check_shown, check_written
from warptheory.core import records
from warptheory.paper import benchmarks
from warptheory.paper.entries import RunSettings

NAMES = benchmarks.names()


@pytest.mark.parametrize("name", NAMES)
def test_it_declares_what_others_need(name):
    entry = benchmarks.get(name)
    check_declared(entry)
    check_record_name(entry)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_written_and_shown(name, reproduced):
    entry = benchmarks.get(name)
    if entry.cost.quick is None:
        return  # of the full profile, and run by a test of its own
    check_written(entry, RunSettings(reproduced / "records", **SETTINGS))
    check_shown(entry, (reproduced / "report.html").read_text(encoding="utf-8"))
    path = reproduced / "records" / f"{name}_cpu.json"
    check_manifest(records.read_json(path))
    assert entry.summary(path)


def test_a_wrong_benchmark_would_be_seen():
    entry = benchmarks.get("warp")
    with pytest.raises(AssertionError):
        check_record_name(replace(entry, writes=("warp.json",)))
    with pytest.raises(AssertionError):
        check_manifest({"settings": {"rounds": 3}})


def check_record_name(entry):
    """Records of two devices do not replace each other, and nothing runs beside the clock."""
    assert entry.writes == (f"{entry.name}_*.json",)
    assert entry.runs_alone


def check_manifest(record):
    """A ratio says how often it was measured, and on what."""
    assert record.get("settings", {}).get("rounds", 0) >= 1
    assert record["settings"].get("device_name")
    assert record.get("machine")
