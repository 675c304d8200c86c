"""Covariances that depend on the length of the lag alone, after a linear map of it where they are anisotropic."""

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import sympy as sp
from jaxtyping import Float
from numpy import ndarray

from warptheory.core.checks import check_integer
from warptheory.core.errors import ArgumentError
from warptheory.core.expressions import number, positive, real
from warptheory.fields import radial_transforms
from warptheory.fields.covariance._covariance import CovarianceFunction
from warptheory.fields.parameters import check_dim

RADIUS = sp.Dummy("r", nonnegative=True)
WAVENUMBER = sp.Dummy("k", nonnegative=True)

MOST_ORDER = 100  # of a spectral moment
_LARGE = 1e9  # 1 + x² is x² there


def log_one_plus_square(x: Float[ndarray, "*N"] | float) -> Float[ndarray, "*N"] | float:
    """Return log(1 + x²), x ≥ 0, shape (*N), exact for small x, and where x² overflows."""
    return np.where(x < _LARGE, np.log1p(np.square(np.minimum(x, _LARGE))), 2 * np.log(np.maximum(x, _LARGE)))


Matrix = Sequence[Sequence[Any]]


@dataclass(frozen=True)
class RadialCovariance(CovarianceFunction):
    """C(τ) = σ² ρ(|Aτ|) with A the identity, or the anisotropy.

    A model defines its correlation ρ; spectral density, spectral moments and integral scale follow by
    quadrature, and are overridden where they have closed forms.

    Attributes:
        length: the length ℓ of the correlation, in pixels; a number or a sympy expression.
        variance: σ² = C(0).
        dim: number d of axes, 1, 2 or 3.
        anisotropy: an invertible d × d matrix A, rows first, or None: the lag τ counts as long as Aτ, so
            ((1, 0), (0, 2)) halves the length along the second axis.

    Raises:
        ArgumentError: a length or variance that is not positive, another number of axes, a singular matrix.
    """

    length: sp.Expr | Any = 1
    variance: sp.Expr | Any = 1
    dim: int = 2
    anisotropy: Matrix | None = None

    def __post_init__(self) -> None:
        for name in ("length", "variance"):
            object.__setattr__(self, name, positive(name, getattr(self, name)))
        check_dim(self.dim)
        if self.anisotropy is not None:
            object.__setattr__(self, "anisotropy", _matrix(self.anisotropy, self.dim))

    @abstractmethod
    def correlation(self, distance: sp.Expr) -> sp.Expr:
        """Return ρ at a distance in pixels, ρ(0) = 1."""

    def radial_spectrum(self, wavenumber: sp.Expr) -> sp.Expr:
        """Return S(|ω|)/σ² of the isotropic field, in pixelsᵈ; here by quadrature, for numbers only."""
        if not real("frequency", wavenumber).is_number:
            raise ArgumentError(
                "frequency", expected=f"numbers: {self} has no closed spectral density", received=wavenumber
            )
        return sp.Float(radial_transforms.transform(self._correlation, float(wavenumber), self.dim, self._length))

    @property
    def integral_scale(self) -> sp.Expr:
        """∫₀^∞ ρ(r) dr in pixels, half the spectral density of a line through the field at frequency zero."""
        return sp.Float(radial_transforms.transform(self._correlation, 0.0, 1, self._length) / 2)

    def expression(self, *lag: Any) -> sp.Expr:
        """Return C(τ) as a sympy expression; arguments and errors as in `CovarianceFunction`."""
        distance = radial_transforms.norm(self._map * sp.Matrix(self._check_axes(lag, "lag")))
        return self.variance * self.correlation(distance)

    def spectral_density(self, *frequency: Any) -> sp.Expr:
        """Return S(ω) = σ² S₁(|A⁻ᵀω|)/|det A|; arguments and errors as in `CovarianceFunction`."""
        inverse = self._map.inv().T
        wavenumber = radial_transforms.norm(inverse * sp.Matrix(self._check_axes(frequency, "frequency")))
        return self.variance * self.radial_spectrum(wavenumber) / sp.Abs(self._map.det())

    def spectral_moment(self, *orders: int) -> sp.Expr:
        """Return the moment; with ω = Aᵀω′ it is a polynomial in those of the isotropic field."""
        orders = self._check_orders(orders)
        isotropic = sp.symbols(f"omega_1:{self.dim + 1}", real=True)
        mapped = self._map.T * sp.Matrix(isotropic)
        polynomial = sp.Poly(sp.Mul(*(w**order for w, order in zip(mapped, orders, strict=True))), *isotropic)
        total = sp.Integer(0)
        for powers, coefficient in polynomial.terms():
            mean = radial_transforms.mean_over_sphere(powers)
            if mean != 0:
                total += coefficient * mean * self.radial_moment(sum(powers))
        return self.variance * total

    def radial_moment(self, order: int) -> sp.Expr:
        """Return (2π)⁻ᵈ ∫ S₁ |ω|^order dω of the isotropic field of variance one, ∞ where it diverges."""
        check_integer("order", order, least=0, most=MOST_ORDER)
        along = (order, *[0] * (self.dim - 1))
        found = radial_transforms.moment(self._spectrum, along, self._length)
        return sp.oo if math.isinf(found) else sp.Float(found) / radial_transforms.mean_over_sphere(along)

    @property
    def is_isotropic(self) -> bool:
        """Whether C depends on |τ| alone: without an anisotropy, or with a multiple of a rotation."""
        if self.anisotropy is None:
            return True
        squares = self._map.T * self._map
        return bool(squares == squares[0, 0] * sp.eye(self.dim))

    def _values(self, lags: Float[ndarray, "N d"]) -> Float[ndarray, "N"]:
        distances = _lengths(lags @ self._transposed_map)
        # Equal distances are many on a grid, and a Bessel function takes a microsecond.
        different, places = np.unique(distances, return_inverse=True)
        return np.asarray(self._number("variance") * self._correlation(different)[places])

    @property
    def _map(self) -> sp.Matrix:
        return sp.eye(self.dim) if self.anisotropy is None else sp.Matrix(self.anisotropy)

    @cached_property
    def _transposed_map(self) -> Float[ndarray, "d d"]:
        return np.array(self._map.T, dtype=float)

    @property
    def _length(self) -> float:
        return self._number("length")

    def _number(self, name: str) -> float:
        return number(name, getattr(self, name))

    @cached_property
    def _correlation(self) -> Callable[[Any], Any]:
        """ρ of distances in pixels, compiled."""
        expression = self.correlation(RADIUS)
        if expression.free_symbols - {RADIUS}:
            names = ", ".join(sorted(map(str, expression.free_symbols - {RADIUS})))
            raise ArgumentError("covariance", expected="numbers for all parameters, to compute with", received=names)
        compiled = sp.lambdify([RADIUS], expression, ["scipy", "numpy"])

        def value(distance: Any) -> Any:
            # A branch that is not taken may overflow or be 0·∞.
            with np.errstate(all="ignore"):
                return np.broadcast_to(compiled(np.asarray(distance, dtype=float)), np.shape(distance)) * 1.0

        return value

    @cached_property
    def _spectrum(self) -> Callable[[float], float]:
        """S₁ of wavenumbers, compiled where it has a closed form."""
        try:
            expression = self.radial_spectrum(WAVENUMBER)
        except ArgumentError:
            return lambda wavenumber: float(self.radial_spectrum(sp.Float(wavenumber)))
        compiled = sp.lambdify([WAVENUMBER], expression, ["scipy", "numpy"])
        return lambda wavenumber: float(compiled(wavenumber))


def _matrix(entries: Matrix, dim: int) -> tuple[tuple[sp.Expr, ...], ...]:
    try:
        rows = tuple(tuple(real("anisotropy", entry) for entry in row) for row in _rows(entries))
    except TypeError:
        rows = ()
    if len(rows) != dim or any(len(row) != dim for row in rows):
        raise ArgumentError("anisotropy", expected=f"a {dim} × {dim} matrix", received=repr(entries))
    if sp.Matrix(rows).det() == 0:
        raise ArgumentError("anisotropy", expected="an invertible matrix", received=entries)
    return rows


def _rows(entries: Any) -> Any:
    """Return the rows of a matrix, which may be one of SymPy."""
    return entries.tolist() if isinstance(entries, sp.MatrixBase) else entries


def _lengths(vectors: Float[ndarray, "N d"]) -> Float[ndarray, "N"]:
    """Return the Euclidean lengths, also where squares overflow or underflow: powers of two are taken out first."""
    exponents = np.frexp(np.abs(vectors).max(axis=-1))[1]
    return np.asarray(np.ldexp(np.linalg.norm(np.ldexp(vectors, -exponents[:, None]), axis=-1), exponents))
