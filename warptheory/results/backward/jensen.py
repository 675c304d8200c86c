"""B6: a diffeomorphism keeps the energy of a homogeneous field forward, and raises it backward."""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory.results._experiment import DerivedExperiment
from warptheory.results._ranges import Range
from warptheory.results._result import Result
from warptheory.results._setting import TAU
from warptheory.results.backward._smooth_offsets import CrossedGrid, WaveGrid
from warptheory.symbolic import Step
from warptheory.symbolic.nodes import AsIntegral
from warptheory.symbolic.quadrature import Environment, Evaluate

result = Result(
    "B6",
    "The backward pass of a diffeomorphism gains energy",
    "φ(t) = t + ε(t) a diffeomorphism of the torus, g homogeneous: E (g∘φ)² = E g², but E (φ₊g)² = ⟨1/J⟩ E g², at "
    "least E g², with equality only for J ≡ 1 (Jensen). For εᵢ = τ sin tᵢ the backward gain is (1 − τ²)^(−d/2), "
    "and for small slopes 1 + E(div ε)². Slopes off the diagonal count from the fourth order on: ε₁ = τ sin t₂, ε₂ "
    "= τ sin t₁ has no divergence, J = 1 − τ² cos t₁ cos t₂, and the gain (2/π)K(m = τ⁴) = 1 + τ⁴/4 + …; either "
    "wave alone is a shear, J ≡ 1, and of gain 1. White g is not smooth on the scale of the grid: it has the gain "
    "ρ̄ᵈ of B1.",
    assumptions=(
        "The offsets are smooth on the scale of the grid and independent of g; J = det(I + ∇ε) > 0.",
        "g is homogeneous and smooth on the scale of the grid.",
        "Backward, the output grid is fine enough that neighbouring positions lie well within a pixel of each other.",
    ),
    source="arXiv 2511.20800, backward pass; transfer (Perron–Frobenius) operator; theory label B6",
    meaning="Smooth offsets leave smooth features as they are and amplify smooth gradients, by 1 + E(div ε)² a "
    "layer. Watch the slope of the offsets, since their size does not matter, and let stacks have Ldτ² "
    "below one.",
    kernels=("linear", "keys"),
    values={"tau": Range(0.5, 0.25, 0.75)},
)

_FREQUENCY = sp.Symbol("omega", real=True)


@result.quantity("forward gain")
class ForwardGain(DerivedExperiment):
    """E (g∘φ)², g a homogeneous field with E g² = 1: the energy of a random wave after `warp`."""

    text = "E (g∘φ)²"
    symbols = frozenset({TAU.name})

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from a mean over the wave's phase."""
        coordinates = _coordinates(self.setting.dim)
        phase, position = sp.symbols("theta alpha", real=True)
        squared_wave = (sp.sqrt(2) * sp.cos(position + phase)) ** 2
        displaced = sum(t + offset for t, offset in zip(coordinates, _offsets(coordinates), strict=True))
        over_phase = TorusMean(squared_wave.subs(position, _FREQUENCY * displaced), phase)
        in_exponentials = TorusMean(sp.expand(squared_wave.rewrite(sp.exp)), phase)
        gain = sp.simplify(in_exponentials.integral.doit())
        return (
            Step(
                "Average over the field",
                "g is a wave of random phase; at each t the mean is over its phase",
                over_phase,
            ),
            Step("Integrate", "whatever φ(t): the law of g(φ(t)) is that of g(t), for g is homogeneous", gain),
        )

    @property
    def waves(self) -> WaveGrid:
        """The grid of the waves."""
        return replace(WaveGrid.of(self.setting), oversampling=1)

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of output pixels."""
        return self.waves.points

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw waves and offsets, and return the gain of each; shape (rows,)."""
        return self.waves.warped_energy(_phases(generator, rows, self.setting.dim, device), values[TAU.name])


@result.quantity("backward gain")
class BackwardGain(DerivedExperiment):
    """E (φ₊g)², the mean square of the transfer operator's output for the same field: a random wave after `splat`."""

    text = "E (φ₊g)²"
    symbols = frozenset({TAU.name})

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from the change of variables to (1 − τ²)^(−d/2)."""
        dim = self.setting.dim
        coordinates = _coordinates(dim)
        jacobian = (sp.eye(dim) + _slopes(coordinates)).det()
        t, x = coordinates[0], sp.Symbol("x", real=True)
        along_an_axis = TorusMean(1 / (1 + sp.diff(_offsets((t,))[0], t)), t)
        in_half_angle = along_an_axis.integral.function.subs(sp.cos(t), (1 - x**2) / (1 + x**2)) * 2 / (1 + x**2)
        half_angle = sp.Integral(sp.cancel(in_half_angle), (x, -sp.oo, sp.oo))
        return (
            Step(
                "Change variables",
                "one preimage each: ∫ds E g(t)²/J² = E g² ∫dt 1/J, at least one since ∫dt J = 1 (Jensen)",
                TorusMean(1 / jacobian, *coordinates),
            ),
            Step("Separate the axes", "J is a product, εᵢ depends on tᵢ alone", along_an_axis**dim),
            Step("Take the half angle", "x = tan(t/2), cos t = (1 − x²)/(1 + x²), dt = 2dx/(1 + x²)", half_angle**dim),
            Step("Integrate", "|τ| < 1, where φ is a diffeomorphism", _rational(half_angle) ** dim),
        )

    @property
    def waves(self) -> WaveGrid:
        """The grid, of slopes up to 0.5."""
        return WaveGrid.of(self.setting)

    def check_values(self, values: Mapping[str, float]) -> None:
        """Check that a grid resolves the peaks of 1/J; raises as `WaveGrid.resolving`."""
        self.waves.resolving(values[TAU.name])

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of output pixels."""
        return self.waves.resolving(values[TAU.name]).points

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw waves and offsets, and return the gain of each; shape (rows,)."""
        phases, tau = _phases(generator, rows, self.setting.dim, device), values[TAU.name]
        return self.waves.resolving(tau).splatted_energy(phases, tau)


class ExcessGain(BackwardGain):
    """A backward gain of which what exceeds 1 is of interest."""

    def size(self, value: float) -> float:
        """Return how far a value lies from 1."""
        return abs(value - 1)


# A tenth of what the gain exceeds 1 by, here and below; J is 1 for every shear, which is one of the two waves.
@result.quantity(
    "backward gain, cross slopes",
    smallest_effect=0.1,
    kernels=("keys",),
    dims=(2,),
    values={"tau": Range(0.7, 0.55, 0.8)},
)
class CrossSlopes(ExcessGain):
    """The backward gain of offsets without a divergence, ε₁ = τ sin t₂, ε₂ = τ sin t₁."""

    text = "E [(φ₊g)² | ∂₁ε₁ = ∂₂ε₂ = 0]"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps to a complete elliptic integral, d = 2."""
        first, second = coordinates = _coordinates(2)
        offsets = sp.Matrix([TAU * sp.sin(second), TAU * sp.sin(first)])
        jacobian = sp.expand((sp.eye(2) + offsets.jacobian(sp.Matrix(coordinates))).det())
        # ⟨1/(1 + τ cos t)⟩, of which the sign of τ makes no difference
        along_first = BackwardGain(replace(self.setting, dim=1)).steps()[-1].expression
        amplitude = sp.diff(jacobian, first, 2).subs(first, sp.pi)
        given_second = along_first.subs(TAU, amplitude)
        modulus = sp.simplify((1 - given_second**-2) / sp.cos(second) ** 2)
        return (
            Step(
                "Change variables",
                "J = 1 − ∂₂ε₁ ∂₁ε₂: no divergence, and yet not 1; one preimage each, so that the gain is ⟨1/J⟩ as ever",
                TorusMean(1 / jacobian, *coordinates),
            ),
            Step(
                "Integrate along one axis",
                "given t₂ the mean is that of 1/(1 + a cos t) with a = −τ² cos t₂, |a| < 1",
                TorusMean(given_second, second),
            ),
            Step(
                "Integrate along the other",
                "K(m) = ∫₀^{π/2} (1 − m sin² t)^(−1/2) dt; of small slopes the excess over 1 is the mean of (det A)², "
                "τ⁴/4",
                2 / sp.pi * sp.elliptic_k(modulus),
            ),
        )

    @property
    def waves(self) -> WaveGrid:
        """A grid that takes 0.4 % off what the gain exceeds 1 by."""
        return CrossedGrid(self.setting.kernel, self.setting.dim, 48)


# The neglected fourth order is 0.8 % of what the gain exceeds 1 by at this slope. The kernel is the one that reproduces
# parabolas: the other's grid would cost another 0.6 %. In two dimensions the experiment has no scatter at small slopes,
# and sees the fourth order.
@result.quantity(
    "backward gain, small slopes",
    smallest_effect=0.1,
    kernels=("keys",),
    dims=(1,),
    values={"tau": Range(0.1, 0.06, 0.12)},
)
class SmallSlopes(ExcessGain):
    """The backward gain to second order in the slopes."""

    text = "E (φ₊g)² up to O(τ⁴)"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from the expansion of 1/J."""
        dim = self.setting.dim
        coordinates = _coordinates(dim)
        scale = sp.Symbol("eta", positive=True)
        slopes = _slopes(coordinates)
        inverse = 1 / (sp.eye(dim) + scale * slopes).det()
        expanded = sp.series(inverse, scale, 0, 3).removeO().subs(scale, 1)
        divergence = 1 + slopes.trace() ** 2
        return (
            Step("Expand 1/J", "to second order in the slopes", TorusMean(sp.expand(expanded), *coordinates)),
            Step(
                "Use periodicity",
                "1/J = 1 − tr A + (tr A)² − e₂(A) + …; tr A and e₂(A) are divergences, of mean zero on the torus",
                TorusMean(divergence, *coordinates),
            ),
            Step("Integrate", "1 + E (div ε)²", sp.simplify(TorusMean(divergence, *coordinates).integral.doit())),
        )


def _phases(generator: np.random.Generator, rows: int, dim: int, device: str) -> Float[Tensor, "rows phases"]:
    """Draw θ and θ₁ … θ_d, shape (rows, 1 + d)."""
    return torch.from_numpy(2 * math.pi * generator.random((rows, 1 + dim))).to(device)


def _coordinates(dim: int) -> tuple[sp.Symbol, ...]:
    return tuple(sp.Symbol(f"t_{axis + 1}", real=True) for axis in range(dim))


def _offsets(coordinates: tuple[sp.Symbol, ...]) -> sp.Matrix:
    return sp.Matrix([TAU * sp.sin(t) for t in coordinates])


def _slopes(coordinates: tuple[sp.Symbol, ...]) -> sp.Matrix:
    return _offsets(coordinates).jacobian(sp.Matrix(coordinates))


def _rational(integral: sp.Integral) -> sp.Expr:
    """Integrate 1/(p + qx²) over the line for 0 < τ < 1, where q = 1 − τ is positive."""
    x = integral.variables[0]
    rest = sp.Symbol("q", positive=True)
    integrand = sp.cancel(integral.function.subs(TAU, 1 - rest))
    numerator, denominator = sp.fraction(integrand)
    quadratic = sp.Poly(denominator, x)
    constant = sp.Symbol("p", positive=True)
    found = sp.integrate(numerator / (constant + quadratic.coeff_monomial(x**2) * x**2), (x, -sp.oo, sp.oo))
    closed = found.subs(constant, quadratic.coeff_monomial(1)).subs(rest, 1 - TAU)
    return 1 / sp.sqrt(sp.expand(closed**-2))


_TORUS_POINTS = {1: 512, 2: 256, 3: 96}  # along each axis


class TorusMean(AsIntegral):
    """The mean of a function over the torus [0, 2π)ᵈ: args (function, t₁, …, t_d).

    Its number comes from the trapezoid rule, which converges geometrically for smooth periodic functions.
    """

    bound = slice(1, None)

    @property
    def integral(self) -> sp.Integral:
        """The mean as an integral, to be done."""
        function, *coordinates = self.args
        period = 2 * sp.pi
        return sp.Integral(function / period ** len(coordinates), *((t, 0, period) for t in coordinates))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Sum over a grid."""
        function, *coordinates = self.args
        points = 2 * np.pi * np.arange(_TORUS_POINTS[len(coordinates)]) / _TORUS_POINTS[len(coordinates)]
        grid = np.meshgrid(*[points] * len(coordinates), indexing="ij")
        values = evaluate(function, {**environment, **dict(zip(coordinates, grid, strict=True))})
        return float(np.mean(values))
