"""The power transfer of a layer whose pixels share one offset: R̂(ω) = Σ_Δ a(Δ) cos ωΔ (D6)."""

import numpy as np
import sympy as sp

from warptheory.kernels import Kernel
from warptheory.results.discretization._walkers import (
    PairWeight,
    autocorrelation,
    kernel_variance,
    polynomial_pieces,
)
from warptheory.symbolic import OffsetField, Step
from warptheory.symbolic._averages import averaging_reason, evaluate_averages
from warptheory.symbolic._nodes import KernelValue, Node, OffsetAverage, Opaque, kernel_argument
from warptheory.symbolic._quadrature import Environment, Evaluate
from warptheory.symbolic._stacks import Layer, reading

LAYERS = sp.Symbol("L", positive=True, integer=True)
_TAP = sp.Symbol("m", integer=True)


def frequencies(dim: int) -> tuple[sp.Symbol, ...]:
    """Return ω, or ω₁ … ω_d, in radians per pixel."""
    names = ["omega"] if dim == 1 else [f"omega_{axis + 1}" for axis in range(dim)]
    return tuple(sp.Symbol(name, real=True) for name in names)


def uniform_power(kernel: Kernel, dim: int) -> tuple[Step, ...]:
    """Return the steps of R̂ for an offset that is uniform over a pixel."""
    *steps, last = power_steps(OffsetField("uniform", dim, scale=sp.Rational(1, 2), shared=True), kernel)
    kept = sp.Mul(*(1 - _lost(kernel, omega) for omega in frequencies(dim)))
    if sp.expand((kept - last.expression).rewrite(sp.exp)) != 0:
        raise ArithmeticError(f"{kept} has to equal {last.expression}")
    reason = "Σ a(j) = 1: nothing is lost at ω = 0; and 1 − cos jω = 2 sin²(jω/2)"
    return (*steps, last, Step("Use the partition of unity", reason, kept))


def normal_power(kernel: Kernel, dim: int) -> tuple[Step, ...]:
    """Return the steps for an offset that is N(0, s²), whose fractions are not equally likely."""
    return power_steps(OffsetField("normal", dim, shared=True), kernel)


class WaveThroughLayers(Node):
    """C_L(0) of a wave, C₀(δ) = exp(iω·δ): args (kernel, L, ω₁, …, ω_d); its number from layer after layer."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return C_L(0)."""
        return sp.Function(f"C_{self.args[1]}")(*[0] * len(self.args[2:]))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Apply C(Δ) ↦ Σ_δ E[Σₘ k(u − m) k(u + Δ − δ − m)] C(δ) along each axis, by quadrature over u."""
        kernel, layers = self.args[0].content, int(evaluate(self.args[1], environment))
        reach = 2 * kernel.reach
        weights = PairWeight(self.args[0], 0, 0).weights(np.arange(-reach, reach + 1.0), 0.0)
        lags = np.arange(-reach * layers, reach * layers + 1)
        left = 1.0
        for omega in self.args[2:]:
            wave = np.exp(1j * float(evaluate(omega, environment)) * lags)
            for _ in range(layers):
                wave = np.convolve(wave, weights, mode="valid")
            left *= wave.item().real
        return left


def power_of_layers(kernel: Kernel, dim: int) -> tuple[Step, ...]:
    """Take the steps of one layer to the power L, the solution of P(l + 1) = R̂ P(l), P(0) = 1."""
    layer, transfer = sp.Function("P"), sp.Symbol("R", positive=True)
    before = sp.Symbol("l", integer=True, nonnegative=True)
    powers = sp.rsolve(layer(before + 1) - transfer * layer(before), layer(before), {layer(0): 1})
    reason = (
        "a wave remains a wave, and each layer's offset is independent of the others': P(l + 1) = R̂ P(l), P(0) = 1; "
    )
    whole = WaveThroughLayers(kernel_argument(kernel), LAYERS, *frequencies(dim))
    return (
        Step("Push the covariance of a wave", "C_l(Δ) = Σ_δ a(Δ − δ) C_{l−1}(δ) from C₀(δ) = exp(iω·δ)", whole),
        *(
            Step(step.name, reason * (number == 0) + step.reason, powers.subs({before: LAYERS, transfer: one}))
            for number, step in enumerate(uniform_power(kernel, dim))
            for one in [step.expression]
        ),
    )


def power_steps(offsets: OffsetField, kernel: Kernel) -> tuple[Step, ...]:
    """Return the steps from the warped wave to the closed form.

    Args:
        offsets: the offset of all pixels.
        kernel: a kernel of finitely many taps.
    """
    omegas = frequencies(offsets.dim)
    waves = (
        sp.Abs(_response(kernel, symbol, omega)) ** 2 for symbol, omega in zip(offsets.symbols, omegas, strict=True)
    )
    whole = Step(
        "Warp a wave",
        "x[m] = exp(iω·m) and one offset ε for all pixels: y[n] = exp(iω·n) ∏ Σ k(ε − m) exp(iωm) is the same wave "
        "times a factor, whose squared modulus is averaged over ε",
        OffsetAverage(sp.Mul(*waves), Opaque(offsets)),
    )
    line = offsets.line
    apart = sp.Mul(
        *(OffsetAverage(sp.Abs(_response(kernel, line.symbols[0], omega)) ** 2, Opaque(line)) for omega in omegas)
    )
    layer = Layer(line, kernel, is_splat=False)
    multiplied = sp.Mul(*(reading(layer, omega) for omega in omegas))
    averaged = evaluate_averages(multiplied)
    steps = (
        whole,
        Step("Separate the axes", "offsets along the axes are independent", apart),
        Step("Multiply out", "pairs of taps j apart have the phase jω; those of j and −j together", multiplied),
        Step("Average over the fraction", averaging_reason(multiplied, averaged), averaged),
    )
    return steps if offsets.dim > 1 else (steps[0], *steps[2:])


def _response(kernel: Kernel, offset: sp.Symbol, omega: sp.Symbol) -> sp.Expr:
    """Return Σₘ k(ε − m) exp(iωm)."""
    term = KernelValue(kernel_argument(kernel), 0, offset - _TAP, 0) * sp.exp(sp.I * omega * _TAP)
    return sp.Sum(term, (_TAP, -sp.oo, sp.oo))


def _lost(kernel: Kernel, omega: sp.Symbol) -> sp.Expr:
    """Return Σ_{j≥1} 4a(j) sin²(jω/2), the share of the power that is lost along an axis."""
    a = autocorrelation(kernel)
    lost = (4 * a.value(sp.Integer(j)) * sp.sin(j * omega / 2) ** 2 for j in range(1, a.reach))
    return sp.Add(*lost)


def kernel_variance_steps(kernel: Kernel, dim: int) -> tuple[Step, ...]:
    """Return the steps from −R̂″(0) to κ = ∫u² a(u) du = 2∫u² k(u) du; the number of axes does not matter.

    Raises:
        ArithmeticError: a kernel whose first moments are not those of its sums over the grid.
    """
    omega, u = frequencies(1)[0], sp.Symbol("u", real=True)
    transfer, variance = uniform_power(kernel, 1)[-1].expression, kernel_variance(kernel)
    curvature = -sp.diff(transfer, omega, 2).subs(omega, 0)
    if curvature != variance:
        raise ArithmeticError(f"of {kernel.name} the second moment of a over the grid depends on the phase")
    pieces = polynomial_pieces(kernel)
    integral = sp.Add(*(sp.Integral(u**2 * piece.expression, (u, piece.lower, piece.upper)) for piece in pieces))
    return (
        Step("Curvature at frequency 0", "−R̂″(0) = Σ j² a(j)", curvature),
        Step(
            "Moments",
            "k reproduces lines, so that k̂ has double zeros at 2πj and |k̂|² fourfold ones: the sum over the grid is "
            "κ = ∫u² a(u) du, whatever the phase, twice the variance of the even kernel k",
            2 * integral,
        ),
        Step("Integrate", "piece by piece", variance),
    )
