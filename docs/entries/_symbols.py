"""Where the glossary explains a symbol."""

import itertools
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
        numbered = (f"{base}-of-{number}" for number in itertools.count(2))
        found[entry] = next(target for target in itertools.chain([base], numbered) if target not in found.values())
    return found
