"""Covariances averaged over random lags, as sums over waves: (2π)⁻ᵈ ∫ S(ω) cos(ω·Δ) χ(ω) dω.

A normal lag has the characteristic function χ(ω) = exp(−v|ω|²/2), which smooths the covariance. The squared exponential
stays one, by Gaussian integrals; others have their number by quadrature.
"""

import itertools
from functools import cache
from typing import cast

import numpy as np
import sympy as sp
from numpy import ndarray
from scipy import special

from warptheory.core.errors import ArgumentError
from warptheory.fields import CovarianceFunction
from warptheory.fields.covariance.squared_exponential import SquaredExponential
from warptheory.symbolic.covariance_nodes import FieldCovariance, covariance_name
from warptheory.symbolic.input_fields import GaussianField
from warptheory.symbolic.nodes import Node, OffsetAverage, Opaque
from warptheory.symbolic.offset_fields import OffsetField, axis_symbols
from warptheory.symbolic.quadrature import Environment, Evaluate, gauss_legendre
from warptheory.symbolic.values import Argument

_LAST_EXPONENT = 37.0  # exp(−37) < 1e−16
_DEVIATIONS = 7.5  # of a normal lag, over which its characteristic function is resolved
_OCTAVES = 48
_NODES = 20  # of a panel


class SmoothedCovariance(Node):
    """(2π)⁻ᵈ ∫ S(ω) cos(hω·Δ) exp(−v h²|ω|²/2) dω: args (field, Δ, v), the mean of C over a normal lag about hΔ.

    The lag Δ in pixels, its variance v along each axis, the spread, in pixels².
    """

    field = Argument[GaussianField](0)
    lag = Argument[sp.Tuple](1)
    spread = Argument[sp.Expr](2)

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the integral."""
        spacing, omega = self.field.spacing, frequencies(len(self.lag))
        density = sp.Function(covariance_name(self.field, latex=latex, letter="S"))(*omega)
        phase = sp.cos(sp.Add(*(w * part for w, part in zip(omega, self.lag, strict=True))) * spacing)
        gain = sp.exp(-self.spread * spacing**2 * sp.Add(*(w**2 for w in omega)) / 2)
        limits = ((w, -sp.oo, sp.oo) for w in omega)
        return sp.Integral(density * phase * gain, *limits) / (2 * sp.pi) ** len(omega)

    def closed(self) -> sp.Expr:
        """Return the integral in closed form, the node itself where none is known."""
        covariance, spacing = self.field.covariance, self.field.spacing
        if not isinstance(covariance, SquaredExponential) or not covariance.is_isotropic:
            return self
        axes = (_gaussian_wave(covariance.length**2 + spacing**2 * self.spread, spacing * part) for part in self.lag)
        # S of the squared exponential is σ² ∏ √(2π) ℓ exp(−ℓ²ωᵢ²/2).
        return covariance.variance * sp.Mul(*(covariance.length * axis / sp.sqrt(2 * sp.pi) for axis in axes))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Integrate over the waves' lengths where the field is isotropic, else average over the lag; a scalar."""
        field = self.field
        if field.covariance is None:
            raise ArgumentError("expression", expected="fields whose covariance is given", received=str(self))
        covariance = field.covariance.subs(
            {symbol.name: environment[symbol] for symbol in field.covariance.free_symbols}
        )
        spacing = float(evaluate(field.spacing, environment))
        lag = spacing * np.array([float(evaluate(part, environment)) for part in self.lag])
        variance = spacing**2 * float(evaluate(self.spread, environment))
        if variance <= 0:
            return float(covariance.at(lag))
        if covariance.is_isotropic:
            return _radial_mean(covariance, float(np.linalg.norm(lag)), variance)
        own = covariance.wave_quadrature(float(np.linalg.norm(lag)) + _DEVIATIONS * np.sqrt(variance))
        if own is not None:
            waves = np.cos(own[0] * lag[:, None]).prod(0) * np.exp(-variance * np.square(own[0]).sum(0) / 2)
            return float(own[1] @ waves)
        return self._over_lags(environment, evaluate)

    def _over_lags(self, environment: Environment, evaluate: Evaluate) -> float:
        eta = OffsetField("normal", len(self.lag), scale=sp.sqrt(self.spread), name="eta")
        moved = sp.Tuple(*(part + e for part, e in zip(self.lag, eta.symbols, strict=True)))
        value = FieldCovariance(self.args[0], moved, sp.Tuple(*[0] * len(moved)))
        return float(OffsetAverage(value, Opaque(eta)).numeric(environment, evaluate))


def frequencies(dim: int) -> tuple[sp.Symbol, ...]:
    """Return ω, or ω₁ … ω_d, in radians per unit of length or per pixel."""
    return axis_symbols("omega", dim, real=True)


def averages_as_spectra(expression: sp.Expr) -> sp.Expr:
    """Write every average of a covariance over one normal lag, of the same variance along all axes, by its spectrum."""
    return expression.replace(lambda node: isinstance(node, OffsetAverage), _as_spectrum)


def reason(expression: sp.Expr) -> str:
    """Say what an average over a lag becomes, and what the variances of these lags are."""
    found = sorted({str(node.spread) for node in expression.atoms(SmoothedCovariance)})
    return (
        "C(τ) = (2π)⁻ᵈ ∫ S(ω) exp(iω·τ) dω; the average of exp(iω·η) over a lag η is its characteristic function, "
        f"exp(−v|ω|²/2) for a normal one of variance v along each axis, here v = {' and '.join(found)}"
    )


def closed_smoothing(expression: sp.Expr) -> sp.Expr:
    """Replace smoothed covariances by their closed forms, where they have one."""
    return expression.replace(lambda node: isinstance(node, SmoothedCovariance), lambda node: node.closed())


def _as_spectrum(node: OffsetAverage) -> sp.Expr:
    offsets = node.offsets
    constant, rest = node.args[0].as_independent(*offsets.symbols, as_Add=False)
    law = offsets.axis_law
    if not isinstance(rest, FieldCovariance) or any(rest.orders) or law.name != "normal" or offsets.correlation != 0:
        return node
    lag = [_about(part, symbol, law.location) for part, symbol in zip(rest.lag, offsets.symbols, strict=True)]
    if any(part is None or part.free_symbols & set(offsets.symbols) for part in lag):
        return node
    return constant * SmoothedCovariance(rest.args[0], sp.Tuple(*lag), law.scale**2)


def _about(part: sp.Expr, symbol: sp.Symbol, mean: sp.Expr) -> sp.Expr | None:
    """Return the mean of a coordinate of a lag that is ± an offset from it, None for another one."""
    for sign in (1, -1):
        rest = sp.expand(part - sign * symbol)
        if symbol not in rest.free_symbols:
            return rest + sign * mean
    return None


@cache
def _wave_integral() -> tuple[sp.Expr, sp.Symbol, sp.Symbol]:
    """Return ∫ exp(−a ω²/2) cos(bω) dω and its symbols a and b."""
    a, b = sp.Symbol("a", positive=True), sp.Symbol("b", real=True)
    omega = sp.Symbol("omega", real=True)
    whole = sp.integrate(sp.exp(-a * omega**2 / 2) * sp.exp(sp.I * b * omega), (omega, -sp.oo, sp.oo))
    return sp.simplify(whole), a, b


def _gaussian_wave(width: sp.Expr, lag: sp.Expr) -> sp.Expr:
    value, a, b = _wave_integral()
    return value.subs({a: width, b: lag})


def _radial_mean(covariance: CovarianceFunction, distance: float, variance: float) -> float:
    """Return (2π)⁻ᵈ ∫ S(|ω|) cos(ω·τ) exp(−v|ω|²/2) dω for |τ| = distance, on panels of octaves."""
    dim, last = covariance.dim, float(np.sqrt(2 * _LAST_EXPONENT / variance))
    edges = last * 2.0 ** np.arange(-_OCTAVES, 1)
    panels = [np.zeros(1), *(_split(low, high, distance) for low, high in itertools.pairwise(edges))]
    ends = np.concatenate([*panels, edges[-1:]])
    k, weights = (part.ravel() for part in gauss_legendre(ends, _NODES))
    density = spectral_values(covariance, k)
    sphere = 2 * np.pi ** (dim / 2) / special.gamma(dim / 2)
    terms = density * k ** (dim - 1) * _mean_over_directions(k * distance, dim) * np.exp(-variance * k**2 / 2)
    return float(sphere / (2 * np.pi) ** dim * np.sum(weights * terms))


def _split(low: float, high: float, distance: float) -> ndarray:
    """Return the lower ends of panels over which a wave of that lag turns by no more than half a round."""
    count = 1 + int((high - low) * distance / np.pi)
    return np.linspace(low, high, count, endpoint=False)


def spectral_values(covariance: CovarianceFunction, wavenumbers: ndarray) -> ndarray:
    """Return S at wavenumbers along the first axis, shape (N,)."""
    k = sp.Symbol("k", positive=True)
    try:
        density = sp.lambdify([k], covariance.spectral_density(k), ["scipy", "numpy"])
    except ArgumentError:
        return np.array([float(covariance.spectral_density(sp.Float(value))) for value in wavenumbers])
    return np.broadcast_to(density(wavenumbers), wavenumbers.shape)


def _mean_over_directions(z: ndarray, dim: int) -> ndarray:
    """Return the mean of cos(z u₁) over directions u: cos z, J₀(z) or sin(z)/z."""
    if dim == 1:
        return cast("ndarray", np.cos(z))
    return special.j0(z) if dim == 2 else np.sinc(z / np.pi)
