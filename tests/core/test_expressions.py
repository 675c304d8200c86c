"""What a parameter of a field may be: exact where it has to be, and refused by its name."""

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import sympy as sp

from warptheory.core.errors import ArgumentError
from warptheory.core.expressions import expression, positive, rational, real
from warptheory.fields import White
from warptheory.symbolic import IIDField, OffsetField

X, P = sp.Symbol("x"), sp.Symbol("p", positive=True)
BOTH = [3, np.int64(3), "1/2", "0.1", " 3 / 4 ", X, P, sp.pi, sp.Rational(1, 3), sp.Float("0.1"), sp.sqrt(2) * X]
NEITHER = [
    math.nan,
    math.inf,
    -math.inf,
    "oo",
    "1/2/",
    "import os",
    "x",
    "sqrt(2)",
    "1/2 + 1",
    "2**3",
    "1_000",
    "0x10",
    "1/0",
    "1e400",
    "1e-400",
    "1e999999999",
    "٣",
    "",
    "1" * 101,
    10**400,
    Fraction(1, 10**400),
    Decimal("Infinity"),
    Decimal("1e999999999"),
    np.bool_(True),
    np.array(1.0),
    ["1"],
    {"x": "1"},
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
    assert real("a", value) == sp.sympify(value, rational=True)
    assert positive("a", value) == real("a", value)


@pytest.mark.parametrize(
    ("value", "exact"),
    [
        ("-1e-3", (-1, 1000)),
        ("+.5e1", (5, 1)),
        ("1.25/-2.5", (-1, 2)),
        ("1e300/1e299", (10, 1)),
        (Fraction(2, 6), (1, 3)),
        (Decimal("0.30"), (3, 10)),
        (np.int8(-3), (-3, 1)),
        (np.uint64(2**63), (2**63, 1)),
    ],
    ids=repr,
)
def test_numbers_are_exact(value, exact):
    assert real("a", value) == rational("a", value) == sp.Rational(*exact)
    assert real("a", value).is_Rational


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.longdouble])
def test_floats_of_numpy(kind):
    assert real("a", kind(0.1)) == sp.Float(float(kind(0.1)))
    assert rational("a", kind(0.5)) == sp.Rational(1, 2)


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
        assert str(caught.value).endswith(repr(value)) or len(repr(value)) > 200


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


@pytest.mark.parametrize(
    "value", [sp.Integer(10) ** 5000, sp.Integer(10) ** 400, sp.Float("1e400"), sp.Float("1e-400")]
)
def test_numbers_of_sympy_beyond_double_precision(value):
    for check in (expression, real, positive):
        with pytest.raises(ArgumentError, match="^a: expected "):
            check("a", value)


@pytest.mark.parametrize(
    "zero", [0, 0.0, sp.Integer(0), sp.Float(0.0), sp.Float("0e-400"), np.float32(0), "0"], ids=repr
)
def test_zero_is_a_number_whatever_it_is_made_of(zero):
    """SymPy's zero of double precision is not equal to its whole one."""
    assert expression("value", zero).is_zero
