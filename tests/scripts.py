"""What every script of the paper owes: the checks of the contracts of analyses, figures and benchmarks."""

import html
import importlib
import re

from warptheory.core import records
from warptheory.paper import scripts
from warptheory.paper.entries import Analysis, PaperFigure, Plot
from warptheory.paper.graph import output_paths

SEED = 1  # of the shared run


def check_declared(entry):
    """It explains itself, says what it costs, and reads nothing that no script writes."""
    assert importlib.import_module(entry.function.__module__).__doc__
    assert entry.writes
    assert entry.cost.full > 0
    assert entry.cost.quick is None or 0 < entry.cost.quick <= entry.cost.full
    known = {name for each in scripts().values() if isinstance(each, Analysis) for name in each.records}
    parts = parts_of(entry)
    tables = entry.tables if isinstance(entry, Analysis) else ()
    for reader in (entry, *parts, *tables):
        assert set(reader.reads) <= known
    for plot in (part for part in parts if isinstance(part, Plot)):
        assert len(plot.alt) > 10
        assert callable(plot.caption) or len(plot.caption) > 10


def check_written(entry, settings):
    """Everything that it says it writes is there, and records say how they came about."""
    for path in output_paths(entry, settings):
        assert path.is_file(), path.name
    if isinstance(entry, PaperFigure):
        return
    for name in entry.records:
        if name.endswith(".json"):
            manifest = records.read_json(settings.out / name.replace("*", "cpu"))
            if isinstance(manifest, dict):
                assert getattr(entry, "long", None) or manifest["command"].endswith(f".{entry.name}")
                assert getattr(entry, "long", None) or manifest["seed"] == SEED


def check_shown(entry, page):
    """The report has its section, with every plot."""
    if isinstance(entry, Analysis) and entry.section is None:
        return
    section = re.search(rf'<section id="{entry.name}">(.*?)(</section>|\Z)', page, re.DOTALL)
    assert section is not None, f"no section {entry.name}"
    for plot in (part for part in parts_of(entry) if isinstance(part, Plot)):
        assert f'alt="{html.escape(plot.alt)}"' in section.group(1)
    if isinstance(entry, PaperFigure):
        assert "data:image/png" in section.group(1)
        assert f'alt="{html.escape(entry.alt)}"' in section.group(1)


def parts_of(entry):
    """Return what is shown of records."""
    section = getattr(entry, "section", None)
    return [] if section is None else [part for part in section.parts if not isinstance(part, str)]
