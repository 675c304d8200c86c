"""The gallery: a script for every plot that an analysis declares and for every figure of the paper.

Scripts are generated into `_gallery/`, and draw committed records; sphinx-gallery runs them. A plot whose record is
neither committed nor computed in seconds is named on the gallery's page.
"""

import ast
import importlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from docs import committed
from warptheory.paper import scripts
from warptheory.paper.entries import PaperFigure, Plot, Script

FOLDER = Path(__file__).parent / "_gallery"
_THUMBNAIL = re.compile(r"sphx_glr_(plot_\w+)_thumb")
_AFTER_FIGURES = 1000  # figures of the paper come first, whatever their place in the report


@dataclass(frozen=True)
class GalleryPlot:
    """A plot of the gallery.

    Attributes:
        entry: the script of the paper that declares it.
        number: which of its plots, from 0 on.
        plot: the plot.
    """

    entry: Script
    number: int
    plot: Plot | PaperFigure

    @property
    def file(self) -> str:
        """Name of its script in the gallery."""
        return f"plot_{self.entry.name}.py" if len(self._all) == 1 else f"plot_{self.entry.name}_{self.number + 1}.py"

    @property
    def _all(self) -> list[Plot | PaperFigure]:
        return committed.plots_of(self.entry)

    @property
    def order(self) -> tuple[int, str]:
        """Its place in the gallery."""
        order = self.entry.order if isinstance(self.entry, PaperFigure) else _AFTER_FIGURES + _section(self.entry).order
        return order, self.file

    @property
    def title(self) -> str:
        """Its heading."""
        if isinstance(self.plot, PaperFigure):
            title = self.plot.title
            return title if isinstance(title, str) else title(*committed.read(self.plot.reads))
        title = _section(self.entry).title
        return title if len(self._all) == 1 else f"{title}: {self.plot.alt[0].lower()}{self.plot.alt[1:]}"

    def draw(self) -> Figure:
        """Draw it."""
        return self.plot.draw(*committed.read(self.plot.reads))

    def caption(self) -> str:
        """Return what stands below it, as HTML."""
        caption = self.plot.caption
        return caption if isinstance(caption, str) else str(caption(*committed.read(self.plot.reads)))

    @property
    def uses(self) -> frozenset[str]:
        """Names of what it shows: texts in the columns of its records, and names in the source of its analysis."""
        return _names_in_source(self.entry.function.__module__) | _texts_in(self.plot.reads)


def _section(entry: Script) -> Any:
    return entry.section  # type: ignore[union-attr]  # a script that declares a plot has one


@cache
def _names_in_source(module: str) -> frozenset[str]:
    source = Path(str(importlib.import_module(module).__file__)).read_text(encoding="utf-8")
    nodes = list(ast.walk(ast.parse(source)))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    return frozenset(names | {node.attr for node in nodes if isinstance(node, ast.Attribute)})


@cache
def _texts_in(names: tuple[str, ...]) -> frozenset[str]:
    found: set[str] = set()
    for name in names:
        if name.endswith(".parquet") and committed.path_of(name) is not None:
            table = committed.read([name])[0]
            texts = table.select_dtypes(["object", "string", "category"])
            found |= {str(value) for column in texts for value in texts[column].unique()}
    return frozenset(found)


@cache
def all_plots() -> list[GalleryPlot]:
    """Return the plots of all scripts, in the order of the gallery."""
    found = [
        GalleryPlot(entry, number, plot)
        for entry in scripts().values()
        for number, plot in enumerate(committed.plots_of(entry))
    ]
    return sorted(found, key=lambda plot: plot.order)


@cache
def drawn() -> list[GalleryPlot]:
    """Return the plots whose records are there."""
    return [plot for plot in all_plots() if committed.are_there(plot.plot.reads)]


def showing(*names: str) -> list[str]:
    """Return the scripts of plots that show one of some names: a kernel, a result, a class."""
    return [plot.file for plot in drawn() if plot.uses & set(names)]


def script(plot: GalleryPlot) -> str:
    """Return the source of a plot's script."""
    room = plot.entry.function.__module__.split(".")[2]
    is_figure = isinstance(plot.plot, PaperFigure)
    takes = (
        f"{room}.get({plot.entry.name!r})"
        if is_figure
        else f"gallery_scripts.plot_of({plot.entry.name!r}, {plot.number})"
    )
    module = f"warptheory/paper/{room}/{plot.entry.name}.py"
    underline = "=" * len(plot.title)
    caption = "\n".join(f"   {line}" for line in plot.caption().splitlines())
    imports = f"from docs import committed{'' if is_figure else ', gallery_scripts'}"
    return f'''r"""
{plot.title}
{underline}

.. raw:: html

   <p>
{caption}
   </p>

Drawn from {", ".join(f"``{name}``" for name in plot.plot.reads)}, which ``{module}`` computes and draws.
"""

{imports}
{"from warptheory.paper import " + room + chr(10) if is_figure else ""}
plot = {takes}
figure = plot.draw(*committed.read(plot.reads))
'''


def plot_of(name: str, number: int) -> Plot | PaperFigure:
    """Return a plot of a script.

    Args:
        name: name of the script.
        number: which of its plots, from 0 on.
    """
    return committed.plots_of(scripts()[name])[number]


_HEADER = """Gallery
=======

Every plot of the analyses, and every figure of the paper. Lines are closed forms, points are simulations of the same
experiments with the real operator, with one standard error. Each page draws a committed record;
``warptheory reproduce`` computes them all anew.
"""


def write_scripts(folder: Path = FOLDER) -> None:
    """Write a script for every plot whose record is there, and remove those of plots that are gone."""
    missing = ", ".join(f"``{name}``" for name in left_out())
    said = f"\nNot drawn, because no record of theirs is committed: {missing}.\n" if missing else ""
    sources = {plot.file: script(plot) for plot in drawn()} | {"GALLERY_HEADER.rst": _HEADER + said}
    folder.mkdir(exist_ok=True)
    for path in folder.glob("plot_*.py"):
        if path.name not in sources:
            path.unlink()
    for name, source in sources.items():
        path = folder / name
        if not path.is_file() or path.read_text(encoding="utf-8") != source:
            path.write_text(source, encoding="utf-8")


def left_out() -> Iterator[str]:
    """Yield the names of scripts some of whose plots have no record."""
    yield from dict.fromkeys(plot.entry.name for plot in all_plots() if plot not in drawn())


def order_of(file: str) -> int:
    """Return the place of a script in the gallery."""
    return [plot.file for plot in drawn()].index(Path(file).name)


def figures_of(block: Any, block_variables: Mapping[str, Any], gallery_settings: Mapping[str, Any]) -> str:
    """Save the figure that a script has made, and return how the page shows it; sphinx-gallery calls this."""
    from sphinx_gallery.scrapers import figure_rst

    figure = block_variables["example_globals"].pop("figure", None)
    if not isinstance(figure, Figure):
        return ""
    path = next(block_variables["image_path_iterator"])
    figure.savefig(path, dpi=150)
    alt = next(plot for plot in drawn() if plot.file == Path(block_variables["src_file"]).name).plot
    said = alt.alt if isinstance(alt, Plot) else "Figure of the paper"
    return str(figure_rst([path], gallery_settings["src_dir"], said))


def name_thumbnails(app: Any, document: Any) -> None:
    """Give the thumbnails of a page the titles of their plots as texts; sphinx-gallery leaves them empty."""
    from docutils.nodes import image

    titles = {Path(plot.file).stem: plot.title for plot in drawn()}
    for node in document.findall(image):
        shown = _THUMBNAIL.search(node["uri"])
        if shown and shown[1] in titles:
            node["alt"] = titles[shown[1]]


SETTINGS: dict[str, Any] = {
    "examples_dirs": "_gallery",
    "gallery_dirs": "gallery",
    "filename_pattern": r"plot_.*\.py",
    "within_subsection_order": "docs.gallery_scripts.order_of",
    "image_scrapers": (figures_of,),
    "abort_on_example_error": True,
    "only_warn_on_example_error": False,
    "show_signature": False,
    "download_all_examples": False,
    "write_computation_times": False,
    "min_reported_time": 1e9,
    "remove_config_comments": True,
    "backreferences_dir": "gallery/backreferences",
    "doc_module": ("warptheory",),
    "copyfile_regex": "",
    "reset_modules": ("matplotlib",),
}
