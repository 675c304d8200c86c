"""Rewriting rules for offsets that a linear head computes from a field: values and offsets are dependent."""

from collections.abc import Iterator

import sympy as sp

from warptheory.symbolic._terms import Group
from warptheory.symbolic.input_fields import InputField
from warptheory.symbolic.offset_fields import OffsetField
from warptheory.symbolic.values import RandomAtom


def has_head(group: Group) -> bool:
    """Return whether offsets of a group's values, of any layer, are computed by a head."""
    return any(offsets.head is not None for atom in group.factors for offsets in offsets_of(atom))


def offsets_of(atom: RandomAtom) -> Iterator[OffsetField]:
    """Yield the offset fields of every layer below a value."""
    site = getattr(atom, "site", None)
    if site is not None:
        yield site.offsets
    field = getattr(atom, "field", None)
    while field is not None and not isinstance(field, InputField):
        yield field.offsets
        field = field.field


def moment(group: Group) -> sp.Expr:
    """Return the moment of a group whose offsets a head computes."""
    raise group.refusal("its offsets are computed from a field by a head; no rule for that yet")
