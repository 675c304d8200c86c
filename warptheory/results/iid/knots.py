"""A10: the derivative in an offset of zero, where the linear kernel has a kink."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import kernels, warping
from warptheory.core.errors import ArgumentError
from warptheory.montecarlo import Experiment
from warptheory.results._result import PIXEL, Quantity, Result, Setting
from warptheory.symbolic import (
    Covariance,
    Derivation,
    IIDField,
    OffsetField,
    Statistic,
    Step,
    Variance,
    WarpedField,
    warp_gradient,
)

FREQUENCY = sp.Symbol("omega", positive=True)


def slope(setting: Setting, knot: str) -> WarpedField:
    """Return ∂₁y at offsets of exactly zero, from one side or as the mean of both."""
    still = OffsetField("constant", setting.dim, location=0)
    return warp_gradient(IIDField("x"), still, 0, setting.kernel, knot=knot)


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

    @property
    def weights(self) -> dict[int, sp.Expr]:
        """The weights v(m) of the pixels in the derivative at a pixel, by m."""
        taps = {tap: weight.differentiate() for tap, weight in kernels.get(self.kernel).taps.items()}
        right = {tap: weight.at(sp.Integer(0)) for tap, weight in taps.items()}
        left = {tap - 1: weight.from_left(sp.Integer(1)) for tap, weight in taps.items()}
        if self.knot == "central":
            return {tap: (right.get(tap, 0) + left.get(tap, 0)) / 2 for tap in sorted({*right, *left})}
        return right if self.knot == "right" else left

    def derive(self) -> Derivation:
        """Return the steps from the average over the phase to |T(ω) − iω|², T(ω) = Σ v(m) exp(iωm)."""
        weights = {tap: weight for tap, weight in self.weights.items() if weight != 0}
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
        inside = slice(max(map(abs, self.statistic.weights)), self.pixels - max(map(abs, self.statistic.weights)))
        return (found + np.sqrt(2) * omega * angle[:, 0].sin())[:, inside].square().mean(1)


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


RESULT = Result(
    label="A10",
    title="The derivative at a knot",
    statement=(
        "Zero and whole offsets sit on the kinks of the linear kernel. The right-hand derivative, which frameworks "
        "return, has the variance 2σ² on white input; the jump to the left-hand one has 6σ², more than the gradient "
        "itself; the mean of both has σ²/2, four times less noise, and no bias. On smooth fields the right-hand one "
        "errs by O(h), the mean by O(h²): on a wave of frequency ω the squared errors are ω⁴/4 and ω⁶/36 at small ω. "
        "Smooth kernels, such as keys, bspline3 and the Gaussian, have no jump."
    ),
    assumptions=(
        "The pixels x[m] are independent with one law of variance σ²; or waves of random phase.",
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
    ),
)
