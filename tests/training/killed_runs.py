"""Train in processes that kill themselves; write the fingerprint of the weights that each run ends with.

One process imports everything, and forks before it computes anything, so that a run takes a fraction of a second.
"""

import json
import os
import signal
from pathlib import Path

import pyarrow.parquet  # noqa: F401
import torch
import torch._dynamo  # with the line above, what torch and pandas would load in every process

from tests.training.conftest import Tiny
from warptheory.training import checkpoint, fingerprint, fit, open_checkpoints


def kill(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def between_steps() -> None:
    """Nothing to prepare: the step itself kills."""


def half_written() -> None:
    """Kill in the third checkpoint, when its weights are written and its manifest is not."""
    write, written = checkpoint.records.write_json, []

    def write_json(path: Path, content: object) -> None:
        if path.name == "checkpoint.json" and len(written) == 2:
            kill()
        written.append(path)
        write(path, content)

    checkpoint.records.write_json = write_json


def before_removal() -> None:
    """Kill when the third checkpoint is in place, and the first is about to go."""
    checkpoint._remove = kill


MOMENTS = {"between steps": between_steps, "half written": half_written, "before removal": before_removal}


def run(folder: Path, moment: str | None) -> None:
    """Train; a run with a moment dies at step 7 at the latest, any other writes its fingerprint."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = Tiny()
    images, labels = torch.randn(60, 1, 6, 6), torch.arange(60) % 3
    if moment is not None:
        MOMENTS[moment]()
    with open_checkpoints(folder, {"run": 1}, interval=2, resume=True) as checkpoints:
        fit(
            model,
            images,
            labels,
            steps=12,
            batch=20,
            augment=("flip", "crop"),
            checkpoints=checkpoints,
            on_step=lambda step: kill() if moment and step.step == 7 else None,
        )
    (folder / "fingerprint").write_text(fingerprint(model))


def in_a_fork(folder: Path, moment: str | None) -> int:
    """Run in a process of its own; return the signal that ended it, 0 if it came to its end."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            run(folder, moment)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def main(place: Path) -> None:
    prints = {}
    for name in ("undisturbed", *MOMENTS):
        folder = place / name
        if name in MOMENTS:
            assert in_a_fork(folder, name) == signal.SIGKILL
            assert not (folder / "fingerprint").exists()
            assert list((folder / "checkpoints").iterdir())
        assert in_a_fork(folder, None) == 0
        prints[name] = (folder / "fingerprint").read_text()
    (place / "prints.json").write_text(json.dumps(prints))
