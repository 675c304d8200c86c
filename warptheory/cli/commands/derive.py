"""`warptheory derive`: closed forms, with their steps."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

import typer

from warptheory.cli import _contents as contents
from warptheory.cli import _names as names
from warptheory.cli import _options as options
from warptheory.core.errors import ArgumentError, WarpTheoryError
from warptheory.core.layout import DEFAULT_WIDTH, NO_BREAK, DerivationText, wrapped
from warptheory.core.text import matches, one_line

EXAMPLES = (
    "Examples:  warptheory derive A4 --offsets normal  ·  warptheory derive 'A*' --dim 1 --brief  ·  "
    "warptheory derive A7 --dim 2 --quantity 'covariance given f'  ·  warptheory derive A4 --latex"
)
CALLED = {"result": "patterns"}


def command(
    patterns: Annotated[
        list[str],
        typer.Argument(metavar="RESULT", help="Labels or patterns, such as A4 or 'A*'.", callback=names.label_patterns),
    ],
    quantity: Annotated[str | None, typer.Option(help="Which of its quantities; all of them by default.")] = None,
    kernel: options.KernelName = None,
    dim: options.Dim = None,
    offsets: options.OffsetsLaw = None,
    steps: Annotated[
        bool, typer.Option("--steps/--brief", help="Every step behind the closed forms, or the closed forms alone.")
    ] = True,
    latex: Annotated[
        bool, typer.Option("--latex", help="Print equations in LaTeX instead, each below a comment that names it.")
    ] = False,
    no_pager: Annotated[bool, typer.Option("--no-pager", help="Never show a page at a time.")] = False,
    out: options.Out = None,
) -> None:
    """Derive results: statement, assumptions, the closed forms, and every step that leads to them.

    Lines are as long as the terminal is wide; files have 80 columns. With --latex each quantity is a displayed
    equation, which compiles as it is in a document that has amsmath. Derivations are kept on disk until a source file
    changes (WARPTHEORY_CACHE: the folder, or off).
    """
    from warptheory.cli._console import print_paged
    from warptheory.cli._tables import terminal_width
    from warptheory.core.files import MARK, check_replaceable, output_folder, write_text

    chosen = _choose(patterns, quantity)
    folder, ending = None if out is None else output_folder(out), "tex" if latex else "txt"
    if folder is not None:
        for result, _ in chosen:
            check_replaceable(folder / f"derivation_{result.label}.{ending}")
    pages = _derive(chosen, _Choices(kernel, dim, offsets), required=frozenset(map(str.lower, patterns)))
    width = terminal_width()
    rule = "\n\n" if latex else f"\n\n{'─' * width}\n\n"
    print_paged(rule.join(_text(page, width, steps, latex) for page in pages), is_paged=not no_pager)
    for page in pages:
        if folder is not None and page.is_derived:
            path = folder / f"derivation_{page.heading.label}.{ending}"
            write_text(path, f"{_text(page, DEFAULT_WIDTH, steps, latex)}\n\n{'% ' if latex else ''}{MARK}\n")
            typer.echo(one_line(f"written: {path}"), err=True)


@dataclass(frozen=True)
class _Choices:
    """What the caller chose of a setting; None takes the default."""

    kernel: str | None
    dim: int | None
    offsets: str | None


@dataclass(frozen=True)
class _Heading:
    """What is printed of a result before its quantities.

    Attributes:
        label: its label.
        title: its title.
        meaning: what it means for someone who trains such a network.
        statement: what it says.
        assumptions: what it needs.
    """

    label: str
    title: str
    meaning: str
    statement: str
    assumptions: Sequence[str]


@dataclass(frozen=True)
class _Part:
    """What came of one quantity.

    Attributes:
        setting: kernel, number of axes and law of the offsets, in words.
        derivation: its derivation, of which `DerivationText.of` makes text; None if it does not apply in the setting.
        latex: its equation.
        reason: why it does not apply.
    """

    setting: str = ""
    derivation: Mapping[str, Any] | None = None
    latex: str = ""
    reason: str = ""


@dataclass(frozen=True)
class _Page:
    """What is printed of one result.

    Attributes:
        heading: its heading.
        parts: what came of its quantities, by their names.
    """

    heading: _Heading
    parts: Mapping[str, _Part]

    @property
    def is_derived(self) -> bool:
        """Whether anything could be derived in the setting."""
        return any(part.derivation is not None for part in self.parts.values())


# A result, and the names of the quantities that are derived.
_Chosen = tuple[contents.ListedResult, Sequence[str]]


def _choose(patterns: Sequence[str], quantity: str | None) -> list[_Chosen]:
    """Return the results that match one of the patterns, with the one quantity or with all of them.

    Raises:
        ArgumentError: a result that matches and lacks the quantity.
    """
    chosen = [result for result in contents.results() if matches(result.label, patterns)]
    if quantity is None:
        return [(result, [each.name for each in result.quantities]) for result in chosen]
    for result in chosen:
        if len(chosen) == 1:
            names.check_quantity(quantity, result.label)
        elif not _named(quantity, result):
            known = f"one of {', '.join(each.name for each in result.quantities)} for {result.label}"
            raise ArgumentError("quantity", expected=known, received=repr(quantity))
    return [(result, _named(quantity, result)) for result in chosen]


def _named(quantity: str, result: contents.ListedResult) -> list[str]:
    """Return the name of a quantity of a result by its name or label; none if there is none."""
    return [each.name for each in result.quantities if quantity in (each.name, each.label)]


def _derive(chosen: Sequence[_Chosen], choices: _Choices, required: frozenset[str]) -> list[_Page]:
    """Derive what was chosen; results that were asked by their own label have to apply in the setting."""
    from warptheory.cli._console import progress_bar

    pages = []
    with progress_bar("derive") as update:
        for number, (result, quantities) in enumerate(chosen):
            label, parts = result.label, {}
            for done, name in enumerate(quantities):
                update((number + done / len(quantities)) / len(chosen), f"{label} {name}")
                parts[name] = _part(label, name, choices, required=label.lower() in required)
            page = _Page(_heading(label), parts)
            if label.lower() in required and not page.is_derived:
                _fitting(label, quantities[0], choices)  # which raises the error that says why
            pages.append(page)
    return pages


def _text(page: _Page, width: int, steps: bool, latex: bool) -> str:
    """Return a page as text."""
    comment = "% " if latex else ""
    if not page.is_derived:
        reasons = "; ".join(dict.fromkeys(part.reason for part in page.parts.values()))
        skipped = f"{page.heading.label}: skipped, {reasons}"
        return f"% {skipped}" if latex else wrapped(skipped, width)
    skipped_ones = [
        f"{comment}{_capital(name)}: skipped, {part.reason}" for name, part in page.parts.items() if part.reason
    ]
    if latex:
        equations = [part.latex for part in page.parts.values() if part.latex]
        return "\n\n".join([*equations, *skipped_ones])
    told = [wrapped(text, width) for text in skipped_ones]
    return "\n\n".join([*_head(page.heading, width, brief=not steps), *_quantities(page, width, steps), *told])


def _head(heading: _Heading, width: int, *, brief: bool) -> Iterator[str]:
    """Yield title, meaning, statement and assumptions; of a brief text the title alone."""
    yield wrapped(f"{heading.label}. {heading.title}", width, rest="    ")
    if brief:
        return
    if heading.meaning:
        yield wrapped(heading.meaning, width)
    yield wrapped(heading.statement, width)
    yield "\n".join(["Assumptions:", *(wrapped(each, width, "  - ") for each in heading.assumptions)])


def _quantities(page: _Page, width: int, steps: bool) -> Iterator[str]:
    """Yield the closed forms, then the steps of each."""
    derived = {
        name: (part, DerivationText.of(part.derivation))
        for name, part in page.parts.items()
        if part.derivation is not None
    }
    for name, (part, derivation) in derived.items():
        setting = part.setting.replace(" = ", f"{NO_BREAK}={NO_BREAK}")
        yield wrapped(f"{_capital(name)}, {setting}:", width, rest="    ")
        yield derivation.closed_form(width)
    for name, (_, derivation) in derived.items() if steps else ():
        yield f"Steps, from {derivation.left}:" if len(derived) == 1 else wrapped(f"Steps of {name}:", width)
        yield derivation.chain(width)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _heading(label: str) -> _Heading:
    """Return the heading of a result."""

    def make() -> str:
        from warptheory import results

        result = results.get(label)
        return json.dumps(asdict(_Heading(label, result.title, result.meaning, result.statement, result.assumptions)))

    return _Heading(**json.loads(_cached_text({"derive": label, "heading": ""}, make)))


def _part(label: str, quantity: str, choices: _Choices, *, required: bool) -> _Part:
    """Derive a quantity, or look it up; a failure is passed on if it is required, and else the reason to skip it."""
    request = {"derive": label, "quantity": quantity}
    request |= {name: str(choice) for name, choice in asdict(choices).items() if choice is not None}
    try:
        text = _cached_text(request, lambda: json.dumps(asdict(_derive_part(label, quantity, choices))))
    except WarpTheoryError as error:
        if required:
            raise
        _check_choices(label, choices)  # a choice that no result can take is an error of the call
        return _Part(reason=" ".join(str(error).split()))
    return _Part(**json.loads(text))


def _derive_part(label: str, quantity: str, choices: _Choices) -> _Part:
    from warptheory import results
    from warptheory.symbolic.derivation_text import written

    _check_choices(label, choices)
    try:
        fitting = _fitting(label, quantity, choices)
    except ArgumentError as error:
        return _Part(reason=str(error))
    result = results.get(label)
    derivation = result.derive(quantity, **asdict(fitting))
    law = f", {result.setting(**asdict(fitting)).offsets} offsets" if result.offsets else ""
    setting = f"{fitting.kernel} kernel, d = {fitting.dim}{law}"
    equation = f"% {label}, {quantity}: {setting}\n\\[\n{derivation.equation}\n\\]"
    return _Part(setting, asdict(written(derivation)), equation)


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


def _cached_text(request: dict[str, str], make: Callable[[], str]) -> str:
    """Return what `make` returns, from the cache if neither this file nor what a derivation needs has changed."""
    from warptheory.core.cache import DERIVATION_ROOMS, cached_text

    return cached_text(request, (*DERIVATION_ROOMS, "cli/commands/derive.py"), make)
