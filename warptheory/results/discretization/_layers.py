"""What layers of smooth offsets make of a smooth field on the grid, by formulas and drawn (D8, D9)."""

import itertools
from abc import abstractmethod
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import kernels, warping
from warptheory.fields import SquaredExponential, kept_sampler
from warptheory.kernels import Kernel
from warptheory.results._depth import LAYERS
from warptheory.results._experiment import DerivedExperiment, DerivedStatistic
from warptheory.results._ranges import Range
from warptheory.results._result import Result
from warptheory.results._setting import TAU, Setting
from warptheory.results.discretization._chain import CovarianceAfterLayers, MeanOverWalks
from warptheory.results.discretization._definition import derived_weights, variance_of_difference
from warptheory.results.discretization._walkers import LatticeSum, StepWeight
from warptheory.results.fields._fields import check_length
from warptheory.symbolic import GaussianField, OffsetField, Step, WarpedField, warp
from warptheory.symbolic.covariance_nodes import field_covariance
from warptheory.symbolic.nodes import Opaque, kernel_argument
from warptheory.symbolic.offset_fields import axis_symbols

WALKERS = (
    "All pixels of a layer share an offset that is uniform over a pixel, beside homogeneous Gaussian offsets of "
    "covariance K per component; the layers' offsets are independent of each other and of the input. (Without the "
    "shared one the error is of the order exp(−π²(K(0) + K(Δ))): the mean of two pixels' offsets takes its place.)",
    "The input is homogeneous, C its covariance; a periodic grid, or one without an edge.",
    "k is even, a partition of unity, and made of finitely many polynomials.",
)
VALUES: Mapping[str, float] = {
    "tau": Range(0.4, 0.3, 0.8),
    "ell": Range(4.0, 2.5, 6.0),
    "ell_epsilon": Range(3.0, 2.0, 5.0),
}
NOTATION: Mapping[str, str] = {
    "ell": "the length of the input's covariance, in pixels",
    "ell_epsilon": "the length of the offsets' covariance, in pixels",
}
LENGTH = sp.Symbol("ell", positive=True)  # of the input's correlation, in pixels
OFFSET_LENGTH = sp.Symbol("ell_epsilon", positive=True)  # of the offsets'
Lag = tuple[int, ...]
_ONE = sp.Integer(1)

MOMENTS = "of y[n] = Σ k(p − m) x[m], p = n + ε(n) + u; all means are zero"
CONDITIONED = "the covariance of x is inserted, and E is over u and η = ε(n + Δ) − ε(n)"


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

    @property
    def warped(self) -> WarpedField:
        """Y = Wx, read at fractions that are all equally likely."""
        x = GaussianField("x", input_covariance(self.dim, self.scale))
        return warp(x, OffsetField("uniform", self.dim, scale=sp.Rational(1, 2)), self.kernel)

    def before(self, lag: Lag) -> sp.Expr:
        """Return C(Δ)."""
        return self._before(*lag)

    def after(self, weight: type[StepWeight], lag: Lag) -> sp.Expr:
        """Return C_y(Δ) = Σ_δ ∏ M(Δᵢ − δᵢ) C(δ), with the weights in one of their forms."""
        ends = axis_symbols("delta", self.dim, integer=True)
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


def through_layers(layer: OneLayer, written: Callable[[Callable[[Lag], sp.Expr]], sp.Expr]) -> tuple[Step, ...]:
    """Return the two routes to a function of C_L."""
    derived_weights(layer.kernel)  # which both take for granted

    def at(node: type[CovarianceAfterLayers]) -> Callable[[Lag], sp.Expr]:
        return lambda lag: node(*chain_arguments(layer), LAYERS, *lag)

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


def chain_arguments(layer: OneLayer) -> tuple[Opaque, ...]:
    """Return the kernel and the covariances of offsets and input as arguments of `CovarianceAfterLayers`."""
    return kernel_argument(layer.kernel), Opaque(offset_covariance(layer.dim)), Opaque(input_covariance(layer.dim))


@dataclass(frozen=True)
class LayersExperiment(DerivedExperiment):
    """What layers make of a smooth Gaussian field on a periodic grid; a row is what is seen of one such field.

    The offsets of a layer are a Gaussian field of covariance K for each component, and one vector for all pixels,
    uniform over a pixel.
    """

    pixels: ClassVar[Mapping[int, int]] = {1: 256, 2: 40}  # far enough round for what is correlated over 4 of them
    is_smooth: ClassVar[bool] = True  # whether there are offsets of covariance K
    is_stack: ClassVar[bool] = False  # whether the number of layers is open; else there is one

    @property
    def symbols(self) -> Set[str]:
        """The field's length, slope and length of smooth offsets, and the number of layers if it is open."""
        offsets = {TAU.name, OFFSET_LENGTH.name} if self.is_smooth else set()
        return {LENGTH.name} | offsets | ({LAYERS.name} if self.is_stack else set())

    def check_values(self, values: Mapping[str, float]) -> None:
        """Check that the field and the smooth offsets are short against the period of the grid."""
        for length in (LENGTH, OFFSET_LENGTH) if self.is_smooth else ():
            check_length(length.name, values[length.name], 0.0, float(self.grid[0]))

    @property
    def layer(self) -> OneLayer:
        """What one of the layers makes of C."""
        return OneLayer(self.kernel, self.setting.dim)

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw fields and offsets, and return what is seen of them, shape (rows,)."""
        dim = self.setting.dim
        covariance, offsets = (of(dim).subs(values) for of in (input_covariance, offset_covariance))
        x = kept_sampler(covariance, self.grid, periodic=True).sample(rows, generator, device=device)
        y = x
        for _ in range(int(values[LAYERS.name]) if self.is_stack else 1):
            shared = torch.from_numpy(generator.random((rows, dim, *[1] * dim))).to(device)
            moved = shared.expand(rows, dim, *x.shape[2:])
            if self.is_smooth:
                field = kept_sampler(offsets, self.grid, periodic=True)
                moved = moved + field.sample(rows, generator, channels=dim, device=device)
            y = warping.warp(y, moved, self.setting.kernel, "periodic")
        return self.seen(x, y, values)

    @abstractmethod
    def seen(
        self, x: Float[Tensor, "rows 1 *S"], y: Float[Tensor, "rows 1 *S"], values: Mapping[str, float]
    ) -> Float[Tensor, "rows"]:
        """Return what is seen of the layers' input and output, shape (rows,)."""


StepsOfKernel = Callable[[Kernel, int], tuple[Step, ...]]


def derived(result: Result, name: str, text: str, **options: Any) -> Callable[[StepsOfKernel], StepsOfKernel]:
    """Return what declares the steps for a kernel and a number of axes as a quantity of a result, which is not drawn.

    Args:
        result: the result.
        name: name of the quantity.
        text: the statistic in plain text.
        **options: as in `Result.quantity`.
    """

    def declare(steps: StepsOfKernel) -> StepsOfKernel:
        @result.quantity(name, **options)
        def states(setting: Setting) -> DerivedStatistic:
            return DerivedStatistic(text, partial(steps, kernels.get(setting.kernel), setting.dim))

        return steps

    return declare


def difference_power(x: Float[Tensor, "rows C *S"]) -> Float[Tensor, "rows"]:
    """Return the mean square of the differences of neighbours, over channels, pixels and axes, shape (rows,)."""
    axes = range(2, x.ndim)
    squares = [(x.roll(-1, axis) - x).square().flatten(1).mean(1) for axis in axes]
    return torch.stack(squares).mean(0)
