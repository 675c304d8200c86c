"""Two interpolations, one after the other, against the one of the composed map, for waves and slow offsets.

Where offsets hardly change over the kernel, reading a wave exp(iωt) at the fraction f multiplies it by K(f) = Σₘ
k(f − m) exp(iω(m − f)), of period one in f, with the Fourier coefficients k̂(ω + 2πl). Two warps at the fractions f and
g make K(f)K(g) of it, the composed one K(f + g). With both fractions uniform and independent along every axis, as
slowly varying offsets have them, the mean square of the difference follows from three means of one axis.
"""

from functools import cache

import numpy as np
import sympy as sp

from warptheory.kernels import FREQUENCY, POSITION, Kernel, PiecewiseKernel
from warptheory.results.discretization._walkers import autocorrelation
from warptheory.symbolic.nodes import KernelValue, Node, Opaque, Side
from warptheory.symbolic.quadrature import Environment, Evaluate, gauss_legendre

OMEGA = sp.Symbol("omega", real=True)
FRACTION = sp.Symbol("f", nonnegative=True)
_IMAGES = 1500  # of a spectrum that falls as 1/l² at least, whose squares are summed
_NODES = 24


class PhaseMean(Node):
    """⟨|∏K(fᵢ)K(gᵢ) − ∏K(fᵢ + gᵢ)|²⟩ over uniform fractions of d axes: args (k, ω, d)."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the mean, of one axis or of d."""
        f, g = sp.symbols("f g", nonnegative=True)
        one = sp.Function("K")
        power = self.args[2]
        return sp.Function("E_fg")(sp.Abs((one(f) * one(g)) ** power - one(f + g) ** power) ** 2)

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Integrate over both fractions, with knots where either of them or their sum is a whole number."""
        (points,), (weights,) = gauss_legendre(np.array([0.0, 1.0]), _NODES)
        first, mass = points[:, None], weights[:, None]
        split = [gauss_legendre(np.array([0.0, 1.0 - f, 1.0]), _NODES) for f in points]
        second, inner = (np.stack([each[part].ravel() for each in split]) for part in (0, 1))
        at = [self._read(place, environment, evaluate) for place in (first, second, first + second)]
        mass = mass * inner
        both, alone = (mass * abs(at[0] * at[1]) ** 2).sum(), (mass * abs(at[2]) ** 2).sum()
        across = (mass * at[0] * at[1] * at[2].conj()).sum()
        dim = int(self.args[2])
        return float(both**dim + alone**dim - 2 * (across**dim).real)

    def _read(self, fraction: np.ndarray, environment: Environment, evaluate: Evaluate) -> np.ndarray:
        """Return K at fractions (*F), shape (*F)."""
        kernel: Kernel = self.args[0].content
        omega = float(evaluate(self.args[1], environment))
        place = sp.Symbol("u", real=True)
        total = np.zeros(fraction.shape, complex)
        for tap in range(-len(kernel.taps), len(kernel.taps) + 2):
            value = KernelValue(self.args[0], 0, place, Side.RIGHT)
            total += evaluate(value, {place: fraction - tap}) * np.exp(1j * omega * (tap - fraction))
        return total


class ImageSum(Node):
    """Σ_l k̂(ω + 2πl)ⁿ: args (k̂, ω, n)."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the sum."""
        turn = sp.Symbol("l", integer=True)
        image = sp.Function("k̂")(self.args[1] + 2 * sp.pi * turn)
        return sp.Sum(image ** self.args[2], (turn, -sp.oo, sp.oo))

    @property
    def free_symbols(self) -> set[sp.Symbol]:
        """Those of ω."""
        found: set[sp.Symbol] = self.args[1].free_symbols
        return found

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Add up the images."""
        at = float(evaluate(self.args[1], environment)) + 2 * np.pi * np.arange(-_IMAGES, _IMAGES + 1)
        with np.errstate(invalid="ignore", divide="ignore"):  # at ω = 0 the transform has a value of its own
            values = np.asarray(evaluate(self.args[0], {FREQUENCY: at}))
        return float((values ** int(self.args[2])).sum())


def defect_of(square: sp.Expr, cube: sp.Expr, dim: int) -> sp.Expr:
    """Return the mean square defect, of Σ k̂² and Σ k̂³ along each of d axes."""
    return square ** (2 * dim) + square**dim - 2 * cube**dim


def by_pixels(kernel: Kernel, power: int) -> sp.Expr:
    """Return Σ_l k̂(ω + 2πl)ⁿ, n = 2 or 3, as the transform of a sequence: that of k∗k, or k∗k∗k, at whole numbers."""
    twice = autocorrelation(kernel)
    reach = len(kernel.taps) * power
    total: sp.Expr = sp.Integer(0)
    for place in range(reach + 1):
        value = _at(twice, place) if power == 2 else _third(kernel, place)
        total += value * (1 if place == 0 else 2 * sp.cos(place * OMEGA))
    return total


@cache
def _third(kernel: Kernel, place: int) -> sp.Expr:
    """Return (k∗k∗k)(place) of an even piecewise kernel, ∫k(u) a(u − place) du."""
    twice = autocorrelation(kernel)
    assert isinstance(kernel, PiecewiseKernel)
    total: sp.Expr = sp.Integer(0)
    for one in kernel.pieces:
        for other in twice.pieces:
            lower, upper = sp.Max(one.lower, other.lower + place), sp.Min(one.upper, other.upper + place)
            if lower < upper:
                product = one.expression * other.expression.subs(POSITION, POSITION - place)
                primitive = sp.Poly(product, POSITION).integrate(POSITION)
                total += primitive.eval(upper) - primitive.eval(lower)
    return total


def _at(kernel: PiecewiseKernel, place: int) -> sp.Expr:
    return next(
        (p.expression.subs(POSITION, place) for p in kernel.pieces if p.lower <= place < p.upper), sp.Integer(0)
    )


def leading_miss(kernel: Kernel) -> tuple[int, sp.Expr]:
    """Return L and e(f) of K(f) = 1 + (iω)ᴸ e(f) + …, the first power of ω that the kernel misses."""
    assert isinstance(kernel, PiecewiseKernel)
    order = kernel.reproduces + 1
    moment: sp.Expr = sp.Integer(0)
    for piece in kernel.pieces:
        # k(f − m) for f in (0, 1) lies on the piece from a whole number to the next.
        tap = -sp.Integer(sp.floor(piece.lower))
        if piece.upper - piece.lower != 1:
            raise ArithmeticError(f"{kernel.name} has knots between whole numbers")
        moment += piece.expression.subs(POSITION, FRACTION - tap) * (tap - FRACTION) ** order
    return order, sp.factor(moment / sp.factorial(order))


def opaque(kernel: Kernel) -> Opaque:
    """Return a kernel as an argument of a node."""
    return Opaque(kernel)
