"""The public names of every room, found by looking at what each offers."""

import importlib
import inspect
import pkgutil
from types import ModuleType

import warptheory
from docs.entries import _myst as myst
from docs.pages import EntryPages, Page, blocks

_ROOMS_WITHOUT_PAGE = {"cli"}  # whose commands explain themselves by --help


def names() -> list[str]:
    """Return the rooms that have public names."""
    found = [module.name for module in pkgutil.iter_modules(warptheory.__path__) if module.ispkg]
    return [name for name in found if name not in _ROOMS_WITHOUT_PAGE and _public(_room(name))]


def _room(name: str) -> ModuleType:
    return importlib.import_module(f"warptheory.{name}")


def _public(module: ModuleType) -> list[str]:
    return [name for name in getattr(module, "__all__", []) if not name.startswith("_")]


def page(name: str) -> Page:
    """Return the page of a room: a table of its names, then each with its documentation."""
    module = _room(name)
    things = {each: getattr(module, each) for each in sorted(_public(module), key=str.lower)}
    documented = {each: thing for each, thing in things.items() if inspect.isclass(thing) or inspect.isroutine(thing)}
    rows = [[f"[`{each}`](#{module.__name__}.{each})", _first(thing)] for each, thing in documented.items()]
    return Page(
        blocks(
            f"(room-{name})=\n# warptheory.{name}",
            *(_paragraph(part) for part in inspect.cleandoc(module.__doc__ or "").split("\n\n")),
            myst.table(["name", ""], rows),
            *(_documentation(module.__name__, each, thing) for each, thing in documented.items()),
        )
    )


def _paragraph(text: str) -> str:
    return f"```python\n{text}\n```" if text.startswith(">>>") or text.startswith("    ") else myst.plain(text)


def _first(thing: object) -> str:
    return myst.plain(inspect.cleandoc(inspect.getdoc(thing) or "").split("\n\n")[0].replace("\n", " "))


def _documentation(module: str, name: str, thing: object) -> str:
    kind = "autoclass" if inspect.isclass(thing) else "autofunction"
    members = "\n   :members:" if inspect.isclass(thing) else ""
    return f"```{{eval-rst}}\n.. {kind}:: {module}.{name}{members}\n```"


def overview() -> Page:
    """Return the list of rooms."""
    rows = [[f"[warptheory.{name}]({name}.md)", _first(_room(name))] for name in names()]
    return Page(
        blocks(
            """`import warptheory as wt` is fast: a room is loaded when it is first named. Imports point downwards only,
from the command line to `core`.""",
            myst.table(["room", "what it is for"], rows),
        )
    )


PAGES = EntryPages(title="API", order=70, names=names, page=page, overview=overview)
