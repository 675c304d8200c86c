"""F10: a self-warp whose head reads its own pixel, for independent pixels of any law, and after ReLU.

Given the own pixel x[n] the offset is known, and the others are independent of it: y = k₀x[n] + Σ_{m≠0} k_m x[n + m]
has a mean and a variance. What is left is an average over one pixel.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import numpy as np
import sympy as sp
from jaxtyping import Float
from torch import Tensor

from warptheory.core.errors import ArgumentError
from warptheory.fields import IID
from warptheory.results._experiment import DerivedExperiment
from warptheory.results._ranges import Range
from warptheory.results._result import Result
from warptheory.results._setting import Setting
from warptheory.results.selfwarp import _heads as heads
from warptheory.results.selfwarp._heads import SCALE
from warptheory.results.selfwarp._layers import own_pixel_layer
from warptheory.symbolic import DEVIATION, MEAN, OffsetField, Step
from warptheory.symbolic.averages import evaluate_averages
from warptheory.symbolic.nodes import KernelValue, OffsetAverage, Opaque, Side, TapSum, kernel_argument

result = Result(
    "F10",
    "Self-warp by the own pixel, for any law of the pixels",
    "ε = αx[n] along every axis, pixels independent with mean μ and variance σ²; k₀ = k(ε)ᵈ is the weight of the own "
    "pixel, R = ρ(ε)ᵈ − k₀² that of all others. E y = μ + E[(x − μ)k₀] and E y² = μ² + σ²E ρᵈ + 2μE[(x − μ)k₀] + "
    "E[((x − μ)² − σ²)k₀²]: averages over one pixel. A law symmetric about 0 keeps the mean. Features after ReLU do "
    "not: half of the pixels have neither value nor offset and stay 0, the others move away from what they are and "
    "read pixels that are 0 half of the time. Their mean falls to 0.744, 0.460 and 0.452 of what it was at α = 0.3, 1 "
    "and 3 (linear kernel, d = 1, unit normal pixels before ReLU).",
    assumptions=(
        "The pixels x[m] are independent with one law.",
        "The head reads the pixel itself with weight 1, the same for every component of the offsets.",
        "The kernel has finitely many taps and is a partition of unity.",
    ),
    source="arXiv 2511.20800, self-warp; theory label F10",
    meaning="A self-warp of features after ReLU loses a quarter of their mean at α = 0.3 and more than half from α = 1 "
    "on, in a single layer, since large values move away while zeros stay. Put the self-warp "
    "before the non-linearity, or a normalisation with its own shift behind it.",
    kernels=("linear", "keys"),
    dims=(1,),
    inputs=("normal", "laplace"),
    values={"alpha": Range(0.8, 0.3, 2.0, "log")},
    notation={"alpha": SCALE},
)


@dataclass(frozen=True)
class OwnPixelMoment(DerivedExperiment):
    """The mean of y or of y², over the pixels of a periodic grid that the module warps by themselves.

    Attributes:
        power: 1 or 2.
        rectified: whether ReLU makes the features of the pixels.
    """

    power: Literal[1, 2]
    rectified: bool = False

    symbols = frozenset({"mu", "sigma", "alpha"})
    pixels: ClassVar[Mapping[int, int]] = {1: 4096, 2: 64}

    def __post_init__(self) -> None:
        if not self.kernel.is_compact or self.kernel.prefilter is not None:
            raise ArgumentError(
                "kernel", expected="a kernel that reads finitely many pixels", received=self.kernel.name
            )

    def __str__(self) -> str:
        return "E y[n]" if self.power == 1 else "E y[n]²"

    @property
    def offsets(self) -> OffsetField:
        """The offset αx of a pixel before ReLU, as a field of the law that αx has."""
        return OffsetField(IID(self.setting.inputs, heads.ALPHA * MEAN, heads.ALPHA * DEVIATION).pixel)

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from a mean over the own pixel."""
        return self._rectified_steps() if self.rectified else self._plain_steps()

    def _plain_steps(self) -> tuple[Step, ...]:
        (epsilon,) = self.offsets.symbols
        own, all_of_them = self._weights(epsilon)
        excess = epsilon / heads.ALPHA - MEAN
        whole = self._given_own(epsilon, MEAN, DEVIATION**2)
        first = MEAN**self.power + self.power * MEAN ** (self.power - 1) * self._average(excess * own)
        second = DEVIATION**2 * self._average(all_of_them) + self._average((excess**2 - DEVIATION**2) * own**2)
        centred = first + (second if self.power == 2 else 0)
        return (
            Step("Condition on the own pixel", _CONDITION, self._average(whole)),
            Step("Centre the pixel", "x = μ + (x − μ), E(x − μ) = 0; sort by powers of k₀", centred),
            Step(
                "Average over the phase",
                "E ρ is that of independent offsets of the same law (A4); what is left are integrals over one pixel",
                evaluate_averages(centred),
            ),
        )

    def _rectified_steps(self) -> tuple[Step, ...]:
        (epsilon,) = self.offsets.symbols
        on = sp.Heaviside(epsilon)
        mean, square = self._average(on * epsilon / heads.ALPHA), self._average(on * epsilon**2 / heads.ALPHA**2)
        given = partial(self._given_own, mean=mean, variance=square - mean**2)
        split = self._average(on * given(epsilon)) + self._average(1 - on) * given(sp.Integer(0))
        at_rest = evaluate_averages(self._average(1 - on) * given(sp.Integer(0)))
        return (
            Step(
                "Condition on the own pixel",
                f"{_CONDITION}; after ReLU ε is 0 or positive",
                self._average(given(epsilon * on)),
            ),
            Step("Split", "a pixel that ReLU has set to 0 has no offset either", split),
            Step(
                "Insert the kernel at rest",
                "k₀ and ρ at the offset 0",
                self._average(on * given(epsilon)) + at_rest,
            ),
        )

    def _average(self, expression: sp.Expr) -> OffsetAverage:
        return OffsetAverage(expression, Opaque(self.offsets))

    def _weights(self, epsilon: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
        """Return k₀, and the sum of the squares of all weights."""
        factor = sp.Tuple(kernel_argument(self.kernel), sp.Integer(0), sp.Integer(0), sp.Integer(Side.RIGHT))
        own = KernelValue(kernel_argument(self.kernel), 0, epsilon, sp.Integer(Side.RIGHT))
        return own**self.setting.dim, TapSum(sp.Tuple(factor, factor), epsilon) ** self.setting.dim

    def _given_own(self, epsilon: sp.Expr, mean: sp.Expr, variance: sp.Expr) -> sp.Expr:
        """Return the moment of y given the own pixel ε/α, the others of a mean and a variance."""
        own, all_of_them = self._weights(epsilon)
        expected = own * epsilon / heads.ALPHA + (1 - own) * mean
        return expected if self.power == 1 else expected**2 + variance * (all_of_them - own**2)

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw pixels, warp them by themselves and average; shape (rows,)."""
        law = IID(self.setting.inputs, values["mu"], values["sigma"])
        x = law.sample(rows, self.grid, generator, device=device)
        features = x.relu() if self.rectified else x
        layer = own_pixel_layer([[1.0]] * self.setting.dim, values[heads.ALPHA.name], self.setting.kernel, device)
        warped: Tensor = layer(features)
        return warped.pow(self.power).flatten(1).mean(1)


_CONDITION = (
    "given x[n] the offset is known and all other pixels are independent of it: y has the mean k₀x + (1 − k₀)μ and "
    "the variance σ²(ρᵈ − k₀²)"
)


@result.quantity("mean", dims=(1, 2))
def mean(setting: Setting) -> OwnPixelMoment:
    """State E y."""
    return OwnPixelMoment(setting, 1)


@result.quantity("second moment", dims=(1, 2))
def second_moment(setting: Setting) -> OwnPixelMoment:
    """State E y²."""
    return OwnPixelMoment(setting, 2)


_BEFORE_RELU: Mapping[str, Range] = {"mu": Range(0.0, -0.3, 0.6, kind="real")}


@result.quantity("mean after ReLU", values=_BEFORE_RELU)
def rectified_mean(setting: Setting) -> OwnPixelMoment:
    """State E y, μ and σ those of the pixels before ReLU."""
    return OwnPixelMoment(setting, 1, rectified=True)


# Squares of one-sided pixels scatter three times as much as the others.
@result.quantity("second moment after ReLU", smallest_effect=0.02, values=_BEFORE_RELU)
def rectified_second_moment(setting: Setting) -> OwnPixelMoment:
    """State E y², μ and σ those of the pixels before ReLU."""
    return OwnPixelMoment(setting, 2, rectified=True)
