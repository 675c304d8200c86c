"""The cubic B-spline against scipy.interpolate, and its prefilter against scipy.ndimage."""

import numpy as np
import pytest
import sympy as sp
from scipy import interpolate, ndimage

from warptheory import kernels
from warptheory.core.errors import ArgumentError
from warptheory.kernels import FREQUENCY, SHIFT, CardinalSpline

ETA = kernels.get("bspline3(prefilter=True)")
POSITIONS = np.array([-2.3, -1.5, -1.0, -0.2, 0.0, 0.35, 0.99, 1.01, 1.9, 2.5])


def test_values_are_those_of_scipy():
    theirs = interpolate.BSpline.basis_element(np.arange(-2, 3), extrapolate=False)
    for order in (0, 1, 2):
        ours = [float(kernels.get("bspline3").value(sp.Float(u), order)) for u in POSITIONS]
        np.testing.assert_allclose(ours, np.nan_to_num(theirs.derivative(order)(POSITIONS)), atol=1e-14)


def test_functionals_are_values_of_the_seventh_degree_spline():
    """∫β³(u)β³(u + Δ)du = β⁷(Δ): Unser et al. 1993, the convolution property of B-splines."""
    seventh = interpolate.BSpline.basis_element(np.arange(-4, 5), extrapolate=False)
    functionals = kernels.get("bspline3").functionals()
    assert functionals.rho_bar == sp.Rational(151, 315)
    assert float(functionals.delta_bar) == pytest.approx(-seventh.derivative(2)(0.0), abs=1e-13)
    for shift in (0.0, 0.4, 1.7, -2.2, 3.9):
        # Powers of Δ up to 4⁷/7! cancel in the expanded pieces: three units of 2⁻⁵³ each, in eight terms.
        assert float(functionals.autocorrelation.subs(SHIFT, shift)) == pytest.approx(seventh(shift), abs=1e-14 * 10)


def test_the_pole_is_the_published_one():
    """Z = √3 − 2 and h[k] = −6z/(1 − z²) z^|k|: Unser, Aldroubi, Eden 1993, the direct cubic filter."""
    assert ETA.prefilter == (sp.Rational(1, 6), sp.Rational(2, 3), sp.Rational(1, 6))
    assert sp.simplify(ETA.pole - (sp.sqrt(3) - 2)) == 0
    assert kernels.get("bspline3").prefilter is None


def test_prefilter_is_that_of_scipy():
    """The response of scipy's recursive filter to an impulse is c z^|k|, here read from η = Σ h[k] β³(u − k)."""
    impulse = np.zeros(81)
    impulse[40] = 1.0
    theirs = ndimage.spline_filter1d(impulse, order=3, mode="mirror")
    theirs = interpolate.BSpline(np.arange(-2.0, 83.0), theirs, 3)
    ours = np.array([float(ETA.value(sp.Float(u)).evalf()) for u in POSITIONS])
    # The mirrored images at distance 40 contribute z⁴⁰ < 2e-23.
    np.testing.assert_allclose(ours, theirs(40 + POSITIONS), atol=1e-14)


def test_cardinal_spline_is_that_of_scipy_interpolation():
    """map_coordinates with its own prefilter reads off η."""
    impulse = np.zeros(81)
    impulse[40] = 1.0
    theirs = ndimage.map_coordinates(impulse, [40 + POSITIONS], order=3, mode="mirror")
    ours = [float(ETA.value(sp.Float(u)).evalf()) for u in POSITIONS]
    np.testing.assert_allclose(ours, theirs, atol=1e-13)


def test_cardinal_functionals_are_exact():
    """In Q(√3), and equal to sums over the first forty pixels, beyond which η is below z⁴⁰ < 2e-23."""
    functionals = ETA.functionals()
    assert functionals.are_exact
    assert functionals.rho_bar == sp.Rational(4, 5) + 3 * sp.sqrt(3) / 70
    assert ETA.reproduces == 3
    assert functionals.rho.subs(kernels.FRACTION, 0) == 1


def test_cardinal_spectrum_is_the_published_one():
    """η̂(ω) = sinc⁴(ω/2)·3/(2 + cos ω): Unser et al. 1993, the cardinal spline's frequency response."""
    for frequency in (sp.Rational(1, 3), sp.Integer(3), sp.Integer(8)):
        published = sp.sinc(frequency / 2) ** 4 * 3 / (2 + sp.cos(frequency))
        assert abs((ETA.spectrum.subs(FREQUENCY, frequency) - published).evalf(20)) < 1e-15


def test_splines_that_have_no_such_inverse_are_refused():
    with pytest.raises(ArgumentError, match="^spline: expected knots at integers only, got nearest$"):
        CardinalSpline("wrong", kernels.get("nearest"), "")
    with pytest.raises(ArgumentError, match="^spline: expected three samples"):
        CardinalSpline("wrong", kernels.get("linear"), "")
