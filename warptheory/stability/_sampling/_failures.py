"""What goes wrong while a model is watched must not reach the model: it becomes a warning."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from warptheory.core.errors import ArgumentError


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
