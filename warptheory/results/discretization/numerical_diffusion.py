"""D6: each resampling blurs: the power that a wave has left."""

import math
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import warping
from warptheory.core.errors import ArgumentError
from warptheory.kernels import Kernel
from warptheory.results._depth import LAYERS
from warptheory.results._experiment import DerivedExperiment
from warptheory.results._ranges import Range, whole
from warptheory.results._result import Result
from warptheory.results._setting import Setting
from warptheory.results.discretization._layers import derived
from warptheory.results.discretization._walkers import PairWeight, autocorrelation, kernel_variance, polynomial_kernel
from warptheory.results.fields._fields import frequencies
from warptheory.symbolic import OffsetField, Step, restated
from warptheory.symbolic.averages import averaging_reason, evaluate_averages
from warptheory.symbolic.nodes import KernelValue, Node, OffsetAverage, Opaque, kernel_argument
from warptheory.symbolic.quadrature import Environment, Evaluate
from warptheory.symbolic.stacks import Layer, reading

result = Result(
    "D6",
    "Repeated resampling: numerical diffusion",
    "A layer whose fractions are equally likely multiplies the power at ω by R̂(ω) = ∏ Σ_j a(j) cos jωᵢ, a = ∫k(u)k(u + "
    "·)du; linear: 1 − (1 − cos ω)/3 per axis; L layers by R̂ᴸ. It diffuses by κ = −R̂″(0) = ∫u²a, the kernel's own "
    "variance: 1/3 for linear, 2/3 for bspline3, 0 for keys, which diffuses at the fourth order, R̂ = 1 − ω⁴/40.",
    assumptions=(
        "All pixels of a layer share an offset, uniform over a pixel or normal; those of the layers are independent of "
        "each other and of the input.",
        "A periodic grid, or one without an edge.",
        "k is even, a partition of unity, and made of finitely many polynomials.",
    ),
    source="arXiv 2511.20800, discretization; theory label D6",
    meaning="Every resampling blurs, so that a deep stack of linear warps is a diffusion. Compose offsets and "
    "resample once (E5), or use a kernel without variance of its own, such as keys.",
    kernels=("linear", "keys", "bspline3"),
    notation={
        "omega": "the frequency of a wave, in radians per pixel",
        "kappa": "the kernel's own variance, ∫u² a(u) du, by which a layer diffuses",
    },
)

_PERIOD = 14  # pixels along each axis
_OFF_GRID = 1e-9


def _on_the_grid(setting: Setting) -> Mapping[str, float]:
    """Return frequencies of the experiment's grid, near 0.9 along the first axis."""
    lowest = 2 * math.pi / _PERIOD
    modes = zip(frequencies(setting.dim), (2, 3, 1), strict=False)
    return {omega.name: Range(lowest * mode, lowest, 4 * lowest, step=lowest) for omega, mode in modes}


@result.quantity("power transfer", values=_on_the_grid)
@dataclass(frozen=True)
class PowerTransfer(DerivedExperiment):
    """The power that a wave has left after a layer of one offset for all pixels, uniform over a pixel.

    Drawn is a wave √2 cos(ω·n + θ) of mean square one on a periodic grid; power is that of the discrete transform at ω.
    """

    text = "|ŷ(ω)|²/|x̂(ω)|²"
    pixels: ClassVar[Mapping[int, int]] = dict.fromkeys((1, 2, 3), _PERIOD)

    def steps(self) -> tuple[Step, ...]:
        """Return the steps of R̂ by the partition of unity."""
        return _uniform_power(self.kernel, self.setting.dim)

    @property
    def symbols(self) -> Set[str]:
        """The frequencies."""
        return {omega.name for omega in frequencies(self.setting.dim)}

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels of a row, over its layers."""
        return self._layers(values) * super().row_elements(values)

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw phases and offsets, and return the power left at ω, shape (rows,).

        Raises:
            ArgumentError: a frequency that is not on the grid.
        """
        dim, mode = self.setting.dim, self._mode(values)
        phase = 2 * math.pi / _PERIOD * np.tensordot(mode, np.indices(self.grid), axes=1)
        angles = 2 * math.pi * generator.random((rows, *[1] * dim)) + phase
        y = torch.from_numpy(math.sqrt(2) * np.cos(angles))[:, None].to(device)
        for _ in range(self._layers(values)):
            drawn = torch.from_numpy(self._offsets(generator, (rows, dim, *[1] * dim), values)).to(device)
            y = warping.warp(y, drawn.expand(rows, dim, *self.grid), self.setting.kernel, "periodic")
        transform = torch.fft.fftn(y[:, 0], dim=tuple(range(1, dim + 1)), norm="forward")
        return cast("Tensor", 2 * transform[(slice(None), *mode)].abs().square())

    def _layers(self, values: Mapping[str, float]) -> int:
        return 1

    def _offsets(
        self, generator: np.random.Generator, shape: tuple[int, ...], values: Mapping[str, float]
    ) -> Float[np.ndarray, "..."]:
        return generator.random(shape)

    def _mode(self, values: Mapping[str, float]) -> tuple[int, ...]:
        """Return the frequencies in units of the grid's lowest."""
        exact = [values[omega.name] * _PERIOD / (2 * math.pi) for omega in frequencies(self.setting.dim)]
        mode = tuple(round(number) for number in exact)
        highest = max(map(abs, mode))
        if not 0 < highest < _PERIOD / 2 or any(abs(a - b) > _OFF_GRID for a, b in zip(exact, mode, strict=True)):
            expected = f"frequencies below π that are multiples of 2π/{_PERIOD}"
            raise ArgumentError("values", expected=expected, received=dict(values))
        return mode


@result.quantity("power transfer, normal offsets", values=_on_the_grid)
@dataclass(frozen=True)
class NormalPowerTransfer(PowerTransfer):
    """The same for an offset N(0, s²) along each axis, whose fractions are not equally likely."""

    text = "|ŷ(ω)|²/|x̂(ω)|²"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps by the Fourier series of a(j)."""
        return _power_steps(OffsetField("normal", self.setting.dim, shared=True), self.kernel)

    @property
    def symbols(self) -> Set[str]:
        """The frequencies, and the spread of the offset."""
        return {*super().symbols, "s"}

    def _offsets(
        self, generator: np.random.Generator, shape: tuple[int, ...], values: Mapping[str, float]
    ) -> Float[np.ndarray, "..."]:
        return values["s"] * generator.standard_normal(shape)


@result.quantity(
    "power transfer of L layers", values=lambda setting: {**_on_the_grid(setting), LAYERS.name: whole(3, 1, 5)}
)
@dataclass(frozen=True)
class PowerTransferOfLayers(PowerTransfer):
    """The same after L layers."""

    text = "|ŷ(ω)|²/|x̂(ω)|² after L layers"

    def steps(self) -> tuple[Step, ...]:
        """Take the steps of one layer to the power L, the solution of P(l + 1) = R̂ P(l), P(0) = 1."""
        layer, transfer = sp.Function("P"), sp.Symbol("R", positive=True)
        before = sp.Symbol("l", integer=True, nonnegative=True)
        powers = sp.rsolve(layer(before + 1) - transfer * layer(before), layer(before), {layer(0): 1})
        reason = (
            "a wave remains a wave, and each layer's offset is independent of the others': P(l + 1) = R̂ P(l), "
            "P(0) = 1; "
        )
        kernel = kernel_argument(self.kernel)
        pushed = WaveThroughLayers(kernel, LAYERS, *frequencies(self.setting.dim))
        return (
            Step("Push the covariance of a wave", "C_l(Δ) = Σ_δ a(Δ − δ) C_{l−1}(δ) from C₀(δ) = exp(iω·δ)", pushed),
            *restated(super().steps(), reason, lambda one: powers.subs({before: LAYERS, transfer: one})),
        )

    @property
    def symbols(self) -> Set[str]:
        """The frequencies, and the number of layers."""
        return {*super().symbols, LAYERS.name}

    def _layers(self, values: Mapping[str, float]) -> int:
        return int(values[LAYERS.name])


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


def _uniform_power(kernel: Kernel, dim: int) -> tuple[Step, ...]:
    """Return the steps of R̂ for an offset that is uniform over a pixel."""
    *steps, last = _power_steps(OffsetField("uniform", dim, scale=sp.Rational(1, 2), shared=True), kernel)
    kept = sp.Mul(*(1 - _lost(kernel, omega) for omega in frequencies(dim)))
    if sp.expand((kept - last.expression).rewrite(sp.exp)) != 0:
        raise ArithmeticError(f"{kept} has to equal {last.expression}")
    reason = "Σ a(j) = 1: nothing is lost at ω = 0; and 1 − cos jω = 2 sin²(jω/2)"
    return (*steps, last, Step("Use the partition of unity", reason, kept))


def _power_steps(offsets: OffsetField, kernel: Kernel) -> tuple[Step, ...]:
    """Return the steps from the warped wave to the closed form.

    Args:
        offsets: the offset of all pixels.
        kernel: a kernel of finitely many taps.
    """
    omegas = frequencies(offsets.dim)
    waves = (
        sp.Abs(_response(kernel, symbol, omega)) ** 2 for symbol, omega in zip(offsets.symbols, omegas, strict=True)
    )
    whole_wave = Step(
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
        whole_wave,
        Step("Separate the axes", "offsets along the axes are independent", apart),
        Step("Multiply out", "pairs of taps j apart have the phase jω; those of j and −j together", multiplied),
        Step("Average over the fraction", averaging_reason(multiplied, averaged), averaged),
    )
    return steps if offsets.dim > 1 else (steps[0], *steps[2:])


def _response(kernel: Kernel, offset: sp.Symbol, omega: sp.Symbol) -> sp.Expr:
    """Return Σₘ k(ε − m) exp(iωm)."""
    tap = sp.Symbol("m", integer=True)
    term = KernelValue(kernel_argument(kernel), 0, offset - tap, 0) * sp.exp(sp.I * omega * tap)
    return sp.Sum(term, (tap, -sp.oo, sp.oo))


def _lost(kernel: Kernel, omega: sp.Symbol) -> sp.Expr:
    """Return Σ_{j≥1} 4a(j) sin²(jω/2), the share of the power that is lost along an axis."""
    a = autocorrelation(kernel)
    lost = (4 * a.value(sp.Integer(j)) * sp.sin(j * omega / 2) ** 2 for j in range(1, a.reach))
    return sp.Add(*lost)


@derived(result, "the kernel's own variance", "κ = ∫u² a(u) du", checked_by=("power transfer",))
def variance_steps(kernel: Kernel, dim: int) -> tuple[Step, ...]:
    """Return the steps from −R̂″(0) to κ = ∫u² a(u) du = 2∫u² k(u) du; the number of axes does not matter.

    Raises:
        ArithmeticError: a kernel whose first moments are not those of its sums over the grid.
    """
    omega, u = frequencies(1)[0], sp.Symbol("u", real=True)
    transfer, variance = _uniform_power(kernel, 1)[-1].expression, kernel_variance(kernel)
    curvature = -sp.diff(transfer, omega, 2).subs(omega, 0)
    if curvature != variance:
        raise ArithmeticError(f"of {kernel.name} the second moment of a over the grid depends on the phase")
    pieces = polynomial_kernel(kernel).pieces
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
