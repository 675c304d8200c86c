"""The balance of roughening and numerical diffusion in the continuum, on a line: small slopes, smooth fields (D6).

A layer changes the covariance by ½(v(r) + κ)C″(r), v(r) ≈ τ²r² the variance of the offsets' difference and κ that of
two walkers' steps by the kernel: roughening at large lags, diffusion at small ones. Every formula here is solved from
that change, which `_definition` derives from the layer on the grid.
"""

import itertools
import math
import warnings

import sympy as sp
from scipy import integrate, optimize

from warptheory.kernels import Kernel
from warptheory.results.discretization._definition import change_of_covariance
from warptheory.results.discretization._equilibrium import CHI
from warptheory.results.discretization._layers import OneLayer, input_covariance
from warptheory.results.discretization._walkers import SmoothedWeight, kernel_variance
from warptheory.symbolic import Step
from warptheory.symbolic._nodes import Node
from warptheory.symbolic._quadrature import Environment, Evaluate
from warptheory.symbolic._slopes import TAU, gaussian_mean, normal_density

_LAG = sp.Symbol("r", positive=True)
_CURVATURE = sp.Symbol("C''", real=True)  # C″(r)
_FREQUENCY = sp.Symbol("omega", positive=True)
_SCALE = sp.Symbol("h", positive=True)
_NORMAL = sp.Symbol("Z", real=True)
_SECOND, _FOURTH = sp.symbols("lambda_2 lambda_4", positive=True)
_HALVINGS = (2, 3, 4, 5)  # the scales 1/4 … 1/32
_FARTHEST_LAG = 1e3  # pixels, in the search for a root


class SmallScaleLimit(Node):
    """The limit h → 0 of a function that is even in h: args (function, h)."""

    @property
    def free_symbols(self) -> set[sp.Symbol]:
        """Symbols of the function, without h."""
        return self.args[0].free_symbols - {self.args[1]}

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the limit, to be taken."""
        return sp.Limit(self.args[0], self.args[1], 0)

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Extrapolate from four scales (Richardson); what is left is of the eighth order in the smallest."""
        values = [float(evaluate(self.args[0], {**environment, self.args[1]: 2.0**-power})) for power in _HALVINGS]
        for order in range(1, len(_HALVINGS)):
            values = [fine + (fine - coarse) / (4**order - 1) for coarse, fine in itertools.pairwise(values)]
        return values[0]


class PositiveRoot(Node):
    """The positive root of an increasing function: args (function, its symbol)."""

    @property
    def free_symbols(self) -> set[sp.Symbol]:
        """Symbols of the function, without its own."""
        return self.args[0].free_symbols - {self.args[1]}

    def display(self, *, latex: bool) -> sp.Expr:
        """Return root(f)."""
        return sp.Function("root")(self.args[0], self.args[1])

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Search by bisection."""
        function, symbol = self.args
        return float(
            optimize.brentq(
                lambda value: float(evaluate(function, {**environment, symbol: value})), 0.0, _FARTHEST_LAG, xtol=1e-12
            )
        )


class CosineTransform(Node):
    """∫ f(r) cos ωr dr over the line for an even f: args (f, r, ω)."""

    @property
    def free_symbols(self) -> set[sp.Symbol]:
        """Symbols of f, without r, and of ω."""
        return (self.args[0].free_symbols - {self.args[1]}) | self.args[2].free_symbols

    @property
    def integral(self) -> sp.Integral:
        """Twice the integral over r > 0, to be done."""
        function, lag, frequency = self.args
        return 2 * sp.Integral(function * sp.cos(frequency * lag), (lag, 0, sp.oo))

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the integral."""
        return self.integral

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Sum over half waves, with the tail extrapolated (QUADPACK)."""
        function, lag, frequency = self.args

        def value(r: float) -> float:
            return float(evaluate(function, {**environment, lag: r}))

        with warnings.catch_warnings():
            warnings.simplefilter("error", integrate.IntegrationWarning)
            half = integrate.quad(
                value, 0, math.inf, weight="cos", wvar=float(evaluate(frequency, environment)), epsabs=1e-11, limlst=200
            )[0]
        return 2 * float(half)


def curvature_of_balance(kernel: Kernel) -> sp.Expr:
    """Return C″(r) of the stationary field: what a layer changes of C is made good by what arrives, χ."""
    (solution,) = sp.solve(sum(change_of_covariance(kernel, _LAG, _CURVATURE)) + CHI, _CURVATURE)
    return solution


def lag_steps(kernel: Kernel, dim: int) -> tuple[Step, ...]:
    """Return the steps of r_*, the lag at which roughening and diffusion are equal."""
    roughening, diffusion = change_of_covariance(kernel, _LAG, _CURVATURE)
    balance = sp.expand(2 * (roughening - diffusion) / _CURVATURE)
    (solution,) = sp.solve(balance, _LAG)
    return (
        Step("Balance", "½τ²r² C″ and ½κC″ are equal", PositiveRoot(balance, _LAG)),
        Step("Solve", "√κ/τ; κ = 1/3 for the linear kernel; ω_* = 1/r_*", solution),
    )


def spectrum_steps(kernel: Kernel, dim: int) -> tuple[Step, ...]:
    """Return the steps of ω²S(ω) of the stationary field."""
    curvature = curvature_of_balance(kernel)
    width = sp.Symbol("b", positive=True)  # √κ/τ
    over_width = sp.simplify(curvature.subs(TAU, sp.sqrt(kernel_variance(kernel)) / width))
    constant, rest = sp.factor(over_width).as_independent(_LAG, as_Add=False)
    closed = -constant * _transform(rest, width)
    inserted = closed.subs(width, sp.sqrt(kernel_variance(kernel)) / TAU)
    return (
        Step(
            "Stationary covariance",
            "χ + ½(τ²r² + κ)C″(r) = 0 for lags below the scale of the forcing; ω²S is the transform of −C″",
            CosineTransform(-curvature, _LAG, _FREQUENCY),
        ),
        Step("Transform", "∫ cos(ωr)/(r² + b²) dr = π exp(−ωb)/b, b = √κ/τ", sp.simplify(inserted)),
    )


def _transform(rest: sp.Expr, width: sp.Symbol) -> sp.Expr:
    """Return ∫ rest·cos ωr dr for rest = q/(r² + b²), by sympy."""
    ratio = sp.simplify(rest * (_LAG**2 + width**2))
    if _LAG in ratio.free_symbols:
        raise ArithmeticError(f"{rest} has to be a multiple of 1/(r² + {width}²)")
    half = sp.integrate(sp.cos(_FREQUENCY * _LAG) / (_LAG**2 + width**2), (_LAG, 0, sp.oo))
    return 2 * ratio * sp.simplify(half.rewrite(sp.exp))


def gradient_steps(kernel: Kernel, dim: int) -> tuple[Step, ...]:
    """Return the steps of λ₂ of the stationary field."""
    spectrum = spectrum_steps(kernel, dim)[-1].expression
    integral = sp.Integral(spectrum / sp.pi, (_FREQUENCY, 0, sp.oo))
    return (
        Step("Integrate the spectrum", "λ₂ = ∫ω²S dω/2π", integral),
        Step(
            "At lag 0",
            "λ₂ = −C″(0) = 2χ/κ: what is lost is what is fed in",
            -curvature_of_balance(kernel).subs(_LAG, 0),
        ),
    )


def growth_of_small_slopes(kernel: Kernel, dim: int) -> tuple[Step, ...]:
    """Return the steps of the growth of the gradient variance, to second order in the slopes and in 1/ℓ."""
    layer = OneLayer(kernel, 1, _SCALE)
    growth = layer.growth(layer.kept, SmoothedWeight)
    covariance = input_covariance(1)
    moments = {_SECOND: covariance.second_moment(), _FOURTH: covariance.fourth_moment()}
    return (
        Step(
            "Small slopes and smooth fields",
            "both lengths 1/h times as long, so that the slopes are τh, and 1/ℓ and 1/ℓ_ε of the order h",
            1 + SmallScaleLimit((growth - 1) / _SCALE**2, _SCALE),
        ),
        Step(
            "Expand",
            "a layer adds ½(v(r) + κ)C″(r) to C, v(r) = τ²r²: its curvature at r = 0, relative to C″(0), is "
            "τ² − ½κλ₄/λ₂, and λ₄/λ₂ = 3/ℓ²",
            sp.expand(1 + _relative_growth(kernel).subs(moments)),
        ),
    )


def _relative_growth(kernel: Kernel) -> sp.Expr:
    """Return by what share λ₂ = −C″(0) grows in a layer, in terms of λ₂ and λ₄ = C⁗(0) before it."""
    curvature = sp.Function("C''")(_LAG)
    change = sum(change_of_covariance(kernel, _LAG, _CURVATURE)).subs(_CURVATURE, curvature)
    second = change.diff(_LAG, 2).expand()
    at_zero = second.subs({curvature.diff(_LAG, 2): _FOURTH, curvature: -_SECOND}).subs(_LAG, 0).doit()
    return sp.expand(-at_zero / _SECOND)


def least_layers(kernel: Kernel, dim: int) -> tuple[Step, ...]:
    """Return the steps of the fewest layers in which the gradient variance can stop growing."""
    covariance = input_covariance(1)
    start = covariance.fourth_moment() / covariance.second_moment()
    (fourth,) = sp.solve(_relative_growth(kernel), _FOURTH)
    end = fourth / _SECOND
    density = normal_density(_NORMAL, sp.Integer(0), sp.Integer(1))
    factors = [_factor_of_moment(order) for order in (4, 2)]
    moments = [sp.Integral(factor * density, (_NORMAL, -sp.oo, sp.oo)) for factor in factors]
    closed = [gaussian_mean(factor, {_NORMAL: sp.Integer(1)}) for factor in factors]
    return (
        Step(
            "Roughen alone",
            "growth stops where λ₄/λ₂ = 2τ²/κ; without the kernel C(r + η), η = rτZ, has the derivatives (1 + τZ)ⁿ "
            "C⁽ⁿ⁾(0): a layer multiplies λ₄ by E(1 + τZ)⁴ and λ₂ by E(1 + τZ)², and diffusion only lowers λ₄/λ₂, since "
            "λ₄² ≤ λ₂λ₆ (Cauchy–Schwarz)",
            sp.log(end / start) / sp.log(moments[0] / moments[1]),
        ),
        Step("Moments", "of a normal variable", sp.log(sp.simplify(end / start)) / sp.log(closed[0] / closed[1])),
    )


def _factor_of_moment(order: int) -> sp.Expr:
    """Return the n-th derivative of C(r(1 + τZ)) at r = 0 over that of C, by expanding a wave of any frequency."""
    moved, still = (
        sp.exp(sp.I * _FREQUENCY * _LAG * factor).diff(_LAG, order).subs(_LAG, 0) for factor in (1 + TAU * _NORMAL, 1)
    )
    return sp.expand(sp.cancel(moved / still))
