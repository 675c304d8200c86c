"""A10: the derivative in an offset of zero, where the linear kernel has a kink."""

import math
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import kernels, warping
from warptheory.core.errors import ArgumentError
from warptheory.fields import SquaredExponential
from warptheory.montecarlo import Experiment
from warptheory.results._quantity import Quantity
from warptheory.results._ranges import Range, limit
from warptheory.results._result import Result
from warptheory.results._setting import PIXEL, Setting
from warptheory.symbolic import (
    DEVIATION,
    Covariance,
    Derivation,
    Expectation,
    GaussianField,
    IIDField,
    InputField,
    OffsetField,
    SmallSpacing,
    Statistic,
    Step,
    Variance,
    WarpedField,
    warp_gradient,
)

FREQUENCY = sp.Symbol("omega", positive=True)
LENGTH = sp.Symbol("l", positive=True)  # ℓ of the correlated input
SPACING = sp.Symbol("h", positive=True)  # of the grid, in its unit


WHITE = IIDField("x")


def correlated_input(setting: Setting) -> GaussianField:
    """Return an input of covariance σ² exp(−|τ|²/2ℓ²), on a grid of spacing h."""
    return GaussianField(
        "x", SquaredExponential(length=LENGTH, variance=DEVIATION**2, dim=setting.dim), spacing=SPACING
    )


def slope(setting: Setting, knot: str, x: InputField = WHITE) -> WarpedField:
    """Return ∂₁y at offsets of exactly zero, from one side or as the mean of both."""
    still = OffsetField("constant", setting.dim, location=0)
    return warp_gradient(x, still, 0, setting.kernel, knot=knot)


def correlated_variance(knot: str) -> Callable[[Setting], Variance]:
    """Return what states the variance of a derivative of a correlated input, per unit of length."""
    return lambda setting: Variance(slope(setting, knot, correlated_input(setting))[PIXEL] / SPACING)


def correlated_jump(setting: Setting) -> Variance:
    """State the variance of the jump for a correlated input."""
    x = correlated_input(setting)
    return Variance((slope(setting, "right", x) - slope(setting, "left", x))[PIXEL] / SPACING)


def correlated_error(knot: str) -> Callable[[Setting], Expectation]:
    """Return what states E(Σ v(m) x[n + m]/h − ∂₁x)² for a correlated input, v the weights of a derivative."""

    def stated(setting: Setting) -> Expectation:
        x, across = correlated_input(setting), (0,) * (setting.dim - 1)
        weights = derivative_weights(setting.kernel, knot)
        found = sp.Add(*(weight * x[(PIXEL + tap, *across)] for tap, weight in weights.items()))
        return Expectation((found / SPACING - x.slope(0)[(PIXEL, *across)]) ** 2)

    return stated


def leading_error(knot: str) -> Callable[[Setting], SmallSpacing]:
    """Return what states its leading term for a fine grid."""
    return lambda setting: SmallSpacing(correlated_error(knot)(setting), SPACING)


def right_hand_variance(setting: Setting) -> Variance:
    """State the variance of the right-hand derivative, which frameworks return."""
    return Variance(slope(setting, "right")[PIXEL])


def central_variance(setting: Setting) -> Variance:
    """State the variance of the mean of both one-sided derivatives."""
    return Variance(slope(setting, "central")[PIXEL])


def jump_variance(setting: Setting) -> Variance:
    """State the variance of the jump between both sides."""
    return Variance((slope(setting, "right") - slope(setting, "left"))[PIXEL])


def covariance_of_sides(setting: Setting) -> Covariance:
    """State the covariance of the two one-sided derivatives."""
    return Covariance(slope(setting, "right")[PIXEL], slope(setting, "left")[PIXEL])


def derivative_weights(kernel: str, knot: str) -> dict[int, sp.Expr]:
    """Return the weights v(m) = k′(0 − m) of the pixels in the derivative at a pixel, by m; those that are not zero."""
    taps = {tap: weight.differentiate() for tap, weight in kernels.get(kernel).taps.items()}
    right = {tap: weight.at(sp.Integer(0)) for tap, weight in taps.items()}
    left = {tap - 1: weight.from_left(sp.Integer(1)) for tap, weight in taps.items()}
    both = {tap: (right.get(tap, 0) + left.get(tap, 0)) / 2 for tap in sorted({*right, *left})}
    chosen = {"central": both, "right": right, "left": left}[knot]
    return {tap: weight for tap, weight in chosen.items() if weight != 0}


@dataclass(frozen=True)
class WaveError(Statistic):
    """The mean squared error of the derivative at zero offset on waves of variance 1 and random phase.

    x[m] = √2 cos(ωm + θ), θ uniform, has the derivative −√2 ω sin(ωm + θ); ω is in radians per pixel, so that a
    smooth field on a grid of spacing h has ω proportional to h.

    Attributes:
        kernel: name of the kernel.
        knot: which derivative is taken, "right", "left" or "central".
    """

    kernel: str
    knot: str

    def derive(self) -> Derivation:
        """Return the steps from the average over the phase to |T(ω) − iω|², T(ω) = Σ v(m) exp(iωm)."""
        weights = derivative_weights(self.kernel, self.knot)
        phase = sp.Symbol("theta", real=True)
        error = sp.Add(
            *(weight * sp.cos(FREQUENCY * tap + phase) for tap, weight in weights.items()), FREQUENCY * sp.sin(phase)
        )
        real = sp.Add(*(weight * sp.cos(FREQUENCY * tap) for tap, weight in weights.items()))
        imaginary = sp.Add(*(weight * sp.sin(FREQUENCY * tap) for tap, weight in weights.items()))
        average = sp.Integral(2 * error**2, (phase, 0, 2 * sp.pi)) / (2 * sp.pi)
        return Derivation(
            str(self),
            (
                Step("Average over the phase", "insert the wave into Σ v(m) x[m] − x′, v(m) = k′(0 − m)", average),
                Step(
                    "Transfer function",
                    "the error is √2 Re((T − iω) exp(iθ)), T(ω) = Σ v(m) exp(iωm); its mean square over θ is |T − iω|²",
                    real**2 + (imaginary - FREQUENCY) ** 2,
                ),
            ),
        )

    def __str__(self) -> str:
        return f"E (Σ v(m) x[m] − x′)² on waves, {self.knot} derivative, {self.kernel}"


@dataclass(frozen=True)
class WaveExperiment:
    """The same on images: waves of random phase, differentiated at zero offsets by `warp_gradient`."""

    statistic: WaveError
    pixels: int = 64

    @property
    def symbols(self) -> set[str]:
        """The frequency."""
        return {FREQUENCY.name}

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels of a row."""
        return self.pixels

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw waves, and return the squared error of each row, away from the border, shape (rows,)."""
        omega = values[FREQUENCY.name]
        phase = torch.from_numpy(generator.uniform(0, 2 * np.pi, (rows, 1, 1))).to(device)
        angle = omega * torch.arange(self.pixels, dtype=torch.float64, device=device) + phase
        kernel, knot = self.statistic.kernel, self.statistic.knot
        found = warping.warp_gradient(np.sqrt(2) * angle.cos(), torch.zeros_like(angle), kernel, knot=knot)[:, 0, 0]
        reach = max(map(abs, derivative_weights(kernel, knot)))
        inside = slice(reach, self.pixels - reach)
        return (found + np.sqrt(2) * omega * angle[:, 0].sin())[:, inside].square().mean(1)


@dataclass(frozen=True)
class GaussianErrorExperiment:
    """The squared error of a derivative at zero offsets on waves of random frequency, by `warp_gradient`.

    Waves √2 σ cos(ω·m + θ), ω ~ N(0, h²/ℓ²) along each axis and θ uniform, have the covariance σ² exp(−|τ|²/2ℓ²), so
    that second moments are those of the Gaussian field. Errors grow as a power of ω₁, so that it is drawn with a
    density that has that power as a factor, and rows are weighted.

    Attributes:
        kernel: name of the kernel.
        dim: number d of axes.
        knot: which derivative is taken, "right" or "central".
    """

    kernel: str
    dim: int
    knot: str

    @property
    def symbols(self) -> Set[str]:
        """Deviation and length of the field, and the spacing."""
        return {"sigma", LENGTH.name, SPACING.name}

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels of a row."""
        return int(_PIXELS**self.dim)

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw waves, and return the weighted squared error in the middle of each; shape (rows,)."""
        power = {"right": 4, "central": 6}[self.knot]
        scale = values[SPACING.name] / values[LENGTH.name]
        first = np.sqrt(2 * generator.gamma((power + 1) / 2, size=rows))
        weight = 2 ** (power / 2) * math.gamma((power + 1) / 2) / math.sqrt(math.pi) / first**power
        frequency = scale * np.column_stack([first, generator.standard_normal((rows, self.dim - 1))])
        places = np.stack(np.meshgrid(*[np.arange(_PIXELS)] * self.dim, indexing="ij")).reshape(self.dim, -1)
        phase = generator.uniform(0, 2 * np.pi, (rows, 1))
        angle = torch.from_numpy(frequency @ places + phase).to(device).reshape(rows, 1, *[_PIXELS] * self.dim)
        amplitude = math.sqrt(2) * values["sigma"]
        offsets = torch.zeros((rows, self.dim, *angle.shape[2:]), dtype=torch.float64, device=device)
        found = warping.warp_gradient(amplitude * angle.cos(), offsets, self.kernel, knot=self.knot)[:, 0, 0]
        slope = -amplitude * angle[:, 0].sin() * torch.from_numpy(frequency[:, 0]).reshape(-1, *[1] * self.dim)
        error = ((found - slope) / values[SPACING.name])[(slice(None), *[slice(_REACH, -_REACH)] * self.dim)]
        return torch.from_numpy(weight) * error.square().flatten(1).mean(1)


_PIXELS, _REACH = 12, 3


def on_random_waves(knot: str) -> Callable[[Statistic, Setting], Experiment]:
    """Return what makes the experiment on waves of random frequency for a derivative."""
    return lambda _, setting: GaussianErrorExperiment(setting.kernel, setting.dim, knot)


def right_hand_error(setting: Setting) -> WaveError:
    """State the error of the right-hand derivative on a smooth field."""
    return WaveError(setting.kernel, "right")


def central_error(setting: Setting) -> WaveError:
    """State that of the central derivative."""
    return WaveError(setting.kernel, "central")


def on_waves(statistic: Statistic, setting: Setting) -> Experiment:
    """Return the experiment on waves."""
    if not isinstance(statistic, WaveError):
        raise ArgumentError("statistic", expected="the error on a wave", received=str(statistic))
    return WaveExperiment(statistic)


_SIDES: Mapping[str, str] = {"right-hand": "right", "central": "central"}

RESULT = Result(
    label="A10",
    title="The derivative at a knot",
    statement=(
        "Zero and whole offsets sit on the kinks of the linear kernel. The right-hand derivative, which frameworks "
        "return, has the variance 2σ² on white input; the jump to the left-hand one has 6σ², more than the gradient "
        "itself; the mean of both has σ²/2, four times less noise, and no bias. On smooth fields the right-hand one "
        "errs by O(h), the mean by O(h²): on a wave of frequency ω the squared errors are ω⁴/4 and ω⁶/36 at small ω. "
        "With a covariance C: 2(C(0) − C(h))/h² from the right, (C(0) − C(2h))/2h² for the mean, a jump of "
        "(6C(0) − 8C(h) + 2C(2h))/h²; squared errors h²λ₄/4 and h⁴λ₆/36 on fine grids, whatever the number of axes. "
        "Smooth kernels, such as keys, bspline3 and the Gaussian, have no jump."
    ),
    assumptions=(
        "The pixels x[m] are independent with one law of variance σ²; or waves of random phase; or a Gaussian field, "
        "checked for C(τ) = σ² exp(−|τ|²/2ℓ²) on a grid of spacing h.",
        "The offsets are exactly zero.",
    ),
    source="arXiv 2511.20800, initialisation of offsets; theory label A10",
    quantities=(
        Quantity("variance of the right-hand derivative", right_hand_variance),
        Quantity("variance of the central derivative", central_variance),
        Quantity("variance of the jump", jump_variance, kernels=("linear",)),
        Quantity("variance of the jump, smooth kernels", jump_variance, kernels=("keys", "bspline3")),
        Quantity("covariance of both sides", covariance_of_sides),
        Quantity("squared error of the right-hand derivative", right_hand_error, dims=(1,), simulation=on_waves),
        Quantity("squared error of the central derivative", central_error, dims=(1,), simulation=on_waves),
        *(
            Quantity(
                f"variance of the {name} derivative, correlated input",
                correlated_variance(knot),
                smallest_effect=0.02,
                kernels=("linear",),
            )
            for name, knot in _SIDES.items()
        ),
        Quantity("variance of the jump, correlated input", correlated_jump, smallest_effect=0.02, kernels=("linear",)),
        *(
            Quantity(
                f"squared error of the {name} derivative, correlated input",
                correlated_error(knot),
                smallest_effect=0.02,
                kernels=("linear",),
                simulation=on_random_waves(knot),
            )
            for name, knot in _SIDES.items()
        ),
        *(
            Quantity(
                f"squared error of the {name} derivative, fine grid",
                leading_error(knot),
                smallest_effect=0.02,
                kernels=("linear",),
                values=lambda setting: {LENGTH.name: Range(10.0, 8.0, 12.0), SPACING.name: limit(0.25)},
                simulation=on_random_waves(knot),
            )
            for name, knot in _SIDES.items()
        ),
    ),
    values={"l": Range(1.8, 1.2, 3.0, "log"), "h": Range(1.2, 0.6, 1.8, "log")},
)
