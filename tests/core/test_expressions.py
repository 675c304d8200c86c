"""What a parameter of a field may be: exact where it has to be, and refused by its name."""

import math

import numpy as np
import pytest
import sympy as sp

from warptheory.core.errors import ArgumentError
from warptheory.core.expressions import positive, real
from warptheory.fields import White
from warptheory.symbolic import IIDField, OffsetField

X, P = sp.Symbol("x"), sp.Symbol("p", positive=True)
BOTH = [3, np.int64(3), "1/2", "0.1", "x", X, P, sp.pi, sp.Rational(1, 3), sp.Float("0.1"), sp.sqrt(2) * X]
NEITHER = [
    math.nan,
    math.inf,
    -math.inf,
    "oo",
    "1/2/",
    "import os",
    True,
    None,
    (1, 2),
    1j,
    sp.I,
    sp.I * P,
    sp.oo,
    sp.oo * X,
    sp.zoo,
    sp.nan,
    X > 0,
    sp.Symbol("y", infinite=True),
]
NOT_POSITIVE = [0, -1, -0.5, 0.0, 1 - sp.sqrt(2), -P, sp.Symbol("z", zero=True)]


@pytest.mark.parametrize("value", BOTH, ids=repr)
def test_expressions_are_kept(value):
    assert real("a", value) == positive("a", value) == sp.sympify(value, rational=True)


def test_a_float_is_a_decimal_where_it_has_to_be_positive():
    assert positive("a", 0.1) == positive("a", np.float64(0.1)) == sp.Rational(1, 10)
    assert positive("a", 5e-324) == sp.Rational(5) / 10**324
    assert isinstance(real("a", 0.1), sp.Float)
    assert isinstance(real("a", -0.5), sp.Float)


@pytest.mark.parametrize("value", NEITHER, ids=repr)
def test_what_is_no_number(value):
    for check, kind in ((real, "real"), (positive, "positive")):
        with pytest.raises(ArgumentError, match=f"^a: expected a {kind} number or a sympy expression, got ") as caught:
            check("a", value)
        assert str(caught.value).endswith(repr(value))


@pytest.mark.parametrize("value", NOT_POSITIVE, ids=repr)
def test_what_is_not_positive(value):
    assert real("a", value) == value
    with pytest.raises(ArgumentError, match="^a: expected a positive number or a sympy expression, got "):
        positive("a", value)


def test_kinds_of_symbols_that_are_refused():
    assert real("a", X + 1, without=(sp.Function,)) == X + 1
    with pytest.raises(ArgumentError, match="^mean: expected a real number or a sympy expression, got x"):
        IIDField("z", mean=IIDField("x")[0])


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize("dim", [0, 4, 2.0, True, "2", None])
@pytest.mark.parametrize("kind", [White, OffsetField])
def test_the_number_of_axes(kind, dim):
    with pytest.raises(ArgumentError, match=f"^dim: expected 1, 2 or 3, got {dim}$"):
        kind(dim=dim)
