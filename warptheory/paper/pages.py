"""What a run shows: its figures as files, and the report, whose sections are those of the scripts."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from warptheory.core import records
from warptheory.core.files import MARK, write_atomically
from warptheory.paper import scripts
from warptheory.paper.committed import cell_record, committed_computation
from warptheory.paper.entries import Analysis, PaperFigure, Plot, ReportPassage, RunSettings, Script, Section
from warptheory.report import PageSection, fragment, shown_figure, shown_png, write_page

TITLE = "Theory against simulation"
REPORT = "report.html"


def record_path(name: str, settings: RunSettings) -> Path:
    """Return the path of a record; a star in its name stands for the kind of device."""
    return settings.out / name.replace("*", settings.device.partition(":")[0])


def read_all(names: Iterable[str], settings: RunSettings) -> list[Any]:
    """Read records by their names.

    Raises:
        ArgumentError: one is missing or damaged.
    """
    return [records.read(record_path(name, settings)) for name in names]


def draw_figure(entry: PaperFigure, settings: RunSettings) -> Figure:
    """Draw a figure of the paper as PDF and PNG, beside the folder of the records, and return it."""
    figure = entry.draw(*read_all(entry.reads, settings))
    for name in entry.writes:
        save: Callable[[Path], None] = partial(figure.savefig, metadata={"Creator": MARK})
        write_atomically(settings.out.parent / name, save)
    return figure


def write_report(entries: Iterable[Script], settings: RunSettings) -> Path:
    """Write `report.html` beside the folder of the records, from the records alone; return its path.

    Args:
        entries: the scripts whose sections it consists of.
        settings: how they ran.

    Raises:
        ArgumentError: a record is missing, or something else stands in the page's place.
    """
    path = settings.out.parent / REPORT
    records.check_free(path)
    everything = list(entries)
    notes = {name: _note(entry, settings) for entry in everything for name in entry.writes}
    sections = sorted((found for entry in everything for found in _sections(entry, settings, notes)), key=_order)
    manifest = records.Manifest(records.command_line(), settings.seed, settings.device)
    found = PageSection("found", "What was found", _findings(everything, settings))
    missing = PageSection("missing", "What is missing", _missing(everything, settings))
    write_page(path, TITLE, [found, *(section for _, section in sections), missing], manifest, _LEAD)
    return path


_LEAD = """<p>What interpolation at offset positions does to a signal and to its gradient: every formula on this page is
derived by a symbolic engine, and checked by simulating the same experiment with the operator that networks train with.
The paper: <a href="https://arxiv.org/abs/2511.20800">arXiv 2511.20800</a>.</p>"""


def _order(section: tuple[int, PageSection]) -> tuple[int, str]:
    return section[0], section[1].name


def _findings(entries: Iterable[Script], settings: RunSettings) -> Markup:
    """Return what each section found, in a sentence, with a link to it."""
    sections = [
        (entry.section.order, entry.name, entry.section)
        for entry in entries
        if isinstance(entry, Analysis) and entry.section is not None and entry.section.finding is not None
    ]
    found = [
        (name, section.title, Markup(section.finding.write(*read_all(section.finding.reads, settings))))
        for _, name, section in sorted(sections, key=lambda each: each[:2])
        if section.finding is not None
    ]
    return fragment(
        """<ol class="found">
{% for name, title, sentence in found %}<li>{{ sentence }} <a href="#{{ name }}">{{ title }}</a></li>
{% endfor %}</ol>""",
        found=found,
    )


# Of the five figures and two tables of the paper (its captions).
_NUMBERS = {"figure": 5, "table": 2}


def _missing(entries: Iterable[Script], settings: RunSettings) -> Markup:
    """Return what the page lacks: what of the paper nothing draws yet, and parts that the profile leaves out."""
    everything = list(entries)
    made = {entry.name.partition("_")[0] for entry in everything}
    undrawn = [
        f"{kind.capitalize()} {number} of the paper"
        for kind, most in _NUMBERS.items()
        for number in range(1, most + 1)
        if f"{kind}{number}" not in made
    ]
    return fragment(
        """<ul>{% for name in undrawn %}<li>{{ name }} is not reproduced yet.</li>
{% endfor %}{% for name in left_out %}<li>{{ name }}: not part of the {{ profile }} profile
(<code>warptheory reproduce --only {{ name }}</code>).</li>
{% endfor %}<li>The page on which kernel, law and spread can be moved: <code>warptheory explore --out FOLDER</code>,
with the folder of this page, finds its records there.</li></ul>""",
        undrawn=undrawn,
        left_out=sorted(
            name
            for name, entry in scripts().items()
            if entry not in everything
            and (isinstance(entry, PaperFigure) or entry.section is not None or entry.runs_alone)
        ),
        profile=settings.profile,
    )


def _sections(entry: Script, settings: RunSettings, notes: dict[str, Markup]) -> Iterable[tuple[int, PageSection]]:
    """Yield the sections of a script with their places."""
    if isinstance(entry, PaperFigure):
        yield entry.order, _figure_section(entry, settings, notes)
    elif entry.section is not None:
        body = Markup("\n").join([*_parts(entry.section, settings), notes[entry.writes[0]]])
        yield entry.section.order, PageSection(entry.name, entry.section.title, body)


def _figure_section(entry: PaperFigure, settings: RunSettings, notes: dict[str, Markup]) -> PageSection:
    read = read_all(entry.reads, settings)
    title = entry.title if isinstance(entry.title, str) else entry.title(*read)
    png = next(name for name in entry.writes if name.endswith(".png"))
    caption = Markup(" ").join([Markup.escape(entry.caption(*read)), notes.get(entry.reads[0], Markup())])
    return PageSection(entry.name, title, shown_png(settings.out.parent / png, entry.alt, caption))


def _parts(section: Section, settings: RunSettings) -> Iterable[Markup]:
    for part in section.parts:
        if isinstance(part, Plot):
            read = read_all(part.reads, settings)
            caption = Markup(part.caption) if isinstance(part.caption, str) else part.caption(*read)
            yield shown_figure(part.draw(*read), part.alt, caption)
        elif isinstance(part, ReportPassage):
            yield Markup(part.write(*read_all(part.reads, settings)))
        else:
            yield Markup(f"<p>{part}</p>")


def _note(entry: Script, settings: RunSettings) -> Markup:
    """Return what is to be said of records that were committed, and what of them was computed anew."""
    if committed_computation(entry, settings) is None:
        return Markup()
    manifest = records.read_json(record_path(entry.writes[0], settings).with_suffix(".json"))
    return fragment(
        """<span class="source">Drawn from the committed record (seed {{ seed }}, commit {{ commit }}, {{ machine }}),
which the full profile makes anew. Computed anew in this run: {{ cell.what }}, {{ "%.4g" | format(cell.recomputed) }}
where the record has {{ "%.4g" | format(cell.committed) }}; allowed is a difference of
{{ "%.2g" | format(cell.tolerance) }} ({{ cell.reason }}).</span>""",
        **{name: manifest[name] for name in ("seed", "commit", "machine")},
        cell=records.read_json(settings.out / cell_record(entry)),
    )
