"""Timings, as ratios against a peer in the same run, from the committed records."""

import importlib
import inspect

from docs import committed
from docs.entries import _myst as myst
from docs.pages import EntryPages, Page, blocks
from warptheory.paper import benchmarks
from warptheory.paper.entries import Benchmark


def page(name: str) -> Page:
    """Return the page of a benchmark."""
    entry: Benchmark = benchmarks.get(name)
    said = inspect.cleandoc(importlib.import_module(entry.function.__module__).__doc__ or "")
    tables = [table.write(*committed.read(table.reads)) for table in entry.tables if committed.are_there(table.reads)]
    return Page(
        blocks(
            f"(benchmark-{name})=\n# {said.splitlines()[0].rstrip('.')}",
            myst.plain("\n".join(said.splitlines()[1:])),
            *(tables or [_summary(entry)]),
            f"```bash\nwarptheory bench {name}\n```",
        )
    )


def _summary(entry: Benchmark) -> str:
    path = committed.path_of(entry.writes[0])
    return f"```text\n{entry.summary(path)}\n```" if path else "No timings are committed yet."


def overview() -> Page:
    """Return the list of benchmarks."""
    rows = []
    for name in benchmarks.names():
        said = inspect.cleandoc(importlib.import_module(benchmarks.get(name).function.__module__).__doc__ or "")
        rows.append([f"[{name}]({name}.md)", myst.plain(said.splitlines()[0])])
    return Page(
        blocks(
            """A time is a ratio: ours and a peer's run in turn in one process, and the ratio of each round is taken.
A ratio above one means that ours is faster. `warptheory bench` takes them anew.""",
            myst.table(["benchmark", "what is compared"], rows),
        )
    )


PAGES = EntryPages(title="Benchmarks", order=60, names=benchmarks.names, page=page, overview=overview)
