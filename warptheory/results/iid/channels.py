"""A8: the gradient that an offset receives when several channels share it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import warping
from warptheory.core.errors import ArgumentError
from warptheory.fields import IID
from warptheory.results._experiment import MomentExperiment
from warptheory.results._ranges import whole
from warptheory.results._result import Result
from warptheory.results._setting import PIXEL, Setting
from warptheory.symbolic import ExchangeableVariance, IIDField, OffsetField, warp_gradient

result = Result(
    "A8",
    "Gradient of an offset shared by channels",
    "∂L/∂εᵢ[n] = Σ_c g_c[n] ∂ᵢy_c[n] has variance C σ_g² σ² δ̄ ρ̄ᵈ⁻¹: channels add up although they share the "
    "offsets, because their gradients are uncorrelated. With G groups of offsets C/G channels take the place of "
    "C. The experiment with groups draws them all and runs a loss backward, the other one its channels' terms.",
    assumptions=(
        "The channels of x and g are independent fields of independent pixels, g with mean 0 and variance σ_g².",
        "The fraction of the sampling position is uniform on [0, 1)ᵈ, and the same for all channels of a group.",
        "The kernel is a partition of unity.",
    ),
    source="arXiv 2511.20800, independent inputs; theory label A8",
    # That channels add is the same for every kernel; A7 has each kernel's own factor.
    meaning="The gradient of an offset that C channels share has √C times the size of one channel's, unlike that "
    "of a weight. Under SGD divide the learning rate of offsets by the root of the channels of a group, "
    "or use more groups; Adam does not see it.",
    kernels=("linear",),
    values={"C": whole(2, 1, 6)},
    notation={
        "C": "the number of channels that share an offset",
        "G": "the number of groups of channels; each group has offsets of its own",
    },
)

CHANNELS = sp.Symbol("C", positive=True)
GROUPS = sp.Symbol("G", positive=True)
GRADIENT_DEVIATION = sp.Symbol("sigma_g", positive=True)


@result.quantity("variance")
def variance(setting: Setting) -> ExchangeableVariance:
    """State Var of the sum over C channels."""
    return _of_channels(setting, CHANNELS)


def _of_channels(setting: Setting, number: sp.Expr) -> ExchangeableVariance:
    """State Var of the sum over some channels of g_c[n]·∂₁y_c[n]; all have the same offsets."""
    eps = OffsetField("uniform", setting.dim, scale="1/2")

    def channel(c: int) -> sp.Expr:
        g = IIDField(f"g{c}", mean=0, deviation=GRADIENT_DEVIATION)
        return (g * warp_gradient(IIDField(f"x{c}"), eps, 0, setting.kernel, name=f"y{c}"))[PIXEL]

    return ExchangeableVariance(channel(1), channel(2), number)


@result.quantity(
    "variance, groups of offsets", smallest_effect=0.02, values={"C": whole(6, 1, 12), "G": whole(3, 1, 4)}
)
@dataclass(frozen=True)
class GroupGradient(MomentExperiment):
    """Var of the gradient that one of G groups of offsets receives, which C/G of the channels share.

    A row is the mean square of what automatic differentiation of a loss on all C channels sends to all groups.
    """

    symbols = frozenset({"C", "G", "mu", "sigma", "sigma_g"})
    pixels: ClassVar[Mapping[int, int]] = {1: 64, 2: 16, 3: 8}

    @property
    def statistic(self) -> ExchangeableVariance:
        """The variance of the sum over C/G channels."""
        return _of_channels(self.setting, CHANNELS / GROUPS)

    def check_values(self, values: Mapping[str, float]) -> None:
        """Check that every group has as many channels.

        Raises:
            ArgumentError: numbers that are not whole, or channels that are no multiple of the groups.
        """
        channels, groups = values["C"], values["G"]
        if not (float(channels).is_integer() and float(groups).is_integer() and channels % groups == 0):
            expected = f"a whole multiple of the number of groups G = {groups:g}"
            raise ArgumentError("C", expected=expected, received=channels)

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels of a row, over its channels."""
        return int(values["C"]) * super().row_elements(values)

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw x, g and the offsets of every group, and run the loss Σ g·y backward; shape (rows,)."""
        dim, inputs = self.setting.dim, self.setting.inputs
        size, channels, groups = self.grid, int(values["C"]), int(values["G"])
        laws = IID(inputs, values["mu"], values["sigma"]), IID(inputs, 0.0, values["sigma_g"])
        drawn = (law.sample(rows * channels, size, generator, device=device) for law in laws)
        x, g = (field.reshape(rows, channels, *size) for field in drawn)
        offsets = torch.from_numpy(generator.uniform(-0.5, 0.5, (rows, groups, dim, *size))).to(device)
        offsets.requires_grad_()
        loss = (g * warping.warp(x, offsets, self.setting.kernel, "periodic")).sum()
        (received,) = torch.autograd.grad(loss, offsets)
        return received[:, :, 0].square().flatten(1).mean(1)
