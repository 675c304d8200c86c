"""What a kernel shows is short; what it is told apart by is its whole definition."""

import sympy as sp

from tests.cards import check_shows_itself, text_of
from warptheory import kernels
from warptheory.kernels import POSITION, Piece, PiecewiseKernel
from warptheory.kernels.sinc import Sinc
from warptheory.symbolic import IIDField, OffsetField, Variance, warp

HOSTILE = "<script>alert(1)</script>"


def box(width):
    """Return a kernel of one piece, of which only the pieces differ."""
    half = sp.Rational(width) / 2
    return PiecewiseKernel("box", (Piece(-half, half, sp.Integer(1) + 0 * POSITION),), -1, "test")


def test_kernels_of_one_name_are_told_apart():
    first, second = box("1/2"), box("1/4")
    assert repr(first) == repr(second) == "PiecewiseKernel('box', reproduces=-1)"
    assert str(first) != str(second)
    y, z = (warp(IIDField("x"), OffsetField("uniform", scale="1/2"), kernel)[0] for kernel in (first, second))
    assert y != z
    assert Variance(y).doit() != Variance(z).doit()


def test_a_hostile_name_is_escaped():
    """A kind of kernel of one's own may not check its name."""
    assert HOSTILE in text_of(check_shows_itself(Sinc(name=HOSTILE)))


def test_a_kernel_says_what_it_reads():
    shown = text_of(check_shows_itself(kernels.get("linear")))
    assert "-1 ≤ u < 1 pixels" in shown
    assert "straight lines" in shown
    assert "0.666667" in shown
    assert "all of the axis" in text_of(check_shows_itself(kernels.get("sinc")))
    assert "coefficients are read" in text_of(check_shows_itself(kernels.get("bspline3(prefilter=True)")))


def test_functionals_show_their_formulas():
    card = check_shows_itself(kernels.get("linear").functionals())
    assert len([each for each in card.iter() if each.tag.endswith("math")]) == 6
    assert repr(kernels.get("linear").functionals()) == "Functionals(rho_bar=2/3, delta_bar=2, kappa4=2/5)"
