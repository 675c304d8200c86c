"""K2: how log-slopes spread over positions, and the law of the slope after L layers."""

from collections.abc import Mapping, Set

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from warptheory.results._depth import LAYERS
from warptheory.results._experiment import DerivedExperiment
from warptheory.results._ranges import Range, whole
from warptheory.results._result import Result
from warptheory.results._setting import TAU
from warptheory.results.typical._drawing import WarpedRamp, composed_pixels, composed_slopes, drawn_slopes

# Public here: analyses draw stacks and the quantiles of their slopes with them.
from warptheory.results.typical._drawing import composed_jacobians as composed_jacobians
from warptheory.results.typical._log_slopes import THRESHOLD, tail_steps
from warptheory.results.typical._log_slopes import slope_quantiles as slope_quantiles
from warptheory.results.typical._notation import SLOPE_FACTOR
from warptheory.results.typical._slope_length import spread_steps
from warptheory.symbolic import Step, restated

result = Result(
    "K2",
    "The spread of log-slopes",
    "The logarithm of a slope after L layers has the mean Lλ_d (K1) and the variance Lv_d, v_d = Var log r = "
    "¼[ψ′(d/2) + 2F₂ − F₁²], τ² + τ⁴ + … in the plane and π²/24 for wide slopes; divided by √L it is Gaussian in the "
    "limit: the slope's quantiles are about exp(Lλ_d + z√(Lv_d)). At any depth a slope exceeds t times its first "
    "value with the probability G_L(t), the convolution of L laws of log r, each from a noncentral χ².",
    assumptions=(
        "The slopes at a position are independent N(0, τ²), all d² alike.",
        "The offsets of layers are independent of each other and of the feature, which is smooth.",
        "Positions are drawn uniformly from those of the output.",
    ),
    source="theory label K2; the central limit theorem for Lyapunov exponents: J. E. Cohen, C. M. Newman, Ann. Probab. "
    "12(2), 1984; inversion: J. Gil-Pelaez, Biometrika 38, 1951",
    meaning="Under independent isotropic slopes positions come to differ by a factor exp(√(Lv)) either way, about "
    "e after 1/τ² layers. One step size for all of them then has to suit the steepest few, so keep Lτ² "
    "near one, or normalise by position.",
    notation={
        "r": SLOPE_FACTOR,
        "t": "the factor by which a slope has grown after L layers",
        "G_L": "the probability that a slope has grown by a larger factor than that in brackets",
        "v": "the variance of log r, of one layer",
    },
    kernels=("linear",),
    dims=(1, 2, 3),
    values={"tau": Range(0.5, low=0.2, high=0.9, scale="log")},
)


@result.quantity("variance of a layer")
class SlopeSpread(WarpedRamp):
    """Var log r."""

    text = "Var log ‖u + τg‖"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps to v_d."""
        return spread_steps(self.setting.dim)

    def means(self, slope: Float[Tensor, "rows positions"], values: Mapping[str, float]) -> Float[Tensor, "rows k"]:
        """Return means of log r and of its square, shape (rows, 2)."""
        return _log_moments(slope)

    def combine(self, means: Float[ndarray, "k"], values: Mapping[str, float]) -> tuple[float, Float[ndarray, "k"]]:
        """Return the variance, and its gradient, shape (k,), at means of shape (k,)."""
        return _variance(means)


def _log_moments(slope: Float[Tensor, "rows positions"]) -> Float[Tensor, "rows 2"]:
    logarithm = slope.log()
    return (logarithm[..., None] ** logarithm.new_tensor([1, 2])).mean(1)


def _variance(means: Float[ndarray, "k"]) -> tuple[float, Float[ndarray, "k"]]:
    mean, square = means
    return float(square - mean**2), np.array([-2 * mean, 1.0])


@result.quantity(
    "variance after L layers",
    smallest_effect=0.02,  # a stack has 2048 pixels a layer for 512 positions, whose log-slopes scatter by 1.3
    bias=0.05,  # of the slopes of a spline through the offsets, which have lost 2e-4 of their variance
    dims=(1,),  # in the plane, where fields are forty times as large, the analyses draw quantiles of such stacks
    values={LAYERS.name: whole(3, 2, 4), "tau": Range(0.5, low=0.3, high=0.7, scale="log")},
)
class ComposedSpread(DerivedExperiment):
    """Var log ‖∇(x∘φ₁∘…∘φ_L)‖ for fields of offsets that are composed: each is read where the others have moved to."""

    text = "Var log ‖∇(x∘φ₁∘…∘φ_L)‖"
    symbols = frozenset({TAU.name, LAYERS.name})

    def steps(self) -> tuple[Step, ...]:
        """Return the steps of one layer, L times."""
        reason = "layers are independent, and the next one's law does not depend on where the others have moved: "
        return restated(spread_steps(self.setting.dim), reason, lambda one: LAYERS * one)

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels of a stack."""
        return composed_pixels(self.setting.dim, values[LAYERS.name])

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows k"]:
        """Draw stacks, and return means of the log-slope and of its square over positions, shape (rows, 2)."""
        slope = composed_slopes(
            generator, rows, self.setting.dim, values[TAU.name], int(values[LAYERS.name]), device=device
        )
        return _log_moments(slope)

    def combine(self, means: Float[ndarray, "k"], values: Mapping[str, float]) -> tuple[float, Float[ndarray, "k"]]:
        """Return the variance, and its gradient, shape (k,), at means of shape (k,)."""
        return _variance(means)


@result.quantity(
    "share of slopes above t after L layers",
    smallest_effect=0.02,  # a share p of independent positions needs (1 − p)/p times as many as its mean would
    values={LAYERS.name: whole(3, 1, 5), THRESHOLD.name: Range(1.3, low=0.8, high=1.8)},
)
class ShareOfSteepPositions(DerivedExperiment):
    """P(∏ r > t), over positions of which each has slopes of its own in every layer."""

    text = "P(‖∇y‖ > t‖∇x‖)"
    positions = 1024

    @property
    def symbols(self) -> Set[str]:
        """The slope of the offsets, the number of layers, and the threshold."""
        return {TAU.name, LAYERS.name, THRESHOLD.name}

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from the characteristic function of log r to its convolution."""
        return tail_steps(self.setting.dim)

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of slopes that a row draws."""
        return int(self.positions * self.setting.dim**2 * values[LAYERS.name])

    def threshold(self, values: Mapping[str, float]) -> float:
        """Return t."""
        return values[THRESHOLD.name]

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw the slopes of all layers, and return the share of positions above t, shape (rows,)."""
        dim, layers = self.setting.dim, int(values[LAYERS.name])
        slope = drawn_slopes(generator, rows, self.positions, dim, values[TAU.name], layers)
        return (slope > self.threshold(values)).double().mean(1).to(device)
