"""Interpolation kernels, one file each: one definition, everything else derived by machine.

>>> import warptheory as wt
>>> wt.kernels.get("linear").functionals().rho_bar
2/3

A kernel that has parameters is named by a call; parameters are exact, so 0.7 is 7/10:

>>> wt.kernels.get("keys(a=-0.75)").name
'keys(-0.75)'
>>> wt.kernels.get("keys").reproduces, wt.kernels.get("keys(-0.75)").reproduces
(2, 0)

Names that other libraries use are aliases, each of one kernel; a kernel's file has its own, and says whose name it is
where libraries differ, as on "bicubic":

>>> wt.kernels.get("bilinear").name, wt.kernels.get("bicubic").name
('linear', 'keys(-0.75)')

Kinds of kernels: `PiecewiseKernel` (finite support, exact pieces), `CardinalSpline` (a spline behind a
prefilter) and the sinc, which is not `is_compact` and works on periodic axes only. Functionals are
exact where a closed form exists (polynomials, rational functions, splines, sinc); of the Gaussian and
Lanczos kernels they are unevaluated integrals, which `.evalf()` and `as_floats()` evaluate numerically.

What a wave of θ radians per pixel loses in interpolation, of its value or of its derivative (D4, D5), is
`error_kernel`; for the linear kernel the value loses θ⁴/120 at low frequencies:

>>> import numpy as np
>>> round(120 * float(wt.kernels.error_kernel(wt.kernels.get("linear"), np.array([1e-3]))) / 1e-3**4, 5)
1.0
"""

import importlib
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from warptheory.core.catalogue import Catalogue
from warptheory.core.errors import ArgumentError
from warptheory.core.listing import public_names
from warptheory.kernels._cardinal import CardinalSpline
from warptheory.kernels._error_kernel import error_kernel
from warptheory.kernels._kernel import FREQUENCY, SHIFT, Functionals, Kernel
from warptheory.kernels._parameters import call_builder, parse_call
from warptheory.kernels._periodic import FRACTION, Cell, FractionSymbol, NoClosedFormError, PeriodicFunction
from warptheory.kernels._pieces import POSITION, Piece, Pieces, are_polynomial, convolve
from warptheory.kernels._piecewise import PiecewiseKernel, reproduced_degree, taps_of

if TYPE_CHECKING:
    from warptheory.kernels._weights import PolynomialTaps, polynomial_taps, tap_weights

__all__ = [
    "FRACTION",
    "FREQUENCY",
    "POSITION",
    "SHIFT",
    "CardinalSpline",
    "Cell",
    "FractionSymbol",
    "Functionals",
    "Kernel",
    "NoClosedFormError",
    "PeriodicFunction",
    "Piece",
    "Pieces",
    "PiecewiseKernel",
    "PolynomialTaps",
    "are_polynomial",
    "convolve",
    "error_kernel",
    "get",
    "names",
    "polynomial_taps",
    "reproduced_degree",
    "resolve",
    "tap_weights",
    "taps_of",
]
__dir__ = public_names(__name__)


_CATALOGUE = Catalogue[Callable[..., Kernel]](__name__, "kernel")
names = _CATALOGUE.names  # each is a kernel with its default parameters
resolve = _CATALOGUE.resolve


def get(kernel: str | Kernel) -> Kernel:
    """Return a kernel by its name; a kernel object is returned as it is.

    Args:
        kernel: a name in `names()`, a call of one with literals such as "gauss(0.7)", "keys(a=-3/4)" or
            "bspline3(prefilter=True)", an alias such as "bilinear", or a `Kernel`.

    Raises:
        UnknownNameError: no kernel of that name.
        ArgumentError: neither a name nor a call nor a kernel, or a parameter that does not fit.
    """
    if isinstance(kernel, Kernel):
        return kernel
    if not isinstance(kernel, str):
        raise ArgumentError("kernel", expected="a name or a Kernel", received=f"{type(kernel).__name__}")
    return _build(kernel)


@cache
def _build(name: str) -> Kernel:
    call = parse_call(_CATALOGUE.resolve(name))
    kernel: Kernel = call_builder(_CATALOGUE.get(call.entry), call)
    # Every spelling of a call gives the same object.
    return kernel if kernel.name == name else _build(kernel.name)


def __getattr__(name: str) -> Any:
    # The weights as numbers need torch, two seconds that the algebra does without.
    if name not in ("PolynomialTaps", "polynomial_taps", "tap_weights"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("warptheory.kernels._weights"), name)
