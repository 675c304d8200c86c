"""The Gaussian, normalised by the sum over its taps, as in learnable spacings (DCLS)."""

import math

import sympy as sp

from warptheory.core.expressions import Number
from warptheory.kernels._normalised import Bumps, check_taps, normalise
from warptheory.kernels._parameters import canonical_call, positive
from warptheory.kernels._periodic import FRACTION
from warptheory.kernels._piecewise import PiecewiseKernel

# A tap beyond R pixels would weigh less than exp(−R²/2σ²) of the nearest ones: with this R/σ less than 2⁻⁵³, which
# float64 does not see beside them. So the kernel's jumps at ±R are below rounding, and smooth to every caller.
_REACH_PER_SIGMA = math.sqrt(2 * 53 * math.log(2))

# Far below, the kernel is nearest-neighbour interpolation to every float; 1/σ² has to stay a float.
_LEAST_SIGMA = sp.Rational(1, 1000)

_LARGEST_EXPONENT = 88  # exp(88) is just below the largest float32

EXAMPLES = ("gauss(0.31)", "gauss(0.1)")  # of other parameters, for which the contract of kernels is checked too


def gauss(sigma: Number = 0.5) -> PiecewiseKernel:
    """Build k(u) = g(u)/Σₘ g(u − m), g(u) = exp(−u²/2σ²), on [−R, R) with R = ⌈8.57σ⌉ pixels.

    The sum runs over the 2R taps of a position, so that they sum to one exactly.

    Args:
        sigma: the standard deviation σ, in pixels.

    Raises:
        ArgumentError: sigma is not a finite number, below 1/1000, or too wide.
    """
    width = positive("sigma", sigma, least=_LEAST_SIGMA)
    reach = int(sp.ceiling(_REACH_PER_SIGMA * width))
    check_taps(2 * reach, "sigma", sigma)
    cells = [
        Bumps(low, high, {tap: _bump(tap, centre, width) for tap in range(1 - reach, reach + 1)})
        for low, high, centre in _centres(width)
    ]
    return PiecewiseKernel(
        name=canonical_call(gauss, sigma=width),
        pieces=normalise(cells),
        reproduces=0,
        source="I. Khalfaoui-Hassani, T. Pellegrini, T. Masquelier, arXiv 2306.00817",
    )


def _centres(width: sp.Rational) -> list[tuple[sp.Rational, sp.Rational, int]]:
    """Return cells of [0, 1), each with the tap that weights are taken relative to there.

    Relative to tap 0, that of tap 1 grows to exp(1/2σ²). As soon as a fifth power of it, as in a third
    derivative of the quotient, could overflow float32, each half takes its nearest tap instead, for
    which nothing overflows and nothing is 0/0, however small σ.
    """
    zero, half, one = sp.Integer(0), sp.Rational(1, 2), sp.Integer(1)
    if 5 / (2 * width**2) < _LARGEST_EXPONENT:
        return [(zero, one, 0)]
    return [(zero, half, 0), (half, one, 1)]


def _bump(tap: int, centre: int, width: sp.Rational) -> sp.Expr:
    """Return g(f − tap)/g(f − centre) = exp(((tap − centre) f − (tap² − centre²)/2)/σ²)."""
    return sp.exp(((tap - centre) * FRACTION - sp.Rational(tap**2 - centre**2, 2)) / width**2)
