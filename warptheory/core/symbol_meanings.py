"""Which of several explanations a symbol has."""

import re
from collections.abc import Mapping
from typing import TypeVar

_Explanation = TypeVar("_Explanation")

_OTHER_AXIS = re.compile(r"_[23]$")


def explanation(name: str, own: Mapping[str, _Explanation], shared: Mapping[str, _Explanation]) -> _Explanation | None:
    """Return what explains a symbol in a result: what the result says itself, before what all results share.

    What is said of "f_1", which belongs to the first axis, explains "f_2" and "f_3" too, unless these have their own.

    Args:
        name: the symbol's name, such as "sigma".
        own: what the result says, by the names of symbols.
        shared: what all results share, likewise.
    """
    names = (name, _OTHER_AXIS.sub("_1", name))
    return next((said[each] for said in (own, shared) for each in names if each in said), None)
