"""B8: gradients through stacked warps."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory.montecarlo import Experiment
from warptheory.results._result import PIXEL, Quantity, Result, Setting, wide_offsets
from warptheory.results.backward.jensen import GainExperiment, backward_steps, gain_experiment
from warptheory.symbolic import Expectation, Field, IIDField, OffsetField, Statistic, Step, WideOffsets, splat
from warptheory.symbolic._slopes import TAU, DerivedStatistic

HALF_WIDTH = sp.Symbol("a", positive=True)


def stack(setting: Setting, layers: int) -> Field:
    """Return W₁ᵀ…W_Lᵀ1, the layers' offsets independent and uniform on [−a, a)."""
    z: Field = IIDField("g", mean=1, deviation=0)
    for number in range(1, layers + 1):
        z = splat(z, OffsetField("uniform", setting.dim, name=f"epsilon_{number}"), setting.kernel, name=f"z{number}")
    return z


def second_moment_of_two(setting: Setting) -> Expectation:
    """State the second moment after two layers."""
    return Expectation(stack(setting, 2)[PIXEL] ** 2)


def wide_second_moment_of_three(setting: Setting) -> WideOffsets:
    """State the second moment after three layers of widely spread offsets."""
    return WideOffsets(Expectation(stack(setting, 3)[PIXEL] ** 2), HALF_WIDTH)


def smooth_second_moment(setting: Setting) -> DerivedStatistic:
    """State the second moment after two layers of smooth offsets without folds, ε = τ sin t with random phases."""
    return DerivedStatistic("E (W₁ᵀW₂ᵀ1)², smooth offsets", _smooth_steps, setting.dim)


def _smooth_steps(dim: int) -> tuple[Step, ...]:
    """Square the steps of one layer (B6): W₂ᵀ1 is homogeneous, and independent of the next layer's offsets."""
    reason = "each layer multiplies the second moment of what it receives by ⟨1/J⟩: "
    return tuple(
        Step(step.name, reason * (number == 0) + step.reason, step.expression**2)
        for number, step in enumerate(backward_steps(dim))
    )


@dataclass(frozen=True)
class SmoothStackExperiment:
    """Ones, splatted twice by smooth offsets of random phase, from grids that get coarser.

    Attributes:
        layer: the second layer; the first one has a grid that is finer by its oversampling.
    """

    layer: GainExperiment

    @property
    def _layers(self) -> tuple[GainExperiment, GainExperiment]:
        """The two layers; the first arrives on the finer grid that the second one leaves from."""
        return replace(self.layer, period=self.layer.period * self.layer.oversampling), self.layer

    @property
    def symbols(self) -> Set[str]:
        """The largest slope."""
        return self.layer.symbols

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels of the first layer."""
        return self._layers[0].row_elements(values)

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw the phases of both layers, and return the mean square of what comes out; shape (rows,)."""
        first, _ = self._layers
        shape = (rows, 1, *(first.period * first.oversampling,) * first.dim)
        z = torch.ones(shape, dtype=torch.float64, device=device)
        for layer in self._layers:
            phases = torch.from_numpy(2 * np.pi * generator.random((rows, layer.dim))).to(device)
            z = layer.splatted(z, phases, values[TAU.name])
        return z.square().flatten(1).mean(1)


def on_smooth_offsets(statistic: Statistic, setting: Setting) -> Experiment:
    """Return the experiment on smooth offsets; half the pixels of one layer's experiment keep the bias below 0.1 %."""
    layer = gain_experiment(setting, backward=True)
    return SmoothStackExperiment(replace(layer, period=layer.period // 2))


RESULT = Result(
    label="B8",
    title="Gradients through stacked warps",
    statement=(
        "With widely spread independent offsets a layer takes the second moment m of W₁ᵀ…W_Lᵀ1 to ρ̄ᵈ m + 1: it "
        "converges to 1/(1 − ρ̄ᵈ), 3 and 9/5 for the linear kernel in d = 1, 2."
    ),
    assumptions=(
        "The offsets of every layer and pixel are independent, uniform on [−a, a)ᵈ; or smooth as in B6.",
        "The kernel is a partition of unity with finitely many taps.",
    ),
    source="arXiv 2511.20800, forward and backward pass; theory label B8",
    quantities=(
        Quantity("second moment after two layers", second_moment_of_two),
        Quantity("second moment after three layers, wide offsets", wide_second_moment_of_three, values=wide_offsets),
        Quantity(
            "second moment after two layers, smooth offsets",
            smooth_second_moment,
            smallest_effect=0.02,
            dims=(1,),
            kernels=("linear", "keys"),
            simulation=on_smooth_offsets,
        ),
    ),
    values={"tau": 0.5},
)
