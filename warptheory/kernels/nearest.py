"""Nearest-neighbour interpolation: the box of width one."""

import sympy as sp

from warptheory.kernels._pieces import Piece
from warptheory.kernels._piecewise import PiecewiseKernel


def nearest() -> PiecewiseKernel:
    """Build k(u) = 1 on [−1/2, 1/2): a position half-way between two pixels takes the upper one."""
    half = sp.Rational(1, 2)
    return PiecewiseKernel(
        name="nearest",
        pieces=(Piece(-half, half, sp.Integer(1)),),
        reproduces=0,
        source="The B-spline of degree zero; P. Thévenaz et al., IEEE Trans. Med. Imaging 19(7), 2000, section IV",
    )
