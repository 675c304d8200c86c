"""Where a quantity is checked: a standard value of each symbol, and the range from which random points are drawn.

A formula that is checked at one point is not checked: at s = 0.3 the wrong 0.3·s equals s². Each quantity is therefore
judged at random points of its ranges as well. The points of a run are evenly spread: along every symbol's range the
second lies half the range from the first, so that one of them is at least a quarter away from any value.
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal

from warptheory.core.errors import ArgumentError
from warptheory.core.streams import Stream
from warptheory.results._setting import Setting

POINTS = 2  # random points of a quantity in a run
_MOST_TRIES = 256


class Range(float):
    """The standard value of a symbol, a float, with the range from which others are drawn.

    Attributes:
        low: the smallest value that is drawn, in the symbol's unit.
        high: the largest.
        scale: whether they are spread evenly ("linear"), or evenly in the logarithm ("log").
        step: what lies between values that can be drawn, such as 1 for counts; 0 where all can.
        kind: what the symbol may stand for where it is in no closed form, which would tell: "positive", "real" for what
            may have either sign, or "fraction".

    Raises:
        ArgumentError: a range that is empty or infinite, that reaches zero in the logarithm, an unknown scale, or a
            step that does not fit.
    """

    low: float
    high: float
    scale: Literal["linear", "log"]
    step: float
    kind: Literal["positive", "real", "fraction"]

    def __new__(
        cls,
        standard: float,
        low: float,
        high: float,
        scale: Literal["linear", "log"] = "linear",
        step: float = 0.0,
        kind: Literal["positive", "real", "fraction"] = "positive",
    ) -> "Range":
        """Return the range around a standard value."""
        if not (math.isfinite(standard) and math.isfinite(low) and math.isfinite(high) and low <= high):
            raise ArgumentError("low", expected="a finite number up to high", received=f"{low} to {high}")
        if scale not in ("linear", "log"):
            raise ArgumentError("scale", expected="linear or log", received=repr(scale))
        if scale == "log" and low <= 0:
            raise ArgumentError("low", expected="a number > 0 for a logarithm", received=low)
        if step and (step < 0 or scale == "log"):
            raise ArgumentError("step", expected="a number > 0, of a linear range", received=step)
        new = super().__new__(cls, standard)
        new.low, new.high, new.scale, new.step, new.kind = float(low), float(high), scale, float(step), kind
        return new

    def __reduce__(self) -> tuple[Any, ...]:
        return Range, (float(self), self.low, self.high, self.scale, self.step, self.kind)

    def at(self, share: float) -> float:
        """Return the value below which a share in [0, 1) of the range lies."""
        if self.step:
            return self.low + self.step * math.floor(share * (round((self.high - self.low) / self.step) + 1))
        if self.scale == "log":
            return float(self.low * (self.high / self.low) ** share)
        return self.low + share * (self.high - self.low)


def whole(standard: int, low: int, high: int) -> Range:
    """Return a range of whole numbers, both ends included."""
    return Range(float(standard), float(low), float(high), step=1.0)


def limit(value: float) -> Range:
    """Return the value at which a limit is checked: it stands for zero or infinity, and has no others beside it."""
    return Range(value, value, value)


# Where a claim is checked unless the caller or the result says otherwise: generic points, away from symmetries that
# could hide an error, and around them the ranges of random points. Offsets and fractions in pixels; the input has a
# mean, so that a lost mean shows.
DEFAULT_VALUES: Mapping[str, Range] = MappingProxyType(
    {
        "mu": Range(0.7, 0.3, 1.5, kind="real"),
        "sigma": Range(1.3, 0.6, 2.4, "log"),
        "s": Range(0.3, 0.12, 0.6, "log"),
        "a": Range(0.35, 0.15, 0.6, "log"),
        "b": Range(0.2, 0.08, 0.5, "log"),
        "c": Range(0.3, 0.05, 0.95, kind="real"),
        "r": Range(0.4, 0.1, 0.9, kind="real"),
        "Delta": Range(0.3, 0.1, 0.9, kind="real"),
        "step": Range(0.2, 0.1, 0.4),
        "omega": Range(0.9, 0.5, 1.6, kind="real"),
        "sigma_g": Range(0.8, 0.4, 1.6, "log"),
        "f": Range(0.3, 0.05, 0.95, kind="fraction"),
        "f_1": Range(0.3, 0.05, 0.95, kind="fraction"),
        "f_2": Range(0.15, 0.05, 0.95, kind="fraction"),
        "f_3": Range(0.6, 0.05, 0.95, kind="fraction"),
    }
)


def wide_offsets(setting: Setting) -> Mapping[str, float]:
    """Return the half-width a of uniform offsets at which limits of wide offsets are checked.

    The exact values differ from the limit by a term of order (1/a)ᵈ, there far below the smallest effect.
    """
    return {"a": limit({1: 1280.0, 2: 48.0, 3: 8.0}[setting.dim])}


def random_point(
    ranges: Mapping[str, Range], seed: int, label: str, number: int, check: Callable[[Mapping[str, float]], None]
) -> dict[str, float]:
    """Return a value for each symbol that has a range.

    Args:
        ranges: the ranges, by the symbols' names.
        seed: seed of the run.
        label: what the point is for.
        number: which of the points, from 1.
        check: raises an ArgumentError at values at which the quantity is not checked; other values are drawn then.

    Raises:
        ArgumentError: no point of the ranges passes the check.
    """
    shift = (number - 1) / POINTS
    refused = ""
    for attempt in range(_MOST_TRIES):
        generator = Stream(seed, f"{label}, points", attempt).generator()
        shares = {name: generator.random() for name in sorted(ranges)}
        found = {name: range_.at((shares[name] + shift) % 1) for name, range_ in ranges.items()}
        try:
            check(found)
        except ArgumentError as error:
            refused = str(error)
            continue
        return found
    raise ArgumentError("values", expected=f"a range of {label} in which it can be checked", received=refused)
