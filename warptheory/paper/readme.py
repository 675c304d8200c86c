"""Write the tables in README.md, from the records of `make reproduce` and from those of `make bench`."""

import argparse
import re
from pathlib import Path

from warptheory.core.files import content_of, write_text
from warptheory.paper import scripts
from warptheory.paper.entries import Analysis, Benchmark, ReadmeTable, RunSettings
from warptheory.paper.pages import read_all

README = Path(__file__).parents[2] / "README.md"


def replace_block(text: str, name: str, content: str) -> str:
    """Replace what stands between a block's markers."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    block = re.compile(f"{re.escape(begin)}.*{re.escape(end)}", re.DOTALL)
    return block.sub(lambda _: f"{begin}\n{content}\n{end}", text)


def tables(source: Path, timings: Path) -> dict[str, tuple[ReadmeTable, Path]]:
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


def main() -> None:
    """Replace the blocks between the markers in README.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=Path, default=Path("paper_repro/out/records"))
    parser.add_argument("--benchmarks", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--blocks", nargs="*", help="names of the blocks to write; by default all")
    arguments = parser.parse_args()
    text = README.read_text(encoding="utf-8")
    known = tables(arguments.records, arguments.benchmarks)
    for name in arguments.blocks or known:
        table, folder = known[name]
        text = replace_block(text, name, table.write(*read_all(table.reads, RunSettings(folder))))
    # The blocks' markers say that it is a README to be written into.
    write_text(README, text, lambda path: b": begin -->" in (content_of(path) or b""))


if __name__ == "__main__":
    main()
