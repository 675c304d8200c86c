"""Lanczos resampling with three lobes: sinc windowed by a wider sinc; six taps, interpolating.

Its taps do not quite sum to one: constants ripple by about one per cent. It is the textbook kernel,
not the normalised one that some libraries use.
"""

import sympy as sp

from warptheory.kernels._pieces import POSITION, Piece
from warptheory.kernels._piecewise import PiecewiseKernel
from warptheory.kernels._sinc import SincDerivative


def lanczos3() -> PiecewiseKernel:
    """Build k(u) = sinc(u) sinc(u/3) on [−3, 3), with sinc(u) = sin(πu)/(πu)."""
    lobe, window = (SincDerivative(0, sp.pi * POSITION / scale) for scale in (1, 3))
    return PiecewiseKernel(
        name="lanczos3",
        pieces=(Piece(sp.Integer(-3), sp.Integer(3), lobe * window),),
        reproduces=-1,
        source="C. E. Duchon, J. Appl. Meteor. 18(8), 1979; K. Turkowski, Graphics Gems I, 1990, p. 147",
    )
