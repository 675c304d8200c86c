"""What controls a terminal or hides becomes an escape; everything else stays as it is."""

import sys
import unicodedata

import pytest

from warptheory.core.errors import ArgumentError, WarpTheoryError
from warptheory.core.text import one_line, printable


def test_every_character_that_controls_or_hides_is_escaped():
    """By the categories of the Unicode database, for all characters that it names, and some that it does not."""
    hiding, others = [], []
    unnamed = range(0x32000, sys.maxunicode + 1, 17)  # of which 337 are named
    for character in map(chr, [*range(0x32000), *range(0xE0000, 0xE01F0), *unnamed, sys.maxunicode]):
        hides = (
            unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") and character not in "\n\t"
        )
        (hiding if hides else others).append(character)
    assert printable("".join(others)) == "".join(others)
    shown = printable("".join(hiding))
    assert set(shown).isdisjoint(hiding)
    assert shown.encode().decode("unicode_escape") == "".join(hiding)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("a\rb\x00\x7f\x9b", r"a\rb\x00\x7f\x9b"),
        ("\u202egnp\u2028", r"\u202egnp\u2028"),
        ("\ud800", r"\ud800"),
        ("σ² ≤ ½, 汉字, a\n\tb", "σ² ≤ ½, 汉字, a\n\tb"),
    ],
)
def test_examples(text, shown):
    assert printable(text) == shown


def test_errors_do_not_control_a_terminal():
    assert str(WarpTheoryError("a\x1b[31mb")) == r"a\x1b[31mb"
    assert str(ArgumentError("name", expected="a name", received="\x1b[2J")) == r"name: expected a name, got \x1b[2J"


def test_one_line():
    assert one_line("first\n  second\n\x1b[2J\n") == r"first second \x1b[2J"
