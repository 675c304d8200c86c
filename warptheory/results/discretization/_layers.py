"""What layers of smooth offsets do to a smooth field on the grid: variance is lost, the gradient's may grow (D6)."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import sympy as sp

from warptheory.fields import SquaredExponential
from warptheory.kernels import Kernel
from warptheory.results.discretization._chain import (
    CovarianceAfterLayers,
    LayersOfGrowth,
    LayersOfGrowthByWalks,
    MeanOverWalks,
)
from warptheory.results.discretization._definition import derived_weights, variance_of_difference
from warptheory.results.discretization._power import LAYERS
from warptheory.results.discretization._walkers import (
    LatticeSum,
    PairWeight,
    SmoothedWeight,
    StepWeight,
    WalkingWeight,
)
from warptheory.symbolic import GaussianField, OffsetField, Step, Variance, WarpedField, warp
from warptheory.symbolic._nodes import ExpectedValue, Opaque, field_covariance, kernel_argument, known_covariances
from warptheory.symbolic._slopes import TAU

LENGTH = sp.Symbol("ell", positive=True)  # of the input's correlation, in pixels
OFFSET_LENGTH = sp.Symbol("ell_epsilon", positive=True)  # of the offsets'
Lag = tuple[int, ...]
_ONE = sp.Integer(1)

_MOMENTS = "of y[n] = Σ k(p − m) x[m], p = n + ε(n) + u; all means are zero"
_WRITTEN = "the covariance of x is inserted, and E is over u and η = ε(n + Δ) − ε(n)"
_AVERAGED = (
    "every fraction of p is equally likely through u, whatever η is: by the algebra of two warped values Σ a(Δ + η − "
    "δ) C(δ) is left, for any C; η ~ N(0, v), v = 2(K(0) − K(Δ)) = Var(ε(n + Δ) − ε(n))"
)
_MOST_LAYERS = 64


def input_covariance(dim: int, scale: sp.Expr = _ONE) -> SquaredExponential:
    """Return C(τ) = exp(−|τ|²/2ℓ²), of lags that are scaled."""
    return SquaredExponential(LENGTH / scale, 1, dim)


def offset_covariance(dim: int, scale: sp.Expr = _ONE) -> SquaredExponential:
    """Return K(τ) = τ²ℓ_ε² exp(−|τ|²/2ℓ_ε²), whose slopes have the variance τ², of lags that are scaled."""
    return SquaredExponential(OFFSET_LENGTH / scale, (TAU * OFFSET_LENGTH) ** 2, dim)


@dataclass(frozen=True)
class OneLayer:
    """What one layer makes of C.

    Attributes:
        kernel: the kernel.
        dim: number d of axes.
        scale: the size of a pixel relative to both lengths.
    """

    kernel: Kernel
    dim: int
    scale: sp.Expr = _ONE

    @property
    def together(self) -> Lag:
        """Lag 0."""
        return (0,) * self.dim

    @property
    def neighbours(self) -> Lag:
        """Lag 1 along the first axis."""
        return (1, *(0,) * (self.dim - 1))

    def before(self, lag: Lag) -> sp.Expr:
        """Return C(Δ)."""
        return self._before(*lag)

    def after(self, weight: type[StepWeight], lag: Lag) -> sp.Expr:
        """Return C_y(Δ) = Σ_δ ∏ M(Δᵢ − δᵢ) C(δ), with the weights in one of their forms."""
        names = ("delta",) if self.dim == 1 else tuple(f"delta_{axis + 1}" for axis in range(self.dim))
        ends = tuple(sp.Symbol(name, integer=True) for name in names)
        spread = variance_of_difference(offset_covariance(self.dim, self.scale), lag)
        kernel = kernel_argument(self.kernel)
        weights = (weight(kernel, start - end, spread) for start, end in zip(lag, ends, strict=True))
        return LatticeSum(sp.Mul(*weights) * self._before(*ends), *ends)

    @property
    def kept(self) -> sp.Expr:
        """C_y(0) = Σ_δ ∏ a(δᵢ) C(δ), a sum over few lags."""
        a = derived_weights(self.kernel)
        lags = range(-a.reach, a.reach + 1)
        values = {lag: a.value(sp.Integer(lag)) for lag in lags}
        ends = itertools.product(lags, repeat=self.dim)
        return sp.Add(*(sp.Mul(*(values[part] for part in end)) * self._before(*end) for end in ends))

    def growth(self, same: sp.Expr, weight: type[StepWeight]) -> sp.Expr:
        """Return (C_y(0) − C_y(1))/(C(0) − C(1)).

        Args:
            same: C_y(0).
            weight: the form of the weights in C_y(1).
        """
        before = self.before(self.together) - self.before(self.neighbours)
        return (same - self.after(weight, self.neighbours)) / before

    def _before(self, *lag: sp.Expr | int) -> sp.Expr:
        field = GaussianField("x", input_covariance(self.dim, self.scale))
        return field_covariance(field, lag)


def loss_steps(kernel: Kernel, dim: int) -> tuple[Step, ...]:
    """Return the steps of 1 − C_y(0)/C(0) after one layer."""
    layer = OneLayer(kernel, dim)
    y = _warped(layer)
    variance = layer.before(layer.together)
    lost = 1 - layer.kept / variance
    *_, averaged = Variance(y[layer.together]).derive().steps
    if known_covariances(sp.expand(averaged.expression - layer.kept)) != 0:
        raise ArithmeticError(f"{layer.kept} has to be {averaged.expression}")
    inserted = known_covariances(lost)
    return (
        Step("Moments", _MOMENTS, 1 - ExpectedValue(y[layer.together] ** 2) / variance),
        Step("Condition on the offsets", _WRITTEN, 1 - layer.after(PairWeight, layer.together) / variance),
        Step("Average over the fraction", "one position: E Σₘ k(u − m) k(u − m + δ) = a(δ)", lost),
        Step("Insert the covariance", "C(δ) at the lags that are left", sp.factor_terms(inserted)),
    )


def growth_steps(kernel: Kernel, dim: int) -> tuple[Step, ...]:
    """Return the steps of (C_y(0) − C_y(1))/(C(0) − C(1)) after one layer."""
    layer = OneLayer(kernel, dim)
    y, before = _warped(layer), layer.before(layer.together) - layer.before(layer.neighbours)
    moments = ExpectedValue(y[layer.together] ** 2) - ExpectedValue(y[layer.together] * y[layer.neighbours])
    written = layer.growth(layer.after(PairWeight, layer.together), PairWeight)
    return (
        Step("Moments", _MOMENTS, moments / before),
        Step("Condition on the offsets", _WRITTEN, written),
        Step("Average over the shared offset", _AVERAGED, layer.growth(layer.kept, WalkingWeight)),
        Step(
            "Average over η",
            "a_v(z) = E a(z + η): a is made of polynomials, and their truncated normal moments of error functions",
            layer.growth(layer.kept, SmoothedWeight),
        ),
    )


def _warped(layer: OneLayer) -> WarpedField:
    """Return y = Wx, read at fractions that are all equally likely."""
    x = GaussianField("x", input_covariance(layer.dim, layer.scale))
    return warp(x, OffsetField("uniform", layer.dim, scale=sp.Rational(1, 2)), layer.kernel)


def loss_of_layers(kernel: Kernel, dim: int) -> tuple[Step, ...]:
    """Return the steps of 1 − C_L(0)/C(0)."""
    layer = OneLayer(kernel, dim)
    return _through_layers(layer, lambda at: 1 - at(layer.together) / layer.before(layer.together))


def growth_of_layers(kernel: Kernel, dim: int) -> tuple[Step, ...]:
    """Return the steps of (C_L(0) − C_L(1))/(C(0) − C(1))."""
    layer = OneLayer(kernel, dim)
    before = layer.before(layer.together) - layer.before(layer.neighbours)
    return _through_layers(layer, lambda at: (at(layer.together) - at(layer.neighbours)) / before)


def _through_layers(layer: OneLayer, written: Callable[[Callable[[Lag], sp.Expr]], sp.Expr]) -> tuple[Step, ...]:
    """Return the two routes to a function of C_L."""
    derived_weights(layer.kernel)  # which both take for granted

    def at(node: type[CovarianceAfterLayers]) -> Callable[[Lag], sp.Expr]:
        return lambda lag: node(*_chain(layer.kernel, layer.dim), LAYERS, *lag)

    return (
        Step(
            "Push the covariance",
            "C_l(Δ) = Σ_δ ∏ a_v(Δᵢ − δᵢ) C_{l−1}(δ), v = 2(K(0) − K(Δ)): the algebra of one layer holds for any C, and "
            "what a layer receives is again homogeneous, of mean zero, and independent of its offsets",
            written(at(CovarianceAfterLayers)),
        ),
        Step(
            "Follow two walkers",
            "the weights of a row sum to one, and for the linear kernel none is negative: C_L(Δ) = E C(Δ_L), where "
            "Δ_L is the distance of two walkers after L steps, each by η and by a step of law a",
            written(at(MeanOverWalks)),
        ),
    )


def layers_of_growth(kernel: Kernel, dim: int) -> tuple[Step, ...]:
    """Return the steps of the number of layers in which the gradient variance grows."""
    arguments = (*_chain(kernel, dim), _MOST_LAYERS, *OneLayer(kernel, dim).neighbours)
    first = "G_L = 2(C_L(0) − C_L(1)), layer after layer"
    return (
        Step("Push the covariance", first, LayersOfGrowth(*arguments)),
        Step("Follow two walkers", "both covariances as means over walks", LayersOfGrowthByWalks(*arguments)),
    )


def _chain(kernel: Kernel, dim: int) -> tuple[Opaque, ...]:
    return kernel_argument(kernel), Opaque(offset_covariance(dim)), Opaque(input_covariance(dim))
