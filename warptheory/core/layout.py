"""Texts and formulas laid out to a width, such as that of a terminal: words are never broken.

A formula has two forms: lines, as on paper, and a single line that says the same. The first is taken where it fits.
Everything here is text already, so that what a cache holds is laid out without the algebra that wrote it.
"""

import re
import textwrap
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

DEFAULT_WIDTH = 80
_INDENT = "    "
_RAISED_LINES = 2  # of a form on paper that a single line with superscripts says as well
NO_BREAK = "\u00a0"  # a space at which no line ends
# A line may end at a space or behind a sign of multiplication, but not behind another sign, and not within an index.
_BREAK = re.compile(r"(?<=[ ·])(?<![+=…-] )(?![^\[\]]*\])")
# Where nothing else fits.
_BREAK_WITHIN = re.compile(r"(?<=\()")


def wrapped(text: str, width: int, first: str = "", rest: str | None = None) -> str:
    """Return a text in lines that words do not go beyond, but for words that are longer.

    Args:
        text: the text, of one paragraph.
        width: characters of a line.
        first: what stands before the first line.
        rest: what stands before the others; as many spaces as `first` is long by default.
    """
    indent = " " * len(first) if rest is None else rest
    filler = textwrap.TextWrapper(width, first, indent, break_long_words=False, break_on_hyphens=False)
    lines = filler.wrap(text)
    return "\n".join(lines).replace(NO_BREAK, " ") or first


@dataclass(frozen=True)
class FormulaText:
    """A formula as text.

    Attributes:
        lines: its form on paper, of one line or several.
        baseline: number of the line, from 0, on which a sign of equality stands.
        linear: its form in a single line.
    """

    lines: tuple[str, ...]
    baseline: int
    linear: str

    def laid_out(self, width: int, left: str = "", indent: str = _INDENT) -> str:
        """Return the formula in lines of at most a width, where its words let them.

        Args:
            width: characters of a line.
            left: what stands before it on its baseline, such as "Var y = ".
            indent: what stands before everything.
        """
        short = f"{indent}{left}{self.linear}".replace(NO_BREAK, " ")
        if len(self.lines) <= _RAISED_LINES and "^" not in short and _columns(short) <= width:
            return short
        beside = [left if number == self.baseline else " " * _columns(left) for number in range(len(self.lines))]
        lines = [f"{indent}{before}{line}".rstrip() for before, line in zip(beside, self.lines, strict=True)]
        if max(map(_columns, lines)) <= width:
            return "\n".join(lines)
        if left and max(map(_columns, self.lines)) <= width - len(indent) - len(_INDENT):
            before = "\n".join(_filled(left.rstrip(), width, indent))
            return f"{before}\n\n{self.laid_out(width, indent=indent + _INDENT)}"
        return "\n".join(_filled(f"{left}{self.linear}", width, indent))


@dataclass(frozen=True)
class StepText:
    """One step of a derivation as text.

    Attributes:
        name: what was done.
        reason: why it is allowed.
        formula: what results.
    """

    name: str
    reason: str
    formula: FormulaText


@dataclass(frozen=True)
class DerivationText:
    """A derivation as text, before it is laid out.

    Attributes:
        left: the statistic, the left-hand side.
        steps: the steps; the last one has the closed form.
        decimal: the closed form as a decimal number, where it is a fraction; else empty.
    """

    left: str
    steps: tuple[StepText, ...]
    decimal: str = ""

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "DerivationText":
        """Return the derivation of which `dataclasses.asdict` made a mapping, also if that has become JSON since."""
        steps = [
            StepText(
                step["name"],
                step["reason"],
                FormulaText(**{**step["formula"], "lines": tuple(step["formula"]["lines"])}),
            )
            for step in stored["steps"]
        ]
        return cls(stored["left"], tuple(steps), stored["decimal"])

    def closed_form(self, width: int) -> str:
        """Return the statistic and its closed form, in lines of a width."""
        formula = self.steps[-1].formula
        if self.decimal:
            return "\n".join(_filled(f"{self.left} = {formula.linear} = {self.decimal}", width, _INDENT))
        return formula.laid_out(width, f"{self.left} = ")

    def chain(self, width: int) -> str:
        """Return the steps, each with its reason and what results, in lines of a width."""
        blocks = []
        for number, step in enumerate(self.steps, start=1):
            reason = wrapped(f"{step.name}: {step.reason}", width, f"{number}. ")
            blocks += [reason, step.formula.laid_out(width, "= " if number > 1 else "")]
        return "\n\n".join(blocks)

    def laid_out(self, width: int = DEFAULT_WIDTH, *, steps: bool = True) -> str:
        """Return the closed form and, unless they are not wanted, the steps, in lines of a width."""
        return f"{self.closed_form(width)}\n\n{self.chain(width)}" if steps else self.closed_form(width)


def _filled(formula: str, width: int, indent: str) -> list[str]:
    """Return a linear formula in lines, those after the first indented further."""
    lines = [indent]
    for piece in _pieces(formula, width - len(indent + _INDENT)):
        if _columns(lines[-1] + piece.rstrip(" ")) > width and lines[-1].strip():
            lines.append(indent + _INDENT)
        lines[-1] += piece
    return [line.replace(NO_BREAK, " ").rstrip() for line in lines]


def _pieces(formula: str, room: int) -> Iterator[str]:
    """Yield the parts between which a line may end."""
    for piece in _BREAK.split(formula):
        yield from _BREAK_WITHIN.split(piece) if _columns(piece) > room else (piece,)


def _columns(text: str) -> int:
    """Return how many columns a text takes: marks over a letter take none."""
    return sum(not unicodedata.combining(character) for character in text)
