"""Linear interpolation: the triangle of half-width one (bilinear, trilinear in d = 2, 3)."""

import sympy as sp

from warptheory.kernels._pieces import POSITION, Piece
from warptheory.kernels._piecewise import PiecewiseKernel

ALIASES = {"bilinear": "linear", "trilinear": "linear"}


def linear() -> PiecewiseKernel:
    """Build k(u) = 1 − |u| on [−1, 1)."""
    return PiecewiseKernel(
        name="linear",
        pieces=(
            Piece(sp.Integer(-1), sp.Integer(0), 1 + POSITION),
            Piece(sp.Integer(0), sp.Integer(1), 1 - POSITION),
        ),
        reproduces=1,
        source="The B-spline of degree one; P. Thévenaz et al., IEEE Trans. Med. Imaging 19(7), 2000, section IV",
    )
