"""Cubic convolution (Keys): four taps, interpolating, with a continuous first derivative.

The parameter a is the slope at u = 1. a = −1/2 alone reproduces quadratic polynomials, and is the Catmull–Rom spline.

"bicubic" means what it means in torch, whose `grid_sample` the operator stands for, and in OpenCV: a = −3/4, which
reproduces constants only. Pillow, Matlab and JAX have a = −1/2 by that name, which is "keys" or "catmull-rom" here.
"""

import sympy as sp

from warptheory.core.expressions import Number, rational
from warptheory.kernels._parameters import canonical_call
from warptheory.kernels._pieces import POSITION, Piece, reflect
from warptheory.kernels._piecewise import PiecewiseKernel, reproduced_degree, taps_of

ALIASES = {"bicubic": "keys(-0.75)", "catmull-rom": "keys"}
EXAMPLES = ("keys(-0.75)",)  # of other parameters, for which the contract of kernels is checked too


def keys(a: Number = -0.5) -> PiecewiseKernel:
    """Build the even kernel with (a+2)u³ − (a+3)u² + 1 on [0, 1) and a(u³ − 5u² + 8u − 4) on [1, 2).

    Args:
        a: the slope k′(1).

    Raises:
        ArgumentError: a is not a finite number.
    """
    slope, u = rational("a", a), POSITION
    right = (
        Piece(sp.Integer(0), sp.Integer(1), (slope + 2) * u**3 - (slope + 3) * u**2 + 1),
        Piece(sp.Integer(1), sp.Integer(2), sp.expand(slope * (u**3 - 5 * u**2 + 8 * u - 4))),
    )
    pieces = (*reflect(right), *right)
    return PiecewiseKernel(
        name=canonical_call(keys, a=slope),
        pieces=pieces,
        reproduces=reproduced_degree(taps_of(pieces)),
        source="R. G. Keys, IEEE Trans. Acoust. Speech Signal Process. 29(6), 1981, where equation (15) has a = −1/2",
    )
