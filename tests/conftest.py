"""How every test runs: shapes of arrays are checked (`tests/shapes.py`), one thread, no cache of the user's."""

import importlib.util
import os
from pathlib import Path

import jaxtyping

from tests import shapes
from tests.once import made_once

# Workers of a parallel run have a core each, where threads of BLAS that wait for each other cost five times the work.
# This is for libraries that are loaded from now on, and for processes that tests start; for others see below.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

# A test that plants an error must neither read nor leave theories in the user's cache.
os.environ["WARPTHEORY_CACHE"] = "off"

# Code that torch traces is checked without the hook, in a process of its own (tests/tracing).
if os.environ.get("WARPTHEORY_TEST_SHAPES") != "off":
    shapes.install()

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
import threadpoolctl
import torch
from hypothesis import HealthCheck, settings

# Without a GPU the Triton kernels are interpreted, on CPU tensors. Triton asks once, when it is imported.
if importlib.util.find_spec("triton") is not None and not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

# Shared machines stall now and then; a deadline, or a bound on how long drawing takes, would fail tests for reasons
# that are not theirs.
settings.register_profile("warptheory", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("warptheory")


# The tests' tensors are small, and threads that wait for each other on a shared machine are slow.
torch.set_num_threads(1)
threadpoolctl.threadpool_limits(1, user_api="blas")


@pytest.fixture(autouse=True)
def first_calls() -> None:
    """Begin to count calls anew."""
    shapes.calls.clear()


@pytest.fixture
def as_users_call() -> Iterator[None]:
    """Switch the shape checks of the tests off, so that the library's own errors are seen."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def every_call_takes_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let compiled calls take torch's number of threads, however small they are and however busy the machine is."""
    from warptheory.warping.engines.machine import threads

    monkeypatch.setattr(threads, "worth", lambda alone: threads.available())


@pytest.fixture(scope="session")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of one run of everything, see `tests/reproduction.py`; `run.json` lies beside it.

    The workers of a parallel run share it: the first makes it, another waits. WARPTHEORY_REPRODUCED names a folder that
    is there already.
    """
    if "WARPTHEORY_REPRODUCED" in os.environ:
        return Path(os.environ["WARPTHEORY_REPRODUCED"])

    def make(folder: Path) -> None:
        command = [sys.executable, "-m", "tests.reproduction", str(folder / "out")]
        subprocess.run(command, cwd=Path(__file__).parents[1], check=True)

    return made_once(tmp_path_factory, "reproduced", make) / "out"


@pytest.fixture
def warptheory(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., tuple[int, str, str]]:
    """Run `warptheory ARGUMENTS` in this process with an empty cache; return exit code, output and standard error."""
    from warptheory.cli import main

    monkeypatch.setenv("WARPTHEORY_CACHE", str(tmp_path_factory.mktemp("cache")))

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["warptheory", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return ended.value.code or 0, captured.out, captured.err

    return run


CONTRACTS = Path(__file__).parent / "contracts"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that runs the contract of one entry."""
    text = "run the contract of one entry alone, such as --entry keys or --result E1"
    parser.addoption("--entry", "--result", dest="entry", metavar="NAME", help=text)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave all but the contracts aside where one entry is asked for."""
    is_other = collection_path.is_file() and CONTRACTS not in collection_path.parents
    return True if config.getoption("entry") and is_other else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Select the tests of one entry, if one is asked for: those with its name among their parameters.

    Tests that share the run come first: a parallel run gives its first tests to one worker, so none waits.
    What else takes long comes next, so that no worker is left with it in the end. What the site's build runs as well
    comes last: a build that runs beside the tests has ended by then.
    """
    entry = config.getoption("entry")
    if entry:
        others = [item for item in items if entry not in parameters_of(item)]
        items[:] = [item for item in items if entry in parameters_of(item)]
        if not items:
            raise pytest.UsageError(f"--entry: no contract has an entry {entry!r}")
        config.hook.pytest_deselected(items=others)
    items.sort(
        key=lambda item: (
            "reproduced" not in getattr(item, "fixturenames", ()),
            "tracing" not in item.path.parts,
            item.get_closest_marker("on_the_site") is not None,
        )
    )


def parameters_of(item: pytest.Item) -> list[object]:
    """Return the values that a test is run with, of which an entry, its name or its label is one."""
    found = getattr(item, "callspec", None)
    values = [] if found is None else list(found.params.values())
    return [getattr(value, "label", getattr(value, "name", value)) for value in values]
