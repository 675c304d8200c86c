"""D10: where roughening and numerical diffusion balance, and what spectrum is left."""

import math
import warnings
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from numpy import ndarray
from scipy import integrate, optimize
from torch import Tensor

from warptheory import warping
from warptheory.core.errors import ArgumentError
from warptheory.kernels import Kernel
from warptheory.results._experiment import DerivedExperiment
from warptheory.results._ranges import Range
from warptheory.results._result import Result
from warptheory.results._setting import TAU
from warptheory.results.discretization._definition import change_of_covariance, derived_weights
from warptheory.results.discretization._layers import WALKERS, derived, difference_power
from warptheory.results.discretization._stationary import MeanForce, SolvedPower, StationaryGradient, StationaryPower
from warptheory.results.discretization._walkers import kernel_variance
from warptheory.symbolic import Step
from warptheory.symbolic.nodes import AsIntegral, Node, kernel_argument
from warptheory.symbolic.quadrature import Environment, Evaluate

result = Result(
    "D10",
    "Equilibrium of roughening and numerical diffusion",
    "What a layer adds to C, ½(τ²r² + κ)C″(r) (D9), is roughening at large lags and diffusion at small ones; they are "
    "equal at r_* = √κ/τ, for linear 1/(τ√3). Where variance arrives at large scales at a rate χ a layer, net of what "
    "stays there, ω²S ∝ exp(−r_*|ω|) and λ₂ = 2χ/κ: for linear exp(−|ω|/√3τ) and 6χ.",
    assumptions=(
        *WALKERS,
        "The mean over the axis is taken off after each layer, since walkers of compressible offsets stay together and "
        "variance that is fed in gathers there: c a layer of it, and χ − c reaches the grid.",
        "Continuum: one axis, small slopes, fields smooth on the scale of the grid, lags below those of K and F.",
    ),
    source=(
        "arXiv 2511.20800, discretization; theory label D6, here D10; G. K. Batchelor, J. Fluid Mech. 5, 1959, and R. "
        "H. Kraichnan, Phys. Fluids 11, 1968, for the balance of straining and diffusion"
    ),
    meaning="Deep stacks come to a spectrum of their own, which depends on the slopes of the offsets and not on "
    "the input. Features behind many warps look alike, so let a shortcut carry what should stay.",
    kernels=("linear", "keys"),
    values={"tau": Range(0.4, 0.3, 0.8), "chi": Range(1.0, 0.5, 2.0, "log")},
    notation={
        "chi": "the variance that a source adds before every layer",
        "omega": "the frequency of a wave, in radians per pixel",
        "r_*": "the lag at which diffusion by the kernel and growth by the slopes balance",
    },
)

CHI = sp.Symbol("chi", positive=True)  # the variance that a layer adds
PERIOD = 32  # pixels
MODES = (3, 7)  # whose powers are compared: 0.7 and 1.6 times √3 τ at τ = 0.5
GRADIENT = "gradient variance at equilibrium"
RATIO = "ratio of powers at equilibrium"
_STEEP = {"tau": Range(0.5, 0.35, 0.8)}
_CHANNELS = 8
_BURN_IN = 60  # layers; what remains of the start falls by 0.888 a layer at τ = 0.5, to 0.1 %
_LEAST_SLOPE = 0.05
_MEASURED = 90
_EVERY = 3


def burn_in(tau: float) -> int:
    """Return the layers after which the start is forgotten; below τ = 0.5 each forgets a share of order τ²."""
    return math.ceil(_BURN_IN * max(1.0, 0.5 / tau) ** 2)


@dataclass(frozen=True)
class EquilibriumExperiment(DerivedExperiment):
    """A field that passes layer after layer, each of which adds variance at the largest scale.

    x ← Wx + f on a periodic line, and the mean of x taken off. The offsets are a random wave of the period, of slopes
    N(0, τ²), and one number for all pixels, uniform over a pixel; f is a random wave of the period of variance χ. A
    row is one such history from x = 0 on, with eight channels that share the offsets, averaged over its later layers.
    """

    symbols = frozenset({TAU.name, CHI.name})

    def check_values(self, values: Mapping[str, float]) -> None:
        """Check that the start is forgotten in some thousand layers."""
        if values[TAU.name] < _LEAST_SLOPE:
            most = burn_in(_LEAST_SLOPE)
            expected = f"a slope of at least {_LEAST_SLOPE}; smaller ones take {most} layers or more"
            raise ArgumentError(TAU.name, expected=expected, received=values[TAU.name])

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of values of x: those of a row at a time, for its layers follow one another."""
        return _CHANNELS * PERIOD

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"] | Float[Tensor, "rows k"]:
        """Draw histories, and return what is measured of them, shape (rows,) or (rows, k)."""
        x = torch.zeros((rows, _CHANNELS, PERIOD), dtype=torch.float64, device=device)
        measured = []
        settled = burn_in(values[TAU.name])
        for layer in range(settled + _MEASURED):
            x = self._passed(x, generator, values)
            if layer >= settled and layer % _EVERY == 0:
                measured.append(self.measure(x))
        return torch.stack(measured).mean(0)

    @abstractmethod
    def measure(self, x: Float[Tensor, "rows C N"]) -> Float[Tensor, "rows"] | Float[Tensor, "rows k"]:
        """Return what is measured of a layer's output, shape (rows,) or (rows, k)."""

    def _passed(self, x: Tensor, generator: np.random.Generator, values: Mapping[str, float]) -> Tensor:
        rows, channels, period = x.shape
        wave = _random_waves(generator, (rows, 1), period).to(x.device)
        shared = torch.from_numpy(generator.random((rows, 1, 1))).to(x.device)
        offsets = values[TAU.name] * period / (2 * math.pi) * wave + shared
        force = math.sqrt(values[CHI.name]) * _random_waves(generator, (rows, channels), period).to(x.device)
        y = warping.warp(x, offsets, self.setting.kernel, "periodic") + force
        return y - y.mean(-1, keepdim=True)


def _random_waves(generator: np.random.Generator, shape: tuple[int, ...], period: int) -> Tensor:
    """Return ξ cos kn + ζ sin kn, k = 2π/period, ξ and ζ standard normal, shape (*shape, period)."""
    phase = 2 * math.pi / period * np.arange(period)
    return torch.from_numpy(generator.standard_normal((*shape, 2)) @ np.stack([np.cos(phase), np.sin(phase)]))


# Kernels of more than two taps balance C(0) with more than C(1).
@result.quantity(GRADIENT, smallest_effect=0.03, kernels=("linear",), dims=(1,), values=_STEEP)
@dataclass(frozen=True)
class GradientAtEquilibrium(EquilibriumExperiment):
    """The variance of the differences of neighbours, 2(C(0) − C(1))."""

    text = "2(C(0) − C(1)) at equilibrium"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from the iterated layers to the balance of the variance.

        Raises:
            ArithmeticError: a kernel of which more than the nearest lags take part.
        """
        kernel = self.kernel
        balance = (CHI - _stationary(MeanForce, kernel, 0)) / _loss_by_gradient(kernel)
        return (
            Step("Iterate the layers", _SETTLED, _stationary(StationaryGradient, kernel, 1)),
            Step(
                "Balance the variance",
                "at Δ = 0: C(0) − Σ a(δ) C(δ) = 2a(1)(C(0) − C(1)) is what a layer loses, and F(0) − c = χ − c what it "
                "gets; c = Σ π(Δ) F(Δ), πM = π, since Σ π(C − MC) = 0",
                balance,
            ),
        )

    def measure(self, x: Float[Tensor, "rows C N"]) -> Float[Tensor, "rows"]:
        """Return the mean square of the differences, shape (rows,)."""
        return difference_power(x)


@result.quantity(RATIO, smallest_effect=0.03, dims=(1,), values=_STEEP)
@dataclass(frozen=True)
class RatioAtEquilibrium(EquilibriumExperiment):
    """The power at the second of two frequencies over that at the first."""

    text = "S(7π/16)/S(3π/16) at equilibrium"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from the iterated layers to linear equations."""
        kernel = self.kernel
        low, high = MODES
        iterated, solved = (
            _stationary(node, kernel, high) / _stationary(node, kernel, low) for node in (StationaryPower, SolvedPower)
        )
        return (
            Step("Iterate the layers", _SETTLED + "; P is its transform", iterated),
            Step("Solve", "C = MC + F − c are as many linear equations as lags, with C(0) = 0 one more", solved),
        )

    def measure(self, x: Float[Tensor, "rows C N"]) -> Float[Tensor, "rows 2"]:
        """Return both powers, shape (rows, 2)."""
        power = torch.fft.rfft(x, norm="forward").abs().square().mean(1)
        return cast("Tensor", power[:, list(MODES)])

    def combine(self, means: Float[ndarray, "2"], values: Mapping[str, float]) -> tuple[float, Float[ndarray, "2"]]:
        """Return the ratio of the powers, and its gradient, shape (2,)."""
        low, high = means
        return float(high / low), np.array([-high / low**2, 1 / low])


_DISTANCE = sp.Symbol("Delta", real=True)
_SETTLED = (
    "x ← Wx + f and the mean of x taken off: C = MC + F − c, where c, the variance that the mean would gain, is "
    "taken off; C after so many layers that it no longer changes"
)


def _stationary(node: type[Node], kernel: Kernel, which: int) -> sp.Expr:
    """Return a quantity of the stationary covariance.

    Offsets and forcing are random waves of the period N: K(Δ) = (τ/k)² cos kΔ and F(Δ) = χ cos kΔ, k = 2π/N.
    """
    wavenumber = 2 * sp.pi / PERIOD
    wave = sp.cos(wavenumber * _DISTANCE)
    spread = 2 * (TAU / wavenumber) ** 2 * (1 - wave)
    return node(kernel_argument(kernel), spread, CHI * wave, _DISTANCE, PERIOD, which)


def _loss_by_gradient(kernel: Kernel) -> sp.Expr:
    """Return what a layer loses of C(0) over the gradient variance 2(C(0) − C(1)).

    Raises:
        ArithmeticError: it is not the same for every C.
    """
    a = derived_weights(kernel)
    values = [sp.Symbol(f"C_{lag}", real=True) for lag in range(a.reach)]
    lost = values[0] - sum(a.value(sp.Integer(lag)) * values[abs(lag)] for lag in range(1 - a.reach, a.reach))
    ratio = sp.cancel(lost / (2 * (values[0] - values[1])))
    if ratio.free_symbols:
        raise ArithmeticError(f"{kernel.name}: C(0) is balanced with more than C(1)")
    return ratio


_LAG = sp.Symbol("r", positive=True)
_CURVATURE = sp.Symbol("C''", real=True)  # C″(r)
_FREQUENCY = sp.Symbol("omega", positive=True)
_FARTHEST_LAG = 1e3  # pixels, in the search for a root


class PositiveRoot(Node):
    """The positive root of an increasing function: args (function, its symbol)."""

    bound = slice(1, 2)

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


class CosineTransform(AsIntegral):
    """∫ f(r) cos ωr dr over the line for an even f: args (f, r, ω)."""

    bound = slice(1, 2)

    @property
    def integral(self) -> sp.Expr:
        """Twice the integral over r > 0, to be done."""
        function, lag, frequency = self.args
        return 2 * sp.Integral(function * sp.cos(frequency * lag), (lag, 0, sp.oo))

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


def _curvature_of_balance(kernel: Kernel) -> sp.Expr:
    """Return C″(r) of the stationary field: what a layer changes of C is made good by what arrives, χ."""
    (solution,) = sp.solve(sum(change_of_covariance(kernel, _LAG, _CURVATURE)) + CHI, _CURVATURE)
    return solution


@derived(result, "lag of balance", "r_*", checked_by=(RATIO,))
def lag_steps(kernel: Kernel, dim: int) -> tuple[Step, ...]:
    """Return the steps of r_*, the lag at which roughening and diffusion are equal."""
    roughening, diffusion = change_of_covariance(kernel, _LAG, _CURVATURE)
    balance = sp.expand(2 * (roughening - diffusion) / _CURVATURE)
    (solution,) = sp.solve(balance, _LAG)
    return (
        Step("Balance", "½τ²r² C″ and ½κC″ are equal", PositiveRoot(balance, _LAG)),
        Step("Solve", "√κ/τ; κ = 1/3 for the linear kernel; ω_* = 1/r_*", solution),
    )


@derived(result, "gradient variance at equilibrium, continuum", "λ₂ at equilibrium", checked_by=(GRADIENT,))
def gradient_steps(kernel: Kernel, dim: int) -> tuple[Step, ...]:
    """Return the steps of λ₂ of the stationary field."""
    spectrum = spectrum_steps(kernel, dim)[-1].expression
    integral = sp.Integral(spectrum / sp.pi, (_FREQUENCY, 0, sp.oo))
    return (
        Step("Integrate the spectrum", "λ₂ = ∫ω²S dω/2π", integral),
        Step(
            "At lag 0",
            "λ₂ = −C″(0) = 2χ/κ: what is lost is what is fed in",
            -_curvature_of_balance(kernel).subs(_LAG, 0),
        ),
    )


@derived(result, "spectrum at equilibrium, continuum", "ω² S(ω) at equilibrium", checked_by=(RATIO,))
def spectrum_steps(kernel: Kernel, dim: int) -> tuple[Step, ...]:
    """Return the steps of ω²S(ω) of the stationary field."""
    curvature = _curvature_of_balance(kernel)
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
