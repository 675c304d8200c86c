"""Every test runs with shapes and types checked: jaxtyping and beartype watch each call of the library."""

import os

import jaxtyping

# A test that plants an error must neither read nor leave theories in the user's cache.
os.environ["WARPTHEORY_CACHE"] = "off"

# Code that torch traces is checked without the hook, in a process of its own (tests/tracing).
if os.environ.get("WARPTHEORY_TEST_SHAPES") != "off":
    jaxtyping.install_import_hook("warptheory", "beartype.beartype")

import importlib.util
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
