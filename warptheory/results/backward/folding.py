"""B7: folds. Gaussian slopes turn the sampling map back on itself, and the backward pass meets caustics."""

import math
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import warping
from warptheory.results._result import Quantity, Result, Setting
from warptheory.symbolic import Step
from warptheory.symbolic._slopes import (
    COSINE,
    JACOBIAN,
    TAU,
    DerivedStatistic,
    OrientedNormalMean,
    SlopeMean,
    SmoothIntegral,
    even_part,
    in_tails,
    integrate_erf,
    mean_determinant,
    normal_density,
    normal_direction_weight,
    normal_tail,
)
from warptheory.warping.jacobian import jacobian_determinant

_Z = sp.Symbol("z", real=True)
_DELTA = sp.Symbol("delta", positive=True)
_BY_COFACTORS = "all entries but the first row given, J = r₁·c, c the cofactors; a mean over the matrix"


def fold_probability(setting: Setting) -> DerivedStatistic:
    """State P(J < 0)."""
    return DerivedStatistic("P(J < 0)", _fold_probability, setting.dim)


def preimages(setting: Setting) -> DerivedStatistic:
    """State E|J|, the mean number of solutions t of φ(t) = s."""
    return DerivedStatistic("E|J|", _preimages, setting.dim)


def signed_preimages(setting: Setting) -> DerivedStatistic:
    """State E J, the mean over s of Σ sign J over the solutions of φ(t) = s."""
    return DerivedStatistic("E J", _signed_preimages, setting.dim)


def density_at_zero(setting: Setting) -> DerivedStatistic:
    """State p_J(0), the density of J at 0."""
    return DerivedStatistic("p_J(0)", _density_at_zero, setting.dim)


def mean_inverse_jacobian(setting: Setting) -> DerivedStatistic:
    """State E 1/|J|, the backward gain of B6 without its assumption; infinite, so it is no checked quantity."""
    return DerivedStatistic("E 1/|J|", _mean_inverse_jacobian, setting.dim)


def growth_per_doubling(setting: Setting) -> DerivedStatistic:
    """State how much the mean of (Wᵀ1)² grows when the grid becomes twice as fine, in the limit of fine grids."""
    return DerivedStatistic("growth of E (Wᵀ1)² from spacing h to h/2, h → 0", _growth_per_doubling, setting.dim)


def _fold_probability(dim: int) -> tuple[Step, ...]:
    whole = Step("Mean", _BY_COFACTORS, SlopeMean(sp.Heaviside(-JACOBIAN), dim, TAU))
    if dim == 1:
        integral = sp.Integral(normal_density(_Z, sp.Integer(0), sp.Integer(1)), (_Z, -sp.oo, -1 / TAU))
        return whole, Step("Density", "J = 1 + τz, z ~ N(0, 1)", integral), _closed(integral)
    if dim == 2:
        return (whole, *_by_rotation(_ring_tail(sp.Integer(1))))
    density = normal_direction_weight((sp.Function("D")(COSINE) + COSINE) / 2)
    by_parity = _fold_probability_by_parity(density)
    return (
        whole,
        Step(
            "Condition on two rows",
            "given r₂, r₃ with unit normal n, P(J < 0) = Φ(−u/τ), u = n₁; n, oriented so that the minor N of the "
            "rows in their plane has det N > 0, has density exp(−(1 − u²)/2τ²) E(det N)⁺/τ² (Blaschke–Petkantschin)",
            OrientedNormalMean(normal_tail(COSINE / TAU), COSINE, TAU),
        ),
        Step(
            "Use parity",
            "E(det N)⁺ = (D + u)/2, D = E|det N| even in u; against the odd part of Φ only u counts, and the even "
            "part, 1/2, meets the whole density, which integrates to one",
            by_parity,
        ),
        Step(
            "Integrate",
            "by parts: the error function is differentiated",
            _integrate_halves(by_parity),
        ),
    )


def _fold_probability_by_parity(density: sp.Expr) -> sp.Expr:
    """Return ½ + 2∫₀¹ of what is left of density·Φ(−u/τ) once half the density is taken off."""
    even = sp.Function("D")

    def part(expression: sp.Expr) -> sp.Expr:
        return even_part(expression, COSINE).subs(even(-COSINE), even(COSINE))

    left = sp.simplify(part(density * normal_tail(COSINE / TAU)) - part(density) / 2)
    if left.has(even):
        raise ArithmeticError(f"D has to drop out of {left}")
    return sp.Rational(1, 2) + 2 * SmoothIntegral(left, COSINE, 0, 1)


def _preimages(dim: int) -> tuple[Step, ...]:
    whole = Step("Mean", _BY_COFACTORS, SlopeMean(sp.Abs(JACOBIAN), dim, TAU))
    if dim == 1:
        integrand = (1 + TAU * _Z) * normal_density(_Z, sp.Integer(0), sp.Integer(1))
        folded = sp.Integral(-integrand, (_Z, -sp.oo, -1 / TAU))
        split = mean_determinant(sp.eye(1)) + 2 * folded
        return whole, Step("Split", "|J| = J + 2 J⁻, J = 1 + τz, z ~ N(0, 1)", split), _closed(split)
    if dim == 2:
        radius = sp.Symbol("r", positive=True)
        excess = _ring_tail(radius**2 - _ring_start() ** 2, radius)
        mean = mean_determinant(sp.eye(2))
        steps = _by_rotation(excess, lambda negative: mean + 2 * negative)
        return (whole, *steps)
    # |c| = |det N|, which meets the density's own factor: E|det N|² is left, and both orientations count.
    density = normal_direction_weight(mean_determinant(sp.diag(1, COSINE), 2) / 2)
    absolute = COSINE * sp.erf(COSINE / (TAU * sp.sqrt(2))) + 2 * TAU**2 * normal_density(COSINE, sp.Integer(0), TAU**2)
    integrand = sp.simplify(density * absolute)
    if sp.simplify(even_part(integrand, COSINE) - integrand) != 0:
        raise ArithmeticError(f"{integrand} has to be even")
    by_parity = 2 * SmoothIntegral(integrand, COSINE, 0, 1)
    return (
        whole,
        Step(
            "Condition on two rows",
            "given r₂, r₃ with unit normal n, J = |c| N(u, τ²), u = n₁, |c| = |det N|; the density of n brings "
            "another |det N|, so that E(det N)² = u² + τ²(1 + u²) + 2τ⁴ is left",
            SmoothIntegral(integrand, COSINE, -1, 1),
        ),
        Step("Use parity", "the integrand is even", by_parity),
        Step("Integrate", "by parts: the error function is differentiated", _integrate_halves(by_parity)),
    )


def _signed_preimages(dim: int) -> tuple[Step, ...]:
    return (
        Step("Mean", "∫ ds Σ sign J = ∫ dt |J| sign J = ∫ dt J", SlopeMean(JACOBIAN, dim, TAU)),
        Step(
            "Expand",
            "J = Σ over permutations of products, one entry from each row: independent, of mean δᵢⱼ",
            mean_determinant(sp.eye(dim)),
        ),
    )


def _density_at_zero(dim: int) -> tuple[Step, ...]:
    whole = Step("Mean", _BY_COFACTORS, SlopeMean(sp.DiracDelta(JACOBIAN), dim, TAU))
    if dim == 1:
        return whole, Step("Density", "J ~ N(1, τ²)", normal_density(sp.Integer(0), sp.Integer(1), TAU**2))
    if dim == 2:
        start = _ring_start()
        return (whole, *_by_rotation(-sp.diff(_ring_tail(sp.Integer(1)), start) / (2 * start)))
    density = normal_direction_weight(sp.Rational(1, 2)) * normal_density(COSINE, sp.Integer(0), TAU**2)
    integral = sp.Integral(density, (COSINE, -1, 1))
    return (
        whole,
        Step(
            "Condition on two rows",
            "given r₂, r₃ the density of J at 0 is that of N(u, τ²) over |c| = |det N|, which cancels the factor "
            "that the density of the normal has; both orientations count",
            integral,
        ),
        _closed(integral),
    )


def _ring_start() -> sp.Symbol:
    return sp.Symbol("R", positive=True)


def _ring_tail(function: sp.Expr, radius: sp.Symbol | None = None) -> sp.Expr:
    """Return E f(S); S > R, S the length of a plane Gaussian of variance τ²/2 per axis: S² is exponential."""
    r = radius or sp.Symbol("r", positive=True)
    variance = TAU**2 / 2
    on_rings = 2 * sp.pi * r * normal_density(r, sp.Integer(0), variance) / sp.sqrt(2 * sp.pi * variance)
    return sp.simplify(sp.integrate(function * on_rings, (r, _ring_start(), sp.oo)))


def _by_rotation(given_length: sp.Expr, then: Callable[[sp.Expr], sp.Expr] = lambda mean: mean) -> tuple[Step, Step]:
    """Return the steps, d = 2, for a function of R whose mean is wanted.

    With a, b = (m₁₁ + m₂₂)/2, (m₂₁ − m₁₂)/2 and c, e = (m₁₁ − m₂₂)/2, (m₁₂ + m₂₁)/2 for the entries m of I + A, all
    independent with variance τ²/2, of means 1, 0, 0, 0: J = R² − S², R² = a² + b², S² = c² + e².

    Args:
        given_length: the mean over S, a function of R.
        then: what is made of its mean.
    """
    a, b, c, e = sp.symbols("a b c e", real=True)
    rotated = sp.expand(sp.Matrix([[a + c, e - b], [e + b, a - c]]).det())
    length = rotated.subs({c: 0, e: 0})
    parts = given_length.subs(_ring_start(), sp.sqrt(length))
    constant, in_a, in_b = _separate(sp.expand(parts, power_exp=True), a, b)
    width = TAU / sp.sqrt(2)
    normal = normal_density(_Z, sp.Integer(0), sp.Integer(1))
    first = sp.Integral(sp.simplify(in_a.subs(a, 1 + width * _Z) * normal), (_Z, -sp.oo, sp.oo))
    second = sp.Integral(sp.simplify(in_b.subs(b, width * _Z) * normal), (_Z, -sp.oo, sp.oo))
    integrals = then(constant * first * second)
    reason = (
        "J = R² − S², R and S the lengths of independent plane Gaussians of variance τ²/2 per axis and means (1, 0) "
        "and 0; S² is exponential, and integrated out; the two coordinates of R remain"
    )
    return Step("Rotate the slopes", reason, integrals), _closed(integrals)


def _separate(product: sp.Expr, first: sp.Symbol, second: sp.Symbol) -> tuple[sp.Expr, sp.Expr, sp.Expr]:
    """Split a product into a constant, a function of the first symbol, and one of the second."""
    constant, rest = product.as_independent(first, second, as_Add=False)
    in_second, in_first = rest.as_independent(first, as_Add=False)
    return constant, in_first, in_second


def _closed(expression: sp.Expr) -> Step:
    return Step("Integrate", "Gaussian integrals", in_tails(sp.simplify(expression.doit())))


def _integrate_halves(expression: sp.Expr) -> sp.Expr:
    integrals = {part: integrate_erf(*part.args) for part in expression.atoms(SmoothIntegral)}
    return in_tails(sp.simplify(expression.xreplace(integrals)))


def logarithm_coefficient(density: sp.Expr) -> sp.Expr:
    """Return the coefficient of log(1/δ) in E[1/|J|; |J| > δ] as δ → 0, twice the density of J at 0.

    Args:
        density: the density of J, an expression in the symbol J.
    """
    both = (density + density.subs(JACOBIAN, -JACOBIAN)) / JACOBIAN
    truncated = sp.Integral(both, (JACOBIAN, _DELTA, sp.oo))
    per_logarithm = sp.simplify(-_DELTA * sp.diff(truncated, _DELTA))
    return per_logarithm.subs(_DELTA, 0)


def _mean_inverse_jacobian(dim: int) -> tuple[Step, ...]:
    unknown = sp.Function("p_J", positive=True)
    both = (unknown(JACOBIAN) + unknown(-JACOBIAN)) / JACOBIAN
    truncated = sp.Integral(both, (JACOBIAN, _DELTA, sp.oo))
    at_zero = _density_at_zero(dim)[-1].expression
    coefficient = logarithm_coefficient(unknown(JACOBIAN)).subs(unknown(0), at_zero)
    diverging = sp.Symbol("C", real=True) + coefficient * sp.log(1 / _DELTA)
    return (
        Step("Mean", "J = det(I + A)", SlopeMean(1 / sp.Abs(JACOBIAN), dim, TAU)),
        Step("Cut off", "|J| > δ, δ → 0", sp.Limit(truncated, _DELTA, 0)),
        Step(
            "Leading term",
            "d/d log(1/δ) of the integral is p_J(δ) + p_J(−δ) → 2 p_J(0), and the density of J at 0 is positive: it "
            "grows like 2 p_J(0) log(1/δ), up to a constant C",
            sp.Limit(diverging, _DELTA, 0),
        ),
        Step("Limit", "the density of J at 0 is positive: log-divergence", sp.limit(diverging, _DELTA, 0, "+")),
    )


def _growth_per_doubling(dim: int) -> tuple[Step, ...]:
    at_zero = _density_at_zero(dim)[-1].expression
    t = sp.Symbol("t", real=True)
    curvature, position = sp.symbols("kappa s", positive=True)
    solutions = sp.solve(curvature * t**2 / 2 - position, t)
    sizes = {sp.Abs(curvature * solution) for solution in solutions}
    size = sizes.pop()  # one: both preimages have |J| = √(2κs)
    finest = size.subs(position, position / 2) / size
    together = len(solutions) ** 2 / JACOBIAN**2
    shell = sp.Integral(2 * at_zero * JACOBIAN / len(solutions) * together, (JACOBIAN, finest * _DELTA, _DELTA))
    reason = (
        "beside a fold each s has two preimages with one |J| = j, so that (Σ 1/|J|)² ds = (2/j)² j dt/2; |J| falls "
        "like √s, so a grid twice as fine resolves |J| to δ/√2 in place of δ, and there |J| has the density 2 p_J(0)"
    )
    steps = (
        Step("Follow the preimages", reason, shell),
        Step("Integrate", "δ drops out", sp.simplify(shell.doit())),
    )
    return (_caustics_on_a_line(at_zero, len(solutions) / size), *steps) if dim == 1 else steps


def _caustics_on_a_line(at_zero: sp.Expr, density: sp.Expr) -> Step:
    """Return the growth as the rate of caustics times the growth at each, d = 1."""
    curvature, position, spacing, deviation = sp.symbols("kappa s h nu", positive=True)
    rate = 2 * at_zero * curvature * normal_density(curvature, sp.Integer(0), deviation**2)
    of_position, of_curvature = sp.expand(density**2 * rate).as_independent(curvature, as_Add=False)
    return Step(
        "Count caustics",
        "where φ is regular a finer grid changes nothing; a caustic of curvature κ = |J′| has φ = κt²/2, two preimages "
        "t = ±√(2s/κ) and Σ 1/|J| = 2/√(2κs), which a grid of spacing h resolves down to s ~ h; there are "
        "2 p_J(0) κ n(κ) of them per unit of length and curvature (Kac–Rice; J′ ~ N(0, ν²) is independent of J)",
        sp.Integral(of_position, (position, spacing / 2, spacing)) * sp.Integral(of_curvature, (curvature, 0, sp.oo)),
    )


_PIXELS = 4
_FINE_PIXELS = 128
_STRATA = 64


def gaussian_offsets(
    generator: np.random.Generator, rows: int, dim: int, tau: float, pixels: int = _PIXELS
) -> Float[Tensor, "rows d *T"]:
    """Draw periodic offsets whose forward differences at a pixel are d² independent N(0, τ²).

    εᵢ(t) = Σⱼ s (aᵢⱼ cos ktⱼ + bᵢⱼ sin ktⱼ), k = 2π/pixels, with a, b ~ N(0, 1) and 2s²(1 − cos k) = τ².

    Args:
        generator: source of every random number.
        rows: number of fields.
        dim: number d of axes.
        tau: the deviation τ of the slopes, without unit.
        pixels: the period in pixels.

    Returns:
        Offsets in pixels, shape (rows, d, *T), T = pixels + 1 along every axis: one period and its first pixel again.
    """
    wavenumber = 2 * math.pi / pixels
    scale = tau / math.sqrt(2 * (1 - math.cos(wavenumber)))
    phase = wavenumber * torch.arange(pixels + 1, dtype=torch.float64)
    amplitudes = torch.from_numpy(scale * generator.standard_normal((rows, dim, dim, 2)))
    waves = amplitudes @ torch.stack([phase.cos(), phase.sin()])
    total = torch.zeros(rows, dim, *[pixels + 1] * dim, dtype=torch.float64)
    for axis in range(dim):
        shape = [1] * dim
        shape[axis] = pixels + 1
        total += waves[:, :, axis].reshape(rows, dim, *shape)
    return total


@dataclass(frozen=True)
class FoldExperiment:
    """One number read from each of many offset fields with Gaussian slopes.

    Attributes:
        read: takes offsets (rows, d, *T) and their Jacobians (rows, *T), gives (rows,).
        dim: number d of axes.
    """

    read: Callable[[Tensor, Tensor], Tensor]
    dim: int

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels of a field."""
        return int((_PIXELS + 1) ** self.dim)

    @property
    def symbols(self) -> Set[str]:
        """The deviation of the slopes."""
        return {TAU.name}

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw fields, take their Jacobians as users' networks are diagnosed, and read; shape (rows,)."""
        period = gaussian_offsets(generator, rows, self.dim, values[TAU.name]).to(device)
        offsets = period
        for axis in range(self.dim):
            offsets = offsets.narrow(2 + axis, 0, _PIXELS)
        return self.read(offsets, jacobian_determinant(period))


def _folded_share(offsets: Tensor, jacobian: Tensor) -> Tensor:
    return (jacobian < 0).double().flatten(1).mean(1)


def _counted_preimages(offsets: Tensor, jacobian: Tensor) -> Tensor:
    """Return the mean over the grid of Wᵀ|J|, each preimage counted once."""
    counts = warping.splat(jacobian.abs()[:, None], offsets, kernel="linear", boundary="periodic")
    return counts.flatten(1).mean(1)


def _degree(offsets: Tensor, jacobian: Tensor) -> Tensor:
    """Return the mean of WᵀJ over half of the grid, each preimage counted with its orientation.

    Over the whole period it is one exactly, whatever the offsets.
    """
    counts = warping.splat(jacobian[:, None], offsets, kernel="linear", boundary="periodic")
    return counts[:, 0, : _PIXELS // 2].flatten(1).mean(1)


@dataclass(frozen=True)
class GrowthExperiment:
    """The mean of (Wᵀ1)² on a grid of 2N pixels less that on N, for the same random wave.

    The offsets ε = A sin(kn + θ) are Gaussian: A/τ is Rayleigh, θ uniform, and the grid lies anywhere. A row is
    the mean over one field from each of 64 equal parts of the range of A, θ and the grid's positions (a Latin
    hypercube), which keeps the mean and takes off most of the scatter.

    Attributes:
        pixels: N, the period on the coarser grid.
    """

    pixels: int = _FINE_PIXELS

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels of a row, over its fields and both grids."""
        return 3 * self.pixels * _STRATA

    @property
    def symbols(self) -> Set[str]:
        """The deviation of the slopes."""
        return {TAU.name}

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw fields and splat ones at both resolutions; shape (rows,)."""
        order = generator.permuted(np.broadcast_to(np.arange(_STRATA), (4, rows, _STRATA)), axis=-1)
        uniform = torch.from_numpy((order + generator.random(order.shape)) / _STRATA).to(device).flatten(1)
        slope = values[TAU.name] * torch.sqrt(-2 * torch.log1p(-uniform[0]))
        phase = 2 * math.pi * uniform[1]
        fine = mean_square_hits(slope, phase, uniform[2], 2 * self.pixels)
        coarse = mean_square_hits(slope, phase, uniform[3], self.pixels)
        return (fine - coarse).reshape(rows, _STRATA).mean(1)


def mean_square_hits(
    slope: Float[Tensor, "B"], phase: Float[Tensor, "B"], shift: Float[Tensor, "B"], pixels: int
) -> Float[Tensor, "B"]:
    """Return the mean over a period of (Wᵀ1)² for offsets that are one wave.

    Args:
        slope: largest slope of the wave, without unit, shape (B,).
        phase: its phase, shape (B,).
        shift: a constant offset in pixels, shape (B,).
        pixels: the period in pixels.

    Returns:
        The means, shape (B,).
    """
    wavenumber = 2 * math.pi / pixels
    n = torch.arange(pixels, dtype=torch.float64, device=slope.device)
    offsets = slope[:, None] / wavenumber * torch.sin(wavenumber * n + phase[:, None]) + shift[:, None]
    hits = warping.hit_counts(offsets[:, None], kernel="linear", boundary="periodic")
    return hits.square().mean((1, 2))


RESULT = Result(
    label="B7",
    title="Folds and caustics of Gaussian slopes",
    statement=(
        "Slopes ∂ⱼεᵢ iid N(0, τ²), J = det(I + ∇ε). P(J < 0) = ½ P(χ²_d > 1/τ²) for d = 1, 2, 3: Φ(−1/τ), "
        "½exp(−1/2τ²), Φ(−1/τ) + φ(1/τ)/τ. Preimages of a point: E|J| = 1 − 2Φ(−1/τ) + 2τφ(1/τ) for d = 1, "
        "1 + τ²exp(−1/2τ²) for d = 2, in closed form for d = 3; counted with sign they are 1. The density of J at 0 is "
        "positive, f(1/τ²)/τ² with f the density of χ²_d, so E 1/|J| is infinite: E[1/|J|; |J| > δ] grows like "
        "2 p_J(0) log(1/δ), and the mean of (Wᵀ1)² on a grid by 2 log(2) p_J(0) with every doubling of its resolution."
    ),
    assumptions=(
        "The slopes at a pixel are independent N(0, τ²), all d² alike.",
        "J is taken by forward differences, or in the continuum.",
        "Growth: the offsets are a homogeneous Gaussian field, smooth on the scale of the grid; d = 1.",
    ),
    source=(
        "arXiv 2511.20800, backward pass; theory label B7; Kac–Rice; Blaschke–Petkantschin (Schneider and Weil, "
        "Stochastic and Integral Geometry, Theorem 7.2.1)"
    ),
    quantities=(
        Quantity("fold probability", fold_probability, simulation=lambda _, s: FoldExperiment(_folded_share, s.dim)),
        Quantity("preimages", preimages, simulation=lambda _, s: FoldExperiment(_counted_preimages, s.dim)),
        Quantity(
            "signed preimages",
            signed_preimages,
            dims=(1, 2),
            simulation=lambda _, s: FoldExperiment(_degree, s.dim),
        ),
        Quantity(
            "growth of the backward gain per doubling of the resolution",
            growth_per_doubling,
            smallest_effect=0.02,
            dims=(1,),
            simulation=lambda _, s: GrowthExperiment(),
        ),
    ),
    kernels=("linear",),
    dims=(1, 2, 3),
    values={"tau": 0.8},
)
