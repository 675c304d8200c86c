"""Second moments of warped fields in the frequency domain: a field is a sum of waves, and a warp answers to each.

A value reads from the wave exp(iω·t) a multiple of it, so that second moments are integrals over the spectral density
of the products of these responses, averaged over the fraction. This holds for kernels that read every pixel too.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, cast

import numpy as np
import sympy as sp
from numpy import ndarray

from warptheory.core.errors import ArgumentError
from warptheory.fields import CovarianceFunction
from warptheory.kernels import (
    FRACTION,
    FREQUENCY,
    CardinalSpline,
    Kernel,
    PeriodicFunction,
    PiecewiseKernel,
    error_kernel,
)
from warptheory.symbolic._derivation import Derivation, Step
from warptheory.symbolic._spectra import frequencies, spectral_values
from warptheory.symbolic._terms import NotReducible, split_groups, whole_index
from warptheory.symbolic.averages import covers_pixels
from warptheory.symbolic.composition import ComposedValue
from warptheory.symbolic.covariance_nodes import covariance_name
from warptheory.symbolic.input_fields import GaussianField
from warptheory.symbolic.moments import Rederived
from warptheory.symbolic.moved_fields import SampledValue
from warptheory.symbolic.nodes import ExpectedValue, Node, Opaque, kernel_label
from warptheory.symbolic.offset_fields import axis_symbols
from warptheory.symbolic.quadrature import Environment, Evaluate, gauss_legendre
from warptheory.symbolic.values import Argument, RandomAtom, in_order

EXACT = "exact"  # stands where a kernel would: the field is read between its pixels without one
_NODES = 16  # of a panel
_HALF_PIXELS = 2  # panels of the fraction, between which kernels have their knots
_PANELS = 8  # of a pixel, for transforms
_NEAR = 1.0  # radians per pixel, below which closed spectra cancel
_OCTAVES = 14
_ANGLES = 24  # Gauss–Legendre directions in a quadrant
_NEGLIGIBLE = 1e-13  # share of the variance beyond the last frequency
_TAPS = 8.0  # pixels; responses of kernels are sums of waves of such lags
_ROUNDING = 1e-12
_MOST_OCTAVES = 14  # above 1/h for spectra with heavy tails


class SpectralIntegral(Node):
    """(2π)⁻ᵈ ∫ S(ω) R(hω) dω: args (field, R, θ₁, …, θ_d), R an even function of each θ = hω, radians per pixel."""

    bound = slice(2, None)
    field = Argument[GaussianField](0)

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the integral."""
        omega = frequencies(len(self.args) - 2)
        density = sp.Function(covariance_name(self.field, latex=latex, letter="S"))(*omega)
        scaled = {theta: self.field.spacing * w for theta, w in zip(self.args[2:], omega, strict=True)}
        limits = ((w, -sp.oo, sp.oo) for w in omega)
        return sp.Integral(density * self.args[1].xreplace(scaled), *limits) / (2 * sp.pi) ** len(omega)

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Integrate over panels of wavenumbers and over directions; for isotropic fields on a line or in a plane.

        Covariances that have a quadrature of their own are integrated by that.

        Raises:
            ArgumentError: another field, or one whose covariance is not given.
        """
        covariance = self.field.covariance
        spacing = float(evaluate(self.field.spacing, environment))
        own = None if covariance is None else covariance.wave_quadrature(_TAPS * spacing)
        if own is not None:
            given = dict(zip(self.args[2:], spacing * own[0], strict=True))
            return float(np.sum(own[1] * evaluate(self.args[1], {**environment, **given})))
        if covariance is None or not covariance.is_isotropic or covariance.dim > 2:
            raise ArgumentError("expression", expected="isotropic fields on one or two axes", received=str(self))
        known = covariance.subs({symbol.name: environment[symbol] for symbol in covariance.free_symbols})
        k, weights, density = _panels(known, spacing, type(known).spectral_density)
        directions, shares = _directions(covariance.dim)
        theta = spacing * k[:, None] * directions[:, None, :]
        inner = {**environment, **dict(zip(self.args[2:], theta, strict=True))}
        response = np.broadcast_to(evaluate(self.args[1], inner), theta.shape[1:]) @ shares
        sphere = 2.0 if covariance.dim == 1 else 2 * np.pi
        measure = sphere * k ** (covariance.dim - 1) / (2 * np.pi) ** covariance.dim
        return float(np.sum(weights * measure * density * response))


class WaveProduct(Node):
    """⟨r r̄′⟩, the mean over the fraction of the responses of two readings to a wave: args (k, o, k′, o′, θ).

    r(f) = Σₘ k⁽ᵒ⁾(f − m) exp(iθ(m − f)), and (iθ)ᵒ where the field is read exactly; the real part is meant.
    """

    @property
    def readings(self) -> tuple[tuple[Any, int], tuple[Any, int]]:
        """The kernels, or `EXACT`, and the orders of their derivatives."""
        return (self.args[0].content, int(self.args[1])), (self.args[2].content, int(self.args[3]))

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the mean of the product."""
        names = [_response_name(kernel, order) for kernel, order in self.readings]
        theta, f = self.args[4], sp.Symbol("f", real=True)
        product = sp.Function(names[0])(theta, f) * sp.conjugate(sp.Function(names[1])(theta, f))
        return sp.Integral(product, (f, 0, 1))

    def closed(self) -> sp.Expr:
        """Return the mean by Poisson summation: the spectrum of a kernel, and a sum over aliases for two kernels."""
        (kernel, order), (other, other_order) = self.readings
        theta = self.args[4]
        sign: float = (-1) ** ((order - other_order) // 2)
        if (order - other_order) % 2:
            return sp.Integer(0)
        power = theta ** (order + other_order)
        if kernel == EXACT and other == EXACT:
            return sign * power
        if EXACT in (kernel, other):
            return sign * power * SpectrumValue(Opaque(other if kernel == EXACT else kernel), theta)
        if order and any(_jumps(k) for k in (kernel, other)):
            raise NotReducible(self, "the operator's derivative ignores the kernel's jumps, its spectrum does not")
        return sign * AliasSum(self.args[0], self.args[2], order + other_order, theta)

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Sum the taps at Gauss–Legendre fractions; of the shape of θ."""
        theta = np.asarray(evaluate(self.args[4], environment), dtype=float)
        fractions, shares = _panels_of_pixel(_HALF_PIXELS)
        flat = theta.ravel()
        first, second = (_response(kernel, order, flat, fractions) for kernel, order in self.readings)
        return cast("ndarray", ((first * second.conj()).real @ shares).reshape(theta.shape))


class SpectrumValue(Node):
    """k̂(θ): args (kernel, θ)."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return k̂(θ)."""
        kernel = self.args[0].content
        return sp.Function((r"\hat{k}" if latex else "k̂") + kernel_label(kernel))(self.args[1])

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Evaluate the closed form, or the integral over the kernel's definition; of the shape of θ."""
        return _spectrum(self.args[0].content, np.asarray(evaluate(self.args[1], environment), dtype=float))


class AliasSum(Node):
    """Σₙ (θ + 2πn)ᵖ k̂(θ + 2πn) k̂′(θ + 2πn): args (k, k′, p, θ)."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the sum."""
        n = sp.Symbol("n", integer=True)
        alias = self.args[3] + 2 * sp.pi * n
        spectra = (SpectrumValue(kernel, alias).display(latex=latex) for kernel in self.args[:2])
        return sp.Sum(alias ** self.args[2] * sp.Mul(*spectra), (n, -sp.oo, sp.oo))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Sum ∫ k⁽ᵒ⁾(u) k⁽ᵒ⁾(u + Δ) du cos Δθ over Δ, the same by Poisson summation, p = 2o; of the shape of θ."""
        theta = np.asarray(evaluate(self.args[3], environment), dtype=float)
        kernel, order = self.args[0].content, int(self.args[2]) // 2
        if self.args[0] != self.args[1] or not kernel.is_compact:
            raise NotImplementedError(f"{self} of two kernels, or of one that reads every pixel")
        correlations = _correlations(_gathering(kernel), order)
        total = sum(value * np.cos(lag * theta) for lag, value in correlations.items())
        return np.asarray(total / _prefilter_response(kernel, theta) ** 2)


class ErrorKernel(Node):
    """The mean squared error of reading a wave: args (kernel, order, axis, θ₁, …, θ_d); theory label D4."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return |1 − k̂(θ)|² + Σ_{n≠0} |k̂(θ + 2πn)|², or the same of the derivative."""
        theta = self.args[3:]
        n = sp.symbols("n", integer=True) if len(theta) == 1 else sp.symbols(f"n_1:{len(theta) + 1}", integer=True)
        aliases = [t + 2 * sp.pi * m for t, m in zip(theta, [n] if len(theta) == 1 else n, strict=True)]
        order, axis = int(self.args[1]), int(self.args[2])

        def transfer(at: Sequence[sp.Expr]) -> sp.Expr:
            return sp.Mul(*(SpectrumValue(self.args[0], t).display(latex=latex) for t in at))

        own = theta[axis] ** (2 * order) * (1 - transfer(theta)) ** 2
        others = aliases[axis] ** (2 * order) * transfer(aliases) ** 2
        return own + sp.Function(r"\sum_{n \neq 0}" if latex else "Σ_{n≠0}")(others)

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Evaluate `kernels.error_kernel`; of the shape of the frequencies."""
        theta = np.stack(np.broadcast_arrays(*(evaluate(part, environment) for part in self.args[3:])), -1)
        found: ndarray = error_kernel(self.args[0].content, theta.astype(float), int(self.args[1]), int(self.args[2]))
        return found


@dataclass(frozen=True)
class SpectralForm(Rederived):
    """A statistic of second order, derived in the frequency domain and simulated as it is.

    Attributes:
        statistic: a statistic of warped and composed values of one Gaussian field at one pixel, whose offsets make
            every fraction equally likely.
    """

    def derive(self) -> Derivation:
        """Return the steps that lead to an integral over the spectral density.

        Raises:
            NotReducible: values that are not of second order, of several fields or pixels, or other offsets.
        """
        moments = self.moments()
        monomials = in_order(moments.atoms(ExpectedValue))
        _check_linear(self, moments, monomials)
        readings = {node: _readings(self, node.args[0]) for node in monomials}
        field, dim = _common_field(self, readings.values())
        theta = axis_symbols("theta", dim, real=True)
        products = {node: _product(pair, theta) for node, pair in readings.items()}
        waves = sp.expand(moments.xreplace(products))
        closed = waves.replace(lambda node: isinstance(node, WaveProduct), lambda node: node.closed())
        steps = [
            Step("Moments", "write the statistic by expectations of monomials", moments),
            Step("Insert waves", _WAVES, SpectralIntegral(Opaque(field), waves, *theta)),
            Step("Sum over aliases", _POISSON, SpectralIntegral(Opaque(field), closed, *theta)),
        ]
        error = self._error(moments, theta)
        if error is not None:
            steps.append(Step("Collect", _COLLECT, error[0] * SpectralIntegral(Opaque(field), error[1], *theta)))
        return self.derivation(steps)

    def _error(self, moments: sp.Expr, theta: Sequence[sp.Symbol]) -> tuple[sp.Expr, ErrorKernel] | None:
        """Return the factor and the error kernel of a squared difference of a warped value and the exact one."""
        atoms = in_order({atom for operand in self.operands for atom in operand.atoms(RandomAtom)})
        warped = [atom for atom in atoms if isinstance(atom, SampledValue)]
        exact = [atom for atom in atoms if isinstance(atom, ComposedValue)]
        if len(warped) != 1 or len(exact) != 1 or len(atoms) != 2 or warped[0].orders != exact[0].orders:
            return None
        difference = ExpectedValue(warped[0] ** 2) + ExpectedValue(exact[0] ** 2)
        difference -= 2 * ExpectedValue(warped[0] * exact[0])
        factor = sp.simplify(moments / difference)
        if factor.atoms(ExpectedValue) or sum(warped[0].orders) > 1:
            return None
        orders = warped[0].orders
        axis = orders.index(1) if any(orders) else 0
        return factor, ErrorKernel(Opaque(warped[0].site.kernel), sum(orders), axis, *theta)

    def __str__(self) -> str:
        return f"{self.statistic}, by waves"

    def latex(self) -> str:
        """Return it in LaTeX."""
        return self.statistic.latex()


_WAVES = (
    "x(t) = ∫ exp(iω·t) dZ(ω), E dZ dZ̄ = S(ω) dω/(2π)ᵈ; a value reads r(hω) exp(iω·t) of the wave, and E r r̄′ is a "
    "mean over the fractions, which are independent along the axes"
)
_POISSON = (
    "Σₘ k(f − m) exp(iθ(m − f)) = Σₙ k̂(θ + 2πn) exp(2πinf) (Poisson), and harmonics of different n are orthogonal "
    "over the fraction (Parseval)"
)
_COLLECT = "1 − 2k̂ + Σₙ |k̂(θ + 2πn)|² = |1 − k̂|² + Σ_{n≠0} |k̂(θ + 2πn)|²: the error kernel"

WaveReading = tuple[Any, tuple[int, ...]]


def _check_linear(statistic: SpectralForm, moments: sp.Expr, monomials: Sequence[sp.Expr]) -> None:
    """Check that a statistic is a sum of multiples of expected values.

    Raises:
        NotReducible: a term without one, or a product of several.
    """
    marks = [sp.Dummy() for _ in monomials]
    marked = sp.expand(moments.xreplace(dict(zip(monomials, marks, strict=True))))
    if not marked.is_polynomial(*marks) or any(sum(powers) != 1 for powers in sp.Poly(marked, *marks).monoms()):
        raise NotReducible(statistic, "it has to be a sum of multiples of second moments, without other terms")


def _readings(statistic: SpectralForm, monomial: sp.Expr) -> tuple[GaussianField, tuple[WaveReading, WaveReading]]:
    """Return the field of a monomial's two factors, and their kernels and orders."""
    factors = [atom for base, power in monomial.as_powers_dict().items() for atom in [base] * int(power)]
    if len(factors) != 2 or not all(isinstance(atom, SampledValue | ComposedValue) for atom in factors):
        raise NotReducible(statistic, "it has to be of second order in warped and composed values")
    split_groups(monomial, None)
    offsets = factors[0].site.offsets
    field, dim = factors[0].field, offsets.dim
    places = {whole_index(atom.site.index, dim) for atom in factors}
    if not isinstance(field, GaussianField) or field.mean != 0 or any(atom.field != field for atom in factors):
        raise NotReducible(statistic, "its values have to be of one Gaussian field of mean zero")
    if any(atom.site.offsets != offsets for atom in factors) or len(places) > 1:
        raise NotReducible(statistic, "its values have to be at one pixel, with the same offsets")
    if statistic.condition is not None or offsets.correlation != 0 or not covers_pixels(offsets.axis_law):
        raise NotReducible(statistic, "every fraction has to be equally likely, and independent along the axes")
    first, second = ((atom.site.kernel if isinstance(atom, SampledValue) else EXACT, atom.orders) for atom in factors)
    return field, (first, second)


def _common_field(
    statistic: SpectralForm, readings: Iterable[tuple[GaussianField, tuple[WaveReading, WaveReading]]]
) -> tuple[GaussianField, int]:
    readings = list(readings)
    fields = {field for field, _ in readings}
    if len(fields) != 1:
        raise NotReducible(statistic, "its values have to be of one Gaussian field")
    (field,) = fields
    return field, max(len(orders) for _, pair in readings for _, orders in pair)


def _product(found: tuple[GaussianField, tuple[WaveReading, WaveReading]], theta: Sequence[sp.Symbol]) -> sp.Expr:
    """Return the product over the axes of the mean responses to a wave."""
    _, ((kernel, orders), (other, other_orders)) = found
    first, second = Opaque(kernel), Opaque(other)
    return sp.Mul(*(WaveProduct(first, o, second, p, t) for o, p, t in zip(orders, other_orders, theta, strict=True)))


def _jumps(kernel: Kernel) -> bool:
    """Whether the kernel is not continuous: the weights of neighbouring taps differ where a fraction wraps around."""
    if not kernel.is_compact:
        return False
    zero = PeriodicFunction.constant(sp.Integer(0))
    taps = _gathering(kernel).taps
    inner = any(
        _differs(left.expression.subs(FRACTION, left.upper), right.expression.subs(FRACTION, right.lower))
        for weight in taps.values()
        for left, right in itertools.pairwise(weight.cells)
    )
    ends = (
        (taps.get(tap, zero).from_left(sp.Integer(1)), taps.get(tap - 1, zero).at(sp.Integer(0)))
        for tap in range(min(taps), max(taps) + 2)
    )
    return inner or any(_differs(*pair) for pair in ends)


def _differs(first: sp.Expr, second: sp.Expr) -> bool:
    return abs(float(sp.N(first - second))) > _ROUNDING


def _response_name(kernel: Any, order: int) -> str:
    prime = "′" * order
    return f"r{prime}_exact" if kernel == EXACT else f"r{prime}" + kernel_label(kernel)


def _response(kernel: Any, order: int, theta: ndarray, fractions: ndarray) -> ndarray:
    """Return r(f) by the kernel's definition, shape (θ, f)."""
    if kernel == EXACT:
        return np.broadcast_to(((1j * theta) ** order)[:, None], (len(theta), len(fractions)))
    if not kernel.is_compact:
        raise NotImplementedError(f"the response of {kernel.name} by its taps")
    distances = np.stack([fractions - tap for tap in kernel.taps])
    weights = np.stack([_weight(kernel, tap, order)(fractions) for tap in kernel.taps])
    gathered = np.einsum("jf,tjf->tf", weights, np.exp(-1j * theta[:, None, None] * distances))
    return cast("ndarray", gathered / _prefilter_response(kernel, theta)[:, None])


def _panels_of_pixel(count: int) -> tuple[ndarray, ndarray]:
    """Return fractions in [0, 1) and their weights, on equal panels."""
    points, weights = gauss_legendre(np.linspace(0, 1, count + 1), _NODES)
    return points.ravel(), weights.ravel()


def _prefilter_response(kernel: Kernel, theta: ndarray) -> ndarray:
    samples = kernel.prefilter or (sp.Integer(1),)
    radius = len(samples) // 2
    return cast("ndarray", np.sum([float(s) * np.cos((n - radius) * theta) for n, s in enumerate(samples)], axis=0))


@cache
def _weight(kernel: Kernel, tap: int, order: int) -> Any:
    fraction = sp.Symbol("fraction", nonnegative=True)
    weight = kernel.taps[tap].product_of_derivatives([order]).at(fraction)
    compiled = sp.lambdify([fraction], weight, "numpy")
    return lambda values: np.broadcast_to(compiled(values), values.shape)


def _gathering(kernel: Kernel) -> Kernel:
    """Return the kernel that gathers: behind a prefilter the spline, else the kernel itself."""
    return kernel.spline if isinstance(kernel, CardinalSpline) else kernel


@cache
def _correlations(kernel: Kernel, order: int) -> dict[int, float]:
    """Return ∫ k⁽ᵒ⁾(u) k⁽ᵒ⁾(u + Δ) du by the whole lag Δ."""
    reach = 2 * (max(map(abs, kernel.taps)) + 1)
    return {lag: float(kernel.correlation(order, order, sp.Integer(lag))) for lag in range(-reach, reach + 1)}


def _spectrum(kernel: Kernel, theta: ndarray) -> ndarray:
    """Return k̂(θ): by its closed form, and near zero, where that cancels, or without one by quadrature."""
    if not kernel.is_compact:
        return cast("ndarray", _closed_spectrum(kernel)(theta))
    gathering = _gathering(kernel)
    has_form = isinstance(gathering, PiecewiseKernel) and not gathering.spectrum.has(sp.Integral)
    near = np.abs(theta) < _NEAR if has_form else np.ones(theta.shape, dtype=bool)
    found = np.empty(theta.shape)
    found[near] = _transform_of_taps(gathering, theta[near])
    if not near.all():
        found[~near] = _closed_spectrum(gathering)(theta[~near])
    return cast("ndarray", found / _prefilter_response(kernel, theta))


def _transform_of_taps(kernel: Kernel, theta: ndarray) -> ndarray:
    """Return ∫ k(u) cos θu du by Gauss–Legendre panels of the fraction; kernels are even."""
    fractions, shares = _panels_of_pixel(_PANELS)
    total = np.zeros(theta.shape)
    for tap in kernel.taps:
        total += np.cos(np.multiply.outer(theta, fractions - tap)) @ (shares * _weight(kernel, tap, 0)(fractions))
    return total


@cache
def _closed_spectrum(kernel: Kernel) -> Any:
    return sp.lambdify([FREQUENCY], kernel.spectrum, "numpy")


# The steps of a derivation are integrals over one density, which takes longer than they do where it is a quadrature.
@lru_cache(maxsize=64)
def _panels(
    covariance: CovarianceFunction, spacing: float, definition: Callable[..., Any]
) -> tuple[ndarray, ndarray, ndarray]:
    """Return wavenumbers, their weights, and the spectral density there, (N,) each; another definition has its own."""
    k, weights = _wavenumbers(lambda values: spectral_values(covariance, values), spacing)
    return k, weights, spectral_values(covariance, k)


def _wavenumbers(density: Callable[[ndarray], ndarray], spacing: float) -> tuple[ndarray, ndarray]:
    """Return nodes and weights over wavenumbers, on octaves cut where the response may turn.

    They end where the spectral density is negligible, or at 2¹⁴/h.
    """
    edges = 2.0 ** np.arange(-_OCTAVES, _MOST_OCTAVES + 1) / spacing
    powers = density(edges) * edges
    significant = np.flatnonzero(powers > _NEGLIGIBLE * powers.max())
    edges = edges[: significant[-1] + 2]
    panels = [
        np.linspace(low, high, max(1, int(np.ceil((high - low) * spacing))), endpoint=False)
        for low, high in itertools.pairwise(edges)
    ]
    ends = np.concatenate([np.zeros(1), *panels, edges[-1:]])
    points, weights = gauss_legendre(ends, _NODES)
    return points.ravel(), weights.ravel()


def _directions(dim: int) -> tuple[ndarray, ndarray]:
    """Return directions in the first quadrant, shape (d, N), and their shares; on a line the one."""
    if dim == 1:
        return np.ones((1, 1)), np.ones(1)
    nodes, weights = np.polynomial.legendre.leggauss(_ANGLES)
    angle = np.pi / 4 * (1 + nodes)
    return np.stack([np.cos(angle), np.sin(angle)]), weights / 2
