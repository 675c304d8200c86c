"""Singular values of slow offsets on all frequencies of a grid: an experiment of E4 (a)."""

from collections.abc import Mapping

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import warping
from warptheory.results._experiment import DerivedExperiment
from warptheory.results.backward._gaussian_slopes import SmoothIntegral
from warptheory.results.orthogonality._spectral_means import ResponseMean
from warptheory.symbolic import Step

_PIXELS = 128


def slow_offsets(phases: Float[Tensor, "rows 1 1"], pixels: int) -> Float[Tensor, "rows 1 N"]:
    """Return offsets that rise from 0 to 1 pixel and fall again over a periodic axis, by equal steps.

    Args:
        phases: where in a step each field starts, as a share of it, shape (rows, 1, 1).
        pixels: N.

    Returns:
        Offsets in pixels, shape (rows, 1, N).
    """
    place = (torch.arange(pixels, device=phases.device) + phases) / pixels
    return 2 * torch.minimum(place % 1, 1 - place % 1)


class WhiteSingularValue(DerivedExperiment):
    """E σ on all frequencies of a grid, linear kernel, slopes → 0: offsets 0 … 1 … 0 pixels, by equal steps.

    The slopes are 1/64; the deviation from the limit falls as their power 3/2, and is 0.07 %.
    """

    text = "E sigma, white pixels"
    symbols = frozenset()

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from the responses at all fractions and frequencies to π/4."""
        k, v, n = sp.Symbol("k", positive=True), sp.Symbol("v", positive=True), sp.Symbol("n", integer=True)
        w = sp.Symbol("w", positive=True)
        lost = sp.integrate(2 / (w**2 + 1), (w, 1, sp.oo))
        kept = sp.summation(2 / (2 * n + 1) ** 2, (n, 0, sp.oo))
        return (
            Step(
                "Take the local responses",
                "the matrix is locally a convolution with 1 − f, f (a locally Toeplitz sequence): its singular values "
                "are |1 − f + f e^{iω}|, f and ω uniform",
                ResponseMean(),
            ),
            Step(
                "Integrate over frequencies",
                "|1 − f + f e^{iω}|² = 1 − 4f(1 − f) sin²(ω/2): an elliptic integral E(1 − k²), k = |1 − 2f| uniform",
                SmoothIntegral(2 / sp.pi * sp.elliptic_e(1 - k**2), k, 0, 1),
            ),
            Step(
                "Integrate over fractions first",
                "∫₀¹ √(cos² x + k² sin² x) dk = ½ + ½ cos² x arsinh(tan x)/sin x, and tan x = sinh v",
                2 / sp.pi * (sp.pi / 4 + SmoothIntegral(v / (sp.sinh(v) * sp.cosh(v) ** 2), v, 0, 16) / 2),
            ),
            Step(
                "Integrate",
                "1/(sinh v cosh² v) = 1/sinh v − sinh v/cosh² v: ∫ v/sinh v dv = Σ 2/(2n + 1)², ∫ dv/cosh v = π/2",
                sp.expand(2 / sp.pi * (sp.pi / 4 + (kept - lost) / 2)),
            ),
        )

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of entries of the matrix."""
        return _PIXELS**2

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw the phase of the offsets, and average the singular values of the whole matrix; shape (rows,)."""
        phases = torch.from_numpy(generator.random((rows, 1, 1))).to(device)
        matrices = warping.warp_matrix(slow_offsets(phases, _PIXELS), boundary="periodic").to_dense()
        singular_values: Tensor = torch.linalg.svdvals(matrices)
        return singular_values.mean(1)
