"""`warptheory derive`: a closed form, with its steps."""

from typing import Annotated

import typer

from warptheory.cli import _options as options

EXAMPLES = (
    "Examples:  warptheory derive A4 --offsets normal  ·  warptheory derive A7 --dim 2 --quantity 'covariance given f'"
)


def command(
    result: Annotated[str, typer.Argument(help="Label of the result, such as A4.")],
    quantity: Annotated[str | None, typer.Option(help="Which of its quantities; all of them by default.")] = None,
    kernel: options.Kernel = None,
    dim: options.Dim = None,
    offsets: options.Offsets = None,
    latex: Annotated[bool, typer.Option("--latex", help="Print the closed form in LaTeX instead.")] = False,
    out: options.Out = None,
) -> None:
    """Derive a result: statement, assumptions, every step, and the closed form."""
    from warptheory import results
    from warptheory.core import records

    found = results.get(result)
    chosen = [found.quantity(quantity)] if quantity is not None else found.quantities
    texts = []
    for part in chosen:
        derivation = found.derive(part.name, kernel=kernel, dim=dim, offsets=offsets)
        texts.append(derivation.steps[-1].latex() if latex else f"{part.name.capitalize()}: {derivation}")
    if not latex:
        assumptions = "\n".join(f"  - {assumption}" for assumption in found.assumptions)
        texts.insert(0, f"{found.label}. {found.title}\n\n{found.statement}\n\nAssumptions:\n{assumptions}")
    text = "\n\n".join(texts)
    print(text)
    if out is not None:
        path = records.output_folder(out) / f"derivation_{found.label}.{'tex' if latex else 'txt'}"
        records.write_text(path, text + "\n")
        typer.echo(f"written: {path}", err=True)
