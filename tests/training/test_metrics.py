import sys
from types import ModuleType

import pytest

from warptheory.core.errors import ArgumentError
from warptheory.training import TrainingStep, history_table, tensorboard_log
from warptheory.training.metrics import history_of_table

HISTORY = [
    TrainingStep(0, 1.5, 0.25, 0.1, {"warping": 2.0, "rest": 1 / 3}, None, 100.0),
    TrainingStep(1, 1.25, 0.5, 0.05, {"warping": 1e-30, "rest": 0.0}, 0.75, 90.0),
]


def test_tables_and_back():
    table = history_table(HISTORY)
    assert table["gradient_norm_warping"].tolist() == [2.0, 1e-30]
    assert table["test_accuracy"].isna().tolist() == [True, False]
    assert history_of_table(table) == HISTORY
    assert [step.images_per_second for step in history_of_table(table)] == [100.0, 90.0]
    assert len(history_table([])) == 0


@pytest.mark.usefixtures("as_users_call")
def test_tensorboard_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ArgumentError, match=r"^tensorboard: expected the package tensorboard \(pip install"):
        tensorboard_log(tmp_path).__enter__()


def test_tensorboard_gets_every_number(tmp_path, monkeypatch):
    written = []

    class SummaryWriter:
        def __init__(self, folder, purge_step):
            self.folder = folder
            written.append(purge_step)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            written.append(self.folder)

        def add_scalar(self, name, value, step):
            written.append((name, value, step))

    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    with tensorboard_log(tmp_path, 7) as log:
        for step in HISTORY:
            log(step)
    assert written[-1] == str(tmp_path)
    assert ("loss", 1.25, 1) in written
    assert ("gradient_norm_rest", 1 / 3, 0) in written
    assert written[0] == 7
    assert [entry for entry in written[1:-1] if entry[0] == "test_accuracy"] == [("test_accuracy", 0.75, 1)]
