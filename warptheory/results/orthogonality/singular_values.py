"""E4: the singular values of a warp, how far it is from an isometry, and what it forgets for good.

(a) Smooth maps. With φ(t) = t + ε(t) on a torus, ∫ |x(φ(t))|² dt = ∫ |x(s)|² D(s) ds, D(s) = Σ 1/|J(t)| over the t
that read s: W*W is the multiplication by D, and on signals of M frequencies the Toeplitz matrix that D generates. By
Szegő's theorem (for integrable symbols Tyrtyshnikov's) the singular values are, for large M, distributed as √D(s) at
uniform s, so as |J|^(−1/2) where the map does not fold. Their mean square is 1, folds or not, for ∫ D ds = ∫ dt. The
isometry nearest to W is the orthogonal factor of its polar decomposition, at the squared distance Σ (1 − σ)², and
E_s (1 − √D)² = E_t (1 − √|J|)² without folds.

(b) Scattered outputs. Each output reads at a place of its own, uniform on a torus.
Nearest: W*W is diagonal and counts how often a pixel is read.
Linear: the rank is the structural rank, the largest matching of outputs and pixels that they read, almost surely.
*Proof.* No rank exceeds the structural one. Take a largest matching. Given the cells that the outputs fall into, the
fractions are independent with a density, and the minor on matched outputs and pixels is a polynomial in them. At
fractions of 0 and 1 that put each matched output exactly on its pixel the minor is that of a permutation, ±1; so the
polynomial is not zero, and vanishes with probability 0. ∎
On a line outputs are edges between neighbouring pixels. A largest matching leaves one pixel out of every run of pixels
that are joined by cells hit once each, between two cells that are not hit (a tree), and none out of a run with a cell
hit twice (a cycle). So as many dimensions are lost as there are runs of i = 0, 1, 2, … cells in a row, hit once each,
between two that are not hit; i = 0 is a dead pixel.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import warping
from warptheory.results._experiment import DerivedExperiment
from warptheory.results._ranges import Range, limit, whole
from warptheory.results._result import Result
from warptheory.results._setting import TAU
from warptheory.results.backward._gaussian_slopes import JACOBIAN, SmoothIntegral
from warptheory.results.backward.jensen import BackwardGain, TorusMean
from warptheory.results.orthogonality import _gaussian_distances as gaussian
from warptheory.results.orthogonality import _scattered_outputs as scattered
from warptheory.results.orthogonality._band_limited import (
    BandLimitedWarp,
    random_phases,
    squared_distance,
    wave_offsets,
)
from warptheory.results.orthogonality._spectral_means import FoldedPlaceMean, PlaceMean
from warptheory.results.orthogonality._white_pixels import WhiteSingularValue, slow_offsets
from warptheory.symbolic import Step, restated
from warptheory.symbolic.nodes import Opaque

result = Result(
    "E4",
    "Singular values and rank of a warp",
    "(a) φ smooth, x band-limited: the singular values of W are distributed as |J|^(−1/2) at uniformly drawn places s, "
    "√D(s) with D = Σ 1/|J| over the preimages of s where φ folds. Mean square 1; condition number √(max J/min J); "
    "squared distance to the nearest isometry E(1 − √|J|)² per dimension, → E(div ε)²/4 = dτ²/4 for small slopes. For "
    "φ = t + τ sin t: 2 − (4/π)√(1 + τ) E(2τ/(1 + τ)), E the complete elliptic integral. White pixels, linear kernel, "
    "small slopes: |1 − f + f e^{iω}| at uniform f and ω, of mean π/4 and mean square 2/3. (b) Scattered outputs, "
    "nearest kernel: σ² counts how often a pixel is read, and 1/e of the dimensions are lost. Linear: the rank is the "
    "structural rank; on a line the lost share is Σ e^{−2−i} = e^{−2}/(1 − e^{−1}) = 0.2141, above the dead pixels' "
    "e^{−2}.",
    assumptions=(
        "(a) The offsets are smooth on the scale of the grid, and slopes stay below 1 unless folds are named.",
        "(a) x has M frequencies, M → ∞, far fewer than pixels; means are free of the two ends of the band.",
        "(b) Outputs read at independent uniform places of a torus with as many pixels; wide: of many pixels.",
    ),
    source="arXiv 2511.20800, orthogonality; theory label E4; G. Szegő, Math. Ann. 76, 1915; "
    "E. E. Tyrtyshnikov, Linear Algebra Appl. 232, 1996; H. Widom, Adv. Math. 21, 1976; "
    "generic rank: J. Edmonds, J. Res. NBS 71B, 1967",
    meaning="A smooth warp is nearly orthogonal on smooth features, and the slopes of its offsets alone say how "
    "far it is from that: dτ²/4 of the energy. Scattered offsets throw dimensions away for good, a fifth "
    "of a signal's (half as many again as dead pixels) and a fourteenth of an image's (four times as "
    "many), so keep neighbouring offsets alike wherever information has to pass.",
    notation={
        "E_s": "the mean over places s that are read, uniform on the grid; E_t that over outputs t",
        "E_R": "the mean over R, the length of a plane Gaussian vector of mean (1, 0) and variance τ²/2 per axis",
        "D": "D(s) = Σ 1/|J(t)| over the outputs t that read the place s; D(x) of a number is Dawson's integral",
        "M": "Kummer's function M(a, b, x) = ₁F₁(a; b; x)",
        "N": "the number of pixels along each axis of a periodic grid",
        "i": "the number of outputs that read a pixel, or of cells in a row that are hit once each",
    },
    kernels=("linear",),
    dims=(1,),
    values={"tau": Range(0.5, 0.25, 0.7), "N": whole(12, 8, 16)},
)

# --- (a) smooth maps --------------------------------------------------------------------------------------------------

_T = sp.Symbol("t_1", real=True)
_WAVE = 1 + TAU * sp.cos(_T)  # J
_BY_SZEGO = "W*W on M frequencies is a Toeplitz matrix with the symbol 1/J at the place s: σ is 1/√J, s uniform"
_BY_OUTPUTS = "one output reads each s: ds = J dt"


class WaveSpectrum(DerivedExperiment):
    """A mean over the singular values of φ(t) = t + τ sin(t + θ) on a line, θ new for every row."""

    symbols = frozenset({TAU.name})
    band_limited: ClassVar[BandLimitedWarp] = BandLimitedWarp(1, 256, (17, 33))

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels of the waves that are warped."""
        return self.band_limited.elements

    def offsets(self, generator: np.random.Generator, rows: int, tau: float, device: str) -> Float[Tensor, "rows d *T"]:
        """Draw the waves' phases, and return offsets in pixels, shape (rows, d, *T)."""
        phases = random_phases(generator, rows, 1, device)
        return wave_offsets(torch.full_like(phases, tau), phases, self.band_limited.period)

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw waves, warp every frequency of two bands, and average over the singular values; shape (rows,)."""
        offsets = self.offsets(generator, rows, values[TAU.name], device)
        return self.band_limited.mean(self.function, offsets)

    @staticmethod
    @abstractmethod
    def function(singular_values: Float[Tensor, "rows M"]) -> Float[Tensor, "rows M"]:
        """Return what is averaged, shape (rows, M) as given."""


@result.quantity("distance to the nearest isometry")
class Distance(WaveSpectrum):
    """E (1 − σ)², the squared Frobenius distance to the nearest isometry per dimension."""

    text = "E (1 - sigma)^2"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from the mean over places to an elliptic integral."""
        means = _mean_singular_value_steps()
        return (
            Step("Apply Szegő's theorem", _BY_SZEGO, PlaceMean((1 - 1 / sp.sqrt(JACOBIAN)) ** 2, TAU)),
            Step("Change variables", _BY_OUTPUTS, TorusMean(sp.expand((sp.sqrt(_WAVE) - 1) ** 2), _T)),
            Step("Integrate J", "the mean of J is 1: a map of the circle to itself", 2 - 2 * means[1].expression),
            *(Step(step.name, step.reason, 2 - 2 * step.expression) for step in means[2:]),
        )

    @staticmethod
    def function(singular_values: Float[Tensor, "rows M"]) -> Float[Tensor, "rows M"]:
        """Return (1 − σ)², shape (rows, M) as given."""
        return squared_distance(singular_values)


@result.quantity("mean singular value")
class MeanSingularValue(WaveSpectrum):
    """E σ, the nuclear norm per dimension."""

    text = "E sigma"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from the mean over places to an elliptic integral."""
        return _mean_singular_value_steps()

    @staticmethod
    def function(singular_values: Float[Tensor, "rows M"]) -> Float[Tensor, "rows M"]:
        """Return σ, shape (rows, M) as given."""
        return singular_values


def _mean_singular_value_steps() -> tuple[Step, ...]:
    x = sp.Symbol("x", real=True)
    half = sp.expand_trig(_WAVE.subs(_T, 2 * x)).subs(sp.cos(x) ** 2, 1 - sp.sin(x) ** 2)
    largest = half.subs(sp.sin(x), 0)
    modulus = sp.cancel((1 - half / largest) / sp.sin(x) ** 2)
    if sp.simplify(half - largest * (1 - modulus * sp.sin(x) ** 2)) != 0:
        raise ArithmeticError(f"{half} has to be a constant times 1 − m sin² x")
    return (
        Step("Apply Szegő's theorem", _BY_SZEGO, PlaceMean(1 / sp.sqrt(JACOBIAN), TAU)),
        Step("Change variables", _BY_OUTPUTS, TorusMean(sp.sqrt(_WAVE), _T)),
        Step(
            "Take the half angle",
            "t = 2x: J = (1 + τ)(1 − m sin² x) with m = 2τ/(1 + τ)",
            SmoothIntegral(2 / sp.pi * sp.sqrt(half), x, 0, sp.pi / 2),
        ),
        Step(
            "Integrate",
            "E(m) = ∫₀^{π/2} √(1 − m sin² x) dx, the complete elliptic integral of the second kind",
            2 / sp.pi * sp.sqrt(largest) * sp.elliptic_e(modulus),
        ),
    )


@result.quantity("mean fourth power")
class MeanFourthPower(WaveSpectrum):
    """E σ⁴, of which what exceeds 1 is the variance of σ²: the backward gain of B6."""

    text = "E sigma^4"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from the mean over places to those of the backward gain."""
        first = Step("Apply Szegő's theorem", _BY_SZEGO, PlaceMean(JACOBIAN**-2, TAU))
        return (first, *restated(BackwardGain(self.setting).steps(), "the same as the backward gain: ", lambda e: e))

    @staticmethod
    def function(singular_values: Float[Tensor, "rows M"]) -> Float[Tensor, "rows M"]:
        """Return σ⁴, shape (rows, M) as given."""
        return singular_values**4


@result.quantity("mean square")
class MeanSquare(WaveSpectrum):
    """E σ², the energy that is kept on average, whether φ folds or not."""

    text = "E sigma^2"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps to 1."""
        return (
            Step("Apply Szegő's theorem", _BY_SZEGO, PlaceMean(1 / JACOBIAN, TAU)),
            Step("Change variables", f"{_BY_OUTPUTS}; for any map ∫ Σ 1/|J| ds = ∫ dt", sp.Integer(1)),
        )

    @staticmethod
    def function(singular_values: Float[Tensor, "rows M"]) -> Float[Tensor, "rows M"]:
        """Return σ², shape (rows, M) as given."""
        return singular_values.square()


@result.quantity("condition number", bias=0.1, values={"tau": Range(0.5, 0.25, 0.6)})
class ConditionNumber(WaveSpectrum):
    """max σ/min σ, from bands of three lengths: the ends of the spectrum are approached as a/M² + b/M³."""

    text = "(max sigma)/(min sigma)"
    band_limited = BandLimitedWarp(1, 320, (17, 33, 65))

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from the ends of the symbol."""
        largest, smallest = (_WAVE.subs(_T, t) for t in (0, sp.pi))
        return (
            Step(
                "Apply Szegő's theorem",
                "the spectrum fills the range of the symbol 1/J, and its ends are those of the range",
                sp.sqrt(sp.Max(largest, smallest) / sp.Min(largest, smallest)),
            ),
            Step("Order them", "0 < τ < 1", sp.sqrt(largest / smallest)),
        )

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw waves, and extrapolate both ends of the spectrum to infinitely many frequencies; shape (rows,)."""
        offsets = self.offsets(generator, rows, values[TAU.name], device)
        spectra = self.band_limited.singular_values(offsets)
        return _extrapolated([s[:, -1] for s in spectra]) / _extrapolated([s[:, 0] for s in spectra])

    @staticmethod
    def function(singular_values: Float[Tensor, "rows M"]) -> Float[Tensor, "rows M"]:
        """Return σ, shape (rows, M) as given."""
        return singular_values


def _extrapolated(ends: list[Float[Tensor, "rows"]]) -> Float[Tensor, "rows"]:
    """Return the limit of values at M, 2M, 4M, whose errors are of orders M⁻² and M⁻³, shape (rows,)."""
    coarse, middle, fine = ends
    first, second = middle + (middle - coarse) / 3, fine + (fine - middle) / 3
    return second + (second - first) / 7


# What three differences of bands leave of their ends is up to 0.25 %, and falls too slowly for 1 %.
@result.quantity("mean singular value, folded", smallest_effect=0.02, bias=0.15, values={"tau": Range(1.5, 1.4, 2.0)})
class FoldedSingularValue(WaveSpectrum):
    """E σ where φ folds, τ > 1, from bands of four lengths.

    The symbol has inverse square roots at the two caustics; σ reaches M^(1/4), and what is left of the ends of the band
    falls as a power of M, which three differences tell (Aitken).
    """

    text = "E sigma, folded"
    band_limited = BandLimitedWarp(1, 768, (17, 33, 65, 129))

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from places to outputs."""
        return (
            Step(
                "Apply Tyrtyshnikov's theorem",
                "a place s that several outputs read has the symbol D(s) = Σ 1/|J|, integrable but unbounded",
                FoldedPlaceMean(TAU, Opaque("s")),
            ),
            Step(
                "Change variables",
                "each of the ν outputs that read s stands for |J| dt = ds, so that the place is counted ν times",
                FoldedPlaceMean(TAU, Opaque("t")),
            ),
        )

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw waves, and extrapolate the differences between neighbouring bands; shape (rows,)."""
        offsets = self.offsets(generator, rows, values[TAU.name], device)
        sums = [spectrum.sum(1) for spectrum in self.band_limited.singular_values(offsets)]
        bands = self.band_limited.bands
        means = [(sums[i + 1] - sums[i]) / (bands[i + 1] - bands[i]) for i in range(3)]
        before, after = means[1] - means[0], means[2] - means[1]
        return means[2] + after.square() / (before - after)

    @staticmethod
    def function(singular_values: Float[Tensor, "rows M"]) -> Float[Tensor, "rows M"]:
        """Return σ, shape (rows, M) as given."""
        return singular_values


result.quantity(
    "distance to the nearest isometry, Gaussian slopes",
    bias=0.1,
    dims=(1, 2),
    values={"tau": Range(0.13, 0.11, 0.15)},
)(gaussian.GaussianDistance)
result.quantity(
    "distance to the nearest isometry, small slopes",
    bias=0.2,  # of the fourth order in the slopes
    values={"tau": Range(0.025, 0.02, 0.03)},
)(gaussian.SmallSlopesDistance)


def band_limited_spectrum(tau: float, modes: int, period: int) -> Float[np.ndarray, "M"]:
    """Return the singular values of φ = t + τ sin t on the lowest frequencies of a grid, shape (modes,).

    Args:
        tau: the largest slope τ, without unit.
        modes: number of waves, odd.
        period: pixels of the grid, six or more for each mode.
    """
    amplitude = torch.full((1, 1, 1), tau, dtype=torch.float64)
    offsets = wave_offsets(amplitude, torch.zeros_like(amplitude), period)
    found: np.ndarray = BandLimitedWarp(1, period, (modes,)).singular_values(offsets)[0][0].numpy()
    return found


def white_spectrum(kernel: str, pixels: int) -> Float[np.ndarray, "N"]:
    """Return the singular values of slow offsets on all frequencies of a grid, shape (pixels,).

    Args:
        kernel: name of the kernel.
        pixels: pixels of the grid.
    """
    offsets = slow_offsets(torch.full((1, 1, 1), 0.5, dtype=torch.float64), pixels)
    matrix = warping.warp_matrix(offsets, kernel=kernel, boundary="periodic")[0].to_dense()
    return np.asarray(np.linalg.svd(matrix.numpy(), compute_uv=False))


result.quantity("mean singular value, white pixels", bias=0.1)(WhiteSingularValue)


# --- (b) scattered outputs --------------------------------------------------------------------------------------------

# Of ranks, counts that scatter by their root, 1 % would ask for four times as many matrices.
result.quantity(
    "lost share, nearest", smallest_effect=0.02, kernels=("nearest",), dims=(1, 2), values=scattered.few_pixels
)(scattered.LostByNearest)
result.quantity("mean fourth power, nearest", kernels=("nearest",), values={"N": whole(12, 8, 24)})(
    scattered.HitSquares
)
result.quantity("lost share, linear", smallest_effect=0.02)(scattered.LostByLinear)
result.quantity("lost share, linear, large grid", smallest_effect=0.02, values={"N": limit(2**13)})(
    scattered.LostOnLargeGrid
)
result.quantity("rank over structural rank", dims=(2, 3), values=scattered.structural_sizes)(
    scattered.RankOverStructuralRank
)
