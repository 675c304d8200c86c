"""Several processes train as one does; their normalisation is that of the whole batch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import warptheory
from tests.waiting import PATIENCE
from warptheory.core.errors import ArgumentError
from warptheory.training import Processes, joined_processes


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    environment = {**os.environ, "PYTHONPATH": str(Path(warptheory.__file__).parent.parent)}
    command = [sys.executable, Path(__file__).with_name("shared_runs.py"), folder]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return {**json.loads(done.stdout), "warnings": done.stderr}


def test_two_processes_train_as_one(runs):
    """In float64 both do the same sums in another order: 1e-10 is a million roundings, amplified over twelve steps."""
    one, two = runs["one"], runs["two"]
    assert one["fingerprint"] != two["fingerprint"]  # the test sees rounding, so it would see more
    for name in ("loss", "accuracy", "learning_rate"):
        expected = [step[name] for step in one["steps"]]
        assert [step[name] for step in two["steps"]] == pytest.approx(expected, rel=1e-10), name
    assert [step["test_accuracy"] for step in two["steps"]] == [step["test_accuracy"] for step in one["steps"]]
    for name in ("warping", "rest"):
        expected = [step["gradient_norms"][name] for step in one["steps"]]
        assert [step["gradient_norms"][name] for step in two["steps"]] == pytest.approx(expected, rel=1e-10)
    assert two["statistics"] == pytest.approx(one["statistics"], rel=1e-10)
    assert len({step["loss"] for step in one["steps"]}) == 12


def test_two_processes_that_were_stopped_end_in_the_same_weights(runs):
    assert runs["stopped"]["fingerprint"] == runs["two"]["fingerprint"]


def test_what_the_first_process_raises_ends_the_others(runs):
    assert runs["errors"] == [
        "ValueError: no data",
        "FirstProcessError: the first process could not go on; it says why",
    ]


def test_nothing_is_deprecated(runs):
    assert "FutureWarning" not in runs["warnings"]


def test_shares_cover_the_batch():
    shares = [Processes(rank, 3).share(12) for rank in range(3)]
    assert [number for share in shares for number in range(12)[share]] == list(range(12))


def test_alone():
    with joined_processes("cpu") as (processes, device):
        assert processes == Processes(0, 1) == Processes.current()
        assert device == torch.device("cpu")
        with processes.first_alone():
            assert processes.mean(torch.tensor([3.0])).tolist() == [3.0]
        model = torch.nn.Linear(2, 2)
        with processes.parallel(model) as parallel:
            assert parallel is model


@pytest.mark.usefixtures("as_users_call")
def test_bad_input():
    with pytest.raises(ArgumentError, match="^batch: expected a multiple of the 3 processes, got 10$"):
        Processes(0, 3).share(10)
    with pytest.raises(ArgumentError, match="^device: expected a torch device such as cpu or cuda, got 'gpu'$"):
        joined_processes("gpu").__enter__()
    if not torch.cuda.is_available():
        with pytest.raises(ArgumentError, match="^device: expected cpu, or cuda where there is a GPU, got 'cuda'$"):
            joined_processes("cuda").__enter__()
