"""The one writer of formulas: SymPy's expressions in LaTeX, and LaTeX in MathML."""

import re
from html import escape
from typing import Any
from xml.etree import ElementTree

import sympy as sp
from latex2mathml.converter import convert
from sympy.printing.latex import LatexPrinter, accepted_latex_functions

from warptheory.core.mathml import check_mathml
from warptheory.core.notation import latex_notation


class _FormulaPrinter(LatexPrinter):  # type: ignore[misc]  # sympy has no types
    """SymPy's printer, with names as the theory writes them: E and P upright, ρ_keys, k̂, (x∘φ)[n]."""

    def _hprint_Function(self, name: str) -> str:
        base, _, index = name.partition("_")
        if index.startswith("{") and "\\" not in base:  # an index in LaTeX
            return f"{latex_notation(base)}_{index}"
        base = base.rstrip("'′")
        if base in _COMMANDS:
            return rf"\operatorname{{{base}}}"
        if base in accepted_latex_functions and "\\" not in name:
            return rf"\{name}" if base == name else latex_notation(name)
        is_latex = "\\" in name
        if not is_latex and (index or len(base) == 1 or not (base.isascii() and base.isalpha())):
            return latex_notation(name)
        return str(super()._hprint_Function(name))

    def _print_Symbol(self, symbol: sp.Symbol, style: str = "plain") -> str:
        name = symbol.name
        if name.isascii() and name.replace("_", "").isalnum() and not _is_long_word(name):
            return str(super()._print_Symbol(symbol, style=style))
        return name if name.startswith("{") else latex_notation(name)

    def _print_Indexed(self, value: sp.Indexed) -> str:
        base = self._print(value.base)
        if not base.endswith("}") or "_{" not in base:
            return str(super()._print_Indexed(value))
        return f"{base}[{','.join(map(self._print, value.indices))}]"  # a second index would read as one of the first

    def _print_IndexedBase(self, base: sp.IndexedBase) -> str:
        shown = self._print(base.label)
        return rf"\left({shown}\right)" if r"\circ " in shown else str(shown)


# Names that SymPy takes for commands of LaTeX, which they are, but of other meaning or with other arguments.
_COMMANDS = frozenset({"root", "frac", "sqrt", "re", "im", "arg"})


def _is_long_word(name: str) -> bool:
    """Whether a part of a symbol's name is a word, whose letters are no product."""
    base, _, index = name.partition("_")
    words = [word for word, least in ((base.rstrip("0123456789"), 3), (index, 2)) if len(word) >= least]
    return any(word.isalpha() and sp.latex(sp.Symbol(word)) == word for word in words)


def latex(form: Any) -> str:
    r"""Return a formula in LaTeX.

    Args:
        form: an expression of SymPy or of the algebra; or a statistic, whose own notation it is: `\operatorname{Var}…`.
    """
    own = getattr(form, "latex", None)
    return str(own()) if callable(own) else str(_FormulaPrinter().doprint(form))


def mathml(form: Any) -> str:
    """Return a formula as a MathML element of its own line, as browsers show it.

    Args:
        form: as in `latex`, or LaTeX itself; what cannot be converted is shown as it is written.
    """
    text = form if isinstance(form, str) else latex(form)
    try:
        root = ElementTree.fromstring(_converted(text))
        check_mathml(root)
    except Exception:  # the converter's errors have no class in common, and a name may hold anything
        return f'<math display="block"><mtext>{escape(text)}</mtext></math>'
    for element in root.iter("mo"):
        _mend(element)
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=False)


def _converted(text: str) -> str:
    """Return LaTeX in MathML; the converter does not escape, so that no character of markup reaches it."""
    pieces = (
        piece.translate(_ESCAPED) if piece.startswith(r"\text{") else piece.translate(_RELATIONS)
        for piece in _TEXT.split(text)
    )
    written = _BIG_OPERATOR.sub(r"\\\1\\limits", "".join(pieces))
    return str(convert(written, display="block")).replace(_NAMESPACE, "")


def _mend(operator: ElementTree.Element) -> None:
    """Make names and ∞ identifiers, around which there is no space; to the converter they are operators."""
    name = operator.text or ""
    if name == "∞" or (name.isascii() and name.isalpha()):
        operator.tag = "mi"
        if len(name) == 1 and name != "∞":  # a longer one is upright anyway
            operator.set("mathvariant", "normal")


_ESCAPED = str.maketrans({"<": "&lt;", ">": "&gt;"})
_RELATIONS = str.maketrans({"<": r"\lt ", ">": r"\gt "})
_TEXT = re.compile(r"(\\text\{[^{}]*\})")
_NAMESPACE = ' xmlns="http://www.w3.org/1998/Math/MathML"'  # which HTML knows
# Within brackets the converter sets limits beside sums, unless told otherwise.
_BIG_OPERATOR = re.compile(r"\\(sum|prod|max|min|sup|inf|lim)(?=\s*[_^])")
