"""Wrong versions of a closed form: its whole sign, terms of its sums missing or of a wrong sign, wrong exponents.

A wrong exponent is planted so that it cannot be seen at the standard values: of s² one factor becomes the number that s
has there, and s becomes s² over that number. Only at another point it differs.
"""

import functools
import itertools
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import sympy as sp

from warptheory import symbolic
from warptheory.core.errors import WarpTheoryError


@dataclass(frozen=True)
class PlantedError:
    """A closed form that has been made wrong.

    Attributes:
        kind: what was done to it: "scaled", "whole flipped", "term dropped", "sign flipped", "wrong exponent".
        term: the term, or power of a symbol, that it was done to, as text; empty for the whole.
        value: the number that it gives then.
    """

    kind: str
    term: str
    value: float


@dataclass(frozen=True)
class Planted:
    """A closed form's number, and those of its wrong versions but the scaled ones.

    Attributes:
        theory: the number.
        errors: the wrong versions that have a number.
        no_number: how many have none: what they say is NaN, infinite, complex, or cannot be computed.
        not_tried: how many were not tried, as the formula has more than are asked for.
    """

    theory: float
    errors: tuple[PlantedError, ...]
    no_number: int = 0
    not_tried: int = 0


# What is done to a term: the kind of error, and the factor that the term gets.
_CHANGES = (("term dropped", 0), ("sign flipped", -1))

# The way to a term: which argument of the whole, which one of that, and so on; the last is the term's in its sum.
TermPath = tuple[int, ...]


def plant(form: sp.Expr, values: Mapping[str, float], theory: float, most: int) -> Planted:
    """Return what a closed form says once it is made wrong in each of many ways, one at a time.

    Args:
        form: the closed form.
        values: a number for every symbol, by name.
        theory: the number that the form gives.
        most: how many terms are tried; where there are more, as many, spread evenly over the formula.
    """
    places = list(_terms(form))
    tried = _spread(places, most)
    weighted = _Weighted.of(form, tried, values, theory)
    errors, no_number = [PlantedError("whole flipped", "", -theory)], 0
    for place, (kind, factor) in itertools.product(tried, _CHANGES):
        term = _part(form, place)
        number = weighted.number(place, factor)
        if number is None:
            number = _number(_replaced(form, place, factor * term), values)
        no_number += number is None
        errors += [] if number is None else [PlantedError(kind, str(term), number)]
    return Planted(theory, tuple(errors), no_number, len(_CHANGES) * (len(places) - len(tried)))


@dataclass(frozen=True)
class _Weighted:
    """A closed form in which each of some terms has a weight of its own, 1 as it stands.

    It is compiled once, for all wrong versions. Those that it has no number for may have one when they are written out,
    as where a term that is missing is infinite.

    Attributes:
        form: the closed form with weights; None where they change what it says, or cannot be put in.
        weights: the weight of each term, by the term's place.
        values: a number for every symbol, by name, 1 for the weights.
    """

    form: sp.Expr | None
    weights: Mapping[TermPath, sp.Symbol]
    values: Mapping[str, float]

    @classmethod
    def of(cls, form: sp.Expr, places: Sequence[TermPath], values: Mapping[str, float], theory: float) -> "_Weighted":
        """Return a closed form with weights on its terms in some places; `theory` is its number without them."""
        weights = {place: sp.Symbol(f"weight of term {number}", real=True) for number, place in enumerate(places)}
        everything = {**values, **{weight.name: 1.0 for weight in weights.values()}}
        try:
            found = cast("sp.Expr", _with_weights(form, (), weights))
        except (WarpTheoryError, ArithmeticError, TypeError, ValueError):
            return cls(None, weights, everything)
        number = _number(found, everything)
        same = number is not None and math.isclose(number, theory, rel_tol=_ROUNDING)
        return cls(found if same else None, weights, everything)

    def number(self, place: TermPath, factor: int) -> float | None:
        """Return what the form says with a factor on the term in a place, None where that is not known."""
        if self.form is None:
            return None
        return _number(self.form, {**self.values, self.weights[place].name: float(factor)})


_ROUNDING = 1e-9


def _with_weights(form: sp.Basic, place: TermPath, weights: Mapping[TermPath, sp.Symbol]) -> sp.Basic:
    """Return a part of a formula, which is in a place, with its weighted terms."""
    below = {part[len(place)] for part in weights if len(part) > len(place) and part[: len(place)] == place}
    arguments = [
        _with_weights(part, (*place, number), weights) if number in below else part
        for number, part in enumerate(form.args)
    ]
    rebuilt = form.func(*arguments) if below else form
    return weights[place] * rebuilt if place in weights else rebuilt


def plant_exponents(
    form: sp.Expr, values: Mapping[str, float], standard: Mapping[str, float], theory: float, most: int
) -> Planted:
    """Return what a closed form says once one power of one symbol in it has a wrong exponent, or all of them have.

    Args:
        form: the closed form.
        values: a number for every symbol, by name.
        standard: their standard values, at which the wrong versions say what the form does; symbols that have them
            here as well are left out.
        theory: the number that the form gives.
        most: how many powers of each symbol are tried; where there are more, as many, spread evenly over the formula.
    """
    errors: list[PlantedError] = []
    no_number = not_tried = 0
    moved = [name for name, known in standard.items() if known and values[name] != known]
    for name in moved:
        # Wherever the symbol occurs, also within what a formula computes by an algorithm.
        twice = _number(form, {**values, name: values[name] ** 2 / standard[name]})
        found = [(name, twice)]
        for symbol in (symbol for symbol in form.free_symbols if symbol.name == name):
            places = list(_powers(form, symbol))
            tried = _spread(places, most)
            not_tried += len(places) - len(tried)
            for place in tried:
                power = _part(form, place)
                wrong = _replaced(form, place, _of_wrong_exponent(power, symbol, sp.Float(standard[name])))
                found.append((str(power), _number(wrong, values)))
        no_number += sum(number is None for _, number in found)
        errors += [PlantedError("wrong exponent", term, number) for term, number in found if number is not None]
    return Planted(theory, tuple(errors), no_number, not_tried)


def _powers(form: sp.Basic, symbol: sp.Symbol) -> Iterator[TermPath]:
    """Yield the place of every power of a symbol, also of the first, but where the symbol is bound."""
    if form == symbol or (isinstance(form, sp.Pow) and form.base == symbol):
        yield ()
        return
    if symbol not in form.free_symbols:
        return
    for number, part in enumerate(form.args):
        for place in _powers(part, symbol):
            yield (number, *place)


def _of_wrong_exponent(power: sp.Basic, symbol: sp.Symbol, known: sp.Float) -> sp.Expr:
    """Return a power with an exponent that is one less, or one more for the first, and the same number at `known`."""
    return power * known / symbol if isinstance(power, sp.Pow) else power * symbol / known


def _terms(form: sp.Basic) -> Iterator[TermPath]:
    """Yield the place of every term of every sum: of bases, exponents, integrands, summands, and arguments."""
    for number, part in enumerate(form.args):
        if isinstance(form, sp.Add):
            yield (number,)
        for place in _terms(part):
            yield (number, *place)


def _spread(places: Sequence[TermPath], most: int) -> Sequence[TermPath]:
    if len(places) <= most:
        return places
    return [places[number * len(places) // most] for number in range(most)]


def _part(form: sp.Expr, place: TermPath) -> sp.Expr:
    return functools.reduce(lambda part, number: part.args[number], place, form)


def _replaced(form: sp.Basic, place: TermPath, new: sp.Basic) -> sp.Basic:
    """Return the form with another part at a place."""
    if not place:
        return new
    first, *rest = place
    arguments = list(form.args)
    arguments[first] = _replaced(arguments[first], tuple(rest), new)
    return form.func(*arguments)


def _number(form: sp.Basic, values: Mapping[str, float]) -> float | None:
    """Return the number of a formula that need not make sense, None where it has none."""
    if form.has(sp.zoo, sp.nan):
        return None
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
            found = symbolic.evaluate(form, values)
    except (WarpTheoryError, ArithmeticError, TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None
