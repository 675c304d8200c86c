"""Every test runs with shapes and types checked: jaxtyping and beartype watch each call of the library."""

import importlib.util
import os
from pathlib import Path

import jaxtyping

# A test that plants an error must neither read nor leave theories in the user's cache.
os.environ["WARPTHEORY_CACHE"] = "off"

# Code that torch traces is checked without the hook, in a process of its own (tests/tracing). The algebra has no arrays
# whose shapes could be wrong, calls itself a million times, and is checked by mypy: it is left alone.
if os.environ.get("WARPTHEORY_TEST_SHAPES") != "off":
    package = Path(importlib.util.find_spec("warptheory").origin).parent
    rooms = sorted(path.parent.name for path in package.glob("*/__init__.py") if path.parent.name != "symbolic")
    jaxtyping.install_import_hook([f"warptheory.{room}" for room in rooms], "beartype.beartype")

import json
from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

# Without a GPU the Triton kernels are interpreted, on CPU tensors. Triton asks once, when it is imported.
if importlib.util.find_spec("triton") is not None and not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

# Shared machines stall now and then; a deadline would fail tests for reasons that are not theirs.
settings.register_profile("warptheory", deadline=None, print_blob=True)
settings.load_profile("warptheory")


# The tests' tensors are small, and threads that wait for each other on a shared machine are slow.
torch.set_num_threads(1)


@pytest.fixture
def as_users_call() -> Iterator[None]:
    """Switch the shape checks of the tests off, so that the library's own errors are seen."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of one run of the driver on a few results, every fourth value of the curves, seed 1.

    The workers of a parallel run share it: the first makes it, the others wait. Beside it lies `run.json`: whether all
    claims held, and the shares that were reported.
    """
    import fcntl

    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "reproduced"
    shared.mkdir(exist_ok=True)
    folder, summary = shared / "out", shared / "run.json"
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not summary.is_file():
            from warptheory.core.checkout import load_script

            shares: list[float] = []
            holds = load_script("paper_repro", "driver", "driver").run(
                folder,
                seed=1,
                labels=("A2", "A3", "A7"),
                rounds=1,
                thin=4,
                workers=1,  # others would have to import everything first
                on_progress=lambda share, name: shares.append(share),
            )
            summary.write_text(json.dumps({"holds": holds, "shares": shares}))
    return folder
