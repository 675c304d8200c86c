"""Where the glossary explains a symbol."""

import re
from functools import cache

from warptheory import results
from warptheory.results import GlossaryEntry


@cache
def targets() -> dict[GlossaryEntry, str]:
    """Return the target of each entry of the glossary; no two are alike, in small letters either."""
    found: dict[GlossaryEntry, str] = {}
    for entry in results.glossary():
        base = "symbol-" + (re.sub(r"[^a-z0-9]+", "-", entry.name.lower()).strip("-") or "sign")
        same = sum(re.fullmatch(rf"{re.escape(base)}(-\d+)?", target) is not None for target in found.values())
        found[entry] = f"{base}-{same + 1}" if same else base
    return found
