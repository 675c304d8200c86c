"""Placed quantities and curves show closed form and numbers; a result whose algebra finds nothing says that."""

import pytest

from tests.cards import check_shows_itself, text_of
from warptheory import results
from warptheory.core.errors import ArgumentError
from warptheory.montecarlo import verify
from warptheory.results import Curve, Result
from warptheory.symbolic import ExcessKurtosis, GaussianField, IIDField, OffsetField, Variance, warp

A3 = results.get("A3")


def test_a_placed_quantity_shows_its_value():
    placed = A3.place(sigma=2.0)
    shown = text_of(check_shows_itself(placed))
    assert f"{placed.theory:.6g}" in shown
    assert placed._repr_latex_().startswith(r"$\displaystyle ")


def test_a_curve_is_plotted():
    curve = Curve(A3, "variance", "sigma", (0.5, 1.0, 2.0), (1.0,))
    card = check_shows_itself(curve)
    assert list(card.iter("{http://www.w3.org/2000/svg}svg"))
    assert "3 values by the closed form; 1 are simulated" in text_of(card)
    assert repr(curve) == "Curve('A3', 'variance', sigma=0.5…2, kernel='linear', dim=1)"
    check_shows_itself(Curve(A3, "variance"))
    check_shows_itself(next(iter(curve.points(thin=5))))


def test_what_is_verified_shows_itself():
    claim = A3.claim()
    check_shows_itself(claim)
    assert "verified" in text_of(check_shows_itself(verify(claim)))


def hostile_result(stated):
    name = "<script>alert(1)</script>"
    result = Result("Z1", name, name, (name,), name)
    result.quantity(name)(stated)
    return result


def test_hostile_names_are_escaped():
    result = hostile_result(lambda setting: Variance(warp(IIDField("x"), OffsetField("normal"))[0]))
    assert text_of(check_shows_itself(result)).count("<script>") == 5
    check_shows_itself(result.get())


@pytest.mark.usefixtures("as_users_call")
def test_a_result_that_the_algebra_cannot_derive_says_so():
    """A Gaussian field beside a pixel is a sum over every pixel that it may read."""

    def stated(setting):
        x = GaussianField("x")
        return Variance(warp(x, OffsetField("normal"))[0] * x[0])

    assert "The algebra finds no closed form" in text_of(check_shows_itself(hostile_result(stated)))


@pytest.mark.usefixtures("as_users_call")
def test_names_of_fields_that_are_markup_are_refused():
    with pytest.raises(ArgumentError, match="^name: "):
        IIDField("<script>")


def test_fields_and_statistics_show_themselves():
    y = warp(IIDField("x", mean=0), OffsetField("uniform", scale="1/2"), "keys")
    for thing in (y, y.field, y.offsets, y.offsets.fraction, y.kernel, Variance(y[0]), ExcessKurtosis(y[0])):
        check_shows_itself(thing)
    assert "keys" in repr(y)
    assert repr(Variance(y[0])) == "Variance(expression=y[0])"
    step = Variance(y[0]).derive().steps[0]
    assert step.reason in text_of(check_shows_itself(step))
    assert repr(Variance(y[0]).derive()).startswith("Derivation('Var[y[0]]', steps=")
