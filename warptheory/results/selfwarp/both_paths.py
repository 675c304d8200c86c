"""F9: the backward gain of a self-warp through both paths, the features' and the head's.

The gradient of Σₙ g[n] y[n] in x[m] is Σₙ g[n] ∂y[n]/∂x[m], whose mean square for white g of deviation one is
Σₙ E(∂y[n]/∂x[m])² = E Σₘ (∂y[n]/∂x[m])², for everything is alike at every pixel. With white z of deviation one, this is
the mean square of the derivative of y[n] along z,

    Σₘ z[m] ∂y[n]/∂x[m] = (Wz)[n] + α Σᵢ h_z,i[n] ∂ᵢy[n],      h_z,i[n] = Σₘ wᵢ[m] z[n + m],

W the warp by the offsets that x gives, which the algebra of moments reduces as it is. What is drawn has no z: it is the
gradient that automatic differentiation returns through the operator and the head.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import warping
from warptheory.results._experiment import MomentExperiment
from warptheory.results._ranges import Range
from warptheory.results._result import Result
from warptheory.results._setting import PIXEL, Setting
from warptheory.results.selfwarp import _heads as heads
from warptheory.results.selfwarp._heads import NOTATION
from warptheory.symbolic import Expectation, IIDField, OffsetField, Step, warp, warp_gradient

result = Result(
    "F9",
    "Backward gain of a self-warp through both paths",
    "White x and g of deviation one: the gradient that reaches x has the mean square E Σₘ (∂y/∂x[m])² = A4 − "
    "2α² Σᵢₗ ∫ c_ki ∂ᵢc_kl ∂ₗq du + α² Σᵢₗ Gᵢₗ E ∂ᵢy ∂ₗy, with G the Gram matrix of the heads' taps. On a line this is "
    "E y² + α²‖w‖² E(∂y)² exactly, F7 and F8: what the two paths have in common is what F7 adds to A4. If offsets and "
    "x were independent it would be A4 + α² Σᵢ Gᵢᵢ A7; for an own pixel at α = 0.3 it is 0.58 instead of 0.88.",
    assumptions=(
        "The pixels x[m] are independent and normal, of mean zero and deviation one.",
        "g is white, of deviation one, and independent of x.",
        "The offsets are linear functions of x, the same around every pixel.",
    ),
    source="Stein's lemma (C. M. Stein, Estimation of the mean of a multivariate normal distribution, 1981); theory "
    "label F9, which corrects F3",
    meaning="What leaves a self-warp through its head grows with the square of the offsets: on white features and "
    "a grid the gain of the whole layer passes one where offsets are a third to two thirds of a pixel, so "
    "that every block shrinks gradients below and amplifies them above. Start with α times the norm of "
    "the head's filters in that range or below, and count the two paths together, for gains that are "
    "taken apart and added may be half too large or an eighth too small.",
    kernels=("linear", "keys"),
    values={"alpha": Range(0.6, 0.25, 1.2, "log")},
    notation={
        **NOTATION,
        "z": "white noise of deviation one, along which y is differentiated: the mean square of that derivative is "
        "the sum over m of the mean squares of ∂y/∂x[m]",
    },
)


@dataclass(frozen=True)
class SelfWarpGain(MomentExperiment):
    """The mean square of the gradient that reaches the input, by automatic differentiation.

    Attributes:
        components: the taps of the head.
    """

    components: tuple[heads.ComponentTaps, ...]

    pixels: ClassVar[Mapping[int, int]] = {1: 64, 2: 24}
    symbols = frozenset({heads.ALPHA.name})

    @property
    def input(self) -> IIDField:
        """The input x."""
        return IIDField("x", "normal", mean=0, deviation=1)

    @property
    def offsets(self) -> OffsetField:
        """The offsets that the head computes."""
        return heads.computed(self.input, *self.components)

    @property
    def statistic(self) -> Expectation:
        """The mean square of the derivative of y[n] along white noise z."""
        z = IIDField("z", "normal", mean=0, deviation=1)
        through_head: sp.Expr = sp.Integer(0)
        for axis, taps in enumerate(self.components):
            along = sp.Add(*(tap.weight * z[_moved(tap.place)] for tap in taps))
            slope = warp_gradient(self.input, self.offsets, axis, self.setting.kernel)
            through_head += heads.ALPHA * along * slope[PIXEL]
        return Expectation((warp(z, self.offsets, self.setting.kernel)[PIXEL] + through_head) ** 2)

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels that a row draws, of x and of g."""
        return 2 * super().row_elements(values)

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw x and signs g, and differentiate Σ g y in x with the head in the graph; shape (rows,)."""
        shape = (rows, 1, *self.grid)
        x = torch.from_numpy(generator.standard_normal(shape)).to(device).requires_grad_()
        g = torch.from_numpy(1.0 - 2.0 * generator.integers(0, 2, shape)).to(device)
        axes = list(range(2, 2 + self.setting.dim))

        def read(taps: Mapping[tuple[int, ...], float]) -> Tensor:
            moved = (w * torch.roll(x, [-m for m in place], dims=axes) for place, w in taps.items())
            return torch.stack(list(moved)).sum(0)

        offsets = values[heads.ALPHA.name] * torch.cat([read(taps) for taps in self._numbers], dim=1)
        y = warping.warp(x, offsets, self.setting.kernel, "periodic")
        (gradient,) = torch.autograd.grad((g * y).sum(), x)
        return gradient.square().flatten(1).mean(1)

    @property
    def _numbers(self) -> list[dict[tuple[int, ...], float]]:
        """The weights of each component by their places."""
        return [{tuple(map(int, tap.place)): float(tap.weight) for tap in taps} for taps in self.components]


class SelfWarpGainByIdentity(SelfWarpGain):
    """The same on a line, as E y² + α²‖w‖² E(∂y)²."""

    def steps(self) -> tuple[Step, ...]:
        """Return the steps for E y² and E(∂y)², and before them the closed form of the gain itself."""
        y = warp(self.input, self.offsets, self.setting.kernel)[PIXEL]
        slope = warp_gradient(self.input, self.offsets, 0, self.setting.kernel)[PIXEL]
        energy = sp.Add(*(tap.weight**2 for tap in self.components[0]))
        forward, gradient = Expectation(y**2).doit(), Expectation(slope**2).doit()
        return (
            *self.statistic.derive().steps,
            Step("Compare with F7 and F8", _IDENTITY, forward + heads.ALPHA**2 * energy * gradient),
        )

    def doit(self) -> sp.Expr:
        """Return the closed form."""
        return self.steps()[-1].expression


_IDENTITY = (
    "for white input on a line c[m] = w[m], and the paths have 2α ∂y Σ w[m] k(ε − m) in common, of mean "
    "−2α² ∫c_k c_k′ q′ = α² ∫c_k² q″, which F7 adds to A4; the head's path alone has the mean square α²‖w‖² E(∂y)²"
)


# Squares of gradients have heavy tails; errors of two percent are small beside the half by which F3 is off.
@result.quantity("gain, own pixel", smallest_effect=0.02)
def own_pixel(setting: Setting) -> SelfWarpGain:
    """State the gain for heads that read their own pixel."""
    return SelfWarpGain(setting, heads.own_pixel(setting.dim))


@result.quantity("gain on a line by F7 and F8", smallest_effect=0.02, dims=(1,))
def by_identity(setting: Setting) -> SelfWarpGainByIdentity:
    """State the gain for three taps as E y² + α²‖w‖² E(∂y)²."""
    return SelfWarpGainByIdentity(setting, heads.three_taps())


@result.quantity("gain, two taps ahead", smallest_effect=0.02, dims=(1,))
def two_ahead(setting: Setting) -> SelfWarpGain:
    """State the gain for a head that reads two pixels on one side."""
    return SelfWarpGain(setting, heads.two_ahead())


@result.quantity("gain, outward heads", smallest_effect=0.02, dims=(2,))
def outward(setting: Setting) -> SelfWarpGain:
    """State the gain for heads in the plane that read the next pixel along their offset."""
    return SelfWarpGain(setting, heads.outward(2))


@result.quantity("gain, dependent heads", smallest_effect=0.02, dims=(2,))
def dependent(setting: Setting) -> SelfWarpGain:
    """State the gain for offsets in the plane that are correlated, and of unequal variance."""
    return SelfWarpGain(setting, heads.dependent())


def _moved(place: tuple[sp.Expr, ...]) -> tuple[sp.Expr, ...]:
    """Return the pixel beside n."""
    return (PIXEL + place[0], *place[1:])
