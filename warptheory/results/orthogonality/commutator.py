"""E2: a warp commutes with shifts only where its offsets are constant.

With (Sx)[n] = x[n + 1] on a periodic grid, W S − S W has in row n, seen from pixel n + 1, the row wₙ − wₙ₊₁. It is zero
for the shifts along all axes iff all rows are alike. Constant offsets make them alike. Conversely a row tells its
offset, if the kernel reproduces polynomials of degree one and the grid has N ≥ 2S − 1 pixels, S those that the kernel
reads: a row is zero outside an arc of S pixels. Two alike rows have arcs that meet at one end at most, so that together
they do not close around the grid; counted along them Σₘ m k(p − m) = p for both, and p is the same modulo N. Alike rows
have the same offset, then. (On two pixels the linear kernel has alike rows for offsets of 0.3 and −0.3; a kernel that
rounds, such as nearest, for offsets that round to the same pixel, and commutes for those.)
"""

from collections.abc import Mapping, Set

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import matrices
from warptheory.results._ranges import whole
from warptheory.results._result import Result
from warptheory.results.orthogonality._mean_rows import LENGTH, RowsExperiment, combined, energies
from warptheory.symbolic import Step

result = Result(
    "E2",
    "A warp commutes with shifts iff its offsets are constant",
    "On a periodic grid W S = S W for all shifts S iff ε is constant modulo the grid, for a kernel that reproduces "
    "polynomials of degree one and a grid of at least twice the pixels that it reads, less one. For independent "
    "offsets E ‖W S − S W‖² per pixel is 2(G − M) for every shift but that by nothing, with G and M as in E1: on large "
    "grids twice what no convolution explains, and zero only for constant offsets.",
    assumptions=(
        "The offsets are independent over pixels and along axes, and of one law.",
        "The grid is periodic, of N pixels along each axis, at least 2S − 1 for a kernel that reads S.",
    ),
    source="arXiv 2511.20800, warps as another class of orthogonal operators; theory label E2",
    meaning=(
        "A layer with offsets that vary is not equivariant to shifts: moving its input does not move its output, "
        "however small the variation. Where equivariance matters, let the offsets move along with the input (as a head "
        "that is a convolution does), and fix none of them to places of the image."
    ),
    offsets=("normal", "uniform", "laplace", "mixture"),
    kernels=("linear", "keys"),
    values={LENGTH.name: whole(24, 16, 32), "shift": whole(1, 1, 7)},
    notation={
        "S": "a shift by whole pixels on a periodic grid, (Sx)[n] = x[n + shift]",
        "shift": "the pixels by which S shifts",
        "N": "the pixels of the periodic grid along each axis",
        "G": "the mean energy of a row of the warp's matrix",
        "M": "the mean scalar product of two rows, each seen from its own pixel",
        "l": "the number of a turn around the grid, or of an image of a spectrum, over which a sum runs",
        "chi": "the characteristic function of an offset along an axis",
    },
)


_SHIFT = "shift"


# A difference of two that are much larger, as the rest in E1, which is half of it and is drawn in the plane.
@result.quantity("energy of the commutator", dims=(1,), smallest_effect=0.02)
class CommutatorEnergy(RowsExperiment):
    """‖W S − S W‖² per pixel, S a shift along the first axis."""

    text = "E ‖W S − S W‖²/N"

    @property
    def symbols(self) -> Set[str]:
        """Those of the rows, and the shift in pixels."""
        return {*super().symbols, _SHIFT}

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from the difference of two rows."""
        reason = (
            "row n of W S − S W is wₙ − wₙ₊ₛ, seen from pixel n + s: E Σ (wₙ − wₙ₊ₛ)² = 2 E Σ w² − 2 Σ (E w)² for "
            "independent rows"
        )
        return combined(self.own_energy_steps(), self.common_energy(), reason, lambda own, common: 2 * (own - common))

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw matrices, and return the energy of each one's commutator; shape (rows,)."""
        stacked, inputs, outputs = self.stacked_matrices(generator, rows, values)
        shift = [int(values[_SHIFT])] + [0] * (self.setting.dim - 1)
        return torch.from_numpy(energies(matrices.shift_commutator(stacked, shift, inputs, outputs), rows))
