"""K4: gradients on their way back: log|J| where outputs read, and where inputs are read."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory.results._experiment import DerivedExperiment
from warptheory.results._ranges import Range
from warptheory.results._result import Result
from warptheory.results._setting import TAU
from warptheory.results.backward._folded_fields import count_preimages, offsets_of_waves
from warptheory.results.typical._drawing import PERIOD, lattice_normals
from warptheory.results.typical._log_determinants import log_jacobian_steps, weighted_log_jacobian_steps
from warptheory.symbolic import Step
from warptheory.warping.jacobian import jacobian_determinant

result = Result(
    "K4",
    "Exponents of the backward pass",
    "Splatting divides a gradient by |J|, J = det(I + A). Over uniformly drawn outputs, log|J| changes by E log|J| a "
    "layer, the sum of the Lyapunov exponents: λ₁ of K1 on a line, E₁(1/τ²) − e^{−1/2τ²} Shi(1/2τ²) in the plane (K7), "
    "and for d = 3 a series over partitions from the zonal polynomials of a noncentral Wishart matrix; −dτ²/2 − … for "
    "small slopes: what an output sends back is typically gathered in less and less space, and its density grows. "
    "Over uniformly drawn inputs an output counts with the |J| that it covers: the mean of log|J| over the positions "
    "that read an input is E|J| log|J| ≈ +dτ²/2 a layer. Without folds one position reads each input, and its "
    "gradient has the mean 1, the mean square ∏E 1/|J| of B8, and a logarithm that falls by E|J| log|J| a layer: the "
    "gradient that a typical input receives shrinks, while its mean square grows.",
    assumptions=(
        "The slopes at a position are independent N(0, τ²), all d² alike.",
        "The offsets of layers are independent of each other and of the gradient, which is smooth.",
        "Folds, of probability P(J < 0) (B7), give some inputs several positions that read them, all of which count.",
    ),
    source="theory label K4; d = 3: A. G. Constantine, Ann. Math. Statist. 34, 1963; R. J. Muirhead, Aspects of "
    "Multivariate Statistical Theory, 1982, Theorems 7.2 and 10.3.7",
    meaning="The gradient that most pixels receive through a deep stack is smaller than the one that was sent, and the "
    "rest has gone to few pixels where positions crowd. Do not read a growing gradient norm as growth everywhere: "
    "compare the median over inputs, which falls by about dτ²/2 a layer.",
    notation={
        "K": "the shape of the gamma law that |J|/τ² has in the plane, a random number",
        "D": "Dawson's integral, D(x) = e^{−x²} ∫₀ˣ e^{t²} dt",
        "gamma": "Euler's constant γ = 0.5772",
        "k_1": "the parts of a partition, over which a series runs",
    },
    kernels=("linear",),
    dims=(1, 2, 3),
    values={"tau": Range(0.5, low=0.35, high=0.65, scale="log")},
)

_POINTS: Mapping[int, int] = {1: 512, 2: 64, 3: 8}


@result.quantity("sum of the exponents", smallest_effect=0.02)  # log|J| scatters by one, three times its mean
class LogJacobian(DerivedExperiment):
    """E log|J| over the pixels of offset fields, by forward differences."""

    text = "E log|J|"
    symbols = frozenset({TAU.name})

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from a mean over the slopes."""
        return log_jacobian_steps(self.setting.dim)

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels of a row, over the components."""
        dim = self.setting.dim
        return int(_POINTS[dim] * dim**2 * (PERIOD + 1) ** dim)

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw fields whose waves are evenly spread, and average log|J|; shape (rows,)."""
        dim = self.setting.dim
        normals = lattice_normals(generator, rows, _POINTS[dim], 2 * dim**2).reshape(-1, dim, dim, 2)
        offsets = offsets_of_waves(normals.to(device), values[TAU.name], PERIOD)
        return jacobian_determinant(offsets).abs().log().reshape(rows, -1).mean(1)


@result.quantity(
    "log|J| over the positions that read an input",
    smallest_effect=0.02,  # sums over what reads an input scatter by more than their mean
    dims=(1, 2),
    values={"tau": Range(0.9, low=0.75, high=1.2, scale="log")},
)
class LogJacobianOfInputs(DerivedExperiment):
    """E |J| log|J|: the sum of log|J| over the solutions t of t + ε(t) = s, found one by one for a point s in a field.

    As in B7 the offsets are joined linearly between the pixels, so that there is no error of discretisation.
    """

    text = "E Σ log|J| over the t with t + ε(t) = s"
    symbols = frozenset({TAU.name})

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from a mean over the slopes."""
        return weighted_log_jacobian_steps(self.setting.dim)

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels of a row's fields: those of one period, and its first pixels again."""
        return int(_FIELDS * (_SHORTEST + 1) ** self.setting.dim)

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw fields and a point for each, evenly spread, add up log|J|, and average; shape (rows,)."""
        dim = self.setting.dim
        drawn = lattice_normals(generator, rows, _FIELDS, dim * (2 * dim + 1)).flatten(0, 1).to(device)
        waves, place = torch.split(drawn, [2 * dim**2, dim], 1)
        offsets = offsets_of_waves(waves.reshape(-1, dim, dim, 2), values[TAU.name], _SHORTEST)
        sums = count_preimages(offsets, _SHORTEST * torch.special.ndtr(place), _log_of_size)
        return sums.reshape(rows, _FIELDS).mean(1)


_SHORTEST = 3  # the period in pixels
_FIELDS = 256  # of a row


def _log_of_size(jacobian: Float[Tensor, "M"]) -> Float[Tensor, "M"]:
    return jacobian.abs().log()
