"""A9: what repeated warping leaves of the variance."""

import math
from collections.abc import Mapping, Set
from dataclasses import dataclass

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import warping
from warptheory.fields import IID
from warptheory.results._depth import LAYERS, Iterate, solved
from warptheory.results._ranges import whole
from warptheory.results._result import HALF_WIDTH, PIXEL, Quantity, Result, Setting, wide_offsets
from warptheory.symbolic import (
    DEVIATION,
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
class StackVarianceExperiment:
    """White pixels, warped again and again by offsets that are uniform over a periodic grid.

    Any two pixels of a finite grid come to share inputs: they are correlated, as the mean of the grid is random and no
    layer takes that away. About the mean of the row what is left of the variance is too small by a share of 1/N a
    layer, N the number of pixels: 0.1 % at most.

    Attributes:
        kernel: name of the kernel.
        dim: number d of axes.
        inputs: law of the pixels.
    """

    kernel: str
    dim: int
    inputs: str

    @property
    def symbols(self) -> Set[str]:
        """Moments of the pixels, and the number of layers."""
        return {LAYERS.name, "mu", "sigma"}

    @property
    def size(self) -> tuple[int, ...]:
        """The grid."""
        return (_TORUS[self.dim],) * self.dim

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels of a row, over its layers."""
        return int(values[LAYERS.name]) * math.prod(self.size)

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw the pixels and the offsets of all layers, and return the variance of each row; shape (rows,)."""
        y = IID(self.inputs, values["mu"], values["sigma"]).sample(rows, self.size, generator, device=device)
        for _ in range(int(values[LAYERS.name])):
            offsets = self.size[0] * generator.random((rows, self.dim, *self.size))
            y = warping.warp(y, torch.from_numpy(offsets).to(device), self.kernel, "periodic")
        return y.flatten(1).var(1, correction=0)


_TORUS: Mapping[int, int] = {1: 8192, 2: 96}


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
        "layer."
    ),
    assumptions=(
        "The pixels x[m] are independent with one law of variance σ².",
        "The offsets of every layer and pixel are independent, uniform on [−a, a)ᵈ.",
        "The kernel is a partition of unity with finitely many taps.",
    ),
    source="arXiv 2511.20800, independent inputs; theory label A9",
    quantities=(
        Quantity("variance after two layers", variance_of_two),
        # At these widths the exact variance is within 0.1 % of the limit.
        Quantity("variance after three layers, wide offsets", wide_variance_of_three, values=wide_offsets),
        Quantity(
            "variance after L layers, wide offsets",
            wide_variance,
            smallest_effect=0.03,
            kernels=("linear", "keys"),
            values=lambda setting: {"L": whole(5, 1, 6)},
            simulation=lambda _, s: StackVarianceExperiment(s.kernel, s.dim, s.inputs),
        ),
    ),
)
