"""How far a smooth warp with Gaussian slopes is from an isometry: two experiments of E4 (a).

The slopes are those of waves along each pair of axes, of Rayleigh amplitudes A and uniform phases, which makes them
independent N(0, τ²) at a uniform place. The distance of one field is Σ Aᵢᵢ²/8 + A₁₂²A₂₁²/16 and a few percent more:
the means over the phases of (div ε)²/4 and of (∂₂ε₁ ∂₁ε₂)²/4. It scatters as much as these do. Fields are therefore
drawn in proportion to them, and weighted by the inverse (importance sampling), which leaves every mean as it is: a draw
in proportion to a product of squared amplitudes has Gamma laws of shape 2 for them in place of exponential ones.
"""

from collections.abc import Mapping

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory.results._experiment import DerivedExperiment
from warptheory.results._setting import TAU
from warptheory.results._special_functions import Dawson, Kummer
from warptheory.results.backward._fold_integrals import preimages_steps
from warptheory.results.backward._gaussian_slopes import JACOBIAN, SlopeMean, SmoothIntegral, slope_matrix
from warptheory.results.orthogonality._band_limited import (
    BandLimitedWarp,
    random_phases,
    squared_distance,
    wave_offsets,
)
from warptheory.results.orthogonality._spectral_means import LENGTH, LengthMean
from warptheory.symbolic import Step
from warptheory.symbolic.gaussian import gaussian_mean, normal_density
from warptheory.symbolic.nodes import ExpectedValue

# Terms of a distance, each by the amplitudes whose squares it is a product of, by the number of axes.
_PROPORTIONAL_TO: Mapping[int, np.ndarray] = {
    1: np.array([[[1]]]),
    2: np.array([[[1, 0], [0, 0]], [[0, 0], [0, 1]], [[0, 1], [1, 0]]]),
}


class GaussianDistance(DerivedExperiment):
    """E (1 − √|J|)² for Gaussian slopes that seldom fold."""

    text = "E (1 - sigma)^2, Gaussian slopes"
    symbols = frozenset({TAU.name})

    @property
    def band_limited(self) -> BandLimitedWarp:
        """The grid, and its bands."""
        if self.setting.dim == 1:
            return BandLimitedWarp(1, 128, (9, 17))
        return BandLimitedWarp(2, 30, (3, 5, 7))

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from a mean over the slopes."""
        dim = self.setting.dim
        root = SlopeMean(sp.sqrt(sp.Abs(JACOBIAN)), dim, TAU)
        stretch = preimages_steps(dim)[-1].expression
        whole_mean = Step(
            "Apply Szegő's theorem",
            "σ is |J|^(−1/2) at uniform s, ds = |J| dt, while folds are too seldom to count",
            1 + SlopeMean(sp.Abs(JACOBIAN), dim, TAU) - 2 * root,
        )
        known = Step("Use the number of preimages", "E|J| is that of B7", 1 + stretch - 2 * root)
        roots = _root_steps_on_a_line() if dim == 1 else _root_steps_in_the_plane()
        return (
            whole_mean,
            known,
            *(Step(step.name, step.reason, 1 + stretch - 2 * step.expression) for step in roots),
        )

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of values that the kernel's taps read: 4ᵈ for each pixel of the waves that are warped."""
        return int(4**self.setting.dim * self.band_limited.elements)

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw fields, warp every frequency of the bands, average, and weight; shape (rows,)."""
        dim, tau = self.setting.dim, values[TAU.name]
        squares = _PROPORTIONAL_TO[dim]
        sizes = tau ** (squares.sum((1, 2)) * 2 - 2)
        chosen = generator.choice(len(sizes), rows, p=sizes / sizes.sum())
        # A²/2τ², exponential for Rayleigh amplitudes.
        halves, more = generator.standard_exponential((2, rows, dim, dim))
        halves = halves + squares[chosen] * more
        proportional = np.where(squares, halves[:, None], 1.0).prod((2, 3)) @ sizes
        amplitudes = torch.from_numpy(tau * np.sqrt(2 * halves)).to(device)
        offsets = wave_offsets(amplitudes, random_phases(generator, rows, dim, device), self.band_limited.period)
        weights = torch.from_numpy(sizes.sum() / proportional).to(device)
        return weights * self.band_limited.mean(squared_distance, offsets)


class SmallSlopesDistance(GaussianDistance):
    """E (1 − √|J|)² to second order in the slopes, E (div ε)²/4."""

    text = "E (1 - sigma)^2 up to O(tau^4)"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from the expansion of √J."""
        slopes, scale = slope_matrix(self.setting.dim), sp.Symbol("eta", positive=True)
        distance = (1 - sp.sqrt((sp.eye(self.setting.dim) + scale * slopes).det())) ** 2
        leading = sp.factor(sp.series(distance, scale, 0, 3).removeO().subs(scale, 1))
        return (
            Step("Expand √J", "to second order in the slopes, J = 1 + div ε + …", ExpectedValue(leading)),
            Step(
                "Average over the slopes",
                "independent N(0, τ²), of which the divergence has d",
                gaussian_mean(sp.expand(leading), dict.fromkeys(slopes, TAU**2)),
            ),
        )


def _root_steps_on_a_line() -> tuple[Step, ...]:
    """Return the steps to E √|J|, J = 1 + τz."""
    z = sp.Symbol("z", real=True)
    integrand = normal_density(z, sp.Integer(0), sp.Integer(1)) * sp.sqrt(sp.Abs(1 + TAU * z))
    folded, rest = (SmoothIntegral(integrand, z, *ends) for ends in ((-9, -1 / TAU), (-1 / TAU, 9)))
    scale = sp.sqrt(TAU / sp.pi) * sp.root(2, 4) * sp.gamma(sp.Rational(3, 4))
    kummer = scale * Kummer(sp.Rational(-1, 4), sp.Rational(1, 2), -1 / (2 * TAU**2))
    return (
        Step("Use the density", "J = 1 + τz, z ~ N(0, 1); |z| > 9 has no weight", folded + rest),
        Step("Integrate", "E|1 + τz|^p is Kummer's function M(−p/2, ½, −1/2τ²)", kummer),
    )


def _root_steps_in_the_plane() -> tuple[Step, ...]:
    """Return the step to E √|J|, J = R² − S²."""
    ring = LENGTH - TAU * Dawson(LENGTH / TAU) + TAU * sp.sqrt(sp.pi) / 2 * sp.exp(-(LENGTH**2) / TAU**2)
    reason = "J = R² − S², S² exponential of mean τ²: E √|R² − S²| over S by parts, with Dawson's integral"
    return (Step("Rotate the slopes", reason, LengthMean(ring, TAU)),)
