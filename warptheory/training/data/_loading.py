"""How the entries of a catalogue are called: what all may be given, and options of their own."""

from collections.abc import Collection
from typing import Any

from warptheory.core.errors import ArgumentError


def refuse_unknown(name: str, options: dict[str, Any], known: Collection[str]) -> None:
    """Refuse options that an entry does not have.

    Args:
        name: name of the entry.
        options: what came, by name.
        known: names of the options that it has.

    Raises:
        ArgumentError: others among them; the message lists those that there are.
    """
    unknown = [option for option in options if option not in known]
    if unknown:
        expected = f"options of {name}, which are {', '.join(known)}" if known else f"no options, as {name} has none"
        received = ", ".join(repr(options[option]) for option in unknown)
        raise ArgumentError(", ".join(unknown), expected=expected, received=received)
