"""What a caller names as `package.module:name`: it is imported and called, and no text is run.

The current folder is on the path meanwhile, as with `python -m`. Modules that are named run as any import does.
"""

import importlib
import keyword
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from warptheory.core.errors import ArgumentError
from warptheory.core.text import shown

if TYPE_CHECKING:
    from torch import nn, optim

_PARTS = ("model", "batches", "loss", "optimizer")
_RETURNED = "a model, or (model, batches, loss, optimizer), or a dict or an object that has them by these names"


@dataclass(frozen=True)
class NamedTraining:
    """What a caller's function returned; None for what it left to the options of the command.

    Attributes:
        model: the model.
        batches: pairs (inputs, target).
        loss: of output and target.
        optimizer: of the model's parameters.
    """

    model: "nn.Module"
    batches: Iterable[Any] | None = None
    loss: Callable[..., Any] | None = None
    optimizer: "optim.Optimizer | None" = None


@contextmanager
def current_folder_on_path() -> Iterator[None]:
    """Let modules of the current folder be imported."""
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)


def named_training(target: str, seed: int) -> NamedTraining:
    """Return what the callable of a name returns, `package.module:name`, where the name may have dots.

    Args:
        target: the name.
        seed: of torch's random numbers when it is called, so that it draws the same weights again.

    Raises:
        ArgumentError: no such form, a module that cannot be imported, no such attribute, one that cannot be called or
            that fails, or a return value of which no training can be made.
    """
    module, colon, attribute = target.partition(":")
    if not (colon and _is_dotted(module) and _is_dotted(attribute)):
        _refuse("package.module:name, such as train:build", shown(target))
    found = _imported(module)
    for name in attribute.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            _refuse(f"a name in {module}", f"{attribute!r}, which is not there")
    if not callable(found):
        _refuse("a callable that returns a model", f"{target}, a {type(found).__name__}")
    _seed(seed)
    try:
        returned = found()
    except (Exception, SystemExit) as error:  # of the caller's own, which may raise anything
        _refuse("a callable that returns a model when it is called without arguments", _told(target, error))
    return _checked(_parts_of(returned))


def _seed(seed: int) -> None:
    import torch

    torch.manual_seed(seed)


def _is_dotted(text: str) -> bool:
    return all(part.isidentifier() and not keyword.iskeyword(part) for part in text.split("."))


def _imported(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:  # of the module's own code, which may raise anything
        _refuse("a module that can be imported", _told(module, error))


def _parts_of(returned: Any) -> dict[str, Any]:
    """Return what was returned by name."""
    from torch import nn

    if isinstance(returned, nn.Module):
        return {"model": returned}
    if isinstance(returned, tuple) and not hasattr(returned, "_fields"):
        if len(returned) != len(_PARTS):
            _refuse(f"{_RETURNED} as its return value", f"a tuple of {len(returned)}")
        return dict(zip(_PARTS, returned, strict=True))
    if isinstance(returned, Mapping):
        unknown = [name for name in returned if name not in _PARTS]
        if unknown:
            _refuse(f"{_RETURNED} as its return value", f"a dict with {shown(unknown[0])}")
        return dict(returned)
    return {name: getattr(returned, name) for name in _PARTS if hasattr(returned, name)}


def _checked(parts: Mapping[str, Any]) -> NamedTraining:
    from torch import nn, optim

    if "model" not in parts:
        _refuse(f"{_RETURNED} as its return value", "something without a model")
    found = NamedTraining(**parts)
    given = {name: value for name, value in vars(found).items() if value is not None}
    kinds: dict[str, tuple[str, Callable[[Any], bool]]] = {
        "model": ("a torch module", lambda x: isinstance(x, nn.Module)),
        "batches": ("an iterable of (inputs, target)", lambda x: isinstance(x, Iterable) and not isinstance(x, str)),
        "loss": ("a callable of output and target", callable),
        "optimizer": ("a torch optimizer", lambda x: isinstance(x, optim.Optimizer)),
    }
    for name, (kind, is_one) in kinds.items():
        if (name == "model" or name in given) and not is_one(getattr(found, name)):
            _refuse(f"{kind} as {name} of its return value", shown(getattr(found, name)))
    return found


def _told(name: str, error: BaseException) -> str:
    return f"{name}: {type(error).__name__}: {error}"


def _refuse(expected: str, received: str) -> NoReturn:
    raise ArgumentError("target", expected=expected, received=received)
