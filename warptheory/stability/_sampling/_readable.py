"""What of a watched model can be read, and what comes of it where reading fails: a warning, never an error."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.fx.experimental.proxy_tensor import get_proxy_mode

from warptheory.core.errors import ArgumentError
from warptheory.warping._eager import is_traced


def is_readable(value: object) -> bool:
    """Return whether a value is a tensor whose numbers can be read now.

    They cannot where it stands for each of a batch, under vmap, or has a shape alone; and what is computed of them
    while operators are recorded would become part of the program.
    """
    return isinstance(value, Tensor) and not _is_recorded() and _has_numbers(value)


def _is_recorded() -> bool:
    return is_traced() or get_proxy_mode() is not None


def _has_numbers(tensor: Tensor) -> bool:
    while torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        if torch._C._functorch.is_batchedtensor(tensor):
            return False
        tensor = torch._C._functorch.get_unwrapped(tensor)
    is_batch = torch._C._functorch.is_legacy_batchedtensor(tensor)
    return not (is_batch or tensor.is_meta or isinstance(tensor, FakeTensor))


@contextmanager
def harmless(what: str) -> Iterator[None]:
    """Turn a failure to read something into a warning; a wrong argument of the user's, `modules`, is raised."""
    try:
        yield
    except Warning:  # which the user made an error of
        raise
    except Exception as error:
        if isinstance(error, ArgumentError) and error.argument == "modules":
            raise
        warnings.warn(f"{what} could not be read, and is not recorded: {type(error).__name__}: {error}", stacklevel=4)
