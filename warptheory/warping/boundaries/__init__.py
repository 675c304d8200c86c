"""Boundary rules, one file each: what a tap outside the image reads.

For an axis with the pixels a b c d:

    zeros       0 0 0 | a b c d | 0 0 0    scipy grid-constant   torch padding_mode="zeros"
    border      a a a | a b c d | d d d    scipy nearest         torch padding_mode="border"
    reflect     c b a | a b c d | d c b    scipy reflect         torch padding_mode="reflection", align_corners=False
    mirror      d c b | a b c d | c b a    scipy mirror          torch padding_mode="reflection", align_corners=True
    periodic    b c d | a b c d | a b c    scipy grid-wrap       (torch has none)

A rule is a function of its file's name, the index map: of integer positions and the size of an axis, it returns the
pixels that are read, and which of them exist, None if all do. Everything else follows from the map. The reference
takes any rule; an engine that does not leaves its calls to the reference, and `warping.backend` says so.

Names of other libraries that mean exactly one of these are aliases, such as "reflection"; a rule's file has its own.
"""

from functools import cache

from warptheory.core.catalogue import Catalogue
from warptheory.core.listing import public_names
from warptheory.warping.boundaries._boundary import Boundary, IndexMap

__all__ = ["Boundary", "get", "names"]
__dir__ = public_names(__name__)


_CATALOGUE = Catalogue[IndexMap](__name__, "boundary")
names = _CATALOGUE.names


def get(boundary: str) -> Boundary:
    """Return a boundary rule by its name or by an alias, such as "reflection" for "reflect".

    Raises:
        UnknownNameError: no rule of that name.
    """
    return _build(boundary) if isinstance(boundary, str) else _build.__wrapped__(boundary)


@cache
def _build(name: str) -> Boundary:
    resolved = _CATALOGUE.resolve(name)
    return Boundary(name, _CATALOGUE.get(name)) if resolved == name else _build(resolved)
