"""Shapes of arrays are checked while tests run, by jaxtyping and beartype, where the library declares them."""

import functools
import importlib.util
import inspect
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import jaxtyping

# Of each function in a test, with arguments of the same axes and dtypes. A check costs more than many a call.
CHECKED_CALLS = 3
every_call_is_checked = jaxtyping.jaxtyped
calls: Counter[tuple[object, ...]] = Counter()


def check_shapes(function: Callable[..., object] | type | None = None, **options: object) -> object:
    """Check the first calls of a function, or a data class, that declares arrays; leave what declares none as it is."""
    if function is None:
        return functools.partial(check_shapes, **options)
    declared = function.__init__ if isinstance(function, type) else getattr(function, "fget", function)
    annotations = getattr(declared, "__annotations__", {}).values()
    if not any("jaxtyping" in repr(annotation) or "[Tensor" in repr(annotation) for annotation in annotations):
        return function
    if isinstance(function, type):
        plain, checked_class = function.__init__, every_call_is_checked(function, **options)
        checked_class.__init__ = first_calls_are_checked(plain, checked_class.__init__)
        return checked_class
    checked = every_call_is_checked(function, **options)
    return first_calls_are_checked(function, checked) if inspect.isfunction(function) else checked


def first_calls_are_checked(plain: Callable[..., object], checked: Callable[..., object]) -> Callable[..., object]:
    """Return a function that checks its first calls."""

    @functools.wraps(plain)
    def call(*args: object, **kwargs: object) -> object:
        given = (*args, *kwargs.values())
        kind = (plain, *((getattr(each, "ndim", 0), getattr(each, "dtype", None)) for each in given))
        calls[kind] += 1
        return (checked if calls[kind] <= CHECKED_CALLS else plain)(*args, **kwargs)

    return call


def install() -> None:
    """Check what is imported from now on, in all modules that name jaxtyping; other types are mypy's."""
    package = Path(importlib.util.find_spec("warptheory").origin).parent
    declaring = [path for path in package.rglob("*.py") if "jaxtyping" in path.read_text(encoding="utf-8")]
    names = [".".join(path.relative_to(package.parent).with_suffix("").parts) for path in declaring]
    jaxtyping.jaxtyped = check_shapes
    jaxtyping.install_import_hook([name.removesuffix(".__init__") for name in names], "beartype.beartype")
