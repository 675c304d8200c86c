"""Write the tables in documents, from the records of `make reproduce` and from those of `make bench`.

A document is a page of the site. A table stands between two markers, `<!-- name: begin -->` and `<!-- name: end -->`,
in whichever page its author has put them; those of benchmarks need none, because each has a page of its own.
"""

import argparse
import re
from collections.abc import Mapping
from pathlib import Path

from warptheory.core.errors import UnknownNameError
from warptheory.core.files import content_of, write_text
from warptheory.paper import scripts
from warptheory.paper.entries import Analysis, Benchmark, DocumentTable, RunSettings
from warptheory.paper.pages import read_all

DOCUMENTS = Path(__file__).parents[2] / "docs"
_MARKER = re.compile(r"^<!-- (\w+): begin -->$", re.MULTILINE)


def replace_block(text: str, name: str, content: str) -> str:
    """Replace what stands between a block's markers."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    block = re.compile(f"{re.escape(begin)}.*{re.escape(end)}", re.DOTALL)
    return block.sub(lambda _: f"{begin}\n{content}\n{end}", text)


def documents(folder: Path = DOCUMENTS) -> dict[str, Path]:
    """Return the document of each block, by the block's name.

    Args:
        folder: where the documents are.

    Raises:
        ImportError: a block in two documents.
    """
    found: dict[str, Path] = {}
    for path in sorted(each for kind in ("guides", "tasks") for each in (folder / kind).glob("*.md")):
        for name in _MARKER.findall(path.read_text(encoding="utf-8")):
            if name in found:
                raise ImportError(f"{found[name]} and {path} both have the block {name}")
            found[name] = path
    return found


def tables(source: Path, timings: Path) -> dict[str, tuple[DocumentTable, Path]]:
    """Return each table of the scripts, by name, with the folder of its records.

    Args:
        source: folder of the records of a run.
        timings: folder of those of benchmarks.
    """
    return {
        table.name: (table, timings if isinstance(entry, Benchmark) else source)
        for entry in scripts().values()
        if isinstance(entry, Analysis)
        for table in entry.tables
    }


def write_blocks(names: list[str], known: Mapping[str, tuple[DocumentTable, Path]], folder: Path = DOCUMENTS) -> None:
    """Write blocks between their markers.

    Args:
        names: their names; empty for all that a document has.
        known: the tables, by name, with the folder of their records.
        folder: where the documents are.

    Raises:
        UnknownNameError: a name that no table, or no document, has.
        ArgumentError: a record is missing or damaged.
    """
    places = documents(folder)
    for name in names or places:
        if name not in places or name not in known:
            raise UnknownNameError("blocks", name, places.keys() & known.keys())
        (table, records), path = known[name], places[name]
        text = replace_block(
            path.read_text(encoding="utf-8"), name, table.write(*read_all(table.reads, RunSettings(records)))
        )
        # The markers say that it is a document to be written into.
        write_text(path, text, lambda place: _MARKER.search((content_of(place) or b"").decode("utf-8")) is not None)


def main() -> None:
    """Replace the blocks between the markers in documents."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, default=Path("paper_repro/out/records"))
    parser.add_argument("--benchmarks", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--blocks", nargs="*", default=[], help="names of the blocks to write; by default all")
    arguments = parser.parse_args()
    write_blocks(arguments.blocks, tables(arguments.records, arguments.benchmarks))


if __name__ == "__main__":
    main()
