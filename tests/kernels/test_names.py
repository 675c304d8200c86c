"""Kernels are named by calls: exact parameters, one object for every spelling, and errors that say what was wrong."""

from fractions import Fraction

import pytest
import sympy as sp

from warptheory import kernels
from warptheory.core.errors import ArgumentError, UnknownNameError
from warptheory.kernels.gauss import gauss
from warptheory.kernels.keys import keys
from warptheory.kernels.triangle import triangle


@pytest.mark.parametrize(
    ("spelling", "canonical"),
    [
        ("linear", "linear"),
        ("linear()", "linear"),
        ("gauss", "gauss"),
        ("gauss(0.5)", "gauss"),
        (" gauss( sigma = 7e-1 ) ", "gauss(0.7)"),
        ("gauss(7/10)", "gauss(0.7)"),
        ("gauss(1/3)", "gauss(1/3)"),
        ("keys(a=-0.750)", "keys(-0.75)"),
        ("keys(-3/4)", "keys(-0.75)"),
        ("keys(0)", "keys(0)"),
        ("bspline3(prefilter=False)", "bspline3"),
        ("bspline3(True)", "bspline3(prefilter=True)"),
        ("triangle(2)", "triangle(2)"),
        ("triangle(width=1.50)", "triangle"),
        ("bilinear", "linear"),
        ("trilinear", "linear"),
        ("bicubic", "keys(-0.75)"),
        ("catmull-rom", "keys"),
        ("nearest-exact", "nearest"),
    ],
)
def test_every_spelling_gives_the_same_object(spelling, canonical):
    kernel = kernels.get(spelling)
    assert kernel.name == canonical
    assert kernels.get(canonical) is kernel


def test_parameters_are_exact():
    """0.7 is 7/10, from text, float, fraction and sympy alike; equal parameters make equal kernels."""
    made = [gauss(0.7), gauss("0.7"), gauss("7/10"), gauss(Fraction(7, 10)), gauss(sp.Rational(7, 10))]
    assert all(kernel == kernels.get("gauss(0.7)") for kernel in made)
    assert len({*made, kernels.get("gauss(0.7)")}) == 1
    assert keys(-0.75) != keys()
    assert keys("1e-3").name == "keys(0.001)"
    assert triangle(1).reproduces == kernels.get("linear").reproduces


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("keyz", "^kernel: expected one of bspline3, .*, got 'keyz' .did you mean 'keys'"),
        ("keyz(1)", "^kernel: expected one of .*, got 'keyz'"),
        ("gauss(", r"^kernel: expected a kernel's name, or a call .*, got 'gauss\('$"),
        ("", "^kernel: expected a kernel's name"),
        ("gauss(0.7", "^kernel: expected a kernel's name"),
        ("gauss(sigma)", "^kernel: expected a kernel's name"),
        ("gauss(__import__('os'))", "^kernel: expected a kernel's name"),
        ("gauss('0.7')", "^kernel: expected a kernel's name"),
        ("gauss(2**9)", "^kernel: expected a kernel's name"),
        ("gauss(1/0)", "^kernel: expected a kernel's name"),
        ("gauss(1e999)", "^kernel: expected a kernel's name"),
        ("gauss(1j)", "^kernel: expected a kernel's name"),
        ("gauss(*[1])", "^kernel: expected a kernel's name"),
        ("gauss(**{})", "^kernel: expected a kernel's name"),
        ("kernels.gauss(1)", "^kernel: expected a kernel's name"),
        ("gauss\0", "^kernel: expected a kernel's name"),
        ("(" * 150, "^kernel: expected a kernel's name"),
        ("gauss" * 100, "^kernel: expected a kernel's name, .*, got 500 characters"),
        ("gauss(width=1)", r"^kernel: expected gauss\(sigma=0.5\), got .*unexpected keyword argument 'width'"),
        ("gauss(1, 2)", r"^kernel: expected gauss\(sigma=0.5\), got too many positional arguments"),
        ("linear(2)", r"^kernel: expected linear\(\), got too many positional arguments"),
        ("gauss(0)", "^sigma: expected a finite number ≥ 0.001, got 0$"),
        ("gauss(-0.5)", "^sigma: expected a finite number ≥ 0.001, got -1/2$"),
        ("gauss(1e30)", "^sigma: expected a width that reaches at most 36 pixels"),
        ("gauss(True)", "^sigma: expected a finite number ≥ 0.001, got True$"),
        ("triangle(0.9)", "^width: expected a finite number ≥ 1, got 9/10$"),
        ("triangle(1000)", "^width: expected a width that reaches at most 36 pixels"),
        ("bspline3(2)", "^prefilter: expected True or False, got 2$"),
        ("keys(True)", "^a: expected a finite number, got True$"),
    ],
)
def test_bad_names(name, message):
    with pytest.raises((ArgumentError, UnknownNameError), match=message):
        kernels.get(name)


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize("value", [float("nan"), float("inf"), "nan", "oo", "x", None, [1]])
def test_parameters_have_to_be_finite_numbers(value):
    with pytest.raises(ArgumentError, match="^a: expected a finite number, got"):
        keys(value)


@pytest.mark.usefixtures("as_users_call")
def test_only_names_and_kernels():
    with pytest.raises(ArgumentError, match="^kernel: expected a name or a Kernel, got int"):
        kernels.get(3)
