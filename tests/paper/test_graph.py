"""The run as a graph: what is up to date, what is not, and what a run that is killed leaves behind."""

import json
import time
from dataclasses import replace

import pytest

from tests.cli.running import begin
from tests.waiting import PATIENCE
from warptheory.core.errors import UnknownNameError
from warptheory.paper import graph
from warptheory.paper.entries import RunSettings
from warptheory.paper.graph import chosen_parts, plan
from warptheory.paper.running import run

ONLY = ("figure1*", "operator_accuracy")  # which takes seconds
NAMES = {"warped_image", "figure1_warped_image", "operator_accuracy"}
OPTIONS = [option for name in ONLY for option in ("--only", name)]


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """Settings of a run that was killed as soon as a part was finished, and the names of what was."""
    folder = tmp_path_factory.mktemp("graph")
    state = folder / "graph.json"
    process, said = begin("reproduce", "--seed", "1", "--out", folder, *OPTIONS)
    begun = time.monotonic()
    while not state.is_file() and process.is_alive() and time.monotonic() - begun < PATIENCE:
        time.sleep(0.05)
    process.kill()
    process.join()
    said.close()
    return RunSettings(folder / "records", seed=1), set(json.loads(state.read_text())) & NAMES


@pytest.fixture(scope="module")
def settings(killed):
    """Settings of a run that is finished: the one that was killed has gone on."""
    chosen, finished = killed
    assert finished
    left = stale(chosen)
    assert left <= NAMES - finished
    reports = []
    outcome = run(chosen, ONLY, reports.append)
    assert outcome.holds
    if left:  # all may have been finished before it was killed
        assert reports[-1].share == 1
        assert reports[-1].finished == reports[-1].parts == len(left)
    return chosen


def stale(settings, only=ONLY):
    return {planned.part.name for planned in plan(settings, only).parts if not planned.is_up_to_date}


def test_a_killed_run_goes_on(settings):
    """What was finished is not computed again, see `settings`."""
    assert not stale(settings)


def test_what_is_read_comes_first(settings):
    names = list(chosen_parts(settings, ONLY))
    assert set(names) == NAMES
    assert names.index("warped_image") < names.index("figure1_warped_image")
    everything = list(chosen_parts(settings))
    assert everything.index("verdicts") < everything.index("planted_errors")
    assert everything[-1] == "report"
    assert "monte_carlo" not in everything
    assert "monte_carlo" in chosen_parts(settings, ["monte_carlo"])


def test_a_second_run_computes_nothing(settings):
    before = {path: path.stat().st_mtime_ns for path in settings.out.iterdir()}
    assert not stale(settings)
    assert plan(settings, ONLY).seconds == 0
    assert run(settings, ONLY).holds
    assert {path: path.stat().st_mtime_ns for path in settings.out.iterdir()} == before


def test_other_settings_compute_everything(settings):
    assert stale(replace(settings, seed=2)) == NAMES
    assert stale(replace(settings, profile="full")) == NAMES
    assert not stale(replace(settings, workers=7))


def test_other_source_computes_what_depends_on_it(settings, monkeypatch):
    true_hash = graph.source_hash

    def edited(*functions):
        is_edited = any(function.__module__.endswith("operator_accuracy") for function in functions)
        return true_hash(*functions) + ("!" if is_edited else "")

    monkeypatch.setattr(graph, "source_hash", edited)
    assert stale(settings) == {"operator_accuracy"}


def test_a_changed_record_is_computed_again_with_what_reads_it(settings):
    path = settings.out / "warped_image.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert stale(settings) == {"warped_image", "figure1_warped_image"}
    path.write_bytes(content)
    assert not stale(settings)


@pytest.mark.parametrize("damage", [b"", b"{", b'{"operator_accuracy": 3}', b"\xff\xfe\x00"])
def test_a_damaged_state_is_forgotten(settings, damage):
    path = settings.out.parent / "graph.json"
    content = path.read_bytes()
    path.write_bytes(damage)
    assert stale(settings) == NAMES
    path.write_bytes(content)


def test_unknown_names_are_told(settings):
    with pytest.raises(UnknownNameError, match=r"^only: expected one of .*operator_accuracy.*, got 'nothing\*'$"):
        plan(settings, ["nothing*"])


@pytest.mark.usefixtures("as_users_call")
def test_a_failed_part_is_told_and_costs_what_reads_it(tmp_path, warptheory):
    """Something else stands in the place of a record: its figure is not drawn, all else is computed, exit code 1."""
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "warped_image.safetensors").write_text("mine")
    code, out, err = warptheory("reproduce", "--out", tmp_path, *OPTIONS)
    assert code == 1
    assert "3 of 3 parts to compute" in out
    assert "failed: warped_image: ArgumentError: out: expected no warped_image.safetensors" in out
    assert "failed: figure1_warped_image: " in out
    assert (tmp_path / "records" / "operator_accuracy.parquet").is_file()
    assert (tmp_path / "records" / "warped_image.safetensors").read_text() == "mine"
    assert "reproduce: 0 of 3 parts, 0%" in err
    assert "2 of 3 parts to compute" in warptheory("reproduce", "--plan", "--out", tmp_path, *OPTIONS)[1]
