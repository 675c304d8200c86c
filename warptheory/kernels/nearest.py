"""Nearest-neighbour interpolation: the box of width one."""

import sympy as sp

from warptheory.kernels._kernel import Kernel, Piece


def nearest() -> Kernel:
    """Build k(u) = 1 on [−1/2, 1/2): a position half-way between two pixels takes the upper one."""
    half = sp.Rational(1, 2)
    return Kernel(
        name="nearest",
        pieces=(Piece(-half, half, sp.Integer(1)),),
        reproduces=0,
        source="The B-spline of degree zero; P. Thévenaz et al., IEEE Trans. Med. Imaging 19(7), 2000, section IV",
    )
