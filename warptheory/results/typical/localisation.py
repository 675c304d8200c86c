"""K3: the energy of slopes gathers in few positions."""

from collections.abc import Mapping

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from warptheory.fields.localisation import share_of_positions
from warptheory.results._depth import LAYERS
from warptheory.results._experiment import DerivedExperiment
from warptheory.results._ranges import Range, whole
from warptheory.results._result import Result
from warptheory.results._setting import TAU
from warptheory.results.typical._drawing import WarpedRamp, drawn_slopes
from warptheory.results.typical._log_slopes import half_energy_steps
from warptheory.results.typical._notation import SLOPE_LOGARITHMS
from warptheory.results.typical._slope_length import LENGTH, SlopeLengthMean, entropy_steps
from warptheory.symbolic import Step
from warptheory.symbolic.gaussian import gaussian_mean

result = Result(
    "K3",
    "Localisation of the gradient's energy",
    "E‖∇y‖⁴/(E‖∇y‖²)² grows by the factor 1 + (4τ² + 2dτ⁴)/(1 + dτ²)² a layer. The relative entropy of the "
    "energy, E w log w for w = ‖∇y‖²/E‖∇y‖², grows by I_d = 2(dτ²λ_{d+2} + λ_{d+4})/(1 + dτ²) − log(1 + dτ²) a "
    "layer, about 2τ². Of the positions, G_L(q) hold half of the energy (K2), q the median slope where positions "
    "count with their energy. That falls with depth as exp(−L I_d), and Φ(−√(2LI_d)) is close at any depth: too "
    "small by 0.4 % at most at τ = 0.15, and by at most 9, 5, 3 % at τ = 0.8 for d = 1, 2, 3. A log-slope that "
    "was Gaussian to its tail would have Φ(−2√(Lv_d)), v_d its variance (K2): right for Lτ⁴ ≪ 1 alone, as v_d "
    "also counts slopes that are small, which hold no energy; at τ = 0.5 in the plane it is 2.6 times too small "
    "after three layers, and 12 times after nine.",
    assumptions=(
        "The slopes at a position are independent N(0, τ²), all d² alike.",
        "The offsets of layers are independent of each other and of the feature, whose slopes are all of one size: "
        "the factors are those by which layers localise, on top of what the feature does.",
        "Positions are drawn uniformly from those of the output.",
    ),
    source="theory label K3; tilted laws and their entropy: H. Cramér, Actual. sci. industr. 736, 1938",
    meaning="After about 1/τ² layers half of the energy of the features' slopes, which is what offsets learn from "
    "(F4), sits in a few per cent of the positions, so that most of an image does not take part in a step "
    "of the offsets. Measure the share with `fields.localisation.share_of_positions`, and clip or "
    "normalise by position where it is small.",
    notation={
        **SLOPE_LOGARITHMS,
        "q": "the slope beyond which half of the energy lies",
        "G_L": "the probability that a slope has grown by a larger factor than that in brackets",
    },
    kernels=("linear",),
    dims=(1, 2, 3),
    values={"tau": Range(0.5, low=0.2, high=0.9, scale="log")},
)


@result.quantity("growth of the fourth moment over the second squared")
class Kurtosis(WarpedRamp):
    """E r⁴/(E r²)²."""

    text = "E ‖u + τg‖⁴/(E ‖u + τg‖²)²"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps to the factor."""
        dim = self.setting.dim
        fourth, second = (SlopeLengthMean(LENGTH**power, LENGTH, dim, TAU) for power in (4, 2))
        slopes = sp.symbols(f"a_1:{dim + 1}", real=True)
        square = sp.Add(*((sp.KroneckerDelta(number, 0) + slope) ** 2 for number, slope in enumerate(slopes)))
        variances = dict.fromkeys(slopes, TAU**2)
        moments = [gaussian_mean(sp.expand(square**power), variances) for power in (2, 1)]
        growth = sp.factor(moments[0]) / sp.factor(moments[1]) ** 2
        excess = sp.factor(sp.cancel(growth - 1))
        return (
            Step("Moments", "of r² = (1 + τg₁)² + τ²g₂² + …, independent of what enters", fourth / second**2),
            Step("Wick's theorem", "moments of Gaussian slopes", growth),
            Step("Collect", "E r⁴ = (1 + dτ²)² + 4τ² + 2dτ⁴", 1 + excess),
        )

    def means(self, slope: Float[Tensor, "rows positions"], values: Mapping[str, float]) -> Float[Tensor, "rows k"]:
        """Return means of r² and r⁴, shape (rows, 2)."""
        return (slope[..., None] ** slope.new_tensor([2, 4])).mean(1)

    def combine(self, means: Float[ndarray, "k"], values: Mapping[str, float]) -> tuple[float, Float[ndarray, "k"]]:
        """Return their ratio, and its gradient, shape (k,), at means of shape (k,)."""
        second, fourth = means
        return float(fourth / second**2), np.array([-2 * fourth / second**3, 1 / second**2])


@result.quantity("entropy of the energy a layer")
class EnergyEntropy(WarpedRamp):
    """E w log w, w = r²/E r²."""

    text = "E w log w"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps to I_d."""
        return entropy_steps(self.setting.dim)

    def means(self, slope: Float[Tensor, "rows positions"], values: Mapping[str, float]) -> Float[Tensor, "rows k"]:
        """Return means of r² and of r² log r², shape (rows, 2)."""
        energy = slope.square()
        return torch.stack([energy.mean(1), (energy * energy.log()).mean(1)], 1)

    def combine(self, means: Float[ndarray, "k"], values: Mapping[str, float]) -> tuple[float, Float[ndarray, "k"]]:
        """Return the entropy, and its gradient, shape (k,), at means of shape (k,)."""
        energy, weighted = means
        ratio = weighted / energy
        return float(ratio - np.log(energy)), np.array([-(ratio + 1) / energy, 1 / energy])


@result.quantity(
    "share of positions that hold half of the energy after L layers",
    smallest_effect=0.02,  # of which the finite number of positions takes a part
    bias=0.1,  # of a share over as many positions as a row has: 0.2 %
    values={LAYERS.name: whole(3, 1, 5), "tau": Range(0.35, low=0.2, high=0.5, scale="log")},
)
class HalfEnergyPositions(DerivedExperiment):
    """The share of positions that hold half of the energy, of which each has slopes of its own in every layer."""

    text = "share of positions with half of ‖∇y‖²"
    symbols = frozenset({TAU.name, LAYERS.name})
    positions = 8192

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from the energy-weighted law to the share."""
        return half_energy_steps(self.setting.dim)

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of slopes that a row draws."""
        return int(self.positions * self.setting.dim**2 * values[LAYERS.name])

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw the slopes of all layers, and return the share of each row, shape (rows,)."""
        dim, layers = self.setting.dim, int(values[LAYERS.name])
        slope = drawn_slopes(generator, rows, self.positions, dim, values[TAU.name], layers)
        return share_of_positions(slope.square()).to(device)
