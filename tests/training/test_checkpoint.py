"""Checkpoints: runs that are interrupted, in this process or by a kill, end in the very weights."""

import hashlib
import json
import os
import resource
from contextlib import suppress

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.training import killed_runs
from tests.waiting import PATIENCE
from warptheory.core.errors import ArgumentError
from warptheory.core.files import MARK
from warptheory.core.processes import process_context
from warptheory.training import (
    Checkpoint,
    CheckpointError,
    Checkpoints,
    DivergedError,
    fingerprint,
    fit,
    history_table,
    open_checkpoints,
)

pytestmark = pytest.mark.usefixtures("as_users_call")

CHOSEN = {"steps": 9, "batch": 20, "augment": ("flip", "crop"), "warm_up": 2}


class InterruptedRunError(Exception):
    pass


def train(folder, model, task, stop=None, interval=2, **options):
    def interrupt(measured):
        if measured.step == stop:
            raise InterruptedRunError

    with open_checkpoints(folder, {}, interval=interval, resume=True) as checkpoints:
        return fit(model, *task, checkpoints=checkpoints, on_step=interrupt, **{**CHOSEN, **options})


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "channels-last"])
def test_interrupted_at_every_step(optimizer, layout, tiny, task, tmp_path):
    """Weights, buffers and everything that was measured are those of the run that nothing interrupted."""
    whole = tiny().to(memory_format=layout)
    history = fit(whole, *task, test=task, evaluation_interval=4, optimizer=optimizer, **CHOSEN)
    for stop in range(9):
        folder = tmp_path / str(stop)
        for when in (stop, None):
            model = tiny().to(memory_format=layout)
            try:
                found = train(folder, model, task, when, optimizer=optimizer, test=task, evaluation_interval=4)
            except InterruptedRunError:
                assert when == stop
        assert fingerprint(model) == fingerprint(whole)
        assert found == history


def test_a_finished_run_is_not_trained_again(tiny, task, tmp_path):
    histories = [train(tmp_path, tiny(), task) for _ in range(2)]
    assert histories[0] == histories[1]
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step-000000008", "step-000000009"]


def test_metrics_are_kept_exactly(tiny, task, tmp_path):
    history = train(tmp_path, tiny(), task)
    table = pd.read_parquet(tmp_path / "checkpoints" / "step-000000009" / "metrics.parquet")
    pd.testing.assert_frame_equal(table, history_table(history), check_exact=True)
    assert {"step", "loss", "accuracy", "learning_rate", "gradient_norm_warping", "images_per_second"} <= set(table)


@pytest.mark.parametrize("name", ["state.safetensors", "metrics.parquet", "checkpoint.json"])
@pytest.mark.parametrize("damage", ["cut", "changed", "missing"])
def test_a_damaged_checkpoint_is_passed_over(name, damage, tiny, task, tmp_path):
    whole = tiny()
    train(tmp_path, whole, task)
    path = tmp_path / "checkpoints" / "step-000000009" / name
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        middle = len(content) // 2
        other = bytes([content[middle] ^ 255])
        path.write_bytes(content[:middle] if damage == "cut" else content[:middle] + other + content[middle + 1 :])
    model = tiny()
    told = "damaged checkpoint in .*: step-000000009; training goes on from step-000000008$"
    with pytest.warns(UserWarning, match=told):
        train(tmp_path, model, task)
    assert fingerprint(model) == fingerprint(whole)


@pytest.mark.parametrize("change", [{"scalars": None}, {"step": None}, {"step": 7}, {"sha256": {}}], ids=str)
def test_an_edited_manifest_is_passed_over(change, tiny, task, tmp_path):
    """None: the entry is taken away."""
    train(tmp_path, tiny(), task)
    path = tmp_path / "checkpoints" / "step-000000009" / "checkpoint.json"
    edited = {**json.loads(path.read_text()), **change}
    path.write_text(json.dumps({name: value for name, value in edited.items() if value is not None}))
    with pytest.warns(UserWarning, match="goes on from step-000000008"):
        assert Checkpoints(tmp_path / "checkpoints").latest().step == 8


def damage(folder):
    """Cut the weights of every checkpoint."""
    for path in folder.glob("checkpoints/*/state.safetensors"):
        path.write_bytes(path.read_bytes()[:100])


def test_damaged_checkpoints_are_not_overwritten_by_a_run_that_starts(tiny, task, tmp_path):
    train(tmp_path, tiny(), task)
    damage(tmp_path)
    with pytest.raises(ArgumentError, match="^out: expected an empty folder, or --resume .*step-000000009$"):
        open_checkpoints(tmp_path, {}).__enter__()
    with pytest.warns(UserWarning, match="step-000000008, step-000000009; training starts over$"):
        train(tmp_path, tiny(), task)


@pytest.mark.parametrize(
    "change", [{"optimizer": "adamw"}, {"seed": 1}, {"steps": 12}, {"augment": ("flip",)}], ids=str
)
def test_other_settings_are_refused(change, tiny, task, tmp_path):
    """By `fit` itself, of whatever folder; the model is left as it was."""
    train(tmp_path, tiny(), task)
    model, checkpoints = tiny(), Checkpoints(tmp_path / "checkpoints")
    (name,) = change
    with pytest.raises(ArgumentError, match=f"^settings: expected those of .*, got others: {name} was .* and is "):
        fit(model, *task, checkpoints=checkpoints, **{**CHOSEN, **change})
    assert fingerprint(model) == fingerprint(tiny())


def test_other_settings_are_refused_where_the_configuration_was_lost(tiny, task, tmp_path):
    train(tmp_path, tiny(), task)
    (tmp_path / "configuration.json").unlink()
    with pytest.raises(ArgumentError, match="^settings: expected those of .*, got others: seed was 0 and is 1$"):
        open_checkpoints(tmp_path, {"seed": 1, "model": "tiny"}, resume=True).__enter__()
    assert not (tmp_path / "configuration.json").exists()
    with open_checkpoints(tmp_path, {"seed": 0, "model": "tiny"}, resume=True) as checkpoints:
        assert checkpoints.latest().step == 9


def test_a_folder_in_which_nothing_was_trained_is_free(tmp_path):
    """Records, and what other commands keep in a folder, hold it."""
    for seed in (0, 1):
        with open_checkpoints(tmp_path, {"seed": seed}):
            pass
    for name in ("metrics.parquet", "chunks.sqlite"):
        (tmp_path / name).touch()
        with pytest.raises(ArgumentError, match="^out: expected a folder of the same run.* seed was 1 and is 2"):
            open_checkpoints(tmp_path, {"seed": 2}).__enter__()
        (tmp_path / name).unlink()


def test_a_disk_that_is_full(tiny, task, tmp_path):
    """Files are limited to a size that holds what was measured, and not the weights."""
    train(tmp_path, tiny(), task, steps=9)
    size = (tmp_path / "checkpoints" / "step-000000009" / "state.safetensors").stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, before[1]))
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    try:
        with pytest.raises(CheckpointError) as caught:
            checkpoints.save(Checkpoint(10, {"model.weight": torch.zeros(size)}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    good = checkpoints.folder / "step-000000009"
    assert caught.value.checkpoint == good
    assert str(caught.value).startswith(f"the checkpoint of step 10 could not be written into {checkpoints.folder}: ")
    assert str(caught.value).endswith(f"; last good checkpoint: {good}")
    assert [path.name for path in checkpoints.paths()] == ["step-000000008", "step-000000009"]
    assert len(list(checkpoints.folder.iterdir())) == 2


def test_damaged_checkpoints_of_later_steps_do_not_outlive_good_ones(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step in (12, 14):
        checkpoints.save(Checkpoint(step, {"model.weight": torch.zeros(2)}))
        (tmp_path / f"step-{step:09d}" / "checkpoint.json").unlink()
    for step in (2, 4, 6):
        checkpoints.save(Checkpoint(step, {"model.weight": torch.zeros(2)}))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000000004", "step-000000006"]


def test_a_failed_write_leaves_the_checkpoints_alone(tiny, task, tmp_path, monkeypatch):
    train(tmp_path, tiny(), task)
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    with pytest.raises(TypeError):
        checkpoints.save(Checkpoint(10, {"weight": torch.zeros(2)}, {"scale": object()}))
    assert sorted(path.name for path in checkpoints.folder.iterdir()) == ["step-000000008", "step-000000009"]


def test_divergence_keeps_the_last_good_checkpoint(tiny, task, tmp_path):
    images, labels = task
    model = tiny()
    with pytest.raises(DivergedError) as caught:
        train(tmp_path, model, (images, labels), steps=9, stop=None, interval=1, learning_rate=1e30)
    path = tmp_path / "checkpoints" / "step-000000001"
    assert caught.value.checkpoint == path == Checkpoints(tmp_path / "checkpoints").latest_path()
    assert str(caught.value).endswith(f"last good checkpoint: {path}")


def test_weights_that_are_not_finite_are_never_written(tiny, task, tmp_path):
    """The update after the third step overflows; the checkpoint that is due is not written."""

    def overflow(measured):
        if measured.step == 1:
            with torch.no_grad():
                model.last.bias.fill_(torch.inf)
                model.norm.weight.fill_(0)

    model = tiny()
    with open_checkpoints(tmp_path, {}, interval=1) as checkpoints, pytest.raises(DivergedError) as caught:
        fit(model, *task, checkpoints=checkpoints, on_step=overflow, **CHOSEN)
    assert caught.value.checkpoint == tmp_path / "checkpoints" / "step-000000002"


def test_a_folder_belongs_to_one_run(tmp_path):
    def opened(configuration, **options):
        with open_checkpoints(tmp_path, configuration, **options) as checkpoints:
            return checkpoints

    checkpoints = opened({"seed": 0})
    checkpoints.save(Checkpoint(1, {"model.weight": torch.zeros(2)}))
    with pytest.raises(ArgumentError, match="^out: expected an empty folder, or --resume to go on, or --fresh"):
        opened({"seed": 0})
    with pytest.raises(ArgumentError, match="^out: expected a folder of the same run.* seed was 0 and is 1"):
        opened({"seed": 1}, resume=True)
    assert opened({"seed": 0}, resume=True).latest().step == 1
    with pytest.raises(ArgumentError, match="^fresh: expected either --resume or --fresh"):
        opened({"seed": 0}, resume=True, fresh=True)
    half_written = tmp_path / "checkpoints" / ".writing-of-a-killed-run"
    half_written.mkdir()
    (half_written / "mark").write_text(f"{MARK}\nstate.safetensors\ncheckpoint.json")
    (half_written / "state.safetensors").write_text("half")
    assert opened({"seed": 1}, fresh=True).latest() is None
    assert list((tmp_path / "checkpoints").iterdir()) == []
    with pytest.raises(ArgumentError, match="^interval: expected a positive integer, got 0$"):
        opened({"seed": 1}, interval=0)
    with opened_twice(tmp_path), pytest.raises(ArgumentError, match="no other run is using"):
        opened({"seed": 1})


def opened_twice(folder):
    return open_checkpoints(folder, {"seed": 1})


def test_another_model_is_refused(tiny, task, tmp_path):
    train(tmp_path, tiny(), task)
    with pytest.raises(ArgumentError, match="^model: expected the model of the checkpoint"):
        train(tmp_path, torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(36, 3)), task)


def test_no_folder_keeps_nothing():
    with open_checkpoints(None, {}) as checkpoints:
        assert checkpoints is None


def test_fingerprints_see_every_bit(tiny):
    models = [tiny(), tiny(), tiny(), tiny()]
    with torch.no_grad():
        models[1].first.weight[0, 0, 0, 0] = models[1].first.weight[0, 0, 0, 0].nextafter(torch.tensor(9.0))
    models[2].norm.running_mean[0] = -0.0
    prints = [fingerprint(model) for model in models]
    assert prints[0] == prints[3]
    assert len(set(prints)) == 3


def test_killed_at_three_moments(tmp_path):
    """SIGKILL between steps, while a checkpoint is half written, and before old ones are removed: the same weights."""
    runs = process_context(["warptheory.training"]).Process(target=killed_runs.main, args=(tmp_path,))
    runs.start()
    try:
        runs.join(PATIENCE)
        assert runs.exitcode == 0
    finally:
        runs.kill()
    prints = json.loads((tmp_path / "prints.json").read_text())
    assert set(prints) == {"undisturbed", "between steps", "half written", "before removal"}
    assert len(set(prints.values())) == 1, prints


USERS = "what a user has written"


def resigned(folder):
    """Make a manifest tell the digests of the files as they are, as somebody would who changed them."""
    path = folder / "checkpoint.json"
    manifest = json.loads(path.read_text())
    digests = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in manifest["sha256"]}
    path.write_text(json.dumps({**manifest, "sha256": digests}))


def last_of(folder):
    return folder / "checkpoints" / "step-000000009"


@pytest.mark.parametrize("resume", [False, True])
def test_folders_and_files_of_others_stay(resume, tiny, task, tmp_path):
    """Whatever their names: beside checkpoints, in them, and in the place of one."""
    train(tmp_path, tiny(), task)
    kept = tmp_path / "checkpoints"
    for name in ("step-000000004", "step-notes", ".writing-a-letter"):
        (kept / name).mkdir()
        (kept / name / "notes.txt").write_text(USERS)
    (kept / "step-000000006").mkdir()  # an empty one
    (kept / "notes.txt").write_text(USERS)
    (last_of(tmp_path) / "notes.parquet").write_text(USERS)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mark").write_text(f"{MARK}\nstate.safetensors")
    (tmp_path / "elsewhere" / "state.safetensors").write_text(USERS)
    (kept / "step-000000005").symlink_to(tmp_path / "elsewhere")
    with open_checkpoints(tmp_path, {}, resume=resume, fresh=not resume) as checkpoints:
        for step in (10, 12, 14, 16):
            checkpoints.save(Checkpoint(step, {"model.weight": torch.zeros(2)}))
        with pytest.raises(CheckpointError, match="step-000000004 is there, and is no checkpoint; it is left alone"):
            checkpoints.save(Checkpoint(4, {"model.weight": torch.zeros(2)}))
    found = {str(path.relative_to(kept)) for path in kept.rglob("*") if path.is_file()}
    theirs = {f"{name}/notes.txt" for name in ("step-000000004", "step-notes", ".writing-a-letter")}
    theirs |= {"notes.txt", "step-000000009/notes.parquet"}
    assert theirs == {name for name in found if "notes" in name}
    assert all((kept / name).read_text() == USERS for name in theirs)
    assert (tmp_path / "elsewhere" / "state.safetensors").read_text() == USERS
    assert (kept / "step-000000005").is_symlink()
    assert (kept / "step-000000006").is_dir()
    assert [path.name for path in checkpoints.paths()] == ["step-000000014", "step-000000016"]


def test_a_folder_of_checkpoints_that_is_a_link_is_refused(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "own").mkdir()
    (tmp_path / "out" / "checkpoints").symlink_to(tmp_path / "own")
    with pytest.raises(ArgumentError, match="^out: expected a folder checkpoints in .*, got a link"):
        open_checkpoints(tmp_path / "out", {}, fresh=True).__enter__()
    assert list((tmp_path / "own").iterdir()) == []


def test_checkpoints_from_before_the_mark_are_known_by_their_digests(tiny, task, tmp_path):
    train(tmp_path, tiny(), task)
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    for path in checkpoints.paths():
        (path / "mark").unlink()
    assert checkpoints.latest().step == 9
    checkpoints.save(Checkpoint(10, {"model.weight": torch.zeros(2)}))
    assert [path.name for path in checkpoints.folder.iterdir()].count("step-000000008") == 0


HEADER = b'{"a": {"dtype": "F32", "shape": [4611686018427387904], "data_offsets": [0, 8]}}'


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 8,
        b"\xff" * 7 + b"\x7f{}",
        (5).to_bytes(8, "little") + b"{nope",
        len(HEADER).to_bytes(8, "little") + HEADER + b"\0" * 8,
        (2).to_bytes(8, "little") + b"[]",
    ],
    ids=range(6),
)
def test_tensors_with_a_bad_header_and_the_right_digest_are_passed_over(content, tiny, task, tmp_path):
    train(tmp_path, tiny(), task)
    (last_of(tmp_path) / "state.safetensors").write_bytes(content)
    resigned(last_of(tmp_path))
    with pytest.warns(UserWarning, match="goes on from step-000000008"):
        train(tmp_path, tiny(), task)


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "sub/file", "..", "", "link", "pipe", "a\0b"])
def test_a_manifest_that_leads_elsewhere_is_passed_over(name, tiny, task, tmp_path):
    """And nothing is read there: no file, no link, no pipe."""
    train(tmp_path, tiny(), task)
    (tmp_path / "outside").write_text(USERS)
    (last_of(tmp_path) / "link").symlink_to(tmp_path / "outside")
    os.mkfifo(last_of(tmp_path) / "pipe")
    path = last_of(tmp_path) / "checkpoint.json"
    manifest = json.loads(path.read_text())
    manifest["sha256"][name] = hashlib.sha256(USERS.encode()).hexdigest()
    path.write_text(json.dumps(manifest))
    with pytest.warns(UserWarning, match="goes on from step-000000008"):
        assert Checkpoints(tmp_path / "checkpoints").latest().step == 8


def change_metrics(folder):
    pd.DataFrame({"step": ["a"]}).to_parquet(folder / "metrics.parquet")


def shorten_metrics(folder):
    pd.read_parquet(folder / "metrics.parquet").iloc[:3].to_parquet(folder / "metrics.parquet")


def empty_metrics(folder):
    pd.read_parquet(folder / "metrics.parquet").assign(loss=None).to_parquet(folder / "metrics.parquet")


def change_state(folder):
    tensors = load_file(folder / "state.safetensors")
    (name, *_) = (name for name in tensors if name.startswith("optimizer.") and tensors[name].ndim)
    save_file({**tensors, name: torch.zeros(7, 7, 7)}, folder / "state.safetensors")


def name_state(folder):
    tensors = load_file(folder / "state.safetensors")
    save_file({**tensors, "optimizer.first.momentum_buffer": torch.zeros(2)}, folder / "state.safetensors")


@pytest.mark.parametrize("change", [change_metrics, shorten_metrics, empty_metrics, change_state, name_state])
def test_contents_of_another_run_with_the_right_digests_are_refused(change, tiny, task, tmp_path):
    train(tmp_path, tiny(), task)
    change(last_of(tmp_path))
    resigned(last_of(tmp_path))
    with pytest.raises(ArgumentError, match="^(metrics|checkpoint): expected "):
        train(tmp_path, tiny(), task)


@pytest.mark.parametrize(
    "content", [f"{MARK}\n\0\n..\n../../kept", f"later: {MARK}"], ids=["names that no file has", "not at its beginning"]
)
def test_a_mark_that_somebody_wrote_removes_nothing_else(content, tiny, task, tmp_path):
    """Names in it lead nowhere, and a damaged manifest beside it is no error."""
    (tmp_path / "kept").write_text("a user's")
    train(tmp_path, tiny(), task)
    last = last_of(tmp_path)
    (last / "mark").write_text(content)
    (last / "checkpoint.json").write_text("[")
    with suppress(ArgumentError), open_checkpoints(tmp_path, {}, fresh=True):
        pass
    assert (tmp_path / "kept").read_text() == "a user's"
    assert (last / "state.safetensors").is_file()
