"""Random-field warps: images augmented by smooth Gaussian offset fields, and how much that harms them.

A plain module and not a `SamplingOperator`: its offsets are drawn anew at every call, so that it has no matrix at an
input.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy import stats
from torch import Tensor

from warptheory import kernels, warping
from warptheory.core.checks import check_flag
from warptheory.core.errors import ArgumentError
from warptheory.core.streams import Stream
from warptheory.fields import CovarianceFunction, FieldSampler, GradientSampler, NotPositiveDefinite
from warptheory.fields.covariance.squared_exponential import SquaredExponential
from warptheory.fields.parameters import check_spread
from warptheory.operators._arguments import told
from warptheory.operators._entry import OperatorEntry
from warptheory.operators._operator import PresentedModule
from warptheory.warping import boundaries
from warptheory.warping.arguments import check_kernel_fits, check_values

__all__ = ["RandomFieldWarp", "WarpStrength"]

# Share of the offsets' variance that an embedding may clip, which no image shows: lengths up to twice the image fit.
_CLIPPED = 1e-6
# Shares of what a potential's gradient and slopes vary by in the continuum, between which the grid has to hold them.
_LEAST_HELD, _MOST_HELD = 0.8, 1.1
_ALIKE = 1e-9  # of the variance of slopes, up to which they count as alike


@dataclass(frozen=True)
class WarpStrength:
    """How far a random-field warp moves an image from itself.

    Attributes:
        displacement_error: E|x∘φ − x|² per pixel and channel, in squared intensities (C6).
        relative_error: the same over 2C(0), the error against an image that has nothing in common with x.
        slope_deviation: τ, the root mean square of the slopes ∂ⱼεᵢ, without unit; ∞ for rough offsets. Independent
            components have slopes that are all alike.
        fold_probability: P(J < 0), the share of the image that is turned over (B7; B13 for gradients).
    """

    displacement_error: float
    relative_error: float
    slope_deviation: float
    fold_probability: float


class RandomFieldWarp(PresentedModule):
    """y(t) = x(t + ε(t)), ε drawn anew for each image: an independent Gaussian field of one covariance per axis.

    All channels of an image share its offsets. The n-th call of a seed draws the same noise, on every device and after
    a restart: the number of calls is part of the state. Processes that load data side by side need seeds of their own.

    Args:
        spread: s, the standard deviation of each component of the offsets, in pixels; 0 for no warp.
        correlation: the length ℓ of a squared exponential, in pixels, or a covariance of the offsets, of which C/C(0)
            counts.
        kernel: name of the interpolation kernel.
        boundary: name of the boundary rule.
        dim: number d of axes, 1, 2 or 3; that of the covariance where one is given.
        seed: seed of the offsets.
        potential: whether the offsets are the gradient of one field of that correlation, which does not turn, instead
            of independent components; the spread is that of a component all the same. Its length has to be about a
            pixel at least, and at most a few times the image, so that the grid holds gradient and slopes.

    Raises:
        ArgumentError: a spread that is negative or not finite, a length that is not positive, another number of axes,
            or a kernel that does not go with the boundary; a potential whose gradient has no variance, or not the same
            along all axes.
        UnknownNameError: no such kernel or boundary.

    Source: P. A. Mansfield, A. Afkanpour, W. R. Morningstar, K. Singhal, Random Field Augmentations for
        Self-Supervised Representation Learning, arXiv 2311.03629.
    """

    def __init__(
        self,
        spread: float = 1.0,
        correlation: float | CovarianceFunction = 16.0,
        kernel: str = "linear",
        boundary: str = "border",
        dim: int | None = None,
        seed: int = 0,
        potential: bool = False,
    ) -> None:
        super().__init__()
        check_spread(spread)
        rule = boundaries.get(boundary).name
        check_kernel_fits(kernels.get(kernel), rule)
        self.spread = float(spread)
        self.correlation = _covariance(correlation, dim)
        self.dim = self.correlation.dim
        self.kernel = kernels.resolve(kernel)
        self.boundary = rule
        self.seed = seed
        self.potential = check_flag("potential", potential)
        if self.potential:
            _check_gradient(self.correlation)
        self.calls: Tensor
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self._samplers: dict[tuple[int, ...], FieldSampler] = {}

    def forward(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B C *S"]:
        """Return the warped images: (B, C, *S) → (B, C, *S), of the dtype of x.

        Raises:
            ArgumentError: not a floating tensor with d spatial axes; a potential that its grid does not hold.
            NotPositiveDefinite: offsets whose covariance no torus holds.
        """
        return warping.warp(x, self.offsets(x), self.kernel, self.boundary)

    @torch.no_grad()
    def offsets(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B d *S"]:
        """Draw the next offsets for images (B, C, *S), in pixels, on their device, shape (B, d, *S).

        Raises:
            ArgumentError: not a floating tensor with d spatial axes; a potential that its grid does not hold.
            NotPositiveDefinite: offsets whose covariance no torus holds.
        """
        dim = self.correlation.dim
        if check_values("x", x) != dim:
            raise ArgumentError("x", expected=f"{dim} spatial axes, as the offsets have", received=tuple(x.shape))
        dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
        generator = Stream(self.seed, "random_field_warp", int(self.calls)).generator()
        self.calls += 1
        if self.spread == 0:
            return torch.zeros(len(x), dim, *x.shape[2:], dtype=dtype, device=x.device)
        sampler = self._sampler(tuple(x.shape[2:]))
        if self.potential:
            gradients = GradientSampler(sampler)
            fields = gradients.sample(len(x), generator, x.device, dtype)
            # One factor for all components, for else they were no gradient.
            return fields * (self.spread / math.sqrt(float(gradients.spectral_moments().mean())))
        fields = sampler.sample(len(x), generator, dim, x.device, dtype)
        return fields * (self.spread / math.sqrt(self._variance))

    def strength(self, image: CovarianceFunction) -> WarpStrength:
        """Return how strong the warp is for images of that covariance, in the continuum.

        Slopes count what is finer than the grid, too: of the shortest potentials that are drawn, a tenth of τ.

        Images whose spectrum reaches the grid's limit are also smoothed by the kernel, which brings them nearer to
        themselves: on photographs the linear kernel leaves about 0.75 to 0.9 of the displacement error.

        Args:
            image: C of the images, such as `fields.ImageSpectrum.of(images)`; its mean is taken off.

        Raises:
            ArgumentError: another number of axes, or slopes of the offsets that are not alike along all axes.
        """
        if image.dim != self.correlation.dim:
            raise ArgumentError("image", expected=f"a covariance on {self.correlation.dim} axes", received=image.dim)
        error, tau = displacement_error(image, self.spread), self._slope_deviation()
        relative = error / (2 * float(image.variance))
        return WarpStrength(error, relative, tau, fold_probability(tau, image.dim, potential=self.potential))

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"{self.spread}, {self.correlation}, {told(self, 'kernel', 'boundary', 'dim', 'seed', 'potential')}"

    @property
    def _variance(self) -> float:
        return float(self.correlation.variance)

    def _sampler(self, size: tuple[int, ...]) -> FieldSampler:
        """Return the sampler of a size, whose embedding is kept."""
        if size not in self._samplers:
            of = _potential_sampler if self.potential else _field_sampler
            self._samplers[size] = of(self.correlation, size)
        return self._samplers[size]

    def _slope_deviation(self) -> float:
        """Return τ = s √(λ₂/C(0)); of a gradient s √((d + 2)λ₂₂/dλ₂), or s √(λ₄/λ₂) on one axis.

        Raises:
            ArgumentError: slopes that are not alike along all axes, or correlated.
        """
        if self.potential:
            return self.spread * _slope_per_spread(self.correlation)
        axes = np.eye(self.correlation.dim, dtype=int)
        along = [float(self.correlation.second_moment(axis)) for axis in range(len(axes))]
        across = [float(self.correlation.spectral_moment(*map(int, i + j))) for i, j in itertools.combinations(axes, 2)]
        if min(along) < max(along) * (1 - _ALIKE) or any(abs(moment) > _ALIKE * along[0] for moment in across):
            raise ArgumentError("correlation", expected="slopes alike along all axes", received=(along, across))
        return self.spread * math.sqrt(along[0] / self._variance) if self.spread else 0.0


def displacement_error(image: CovarianceFunction, spread: float) -> float:
    """Return E|x∘φ − x|² = 2C(0) − 2 (2π)⁻ᵈ ∫ S(ω) exp(−|ω|²s²/2) dω for Gaussian offsets.

    The integral is the mean of C over one offset. White noise has no values between the pixels, and differs by 2C(0).

    Args:
        image: C of the images.
        spread: s, the standard deviation of each component of the offset, in pixels.

    Raises:
        ArgumentError: a negative spread, or a covariance whose mean over the offsets cannot be integrated.

    Source: theory label C6.
    """
    return 2 * (float(image.variance) - image.mean_over_offsets(spread))


def fold_probability(tau: float, dim: int, *, potential: bool = False) -> float:
    """Return P(J < 0), J = det(I + ∇ε): ½ P(χ²_d > 1/τ²) for d² independent slopes N(0, τ²).

    Of the gradient of an isotropic Gaussian field, with u = √((d + 2)/3d)/τ: Φ(−u), exp(−u²/2)/√3, Φ(−u) + (4/3)u φ(u).

    Args:
        tau: τ ≥ 0, the root mean square of the d² slopes.
        dim: d, 1, 2 or 3.
        potential: whether the offsets are a gradient.

    Source: theory labels B7 and B13.
    """
    if tau == 0:
        return 0.0
    if not potential:
        return float(stats.chi2.sf(tau**-2, dim)) / 2
    u = math.sqrt((dim + 2) / (3 * dim)) / tau
    if dim == 2:
        return math.exp(-(u**2) / 2) / math.sqrt(3)
    return float(stats.norm.sf(u) + (dim == 3) * 4 / 3 * u * stats.norm.pdf(u))


def _slope_per_spread(potential: CovarianceFunction) -> float:
    """Return τ for gradients of unit spread."""
    dim, along = potential.dim, float(potential.second_moment())
    if dim == 1:
        return math.sqrt(float(potential.fourth_moment()) / along)
    across = float(potential.spectral_moment(2, 2, *[0] * (dim - 2)))
    return math.sqrt((dim + 2) / dim * across / along)


def _check_gradient(potential: CovarianceFunction) -> None:
    """Check that the field has a gradient, alike along all axes, and slopes as isotropy has them.

    Raises:
        ArgumentError: it has not.
    """
    along = [float(potential.second_moment(axis)) for axis in range(potential.dim)]
    if not (math.isfinite(sum(along)) and min(along) > 0 and max(along) <= (1 + _ALIKE) * min(along)):
        raise ArgumentError("correlation", expected="a differentiable isotropic field for a potential", received=along)


def _field_sampler(covariance: CovarianceFunction, size: tuple[int, ...], share: float = 1.0) -> FieldSampler:
    return FieldSampler(covariance, size, tolerance=_CLIPPED * share)


def _potential_sampler(covariance: CovarianceFunction, size: tuple[int, ...]) -> FieldSampler:
    """Return a sampler of a potential whose gradient and slopes vary on the grid as they do in the continuum.

    Clipped eigenvalues leave others at high frequencies, which count most in slopes: less of them is taken where that
    can be afforded.

    Raises:
        ArgumentError: a correlation that the grid does not hold.
        NotPositiveDefinite: as `FieldSampler`.
    """
    variance, slopes = float(covariance.second_moment()), float(covariance.fourth_moment())
    sampler = _field_sampler(covariance, size, min(1.0, variance / float(covariance.variance)))
    try:
        sampler.eigenvalues  # noqa: B018 -- the embedding, which is made now
    except NotPositiveDefinite:
        sampler = _field_sampler(covariance, size)
    held = GradientSampler(sampler).spectral_moments(2) / variance
    if math.isfinite(slopes):
        held = np.concatenate([held, GradientSampler(sampler).spectral_moments(4) / slopes])
    if held.min() < _LEAST_HELD:
        expected = f"a potential that a grid of {size} pixels holds: of a greater length, on two pixels or more an axis"
    elif held.max() > _MOST_HELD:
        expected = f"a potential that a grid of {size} pixels holds: of a smaller length"
    else:
        return sampler
    raise ArgumentError("correlation", expected=expected, received=covariance)


def _covariance(correlation: float | CovarianceFunction, dim: int | None) -> CovarianceFunction:
    if not isinstance(correlation, CovarianceFunction):
        return SquaredExponential(length=_length(correlation), dim=2 if dim is None else dim)
    if dim not in (None, correlation.dim):
        raise ArgumentError("dim", expected=f"{correlation.dim}, as the covariance has", received=dim)
    return correlation


def _length(correlation: float) -> float:
    if not isinstance(correlation, int | float) or not 0 < correlation < math.inf:
        raise ArgumentError("correlation", expected="a length > 0 in pixels, or a covariance", received=correlation)
    return correlation


operator = OperatorEntry(
    formula=r"y(t) = x(t + \varepsilon(t)), \qquad \varepsilon_i \sim \mathcal{N}(0, C)",
    where={r"C": "the covariance of each component of the offsets"},
    source="P. A. Mansfield et al., arXiv 2311.03629",
    conventions=("All channels of an image share its offsets, which are drawn anew at each call.",),
    initialisation="It has no parameters.",
)
