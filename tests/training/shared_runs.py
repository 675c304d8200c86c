"""Train in one process, in two, and in two that were stopped half way; print losses and fingerprints as JSON.

One process imports everything, and forks before it computes anything.
"""

import json
import os
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pyarrow.parquet  # noqa: F401
import torch
import torch._dynamo  # with the line above, what torch and pandas would load in every process
from conftest import Tiny

from warptheory.training import fingerprint, fit, joined_processes, open_checkpoints

Run = Callable[[Path, int | None], None]


class Stopped(Exception):  # noqa: N818
    """The run is stopped."""


def run(folder: Path, stop: int | None) -> None:
    """Train in the processes that the environment speaks of; the first one writes what came of it."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = Tiny(dropout=0.0).double()
    images, labels = torch.randn(60, 1, 6, 6).double(), torch.arange(60) % 3
    images += labels[:, None, None, None]

    def on_step(measured: object) -> None:
        if measured.step == stop:
            raise Stopped

    with (
        joined_processes("cpu") as (processes, _),
        open_checkpoints(folder, {}, interval=2, resume=True) as checkpoints,
    ):
        history = fit(
            model,
            images,
            labels,
            steps=12,
            batch=20,
            learning_rate=0.2,
            augment=("flip", "crop"),
            clip=1.0,
            test=(images[:31], labels[:31]),
            evaluation_interval=4,
            checkpoints=checkpoints,
            on_step=on_step,
        )
    if processes.rank == 0:
        steps = [asdict(step) for step in history]
        statistics = model.norm.running_var.tolist()
        found = {"steps": steps, "fingerprint": fingerprint(model), "statistics": statistics}
        (folder / "found.json").write_text(json.dumps(found))


def fail(folder: Path, _: int | None) -> None:
    """Fail in the process that goes first; each one writes what it raised."""
    try:
        with joined_processes("cpu") as (processes, _), processes.first_alone():
            if processes.rank == 0:
                raise ValueError("no data")
    except Exception as error:
        (folder / f"{processes.rank}.txt").write_text(f"{type(error).__name__}: {error}")


def in_forks(folder: Path, count: int, stop: int | None = None, run: Run = run) -> None:
    """Run in so many processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(count):
        child = os.fork()
        if child == 0:
            names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_PORT": port}
            os.environ |= {"MASTER_ADDR": "127.0.0.1", **{name: str(value) for name, value in names.items()}}
            try:
                run(folder, stop)
            except Stopped:
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        children.append(child)
    assert not any(os.waitpid(child, 0)[1] for child in children)


def main(place: Path) -> None:
    in_forks(place / "one", 1)
    in_forks(place / "two", 2)
    in_forks(place / "stopped", 2, stop=7)
    assert not (place / "stopped" / "found.json").exists()
    in_forks(place / "stopped", 2)
    found = {name: json.loads((place / name / "found.json").read_text()) for name in ("one", "two", "stopped")}
    in_forks(place, 2, run=fail)
    found["errors"] = [(place / f"{rank}.txt").read_text() for rank in range(2)]
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
