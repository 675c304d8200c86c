"""A derivation as text: the closed form first, then the steps that lead to it, laid out to a width.

A formula is written in two dimensions where that fits, else in a line, which is Python's but for Greek letters,
superscripts and the signs of sums, integrals and roots: σ²·(2/3 + Σ(…, j = 1 … ∞)).
"""

import re
from collections.abc import Sequence
from typing import Any, Protocol

import sympy as sp
from sympy.core.function import AppliedUndef
from sympy.printing.precedence import PRECEDENCE
from sympy.printing.pretty.pretty import PrettyPrinter
from sympy.printing.pretty.pretty_symbology import pretty_use_unicode
from sympy.printing.pretty.stringpict import prettyForm
from sympy.printing.str import StrPrinter

from warptheory.core.layout import DEFAULT_WIDTH, NO_BREAK, DerivationText, FormulaText, StepText
from warptheory.core.notation import text_notation

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
# Of f_1, of the first axis in ∂1y, and of the second layer in y2[n].
_INDEX = re.compile(
    r"(?<=[^\W\d_])_([0-9]+)(?!\w)|(?<=[∂⁻°])([0-9])(?=[^\W\d_]|∂)|(?<=\bd)([0-9])(?=[^\W\d_])|(?<=[^\W\d_])([0-9]+)(?=\[)"
)
_POWER = re.compile(r"\*\*(?:\((-?[0-9]+)\)|([0-9]+)(?![0-9.]))")
_PRODUCT = re.compile(r"(?<=[^\s_*])\*(?=[^\s*=])")


_FUNCTIONS = {
    "gamma": "Γ",
    "besselk": "K",
    "besseli": "I",
    "besselj": "J",
    "expint": "E",
    "polygamma": "ψ",
    "harmonic": "H",
    "Max": "max",
    "Min": "min",
}
_OF_AN_ORDER = frozenset({"besselk", "besseli", "besselj", "expint", "polygamma"})
_RELATIONS = {"==": "=", "!=": "≠", "<=": "≤", ">=": "≥"}


class WrittenStep(Protocol):
    """What is taken of a step."""

    @property
    def name(self) -> str:
        """What was done."""

    @property
    def reason(self) -> str:
        """Why it is allowed."""

    @property
    def expression(self) -> sp.Expr:
        """What results."""


class WrittenDerivation(Protocol):
    """What is taken of a derivation."""

    @property
    def statistic(self) -> str:
        """The statistic, in plain text."""

    @property
    def steps(self) -> Sequence[WrittenStep]:
        """The steps in order, the last one with the closed form."""


def derivation_text(derivation: WrittenDerivation, width: int = DEFAULT_WIDTH, *, steps: bool = True) -> str:
    """Return a derivation as text: the closed form with its left-hand side, then the steps.

    Args:
        derivation: the derivation.
        width: characters of a line; words and names that are longer go beyond.
        steps: whether the steps follow.
    """
    return written(derivation).laid_out(width, steps=steps)


def written(derivation: WrittenDerivation) -> DerivationText:
    """Return a derivation as text, to be laid out to any width."""
    steps = tuple(
        StepText(step.name, _typeset(step.reason), formula_text(step.expression)) for step in derivation.steps
    )
    closed = derivation.steps[-1].expression
    is_fraction = bool(closed.is_Rational and not closed.is_Integer)
    return DerivationText(
        _indexed(_typeset(derivation.statistic)), steps, f"{float(closed):.10g}" if is_fraction else ""
    )


def formula_text(expression: sp.Expr) -> FormulaText:
    """Return an expression as text in both forms."""
    was = pretty_use_unicode(True)  # or it is what the terminal can show
    try:
        form = _NamingPrinter({"use_unicode": True, "wrap_line": False})._print(expression)
    finally:
        pretty_use_unicode(was)
    lines = str(form.render(wrap_line=False)).splitlines() or [""]
    return FormulaText(tuple(line.rstrip() for line in lines), int(form.baseline), linear(expression))


class _NamingPrinter(PrettyPrinter):  # type: ignore[misc]  # sympy has no types
    """SymPy's printer in two dimensions, with symbols as the glossary writes them."""

    def _print_Symbol(self, expr: sp.Symbol, bold_name: bool = False) -> prettyForm:
        return prettyForm(text_notation(expr.name))

    def _print_Function(self, expr: Any, *arguments: Any, **options: Any) -> prettyForm:
        if expr.func.__name__ in _OF_AN_ORDER:  # K_ν(z) for besselk(ν, z)
            order, argument = expr.args
            return self._print(sp.Function(f"{_FUNCTIONS[expr.func.__name__]}_{order}")(argument))
        return super()._print_Function(expr, *arguments, **options)

    def _print_Indexed(self, expr: sp.Indexed) -> prettyForm:
        return prettyForm(*self._print(expr.base.label).right(self._print_seq(expr.indices, "[", "]", ",")))


def linear(expression: sp.Expr) -> str:
    """Return an expression in a single line; limits of sums and integrals are held together by `NO_BREAK`."""
    return _indexed(_typeset(str(_LinearPrinter().doprint(expression))))


class _LinearPrinter(StrPrinter):  # type: ignore[misc]  # sympy has no types
    """SymPy's printer of text, with the names and signs of mathematics."""

    def _print_Symbol(self, expr: sp.Symbol) -> str:
        return text_notation(expr.name)

    def _print_Dummy(self, expr: sp.Dummy) -> str:
        return self._print_Symbol(expr)

    def _print_Pi(self, expr: sp.Expr) -> str:
        return "π"

    def _print_Infinity(self, expr: sp.Expr) -> str:
        return "∞"

    def _print_NegativeInfinity(self, expr: sp.Expr) -> str:
        return "-∞"

    def _print_Abs(self, expr: Any) -> str:
        return f"|{self._print(expr.args[0])}|"

    def _print_Function(self, expr: Any) -> str:
        name = expr.func.__name__
        written = text_notation(name) if isinstance(expr, AppliedUndef) else _FUNCTIONS.get(name, name)
        if name in _OF_AN_ORDER:
            order = self.parenthesize(expr.args[0], PRECEDENCE["Atom"], strict=True)
            return f"{written}_{order}({self._print(expr.args[1])})"
        return f"{written}({self.stringify(expr.args, ', ')})"

    def _print_Exp1(self, expr: Any) -> str:
        return "e"

    def _print_EulerGamma(self, expr: Any) -> str:
        return "γ"

    def _print_factorial(self, expr: Any) -> str:
        return f"{self.parenthesize(expr.args[0], PRECEDENCE['Atom'], strict=True)}!"

    def _print_Relational(self, expr: Any) -> str:
        return f"{self._print(expr.lhs)} {_RELATIONS.get(expr.rel_op, expr.rel_op)} {self._print(expr.rhs)}"

    def _print_Pow(self, expr: Any, rational: bool = False) -> str:
        if abs(expr.exp) == sp.Rational(1, 2):
            base = self._print(expr.base)
            root = f"√{base}" if base.isalnum() else f"√({base})"
            return root if expr.exp > 0 else f"1/{root}"
        return str(super()._print_Pow(expr, rational))

    def _print_Sum(self, expr: Any) -> str:
        return self._with_limits("Σ", expr, "=")

    def _print_Product(self, expr: Any) -> str:
        return self._with_limits("Π", expr, "=")

    def _print_Integral(self, expr: Any) -> str:
        return self._with_limits("∫", expr, "=")

    def _with_limits(self, sign: str, expr: Any, equals: str) -> str:
        """Return f, then each variable with its limits, which stay on one line."""
        limits = [self._limit(limit, equals) for limit in expr.limits]
        return f"{sign}({', '.join([self._print(expr.function), *limits])})"

    def _limit(self, limit: Any, equals: str) -> str:
        variable, *bounds = map(self._print, limit)
        return f"{variable} {equals} {' … '.join(bounds)}".replace(" ", NO_BREAK) if bounds else variable

    def _print_Piecewise(self, expr: Any) -> str:
        cases = [(self._print(value), condition) for value, condition in expr.args]
        texts = [
            value if condition == sp.true else f"{value} if {self._print(condition)}" for value, condition in cases
        ]
        return f"{{{'; '.join(texts)}}}"


def _indexed(text: str) -> str:
    """Return text with the digits of indices below the line: y₁[n] for y1[n], ∂₁ for ∂1."""
    return _INDEX.sub(lambda index: index[index.lastindex or 0].translate(_SUBSCRIPTS), text)


def _typeset(text: str) -> str:
    """Return Python's powers and products with the signs of mathematics: y**2*x as y²·x."""
    raised = _POWER.sub(lambda power: (power[1] or power[2]).translate(_SUPERSCRIPTS), text).replace("**", "^")
    return _PRODUCT.sub("·", raised).replace("<=", "≤").replace(">=", "≥")
