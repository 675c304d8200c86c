"""`warptheory train`: its records, going on after interruptions, several processes, divergence."""

import inspect
import json
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file

import warptheory as package
from tests.cli.running import begin
from tests.waiting import PATIENCE
from warptheory import networks
from warptheory.training import TrainingSettings, fingerprint

pytestmark = pytest.mark.usefixtures("as_users_call")

REPOSITORY = Path(package.__file__).parent.parent
QUICK = ("train", "--model", "selfwarp-resnet8", "--data", "digits", "--width", 4, "--batch", 32)


def weights_digest(folder):
    return json.loads((folder / "weights.json").read_text())["settings"]["weights_sha256"]


def test_records_and_going_on(warptheory, tmp_path):
    """A run of two sittings leaves the records of one; the folder refuses what would spoil it."""
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    common = (*QUICK, "--steps", 6, "--augment", "crop", "--clip", 1, "--monitor-every", 2)
    code, out, err = warptheory(*common, "--out", whole)
    assert code == 0, err
    assert "selfwarp-resnet8 on digits: 6 steps of 32 images" in out
    metrics, monitored = (pd.read_parquet(whole / f"{name}.parquet") for name in ("metrics", "monitor"))
    assert metrics["step"].tolist() == list(range(6))
    assert f"test accuracy: {metrics['test_accuracy'].iloc[-1]:.4f} of" in out
    assert sorted(set(monitored["step"])) == [0, 2, 4]
    manifest = json.loads((whole / "metrics.json").read_text())
    assert manifest["settings"]["model"] == "selfwarp-resnet8"
    assert manifest["settings"]["augment"] == ["crop"]
    model = networks.build("selfwarp-resnet8", classes=10, channels_in=1, width=4)
    model.load_state_dict(load_file(whole / "weights.safetensors"))
    assert fingerprint(model) == weights_digest(whole)

    stop_after(4, warptheory, (*common, "--checkpoint-every", 2, "--out", halves))
    code, _, err = warptheory(*common, "--out", halves)
    assert code == 2
    assert "--resume to go on" in " ".join(err.split())
    code, _, err = warptheory(*common, "--out", halves, "--resume", "--seed", 1)
    assert code == 2
    assert "seed was 0 and is 1" in " ".join(err.split())
    assert warptheory(*common, "--checkpoint-every", 2, "--out", halves, "--resume")[0] == 0
    assert weights_digest(halves) == weights_digest(whole)
    times = "images_per_second"
    resumed = pd.read_parquet(halves / "metrics.parquet").drop(columns=times)
    pd.testing.assert_frame_equal(resumed, metrics.drop(columns=times), check_exact=True)
    pd.testing.assert_frame_equal(pd.read_parquet(halves / "monitor.parquet"), monitored, check_exact=True)
    stop_after(0, warptheory, (*common, "--out", halves, "--fresh", "--seed", 1))
    assert not list(halves.glob("weights.*")) + list(halves.glob("*.parquet"))
    assert warptheory(*common, "--out", halves, "--fresh", "--seed", 1)[0] == 0
    assert weights_digest(halves) != weights_digest(whole)


def test_lines_where_there_is_no_progress_bar(warptheory):
    """At most ten, whatever the number of steps."""
    code, _, err = warptheory(*QUICK, "--steps", 25, "--monitor-every", 0)
    assert code == 0
    steps = [int(line.split()[1]) for line in err.splitlines() if line.startswith("step ")]
    assert steps == [3, 5, 8, 10, 13, 15, 18, 20, 23, 25]
    assert " of 25: loss " in err


def test_a_disk_that_is_full(warptheory, tmp_path):
    """Files are limited to 20 kB, and a checkpoint has more."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        code, out, err = warptheory(*QUICK, "--steps", 4, "--checkpoint-every", 2, "--out", tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (code, out) == (1, "")
    (line,) = (line for line in err.splitlines() if not line.startswith("step "))
    assert line.startswith(f"Error: the checkpoint of step 2 could not be written into {tmp_path / 'checkpoints'}: ")
    assert line.endswith("last good checkpoint: none was written")


def stop_after(step, warptheory, arguments):
    """Interrupt a run as Ctrl-C does, at the start of a step."""
    from warptheory.training import loop

    draw = loop.draw_batch

    def interrupted(images, labels, settings, number, *others):
        if number == step:
            raise KeyboardInterrupt
        return draw(images, labels, settings, number, *others)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "draw_batch", interrupted)
        code, _, err = warptheory(*arguments)
    assert code == 130
    assert err.endswith("Interrupted. The same command with --resume goes on from the last checkpoint.\n")


def test_divergence_ends_with_one(warptheory, tmp_path):
    rates = ("--learning-rate", 1e20, "--schedule", "constant")
    code, _, err = warptheory(*QUICK, "--steps", 50, *rates, "--checkpoint-every", 1, "--out", tmp_path)
    assert code == 1
    assert "Error: " in err
    assert "the monitor at step 0:" in err
    assert "blocks.0.warp" in err
    assert "last good checkpoint: " in err
    assert not (tmp_path / "weights.safetensors").exists()
    assert len(pd.read_parquet(tmp_path / "metrics.parquet"))


@pytest.mark.parametrize("rate", [1e6, 1e3])
def test_a_loss_that_has_grown_ends_with_one(rate, warptheory):
    """With numbers that are finite all the way."""
    code, out, err = warptheory(*QUICK, "--steps", 2, "--learning-rate", rate, "--monitor-every", 0)
    assert (code, out) == (1, "")
    assert "Error: loss has grown from 2." in err
    assert "a smaller --learning-rate" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--steps", 0), "steps: expected a positive integer, got 0"),
        (("--batch", 5000), "batch: expected an integer in 1 … "),
        (("--learning-rate", "-1"), "--learning-rate: expected a finite number > 0"),
        (("--optimizer", "adam"), "optimizer: expected one of adamw, sgd"),
        (("--schedule", "steps"), "did you mean 'step'"),
        (("--augment", "mixup"), "augment: expected one of crop, flip"),
        (("--precision", "fp16"), "precision: expected fp32 or bf16 on a CPU"),
        (("--device", "tpu0"), "device: expected "),
        (("--model", "selfwarp-resnet21"), "expected"),
        (("--model-option", "lipschitz"), "--model-option: expected NAME=VALUE"),
        (("--model-option", "sped=2"), "sped"),
        (("--model", "selfwarp-resnet"), "model: expected one of net1d, "),
        (("--model", "net1d"), "model: expected a network for digits, whose examples have 2 axes, got 'net1d', for 1"),
        (("--data", "mnist1d"), "model: expected a network for mnist1d, whose examples have 1 axes"),
        (("--model-option", "mixng=pointwise"), "did you mean 'mixing'"),
        (("--model-option", "classes=5"), "--model-option: expected no classes"),
        (("--data-option", "seed=5"), "--data-option: expected no seed"),
        (("--data", "digit"), "data: expected one of affine_digits, "),
        (("--data", "digit"), "did you mean 'digits'"),
        (("--data-option", "colour=true"), "colour: expected"),
        (("--data-dir", "nowhere"), "--data-dir: expected"),
        (("--download",), "download: expected"),
        (("--resume",), "out: expected a folder, for --resume"),
        (("--tensorboard",), "out: expected a folder"),
        (("--evaluate-every", 0), "Invalid value for '--evaluate-every'"),
        (("--checkpoint-every", 0), "Invalid value for '--checkpoint-every'"),
        (("--model-option", "width=16"), "width: expected either --width or --model-option width=…, got both"),
        (
            ("--model-option", "scale=1", "--model-option", "scale=2"),
            "--model-option: expected each name once, got scale",
        ),
        (("--model-option", "foo=3"), "--model-option: expected one of boundary, "),
        (("--model-option", "self=1"), "--model-option: expected one of boundary, "),
        (("--model-option", "options=1"), "--model-option: expected one of boundary, "),
        (("--model-option", "\x1b[2J=1"), r"got '\x1b[2J'"),
        (("--data-option", "self=1"), "self: expected options of digits"),
        (("--data-dir", "no\x1b[2Jwhere"), r"no\x1b[2Jwhere"),
        (("--data-option", "name=1"), "--data-option: expected no name"),
        (("--batch", 10**9), "batch: expected an integer in 1 "),
        (("--batch", 10**30), "batch: expected an integer in 1 "),
        (("--model-option", "placement=\u202e"), r"got '\u202e'"),
    ],
    ids=str,
)
def test_bad_usage(arguments, message, warptheory):
    code, out, err = warptheory(*QUICK, "--steps", 1, *arguments)
    assert (code, out) == (2, "")
    assert message in " ".join(err.split())


@pytest.mark.parametrize(
    "arguments",
    [
        ("--width", 10**9),
        ("--width", 10**30),
        ("--model", "selfwarp-resnet9998", "--width", 100_000),
        ("--data", "patches", "--data-option", f"train_per_class={10**12}"),
        ("--data", "mnist1d", "--data-option", f"samples={10**12}"),
        ("--data", "mnist1d", "--model", "net1d", "--model-option", f"depth={10**9}"),
        ("--data", "mnist1d", "--model", "net1d", "--width", 10**9),
    ],
    ids=str,
)
def test_absurd_sizes_are_refused_before_they_are_begun(arguments, warptheory):
    code, out, err = warptheory("train", "--data", "digits", "--batch", 32, "--steps", 1, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "fits into" in err or "depth: expected an integer in 1 … 60" in err


@pytest.mark.parametrize("name", ["metrics.parquet", "weights.json", "lock", "configuration.json"])
@pytest.mark.parametrize("option", ["--fresh", "--resume"])
def test_files_of_the_users_in_the_folder_are_left_alone(name, option, warptheory, tmp_path):
    """Before anything is trained."""
    (tmp_path / name).write_text("what a user has written")
    code, out, err = warptheory(*QUICK, "--steps", 1, "--out", tmp_path, option)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert name in err
    assert (tmp_path / name).read_text() == "what a user has written"


def test_options_of_the_network_and_the_data(warptheory, tmp_path):
    options = ("--model-option", "scale=0.5", "--data-option", "train_per_class=4", "--data-option")
    patches = ("train", "--model", "selfwarp-resnet8", "--width", 4, "--steps", 1, "--batch", 8, *options)
    code, _, err = warptheory(*patches, "test_per_class=2", "--monitor-every", 0, "--out", tmp_path)
    assert code == 0, err
    manifest = json.loads((tmp_path / "metrics.json").read_text())
    assert manifest["settings"]["model_options"] == {"scale": 0.5, "width": 4}
    assert not (tmp_path / "monitor.parquet").exists()
    # The accuracy that is kept is of those two test images of each photograph.
    code, _, err = warptheory(*patches, "test_per_class=3", "--out", tmp_path, "--resume")
    assert code == 2
    assert "test_sha256 was" in err


def in_a_process(*arguments, launcher=()):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *launcher, "-m", "warptheory", *map(str, arguments)]
    return subprocess.Popen(
        command,
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that runs the tests in the background ignores it, and so would all its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.mark.slow
def test_killed_from_outside(tmp_path):
    """SIGKILL as soon as the first, the second and the fourth checkpoint are there: the same weights in the end."""
    common = (*QUICK, "--steps", 40, "--checkpoint-every", 5, "--resume", "--out")
    assert in_a_process(*common, tmp_path / "whole").wait() == 0
    folder = tmp_path / "killed"
    for step in (5, 10, 20):
        process = in_a_process(*common, folder)
        while not list((folder / "checkpoints").glob(f"step-{step:09d}")):
            assert process.poll() is None
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert in_a_process(*common, folder).wait() == 0
    assert weights_digest(folder) == weights_digest(tmp_path / "whole")


def test_interrupted_from_outside(tmp_path):
    """SIGINT, as Ctrl-C sends it: one line, no traceback, and the metrics so far."""
    process, said = begin(*QUICK, "--steps", 100_000, "--checkpoint-every", 5, "--out", tmp_path)
    while not list((tmp_path / "checkpoints").glob("step-*")):
        assert process.is_alive()
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    assert said.poll(PATIENCE)
    assert said.recv() == "Interrupted. The same command with --resume goes on from the last checkpoint.\n"
    process.join()
    assert process.exitcode == 130
    # The checkpoint of five steps is written before the fifth is told.
    assert len(pd.read_parquet(tmp_path / "metrics.parquet")) >= 4


@pytest.mark.slow
def test_an_error_of_the_first_process(tmp_path):
    """It prints one line; the other one prints nothing."""
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    process = in_a_process(*QUICK, "--steps", 2, "--batch", 5000, launcher=launcher)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0
    assert err.count("Error: --batch: expected an integer in 1 … 1438, got 5000") == 1
    assert err.count("Traceback") == 1  # torchrun's own
    assert "FutureWarning" not in err


@pytest.mark.slow
def test_torchrun(tmp_path):
    """Two processes print once, and end near the weights of one: rounding grows over five steps, to 1e-3 at most."""
    common = (*QUICK, "--steps", 5, "--out")
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    together = in_a_process(*common, tmp_path / "two", launcher=launcher)
    out, err = together.communicate(timeout=PATIENCE)
    assert together.returncode == 0, err
    assert out.count("test accuracy") == 1
    assert in_a_process(*common, tmp_path / "one").wait() == 0
    one, two = (pd.read_parquet(tmp_path / name / "metrics.parquet") for name in ("one", "two"))
    assert two["loss"].tolist() == pytest.approx(one["loss"].tolist(), rel=1e-3)
    assert json.loads((tmp_path / "two" / "weights.json").read_text())["settings"]["processes"] == 2


def test_defaults_are_those_of_the_settings():
    """But for the batch, which is that of the paper whose networks the command trains by default."""
    from warptheory.cli.commands.train import command

    defaults = {name: value.default for name, value in inspect.signature(command).parameters.items()}
    settings = asdict(TrainingSettings(steps=300, batch=128))
    assert {name: defaults[name] or () if name == "augment" else defaults[name] for name in settings} == settings
