"""Layers that sample: what they compute, their arguments, and where they are used."""

import importlib
import inspect

from docs.entries import _myst as myst
from docs.gallery_scripts import showing
from docs.pages import EntryPages, Page, blocks
from warptheory.core.catalogue import entry_modules, exported_names

ROOM = "warptheory.operators"


def names() -> list[str]:
    """Return the names of the operators, one for each file."""
    return sorted(entry_modules(ROOM))


def page(name: str) -> Page:
    """Return the page of an operator's file."""
    module = importlib.import_module(entry_modules(ROOM)[name])
    classes = exported(name)
    found = showing(*classes)
    return Page(
        blocks(
            f"(operator-{name})=\n# {name.replace('_', ' ').capitalize()}",
            *(myst.plain(part) for part in inspect.cleandoc(module.__doc__ or "").split("\n\n")),
            *(f"```{{eval-rst}}\n.. autoclass:: {ROOM}.{each}\n   :no-index:\n   :members:\n```" for each in classes),
            blocks("## In the gallery", myst.minigallery(found)) if found else "",
        )
    )


def exported(name: str) -> list[str]:
    """Return the classes that an operator's file exports."""
    module = entry_modules(ROOM)[name]
    return [each for each, place in exported_names(ROOM).items() if place == module]


def overview() -> Page:
    """Return the table of all operators."""
    rows = []
    for name in names():
        module = importlib.import_module(entry_modules(ROOM)[name])
        said = inspect.cleandoc(module.__doc__ or "").split("\n\n")[0].replace("\n", " ")
        rows.append([f"[{', '.join(exported(name))}]({name}.md)", myst.plain(said)])
    return Page(
        blocks(
            """An operator is a torch layer that reads its input at positions which may depend on the input. It
knows its matrix at an input (`operator_matrix`) and the statistics of that matrix (`statistics`): forward gain, row and
column sums, the share of inputs without a gradient.""",
            myst.table(["layer", "what it is"], rows),
        )
    )


PAGES = EntryPages(title="Operators", order=40, names=names, page=page, overview=overview)
