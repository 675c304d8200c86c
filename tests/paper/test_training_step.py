"""The benchmark of a training step compares networks that are the same function; how fast they are, no test says."""

import pytest
import torch

from warptheory.core import records
from warptheory.paper.benchmarks import training_step
from warptheory.paper.entries import RunSettings

SMALL = {"depth": 8, "width": 4, "batch": 4, "size": 8}


def test_networks_are_one_function():
    """Outputs of the two operators agree to rounding, some thousand operations deep, and offsets do move pixels."""
    trained = training_step.trainings(**SMALL, seed=1, device="cpu")
    scores = {name: training.network.eval()(training.images) for name, training in trained.items()}
    for name in ("grid_sample", "torch alone"):
        torch.testing.assert_close(scores["self-warp"], scores[name], rtol=1e-4, atol=1e-4)
    assert (scores["self-warp"] - scores["plain"]).abs().max() > 1e-2


def test_record(tmp_path):
    fractions = []
    settings = RunSettings(tmp_path, seed=3, rounds=1, on_progress=lambda share, name: fractions.append(share))
    path = training_step.run(settings, **SMALL)
    record = records.read_json(path)
    assert path.name == "training_step_cpu.json"
    assert (record["seed"], record["settings"]["rounds"], record["warps"]) == (3, 1, 3)
    assert fractions[0] == 0
    assert set(record["ratios"]) == set(training_step.RATIOS)
    for found in (*record["ratios"].values(), *record["seconds"].values()):
        assert 0 < found["lowest"] <= found["median"] <= found["highest"]
    over = record["ratios"]["self-warp over plain"]["median"]
    assert record["share_of_the_step"]["median"] == pytest.approx(1 - 1 / over)
    for text in ("self-warp over plain", "grid_sample over self-warp", "share of the 3 warps"):
        assert text in training_step.summary(path)
