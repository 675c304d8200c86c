"""Runs by name: what is checked before anything is written, and the records that are left."""

import contextlib
import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch

from warptheory.core.errors import ArgumentError
from warptheory.stability import monitor
from warptheory.training import DivergedError, TrainingRun, TrainingSettings, fingerprint, loop, train

pytestmark = pytest.mark.usefixtures("as_users_call")

RUN = TrainingRun("selfwarp-resnet8", "digits", TrainingSettings(steps=4, batch=32), {"width": 2})
CPU = torch.device("cpu")
RECORDS = {f"{name}.{ending}" for name in ("metrics", "monitor") for ending in ("parquet", "json")}
RECORDS |= {"weights.safetensors", "weights.json"}


def changed(**settings):
    return replace(RUN, settings=replace(RUN.settings, **settings))


def records(folder: Path) -> set[str]:
    """Return the names of the records in a folder, without what the run itself goes on from."""
    return {path.name for path in folder.iterdir()} - {"checkpoints", "configuration.json", "lock"}


def interrupt_at(step):
    """Interrupt after a step, as Ctrl-C does."""

    def on_step(measured):
        if measured.step == step:
            raise KeyboardInterrupt

    return on_step


@pytest.fixture
def no_tensorboard(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)


@pytest.mark.usefixtures("no_tensorboard")
@pytest.mark.parametrize(
    ("run", "options", "message"),
    [
        (changed(batch=5000), {}, "^batch: expected an integer in 1 … 1438, got 5000$"),
        (changed(precision="fp16"), {}, "^precision: expected fp32 or bf16 on a CPU"),
        (replace(RUN, model="selfwarp-resnet9"), {}, "^depth: expected 6n"),
        (replace(RUN, model="net1d", model_options={}), {}, "^model: expected a network for digits, .* 2 axes"),
        (replace(RUN, model_options={"colour": 1}), {}, "^model_options: expected one of boundary, "),
        (replace(RUN, data="digit"), {}, r"^data: expected one of .*\(did you mean 'digits'\?\)$"),
        (RUN, {"tensorboard": True}, "^tensorboard: expected the package tensorboard"),
        (RUN, {"checkpoint_interval": 0}, "^checkpoint_interval: expected a positive integer, got 0$"),
        (RUN, {"evaluation_interval": 0}, "^evaluation_interval: expected a positive integer, got 0$"),
        (RUN, {"resume": True, "fresh": True}, "^fresh: expected either --resume or --fresh"),
    ],
)
def test_a_run_that_cannot_be_started_leaves_nothing(run, options, message, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(ArgumentError, match=message):
        train(run, device=CPU, out=out, **options)
    assert not out.exists()


@pytest.mark.parametrize("options", [{"resume": True}, {"fresh": True}, {"tensorboard": True}], ids=str)
def test_options_that_need_a_folder(options):
    with pytest.raises(
        ArgumentError, match="^out: expected a folder, for --resume, --fresh and --tensorboard, got none$"
    ):
        train(RUN, device=CPU, **options)


def test_without_a_folder_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trained = train(RUN, device=CPU)
    assert len(trained.history) == 4
    assert trained.monitored is None
    assert (trained.classes, trained.tested) == (10, 359)
    assert trained.test_accuracy == trained.history[-1].test_accuracy
    assert list(tmp_path.iterdir()) == []


def test_a_run_in_two_sittings_leaves_the_records_of_one(tmp_path):
    """What the monitor of the second sitting recorded stands behind that of the first."""
    watch = {"watch": partial(monitor, interval=2)}
    whole = train(RUN, device=CPU, out=tmp_path / "whole", **watch)
    halves = {"device": CPU, "out": tmp_path / "halves", "checkpoint_interval": 2, **watch}
    with pytest.raises(KeyboardInterrupt):
        train(RUN, on_step=interrupt_at(2), **halves)
    assert records(tmp_path / "halves") == {"metrics.parquet", "metrics.json"}
    assert pd.read_parquet(tmp_path / "halves" / "metrics.parquet")["step"].tolist() == [0, 1, 2]
    with pytest.raises(ArgumentError, match="^out: expected an empty folder, or --resume"):
        train(RUN, **halves)
    trained = train(RUN, resume=True, **halves)
    assert trained.history == whole.history
    assert fingerprint(trained.model) == fingerprint(whole.model)
    assert sorted(set(trained.monitored["step"])) == [0, 2]
    pd.testing.assert_frame_equal(trained.monitored, whole.monitored, check_exact=True)
    assert records(tmp_path / "halves") == records(tmp_path / "whole") == RECORDS
    manifest = json.loads((tmp_path / "halves" / "weights.json").read_text())["settings"]
    assert manifest["weights_sha256"] == fingerprint(whole.model)
    assert manifest["test_accuracy"] == whole.test_accuracy
    again = train(RUN, fresh=True, on_step=None, **{**halves, "watch": None})
    assert fingerprint(again.model) == fingerprint(whole.model)
    assert records(tmp_path / "halves") == RECORDS - {"monitor.parquet", "monitor.json"}


def test_a_start_that_was_stopped_does_not_hold_the_folder(tmp_path, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop, "draw_batch", stopped)
        with pytest.raises(KeyboardInterrupt):
            train(RUN, device=CPU, out=tmp_path)
    assert records(tmp_path) == set()
    assert len(train(changed(seed=1), device=CPU, out=tmp_path).history) == 4


def test_a_diverged_run_holds_its_folder(tmp_path):
    diverging = changed(learning_rate=1e30)
    with pytest.raises(DivergedError) as caught:
        train(diverging, device=CPU, out=tmp_path)
    assert len(pd.read_parquet(tmp_path / "metrics.parquet")) == len(caught.value.history) > 0
    with pytest.raises(ArgumentError, match="^out: expected a folder of the same run.*learning_rate was 1e[+]30"):
        train(RUN, device=CPU, out=tmp_path)


def test_a_run_whose_loss_has_grown_leaves_metrics_and_no_weights(tmp_path):
    with pytest.raises(DivergedError, match="^loss has grown from "):
        train(changed(learning_rate=1e2, steps=8), device=CPU, out=tmp_path)
    assert len(pd.read_parquet(tmp_path / "metrics.parquet")) == 8
    assert not (tmp_path / "weights.safetensors").exists()


@pytest.mark.filterwarnings("error::UserWarning")
def test_a_network_without_warps_has_nothing_to_watch(tmp_path):
    plain = replace(RUN, model="resnet8")
    assert train(plain, device=CPU, out=tmp_path, watch=monitor).monitored is None
    assert records(tmp_path) == RECORDS - {"monitor.parquet", "monitor.json"}


class EvaluationOnly(contextlib.AbstractContextManager):
    """A monitor that recorded nothing while the network was trained."""

    def __exit__(self, *_):
        return None

    def table(self):
        return pd.DataFrame({"step": [0], "training": [False]})


def test_what_was_recorded_in_evaluation_is_no_row_of_training():
    trained = train(RUN, device=CPU, watch=lambda model, first_step: EvaluationOnly())
    assert trained.monitored is None or not len(trained.monitored)


def test_other_settings_are_refused_without_the_configuration(tmp_path):
    train(RUN, device=CPU, out=tmp_path)
    (tmp_path / "configuration.json").unlink()
    with pytest.raises(ArgumentError, match="^settings: expected those of .*: seed was 0 and is 1$"):
        train(changed(seed=1), device=CPU, out=tmp_path, resume=True)
    assert len(train(RUN, device=CPU, out=tmp_path, resume=True).history) == 4


def test_damaged_checkpoints_do_not_lose_their_run(tmp_path):
    train(RUN, device=CPU, out=tmp_path)
    before = (tmp_path / "weights.safetensors").read_bytes()
    for path in (tmp_path / "checkpoints").glob("*/state.safetensors"):
        path.write_bytes(b"")
    with pytest.raises(ArgumentError, match="^out: expected an empty folder, or --resume to go on"):
        train(RUN, device=CPU, out=tmp_path)
    assert (tmp_path / "weights.safetensors").read_bytes() == before
    with pytest.warns(UserWarning, match="damaged checkpoint") as caught:
        train(RUN, device=CPU, out=tmp_path, resume=True)
    (told,) = (str(warning.message) for warning in caught if "damaged" in str(warning.message))
    assert told.endswith("step-000000004; training starts over")


def test_names_tell_runs_apart():
    names = [
        RUN,
        changed(seed=1),
        changed(steps=5),
        replace(RUN, model_options={"width": 4}),
        replace(RUN, data="patches"),
    ]
    assert len({run.name for run in names}) == len(names)
    assert RUN.name == replace(RUN).name
    assert RUN.name.startswith("digits-selfwarp-resnet8-0-")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"model_options": {"classes": 5}},
            "^model_options: expected no classes, which the run itself decides, got 5$",
        ),
        ({"data_options": {"seed": 5}}, "^data_options: expected no seed, which the run itself decides, got 5$"),
    ],
)
def test_options_that_the_run_decides(options, message):
    with pytest.raises(ArgumentError, match=message):
        replace(RUN, **options)
