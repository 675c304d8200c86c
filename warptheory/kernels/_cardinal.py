"""Cardinal splines: a B-spline together with the inverse of its samples, which makes it interpolate."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import cast

import sympy as sp

from warptheory.core.checks import check_integer
from warptheory.core.errors import ArgumentError
from warptheory.core.expressions import real
from warptheory.kernels._kernel import FREQUENCY, SHIFT, Kernel, check_orders
from warptheory.kernels._periodic import FRACTION, PeriodicFunction
from warptheory.kernels._pieces import POSITION, Piece, correlate
from warptheory.kernels._piecewise import PiecewiseKernel, taps_of


@dataclass(frozen=True)
class CardinalSpline(Kernel):
    """The interpolating kernel η(u) = Σₖ h[k] β(u − k), where h inverts the samples of β.

    For samples (s₁, s₀, s₁) the inverse is h[k] = c z^|k| with s₁z² + s₀z + s₁ = 0 and |z| < 1, so
    that every sum over the infinitely many taps of η is a geometric one, and exact.

    The operator gathers with β what the `prefilter` has made of the pixels; `value`, `spectrum` and
    the functionals are those of η, which acts on the pixels themselves.

    Attributes:
        name: the call that makes the kernel.
        spline: β, an even kernel that is a polynomial between integers.
        source: where the definition is published.
        reproduces: largest degree of polynomials that η reproduces: all that the shifts of β span.

    Raises:
        ArgumentError: β has other knots than integers, or more than three samples that are not zero.

    Source: M. Unser, A. Aldroubi, M. Eden, IEEE Trans. Signal Process. 41(2), 1993, parts I and II
    (the direct B-spline filter and its recursive form).
    """

    name: str
    spline: PiecewiseKernel
    source: str
    reproduces: int = field(init=False)

    def __post_init__(self) -> None:
        if not isinstance(self.spline, PiecewiseKernel):
            raise ArgumentError("spline", expected="a PiecewiseKernel", received=repr(self.spline))
        if any(len(weight.cells) > 1 for weight in self.spline.taps.values()):
            raise ArgumentError("spline", expected="knots at integers only", received=self.spline.name)
        if len(self.prefilter) != 3:
            raise ArgumentError("spline", expected="three samples that are not zero", received=self.prefilter)
        object.__setattr__(self, "reproduces", self._spanned_degree())

    @cached_property
    def prefilter(self) -> tuple[sp.Rational, ...]:
        """The samples β(−r), …, β(r), without zeros at the ends."""
        samples = {-tap: weight.at(sp.Integer(0)) for tap, weight in self.spline.taps.items()}
        radius = max(abs(tap) for tap, sample in samples.items() if sample != 0)
        return tuple(cast("sp.Rational", samples.get(tap, sp.Integer(0))) for tap in range(-radius, radius + 1))

    def _spanned_degree(self) -> int:
        """Return the largest degree of polynomials that are combinations of shifts of β.

        M_q(f) = Σⱼ jᵠ β(f − j) continues as one polynomial over all positions if M_q′ = q M_{q−1}.
        """
        taps = {tap: weight.cells[0].expression for tap, weight in self.spline.taps.items()}
        before, degree = sp.expand(sum(taps.values())), 0
        if before != 1:
            return -1
        while True:
            moment = sp.expand(sum(sp.Integer(tap) ** (degree + 1) * weight for tap, weight in taps.items()))
            if sp.expand(sp.diff(moment, FRACTION) - (degree + 1) * before) != 0:
                return degree
            before, degree = moment, degree + 1

    @cached_property
    def pole(self) -> sp.Expr:
        """The pole z of the inverse filter, |z| < 1."""
        side, centre, _ = self.prefilter
        return sp.radsimp((sp.sqrt(centre**2 - 4 * side**2) - centre) / (2 * side))

    @cached_property
    def _gain(self) -> sp.Expr:
        """The factor c of h[k] = c z^|k|, from Σ s[k] h[k] = 1."""
        side, centre, _ = self.prefilter
        return sp.radsimp(1 / (centre + 2 * side * self.pole))

    def inverse(self, tail: float) -> tuple[float, ...]:
        """Return h[−R], …, h[R], where the |h[k]| that are left out sum to `tail` at most."""
        gain, pole = float(self._gain), abs(float(self.pole))
        reach = math.ceil(math.log(tail * (1 - pole) / (2 * gain)) / math.log(pole)) - 1
        half = [float(self._gain * self.pole**distance) for distance in range(reach + 1)]
        return (*half[:0:-1], *half)

    def gathering(self, moved: int) -> PiecewiseKernel:
        """Return β(u + moved), which gathers coefficients that lie as many pixels further along the axis.

        Raises:
            ArgumentError: no whole number of pixels.
        """
        pixels = check_integer("moved", moved, least=-(2**31), most=2**31)
        pieces = [
            Piece(piece.lower - pixels, piece.upper - pixels, piece.expression.xreplace({POSITION: POSITION + pixels}))
            for piece in self.spline.pieces
        ]
        reproduced = min(self.spline.reproduces, 0) if pixels else self.spline.reproduces
        return PiecewiseKernel(self.name, tuple(pieces), reproduced, self.source)

    @property
    def taps(self) -> Mapping[int, PeriodicFunction]:
        """The weights β(f − j) of the coefficients j around a position with fraction f, by j."""
        return self.spline.taps

    @property
    def reach(self) -> int:
        """Number of pixels beyond which |η| is below 2⁻⁵³: it decays as |z|^|u|."""
        return self.spline.reach + int(sp.ceiling(-53 * sp.log(2) / sp.log(abs(self.pole))))

    def value(self, position: sp.Expr = POSITION, order: int = 0) -> sp.Expr:
        """Return η⁽ᵒʳᵈᵉʳ⁾(position) as a sympy expression; arguments as in `Kernel`."""
        check_integer("order", order, least=0)
        position = real("position", position)
        whole = sp.floor(position)
        pieces = {tap: sp.diff(weight.cells[0].expression, FRACTION, order) for tap, weight in self.taps.items()}
        return self._gain * sp.Add(
            *(
                self.pole ** sp.Abs(whole + tap) * piece.subs(FRACTION, position - whole)
                for tap, piece in pieces.items()
            )
        )

    @cached_property
    def spectrum(self) -> sp.Expr:
        """η̂(ω) = β̂(ω)/Σₙ s[n] cos(nω)."""
        side, centre, _ = self.prefilter
        return self.spline.spectrum / (centre + 2 * side * sp.cos(FREQUENCY))

    @cached_property
    def autocorrelation(self) -> sp.Expr:
        """a_η(Δ) = Σₙ (h⋆h)[n] a_β(Δ − n), with (h⋆h)[n] = c² z^|n| (|n| + (1 + z²)/(1 − z²))."""
        whole = sp.floor(SHIFT)
        constant = sp.radsimp((1 + self.pole**2) / (1 - self.pole**2))
        total: sp.Expr = sp.Integer(0)
        for tap, weight in taps_of(correlate(self.spline.pieces, self.spline.pieces)).items():
            distance = sp.Abs(whole + tap)
            total += self.pole**distance * (distance + constant) * weight.at(FRACTION).subs(FRACTION, SHIFT - whole)
        return sp.radsimp(sp.expand(self._gain**2)) * total

    @cached_property
    def _edge_taps(self) -> list[PeriodicFunction]:
        """The weights η(f − j) for the taps j of β; further out they are these times powers of z."""
        return [
            PeriodicFunction.sum(
                PeriodicFunction.constant(sp.expand(self._gain * self.pole ** abs(other - tap))) * weight
                for other, weight in self.taps.items()
            )
            for tap in sorted(self.taps)
        ]

    def tap_sum(self, orders: Sequence[int]) -> PeriodicFunction:
        """Return F(f) = Σₘ ∏ᵢ η⁽ᵒʳᵈᵉʳˢ⁽ⁱ⁾⁾(f − m), a function of the fraction; arguments as in `Kernel`."""
        return _tap_sum(self, check_orders(orders))


@cache
def _tap_sum(kernel: CardinalSpline, orders: tuple[int, ...]) -> PeriodicFunction:
    first, *inner, last = (weight.product_of_derivatives(orders) for weight in kernel._edge_taps)
    # From the first tap downwards, and from the last one upwards, weights fall by z: geometric sums.
    tails = PeriodicFunction.constant(sp.radsimp(1 / (1 - sp.expand(kernel.pole ** len(orders)))))
    return PeriodicFunction.sum([*inner, (first + last) * tails])
