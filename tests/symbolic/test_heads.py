"""Offsets that are linear functions of the input: against integrals over the joint normal law, without Stein."""

import pytest
import sympy as sp

from warptheory.core.errors import ArgumentError
from warptheory.fields import SquaredExponential
from warptheory.symbolic import (
    E,
    GaussianField,
    HeadTap,
    IIDField,
    LinearHead,
    NotReducible,
    OffsetField,
    compose,
    splat,
    warp,
)

X = IIDField("x", "normal", mean=0)
ALPHA = sp.Symbol("alpha", positive=True)


def test_a_head_says_what_it_is():
    head = LinearHead(X, {0: 1, 1: "1/2"})
    assert head.dim == 1
    assert head.components == ((HeadTap(0), HeadTap(1, sp.Rational(1, 2))),)
    assert head == LinearHead(X, [HeadTap(0), HeadTap(1, "1/2")]) != LinearHead(X, HeadTap(0))
    eps = OffsetField(head=head)
    assert (eps.dim, eps.scale) == (1, ALPHA)
    assert eps.parameter_symbols == {ALPHA, sp.Symbol("sigma", positive=True)}
    assert eps != OffsetField(head=LinearHead(X, {0: 1}))
    assert not eps.is_shared
    assert "LinearHead" in repr(head)
    assert "head=" in repr(eps)
    assert OffsetField(head=LinearHead(X, {(1, 0): 1}, {(0, 1): 1})).dim == 2


BAD = {
    "no field": (lambda: LinearHead(1, {0: 1}), "^field: expected an input field, got int"),
    "no components": (lambda: LinearHead(X), "^components: expected 1, 2 or 3 lists of taps"),
    "no taps": (lambda: LinearHead(X, {}), "^components: expected weights by their places"),
    "a number": (lambda: LinearHead(X, 3), "^components: expected weights by their places"),
    "zero": (lambda: LinearHead(X, {0: 0}), "^components: expected a weight other than zero"),
    "axes": (lambda: LinearHead(X, {(0, 1): 1}), "^components: expected places with 1 coordinates"),
    "between pixels": (lambda: LinearHead(X, {"1/2": 1}), "^components: expected taps on whole pixels"),
    "a slope": (lambda: LinearHead(X, HeadTap(0, orders=1)), "^components: expected no derivatives of independent"),
    "twice": (lambda: LinearHead(X, [HeadTap(0), HeadTap(0, 2)]), "^components: expected taps at different places"),
    "covariance": (
        lambda: LinearHead(GaussianField("x", SquaredExponential(dim=2)), {0: 1}),
        "^offsets: expected offsets along 2 axes",
    ),
    "no place": (lambda: HeadTap(()), "^place: expected a real coordinate per axis"),
    "a place by name": (lambda: HeadTap("here"), "^place: expected a real number"),
    "weight": (lambda: HeadTap(0, "heavy"), "^weight: expected a real number"),
    "orders": (lambda: HeadTap(0, orders=-1), "^orders: "),
    "orders of another number": (lambda: HeadTap(0, orders=(1, 0)), "^orders: expected 1 numbers"),
    "head": (lambda: OffsetField(head={0: 1}), "^head: expected a LinearHead"),
    "law beside": (lambda: OffsetField("uniform", head=LinearHead(X, {0: 1})), "^head: expected no law"),
    "dim beside": (lambda: OffsetField(dim=2, head=LinearHead(X, {0: 1})), "^head: expected no law"),
    "scale": (lambda: OffsetField(head=LinearHead(X, {0: 1}), scale=0), "^scale: expected a factor α other than zero"),
    "a law": (lambda: OffsetField(head=LinearHead(X, {0: 1})).axis_law, "^offsets: expected offsets with a law"),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()


OWN = OffsetField(head=LinearHead(X, {0: 1}))
SMOOTH = GaussianField("x", SquaredExponential(dim=1))
REFUSED = {
    "splats": (lambda: E(splat(X, OWN)[0] ** 2), "head"),
    "stacks": (lambda: E(warp(warp(X, OffsetField(name="eta")), OWN)[0] ** 2), "head"),
    "compositions of compositions": (
        lambda: E(compose(compose(SMOOTH, OffsetField(name="eta")), OffsetField(head=LinearHead(SMOOTH, {0: 1})))[0]),
        "head",
    ),
}


@pytest.mark.parametrize(("call", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_known_is_refused(call, message):
    with pytest.raises(NotReducible, match=message):
        call()
