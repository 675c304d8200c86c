"""The theorems, one file each: state it, derive it, give a number, name the experiment that could refute it.

>>> import warptheory as wt
>>> wt.results.get("A3").expression
2*sigma**2/3
"""

from warptheory.core.listing import public_names
from warptheory.results._catalogue import ResultOrLabel, get, labels, match
from warptheory.results._check import check
from warptheory.results._claims import Case, ClaimPlan, Prepared
from warptheory.results._curves import UNIT_INPUT, Curve, CurvePoint, evenly_spaced, with_estimate, write_points
from warptheory.results._glossary import GlossaryEntry, glossary, meaning_of
from warptheory.results._power import not_planted, power
from warptheory.results._quantity import Quantity
from warptheory.results._ranges import DEFAULT_VALUES, Range
from warptheory.results._replay import replay
from warptheory.results._result import Result
from warptheory.results._run import Progress
from warptheory.results._setting import HALF_WIDTH, PIXEL, Setting
from warptheory.results._sweep import Choice, replay_sweep, sweep

__all__ = [
    "DEFAULT_VALUES",
    "HALF_WIDTH",
    "PIXEL",
    "UNIT_INPUT",
    "Case",
    "Choice",
    "ClaimPlan",
    "Curve",
    "CurvePoint",
    "GlossaryEntry",
    "Prepared",
    "Progress",
    "Quantity",
    "Range",
    "Result",
    "ResultOrLabel",
    "Setting",
    "check",
    "evenly_spaced",
    "get",
    "glossary",
    "labels",
    "match",
    "meaning_of",
    "not_planted",
    "power",
    "replay",
    "replay_sweep",
    "sweep",
    "with_estimate",
    "write_points",
]
__dir__ = public_names(__name__)
