"""F5: the cascade of gradient energy, which gathers where features stay rough from layer to layer.

The theorem, and the experiment that could refute it. The cascade of a real network is `GradientCascade`: given every
layer's masks, gains, slopes and positions it predicts how gradient energy spreads over layers and positions.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from warptheory.results._depth import LAYERS, Iterate
from warptheory.results._experiment import DerivedExperiment
from warptheory.results._ranges import Range, whole
from warptheory.results._result import Result

# Public here: what reads cascades from networks, and what measures localisation.
from warptheory.results.selfwarp._cascade_stages import CascadeStage as CascadeStage
from warptheory.results.selfwarp._cascade_stages import Convolved as Convolved
from warptheory.results.selfwarp._cascade_stages import Normalised as Normalised
from warptheory.results.selfwarp._cascade_stages import Rectified as Rectified
from warptheory.results.selfwarp._cascade_stages import Residual as Residual
from warptheory.results.selfwarp._cascade_stages import Warped as Warped
from warptheory.results.selfwarp._forced_stack import CHANNELS, ForcedStack, layer_gain
from warptheory.results.selfwarp._gradient_cascade import GradientCascade as GradientCascade
from warptheory.results.selfwarp._gradient_cascade import GradientProfile as GradientProfile
from warptheory.results.selfwarp._gradient_cascade import energy_of as energy_of
from warptheory.results.selfwarp._gradient_cascade import moments_of as moments_of
from warptheory.results.selfwarp._gradient_cascade import white_moments as white_moments
from warptheory.symbolic import DEVIATION, Step

result = Result(
    "F5",
    "The cascade of gradient energy",
    "The energy u(t) of the gradient obeys u_{l−1} = m_l u_l + W[b_l u_l] + α² A[λ_l b_l u_l] from a layer to the "
    "one before: m the mask of the shortcut, b the gain of the branch, W what the transposed warp makes of an "
    "energy (ρ̄ᵈ of it for white features at all fractions), λ the local squared slope of the features, A the "
    "average over the head's taps. Where features are rough in every layer, it grows by the largest factor again "
    "and again: with a share q of rough positions and 1 − q smooth ones, M₁ and M₂ the factors of a layer, L "
    "layers multiply the energy by q M₁ᴸ + (1 − q) M₂ᴸ, which is more than the product of means (q M₁ + (1 − q) "
    "M₂)ᴸ, and rough positions come to hold all of it. For a real network the cascade predicts the mean over "
    "random signs of the gradient at the output; the loss's own gradient is one of that energy, and scatters "
    "about the mean (analysis `gradient_cascade`).",
    assumptions=(
        "Given the features, gradients at different positions and of different channels are uncorrelated, and so are "
        "shortcut and branch, as behind weights of random sign.",
        "Experiment: a position is rough or smooth in all layers, its features are white and new in each; the shortcut "
        "passes half of the values, heads have unit norm.",
    ),
    source="arXiv 2511.20800, self-warp networks; theory label F5",
    meaning="In a deep self-warp network the gradient comes to sit on the few positions and images whose features stay "
    "rough, so that its norm says little about most of the batch. Predict its growth before the first step from one "
    "forward pass, which tells the power of ten though a single batch may be a factor of three off, and lower α or the "
    "gain of the heads until that power is small.",
    kernels=("linear",),
    values={
        "L": whole(3, 2, 5),
        "alpha": Range(0.5, 0.3, 1.0, "log"),
        "b": Range(0.4, 0.2, 0.8, "log"),
        "q": Range(0.3, 0.1, 0.6, kind="fraction"),
        "r": Range(0.3, 0.1, 0.6, kind="fraction"),
        "sigma": Range(1.2, 0.8, 1.6),
    },
    notation={
        "alpha": "the scale of a self-warp: pixels of offset per unit of what its head computes, ε = αh",
        "b": "the gain of a branch: the energy that it passes back to its warp",
        "q": "the share of positions where features are rough in every layer",
        "r": "the deviation of the features where they are smooth, over that where they are rough",
        "M": "the factor by which a layer multiplies the energy of a gradient",
        "lambda": "the local squared slope of the features, summed over the axes and averaged over channels",
        "A": "the sum over the head's taps, weighted by their squares",
        "u": "the energy of the gradient at a position",
    },
)

_BRANCH, _SHARE, _RATIO = (sp.Symbol(name, positive=True) for name in "bqr")
_KEPT = sp.Rational(1, 2)  # by the mask of the shortcut


class TwoRoughnesses(DerivedExperiment):
    """Patches whose features are rough in every layer, and patches where they are smooth."""

    symbols = frozenset({"L", "alpha", "b", "q", "r", "sigma"})
    pixels = ForcedStack.pixels

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of values of a row, over its layers and channels, rough and smooth."""
        return 2 * CHANNELS * int(values["L"]) * super().row_elements(values)

    def _powers(self) -> tuple[sp.Expr, sp.Expr]:
        rough, smooth = self._factors()
        return rough**LAYERS, smooth**LAYERS

    def _factors(self) -> tuple[sp.Expr, sp.Expr]:
        """Return M of a rough position and of a smooth one, each from the algebra."""
        rough = layer_gain(self.setting, DEVIATION**2)
        smooth = layer_gain(self.setting, (_RATIO * DEVIATION) ** 2)
        return _KEPT + _BRANCH * rough, _KEPT + _BRANCH * smooth

    def _repeated(self) -> tuple[sp.Expr, sp.Expr]:
        energy = sp.Symbol("u", positive=True)
        rough, smooth = (Iterate(factor * energy, energy, 1, LAYERS) for factor in self._factors())
        return rough, smooth

    def _drawn(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str
    ) -> tuple[Tensor, Tensor]:
        """Return q times the gain of rough patches, and 1 − q times that of smooth ones, each of shape (rows,)."""
        stack = ForcedStack.draw(self.setting, generator, rows, int(values["L"]), kept=float(_KEPT), device=device)
        rough, smooth = (
            stack.gains(values["alpha"], values["b"], values["sigma"] * ratio) for ratio in (1.0, values["r"])
        )
        return values["q"] * rough, (1 - values["q"]) * smooth


_LAYER = (
    "given the roughness of a position, the layers' signs make every layer's energies add: the shortcut passes a half, "
    "the branch b times what the warp gives by both ways, so that u(l − 1) = M u(l)"
)


# Energies multiply from layer to layer and scatter widely; two percent are small beside ten, by which the product of
# mean gains is too low at these values. On a line the share shows both growths.
@result.quantity("growth of the energy", smallest_effect=0.02, dims=(2,))
@dataclass(frozen=True)
class Growth(TwoRoughnesses):
    """E Σ|g_0|²/Σ|g_L|²."""

    text = "E |g_0|²/|g_L|²"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from one layer to L."""
        repeated, powers = self._repeated(), self._powers()
        return (
            Step("One layer", _LAYER, _SHARE * repeated[0] + (1 - _SHARE) * repeated[1]),
            Step("Solve the recursion", "a position keeps its factor M", _SHARE * powers[0] + (1 - _SHARE) * powers[1]),
        )

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw a rough and a smooth patch for every row, and weigh their growth; shape (rows,)."""
        rough, smooth = self._drawn(generator, rows, values, device)
        return rough + smooth


# Of the same draws as the growth, and with their scatter.
@result.quantity("share of the energy at rough positions", smallest_effect=0.02, dims=(1,))
@dataclass(frozen=True)
class RoughShare(TwoRoughnesses):
    """The share of the energy at the input that rough positions hold."""

    text = "E |g_0|²(rough)/E |g_0|²"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from one layer to L."""

        def share(rough: sp.Expr, smooth: sp.Expr) -> sp.Expr:
            return _SHARE * rough / (_SHARE * rough + (1 - _SHARE) * smooth)

        return (
            Step("One layer", _LAYER, share(*self._repeated())),
            Step("Solve the recursion", "a position keeps its factor M", share(*self._powers())),
        )

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows k"]:
        """Draw the energy at rough positions and at smooth ones; shape (rows, 2)."""
        return torch.stack(self._drawn(generator, rows, values, device), 1)

    def combine(self, means: Float[ndarray, "k"], values: Mapping[str, float]) -> tuple[float, Float[ndarray, "k"]]:
        """Return the share and its gradient, shape (k,), at means of shape (k,)."""
        rough, smooth = means
        total = rough + smooth
        return float(rough / total), np.array([smooth, -rough]) / total**2
