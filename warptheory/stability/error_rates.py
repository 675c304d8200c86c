"""How often each condition of a diagnosis was right on the development set.

`error_rates.json` beside this module holds the counts; `python -m warptheory.paper.error_rates` writes it from the
committed record.
"""

from functools import cache
from pathlib import Path
from typing import Any

from warptheory.core import records

PATH = Path(__file__).with_suffix(".json")


@cache
def _counts() -> dict[str, Any]:
    return dict(records.read_json(PATH))


def how_often_right(condition: str) -> str:
    """Return how many of the alarms that a condition raised were right, such as "72 of 89"; empty if unknown.

    Args:
        condition: its name.
    """
    known = _counts().get(condition)
    if not isinstance(known, dict):
        return ""
    return f"{known['right']} of {known['raised']}"
