"""E1: how much of a warp a convolution can do.

The convolutions of a periodic grid are the matrices that commute with its shifts Sₖ, and the mean of SₖᵀW Sₖ over k
projects on them: it is one of them, leaves them as they are, and is symmetric for the scalar product tr AᵀB. The
nearest convolution is therefore the mean row, h(j) = (1/N) Σₙ k(εₙ − j): the kernel, spread over the histogram of the
offsets; and the rest is orthogonal to every convolution.
"""

from collections.abc import Mapping

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from warptheory import matrices
from warptheory.fields.laws import ARGUMENT
from warptheory.results._ranges import Range, limit, whole
from warptheory.results._result import Result
from warptheory.results._setting import Setting
from warptheory.results.orthogonality._mean_rows import LENGTH, RowsExperiment, combined, energies, filter_energies
from warptheory.symbolic import NotReducible, OffsetField, Step
from warptheory.symbolic.nodes import OffsetAverage, Opaque

result = Result(
    "E1",
    "The convolution nearest to a warp",
    "The convolution nearest to W in the Frobenius norm is the kernel spread over the histogram of the offsets; the "
    "rest is orthogonal to every convolution. For independent offsets of density q it has per pixel the energy M + "
    "(G − M)/Nᵈ on a grid of Nᵈ pixels, with M = [Σⱼ (q∗k)(j)²]ᵈ and G the gain of A4: the share M/G of W's energy on "
    "a large grid. For offsets of wide spread it is (∫q²/ρ̄)ᵈ, (2√π s ρ̄)⁻ᵈ for N(0, s²), and tends to zero.",
    assumptions=(
        "The offsets are independent over pixels and along axes, and of one law.",
        "The grid is periodic, of N pixels along each axis, and not shorter than the kernel.",
    ),
    source="arXiv 2511.20800, warps as another class of orthogonal operators; theory label E1",
    meaning="No convolution does what a layer with widely spread offsets does: the share of the layer that one "
    "can imitate falls as one over the spread along each axis. If that share is close to one in a trained "
    "layer, and its offsets are also the same for every input, a fixed convolution can take its place.",
    offsets=("normal", "uniform", "laplace", "mixture"),
    values={LENGTH.name: whole(24, 16, 32)},
    notation={
        "N": "the pixels of the periodic grid along each axis",
        "H": "the convolution that is nearest to the warp",
        "l": "the number of a turn around the grid, or of an image of a spectrum, over which a sum runs",
        "q": "the density of an offset along an axis",
        "G": "the mean energy of a row of the warp's matrix",
        "M": "the mean scalar product of two rows, each seen from its own pixel",
        "chi": "the characteristic function of an offset along an axis",
    },
)


# On a line; the rest and the share are drawn in the plane.
@result.quantity("energy of the nearest convolution", dims=(1,))
class ConvolutionEnergy(RowsExperiment):
    """Σⱼ h(j)², the energy per pixel of the convolution nearest to a warp on a grid of Nᵈ pixels."""

    text = "E ‖H‖²/N"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from pairs of rows: each with itself once in Nᵈ, else two that are independent."""
        reason = (
            "‖H‖² per pixel is the mean of ⟨wₙ, wₙ′⟩ over all pairs of rows, seen from their pixels: one pair in Nᵈ is "
            "a row with itself, with G = E Σ w²; two that differ are independent, with M = Σ (E w)²"
        )
        rows = self.rows_of_grid
        return combined(
            self.own_energy_steps(), self.common_energy(), reason, lambda own, common: common + (own - common) / rows
        )

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw matrices, and return the energy of the nearest convolution of each; shape (rows,)."""
        stacked, inputs, outputs = self.stacked_matrices(generator, rows, values)
        filters = matrices.nearest_convolution(stacked, inputs, outputs).filters
        return torch.from_numpy(filter_energies(filters, rows))


# The rest is a tenth of what it is the difference of, and scatters as much: to see 1 % takes four times the rows. On a
# line it is half of what E2 draws.
@result.quantity("energy of the rest", dims=(2,), values={LENGTH.name: whole(10, 10, 14)}, smallest_effect=0.02)
class RestEnergy(RowsExperiment):
    """‖W − H‖² per pixel, on a grid of Nᵈ pixels."""

    text = "E ‖W − H‖²/N"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from the energies of W and H, which add up."""
        reason = "H is an orthogonal projection of W: ‖W − H‖² = ‖W‖² − ‖H‖², with G and M + (G − M)/Nᵈ per pixel"
        rows = self.rows_of_grid
        return combined(
            self.own_energy_steps(), self.common_energy(), reason, lambda own, common: (own - common) * (1 - 1 / rows)
        )

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw matrices, and return the energy of what the nearest convolution of each leaves; shape (rows,)."""
        stacked, inputs, outputs = self.stacked_matrices(generator, rows, values)
        rest = matrices.nearest_convolution(stacked, inputs, outputs).remainder()
        return torch.from_numpy(energies(rest, rows))


class Share(RowsExperiment):
    """The share of W's energy that a convolution explains on a large grid.

    Two columns are drawn, unbiased for M and G: of the energy of H on a finite grid the pairs of a row with itself are
    taken out.
    """

    text = "lim (N → ∞) of E ‖H‖²/E ‖W‖²"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps to M/G."""
        reason = "of ‖H‖² pairs of a row with itself are one in Nᵈ: M per pixel is left, of G = E Σ w²"
        return combined(
            self.own_energy_steps(), self.common_energy_of_the_line(), reason, lambda own, common: common / own
        )

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows k"]:
        """Draw matrices; return estimates of M and G, shape (rows, 2)."""
        stacked, inputs, outputs = self.stacked_matrices(generator, rows, values)
        filters = matrices.nearest_convolution(stacked, inputs, outputs).filters
        own, pixels = energies(stacked, rows), stacked.shape[1]
        common = (pixels * filter_energies(filters, rows) - own) / (pixels - 1)
        return torch.from_numpy(np.stack([common, own], 1))

    def combine(self, means: Float[ndarray, "k"], values: Mapping[str, float]) -> tuple[float, Float[ndarray, "k"]]:
        """Return M/G and its gradient, shape (2,), at means of both, shape (2,)."""
        common, own = means
        return float(common / own), np.array([1 / own, -common / own**2])


@result.quantity(
    "share of the energy",
    kernels=("linear", "keys"),
    values=lambda setting: {LENGTH.name: limit({1: 48, 2: 16}[setting.dim])},
)
def share(setting: Setting) -> Share:
    """State M/G; the grid is long against the spread of the offsets."""
    return Share(setting)


def _wide(_: Setting) -> Mapping[str, float]:
    """Return scales against which the kernel is narrow, and of uniform offsets the smeared ends as well."""
    scales = {"s": Range(8.0, 7.0, 9.0), "b": Range(8.0, 7.0, 9.0), "a": Range(55.0, 50.0, 60.0)}
    return {**scales, LENGTH.name: limit(128)}


@result.quantity(
    "share of the energy, wide offsets",
    kernels=("linear", "keys"),
    dims=(1,),
    # Ends of an interval that the kernel smears take 7/(30a) off, up to 0.5 %, and the curvature of a density
    # 1/(12 s²): an error of 1 % would ask for intervals and grids of twice the length, and four times the rows.
    smallest_effect=0.02,
    bias=0.25,
    values=_wide,
)
class WideShare(Share):
    """The share for offsets that are spread widely."""

    text = "lim (s → ∞) of E ‖H‖²/E ‖W‖²"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from an integral over the density."""
        law = self.law
        if law.density is None:
            raise NotReducible(sp.Symbol(law.name), "a law without a density is not spread")
        offsets = OffsetField(law.name, 1)
        (offset,) = offsets.symbols
        density = law.density.subs(ARGUMENT, (offset - law.location) / law.scale) / law.scale
        squared = sp.simplify(sp.integrate(law.density**2, (ARGUMENT, -sp.oo, sp.oo))) / law.scale
        energy = self.kernel.functionals().rho_bar
        dim = self.setting.dim
        return (
            Step(
                "Take the limit of wide offsets",
                "q∗k → q, which changes little from pixel to pixel: M → (∫q²)ᵈ, the mean of the density at the offset; "
                "every fraction is equally likely, G → ρ̄ᵈ",
                (OffsetAverage(density, Opaque(offsets)) / energy) ** dim,
            ),
            Step("Integrate", "∫q² is elementary", (squared / energy) ** dim),
        )
