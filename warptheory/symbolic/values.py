"""Random variables inside expressions, and the positions they are read at."""

from collections.abc import Iterable
from functools import cached_property
from numbers import Integral
from typing import Any, Generic, TypeVar, overload

import sympy as sp

from warptheory.core.definition import identity
from warptheory.core.errors import ArgumentError
from warptheory.core.expressions import expression, real
from warptheory.symbolic._display import Displayed

Index = tuple[sp.Expr, ...]
_Ordered = TypeVar("_Ordered", bound=sp.Basic)

# The index of series of harmonics, in terms of which their coefficients are written, and the same as an integer.
SUMMED = (sp.Symbol("j", positive=True), sp.Symbol("j", integer=True, positive=True))


_Content = TypeVar("_Content", covariant=True)


class Argument(Generic[_Content]):
    """An attribute of a node or a random value: what it is made of, by its place there."""

    def __init__(self, place: int) -> None:
        self.place = place

    @overload
    def __get__(self, owner: None, kind: type) -> "Argument[_Content]": ...
    @overload
    def __get__(self, owner: Displayed, kind: type) -> _Content: ...
    def __get__(self, owner: Displayed | None, kind: type) -> Any:
        return self if owner is None else owner.part(self.place)


class RandomAtom(Displayed, sp.AtomicExpr):
    """A real random variable inside a sympy expression; equal data means the same variable."""

    data: tuple[Any, ...]

    is_real = True
    is_commutative = True

    def __new__(cls, *data: Any) -> "RandomAtom":
        """Make the variable that `data` identifies."""
        atom = super().__new__(cls)
        atom.data = data
        return atom

    def part(self, place: int) -> Any:
        """Return one of the data."""
        return self.data[place]

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """What identifies the variable, as text, by which variables are compared and put in order."""
        return tuple(map(identity, self.data))

    def _hashable_content(self) -> tuple[str, ...]:
        # sympy orders atoms by this content, so it has to be comparable: text.
        return self.texts

    def __getnewargs__(self) -> tuple[Any, ...]:
        return self.data

    def diff(self, *symbols: Any, **assumptions: Any) -> sp.Expr:
        """Refuse: sympy would take the value for a constant.

        Raises:
            ArgumentError: always; the field has the derivative in the offset.
        """
        raise ArgumentError(
            "expression", expected="a field to differentiate in its offset, such as y.diff(0)[n]", received=self
        )


def derivative_marks(orders: tuple[int, ...], side: str = "", *, latex: bool) -> str:
    """Return ∂ᵢ for each order of a derivative, with the mark of its side, to be printed before a name."""
    axes = [axis + 1 for axis, order in enumerate(orders) for _ in range(order)]
    return "".join(rf"\partial{side}_{{{axis}}} " if latex else f"∂{side}{axis}" for axis in axes)


def in_order(expressions: Iterable[_Ordered]) -> list[_Ordered]:
    """Return expressions in the order of their text; those of one text by what their random values are made of."""
    return sorted(
        expressions, key=lambda each: (str(each), sorted(" ".join(atom.texts) for atom in each.atoms(RandomAtom)))
    )


def as_index(index: Any) -> Index:
    """Return the pixel that one coordinate or a tuple of them names.

    Raises:
        ArgumentError: what is no whole number or expression.
    """
    coordinates = index if isinstance(index, tuple) else (index,)
    expressions = [_coordinate(i) for i in coordinates]
    if None in expressions:
        raise ArgumentError("index", expected="whole numbers, or symbols that stand for them", received=index)
    return tuple(sp.expand(expression) for expression in expressions)


def as_position(name: str, point: tuple[Any, ...], spacing: sp.Expr) -> Index:
    """Return a point as real coordinates counted in pixels.

    Args:
        name: the argument that it came by.
        point: a coordinate per axis, or one tuple of them, in units of length.
        spacing: distance of neighbouring pixels.

    Raises:
        ArgumentError: no coordinates, or what is not a real number or expression.
    """
    coordinates = point[0] if len(point) == 1 and isinstance(point[0], tuple) else point
    if not coordinates:
        raise ArgumentError(name, expected="a real coordinate per axis", received=point)
    return tuple(sp.expand(parameter(name, part) / spacing) for part in coordinates)


def _coordinate(value: Any) -> sp.Expr | None:
    """Return a coordinate of a pixel as an expression, None if it is not a whole number or a symbol for one."""
    if isinstance(value, bool) or not isinstance(value, sp.Expr | Integral):
        return None
    found = expression("index", value) if isinstance(value, Integral) else value
    is_whole = found.is_integer is not False and not found.atoms(sp.Float, RandomAtom)
    return found if is_whole and found.is_finite is not False and found is not sp.nan else None


def parameter(name: str, value: Any) -> sp.Expr:
    """Return a parameter as a real expression without random variables.

    Args:
        name: the argument that it came by.
        value: a number, a sympy expression, or text such as "1/2".

    Raises:
        ArgumentError: something else, or a number that is not real and finite.
    """
    found = real(name, value, without=(RandomAtom,))
    if found.free_symbols & set(SUMMED):
        raise ArgumentError(name, expected="symbols other than j, over which series are summed", received=value)
    return found
