"""Text for terminals and pages: characters that control them, or hide, are written as escapes."""

import unicodedata

# Controls, invisible format marks such as those that turn the direction of writing, halves of characters, separators.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def printable(text: str, keep: str = "\n\t") -> str:
    """Return a text in which no character controls a terminal or hides: they become escapes, as in Python's source.

    Args:
        text: any text, such as a name that somebody else chose.
        keep: characters that stay.
    """
    return text if text.isprintable() else "".join(_shown(character, keep) for character in text)


def one_line(text: str) -> str:
    """Return a text as one line, in which no character controls a terminal."""
    return printable(" ".join(filter(None, map(str.strip, text.split("\n")))), keep="")


def _shown(character: str, keep: str) -> str:
    if character in keep or unicodedata.category(character) not in _HIDDEN:
        return character
    return character.encode("unicode_escape").decode("ascii")
