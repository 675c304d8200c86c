"""Ideal interpolation of band-limited signals: sin(πu)/(πu), of infinite support.

On a periodic axis of N pixels Σₖ sinc(u − kN) is the Dirichlet kernel, and the operator is Fourier
interpolation. Other boundary rules have no sum to offer, so this kernel works with "periodic" only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, reduce

import sympy as sp

from warptheory.core.checks import check_integer
from warptheory.core.expressions import real
from warptheory.kernels._kernel import FREQUENCY, SHIFT, Kernel, check_orders
from warptheory.kernels._periodic import FRACTION, NoClosedFormError, PeriodicFunction
from warptheory.kernels._pieces import POSITION, Piece, Pieces, at_position, convolve
from warptheory.kernels._sinc import SincDerivative


@dataclass(frozen=True)
class Sinc(Kernel):
    """The kernel sin(πu)/(πu), whose spectrum is 1 on [−π, π) and 0 elsewhere.

    It is not absolutely summable: sums of single taps, such as the partition of unity, are limits of
    sums over |m| ≤ M; Σₘ m k(p − m) has no limit, so only constants are claimed as reproduced.
    """

    name: str = "sinc"
    reproduces: int = 0
    source: str = "C. E. Shannon, Proc. IRE 37(1), 1949, theorem 1"

    @property
    def is_compact(self) -> bool:
        """False: every pixel of the axis is read."""
        return False

    @property
    def taps(self) -> Mapping[int, PeriodicFunction]:
        """There are infinitely many.

        Raises:
            NoClosedFormError: always.
        """
        raise NoClosedFormError(f"{self.name} has infinitely many taps; ask `is_compact` before")

    @property
    def reach(self) -> None:
        """None: it decays as 1/|u| only."""
        return

    def value(self, position: sp.Expr = POSITION, order: int = 0) -> sp.Expr:
        """Return k⁽ᵒʳᵈᵉʳ⁾(position) as a sympy expression; arguments as in `Kernel`."""
        order, position = check_integer("order", order, least=0), real("position", position)
        return sp.pi**order * SincDerivative(order, sp.pi * position)

    @property
    def spectrum(self) -> sp.Expr:
        """k̂(ω): 1 for |ω| < π; 1/2, the mean of both sides, at |ω| = π; else 0."""
        size = sp.Abs(FREQUENCY)
        return sp.Piecewise((1, size < sp.pi), (sp.Rational(1, 2), sp.Eq(size, sp.pi)), (0, True))

    @property
    def autocorrelation(self) -> sp.Expr:
        """a_k(Δ) = sinc(Δ): the spectrum is its own square (Parseval)."""
        return self.value(SHIFT)

    def tap_sum(self, orders: Sequence[int]) -> PeriodicFunction:
        """Return F(f) = Σₘ ∏ᵢ k⁽ᵒʳᵈᵉʳˢ⁽ⁱ⁾⁾(f − m), a function of the fraction.

        By Poisson summation it has the Fourier coefficients P̂(2πj), P the product; P̂ is a convolution
        of polynomials on boxes, and vanishes from |j| = r/2 on for r factors: ρ = 1, δ = π²/3.
        """
        return _tap_sum(check_orders(orders))


@cache
def _tap_sum(orders: tuple[int, ...]) -> PeriodicFunction:
    transform = reduce(convolve, (_band(order) for order in orders))
    total = sp.Integer(0)
    for j in range(len(orders) // 2 + 1):
        coefficient = at_position(transform, sp.Integer(j))
        wave = sp.cos(2 * sp.pi * j * FRACTION) + sp.I * sp.sin(2 * sp.pi * j * FRACTION)
        # c₋ⱼ is the conjugate of cⱼ, so both together are twice the real part.
        total += sp.expand(coefficient * wave).as_real_imag()[0] * (1 if j == 0 else 2)
    return PeriodicFunction.constant(total)


def _band(order: int) -> Pieces:
    """Return the spectrum of k⁽ᵒʳᵈᵉʳ⁾ over the frequency ξ = ω/2π: (2πiξ)ᵒʳᵈᵉʳ on [−1/2, 1/2)."""
    half = sp.Rational(1, 2)
    return (Piece(-half, half, (2 * sp.pi * sp.I * POSITION) ** order),)


def sinc() -> Sinc:
    """Build k(u) = sin(πu)/(πu)."""
    return Sinc()
