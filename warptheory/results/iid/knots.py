"""A10: the derivative in an offset of zero, where the linear kernel has a kink."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, cast

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import kernels, warping
from warptheory.results._experiment import DerivedExperiment, MomentExperiment
from warptheory.results._ranges import Range, limit
from warptheory.results._result import Result
from warptheory.results._setting import PIXEL, Setting
from warptheory.results.fields._fields import LENGTH, SPACING, field_on_grid, smooth_covariance
from warptheory.symbolic import (
    DEVIATION,
    Covariance,
    Expectation,
    GaussianField,
    IIDField,
    InputField,
    MomentStatistic,
    OffsetField,
    SmallSpacing,
    Step,
    Variance,
    WarpedField,
    warp_gradient,
)

result = Result(
    "A10",
    "The derivative at a knot",
    "Zero and whole offsets sit on the kinks of the linear kernel. The right-hand derivative, which frameworks "
    "return, has the variance 2σ² on white input; the jump to the left-hand one has 6σ², more than the gradient "
    "itself; the mean of both has σ²/2, four times less noise, and no bias. On smooth fields the right-hand one "
    "errs by O(h), the mean by O(h²): on a wave of frequency ω the squared errors are ω⁴/4 and ω⁶/36 at small ω. "
    "With a covariance C: 2(C(0) − C(h))/h² from the right, (C(0) − C(2h))/2h² for the mean, a jump of "
    "(6C(0) − 8C(h) + 2C(2h))/h²; squared errors h²λ₄/4 and h⁴λ₆/36 on fine grids, whatever the number of axes. "
    "Smooth kernels, such as keys, bspline3 and the Gaussian, have no jump.",
    assumptions=(
        "The pixels x[m] are independent with one law of variance σ²; or waves of random phase; or a Gaussian field, "
        "checked for C(τ) = σ² exp(−|τ|²/2ℓ²) on a grid of spacing h.",
        "The offsets are exactly zero.",
    ),
    source="arXiv 2511.20800, initialisation of offsets; theory label A10",
    meaning="A head that starts at zero takes its first steps with a derivative that is noisy, with four times "
    'the variance of the central one, and that jumps by more than its size. Use `knot="central"` there; '
    "offsets that start away from whole pixels avoid the jump, but not the noise.",
    values={"l": Range(1.8, 1.2, 3.0, "log"), "h": Range(1.2, 0.6, 1.8, "log")},
    notation={
        "omega": "the frequency of a wave, in radians per pixel",
    },
)

FREQUENCY = sp.Symbol("omega", positive=True)
# The derivatives: from the right, which frameworks return, and the mean of both sides.
_SIDES: Mapping[str, str] = {"right-hand": "right", "central": "central"}


def _slope(setting: Setting, knot: str, x: InputField | None = None) -> WarpedField:
    """Return ∂₁y at offsets of exactly zero, from one side or as the mean of both; of white input by default."""
    still = OffsetField("constant", setting.dim, location=0)
    return warp_gradient(IIDField("x") if x is None else x, still, 0, setting.kernel, knot=knot)


def _correlated_input(setting: Setting) -> GaussianField:
    """Return an input of covariance σ² exp(−|τ|²/2ℓ²), on a grid of spacing h."""
    return field_on_grid(smooth_covariance(setting.dim))


def _variance(setting: Setting, knot: str) -> Variance:
    """State the variance of a derivative of white input."""
    return Variance(_slope(setting, knot)[PIXEL])


for _name, _knot in _SIDES.items():
    result.quantity(f"variance of the {_name} derivative")(partial(_variance, knot=_knot))


@result.quantity("variance of the jump, smooth kernels", kernels=("keys", "bspline3"))
@result.quantity("variance of the jump", kernels=("linear",))
def jump_variance(setting: Setting) -> Variance:
    """State the variance of the jump between both sides."""
    return Variance((_slope(setting, "right") - _slope(setting, "left"))[PIXEL])


@result.quantity("covariance of both sides")
def covariance_of_sides(setting: Setting) -> Covariance:
    """State the covariance of the two one-sided derivatives."""
    return Covariance(_slope(setting, "right")[PIXEL], _slope(setting, "left")[PIXEL])


def derivative_weights(kernel: str, knot: str) -> dict[int, sp.Expr]:
    """Return the weights v(m) = k′(0 − m) of the pixels in the derivative at a pixel, by m; those that are not zero."""
    taps = {tap: weight.differentiate() for tap, weight in kernels.get(kernel).taps.items()}
    right = {tap: weight.at(sp.Integer(0)) for tap, weight in taps.items()}
    left = {tap - 1: weight.from_left(sp.Integer(1)) for tap, weight in taps.items()}
    both = {tap: (right.get(tap, sp.Integer(0)) + left.get(tap, sp.Integer(0))) / 2 for tap in sorted({*right, *left})}
    chosen = {"central": both, "right": right, "left": left}[knot]
    return {tap: weight for tap, weight in chosen.items() if weight != 0}


@dataclass(frozen=True)
class WaveError(DerivedExperiment):
    """The mean squared error of the derivative at zero offset on waves of variance 1 and random phase.

    x[m] = √2 cos(ωm + θ), θ uniform, has the derivative −√2 ω sin(ωm + θ); ω is in radians per pixel, so that a
    smooth field on a grid of spacing h has ω proportional to h. Drawn are images of such waves, differentiated at zero
    offsets by `warp_gradient`.

    Attributes:
        setting: the setting.
        knot: which derivative is taken, "right", "left" or "central".
    """

    knot: str

    symbols = frozenset({FREQUENCY.name})

    @property
    def _weights(self) -> dict[int, sp.Expr]:
        return derivative_weights(self.setting.kernel, self.knot)

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from the average over the phase to |T(ω) − iω|², T(ω) = Σ v(m) exp(iωm)."""
        phase = sp.Symbol("theta", real=True)
        error = sp.Add(
            *(weight * sp.cos(FREQUENCY * tap + phase) for tap, weight in self._weights.items()),
            FREQUENCY * sp.sin(phase),
        )
        real = sp.Add(*(weight * sp.cos(FREQUENCY * tap) for tap, weight in self._weights.items()))
        imaginary = sp.Add(*(weight * sp.sin(FREQUENCY * tap) for tap, weight in self._weights.items()))
        average = sp.Integral(2 * error**2, (phase, 0, 2 * sp.pi)) / (2 * sp.pi)
        return (
            Step("Average over the phase", "insert the wave into Σ v(m) x[m] − x′, v(m) = k′(0 − m)", average),
            Step(
                "Transfer function",
                "the error is √2 Re((T − iω) exp(iθ)), T(ω) = Σ v(m) exp(iωm); its mean square over θ is |T − iω|²",
                real**2 + (imaginary - FREQUENCY) ** 2,
            ),
        )

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels of a row."""
        return _WAVE_PIXELS

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw waves, and return the squared error of each row, away from the border, shape (rows,)."""
        omega = values[FREQUENCY.name]
        phase = torch.from_numpy(generator.uniform(0, 2 * np.pi, (rows, 1, 1))).to(device)
        angle = omega * torch.arange(_WAVE_PIXELS, dtype=torch.float64, device=device) + phase
        wave, still = np.sqrt(2) * angle.cos(), torch.zeros_like(angle)
        found = warping.warp_gradient(wave, still, self.setting.kernel, knot=self.knot)[:, 0, 0]
        reach = max(map(abs, self._weights))
        inside = slice(reach, _WAVE_PIXELS - reach)
        return cast("Tensor", (found + np.sqrt(2) * omega * angle[:, 0].sin())[:, inside].square().mean(1))

    def __str__(self) -> str:
        return "E (Σ v(m) x[m] − x′)² on waves"


_WAVE_PIXELS = 64

for _name, _knot in _SIDES.items():
    result.quantity(f"squared error of the {_name} derivative", dims=(1,))(partial(WaveError, knot=_knot))


def _correlated_variance(setting: Setting, knot: str) -> Variance:
    """State the variance of a derivative of a correlated input, per unit of length."""
    return Variance(_slope(setting, knot, _correlated_input(setting))[PIXEL] / SPACING)


for _name, _knot in _SIDES.items():
    result.quantity(f"variance of the {_name} derivative, correlated input", smallest_effect=0.02, kernels=("linear",))(
        partial(_correlated_variance, knot=_knot)
    )


@result.quantity("variance of the jump, correlated input", smallest_effect=0.02, kernels=("linear",))
def correlated_jump(setting: Setting) -> Variance:
    """State the variance of the jump for a correlated input."""
    x = _correlated_input(setting)
    return Variance((_slope(setting, "right", x) - _slope(setting, "left", x))[PIXEL] / SPACING)


@dataclass(frozen=True)
class GaussianError(MomentExperiment):
    """E(Σ v(m) x[n + m]/h − ∂₁x)² for a correlated input, v the weights of a derivative.

    Drawn are waves √2 σ cos(ω·m + θ), ω ~ N(0, h²/ℓ²) along each axis and θ uniform, which have the covariance
    σ² exp(−|τ|²/2ℓ²), so that second moments are those of the Gaussian field; they are differentiated at zero offsets
    by `warp_gradient`. Errors grow as a power of ω₁, so that it is drawn with a density that has that power as a
    factor, and rows are weighted.

    Attributes:
        setting: the setting.
        knot: which derivative is taken, "right" or "central".
        is_leading: whether its leading term on a fine grid is meant.
    """

    knot: str
    is_leading: bool = False

    symbols = frozenset({DEVIATION.name, LENGTH.name, SPACING.name})
    pixels: ClassVar[Mapping[int, int]] = dict.fromkeys((1, 2, 3), 12)

    @property
    def statistic(self) -> MomentStatistic:
        """The mean square of the error, or its leading term."""
        x, across = _correlated_input(self.setting), (0,) * (self.setting.dim - 1)
        weights = derivative_weights(self.setting.kernel, self.knot)
        found = sp.Add(*(weight * x[(PIXEL + tap, *across)] for tap, weight in weights.items()))
        error = Expectation((found / SPACING - x.slope(0)[(PIXEL, *across)]) ** 2)
        return SmallSpacing(error, SPACING) if self.is_leading else error

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw waves, and return the weighted squared error in the middle of each; shape (rows,)."""
        dim, power = self.setting.dim, {"right": 4, "central": 6}[self.knot]
        scale = values[SPACING.name] / values[LENGTH.name]
        first = np.sqrt(2 * generator.gamma((power + 1) / 2, size=rows))
        weight = 2 ** (power / 2) * math.gamma((power + 1) / 2) / math.sqrt(math.pi) / first**power
        frequency = scale * np.column_stack([first, generator.standard_normal((rows, dim - 1))])
        places = np.indices(self.grid).reshape(dim, -1)
        phase = generator.uniform(0, 2 * np.pi, (rows, 1))
        angle = torch.from_numpy(frequency @ places + phase).to(device).reshape(rows, 1, *self.grid)
        amplitude = math.sqrt(2) * values["sigma"]
        offsets = torch.zeros((rows, dim, *angle.shape[2:]), dtype=torch.float64, device=device)
        wave = amplitude * angle.cos()
        found = warping.warp_gradient(wave, offsets, self.setting.kernel, knot=self.knot)[:, 0, 0]
        slope = -amplitude * angle[:, 0].sin() * torch.from_numpy(frequency[:, 0]).reshape(-1, *[1] * dim)
        error = ((found - slope) / values[SPACING.name])[(slice(None), *[slice(_REACH, -_REACH)] * dim)]
        return torch.from_numpy(weight) * error.square().flatten(1).mean(1)


_REACH = 3

for _name, _knot in _SIDES.items():
    result.quantity(
        f"squared error of the {_name} derivative, correlated input", smallest_effect=0.02, kernels=("linear",)
    )(partial(GaussianError, knot=_knot))
for _name, _knot in _SIDES.items():
    result.quantity(
        f"squared error of the {_name} derivative, fine grid",
        smallest_effect=0.02,
        kernels=("linear",),
        values={LENGTH.name: Range(10.0, 8.0, 12.0), SPACING.name: limit(0.25)},
    )(partial(GaussianError, knot=_knot, is_leading=True))
