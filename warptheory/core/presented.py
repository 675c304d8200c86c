"""Objects that show themselves: a line in a terminal, a card in a notebook.

A class says what its line holds between the brackets (`_parts`), and what its card shows (`_card`); of a data class
that says neither, both are its fields.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

from markupsafe import Markup

from warptheory.core import html
from warptheory.core.definition import attributes
from warptheory.core.text import one_line, shortened

LONGEST_LINE = 119
_LONGEST_PART = 60


class Presented:
    """An object with a `repr` of one short line, and with HTML for notebooks that says more."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # A data class would write a `repr` of all that it holds, unless it has one.
        cls.__repr__ = cls.__repr__  # type: ignore[method-assign]  # puts what is inherited into the class itself

    def __repr__(self) -> str:
        return one_line(shortened(f"{type(self).__name__}({', '.join(self._parts())})", LONGEST_LINE))

    def _repr_html_(self) -> str:
        return html.card(type(self).__name__, self._subtitle(), self._card())

    def _parts(self) -> Iterable[str]:
        """Return what the line holds between its brackets: here the fields that are not as they are by default."""
        return changed_fields(self)

    def _subtitle(self) -> str:
        """Return what follows the class in the title of the card: here nothing."""
        return ""

    def _card(self) -> Iterable[object]:
        """Return what the card shows, as HTML: here a table of the fields."""
        yield fields_table(self)


def brief(value: Any, most: int = _LONGEST_PART) -> str:
    """Return a value as a short text: numbers to six digits, arrays by their shape, all else as its `repr`, cut."""
    if isinstance(value, float):
        return f"{value:.6g}"
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:
        return f"{type(value).__name__} of shape {tuple(shape)}"
    return shortened(one_line(repr(value)), most)


def changed_fields(thing: Any) -> Iterator[str]:
    """Yield name and value of each field of a data class whose value is not the default."""
    for each in _shown_fields(thing):
        value = getattr(thing, each.name)
        if not _is_default(value, each.default) and not (_is_empty(value) and _has_default(each)):
            yield f"{each.name}={brief(value)}"


def fields_table(thing: Any) -> Markup:
    """Return a table of the fields of a data class: name, value, and what its documentation says of it."""
    return values_table(field_values(thing), attributes(type(thing)))


def values_table(values: Iterable[tuple[str, Any]], meanings: Mapping[str, str]) -> Markup:
    """Return a table of values: name, value, and meaning.

    Args:
        values: names with values.
        meanings: what there is to say of them, by name.
    """
    columns = [html.Column("", is_text=True), html.Column("value", is_text=True), html.Column("meaning", is_text=True)]
    rows = [(name, cell_of(value), meanings.get(name, "")) for name, value in values]
    return html.table(columns, rows) if rows else Markup("")


def cell_of(value: Any) -> str | Markup:
    """Return what a table shows of a value: a formula of an expression that is no integer, of others a short text."""
    import sympy as sp

    from warptheory.core.formulas import latex

    is_formula = isinstance(value, sp.Basic) and not isinstance(value, sp.Integer)
    return html.formula(latex(value)) if is_formula else brief(value)


def field_values(thing: Any) -> list[tuple[str, Any]]:
    """Return names and values of the fields of a data class; of what is none there are none."""
    return [(each.name, getattr(thing, each.name)) for each in _shown_fields(thing)]


def _shown_fields(thing: Any) -> list[Field[Any]]:
    return [each for each in fields(thing) if each.repr] if is_dataclass(thing) else []


def _has_default(each: Field[Any]) -> bool:
    return each.default is not MISSING or each.default_factory is not MISSING


def _is_empty(value: Any) -> bool:
    return isinstance(value, tuple | list | dict) and not value


def _is_default(value: Any, default: Any) -> bool:
    try:
        return value is default or bool(value == default)
    except (TypeError, ValueError):  # of arrays
        return False
