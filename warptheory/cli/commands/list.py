"""`warptheory list`: what there is."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from fnmatch import fnmatchcase
from typing import Annotated

import typer

from warptheory.cli import _contents as contents
from warptheory.core.errors import UnknownNameError
from warptheory.core.text import matches

EXAMPLES = (
    "Examples:  warptheory list  ·  warptheory list kernels  ·  warptheory list 'A*' fold  ·  warptheory list --json"
)


def command(
    patterns: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATTERN", help="A kind (kernels), a label or name ('A*'), or words of a title."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead, for scripts.")] = False,
) -> None:
    """List what there is: results by section, kernels, laws, operators, analyses, figures, commands and so on.

    With --json, an object: "version", and by kind, such as "results", "kernels", "boundary rules" and "symbols", a list
    of objects. Of a result: label, title, section, and quantities, each with its name and, where it has one, its label.
    Of a symbol, which a sweep can run through: name, meaning, standard value, low and high end of its range, the result
    that they are of where all have none in common, and results that have their own. Of all others: name, title, and
    aliases by which it is found as well, each with its name and what it stands for.
    """
    from warptheory import __version__
    from warptheory.cli._tables import terminal_width

    chosen = _chosen(patterns or [])
    if as_json:
        document = {kind: [asdict(entry) for entry in found] for kind, found in chosen.items()}
        print(json.dumps({"version": __version__, **document}, ensure_ascii=False, indent=1))
        return
    width = terminal_width()
    print("\n\n".join("\n".join(_block(kind, found, width)) for kind, found in chosen.items() if found))


def _chosen(patterns: Sequence[str]) -> Mapping[str, Sequence[contents.Listed]]:
    """Return, by kind, what is meant by patterns; everything if there are none.

    Raises:
        UnknownNameError: nothing is meant by one of them.
    """
    kinds = contents.kinds()
    whole = {kind for kind in kinds if not patterns or {kind, _one(kind)} & {*map(str.lower, patterns)}}
    words = [pattern for pattern in patterns if pattern.lower() not in {*whole, *map(_one, whole)}]
    found = {kind: find() if words or kind in whole else () for kind, find in kinds.items()}
    everything = [entry for entries in found.values() for entry in entries]
    meant = set[contents.Listed]()
    for word in words:
        of_word = _meant(word, everything)
        if not of_word:
            raise UnknownNameError("patterns", word, kinds, map(_name, everything))
        meant |= of_word
    return {kind: [entry for entry in entries if kind in whole or entry in meant] for kind, entries in found.items()}


def _meant(pattern: str, entries: Sequence[contents.Listed]) -> set[contents.Listed]:
    """Return the entries with a name that a pattern fits, or that say words that it begins; capitals count if they can.

    So A* has the results of section A, a4 the result A4, and fold all that speaks of folds, folding or folders.
    """
    exact = {entry for entry in entries if any(fnmatchcase(name, pattern) for name in _names(entry))}
    begun = f" {pattern.lower()}"
    said = {entry for entry in entries if begun in f" {_said(entry).lower()}"}
    return exact | said or {entry for entry in entries if any(matches(name, [pattern]) for name in _names(entry))}


def _names(entry: contents.Listed) -> list[str]:
    quantities = entry.quantities if isinstance(entry, contents.ListedResult) else ()
    aliases = entry.aliases if isinstance(entry, contents.ListedEntry) else ()
    also = (*(alias.name for alias in aliases), *(each.label for each in quantities if each.label))
    return [_name(entry), *also]


def _said(entry: contents.Listed) -> str:
    """Return what an entry says of itself: its title or meaning, and its quantities."""
    quantities = entry.quantities if isinstance(entry, contents.ListedResult) else ()
    return " ".join([_title(entry), *(quantity.name for quantity in quantities)])


def _title(entry: contents.Listed) -> str:
    return entry.meaning if isinstance(entry, contents.ListedSymbol) else entry.title


def _name(entry: contents.Listed) -> str:
    return str(entry.label if isinstance(entry, contents.ListedResult) else entry.name)


def _one(kind: str) -> str:
    """Return the name of one thing of a kind."""
    return "analysis" if kind == "analyses" else kind.removesuffix("s")


def _block(kind: str, found: Sequence[contents.Listed], width: int) -> Iterator[str]:
    """Yield the lines of a kind: each entry begins one, and goes on further to the right."""
    from warptheory.core.layout import wrapped

    yield f"{kind}:"
    left = max(len(_name(entry)) for entry in found)
    section = ""
    for entry in found:
        before = f"  {_name(entry):{left}}  "
        if isinstance(entry, contents.ListedResult) and entry.section != section:
            section = entry.section
            yield wrapped(section, width, "  ")
        for text in _sentences(entry):
            yield wrapped(text, width, before)
            before = " " * len(before)


def _sentences(entry: contents.Listed) -> list[str]:
    """Return what is said of an entry, each to begin a line."""
    if isinstance(entry, contents.ListedResult):
        names = (f"{each.label} {each.name}" if each.label else each.name for each in entry.quantities)
        return [entry.title, "; ".join(names)]
    if isinstance(entry, contents.ListedSymbol):
        spread = f", from {entry.low:g} to {entry.high:g}" if entry.low < entry.high else ""
        return [*filter(None, [entry.meaning]), f"{entry.standard:g}{spread}{_of_results(entry)}"]
    also = ", ".join(alias.name + (f" ({alias.whole})" if alias.is_call else "") for alias in entry.aliases)
    return [f"{entry.title}{also and f' Also {also}.'}"]


def _of_results(symbol: contents.ListedSymbol) -> str:
    """Return of which result the value of a symbol is, unless it is that of all, and which have their own."""
    others = ", ".join(label for label in symbol.results if label != symbol.standard_in)
    if not symbol.standard_in:
        return others and f"; other values in {others}"
    return f" in {symbol.standard_in}{others and f'; own values in {others}'}"
