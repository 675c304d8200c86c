"""One-dimensional laws, one file each: the characteristic function is the definition."""

from collections.abc import Callable
from functools import cache

from warptheory.core.catalogue import Catalogue
from warptheory.core.errors import ArgumentError
from warptheory.core.listing import public_names
from warptheory.fields.laws._law import ARGUMENT, Law, scaled

__all__ = ["ARGUMENT", "Law", "get", "names", "scaled"]
__dir__ = public_names(__name__)


_CATALOGUE = Catalogue[Callable[[], Law]](__name__)
names = _CATALOGUE.names


def get(law: str | Law, argument: str = "law") -> Law:
    """Return a law by its name, with its own symbol as parameter; a law object is returned as it is.

    Args:
        law: a name in `names()`, or a `Law`.
        argument: the caller's name for `law`, used in errors.

    Raises:
        UnknownNameError: no law of that name.
        ArgumentError: neither a name nor a law.
    """
    if isinstance(law, Law):
        return law
    if not isinstance(law, str):
        raise ArgumentError(argument, expected="a name or a Law", received=type(law).__name__)
    return _build(law, argument)


@cache
def _build(name: str, argument: str) -> Law:
    return _CATALOGUE.get(name, argument)()
