"""B13: folds of gradient offsets, ε = ∇Ψ, beside those of independent components (B7).

The law of the slopes, and how their eigenvalues are counted, is in `_hessians.py`.
"""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory.results._experiment import DerivedExperiment
from warptheory.results._ranges import Range
from warptheory.results._result import Result
from warptheory.results._setting import TAU
from warptheory.results.backward._folded_fields import gaussian_offsets
from warptheory.results.backward._gaussian_slopes import JACOBIAN, in_tails
from warptheory.results.backward._hessians import (
    CountBelow,
    HessianMean,
    SchurReal,
    ThresholdMean,
    component_variance,
    given_threshold,
    real_share_by_schur,
    threshold_mean,
)
from warptheory.symbolic import Step
from warptheory.symbolic.gaussian import normal_density
from warptheory.warping.jacobian import determinant, jacobian_determinant, offset_jacobian

result = Result(
    "B13",
    "Folds of gradient offsets",
    "ε = ∇Ψ, Ψ an isotropic Gaussian field, τ² the mean of the d² squared slopes. The slopes are symmetric, and the "
    "divergence has d times the energy of independent components, d²τ². P(J < 0) = (1/√3) exp(−1/3τ²) in the plane and "
    "Φ(−u) + (4/3)u φ(u), u = √5/3τ, in space, where independent components have ½exp(−1/2τ²) and Φ(−1/τ) + φ(1/τ)/τ. "
    "E|J| = 1 + (2τ²/√3) exp(−1/3τ²) in the plane. All d slopes along the principal axes are positive with probability "
    "½ − √3/6 = 0.2113 (d = 2) and ¼ + arcsin(1/√6)/2π − √5/3π = 0.0797 (d = 3): Doroshkevich's shares 8, 42, 42, 8 %. "
    "Independent components turn as well as stretch: all eigenvalues of ∇ε are real with probability 2^{−d(d−1)/4}.",
    assumptions=(
        "Ψ is an isotropic Gaussian field, smooth on the scale of the grid.",
        "Independent components: slopes iid N(0, τ²).",
        "J is taken by forward differences, over which slopes do not change.",
    ),
    source="arXiv 2511.20800, backward pass; theory label B13; A. G. Doroshkevich, Astrophysics 6, 1970; J. Lee and "
    "S. F. Shandarin, astro-ph/9709200; A. Edelman, J. Multivariate Anal. 60, 1997; N. G. de Bruijn, J. Indian Math. "
    "Soc. 19, 1955",
    meaning="Offsets that are the gradient of one map fold far more often than independent components of the same "
    "slopes: at τ = 0.4 in the plane 7 % of the positions instead of 2 %. Give a head that predicts such "
    "a map smaller offsets, or in the plane turn the gradient by a right angle, which folds at 0.1 % of "
    "them.",
    notation={
        "P_H": "the probability that so many eigenvalues of ∂ᵢ∂ⱼΨ lie below −1",
        "P_x": "the probability that so many eigenvalues of ∂ᵢ∂ⱼΨ are negative",
        "E_y": "the mean over y ~ N(m, ½), the threshold for the eigenvalues of the ensemble",
        "H": "the matrix ∂ᵢ∂ⱼΨ of slopes",
    },
    kernels=("linear",),
    dims=(2, 3),
    values={"tau": Range(0.6, low=0.45, high=1.2, scale="log")},
)

# Axes through opposite corners of a hexagon and of an icosahedron: Σ nᵢnⱼnₖnₗ over them is isotropic.
_GOLDEN = (1 + math.sqrt(5)) / 2
_AXES: Mapping[int, list[list[float]]] = {
    2: [[math.cos(math.pi * k / 3), math.sin(math.pi * k / 3)] for k in range(3)],
    3: [
        [part / math.sqrt(1 + _GOLDEN**2) for part in axis]
        for sign in (1, -1)
        for axis in ([0, 1, sign * _GOLDEN], [1, sign * _GOLDEN, 0], [sign * _GOLDEN, 0, 1])
    ],
}
_WAVENUMBER = 1e-3  # radians per pixel; the slopes' law is off by its square


def gradient_offsets(generator: np.random.Generator, rows: int, dim: int, tau: float) -> Float[Tensor, "rows d *T"]:
    """Draw the gradient of a Gaussian potential on two pixels along each axis.

    Ψ is a sum of d(d + 1)/2 long plane waves of Gaussian amplitudes, along directions whose fourth moments are
    isotropic, so that the slopes have exactly the covariance of an isotropic potential.

    Args:
        generator: source of every random number.
        rows: number of fields.
        dim: number d of axes, 2 or 3.
        tau: τ, the root mean square of the d² slopes.

    Returns:
        Offsets in pixels, shape (rows, d, 2, …, 2).
    """
    axes = torch.tensor(_AXES[dim], dtype=torch.float64)
    pixels = torch.cartesian_prod(*[torch.arange(2, dtype=torch.float64)] * dim)
    phase = _WAVENUMBER * (pixels - 0.5) @ axes.T
    # Amplitudes of the slope of each wave at the middle, and of its change there.
    scale = tau * math.sqrt(2 * dim / (dim + 1))
    slope, curvature = torch.from_numpy(scale * generator.standard_normal((2, rows, len(axes))))
    along = (slope[:, None] * phase.sin() - curvature[:, None] * phase.cos()) / _WAVENUMBER
    return torch.einsum("rpw,wi->rip", along, axes).reshape(rows, dim, *[2] * dim)


class SlopesExperiment(DerivedExperiment):
    """A mean over the slopes of gradient offsets."""

    symbols = frozenset({TAU.name})

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels of a field, over its waves."""
        return int(len(_AXES[self.setting.dim]) * 2**self.setting.dim)

    def offsets(self, generator: np.random.Generator, rows: int, tau: float, device: str) -> Float[Tensor, "rows d *T"]:
        """Draw the offsets in pixels, shape (rows, d, 2, …, 2)."""
        return gradient_offsets(generator, rows, self.setting.dim, tau).to(device)


@result.quantity("fold probability", smallest_effect=0.02)
class GradientFoldProbability(SlopesExperiment):
    """P(J < 0) of gradient offsets."""

    text = "P(J < 0), gradient offsets"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from the number of eigenvalues below −1."""
        dim = self.setting.dim
        odd = tuple(k % 2 for k in range(dim + 1))
        return _counted(dim, odd, _threshold(dim), "J < 0 where an odd number of eigenvalues of H lies below −1")

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw offsets, and take their Jacobians as users' networks are diagnosed; shape (rows,)."""
        offsets = self.offsets(generator, rows, values[TAU.name], device)
        return (jacobian_determinant(offsets) < 0).double().flatten(1).mean(1)


@result.quantity("preimages", dims=(2,), smallest_effect=0.015)
class GradientPreimages(SlopesExperiment):
    """E|J|, the mean number of outputs that read a place."""

    text = "E|J|, gradient offsets"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from the rotation of the slopes, d = 2."""
        c, z, r = component_variance(2), sp.Symbol("z", real=True), sp.Symbol("r", positive=True)
        half_trace, gap = sp.Symbol("q", real=True), r / c * sp.exp(-(r**2) / (2 * c))
        negative = sp.simplify(sp.integrate((r**2 - half_trace**2) * gap, (r, half_trace, sp.oo), conds="none"))
        density = normal_density(z, sp.Integer(0), sp.Integer(1))
        over_trace = sp.Integral(negative.subs(half_trace, 1 + sp.sqrt(2 * c) * z) * density, (z, -sp.oo, sp.oo))
        mean = sp.simplify(mean_of_determinant())
        return (
            Step("Mean", "H = √c (G + ξI)", HessianMean(sp.Abs(JACOBIAN), sp.Integer(2), TAU)),
            Step(
                "Rotate the slopes",
                "J = q² − r², q = 1 + half the trace ~ N(1, 2c), r² exponential of mean 2c; |J| = J + 2 J⁻",
                mean + 2 * over_trace,
            ),
            Step("Integrate", "a Gaussian integral; c = τ²/2", sp.simplify(mean + 2 * over_trace.doit())),
        )

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw offsets, and average |J|, less J whose mean is one; shape (rows,)."""
        offsets = self.offsets(generator, rows, values[TAU.name], device)
        jacobian = jacobian_determinant(offsets).flatten(1).mean(1)
        return jacobian.abs() - jacobian + 1


def mean_of_determinant() -> sp.Expr:
    """Return E det(I + H) on two axes: 1 + E H₁₁H₂₂ − E H₁₂², of which both are c."""
    diagonal, across = component_variance(2), component_variance(2)
    return 1 + diagonal - across


class SignatureShare(SlopesExperiment):
    """A share of the signs of the d principal slopes, whatever τ: rows average H and −H."""

    symbols = frozenset()
    negative: ClassVar[int] = 0  # of the principal slopes

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from the number of negative eigenvalues."""
        dim = self.setting.dim
        wanted = tuple(int(k == self.negative) for k in range(dim + 1))
        return _counted(dim, wanted, sp.Integer(0), "the common part ξ moves the threshold of the ensemble")

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw offsets, and count signs by the leading minors of their slopes; shape (rows,)."""
        slopes = offset_jacobian(self.offsets(generator, rows, 1.0, device))
        found = negative_eigenvalues(slopes).flatten(1)
        wanted = (found == self.negative).double() + (found == self.setting.dim - self.negative).double()
        return wanted.mean(1) / 2


@result.quantity("share of slopes all positive", smallest_effect=0.02)
class AllPositive(SignatureShare):
    """P(all principal slopes are positive): a position from which everything moves apart."""

    text = "P(+ + +), gradient offsets"
    negative = 0


@result.quantity("share of slopes with one negative", smallest_effect=0.02)
class OneNegative(SignatureShare):
    """P(one principal slope is negative)."""

    text = "P(+ + -), gradient offsets"
    negative = 1


@result.quantity("share of positive determinants", smallest_effect=0.02, dims=(2,))
class PositiveDeterminant(SignatureShare):
    """P(det ∂ᵢ∂ⱼΨ > 0) in the plane, at extremes of both kinds."""

    text = "P(det H > 0)"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from the number of negative eigenvalues."""
        return _counted(2, (1, 0, 1), sp.Integer(0), "none or both are negative")

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw offsets, and look at the determinants of their slopes; shape (rows,)."""
        slopes = offset_jacobian(self.offsets(generator, rows, 1.0, device))
        return (determinant(slopes) > 0).double().flatten(1).mean(1)


@result.quantity("share without rotation, independent components", smallest_effect=0.02)
@dataclass(frozen=True)
class RealEigenvalues(DerivedExperiment):
    """P(all eigenvalues of ∇ε are real) for independent components, whose slopes are iid normal."""

    text = "P(eigenvalues of ∇ε real), independent components"
    symbols: ClassVar[frozenset[str]] = frozenset()

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from Schur's decomposition."""
        dim = self.setting.dim
        return (
            Step(
                "Use Schur's decomposition",
                "A = Q(Λ + R)Qᵀ with Q orthogonal, R above the diagonal, and the Jacobian Π|λᵢ − λⱼ|: R integrates to "
                "(2π)^{d(d−1)/4}, Q to its volume",
                SchurReal(sp.Integer(dim)),
            ),
            Step(
                "Compare with symmetric matrices",
                "S = QΛQᵀ has the same volume and the same integral over Λ, and all of its eigenvalues are real: only "
                "the constants of both densities are left",
                real_share_by_schur(dim),
            ),
        )

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels of a field: those of one period, and its first pixels again."""
        return int(5**self.setting.dim)

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw offsets with independent Gaussian slopes, and count real eigenvalues; shape (rows,)."""
        slopes = offset_jacobian(gaussian_offsets(generator, rows, self.setting.dim, 1.0, 4).to(device))
        # Every other pixel along each axis: neighbours tell little more, and eigenvalues take long.
        for axis in range(3, 3 + self.setting.dim):
            slopes = slopes.index_select(axis, torch.arange(0, slopes.shape[axis], 2, device=slopes.device))
        eigenvalues: Tensor = torch.linalg.eigvals(slopes.flatten(3).permute(0, 3, 1, 2))
        return (eigenvalues.imag == 0).all(-1).double().mean(1)


def negative_eigenvalues(slopes: Float[Tensor, "B d d *N"]) -> Float[Tensor, "B *N"]:
    """Return how many eigenvalues of symmetric matrices (B, d, d, *N) are negative, shape (B, *N), by Jacobi's rule.

    They are as many as changes of sign in the sequence of leading minors.
    """
    minors = [determinant(slopes[:, :size, :size]) for size in range(1, slopes.shape[1] + 1)]
    signs = [torch.ones_like(minors[0]), *(minor.sign() for minor in minors)]
    changes = [(before != after).double() for before, after in itertools.pairwise(signs)]
    return torch.stack(changes).sum(0)


def _threshold(dim: int) -> sp.Expr:
    """Return the mean of the threshold at which an eigenvalue of H is −1."""
    return -1 / sp.sqrt(2 * component_variance(dim))


def _counted(dim: int, weights: tuple[int, ...], mean: sp.Expr, why: str) -> tuple[Step, ...]:
    """Return the steps from counting eigenvalues: conditional on the threshold, then averaged."""
    given = given_threshold(dim, weights)
    closed = in_tails(threshold_mean(given, mean))
    return (
        Step("Count eigenvalues", why, CountBelow(sp.Tuple(*weights), sp.Integer(dim), mean)),
        Step(
            "Take the Pfaffian",
            "given ξ: a Pfaffian of integrals over both sides of the threshold (de Bruijn), done in closed form",
            ThresholdMean(given, mean),
        ),
        Step(
            "Average over the threshold", "Stein's lemma, and Sheppard's for two error functions", sp.simplify(closed)
        ),
    )
