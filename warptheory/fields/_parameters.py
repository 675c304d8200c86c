"""Parameters of fields: the number of axes, and the spread of offsets."""

import math
from typing import Any

from warptheory.core.checks import as_float
from warptheory.core.errors import ArgumentError
from warptheory.core.text import shown


def check_dim(dim: Any) -> None:
    """Refuse a number of axes that no field has.

    Raises:
        ArgumentError: not 1, 2 or 3.
    """
    if type(dim) is not int or dim not in (1, 2, 3):
        raise ArgumentError("dim", expected="1, 2 or 3", received=dim)


def check_spread(spread: Any) -> None:
    """Refuse what is no standard deviation of offsets.

    Raises:
        ArgumentError: negative, not finite, or no number.
    """
    if not 0 <= as_float(spread) < math.inf:
        raise ArgumentError("spread", expected="a finite deviation ≥ 0, in pixels", received=shown(spread))
