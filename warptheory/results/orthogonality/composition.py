"""E5: warps compose as their maps do, in the reversed order; they do not commute; a grid adds an error of its own.

(W_φ W_ψ x)(t) = (W_ψ x)(φ(t)) = x(ψ(φ(t))): W_φ W_ψ = W_{ψ∘φ}. The warps by diffeomorphisms are a group, and their
commutator begins with the Lie bracket of the offsets: for φ = t + ε, ψ = t + η, ψ∘φ − φ∘ψ = (ε·∇)η − (η·∇)ε + …
On a grid W_φ W_ψ interpolates twice, W_{ψ∘φ} once.
"""

import itertools
import math
from collections.abc import Mapping

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import warping
from warptheory.results._experiment import DerivedExperiment
from warptheory.results._ranges import Range, whole
from warptheory.results._result import Result
from warptheory.results._setting import TAU
from warptheory.results.backward.jensen import TorusMean
from warptheory.results.orthogonality import _two_warps as two
from warptheory.results.orthogonality._mean_rows import LENGTH
from warptheory.symbolic import Step

_OMEGA = two.OMEGA

result = Result(
    "E5",
    "Composition of warps",
    "W_φ W_ψ = W_{ψ∘φ}, and E |[W_φ, W_ψ] x|² → E |∇x·((ε·∇)η − (η·∇)ε)|² for small offsets. On a grid the two sides "
    "of the first differ, for waves of frequency ω (radians per pixel) along an axis and offsets of uniform fractions, "
    "by the mean square P² + P − 2Q, P = Σ_l k̂(ω + 2πl)², Q = Σ_l k̂(ω + 2πl)³: ω⁴/90 + … for linear interpolation, "
    "ω⁶/2520 + … for Keys', against ω⁴/120 and ω⁶/7560 of one interpolation (D2).",
    assumptions=(
        "x is homogeneous, here a wave of a random phase, of the frequency ω along every axis, with E x² = 1.",
        "For the defect the offsets vary slowly over the kernel; every fraction is equally likely, for both maps.",
        "For the commutator the offsets are small against the wave and smooth on the scale of the grid.",
    ),
    source="arXiv 2511.20800, discretization and composition; theory label E5",
    meaning="Two warps in a row do the work of one whose offsets are composed, and their order matters, but "
    "reading twice costs nearly four times (linear) or twice (keys) the error of reading once. In a deep "
    "stack compose the offsets and read the features once where that is possible, or use a kernel of a "
    "higher order.",
    kernels=("linear", "keys"),
    values={"omega": Range(0.9, 0.6, 1.5)},
    notation={
        "K": "what reading at a fraction multiplies a wave by",
        "E_fg": "the mean over both fractions, uniform and independent",
        "k̂": "the Fourier transform of the kernel",
        "l": "the number of an image of a spectrum, over which a sum runs",
        "N": "the pixels of a period of the offsets",
        "t": "a place on the torus, whose period is 2π",
        "omega": "the frequency of the wave along every axis, in radians per pixel",
        "g": "the fraction of the second map, or the phase of a wave",
    },
)

_MARGIN = 6  # what two kernels of four pixels read at offsets of less than two pixels
_PERIODS: Mapping[int, int] = {1: 64, 2: 12}  # of slowly varying offsets, by the number of axes, in pixels
_SLOPES: Mapping[int, float] = {1: 2.5e-3, 2: 2e-4}  # of these offsets; their curvature goes with slope over period
# Fractions of both maps are spread over a Korobov lattice, which is shifted at random: (points, generator).
_LATTICES: Mapping[int, tuple[int, int]] = {1: (89, 55), 2: (41, 16)}


# The slope of the offsets adds 1e-4 of the defect.
@result.quantity("defect of the composition", bias=0.1)
class CompositionDefect(DerivedExperiment):
    """E (W_φ W_ψ x − W_{ψ∘φ} x)² on a grid."""

    text = "E (W_φ W_ψ x − W_{ψ∘φ} x)²"
    symbols = frozenset({_OMEGA.name})

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from a mean over fractions to cosines."""
        kernel, dim = self.kernel, self.setting.dim
        images = [two.ImageSum(kernel.spectrum, _OMEGA, power) for power in (2, 3)]
        closed = [two.by_pixels(kernel, power) for power in (2, 3)]
        return (
            Step(
                "Average over the fractions",
                "reading a wave at the fraction f multiplies it by K(f) along each axis: twice by K(f)K(g), once, at "
                "the composed place, by K(f + g)",
                two.PhaseMean(two.opaque(kernel), _OMEGA, dim),
            ),
            Step(
                "Use the Fourier series of K",
                "its coefficients are k̂(ω + 2πl): ⟨|K|²⟩ = Σ k̂² = P, and ⟨K(f)K(g)K*(f + g)⟩ = Σ k̂³ = Q along each "
                "axis; P²ᵈ + Pᵈ − 2Qᵈ",
                two.defect_of(images[0], images[1], dim),
            ),
            Step(
                "Sum over images",
                "Poisson: Σ_l k̂(ω + 2πl)ⁿ = Σⱼ (k∗…∗k)(j) cos ωj, n times, finitely many numbers",
                two.defect_of(closed[0], closed[1], dim),
            ),
        )

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels over all points of the lattice."""
        dim = self.setting.dim
        return int(2 * _LATTICES[dim][0] * (_PERIODS[dim] + 2 * _MARGIN) ** dim)

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw waves and offsets, warp twice and once; return mean squares of the difference, shape (rows,)."""
        dim, draws = self.setting.dim, generator.random((rows, 1 + 4 * self.setting.dim))
        period = _PERIODS[dim]
        grid = _places(period + 2 * _MARGIN, dim, device)
        points = _LATTICES[dim][0]
        phase, phases, shift = np.split(draws.repeat(points, 0), [1, 1 + 2 * dim], axis=1)
        fractions = (shift + np.tile(_lattice(dim), (rows, 1))) % 1
        drawn = torch.from_numpy(np.stack([fractions, phases], 2)).to(device)
        x = _wave(grid, torch.from_numpy(phase[:, 0]).to(device), values[_OMEGA.name])
        first, second = drawn[:, :dim], drawn[:, dim:]
        epsilon, eta = _slow(grid, first, period), _slow(grid, second, period)
        at_composed = epsilon + _slow(grid + epsilon, second, period)
        kernel = self.setting.kernel
        twice = warping.warp(warping.warp(x, eta, kernel), epsilon, kernel)
        inner = (slice(None), slice(None), *[slice(_MARGIN, -_MARGIN)] * dim)
        return (twice - warping.warp(x, at_composed, kernel))[inner].square().reshape(rows, -1).mean(1)


# The next order in ω is a share of ω² or less, and the slope of the offsets adds as much.
@result.quantity("defect of the composition, smooth waves", bias=0.15, values={"omega": Range(0.03, 0.027, 0.033)})
class LeadingDefect(CompositionDefect):
    """The same to leading order in the frequency, that is in the spacing of the grid."""

    text = "lim (ω → 0) of E (W_φ W_ψ x − W_{ψ∘φ} x)²"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from the first term that the kernel misses."""
        order, miss = two.leading_miss(self.kernel)
        square, mean = (sp.Integral(miss**power, (two.FRACTION, 0, 1)) for power in (2, 1))
        dim = self.setting.dim

        def written(square: sp.Expr, mean: sp.Expr) -> sp.Expr:
            return _OMEGA ** (2 * order) * (dim * (3 * square - 2 * mean**2) + dim * (dim - 1) * mean**2)

        return (
            Step(
                "Expand in the frequency",
                "K(f) = 1 + (iω)ᴸe(f) + …, so that the difference is (iω)ᴸ Σ [e(f) + e(g) − e(f + g)] over the axes; "
                "any two of the three fractions are independent: 3⟨e²⟩ − 2⟨e⟩² for each axis and ⟨e⟩² for each "
                "ordered pair of axes",
                written(square, mean),
            ),
            Step("Integrate", "polynomials of the fraction", written(square.doit(), mean.doit())),
        )


@result.quantity(
    "energy of the commutator of two warps",
    # Left out are orders τ² and (ωτN/2π)²; where offsets are less than a pixel, Keys' kernel adds a share of ω².
    bias=0.2,
    kernels=("keys",),
    values=lambda setting: {
        "omega": Range(0.05, 0.045, 0.055),
        TAU.name: {1: Range(0.03, 0.025, 0.035), 2: Range(0.05, 0.045, 0.055)}[setting.dim],
        LENGTH.name: {1: whole(256, 192, 288), 2: whole(64, 56, 72)}[setting.dim],
    },
)
class CommutatorOfWarps(DerivedExperiment):
    """E (W_φ W_ψ x − W_ψ W_φ x)² for small offsets εᵢ, ηᵢ = (τ/κ) sin(κtᵢ + θ), κ = 2π/N."""

    text = "E ([W_φ, W_ψ] x)² up to O(τ⁵)"
    symbols = frozenset({_OMEGA.name, TAU.name, LENGTH.name})

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from the Lie bracket."""
        t, one, other = sp.symbols("t theta_1 theta_2", real=True)
        amplitude = TAU * LENGTH / (2 * sp.pi)
        epsilon, eta = (amplitude * sp.sin(t + theta) for theta in (one, other))
        # per pixel: a period of 2π has N of them
        derivative = 2 * sp.pi / LENGTH
        bracket = derivative * (epsilon * sp.diff(eta, t) - eta * sp.diff(epsilon, t))
        dim = self.setting.dim
        constant = sp.trigsimp(sp.expand_trig(bracket) - sp.expand_trig(bracket).subs(t, 0)) == 0
        if not constant:
            raise ArithmeticError(f"{bracket} has to be a constant")
        angle = sp.Symbol("theta", real=True)
        alike = bracket.subs({t: 0, one: 0, other: angle})
        return (
            Step(
                "Lie bracket",
                "x(ψ(φ(t))) − x(φ(ψ(t))) = ∇x·[(ε·∇)η − (η·∇)ε] + …; E (∂ᵢx)² = ω², and components of different phases "
                "are uncorrelated: d times the mean over the torus and both phases",
                dim * _OMEGA**2 * TorusMean(sp.expand(bracket**2), t, one, other),
            ),
            Step(
                "Use the addition theorem",
                "the bracket of two waves of one frequency is a constant, (τ²N/2π) sin(θ₁ − θ₂) up to its sign",
                dim * _OMEGA**2 * TorusMean(alike**2, angle),
            ),
            Step("Integrate", "⟨sin²⟩ = ½", sp.simplify(dim * _OMEGA**2 * TorusMean(alike**2, angle).integral.doit())),
        )

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels of both pairs of offsets."""
        return int(4 * self.setting.dim * (values[LENGTH.name] + 2 * _MARGIN) ** self.setting.dim)

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw waves and offsets; return mean squares over pairs of offsets, shape (rows,)."""
        dim, period = self.setting.dim, int(values[LENGTH.name])
        grid = _places(period + 2 * _MARGIN, dim, device)
        phase, first, apart = (
            torch.from_numpy(generator.random((rows, *axes))).to(device) for axes in ((), (dim,), (dim,))
        )
        x = _wave(grid, phase, values[_OMEGA.name])
        inner = (slice(None), slice(None), *[slice(_MARGIN, -_MARGIN)] * dim)
        total = torch.zeros(rows, dtype=torch.float64, device=device)
        turns = _turns(dim).to(device)
        for turn in turns:
            epsilon, eta = (self._offsets(grid, shift, values) for shift in (first, first + apart + turn))
            one, other = (
                warping.warp(warping.warp(x, inside, self.setting.kernel), outside, self.setting.kernel)
                for inside, outside in ((eta, epsilon), (epsilon, eta))
            )
            total += (one - other)[inner].square().flatten(1).mean(1) / len(turns)
        return total

    def _offsets(
        self, grid: Float[Tensor, "1 d *T"], phases: Float[Tensor, "rows d"], values: Mapping[str, float]
    ) -> Float[Tensor, "rows d *T"]:
        wavenumber = 2 * math.pi / values[LENGTH.name]
        shifts = 2 * math.pi * phases.reshape(*phases.shape, *[1] * self.setting.dim)
        return values[TAU.name] / wavenumber * torch.sin(wavenumber * grid + shifts)


def _turns(dim: int) -> Float[Tensor, "n d"]:
    """Return turns of phases along each axis, shape (n, d), over which sin² is ½ and products of two axes are zero."""
    flips = itertools.product(*[(0.0,), *[(0.0, 0.5)] * (dim - 1)])
    return torch.tensor([[quarter + each for each in flip] for flip in flips for quarter in (0.0, 0.25)])


def _places(length: int, dim: int, device: str) -> Float[Tensor, "1 d *T"]:
    """Return the coordinates of pixels, shape (1, d, *T)."""
    along = torch.arange(length, dtype=torch.float64, device=device)
    return torch.stack(torch.meshgrid(*[along] * dim, indexing="ij"))[None]


def _wave(grid: Float[Tensor, "1 d *T"], phase: Float[Tensor, "rows"], omega: float) -> Float[Tensor, "rows 2 *T"]:
    """Return waves of mean square one, shape (rows, 2, *T), for phases in turns, shape (rows,).

    The second is a quarter of a period behind: of what is linear in the wave, the mean square of both is that over all
    its phases.
    """
    shift = 2 * math.pi * phase.reshape(-1, 1, *[1] * (grid.ndim - 2))
    total = omega * grid.sum(1, keepdim=True) + shift
    return math.sqrt(2) * torch.cat([torch.cos(total), torch.sin(total)], 1)


def _slow(
    places: Float[Tensor, "#rows d *T"], drawn: Float[Tensor, "rows d 2"], period: int
) -> Float[Tensor, "rows d *T"]:
    """Return slowly varying offsets at places, shape (rows, d, *T): a constant and a wave along each axis."""
    wavenumber = 2 * math.pi / period
    constant, phase = (part.reshape(*part.shape, *[1] * (places.ndim - 2)) for part in drawn.unbind(2))
    return constant + _SLOPES[places.shape[1]] / wavenumber * torch.sin(wavenumber * places + 2 * math.pi * phase)


def _lattice(dim: int) -> Float[np.ndarray, "points k"]:
    """Return points of the unit cube of 2d dimensions, spread evenly, shape (points, 2d)."""
    points, generator = _LATTICES[dim]
    steps = np.array([pow(generator, axis, points) for axis in range(2 * dim)])
    found: np.ndarray = np.arange(points)[:, None] * steps / points % 1
    return found
