"""The normalised triangle against DCLS, and its special widths."""

import math

import pytest
import sympy as sp
import torch

from warptheory import kernels
from warptheory.kernels import tap_weights

SIZE = 17


@pytest.mark.parametrize("position", [0.0, 0.25, 0.5, -1.3])
@pytest.mark.parametrize("width", [1.0, 1.5, 2.0, 2.7])
def test_weights_are_those_of_dcls(width, position):
    """DCLS's half-width is |SIG| + 1 (version "max")."""
    dcls = pytest.importorskip("DCLS.construct.modules", reason="the extra `peers` is not installed")
    layer = dcls.Dcls1d(1, 1, kernel_count=1, dilated_kernel_size=SIZE, version="max", bias=False)
    with torch.no_grad():
        layer.weight.fill_(1.0)
        layer.P.fill_(position)
        layer.SIG.fill_(width - 1)
    theirs = layer.DCK(layer.weight, layer.P, layer.SIG).detach().flatten()
    ours = torch.zeros(SIZE)
    whole = math.floor(position)
    for tap, weight in tap_weights(kernels.get(f"triangle({width})"), torch.tensor(position - whole)):
        ours[SIZE // 2 + whole + tap] += weight
    # DCLS adds 1e-7 to the sum, at least 1, and forms i − p near 8, where float32 is spaced by 2⁻²⁰.
    torch.testing.assert_close(ours, theirs, rtol=2e-6, atol=2e-6)


def test_width_one_is_linear_interpolation():
    assert kernels.get("triangle(1)").pieces == kernels.get("linear").pieces


def test_functionals_of_width_two():
    """k(u) = (2 − |u|)₊/4 is the linear kernel stretched by two: ρ̄ = (2/3)/2, δ̄ = 2/8."""
    found = kernels.get("triangle(2)").functionals()
    assert (found.rho_bar, found.delta_bar) == (sp.Rational(1, 3), sp.Rational(1, 4))
    assert kernels.get("triangle(2)").reproduces == 1


def test_other_widths_reproduce_constants_and_have_logarithms():
    """∫ of the squares of ratios of linear functions."""
    kernel = kernels.get("triangle")
    assert kernel.reproduces == 0
    assert kernel.functionals().rho_bar.has(sp.log)
    assert kernel.functionals().are_exact
