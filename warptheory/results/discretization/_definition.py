"""What a layer makes of a covariance, derived from the definition of a warp by the algebra of expectations (D6).

Two values y[n] and y[n + Δ] are read at p and p + Δ + η, p uniform over the pixels. For any covariance C of the input
the algebra leaves Σ_δ a(Δ + η − δ) C(δ); and for any K of the offsets η ~ N(0, 2(K(0) − K(Δ))).
"""

from collections.abc import Sequence
from functools import cache
from typing import cast

import sympy as sp

from warptheory.fields import CovarianceFunction
from warptheory.kernels import FRACTION, POSITION, FractionSymbol, Kernel, PeriodicFunction, PiecewiseKernel
from warptheory.results._setting import TAU
from warptheory.results.discretization._walkers import autocorrelation
from warptheory.symbolic import Covariance, GaussianField, OffsetField, SmallSpacing, Var, Variance, warp
from warptheory.symbolic.covariance_nodes import FieldCovariance as CovarianceAt
from warptheory.symbolic.covariance_nodes import SpectralMoment
from warptheory.symbolic.gaussian import gaussian_mean

_PLACE = sp.Rational(1, 3)  # a fraction between the knots of the catalogue's kernels


@cache
def derived_weights(kernel: Kernel) -> PiecewiseKernel:
    """Return a, having derived that a(Δ + η − δ) is the weight of C(δ) in the covariance of two warped values.

    One value is read at p, the other N + φ pixels further, φ in [0, 1), N so large that no two of the lags are alike;
    the average over p leaves Σ_δ w_δ(φ) C(δ).

    Raises:
        ArithmeticError: a weight is not a(N + φ − δ), or there are others.
    """
    a, phi = autocorrelation(kernel), FractionSymbol("phi")
    apart = 2 * a.reach
    x, shared = GaussianField("x"), OffsetField("uniform", scale=sp.Rational(1, 2), shared=True)
    covariance = Covariance(warp(x, shared, kernel)[0], warp(x, shared + phi, kernel)[apart]).doit()
    weights = {int(node.lag[0]): covariance.coeff(node) for node in covariance.atoms(CovarianceAt)}
    total = sum(_near(weight, phi, _PLACE) for weight in weights.values())
    for piece in a.pieces:
        middle = (piece.lower + piece.upper) / 2
        lag = apart - int(sp.floor(middle))
        weight = _near(weights.get(lag, sp.Integer(0)), phi, middle % 1).subs(phi, POSITION - apart + lag)
        if sp.expand(weight - piece.expression) != 0:
            raise ArithmeticError(f"the weight of C({lag}) is {weight}, and not {piece.expression}")
    if sp.expand(total) != 1:
        raise ArithmeticError(f"the weights of {kernel.name} have to sum to one")
    return a


def _near(expression: sp.Expr, symbol: sp.Symbol, value: sp.Expr) -> sp.Expr:
    """Return the pieces of an expression that hold near a value of its symbol."""

    def branch(*pieces: sp.Tuple) -> sp.Expr:
        return next(cast("sp.Expr", value_) for value_, condition in pieces if condition.subs(symbol, value) == sp.true)

    return expression.replace(sp.Piecewise, branch)


def variance_of_difference(offsets: CovarianceFunction, lag: Sequence[int]) -> sp.Expr:
    """Return Var(ε(n + Δ) − ε(n)) for a component of offsets of covariance K; 0 for Δ = 0."""
    if not any(lag):
        return sp.Integer(0)
    component = OffsetField(covariance=offsets).component
    return Var(component[tuple(lag)] - component[(0,) * len(lag)])


def step_moment(kernel: Kernel, order: int) -> sp.Expr:
    """Return Σ_δ (δ − z)ⁿ a(z − δ), the n-th moment of the kernel's part of a step, over the δ of the grid.

    Raises:
        ArithmeticError: it depends on the fraction of z.
    """
    weighted = (
        PeriodicFunction.from_cells(
            cell._replace(expression=(tap - FRACTION) ** order * cell.expression) for cell in weight.cells
        )
        for tap, weight in derived_weights(kernel).taps.items()
    )
    moments = {cell.expression for cell in PeriodicFunction.sum(weighted).cells}
    if len(moments) > 1 or FRACTION in next(iter(moments)).free_symbols:
        raise ArithmeticError(f"of {kernel.name} the moment of order {order} depends on the phase: {moments}")
    return moments.pop()


@cache
def change_of_covariance(kernel: Kernel, lag: sp.Symbol, second: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """Return what the offsets and what the kernel add to C(r), to second order in their steps: ½v(r)C″ and ½κC″.

    C(δ) is expanded about r, with δ − r = η + ξ, ξ = δ − z a step by the weights a(z − δ) at z = r + η. The mean over
    ξ is a sum over the grid; that over η is Gaussian, of the variance v(r) of a small lag, by the algebra λ₂(K)r².

    Args:
        kernel: the kernel.
        lag: r.
        second: C″(r).

    Raises:
        ArithmeticError: a kernel whose first two moments over the grid depend on the phase.
    """
    first, eta, step = sp.symbols("C' eta xi", real=True)
    taylor = sp.Poly(first * (eta + step) + second * (eta + step) ** 2 / 2, step)
    over_grid = sum(coefficient * step_moment(kernel, power) for (power,), coefficient in taylor.terms())
    component = GaussianField("epsilon", spacing=lag)
    spread = SmallSpacing(Variance(component[1] - component[0]), lag).doit()
    (slope,) = spread.atoms(SpectralMoment)
    whole = gaussian_mean(sp.expand(over_grid), {eta: spread.xreplace({slope: TAU**2})})
    by_kernel = whole.subs(TAU, 0)
    return sp.factor(whole - by_kernel), by_kernel
