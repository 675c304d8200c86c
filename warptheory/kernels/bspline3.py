"""The cubic B-spline: four taps, two continuous derivatives; a low-pass filter, or with prefilter an interpolator."""

import sympy as sp

from warptheory.core.errors import ArgumentError
from warptheory.kernels._cardinal import CardinalSpline
from warptheory.kernels._kernel import Kernel
from warptheory.kernels._parameters import canonical_call
from warptheory.kernels._pieces import POSITION, Piece, reflect
from warptheory.kernels._piecewise import PiecewiseKernel

EXAMPLES = ("bspline3(prefilter=True)",)  # of other parameters, for which the contract of kernels is checked too


def bspline3(prefilter: bool = False) -> Kernel:
    """Build β³(u): 2/3 − u² + |u|³/2 for |u| < 1 and (2 − |u|)³/6 for |u| < 2.

    Args:
        prefilter: whether the pixels are first turned into coefficients c with Σₘ β³(n − m) c[m] = x[n],
            so that the operator interpolates; it then acts as the cardinal spline η.

    Raises:
        ArgumentError: prefilter is neither True nor False.
    """
    if not isinstance(prefilter, bool):
        raise ArgumentError("prefilter", expected="True or False", received=prefilter)
    u = POSITION
    right = (
        Piece(sp.Integer(0), sp.Integer(1), sp.Rational(2, 3) - u**2 + u**3 / 2),
        Piece(sp.Integer(1), sp.Integer(2), sp.expand((2 - u) ** 3 / 6)),
    )
    spline = PiecewiseKernel(
        name="bspline3",
        pieces=(*reflect(right), *right),
        reproduces=1,
        source="M. Unser, A. Aldroubi, M. Eden, IEEE Trans. Signal Process. 41(2), 1993, part I",
    )
    if not prefilter:
        return spline
    return CardinalSpline(
        name=canonical_call(bspline3, prefilter=prefilter),
        spline=spline,
        source="P. Thévenaz et al., IEEE Trans. Med. Imaging 19(7), 2000",
    )
