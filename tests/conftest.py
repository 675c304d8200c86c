"""Every test runs with shapes and types checked: jaxtyping and beartype watch each call of the library."""

import jaxtyping

jaxtyping.install_import_hook("warptheory", "beartype.beartype")

import importlib.util  # noqa: E402 -- the hook has to come before any import of the library
import os  # noqa: E402
from collections.abc import Iterator  # noqa: E402

import pytest  # noqa: E402
import torch  # noqa: E402
from hypothesis import settings  # noqa: E402

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
