"""F6: the mean of a field that is warped by offsets computed from it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor

from warptheory.montecarlo import simulation_of
from warptheory.results._experiment import MomentExperiment
from warptheory.results._ranges import Range
from warptheory.results._result import Result
from warptheory.results._setting import PIXEL, Setting
from warptheory.results.fields._fields import smooth_field
from warptheory.results.selfwarp import _heads as heads
from warptheory.results.selfwarp._heads import NOTATION, VALUES
from warptheory.symbolic import DEVIATION, MEAN, Expectation, IIDField, InputField, OffsetField, warp

result = Result(
    "F6",
    "A self-warp shifts the mean",
    "Offsets ε = αh, h a linear head on a normal field x of mean μ, are dependent on what they move: E y = μ + "
    "α Σᵢ E ∂ᵢc_ki(ε), c_ki(u) = Σₘ cᵢ[m] k(u − m), cᵢ[m] = Cov(hᵢ, x[m]): the mean drifts upwards where a head "
    "reads ahead of its own offset. Linear kernel, d = 1, μ = 0: α Σⱼ (c[j+1] − c[j]) (Φ((j+1)/s) − Φ(j/s)), s² = "
    "α² Var h. Heads that read the own pixel, or symmetrically, and 'curl' heads, whose offsets turn about "
    "what they read, shift nothing where the head's own mean is zero, μ = 0 or Σw = 0; else the offsets are "
    "centred at αμΣw, and even heads shift the mean too.",
    assumptions=(
        "x is normal: independent pixels, or a homogeneous field of any covariance.",
        "The offsets are linear functions of x, the same around every pixel.",
        "The kernel is a partition of unity.",
    ),
    source="Stein's lemma (C. M. Stein, Estimation of the mean of a multivariate normal distribution, 1981); theory "
    "label F6",
    meaning="A layer that moves its features by offsets read from them adds a constant to them, of the size of the "
    "features times the offsets, unless the head is even about its pixel and what it reads has mean zero; after ReLU "
    "even an own-pixel head shifts the mean (F10). Initialise heads evenly with weights that sum to zero, or remove "
    "the mean behind the warp, for otherwise every block drifts in the same direction.",
    values=VALUES,
    notation=NOTATION,
)


# What is drawn scatters by three to ten times the shift, so that errors of two percent of it are looked for.
@result.quantity("mean shift", smallest_effect=0.02)
def mean_shift(setting: Setting) -> Expectation:
    """State E y[n] for heads that read the next pixel along the axis of their offset."""
    x = heads.white()
    return _mean(x, heads.computed(x, *heads.outward(setting.dim)), setting)


@result.quantity("mean shift, difference heads", smallest_effect=0.02)
def difference(setting: Setting) -> Expectation:
    """State E y[n] for heads that read central differences, or the gradient."""
    x = heads.white()
    return _mean(x, heads.computed(x, *heads.difference(setting.dim)), setting)


@result.quantity(
    "mean shift of a field",
    dims=(1,),
    smallest_effect=0.02,
    values={"alpha": Range(1.0, 0.7, 1.2, "log"), "l": Range(2.0, 1.6, 2.4)},
)
def of_a_field(setting: Setting) -> Expectation:
    """State E y[n] of a smooth field, whose head reads the next pixel."""
    x = smooth_field(1)
    return _mean(x, heads.computed(x, *heads.outward(1)), setting)


@result.quantity(
    "mean shift about a mean", dims=(1,), smallest_effect=0.02, values={"mu": Range(0.7, 0.3, 0.9, kind="real")}
)
def about_a_mean(setting: Setting) -> Expectation:
    """State E y[n] − μ where the input has a mean, which moves the offsets."""
    x = IIDField("x", "normal")
    return Expectation(warp(x, heads.computed(x, *heads.outward(1)), setting.kernel)[PIXEL] - MEAN)


@result.quantity(
    "mean shift about a mean, own pixel",
    dims=(1,),
    smallest_effect=0.02,
    values={"mu": Range(0.7, 0.4, 0.9, kind="real"), "alpha": Range(0.6, 0.4, 0.9, "log")},
)
def own_pixel_about_a_mean(setting: Setting) -> Expectation:
    """State E y[n] − μ for the own pixel, which reads the same mean as it moves."""
    x = IIDField("x", "normal")
    return Expectation(warp(x, heads.computed(x, *heads.own_pixel(1)), setting.kernel)[PIXEL] - MEAN)


@dataclass(frozen=True)
class NoShift(MomentExperiment):
    """E y[n]/σ, which is zero; errors are measured by the deviation of the input.

    Attributes:
        components: the taps of the head.
    """

    components: tuple[heads.ComponentTaps, ...]

    @property
    def statistic(self) -> Expectation:
        """The mean, in deviations of the input."""
        x = heads.white()
        return Expectation(warp(x, heads.computed(x, *self.components), self.setting.kernel)[PIXEL] / DEVIATION)

    @property
    def symbols(self) -> frozenset[str]:
        """Names of the symbols that need a number."""
        return frozenset(simulation_of(self.statistic).symbols)

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels that a row draws."""
        return simulation_of(self.statistic).row_elements(values)

    def size(self, value: float) -> float:
        """Return 1, the deviation of the input in its own units."""
        return 1.0

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw rows as they are, shape (rows,)."""
        return simulation_of(self.statistic).sample(generator, rows, values, device)[:, 0]


@result.quantity("no mean shift, own pixel")
def own_pixel(setting: Setting) -> NoShift:
    """State that a head that reads its own pixel shifts nothing."""
    return NoShift(setting, heads.own_pixel(setting.dim))


@result.quantity("no mean shift, curl heads", dims=(2,))
def curl(setting: Setting) -> NoShift:
    """State that offsets which turn about what they read shift nothing."""
    return NoShift(setting, heads.curl())


def _mean(x: InputField, offsets: OffsetField, setting: Setting) -> Expectation:
    return Expectation(warp(x, offsets, setting.kernel)[PIXEL])
