"""`warptheory derive`: closed forms, with their steps."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from typing import Annotated

import typer

from warptheory.cli import _options as options
from warptheory.core.errors import ArgumentError, UnknownNameError, WarpTheoryError
from warptheory.core.text import one_line

EXAMPLES = (
    "Examples:  warptheory derive A4 --offsets normal  ·  warptheory derive 'A*' --dim 1  ·  "
    "warptheory derive A7 --dim 2 --quantity 'covariance given f'"
)

_RULE = "─" * 110


def command(
    patterns: Annotated[list[str], typer.Argument(metavar="RESULT...", help="Labels or patterns, such as A4 or 'A*'.")],
    quantity: Annotated[str | None, typer.Option(help="Which of its quantities; all of them by default.")] = None,
    kernel: options.KernelName = None,
    dim: options.Dim = None,
    offsets: options.OffsetsLaw = None,
    latex: Annotated[bool, typer.Option("--latex", help="Print the closed form in LaTeX instead.")] = False,
    out: options.Out = None,
) -> None:
    """Derive results: statement, assumptions, every step, and the closed form.

    Derivations are kept on disk until a source file changes (WARPTHEORY_CACHE: the folder, or off).
    """
    from warptheory.core.files import MARK, check_replaceable, output_folder, write_text

    chosen = _choose(_headings(), patterns, quantity)
    folder, ending = None if out is None else output_folder(out), "tex" if latex else "txt"
    if folder is not None:
        for heading in chosen:
            check_replaceable(folder / f"derivation_{heading.label}.{ending}")
    pages = _derive(chosen, _Choices(kernel, dim, offsets), latex, exact=frozenset(patterns))
    print(f"\n\n{_comment(latex)}{_RULE}\n\n".join(page.text for page in pages))
    for page in pages:
        if folder is not None and page.derived:
            path = folder / f"derivation_{page.label}.{ending}"
            write_text(path, f"{page.text}\n\n{_comment(latex)}{MARK}\n")
            typer.echo(one_line(f"written: {path}"), err=True)


@dataclass(frozen=True)
class _Choices:
    """What the caller chose of a setting; None takes the default."""

    kernel: str | None
    dim: int | None
    offsets: str | None


@dataclass(frozen=True)
class _Heading:
    """What is known of a result before anything is derived.

    Attributes:
        label: its label.
        text: title, statement and assumptions, as printed.
        quantities: names of its quantities.
    """

    label: str
    text: str
    quantities: Sequence[str]


@dataclass(frozen=True)
class _Part:
    """What came of one quantity.

    Attributes:
        text: its derivation, or its closed form in LaTeX; empty if it does not apply in the setting.
        reason: why it does not apply.
    """

    text: str = ""
    reason: str = ""


@dataclass(frozen=True)
class _Page:
    """What is printed of one result.

    Attributes:
        label: its label.
        text: the text.
        derived: whether anything could be derived in the setting.
    """

    label: str
    text: str
    derived: bool


def _headings() -> list[_Heading]:
    """Return the headings of all results, in order."""

    def make() -> str:
        from warptheory import results

        return json.dumps([asdict(_heading(label)) for label in results.labels()])

    return [_Heading(**heading) for heading in json.loads(_cached_text({"derive": "headings"}, make))]


def _heading(label: str) -> _Heading:
    from warptheory import results

    result = results.get(label)
    assumptions = "\n".join(f"  - {assumption}" for assumption in result.assumptions)
    text = f"{label}. {result.title}\n\n{result.statement}\n\nAssumptions:\n{assumptions}"
    return _Heading(label, text, [quantity.name for quantity in result.quantities])


def _choose(headings: list[_Heading], patterns: list[str], quantity: str | None) -> list[_Heading]:
    """Return the results that match one of the patterns, with the one quantity or with all of them.

    Raises:
        UnknownNameError: a pattern that matches no label.
        ArgumentError: a result that matches and lacks the quantity.
    """
    for pattern in patterns:
        if not any(fnmatchcase(heading.label, pattern) for heading in headings):
            raise UnknownNameError("result", pattern, [heading.label for heading in headings])
    chosen = [heading for heading in headings if any(fnmatchcase(heading.label, pattern) for pattern in patterns)]
    if quantity is None:
        return chosen
    lacking = [heading for heading in chosen if quantity not in heading.quantities]
    if lacking and len(chosen) == 1:
        raise UnknownNameError("quantity", quantity, lacking[0].quantities)
    if lacking:
        known = f"one of {', '.join(lacking[0].quantities)} for {lacking[0].label}"
        raise ArgumentError("quantity", expected=known, received=repr(quantity))
    return [replace(heading, quantities=[quantity]) for heading in chosen]


def _derive(chosen: list[_Heading], choices: _Choices, latex: bool, exact: frozenset[str]) -> list[_Page]:
    """Derive what was chosen; results that were asked by their exact label have to apply in the setting."""
    from warptheory.cli._console import progress_bar

    pages = []
    with progress_bar("derive") as update:
        for number, heading in enumerate(chosen):
            parts = []
            for done, name in enumerate(heading.quantities):
                update((number + done / len(heading.quantities)) / len(chosen), f"{heading.label} {name}")
                parts.append(_part(heading.label, name, choices, latex, required=heading.label in exact))
            if heading.label in exact and not any(part.text for part in parts):
                _refuse(heading, choices)
            pages.append(_page(heading, parts, latex))
    return pages


def _page(heading: _Heading, parts: list[_Part], latex: bool) -> _Page:
    if not any(part.text for part in parts):
        reasons = "; ".join(dict.fromkeys(part.reason for part in parts))
        return _Page(heading.label, f"{_comment(latex)}{heading.label}: skipped, {reasons}", derived=False)
    texts = [] if latex else [heading.text]
    for name, part in zip(heading.quantities, parts, strict=True):
        texts.append(part.text or f"{_comment(latex)}{name.capitalize()}: skipped, {part.reason}")
    return _Page(heading.label, "\n\n".join(texts), derived=True)


def _part(label: str, quantity: str, choices: _Choices, latex: bool, required: bool) -> _Part:
    """Derive a quantity, or look it up; a failure is passed on if it is required, and else the reason to skip it."""
    request = {"derive": label, "quantity": quantity, "form": "latex" if latex else "text"}
    request |= {name: str(choice) for name, choice in asdict(choices).items() if choice is not None}
    try:
        text = _cached_text(request, lambda: json.dumps(asdict(_derive_part(label, quantity, choices, latex))))
    except WarpTheoryError as error:
        if required:
            raise
        _check_choices(label, choices)  # a choice that no result can take is an error of the call
        return _Part(reason=" ".join(str(error).split()))
    return _Part(**json.loads(text))


def _derive_part(label: str, quantity: str, choices: _Choices, latex: bool) -> _Part:
    from warptheory import results

    _check_choices(label, choices)
    try:
        fitting = _fitting(label, quantity, choices)
    except ArgumentError as error:
        return _Part(reason=str(error))
    derivation = results.get(label).derive(quantity, **asdict(fitting))
    return _Part(derivation.steps[-1].latex() if latex else f"{quantity.capitalize()}: {derivation}")


def _check_choices(label: str, choices: _Choices) -> None:
    """Raise the error of an unknown kernel, law or number of axes."""
    from warptheory import results

    results.get(label).setting(**asdict(choices))


def _fitting(label: str, quantity: str, choices: _Choices) -> _Choices:
    """Return the choices, with a kernel and a number of axes that the quantity applies to where none is chosen.

    Raises:
        ArgumentError: the quantity does not apply to what is chosen.
    """
    from warptheory import kernels, results

    part, default = results.get(label).get(quantity), results.get(label).setting()
    names = {kernels.get(name).name: name for name in part.kernels or (choices.kernel or default.kernel,)}
    dims = part.dims or (choices.dim or default.dim,)
    for_whom = f"for {label} {quantity}"
    if choices.kernel is not None and kernels.get(choices.kernel).name not in names:
        raise ArgumentError("kernel", expected=f"{' or '.join(part.kernels)} {for_whom}", received=choices.kernel)
    if choices.dim is not None and choices.dim not in dims:
        raise ArgumentError("dim", expected=f"{' or '.join(map(str, dims))} {for_whom}", received=choices.dim)
    kernel = choices.kernel or (default.kernel if kernels.get(default.kernel).name in names else next(iter(names)))
    return replace(choices, kernel=kernel, dim=choices.dim or (default.dim if default.dim in dims else dims[0]))


def _refuse(heading: _Heading, choices: _Choices) -> None:
    """Raise the error of a result that does not apply in the setting, for its first quantity."""
    _fitting(heading.label, heading.quantities[0], choices)


def _cached_text(request: dict[str, str], make: Callable[[], str]) -> str:
    """Return what `make` returns, from the cache if neither this file nor what a derivation needs has changed."""
    from warptheory.core.cache import DERIVATION_ROOMS, cached_text

    return cached_text(request, (*DERIVATION_ROOMS, "cli/commands/derive.py"), make)


def _comment(latex: bool) -> str:
    return "% " if latex else ""
