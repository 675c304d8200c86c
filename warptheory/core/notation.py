"""Notation as text writes it, in Unicode, and the same in LaTeX.

Text is what a reader of the source and of a terminal sees: "E (Wᵀg)[m]², d = 2". LaTeX follows from it, so that each
formula is written once.
"""

import re
import unicodedata
from functools import cache

from sympy.core.alphabets import greeks
from sympy.printing.pretty.pretty_symbology import pretty_symbol

_OPERATORS = frozenset({"sup", "inf", "max", "min", "lim", "log", "exp", "sin", "cos", "det"})
_UPRIGHT = frozenset({"E", "P", "Var", "Cov"})
_SYMBOLS = {
    "−": "-",
    "·": r"\cdot ",
    "×": r"\times ",
    "∘": r"\circ ",
    "…": r"\cdots ",
    "→": r"\to ",
    "∞": r"\infty ",
    "≤": r"\le ",
    "≥": r"\ge ",
    "≠": r"\ne ",
    "∂": r"\partial ",
    "∫": r"\int ",
    "√": r"\surd ",
    "‖": r"\Vert ",
    "|": r"\vert ",
    "′": "'",
    "°": r"^{\circ}",
    "ℓ": r"\ell ",
    **{special: f"\\{special}" for special in "%&#$"},
    "{": r"\{",
    "}": r"\}",
    "~": r"\sim ",
    "φ": r"\varphi ",  # sympy writes the symbol phi as \phi; the map t + ε(t) is the curly one
}
_BIG = {"Σ": r"\sum", "∏": r"\prod", "⊕": r"\bigoplus"}
_CAPITALS = frozenset({"Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Upsilon", "Phi", "Psi", "Omega"})
_LETTERS = frozenset(greeks) - {"omicron", "lamda"} | {"lambda", "ell"} | _CAPITALS  # those that LaTeX has commands for
_ACCENTS = {"\u0302": r"\hat", "\u0304": r"\bar", "\u0305": r"\bar", "\u0303": r"\tilde"}
_WORD = re.compile(r"[A-Za-zÀ-ÿ]+'*")
_WORDS = re.compile(r"(?:(?!Var |Cov )(?:[A-Za-zÀ-ÿ][a-zà-ÿ][a-zà-ÿ'’-]*|a(?= [a-z]{2}))(?: |$|(?=[,.;:)])))+")
_INDEX = re.compile(r"_(?:\(([^()]*)\)|\{([^{}]*)\}|([A-Za-z]{2,}\d*(?:\([^()]*\))?|[A-Za-z0-9]+(?:,\w+)*|.))")
_LIMIT = re.compile(r"lim \(([^()]*)\) of ")
_DERIVATIVE = re.compile(r"∂(\d+)")
_DIGITS = re.compile(r"\d+")
_POWER = re.compile(r"\^(?:\{([^{}]*)\}|(\([^()]*\)|\w))")


def latex_notation(text: str) -> str:
    """Return notation in LaTeX.

    Args:
        text: formulas in Unicode, such as "Var y[n]", "ρ̄" or "‖W‖₂²", and words between them; names of Greek letters
            stand for them. What is LaTeX already, told by a backslash, stays as it is.
    """
    if "\\" in text:
        return text
    return _written(unicodedata.normalize("NFC", text.strip())).replace("  ", " ").strip()


def text_notation(name: str) -> str:
    """Return the name of a symbol as text writes it: σ for sigma, y₁ for y1, ℓ_ε for ell_epsilon."""
    if not name.isascii() or not re.fullmatch(r"[A-Za-z]+\d*(_\w+)?", name):
        return name
    base, _, index = ("ℓ" if part == "ell" else str(pretty_symbol(part)) for part in name.partition("_"))
    short = str(pretty_symbol(name))
    return short if base in short and "_" not in short and len(index) <= 1 else base + (index and f"_{index}")


def _written(text: str) -> str:
    pieces: list[str] = []
    place = 0
    while place < len(text):
        piece, place = _next(text, place)
        pieces.append(piece)
    return "".join(pieces)


def _next(text: str, place: int) -> tuple[str, int]:
    """Return the LaTeX of what begins at a place, and the place behind it."""
    character = text[place]
    for pattern, template in ((_LIMIT, r"\lim_{{{}}} "), (_DERIVATIVE, r"\partial_{{{}}} ")):
        found = pattern.match(text, place)
        if found is not None:
            return template.format(_written(found[1]).strip()), found.end()
    accented = _accented(text, place)
    if accented is not None:
        return accented
    if character.isascii() and character.isalpha():
        return _letters(text, place)
    shift = _shift_of(character)
    if shift:
        return _shifted(text, place, shift)
    if character == "_":
        return _index(text, place)
    power = _POWER.match(text, place)
    if power is not None:
        raised = power[1] if power[2] is None else power[2]
        return f"^{{{_written(raised)}}}", power.end()
    if character == ",":
        return r",\; ", place + 1 + (text[place + 1 : place + 2] == " ")
    return _symbol(character), place + 1


def _symbol(character: str) -> str:
    if character in _SYMBOLS:
        return _SYMBOLS[character]
    return _BIG[character] + " " if character in _BIG else _greek(character) or character


def _letters(text: str, place: int) -> tuple[str, int]:
    """Return words, the name of an operator, or a letter."""
    words = _WORDS.match(text, place)
    found = _WORD.match(text, place)
    name = found.group() if found else text[place]
    if name in _UPRIGHT and text[place - 1 : place] != "_":
        end = place + len(name)
        is_apart = text[end : end + 1] == " "
        return rf"\operatorname{{{name}}}" + (r"\, " if is_apart else ""), end + is_apart
    if len(name.rstrip("'")) == 1 and (words is None or len(words.group().strip()) == 1):
        return _numbered(name, text, place + len(name))
    if name in _OPERATORS:
        return rf"\{name} ", place + len(name)
    if name in _LETTERS:
        return _numbered(rf"\{name}", text, place + len(name))
    if words is not None and len(words.group().strip()) > 1 and not _is_differential(words.group().strip()):
        return _text(words.group(), text[:place]), words.end()
    if len(name) > 1 and not _is_differential(name) and name.isalpha() and name.islower():
        return rf"\text{{{name}}}", place + len(name)
    return text[place], place + 1


def _numbered(name: str, text: str, end: int) -> tuple[str, int]:
    """Return a name with the digits that follow it as its index: y1 is y₁."""
    digits = _DIGITS.match(text, end)
    spaced = f"{name} " if name.startswith("\\") else name
    return (spaced, end) if digits is None else (f"{name}_{{{digits[0]}}}", digits.end())


def _is_differential(name: str) -> bool:
    return len(name) == 2 and name[0] == "d"


def _text(words: str, before: str) -> str:
    """Return words as text, with the spaces that stand around them."""
    lead = " " if before.endswith(" ") and not before.endswith(", ") else ""
    return rf"\text{{{lead}{words}}}"


def _accented(text: str, place: int) -> tuple[str, int] | None:
    """Return a letter under a hat, bar or tilde, in either form of Unicode; None if there is none."""
    for length in (2, 1):
        parts = unicodedata.normalize("NFD", text[place : place + length])
        if len(parts) == 2 and parts[1] in _ACCENTS:
            return f"{_ACCENTS[parts[1]]}{{{_symbol(parts[0]).strip()}}}", place + length
    return None


def _shift_of(character: str) -> str:
    """Return "super" or "sub" for characters that stand above or below the line, an empty text for others."""
    kind = unicodedata.decomposition(character)
    return "super" if kind.startswith("<super>") else "sub" if kind.startswith("<sub>") else ""


def _shifted(text: str, place: int, shift: str) -> tuple[str, int]:
    """Return a run of raised or lowered characters as an exponent or an index."""
    end = place
    while end < len(text) and _shift_of(text[end]) == shift:
        end += 1
    inner = "".join(unicodedata.normalize("NFKC", each) for each in text[place:end])
    mark = "^" if shift == "super" else "_"
    return rf"{mark}{{{_raised(inner)}}}", end


def _raised(inner: str) -> str:
    """Return an exponent; a lone T is the mark of a transposed matrix."""
    return r"\mathsf{T}" if inner == "T" else "".join(_symbol(each) for each in inner)


def _index(text: str, place: int) -> tuple[str, int]:
    found = _INDEX.match(text, place)
    if found is None:  # an underscore that ends the text
        return r"\_", place + 1
    inner = next(group for group in found.groups() if group is not None)
    if re.fullmatch(r"[A-Za-z]{2,}\d*(\(.*\))?", inner) and inner not in _LETTERS:
        return rf"_{{\text{{{inner}}}}}", found.end()
    return f"_{{{_written(inner).strip()}}}", found.end()


@cache
def _greek(character: str) -> str:
    """Return the command of a Greek letter, an empty text for other characters."""
    name = unicodedata.name(character, "")
    found = re.fullmatch(r"GREEK (SMALL|CAPITAL) LETTER (\w+)", name)
    if found is None:
        return ""
    letter = {"LAMDA": "lambda"}.get(found[2], found[2].lower())
    command = letter if found[1] == "SMALL" else letter.capitalize()
    return rf"\{command} " if command in _LETTERS else character
