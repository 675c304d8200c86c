"""Layers that sample: what they compute, how they start, where the originals are wrong, and what they sample."""

import importlib
import inspect
from dataclasses import fields

import torch
from torch import Tensor

from docs.entries import _myst as myst
from docs.gallery_scripts import showing
from docs.pages import EntryPages, Page, blocks
from warptheory import operators, report, stability
from warptheory.core.catalogue import entry_modules, exported_names
from warptheory.fields import photographs
from warptheory.operators import OperatorEntry, OperatorExample
from warptheory.patterns import OperatorStatistics, SamplingPattern

ROOM = "warptheory.operators"
_SEED = 5
_PIXELS = 40  # along each side of the photograph
_AXES = 2
_IMAGE_AXES = 2 + _AXES  # B, C and those


def page(name: str) -> Page:
    """Return the page of an operator's file."""
    module, entry = importlib.import_module(entry_modules(ROOM)[name]), operators.get(name)
    offered = exported(name)
    pictures = _pictures(name, entry)
    return Page(
        blocks(
            f"(operator-{name})=\n# {_title(name)}",
            *(myst.plain(part) for part in inspect.cleandoc(module.__doc__ or "").split("\n\n")),
            "## What it computes",
            myst.formula(entry.formula),
            _where(entry),
            "\n".join(f"- {myst.plain(said)}" for said in entry.conventions),
            blocks("## How it starts", myst.plain(entry.initialisation)),
            _statistics(entry),
            _drawn(pictures),
            _defects(entry),
            _elsewhere(entry),
            "## In code",
            *(_documented(each) for each in offered),
            blocks("## In the gallery", myst.minigallery(showing(*offered))) if showing(*offered) else "",
        ),
        pictures,
    )


def exported(name: str) -> list[str]:
    """Return the layers and functions that an operator's file exports."""
    module = entry_modules(ROOM)[name]
    return [each for each, place in exported_names(ROOM).items() if place == module]


def _title(name: str) -> str:
    """Return what the file calls the operator, before the colon of its first line."""
    module = importlib.import_module(entry_modules(ROOM)[name])
    return (module.__doc__ or name).partition(":")[0]


def _documented(name: str) -> str:
    found = getattr(operators, name)
    directive = f"autoclass:: {ROOM}.{name}\n   :no-index:\n   :members:" if isinstance(found, type) else ""
    return f"```{{eval-rst}}\n.. {directive or f'autofunction:: {ROOM}.{name}' + chr(10) + '   :no-index:'}\n```"


def _where(entry: OperatorEntry) -> str:
    if not entry.where:
        return ""
    meanings = "; ".join(f"{{math}}`{letter}`: {myst.plain(meaning)}" for letter, meaning in entry.where.items())
    return f"{meanings}."


def _statistics(entry: OperatorEntry) -> str:
    """Return the statistics of the examples' matrices."""
    if not entry.examples:
        return ""
    names = [each.name for each in fields(OperatorStatistics)]
    rows = []
    for key, example in entry.examples.items():
        layer, inputs = made(example, torch.randn(*example.shape, generator=_generator(), dtype=torch.float64))
        found = layer.double().statistics(*inputs)
        rows.append([f"{type(layer).__name__} ({key})", *(f"{getattr(found, each):.4g}" for each in names)])
    return blocks(
        "## What its matrix does",
        "At random inputs of the size that the tests use; `statistics(…)` says the same of any layer at any input.",
        myst.table(["example", *(each.replace("_", " ") for each in names)], rows),
    )


def made(example: OperatorExample, images: Tensor) -> tuple[operators.SamplingOperator, tuple[object, ...]]:
    """Return an example's layer, and inputs at images (B, C, *S)."""
    torch.manual_seed(_SEED)
    return example.build(), example.inputs(images, _generator())


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(_SEED)


def _pictures(name: str, entry: OperatorEntry) -> dict[str, bytes]:
    """Return a drawing of what a few output pixels read on a photograph, for the first example on images."""
    example = next((each for each in entry.examples.values() if len(each.shape) == _IMAGE_AXES), None)
    if example is None:
        return {}
    whole = photographs.load("astronaut", grey=True, dtype=torch.float32)[None, :, :256, 96:352]
    photograph = torch.nn.functional.interpolate(whole, (_PIXELS, _PIXELS), mode="area")
    images = photograph.expand(1, example.shape[1], _PIXELS, _PIXELS)
    layer, inputs = made(example, images)
    with torch.no_grad():
        sampled = [each for each in layer.pattern(*inputs).samplings() if isinstance(each, SamplingPattern)]
    if not sampled or len(sampled[0].size) != _AXES:
        return {}
    pattern = sampled[0]
    pixels = [tuple(n * part // 4 for n in pattern.grid) for part in (1, 2, 3)]
    points = [stability.points_of(pattern, pixel, type(layer).__name__) for pixel in pixels]
    figure = report.plot_sampling_points(torch.nn.functional.interpolate(images[:, :1], pattern.size), points)
    return {f"{name}.svg": myst.svg(figure)}


def _drawn(pictures: dict[str, bytes]) -> str:
    if not pictures:
        return ""
    shown = (myst.picture(each, "Sampling points on a photograph", _CAPTION) for each in pictures)
    return blocks("## What it samples", *shown)


_CAPTION = """Where three pixels of an example sample a photograph, or write to it where the operator scatters: a cross
marks the place without offsets, and the larger a point, the more it counts."""


def _defects(entry: OperatorEntry) -> str:
    if not entry.defects:
        return ""
    told = (f"- {myst.plain(each.original)} *Here:* {myst.plain(each.here)} (`{each.test}`)" for each in entry.defects)
    return blocks("## Where the original is wrong", "\n".join(told), "In brackets, the test that shows both.")


def _elsewhere(entry: OperatorEntry) -> str:
    """Return the source, and the layers of other libraries."""
    known = [f"`{each.original}` ↔ `{each.ours.__name__}`" for each in entry.counterparts]
    return blocks(
        "## Elsewhere",
        f"Source: {myst.plain(entry.source)}.",
        f"`operators.convert` replaces {', '.join(known)}." if known else "",
    )


def overview() -> Page:
    """Return the table of all operators."""
    rows = []
    for name in operators.names():
        module = importlib.import_module(entry_modules(ROOM)[name])
        said = inspect.cleandoc(module.__doc__ or "").split("\n\n")[0].replace("\n", " ")
        rows.append(
            [f"[{', '.join(exported(name))}]({name}.md)", myst.plain(said), str(len(operators.get(name).defects))]
        )
    return Page(
        blocks(
            """An operator samples its input at positions which may depend on the input, weighs what it reads and mixes
it. Its `pattern` says all of that; the layer, its matrix at an input (`operator_matrix`) and the statistics of that
matrix (`statistics`) follow from it. [Which operator](../../guides/which_operator.md) helps to choose.""",
            myst.table(["layers and functions", "what it is", "defects of originals"], rows),
        )
    )


PAGES = EntryPages(title="Operators", order=40, names=operators.names, page=page, overview=overview)
