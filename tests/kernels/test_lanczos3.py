"""The textbook Lanczos kernel against NumPy's sinc; how far it is from a partition of unity."""

import mpmath
import numpy as np
import sympy as sp
import torch

from warptheory import kernels
from warptheory.kernels import tap_weights
from warptheory.kernels._sinc import SincDerivative


def test_weights_are_products_of_sincs():
    fraction = torch.linspace(0, 1, 41, dtype=torch.float64)
    for tap, weight in tap_weights(kernels.get("lanczos3"), fraction):
        u = fraction.numpy() - tap
        np.testing.assert_allclose(weight.numpy(), np.sinc(u) * np.sinc(u / 3), atol=1e-15)
    assert sorted(kernels.get("lanczos3").taps) == [-2, -1, 0, 1, 2, 3]


def test_its_sum_ripples_by_about_one_per_cent():
    fraction = torch.linspace(0, 1, 101, dtype=torch.float64)
    total = sum(weight for _, weight in tap_weights(kernels.get("lanczos3"), fraction))
    assert kernels.get("lanczos3").reproduces == -1
    assert 0.005 < float((total - 1).abs().max()) < 0.015


def test_derivatives_of_sinc_against_mpmath():
    """Against mpmath's numerical derivatives of its own sinc at 60 digits, near zero and far from it."""
    for order in (0, 1, 2, 3, 5):
        for x in ("0", "1e-9", "1e-3", "0.7", "3.1", "6.28", "6.29", "20.5", "-2.3"):
            with mpmath.workdps(60):
                exact = mpmath.diff(mpmath.sinc, mpmath.mpf(x), order)
            assert abs(float(SincDerivative._imp_(order, float(x))) - float(exact)) < 1e-12
            assert abs(float(sp.N(SincDerivative(order, sp.Rational(x)), 30)) - float(exact)) < 1e-12


def test_powers_print_in_latex():
    """ρ holds squares of sinc: LaTeX writes the power before the argument."""
    assert r"\operatorname{sinc}^{2}\left(" in sp.latex(kernels.get("lanczos3").functionals().rho)
