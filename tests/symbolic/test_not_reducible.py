"""What the algebra refuses: every refusal, reached from outside, with its reason."""

import pytest
import sympy as sp

from warptheory.kernels import NoClosedFormError
from warptheory.symbolic import (
    Cov,
    Cumulant,
    E,
    IIDField,
    NotConverged,
    NotReducible,
    OffsetField,
    Var,
    Variance,
    WideOffsets,
    evaluate,
    splat,
    warp,
)

n, m = sp.symbols("n m", integer=True)
WIDTH = sp.Symbol("s", positive=True)
X, G = IIDField("x"), IIDField("g")
EPS, ETA = OffsetField("normal"), OffsetField("normal", name="eta")
SHARED = OffsetField("normal", name="theta", shared=True)
DISCRETE = OffsetField("rademacher", scale="1/2")
PLANE = OffsetField("normal", 2, correlation="1/2")
Y, Z = warp(X, EPS), splat(G, EPS)
STACK = warp(warp(X, EPS), ETA)

REFUSED = {
    "a function": (lambda: E(sp.sin(Y[0])), "it has to be a polynomial in the random variables"),
    "a quotient": (lambda: E(Y[0] / X[0]), "it has to be a polynomial in the random variables"),
    "a symbolic power": (lambda: E(Y[0] ** n), "it has to be a polynomial in the random variables"),
    "different axes": (lambda: E(Y[0] * X[0, 1]), r"its fields have \[1, 2\] axes"),
    "warp and splat": (lambda: E(Y[0] * splat(X, ETA)[0]), "it mixes warped and splatted values that share a field"),
    "warp and splat by one field": (lambda: E(Y[0] ** 2 * Z[0] ** 2), "it mixes warped and splatted values"),
    "two kinds of splats": (lambda: E(Z[0] * splat(G, SHARED)[0]), "it mixes splats by shared and by independent"),
    "a splat given offsets": (lambda: E(Z[0] ** 2 | EPS), "given the offsets a splat depends on all of them"),
    "a splat given fractions": (lambda: Var(Z[0] | EPS.fraction), "given the offsets a splat depends on all of them"),
    "two given pixels": (lambda: Cov(Y[0], Y[1], given=EPS), "conditioning on the offsets of several pixels"),
    "two given fractions": (lambda: E(Y[0] * Y[1] | EPS.fraction), "conditioning on the offsets of several pixels"),
    "unknown distance": (lambda: Cov(Y[n], Y[m]), "its pixels have to be a known number of pixels apart"),
    "unknown distance, shared": (lambda: E(warp(X, SHARED)[n] * warp(X, SHARED)[0]), "known number of pixels apart"),
    "unknown distance, splats": (lambda: Cov(Z[n], Z[m]), "known number of pixels apart"),
    "unknown distance, splat and pixel": (lambda: E(Z[n] * G[m]), "known number of pixels apart"),
    "unknown distance, value and pixel": (lambda: E(Y[n] * X[m]), "known number of pixels apart"),
    "unknown distance, pixels": (lambda: E(X[n] * X[m]), "known number of pixels apart"),
    "whole part not given": (lambda: E(Y[0] * X[1] | Y.offsets.fraction), "the whole part of the offset is not known"),
    "one name, two fields": (
        lambda: Cov(Y[0], warp(X, OffsetField("laplace", name=Y.offsets.name))[0]),
        "two of its offset fields have one name",
    ),
    "layers of different axes": (
        lambda: Var(warp(warp(X, OffsetField(name="e1")), OffsetField(name="e2", dim=2))[0, 0]),
        "different numbers of axes",
    ),
    "a scale that shrinks": (
        lambda: WideOffsets(Variance(warp(X, OffsetField("normal", scale=1 / WIDTH))[0]), WIDTH).doit(),
        "its law has to widen in proportion to s",
    ),
    "a centre that moves": (
        lambda: WideOffsets(Variance(warp(X, OffsetField("normal", scale=WIDTH) + WIDTH)[0]), WIDTH).doit(),
        "its law has to widen in proportion to s",
    ),
    "correlated axes, two pixels": (
        lambda: Cov(warp(X, PLANE)[0, 0], warp(X, PLANE)[0, 1]),
        "its pixels have offsets of their own, correlated along the axes; that needs correlation 0 or 1",
    ),
    "correlated axes, splat": (lambda: Var(splat(G, PLANE)[0, 0]), "correlated along the axes"),
    "left of a knot": (
        lambda: Var(warp(X, DISCRETE).diff(0, "left")[0] | DISCRETE),
        "a one-sided derivative needs the offset as a number",
    ),
    "central at a knot": (
        lambda: Var(warp(X, DISCRETE).diff(0, "central")[0] | DISCRETE.fraction),
        "a one-sided derivative needs the offset as a number",
    ),
    "limit of atoms": (
        lambda: WideOffsets(Variance(warp(X, OffsetField("rademacher", scale=WIDTH))[0]), WIDTH).doit(),
        "its law has to widen in proportion to s",
    ),
    "limit beside a pixel": (lambda: WideOffsets(Variance(Y[0] + X[0]), WIDTH).doit(), "its limit for s → ∞"),
    "limit of correlated axes": (lambda: WideOffsets(Variance(warp(X, PLANE)[0]), WIDTH).doit(), "its limit for"),
    "limit of one layer": (
        lambda: WideOffsets(Variance(warp(warp(X, EPS), OffsetField("uniform", name="e"))[0]), WIDTH).doit(),
        "its limit for s → ∞",
    ),
    "given a layer": (lambda: Var(STACK[0] | EPS), "given offsets of a stack; only the average"),
    "given a fraction of a layer": (lambda: E(STACK[0] | ETA.fraction), "given offsets of a stack; only the average"),
    "third moment of a stack": (lambda: E(STACK[0] ** 3), "only mean and covariance of one field are known"),
    "fourth cumulant of a stack": (lambda: Cumulant(*[STACK[0]] * 4), "only mean and covariance of one field"),
    "two stacks": (lambda: E(STACK[0] * warp(warp(X, EPS), SHARED)[0]), "offsets that are independent over pixels"),
    "a stack and its inner layer": (lambda: Cov(STACK[0], Y[0]), "only mean and covariance of one field are known"),
    "a stack and another kernel": (
        lambda: Cov(STACK[0], warp(warp(X, EPS), ETA, "keys")[0]),
        "only mean and covariance of one field are known",
    ),
    "unknown distance in a stack": (lambda: Cov(STACK[n], STACK[m]), "known number of pixels apart"),
    "a stack and pixels": (lambda: E(STACK[0] * X[0]), "it mixes a stack with pixels of its input"),
    "one offset field twice": (lambda: Var(warp(warp(X, EPS), EPS)[0]), "its layers share an offset field"),
    "derivative outside": (lambda: Var(STACK.diff()[0]), "a derivative inside a stack; only values are known"),
    "derivative inside": (lambda: Var(warp(Y.diff(), ETA)[0]), "a derivative inside a stack; only values are known"),
    "shared layer": (lambda: Var(warp(Y, SHARED)[0]), "the layers of a stack need offsets that are independent"),
    "correlated layer": (
        lambda: Var(warp(warp(X, OffsetField("normal", 2, name="e")), PLANE)[0]),
        "the layers of a stack need offsets that are independent over pixels and axes",
    ),
    "displaced layer": (lambda: Var(splat(Z, ETA + "1/3")[0]), "the layers of a stack need offsets that are"),
    "sinc layer": (lambda: Var(warp(Y, ETA, "sinc")[0]), "finitely many taps that sum to one, not sinc"),
    "prefiltered layer": (lambda: Var(splat(Z, ETA, "bspline3(prefilter=True)")[0]), "finitely many taps that sum"),
    "lanczos layer": (lambda: Var(warp(Y, ETA, "lanczos3")[0]), "finitely many taps that sum to one, not lanczos3"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_a_reason(case):
    call, reason = REFUSED[case]
    with pytest.raises(NotReducible, match=rf"^cannot reduce .*{reason}"):
        call()


@pytest.mark.parametrize(
    "make",
    [
        lambda y, z: Cov(y[0], y[1]),
        lambda y, z: Var(z[0]),
        lambda y, z: Cumulant(z[0], z[0], z[1]),
        lambda y, z: Cov(y.diff()[0], y.diff()[1]),
    ],
)
def test_sums_of_sinc_have_no_number(make):
    """Its tails fall as 1/u: refused by the closed form, or when a number is asked for."""
    with pytest.raises((NotConverged, NoClosedFormError), match="sinc"):
        evaluate(make(warp(X, DISCRETE, "sinc"), splat(X, DISCRETE, "sinc")), {"mu": 0.7, "sigma": 1.3, "kappa_3": 0.2})


@pytest.mark.parametrize("kernel", ["sinc", "bspline3(prefilter=True)"])
def test_neighbours_under_one_offset_need_finitely_many_taps(kernel):
    with pytest.raises(NoClosedFormError, match="which reads infinitely many pixels"):
        Cov(warp(X, SHARED, kernel)[0], warp(X, SHARED, kernel)[1])


def test_what_can_be_reduced_is_not_refused():
    """Controls: the nearest relatives of some of the above."""
    assert E(Y[n] * warp(IIDField("h"), ETA)[m]) == E(Y[0]) * E(X[0])
    assert Cov(Y[n], Y[n + 3]) == Cov(Y[0], Y[3])
    assert Cov(Y[0], X[0], given=EPS) is not None
    assert E(STACK[0] | OffsetField(name="other")) == E(X[0])
    assert Var(warp(X, PLANE)[0] | PLANE.fraction).free_symbols == {
        *PLANE.fraction.symbols,
        sp.Symbol("sigma", positive=True),
    }
