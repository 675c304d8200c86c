"""F3: the two ways by which a self-warp sends gradients back, through what it reads and through where it reads it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import warping
from warptheory.results._depth import LAYERS, Iterate
from warptheory.results._experiment import DerivedExperiment, MomentExperiment
from warptheory.results._ranges import Range, whole
from warptheory.results._result import Result
from warptheory.results._setting import PIXEL, Setting
from warptheory.results.selfwarp._forced_stack import CHANNELS, SCALE, ForcedStack, layer_gain
from warptheory.symbolic import (
    DEVIATION,
    ExchangeableVariance,
    IIDField,
    OffsetField,
    Step,
    Variance,
    splat,
    warp_gradient,
)

result = Result(
    "F3",
    "The two paths of the gradient through a self-warp",
    "The gradient reaches the input of y(t) = x(t + ε(t)), ε = α w∗x, by two paths: Wᵀg, and the head's transpose of "
    "g·∇x, what the offsets receive. For offsets that are independent of the features the second adds α²‖w_c‖² C σ_g² "
    "Var ∂y to the energy at channel c, ‖w_c‖² the energy of the head's filters on that channel summed over the d "
    "components, C the number of channels that the offset moves: C λ₂ of a smooth field, 2(2/3)ᵈ⁻¹σ² for white "
    "features at all fractions. The two do not correlate then. A head of unit norm per component gives α²dλ₂ a layer; "
    "were energies spread evenly, L layers would multiply them by (1 + α²dλ₂)ᴸ in the continuum, by (ρ̄ᵈ + "
    "α²dδ̄ρ̄ᵈ⁻¹σ²)ᴸ for white features on a grid. The formula holds for heads that read other channels than the "
    "gradient comes from, or pixels beyond the kernel's reach; heads that read the very pixels that they move are "
    "F9's.",
    assumptions=(
        "The gradient g is white and independent of the features, which are white.",
        "The head reads a channel of which the loss sees nothing, or pixels that are farther away than the warp reads.",
        "Layers: every fraction is equally likely, features are new in each, random signs keep gradients uncorrelated.",
    ),
    source="arXiv 2511.20800, self-warp networks; theory label F3",
    meaning="The head of a self-warp is a second road for the gradient: it adds α²d times the squared slope of "
    "the features in every layer, which compounds with depth and outweighs the first road where that "
    "exceeds one. Keep it well below the inverse of the number of layers, by α, by the gain of the heads, "
    "or by `gradient_scale`.",
    kernels=("linear",),
    values={
        "C": whole(3, 1, 6),
        "L": whole(3, 1, 4),
        "alpha": Range(0.4, 0.2, 0.8, "log"),
        "w": Range(0.5, 0.2, 0.7),
        "sigma": Range(1.2, 0.8, 1.6),
    },
    notation={
        "C": "the number of channels that an offset moves",
        "alpha": "the scale of a self-warp: pixels of offset per unit of what its head computes, ε = αh",
        "w": "‖w_c‖, the norm of the head's filters on a channel that it reads, over all components of the offsets",
        "v": "the energy of the gradient after some layers",
    },
)

_CHANNELS, _NORM = sp.Symbol("C", positive=True), sp.Symbol("w", positive=True)
_SENT = sp.Symbol("sigma_g", positive=True)
_PAIR = (0.6, 0.8)  # a filter's two taps, of unit norm


def _offsets(setting: Setting, channels_read: sp.Expr) -> OffsetField:
    """Return the offsets of such a head: normal, independent along the axes, as their filters read different pixels."""
    spread = SCALE * _NORM * DEVIATION * sp.sqrt(channels_read / sp.Integer(setting.dim))
    return OffsetField("normal", setting.dim, scale=spread)


def _second_path(setting: Setting, eps: OffsetField) -> ExchangeableVariance:
    """State α²‖w_c‖² times the variance of what the offsets receive along one axis, of all C channels."""

    def channel(c: int) -> sp.Expr:
        g = IIDField(f"g{c}", mean=0, deviation=_SENT)
        slope = warp_gradient(IIDField(f"x{c}", mean=0), eps, 0, setting.kernel, name=f"y{c}")
        return SCALE * _NORM * (g * slope)[PIXEL]

    return ExchangeableVariance(channel(1), channel(2), _CHANNELS)


class PairHeads(DerivedExperiment):
    """A self-warp on a periodic grid, whose filter for the axis i has two taps, to both sides along that axis.

    Attributes:
        reach: how far away the taps are, in pixels.
    """

    reach: ClassVar[int]
    symbols = frozenset({"C", "alpha", "w", "sigma", "sigma_g"})

    def _received(
        self,
        x: Float[Tensor, "rows C *S"],
        sent: Float[Tensor, "rows C *S"],
        read: int,
        values: Mapping[str, float],
    ) -> Float[Tensor, "rows C *S"]:
        """Return the gradient at the features by one backward pass, through warp and head, shape (rows, C, *S).

        Args:
            x: the features, shape (rows, C, *S).
            sent: the gradient at what the warp returns, likewise.
            read: the head reads the first so many channels.
            values: α, and ‖w_c‖ of every channel that is read, over all components.
        """
        x = x.requires_grad_()
        seen = x[:, :read].sum(1)
        gain = values["alpha"] * values["w"] / math.sqrt(self.setting.dim)

        def component(axis: int) -> Tensor:
            behind, ahead = (seen.roll(shift, 1 + axis) for shift in (self.reach, -self.reach))
            return gain * (_PAIR[0] * behind + _PAIR[1] * ahead)

        offsets = torch.stack([component(axis) for axis in range(self.setting.dim)], 1)
        y = warping.warp(x, offsets, self.setting.kernel, "periodic")
        (received,) = torch.autograd.grad((sent * y).sum(), x)
        return received


@result.quantity("energy by the head's path")
@dataclass(frozen=True)
class HeadPath(PairHeads, MomentExperiment):
    """The second path's energy at the one channel that the head reads, of whose warped values the loss sees nothing."""

    reach = 1
    pixels: ClassVar[Mapping[int, int]] = {1: 512, 2: 24}

    @property
    def statistic(self) -> ExchangeableVariance:
        """α²‖w_c‖² times what the offsets receive."""
        return _second_path(self.setting, _offsets(self.setting, sp.Integer(1)))

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels of a row, over its channels."""
        return (1 + int(values["C"])) * super().row_elements(values)

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Return the mean square of the gradient at the channel that is read, which the head alone sends; (rows,)."""
        x, sent = _white(generator, rows, 1 + int(values["C"]), self.grid, values, device)
        sent[:, 0] = 0
        return self._received(x, sent, 1, values)[:, 0].square().flatten(1).mean(1)


@result.quantity(
    "energy by both paths",
    values={"C": whole(3, 1, 4), "alpha": Range(0.4, 0.2, 0.6, "log"), "w": Range(0.5, 0.2, 0.6)},
)
@dataclass(frozen=True)
class BothPaths(PairHeads):
    """The energy at every channel where the head reads all of them, but farther away than the warp."""

    text = "E (∂L/∂x_c)²"
    reach = 6  # four deviations of the offsets and the kernel's reach
    pixels: ClassVar[Mapping[int, int]] = {1: 512, 2: 24}

    def steps(self) -> tuple[Step, ...]:
        """Return the steps of either path, and their sum."""
        eps = _offsets(self.setting, _CHANNELS)
        first = Variance(splat(IIDField("g", mean=0, deviation=_SENT), eps, self.setting.kernel)[_READ]).derive()
        second = _second_path(self.setting, eps).derive()
        reason = (
            "the product of the paths has a factor w(t, s) times a tap of the head at s − t, the weight of a pixel in "
            "the warp times that in the head, and no pixel has both: energies add"
        )
        return (
            Step("Two paths", reason, first.result + second.steps[0].expression),
            Step("Closed form", second.steps[-1].reason, first.result + second.result),
        )

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels of a row, over its channels."""
        return int(values["C"]) * super().row_elements(values)

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Return the mean square of the whole gradient, shape (rows,)."""
        channels = int(values["C"])
        x, sent = _white(generator, rows, channels, self.grid, values, device)
        return self._received(x, sent, channels, values).square().flatten(1).mean(1)


_READ = sp.Symbol("m", integer=True)


# Energies multiply from layer to layer and scatter widely; one layer alone is checked to one percent above.
@result.quantity("growth over L layers, unit heads", smallest_effect=0.02)
@dataclass(frozen=True)
class GrowthOverLayers(DerivedExperiment):
    """E Σ|g_0|²/Σ|g_L|² of L self-warps one after the other, whose heads have unit norm per component."""

    text = "E |g_0|²/|g_L|²"
    symbols = frozenset({"L", "alpha", "sigma"})
    pixels = ForcedStack.pixels

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from one layer to L."""
        factor, energy = layer_gain(self.setting, DEVIATION**2), sp.Symbol("v", positive=True)
        return (
            Step(
                "One layer",
                "the first path keeps ρ̄ᵈ, the second adds α² times d components of a unit norm each times Var ∂y; "
                "what comes out is uncorrelated again, by the signs",
                Iterate(factor * energy, energy, 1, LAYERS),
            ),
            Step("Solve the recursion", "every layer has the same factor", factor**LAYERS),
        )

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of values of a row, over its layers and channels."""
        return CHANNELS * int(values["L"]) * super().row_elements(values)

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw the growth of every row, shape (rows,)."""
        stack = ForcedStack.draw(self.setting, generator, rows, int(values["L"]), kept=0.0, device=device)
        return stack.gains(values["alpha"], 1.0, values["sigma"])


def _white(
    generator: np.random.Generator,
    rows: int,
    channels: int,
    size: tuple[int, ...],
    values: Mapping[str, float],
    device: str,
) -> tuple[Tensor, Tensor]:
    """Draw white features and the random signs that are sent back to them, each of shape (rows, channels, *size)."""
    shape = (rows, channels, *size)
    x = values["sigma"] * generator.standard_normal(shape)
    sent = values["sigma_g"] * (1.0 - 2.0 * generator.integers(0, 2, shape))
    return torch.from_numpy(x).to(device), torch.from_numpy(sent).to(device)
