"""What of a watched model can be read, and what comes of it where reading fails: a warning, never an error."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor
from torch.fx.experimental.proxy_tensor import get_proxy_mode

from warptheory.core.errors import ArgumentError
from warptheory.core.torch_internals import has_numbers, is_traced


def is_readable(value: object) -> bool:
    """Return whether a value is a tensor whose numbers can be read now.

    They cannot where it stands for each of a batch, under vmap, or has a shape alone; and what is computed of them
    while operators are recorded would become part of the program.
    """
    return isinstance(value, Tensor) and not _is_recorded() and has_numbers(value)


def _is_recorded() -> bool:
    return is_traced() or get_proxy_mode() is not None


@contextmanager
def harmless(what: str) -> Iterator[None]:
    """Turn a failure to read something into a warning; what the user said wrongly of a model is raised."""
    try:
        yield
    except Warning:  # which the user made an error of
        raise
    except Exception as error:
        if isinstance(error, ArgumentError) and error.argument in ("modules", "positions"):
            raise
        warnings.warn(f"{what} could not be read, and is not recorded: {type(error).__name__}: {error}", stacklevel=4)
