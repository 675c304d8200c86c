"""G6: the critical multiplier of a residual stack, and how it falls with depth.

A stream that every block adds to: x_{l+1} = y_l + W_l y_l/√E_l, y_l = x_l warped by ε_l = α w_l·u_l, W_l random with
E‖W_l y‖² = ‖y‖², E_l = E₀ + l the energy of x_l, f = v·x_L, ‖v‖ = 1. Heads read guides u_l of P channels that are made
the same way. All heads are zero. A block divides by the size of what it reads, as BatchNorm does, so that the gradient
that comes back through it has (1 + 1/E_l) times the energy: it grows on the way down as E_L/E_l.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from warptheory import warping
from warptheory.results._depth import LAYERS
from warptheory.results._experiment import DerivedExperiment
from warptheory.results._ranges import Range, whole
from warptheory.results._result import Result
from warptheory.results.stability import _steps as one_step
from warptheory.results.stability._steps import ALPHA, CHANNELS, INPUTS, MULTIPLIER, NOTATION, CountedSum
from warptheory.symbolic import Step

result = Result(
    "G6",
    "The critical multiplier falls with depth",
    "In a residual stream of blocks that normalise what they read, of energy E_l = E₀ + l at layer l, the ratio of "
    "speeds is ρ = α²m·(dP/2C)·Σ_{l<L} E_l / (1 + Σ_{l=1}^{L} 1/E_l): the offsets of a layer move the output in "
    "proportion to the energies of the derivative, ~ E_l, of what the head reads, ~ E_l, and of the gradient, E_L/E_l; "
    "the weights of a block in proportion to the latter alone. The critical multiplier α²m_c = 1/3ρ̂, ρ̂ = ρ/α²m, so "
    "falls as ln L/L², not as a power: between 3 and 18 layers by an exponent of 1.7, 1.6 or 1.4 for E₀ = ½, 1 or "
    "2, the range that a study measured, and by 2 in the end. A chain without shortcuts that is linear has no fall at "
    "all; what real networks of several families do is in the analysis `critical_multiplier`.",
    assumptions=(
        "x₀ and u₀ are independent of each other and normal, independent from pixel to pixel, of mean zero.",
        "Blocks are linear but for a division by the expected size of what they read; all heads are zero.",
        "The step is that of gradient descent on one output, and small.",
    ),
    source="theory label G6, which left the exponent open; G5",
    meaning="Every block that is added to a residual network makes offsets move faster against weights, for features, "
    "their slopes and so the pull on every head grow along the stream. Lower the multiplier of the offsets by three to "
    "fifteen for six times the depth, measuring which, or let heads read normalised features, which takes one power of "
    "the depth away.",
    kernels=("linear", "keys"),
    dims=(1, 2),
    values={
        "alpha": Range(0.8, 0.4, 1.6, "log"),
        "m": Range(0.5, 0.1, 1.0, "log"),
        "C": whole(4, 3, 6),
        "P": whole(5, 3, 8),
        "L": whole(3, 1, 5),
        "E_0": Range(1.0, 0.5, 2.5, "log"),
    },
    notation={
        **NOTATION,
        "E_0": "the energy of a channel where the residual stream begins; each block adds one",
    },
)

START = sp.Symbol("E_0", positive=True)


@result.quantity("ratio of self-influences of a residual stream", smallest_effect=0.08)
@dataclass(frozen=True)
class StreamStep(DerivedExperiment):
    """What one step on one output moves it by, through all heads over through all weights."""

    text = "E Δf_off / E Δf_rest"
    symbols = frozenset({ALPHA.name, MULTIPLIER.name, CHANNELS.name, INPUTS.name, LAYERS.name, START.name})
    pixels: ClassVar[Mapping[int, int]] = {1: one_step.PIXELS, 2: one_step.PIXELS}

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from sums over layers to a closed form."""
        layer = sp.Symbol("l", integer=True, nonnegative=True)
        dim, energy = self.setting.dim, START + layer
        delivered = one_step.delivered_energy(self.setting.kernel)
        gradient = (START + LAYERS) / energy  # ∏ (1 + 1/E_j) over the blocks above
        heads = CountedSum(gradient * delivered * dim * energy * INPUTS * energy, layer, 0, LAYERS - 1)
        weights = CHANNELS * (START + LAYERS) + CountedSum(CHANNELS * gradient, layer, 1, LAYERS)
        series = delivered * dim * INPUTS * (START * LAYERS + LAYERS * (LAYERS - 1) / 2) / CHANNELS
        harmonic = sp.polygamma(0, START + LAYERS + 1) - sp.polygamma(0, START + 1)
        scale = ALPHA**2 * MULTIPLIER
        return (
            Step(
                "Sum over the layers",
                "the gradient of layer l depends on the blocks above, features and guides on those below: energies "
                "multiply; a head has E_L/E_l · d e E_l · P E_l, a block's weights C E_L/E_{l+1}, the readout C E_L; "
                "e = " + one_step.SIDES,
                scale * heads / weights,
            ),
            Step(
                "Sum both series",
                "E_L cancels; Σ 1/(E₀ + l) is a difference of digammas",
                scale * series / (1 + harmonic),
            ),
        )

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of values that a row draws, with those of all blocks."""
        channels, inputs = values[CHANNELS.name], values[INPUTS.name]
        return int((channels + inputs) * super().row_elements(values) + values[LAYERS.name] * (channels**2 + inputs**2))

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows k"]:
        """Draw streams, take the step, and return how far heads and weights move the output, shape (rows, 2)."""
        channels, inputs, layers = (int(values[symbol.name]) for symbol in (CHANNELS, INPUTS, LAYERS))
        dim = self.setting.dim

        def normal(*shape: int) -> Tensor:
            return torch.from_numpy(generator.standard_normal((rows, *shape))).to(device)

        start = values[START.name]
        x, u = start**0.5 * normal(channels, *self.grid), start**0.5 * normal(inputs, *self.grid)
        guides = []
        for layer in range(layers):
            guides.append(u)
            u = u + _mixed(normal(inputs, inputs) / inputs**0.5, u) / (start + layer) ** 0.5
        v = one_step.unit_rows(normal(channels)).requires_grad_()
        blocks = [(normal(channels, channels) / channels**0.5).requires_grad_() for _ in range(layers)]
        heads = [
            torch.zeros((rows, dim, inputs), dtype=torch.float64, device=device, requires_grad=True)
            for _ in range(layers)
        ]

        def output(v: Tensor, blocks: list[Tensor], heads: list[Tensor]) -> Tensor:
            y = x
            for layer in range(layers):
                offsets = values[ALPHA.name] * _mixed(heads[layer], guides[layer])
                y = warping.warp(y, offsets, self.setting.kernel, "periodic")
                y = y + _mixed(blocks[layer], y) / (start + layer) ** 0.5
            return (v * one_step.centre(y)).sum(1)

        before = output(v, blocks, heads)
        force, *others = one_step.gradients(before, [v, *blocks, *heads])
        moved = []
        with torch.no_grad():
            for rate in (one_step.RATE, -one_step.RATE):  # residuals of either sign
                of_blocks = [block - rate * pull for block, pull in zip(blocks, others[:layers], strict=True)]
                of_heads = [-values[MULTIPLIER.name] * rate * pull for pull in others[layers:]]
                steps = (before - output(v, blocks, of_heads), before - output(v - rate * force, of_blocks, heads))
                moved.append(torch.stack(steps, 1) / (2 * rate))
        return moved[0] + moved[1]

    def combine(self, means: Float[ndarray, "k"], values: Mapping[str, float]) -> tuple[float, Float[ndarray, "k"]]:
        """Return the ratio, and its gradient, shape (k,), at means of shape (k,)."""
        by_heads, by_weights = means
        return float(by_heads / by_weights), np.array([1 / by_weights, -by_heads / by_weights**2])


def _mixed(weights: Float[Tensor, "rows O I"], field: Float[Tensor, "rows I *S"]) -> Float[Tensor, "rows O *S"]:
    """Return channels that are mixed pixel by pixel, shape (rows, O, *S)."""
    return torch.einsum("roi,ri...->ro...", weights, field)
