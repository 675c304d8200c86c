"""A9: what repeated warping leaves of the variance."""

from collections.abc import Mapping, Set
from dataclasses import dataclass

import numpy as np
import sympy as sp
from jaxtyping import Float
from torch import Tensor

from warptheory import warping
from warptheory.fields import IID
from warptheory.results._depth import LAYERS, Iterate, solved
from warptheory.results._quantity import Quantity
from warptheory.results._ranges import whole, wide_offsets
from warptheory.results._result import Result
from warptheory.results._setting import HALF_WIDTH, PIXEL, Setting
from warptheory.results._stack_experiment import StackExperiment
from warptheory.symbolic import (
    DEVIATION,
    AfterLayers,
    Derivation,
    Field,
    IIDField,
    OffsetField,
    Statistic,
    Step,
    Variance,
    WideOffsets,
    warp,
)


def stack(setting: Setting, layers: int) -> Field:
    """Return x after a number of warps with independent offsets, uniform on [−a, a)."""
    y: Field = IIDField("x")
    for number in range(1, layers + 1):
        y = warp(y, OffsetField("uniform", setting.dim, name=f"epsilon_{number}"), setting.kernel, name=f"y{number}")
    return y


def variance_of_two(setting: Setting) -> Variance:
    """State the variance after two layers."""
    return Variance(stack(setting, 2)[PIXEL])


def wide_variance_of_three(setting: Setting) -> WideOffsets:
    """State the variance after three layers whose offsets are spread widely."""
    return WideOffsets(Variance(stack(setting, 3)[PIXEL]), HALF_WIDTH)


@dataclass(frozen=True)
class WideStackVariance(Statistic):
    """The variance after L layers whose offsets are spread widely.

    Attributes:
        setting: kernel and number of axes.
    """

    setting: Setting

    def derive(self) -> Derivation:
        """Return the steps from one layer's map to its power."""
        variance = sp.Symbol("v", positive=True)
        x = IIDField("x", deviation=sp.sqrt(variance))
        y = warp(x, OffsetField("uniform", self.setting.dim), self.setting.kernel)
        layer = sp.expand(WideOffsets(Variance(y[PIXEL]), HALF_WIDTH).doit())
        iterate = Step(
            "One layer",
            "wide offsets read every pixel from anywhere, so that what comes out is white again: v = M(L − 1)",
            Iterate(layer, variance, DEVIATION**2, LAYERS),
        )
        return Derivation(str(self), (iterate, solved(layer, variance, DEVIATION**2, LAYERS)))

    def __str__(self) -> str:
        return f"Var W_L…W₁x, wide offsets, d = {self.setting.dim}"


@dataclass(frozen=True)
class StackVarianceExperiment(StackExperiment):
    """White pixels, warped again and again; a row's variance about its mean.

    That is too small by a share of the mean's variance, m/N for N pixels: m is the sum of the correlations of a pixel
    with all others, and with offsets over the whole grid, where any two pixels come to share inputs, it grows to the
    number of layers. That is 0.1 % at most.

    Attributes:
        inputs: law of the pixels.
    """

    inputs: str = "normal"

    @property
    def symbols(self) -> Set[str]:
        """Those of the layers, and moments of the pixels."""
        return {*super().symbols, "mu", "sigma"}

    def start(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str
    ) -> Float[Tensor, "rows 1 *S"]:
        """Draw white pixels, shape (rows, 1, *S)."""
        return IID(self.inputs, values["mu"], values["sigma"]).sample(rows, self.size, generator, device=device)

    def layer(
        self, field: Float[Tensor, "rows 1 *S"], offsets: Float[Tensor, "rows d *S"]
    ) -> Float[Tensor, "rows 1 *S"]:
        """Warp, shape (rows, 1, *S)."""
        return warping.warp(field, offsets, self.kernel, "periodic")

    def seen(self, field: Float[Tensor, "rows 1 *S"], values: Mapping[str, float]) -> Float[Tensor, "rows"]:
        """Return the variance of each row, shape (rows,)."""
        return field.flatten(1).var(1, correction=0)


def variance(setting: Setting) -> AfterLayers:
    """State the variance after L layers."""
    return AfterLayers(variance_of_two(setting), LAYERS)


def wide_variance(setting: Setting) -> WideStackVariance:
    """State the variance after L layers whose offsets are spread widely."""
    return WideStackVariance(setting)


RESULT = Result(
    label="A9",
    title="Variance of stacked warps",
    statement=(
        "L warps with independent, widely spread offsets leave σ² ρ̄ᵈᴸ of white input. At a finite spread a little "
        "more stays, because a warp correlates neighbours: its output has the spectral density |ŵ|²S + ∫(R̂ − |ŵ|²)S, "
        "ŵ(θ) = Σⱼ k̂(θ + 2πj) χ(θ + 2πj), R̂ = E |Σₘ k(ε − m) exp(imθ)|²; W and R in the steps are |ŵ|² and R̂ of a "
        "layer. After L layers with one law the variance v_L is σ²α_Lᵈ + Σ_{l < L} b_l v_{L−1−l}, with α_l = ∫|ŵ|²ˡ, "
        "β_l = ∫R̂|ŵ|²ˡ along an axis and b_l = β_lᵈ − α_{l+1}ᵈ."
    ),
    assumptions=(
        "The pixels x[m] are independent with one law of variance σ².",
        "The offsets of every layer and pixel are independent, uniform on [−a, a)ᵈ.",
        "The kernel is a partition of unity with finitely many taps.",
    ),
    source="arXiv 2511.20800, independent inputs; theory label A9",
    quantities=(
        Quantity("variance after two layers", variance_of_two, smallest_effect=0.015),
        Quantity(
            "variance after L layers",
            variance,
            smallest_effect=0.02,
            kernels=("linear", "keys"),
            values=lambda setting: {"L": whole(4, 1, 6)},
            simulation=lambda _, s: StackVarianceExperiment(s.kernel, s.dim, HALF_WIDTH, inputs=s.inputs),
        ),
        # At these widths the exact variance is within 0.1 % of the limit.
        Quantity("variance after three layers, wide offsets", wide_variance_of_three, values=wide_offsets),
        Quantity(
            "variance after L layers, wide offsets",
            wide_variance,
            smallest_effect=0.03,
            kernels=("linear", "keys"),
            values=lambda setting: {"L": whole(5, 1, 6)},
            simulation=lambda _, s: StackVarianceExperiment(s.kernel, s.dim, inputs=s.inputs),
        ),
    ),
)
