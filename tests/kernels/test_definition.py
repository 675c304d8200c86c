"""A mistyped kernel is refused when it is built, and published values come out."""

import pytest
import sympy as sp

from warptheory import kernels
from warptheory.core.errors import ArgumentError
from warptheory.kernels import FRACTION, FREQUENCY, POSITION, SHIFT, NoClosedFormError, Piece, PiecewiseKernel

ONE = sp.Integer(1)
ZERO = sp.Integer(0)


def test_linear_functionals_are_the_published_ones():
    """ρ = 1 − 2f(1−f), δ = 2, ρ̄ = 2/3, κ₄ = 2/5, and a_k is the cubic B-spline (4 − 6Δ² + 3|Δ|³)/6."""
    found = kernels.get("linear").functionals()
    assert sp.expand(found.rho - (1 - 2 * FRACTION * (1 - FRACTION))) == 0
    assert (found.delta, found.rho_bar, found.delta_bar, found.kappa4) == (2, sp.Rational(2, 3), 2, sp.Rational(2, 5))
    for shift in (sp.Rational(1, 3), sp.Rational(-1, 3)):
        assert found.autocorrelation.subs(SHIFT, shift) == (4 - 6 * shift**2 + 3 * abs(shift) ** 3) / 6
    for shift in (sp.Rational(4, 3), sp.Rational(-4, 3)):
        assert found.autocorrelation.subs(SHIFT, shift) == (2 - abs(shift)) ** 3 / 6


def test_spectra_are_powers_of_sinc():
    for name, power in (("nearest", 1), ("linear", 2)):
        spectrum = kernels.get(name).spectrum
        for frequency in (sp.Rational(1, 2), sp.Integer(3), sp.Integer(0)):
            assert float(spectrum.subs(FREQUENCY, frequency)) == pytest.approx(
                float(sp.sinc(frequency / 2) ** power), abs=1e-15
            )


def test_nearest_keeps_every_pixel_and_has_no_gradient():
    found = kernels.get("nearest").functionals()
    assert (found.rho, found.delta, found.rho_bar, found.kappa4) == (1, 0, 1, 1)


@pytest.mark.parametrize("slope", [sp.Rational(99, 100), sp.Rational(101, 100)])
def test_mistyped_coefficient_is_refused(slope):
    pieces = (Piece(-ONE, ZERO, 1 + slope * POSITION), Piece(ZERO, ONE, 1 - POSITION))
    with pytest.raises(
        ArgumentError, match="^reproduces: expected -1, the degree that the pieces of 'wrong' reproduce, got 1$"
    ):
        PiecewiseKernel("wrong", pieces, reproduces=1, source="")


def test_understated_degree_is_refused():
    pieces = kernels.get("linear").pieces
    with pytest.raises(ArgumentError, match="^reproduces: expected 1"):
        PiecewiseKernel("modest", pieces, reproduces=0, source="")


def test_gap_between_pieces_is_refused():
    pieces = (Piece(-ONE, -sp.Rational(1, 2), ONE), Piece(ZERO, sp.Rational(1, 2), ONE))
    with pytest.raises(ArgumentError, match="^pieces: expected adjacent pieces"):
        PiecewiseKernel("gap", pieces, reproduces=0, source="")


def test_a_kernel_that_is_no_polynomial():
    """cos²(πu/2) on [−1, 1): accepted as a partition of unity; what has no closed form here says so."""
    hann = PiecewiseKernel(
        "hann", (Piece(-ONE, ONE, sp.cos(sp.pi * POSITION / 2) ** 2),), reproduces=0, source="von Hann's window"
    )
    assert hann.tap_sum((0, 0)).at(sp.Rational(1, 2)) == sp.Rational(1, 2)
    with pytest.raises(NoClosedFormError, match="polynomial pieces"):
        hann.tap_sum((0, 0)).fourier_coefficient(sp.Symbol("j", integer=True, positive=True))


@pytest.mark.usefixtures("as_users_call")
def test_unknown_kernel_is_named():
    with pytest.raises(
        ArgumentError, match="^kernel: expected one of bspline3, .*, triangle, got 'cubic' .did you mean 'bicubic'"
    ):
        kernels.get("cubic")
