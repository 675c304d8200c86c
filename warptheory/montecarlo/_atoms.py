"""The random values of a statistic, as a row holds them: of which field, and at which pixel."""

from functools import lru_cache

import sympy as sp

from warptheory.core.errors import ArgumentError
from warptheory.montecarlo._extent import Values
from warptheory.symbolic import Field, GaussianField, SplattedField, WarpedField
from warptheory.symbolic.composition import ComposedValue, SlopeValue
from warptheory.symbolic.input_fields import PixelValue
from warptheory.symbolic.moved_fields import SampledValue, SplatValue
from warptheory.symbolic.values import Index, RandomAtom


def is_slope(atom: RandomAtom) -> bool:
    """Return whether a value is a derivative, which the mean of its input does not add to."""
    return isinstance(atom, SlopeValue) or any(getattr(atom, "orders", ()))


def field_of(atom: RandomAtom) -> Field:
    """Return the field that a value belongs to, without its pixel.

    Args:
        atom: the value.

    Raises:
        ArgumentError: a value of no field that can be drawn.
    """
    if isinstance(atom, PixelValue):
        return atom.field
    if isinstance(atom, SplatValue):
        return SplattedField(atom.field, atom.site.offsets, atom.site.kernel, atom.name)
    if isinstance(atom, SampledValue):
        return WarpedField(atom.field, atom.site.offsets, atom.site.kernel, atom.orders, atom.name, atom.knot)
    if isinstance(atom, ComposedValue | SlopeValue):
        return atom.whole
    raise ArgumentError("statistic", expected="values of input, warped and splatted fields", received=str(atom))


def axes_of(atom: PixelValue) -> int:
    """Return the number of axes of a value's field: its covariance's, where that is known, else of its position."""
    covariance = atom.field.covariance if isinstance(atom.field, GaussianField) else None
    return len(atom.index) if covariance is None else covariance.dim


def index_symbols(atom: RandomAtom) -> set[sp.Symbol]:
    """Return the symbols of a position: of pixels where they are integers, else of points, which need a number."""
    index = atom.index if isinstance(atom, PixelValue) else atom.site.index
    return {symbol for coordinate in index for symbol in coordinate.free_symbols}


def shift_of(atom: RandomAtom, dim: int, values: Values) -> tuple[int, ...]:
    """Return the pixel of a value, or that below its point, with every symbolic pixel at the origin.

    Args:
        atom: the value.
        dim: number of axes.
        values: a number for every symbol, by name.
    """
    index = atom.index if isinstance(atom, PixelValue) else atom.site.index
    shift = _floored(index, tuple(values.items()))
    return shift if len(shift) == dim else shift + (0,) * (dim - len(shift))


@lru_cache(maxsize=1024)
def _floored(index: Index, values: tuple[tuple[str, float], ...]) -> tuple[int, ...]:
    numbers = dict(values)
    known = {symbol: 0 if symbol.is_integer else numbers[symbol.name] for part in index for symbol in part.free_symbols}
    return tuple(int(sp.floor(part.subs(known))) for part in index)
