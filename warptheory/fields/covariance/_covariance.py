"""Covariances of homogeneous fields: C(τ), its spectral density, and what follows from them numerically.

Conventions: C(τ) = E x(t)x(t + τ) for a field of mean zero, and

    C(τ) = (2π)⁻ᵈ ∫ S(ω) exp(iωτ) dω,

lengths in pixels and angular frequencies in radians per pixel. A model states its radial function; every
other property has a numerical route here, which a model overrides where it knows a closed form.
"""

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from markupsafe import Markup
from numpy import ndarray
from torch import Tensor

from warptheory.core import html
from warptheory.core.checks import check_integer, check_number
from warptheory.core.definition import definition
from warptheory.core.errors import ArgumentError
from warptheory.core.expressions import check_symbols, expression, number
from warptheory.core.formulas import latex
from warptheory.core.presented import LONGEST_LINE, Presented, brief, cell_of, field_values, fields_table
from warptheory.core.text import shortened, shown
from warptheory.fields.offset_mean import mean_over_offset
from warptheory.fields.parameters import check_spread, symbols_in, with_numbers
from warptheory.fields.radial_transforms import norm, transform
from warptheory.fields.sampling import kept_sampler


class CovarianceFunction(Presented, ABC):
    """The covariance C(τ) of a real homogeneous field of mean zero on d axes."""

    @property
    @abstractmethod
    def dim(self) -> int:
        """Number d of axes."""

    @abstractmethod
    def expression(self, *lag: Any) -> sp.Expr:
        """Return C(τ) as a sympy expression.

        Args:
            *lag: τ in pixels, one sympy expression per axis; a lone one counts along the first axis, which for
                an isotropic field is the distance.

        Raises:
            ArgumentError: another number of coordinates.
        """

    @abstractmethod
    def spectral_density(self, *frequency: Any) -> sp.Expr:
        """Return S(ω) as a sympy expression, with a number only where there is no closed form.

        Args:
            *frequency: ω in radians per pixel, one expression per axis or a lone one along the first; numbers
                where S is numerical.

        Raises:
            ArgumentError: another number of coordinates, or a symbol where S is numerical.
        """

    @abstractmethod
    def spectral_moment(self, *orders: int) -> sp.Expr:
        """Return (2π)⁻ᵈ ∫ S(ω) ∏ ωᵢ^orderᵢ dω: λ₂ for (2, 0), λ₄₀ for (4, 0), λ₂₂ for (2, 2).

        Args:
            *orders: a whole number ≥ 0 for each axis, or a lone one for the first.

        Returns:
            An expression; ∞ where the integral diverges, because the field is too rough for that derivative.
        """

    @property
    def variance(self) -> sp.Expr:
        """C(0)."""
        return self.expression(*[sp.Integer(0)] * self.dim)

    def second_moment(self, axis: int = 0) -> sp.Expr:
        """Return λ₂ = −∂ᵢ²C(0), the variance of the derivative along an axis; ∞ for a rough field.

        Raises:
            ArgumentError: no such axis.
        """
        return self.spectral_moment(*self._along(axis, 2))

    def fourth_moment(self, axis: int = 0) -> sp.Expr:
        """Return λ₄ = ∂ᵢ⁴C(0), the variance of the second derivative along an axis; ∞ for a rough field.

        Raises:
            ArgumentError: no such axis.
        """
        return self.spectral_moment(*self._along(axis, 4))

    def __call__(self, distance: Float[ndarray, "*N"] | float) -> Float[ndarray, "*N"]:
        """Return C at lags in pixels along the first axis, shape (*N): at distances, for an isotropic field.

        Raises:
            ArgumentError: a symbol without a number, or distances that are no numbers.
        """
        distances = _numbers("distance", distance)
        lags = np.zeros((*distances.shape, self.dim))
        lags[..., 0] = distances
        return self.at(lags)

    def at(self, lags: Float[ndarray, "*N d"]) -> Float[ndarray, "*N"]:
        """Return C at lags in pixels, shape (*N, d), as float64 of shape (*N,).

        Raises:
            ArgumentError: a symbol without a number, or lags that are no numbers or of another number of axes.
        """
        lags = _numbers("lags", lags)
        if lags.ndim == 0 or lags.shape[-1] != self.dim:
            raise ArgumentError("lags", expected=f"shape (..., {self.dim})", received=lags.shape)
        return self._values(lags.reshape(-1, self.dim)).reshape(lags.shape[:-1])

    @property
    def is_isotropic(self) -> bool:
        """Whether C depends on |τ| alone, as on one axis it always does."""
        return self.dim == 1

    @property
    def _length(self) -> float | None:
        """The distance in pixels over which C changes, as quadrature over |τ| needs it; None where it has none."""
        return None

    def mean_over_offsets(self, spread: float) -> float:
        """Return E C(ε) = (2π)⁻ᵈ ∫ S(ω) exp(−|ω|²s²/2) dω, ε ~ N(0, s²I).

        The mean is taken on the side of the lags, where every covariance has numbers, to 1e-9 of C(0), unless a
        closed form or the spectrum gives it.

        Args:
            spread: s in pixels, the standard deviation along each axis.

        Raises:
            ArgumentError: a negative spread, a symbol without a number, or a C that cannot be integrated.

        Source: theory label C6.
        """
        check_spread(spread)
        return number("variance", self.variance) if spread == 0 else self._mean_over_offsets(float(spread))

    @property
    def free_symbols(self) -> set[sp.Symbol]:
        """The symbols that stand for parameters."""
        return symbols_in(self)

    def subs(self, values: Mapping[str, float]) -> "CovarianceFunction":
        """Return the covariance with numbers for its symbols, by their names; other names are ignored."""
        check_symbols("covariance", self.free_symbols)
        found: CovarianceFunction = with_numbers(self, values)
        return found

    def range(self, share: float) -> int:
        """Return the smallest number of whole pixels from which on |C| stays below a share of C(0), along every axis.

        Raises:
            ArgumentError: it is more than a million pixels, or a share that is no number ≥ 0.
        """
        check_number("share", share, least=0)
        lags = np.unique(np.round(np.geomspace(1, _FARTHEST, 4000)))
        farthest = 0
        for axis in range(self.dim):
            along = np.zeros((len(lags), self.dim))
            along[:, axis] = lags
            correlated = np.flatnonzero(np.abs(self.at(along)) > share * float(self(0.0)))
            if len(correlated) and correlated[-1] == len(lags) - 1:
                raise ArgumentError("covariance", expected=f"correlations that fall below {share:g}", received=self)
            farthest = max(farthest, int(lags[correlated[-1] + 1]) if len(correlated) else 1)
        return farthest

    def sample(
        self,
        batch: int,
        size: Sequence[int],
        generator: np.random.Generator,
        spacing: float = 1.0,
        periodic: bool = False,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float64,
    ) -> Float[Tensor, "B 1 *S"]:
        """Draw independent fields with this covariance, shape (batch, 1, *size); the embedding is kept.

        Args:
            batch: number of fields B.
            size: the grid, points along each axis.
            generator: NumPy generator; `core.streams.Stream.generator()` gives reproducible ones.
            spacing: distance of neighbouring points, in pixels.
            periodic: whether the field is periodic on the grid.
            device: device of the result.
            dtype: torch.float64 or torch.float32.

        Raises:
            ArgumentError: as `FieldSampler` and its `sample` raise.
            NotPositiveDefinite: no torus was found on which the covariance is one.
        """
        sampler = kept_sampler(self, size, spacing, periodic=periodic)
        return sampler.sample(batch, generator, device=device, dtype=dtype)

    def torus_spectrum(self, size: Sequence[int], spacing: float) -> Float[ndarray, "*M"] | None:
        """Return the eigenvalues of Σⱼ C(τ + Nj) on a torus, in the order of the discrete transform; here None.

        A covariance whose spectrum is its definition, and whose images take long to add up, has them from that.

        Args:
            size: points of the torus along each axis, shape (*M).
            spacing: distance of neighbouring points, in pixels.
        """
        return None

    def wave_quadrature(self, reach: float) -> tuple[Float[ndarray, "d P"], Float[ndarray, "P"]] | None:
        """Return frequencies ω ≥ 0, shape (d, P), and weights w with Σ w f(ω) = (2π)⁻ᵈ ∫ S f dω; here None.

        A covariance that is not isotropic, and whose S ends somewhere, has them for f even along every axis.

        Args:
            reach: lags, in pixels, up to which waves cos(ω·τ) may be a factor of f.
        """
        return None

    @abstractmethod
    def _values(self, lags: Float[ndarray, "N d"]) -> Float[ndarray, "N"]:
        """Return C at lags in pixels."""

    def _mean_over_offsets(self, spread: float) -> float:
        """Return E C(ε) for s > 0."""
        found = mean_over_offset(self.at, self.dim, spread, self.is_isotropic)
        if found is None:
            raise ArgumentError("covariance", expected="one that can be averaged over the offsets", received=self)
        return found

    def __add__(self, other: "CovarianceFunction") -> "CovarianceFunction":
        return SumOfCovariances((self, other))

    def __mul__(self, other: "CovarianceFunction") -> "CovarianceFunction":
        return ProductOfCovariances(self, other)

    def __str__(self) -> str:
        # The whole definition: expressions identify a covariance by this text.
        return definition(self)

    def _parts(self) -> Iterable[str]:
        return (f"{name}={brief(value, 40)}" for name, value in field_values(self) if value is not None)

    def _subtitle(self) -> str:
        return f"on {self.dim} {'axis' if self.dim == 1 else 'axes'}"

    def _card(self) -> Iterable[object]:
        yield html.formula(self._latex, "the formula of C(r)")
        if not self.free_symbols:
            yield self._plot()
        yield fields_table(self)
        yield html.properties(_facts(self))

    def _repr_latex_(self) -> str:
        return rf"$\displaystyle {self._latex}$"

    @property
    def _latex(self) -> str:
        """C(r), along the first axis where it is not isotropic."""
        return f"C(r) = {latex(self.expression(_DISTANCE))}"

    def _plot(self) -> Markup:
        """Return a plot of C(r) up to where it has fallen below a hundredth, or to 64 pixels."""
        lags = np.geomspace(_SHORTEST, _LONGEST, 97)
        near = np.flatnonzero(np.abs(self(lags)) > _NEGLIGIBLE * float(self(0.0)))
        end = lags[min(near[-1] + 1, len(lags) - 1)] if len(near) else 1.0
        distances = np.linspace(0.0, end, 97)
        return html.line_plot(distances, self(distances), x_label="r (pixels)", y_label="C(r)")

    def _along(self, axis: int, order: int) -> list[int]:
        if axis not in range(self.dim):
            raise ArgumentError("axis", expected=f"an axis in 0 … {self.dim - 1}", received=axis)
        return [order * int(i == axis) for i in range(self.dim)]

    def _check_orders(self, orders: Sequence[Any]) -> tuple[int, ...]:
        if len(orders) not in (1, self.dim):
            raise ArgumentError("orders", expected=f"1 or {self.dim} of them", received=len(orders))
        whole = (int(order) if isinstance(order, sp.Integer) else order for order in orders)
        rest = [0] * (self.dim - len(orders))
        return tuple(check_integer("orders", order, least=0, most=100) for order in (*whole, *rest))

    def _check_axes(self, coordinates: Sequence[Any], argument: str) -> tuple[sp.Expr, ...]:
        if len(coordinates) not in (1, self.dim):
            raise ArgumentError(argument, expected=f"1 or {self.dim} coordinates", received=len(coordinates))
        rest = [0] * (self.dim - len(coordinates))
        return tuple(expression(argument, coordinate) for coordinate in (*coordinates, *rest))


@dataclass(frozen=True)
class SumOfCovariances(CovarianceFunction):
    """C₁ + C₂ + …, the covariance of a sum of independent fields.

    Attributes:
        terms: the covariances.
    """

    terms: tuple[CovarianceFunction, ...]

    def __repr__(self) -> str:
        return shortened(" + ".join(map(repr, self.terms)), LONGEST_LINE)

    def __post_init__(self) -> None:
        _check_same_axes(self.terms)

    @property
    def dim(self) -> int:
        """Number of axes."""
        return self.terms[0].dim

    @property
    def is_isotropic(self) -> bool:
        """Whether all terms are."""
        return all(term.is_isotropic for term in self.terms)

    def expression(self, *lag: Any) -> sp.Expr:
        """Return Σ Cᵢ(τ)."""
        return sp.Add(*(term.expression(*lag) for term in self.terms))

    def spectral_density(self, *frequency: Any) -> sp.Expr:
        """Return Σ Sᵢ(ω)."""
        return sp.Add(*(term.spectral_density(*frequency) for term in self.terms))

    def spectral_moment(self, *orders: int) -> sp.Expr:
        """Return the sum of the moments."""
        return sp.Add(*(term.spectral_moment(*orders) for term in self.terms))

    def _values(self, lags: Float[ndarray, "N d"]) -> Float[ndarray, "N"]:
        return reduce(np.add, (term.at(lags) for term in self.terms))

    def _mean_over_offsets(self, spread: float) -> float:
        return math.fsum(term.mean_over_offsets(spread) for term in self.terms)


@dataclass(frozen=True)
class ProductOfCovariances(CovarianceFunction):
    """C₁·C₂, the covariance of a product of independent fields.

    Attributes:
        first: a covariance.
        second: another one.
    """

    first: CovarianceFunction
    second: CovarianceFunction

    def __repr__(self) -> str:
        factors = (
            f"({part!r})" if isinstance(part, SumOfCovariances) else repr(part) for part in (self.first, self.second)
        )
        return shortened(" * ".join(factors), LONGEST_LINE)

    def __post_init__(self) -> None:
        _check_same_axes((self.first, self.second))

    @property
    def dim(self) -> int:
        """Number of axes."""
        return self.first.dim

    @property
    def is_isotropic(self) -> bool:
        """Whether both factors are."""
        return self.first.is_isotropic and self.second.is_isotropic

    def expression(self, *lag: Any) -> sp.Expr:
        """Return C₁(τ) C₂(τ)."""
        return self.first.expression(*lag) * self.second.expression(*lag)

    def spectral_density(self, *frequency: Any) -> sp.Expr:
        """Return (2π)⁻ᵈ (S₁ ∗ S₂)(ω), by the transform of the product.

        Raises:
            ArgumentError: a factor that is not isotropic, or a frequency that is no number.
        """
        coordinates = self._check_axes(frequency, "frequency")
        lengths = [_length_of_factor(factor) for factor in (self.first, self.second)]
        if not all(coordinate.is_number for coordinate in coordinates):
            raise ArgumentError(
                "frequency", expected="numbers: a product has no closed spectral density", received=coordinates
            )
        distance = float(norm(sp.Matrix(coordinates)))
        return sp.Float(transform(lambda r: float(self.first(r) * self.second(r)), distance, self.dim, min(lengths)))

    def spectral_moment(self, *orders: int) -> sp.Expr:
        """Return the moment of a sum of two independent frequencies: Σ ∏ binomial · m₁ · m₂."""
        powers = self._check_orders(orders)
        total: sp.Expr = sp.Integer(0)
        for part in itertools.product(*(range(power + 1) for power in powers)):
            rest = tuple(power - p for power, p in zip(powers, part, strict=True))
            moments = self.first.spectral_moment(*part), self.second.spectral_moment(*rest)
            if 0 not in moments:  # such as odd ones; zero times infinity would not be zero to sympy
                total += math.prod(map(math.comb, powers, part)) * moments[0] * moments[1]
        return total

    def _values(self, lags: Float[ndarray, "N d"]) -> Float[ndarray, "N"]:
        return np.asarray(self.first.at(lags) * self.second.at(lags))


_FARTHEST = 1e6  # pixels
_DISTANCE = sp.Symbol("r", nonnegative=True)
_SHORTEST, _LONGEST, _NEGLIGIBLE = 1e-2, 64.0, 0.01  # of a plot: lags in pixels, and the share of C(0) at its end


def _facts(covariance: CovarianceFunction) -> Iterable[tuple[str, object]]:
    """Yield what is known of a covariance that the parameters do not say."""
    yield "variance C(0)", cell_of(covariance.variance)
    try:
        moment = covariance.second_moment()
    except ArgumentError:  # a model that has no numbers for it
        return
    yield "λ₂, variance of a slope (per pixel²)", "∞: too rough for slopes" if moment == sp.oo else cell_of(moment)


def _numbers(argument: str, values: Any) -> Float[ndarray, "..."]:
    """Return numbers as float64 of their shape.

    Raises:
        ArgumentError: something else.
    """
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError, OverflowError):
        raise ArgumentError(argument, expected="real numbers, in pixels", received=shown(values)) from None


def _length_of_factor(factor: CovarianceFunction) -> float:
    """Return the length of an isotropic factor of a product.

    Raises:
        ArgumentError: a covariance that is not isotropic.
    """
    if not factor.is_isotropic or factor._length is None:
        raise ArgumentError("covariance", expected="isotropic factors of a product", received=factor)
    return factor._length


def _check_same_axes(terms: Sequence[CovarianceFunction]) -> None:
    for term in terms:
        if not isinstance(term, CovarianceFunction):
            raise ArgumentError("other", expected="a covariance", received=repr(term))
    if len({term.dim for term in terms}) > 1:
        raise ArgumentError(
            "other", expected=f"a covariance on {terms[0].dim} axes", received=f"one on {terms[1].dim} axes"
        )
