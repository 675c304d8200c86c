"""Options that are given as NAME=VALUE, again and again."""

from warptheory.core.errors import ArgumentError


def assignments(option: str, texts: list[str] | None) -> dict[str, bool | int | float | str]:
    """Return options by name: numbers, true and false as such, all else as text.

    Args:
        option: name of the option, for errors.
        texts: what was given, NAME=VALUE each.

    Raises:
        ArgumentError: not NAME=VALUE, or a name that is there twice.
    """
    found: dict[str, bool | int | float | str] = {}
    for text in texts or ():
        written, equals, value = text.partition("=")
        name = written.replace("-", "_")
        if not (name and equals and value):
            raise ArgumentError(option, expected="NAME=VALUE, such as width=8", received=repr(text))
        if name in found:
            raise ArgumentError(option, expected="each name once", received=f"{name} twice")
        found[name] = _value(value)
    return found


def _value(text: str) -> bool | int | float | str:
    """Return a number or true or false where the text is one, else the text."""
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
