"""Cubic convolution against Keys' published kernel and torch's bicubic interpolation."""

import pytest
import sympy as sp
import torch
from torch.nn import functional

from warptheory import kernels
from warptheory.core.tolerances import rounding
from warptheory.kernels import FREQUENCY, POSITION, tap_weights


def test_the_published_coefficients():
    """Keys 1981, equation (15): 3/2 s³ − 5/2 s² + 1, and −1/2 s³ + 5/2 s² − 4s + 2."""
    s = POSITION
    *_, inner, outer = (piece.expression for piece in kernels.get("keys").pieces)
    assert sp.expand(inner - (sp.Rational(3, 2) * s**3 - sp.Rational(5, 2) * s**2 + 1)) == 0
    assert sp.expand(outer - (-(s**3) / 2 + sp.Rational(5, 2) * s**2 - 4 * s + 2)) == 0


@pytest.mark.parametrize(("a", "degree"), [("-1/2", 2), ("-3/4", 0), ("-1", 0), ("0", 0)])
def test_only_minus_one_half_reproduces_quadratics(a, degree):
    """Keys 1981: the choice a = −1/2 alone makes the error third order."""
    assert kernels.get(f"keys({a})").reproduces == degree


def test_published_spectrum():
    """12/ω² (sinc²(ω/2) − sinc ω) + 8a/ω² (3 sinc² ω − 2 sinc ω − sinc 2ω), with sinc x = sin(x)/x.

    S. K. Park, R. A. Schowengerdt, Comput. Vision Graph. Image Process. 23(3), 1983.
    """
    omega = FREQUENCY
    published = 12 / omega**2 * (sp.sinc(omega / 2) ** 2 - sp.sinc(omega)) + sp.Rational(-1, 2) * 8 / omega**2 * (
        3 * sp.sinc(omega) ** 2 - 2 * sp.sinc(omega) - sp.sinc(2 * omega)
    )
    for frequency in (sp.Rational(1, 2), sp.Integer(2), sp.Integer(9)):
        found = kernels.get("keys").spectrum.subs(omega, frequency).evalf(20)
        assert abs(found - published.subs(omega, frequency).evalf(20)) < 1e-15


@pytest.mark.parametrize("position", [2.0, 2.125, 2.5, 2.7, 2.999])
def test_weights_are_those_of_torch(position):
    """grid_sample of unit impulses reads off torch's weights; its bicubic has a = −3/4."""
    size = 7
    impulses = torch.eye(size, dtype=torch.float64).reshape(1, size, 1, size)
    grid = torch.tensor([[[[2 * position / (size - 1) - 1, 0.0]]]], dtype=torch.float64)
    theirs = functional.grid_sample(impulses, grid, mode="bicubic", align_corners=True).flatten()
    ours = torch.zeros(size, dtype=torch.float64)
    fraction = torch.tensor(position - int(position), dtype=torch.float64)
    for tap, weight in tap_weights(kernels.get("keys(a=-0.75)"), fraction):
        ours[int(position) + tap] = weight
    # The grid's position is rounded on the way to pixels and back: |p| u times a slope below 2.
    tolerance = rounding(torch.float64, operations=60, magnitude=float(size))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance.absolute)
