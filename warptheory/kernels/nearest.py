"""Nearest-neighbour interpolation: the box of width one.

It is the "nearest-exact" of torch's `interpolate`, which rounds halves up as well. The "nearest" of `grid_sample`
rounds them to the even pixel, and so differs half-way between two pixels.
"""

import sympy as sp

from warptheory.kernels._pieces import Piece
from warptheory.kernels._piecewise import PiecewiseKernel

ALIASES = {"nearest-exact": "nearest"}


def nearest() -> PiecewiseKernel:
    """Build k(u) = 1 on [−1/2, 1/2): a position half-way between two pixels takes the upper one."""
    half = sp.Rational(1, 2)
    return PiecewiseKernel(
        name="nearest",
        pieces=(Piece(-half, half, sp.Integer(1)),),
        reproduces=0,
        source="The B-spline of degree zero; P. Thévenaz et al., IEEE Trans. Med. Imaging 19(7), 2000, section IV",
    )
