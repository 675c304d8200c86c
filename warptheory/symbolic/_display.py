"""Printing of the algebra's own nodes: each shows itself as an ordinary sympy expression."""

from collections.abc import Iterable, Mapping
from typing import Any

import sympy as sp
from sympy.printing.precedence import PRECEDENCE, precedence_traditional

from warptheory.core.expressions import expression
from warptheory.core.notation import latex_notation, text_notation


class Displayed:
    """A node that prints, in text and LaTeX alike, as the expression that `display` returns."""

    def part(self, place: int) -> Any:
        """Return what the node is made of, by its place."""
        raise NotImplementedError(type(self).__name__)

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the expression to print; `latex` tells whether names may hold LaTeX commands."""
        raise NotImplementedError(type(self).__name__)

    @property
    def precedence(self) -> int:
        """How strongly what is printed binds, by which SymPy's printers set brackets around it; a sum as a product."""
        return int(precedence_traditional(self.display(latex=False)))

    def subs(self, *replaced: Any, **hints: Any) -> sp.Expr:
        """Return the expression with others in place of some, as SymPy's `subs`, which would run text.

        Raises:
            ArgumentError: text among them.
        """
        given = replaced[0] if len(replaced) == 1 else replaced
        pairs = given.items() if isinstance(given, Mapping) else given
        for part in pairs if isinstance(pairs, Iterable) else (pairs,):
            for side in part if isinstance(part, tuple | list) else (part,):
                expression("subs", side)
        found: sp.Expr = super().subs(*replaced, **hints)  # type: ignore[misc]  # of the class that it is mixed into
        return found

    def _sympystr(self, printer: Any) -> str:
        return str(printer._print(self.display(latex=False)))

    def _pretty(self, printer: Any) -> Any:
        return printer._print(self.display(latex=False))

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        shown = str(printer._print(self.display(latex=True)))
        if exp is None:
            return shown
        return rf"\left({shown}\right)^{{{exp}}}" if self.precedence < PRECEDENCE["Atom"] else rf"{{{shown}}}^{{{exp}}}"


def written(name: str, *, latex: bool) -> str:
    """Return the name of a symbol as it is written: ε₁, or its LaTeX, for epsilon_1."""
    return f"{{{latex_notation(name)}}}" if latex else text_notation(name)
