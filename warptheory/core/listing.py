"""What `dir` shows of a package: its public names."""

import sys
from collections.abc import Callable, Iterable


def public_names(module: str, more: Callable[[], Iterable[str]] = tuple) -> Callable[[], list[str]]:
    """Return the `__dir__` of a module: it lists what `__all__` does.

    Args:
        module: the module's dotted name.
        more: gives further public names, such as those that the module finds when they are asked for.
    """
    return lambda: sorted({*sys.modules[module].__all__, *more()})
