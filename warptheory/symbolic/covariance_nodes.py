"""Expressions in the covariance of a field: its values, its spectral moments, and moments of Gaussian fields."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import sympy as sp
from numpy import ndarray

from warptheory.core.errors import ArgumentError
from warptheory.core.expressions import as_argument
from warptheory.fields import CovarianceFunction
from warptheory.kernels import FractionSymbol
from warptheory.symbolic._display import written
from warptheory.symbolic.input_fields import GaussianField
from warptheory.symbolic.nodes import Node, Opaque, pairings
from warptheory.symbolic.quadrature import Environment, Evaluate
from warptheory.symbolic.values import Argument


class FieldCovariance(Node):
    """A derivative of c(Δ) = C(hΔ), the covariance of a Gaussian field at a lag of Δ pixels: args (field, Δ, orders).

    Made by `field_covariance`.
    """

    field = Argument[GaussianField](0)
    lag = Argument[sp.Tuple](1)

    @property
    def orders(self) -> tuple[int, ...]:
        """Order of the derivative along each axis."""
        return tuple(map(int, self.args[2]))

    def inserted(self) -> sp.Expr:
        """Return the value for the field's covariance, the node itself for any covariance, or one without a formula."""
        covariance, spacing = self.field.covariance, self.field.spacing
        if covariance is None:
            return self
        try:
            if not any(self.orders):
                return covariance.expression(*(spacing * part for part in self.lag))
            derivative = _covariance_derivative(covariance, spacing, self.orders)
        except ArgumentError:
            return self
        return derivative.xreplace(dict(zip(_lag_symbols(len(self.lag)), self.lag, strict=True)))

    def display(self, *, latex: bool) -> sp.Expr:
        """Return hᵏ C⁽ᵒʳᵈᵉʳˢ⁾(hΔ)."""
        order = "".join(map(str, self.orders)) if any(self.orders) else ""
        name = covariance_name(self.field, latex=latex) + (f"^({order})" if order else "")
        spacing = self.field.spacing
        return spacing ** sum(self.orders) * sp.Function(name)(*(spacing * part for part in self.lag))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Evaluate the covariance; lags may be arrays."""
        covariance = self._known_covariance()
        lag = np.stack(np.broadcast_arrays(*(evaluate(part, environment) for part in self.lag)), axis=-1).astype(float)
        given = {symbol.name: environment[symbol] for symbol in covariance.free_symbols}
        if any(self.orders):
            symbols = _lag_symbols(len(self.lag))
            own = {symbol: environment[symbol] for symbol in covariance.free_symbols | self.field.spacing.free_symbols}
            derivative = _covariance_derivative(covariance, self.field.spacing, self.orders)
            compiled = sp.lambdify(symbols, derivative.subs(own), ["scipy", "numpy"])
            return np.broadcast_to(compiled(*np.moveaxis(lag, -1, 0)), lag.shape[:-1])
        # A lone coordinate counts along the first axis, as in expressions.
        rest = np.zeros((*lag.shape[:-1], covariance.dim - lag.shape[-1]))
        spacing = float(evaluate(self.field.spacing, environment))
        return covariance.subs(given).at(spacing * np.concatenate([lag, rest], axis=-1))

    def _known_covariance(self) -> CovarianceFunction:
        if self.field.covariance is None:
            raise ArgumentError("expression", expected="fields whose covariance is given", received=str(self))
        return self.field.covariance


class SpectralMoment(Node):
    """(2π)⁻ᵈ ∫ S(ω) ∏ ωᵢ^orderᵢ dω of a Gaussian field, per unit of length: args (field, orders).

    λ₂ for (2, 0), λ₂₂ for (2, 2). Made by `field_covariance`, for derivatives at lag zero.
    """

    field = Argument[GaussianField](0)

    @property
    def orders(self) -> tuple[int, ...]:
        """The power of each frequency."""
        return tuple(map(int, self.args[1]))

    @property
    def free_symbols(self) -> set[sp.Symbol]:
        """Symbols of the covariance."""
        return self.field.covariance_symbols

    def inserted(self) -> sp.Expr:
        """Return the moment of the field's covariance, ∞ for a rough field; the node itself for any covariance."""
        if self.field.covariance is None:
            return self
        return self.field.covariance.spectral_moment(*self.orders)

    def display(self, *, latex: bool) -> sp.Expr:
        """Return λ with the orders as its index."""
        digits = "".join(str(order) for order in self.orders if order) or "0"
        is_plain = tuple(sorted(self.orders, reverse=True)) == self.orders and _is_isotropic(self.field)
        name = "lambda_" + (digits if is_plain else "".join(map(str, self.orders)))
        if self.field.name == "x":
            return sp.Symbol(name, positive=True)
        return sp.Symbol(f"{written(name, latex=latex)}({written(self.field.name, latex=latex)})", positive=True)

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Return the moment, a scalar."""
        if self.field.covariance is None:
            raise ArgumentError("expression", expected="fields whose covariance is given", received=str(self))
        return float(evaluate(self.inserted(), environment))


def field_covariance(field: GaussianField, lag: Sequence[Any], orders: Sequence[int] = ()) -> sp.Expr:
    """Return ∂^orders c(Δ), c(Δ) = C(hΔ), as a node; at lag zero hᵏ times a spectral moment with its sign, or 0.

    Args:
        field: the field.
        lag: Δ in pixels, a coordinate per axis; of lags that an isotropic field cannot tell apart one is taken.
        orders: order of the derivative along each axis; none for C itself.
    """
    dim = len(lag) if field.covariance is None else field.covariance.dim
    lag = (*map(as_argument, lag), *[sp.Integer(0)] * (dim - len(lag)))
    orders = (*orders, *[0] * (dim - len(orders)))
    if any(part != 0 for part in lag) or not any(orders):
        sign, lag = _representative(field, lag, orders)
        return sign * FieldCovariance(Opaque(field), sp.Tuple(*lag), sp.Tuple(*orders))
    if (any(order % 2 for order in orders) and _is_isotropic(field)) or sum(orders) % 2:
        return sp.Integer(0)
    known = sorted(orders, reverse=True) if _is_isotropic(field) else orders
    moment = SpectralMoment(Opaque(field), sp.Tuple(*known))
    return sp.Integer(-1) ** (sum(orders) // 2) * field.spacing ** sum(orders) * moment


class GaussianMoment(Node):
    """E ∏ᵢ ∂^ordersᵢ x[mᵢ] of a Gaussian field: args (field, point₁, point₂, …), a point a tuple (m, orders).

    Derivatives are per pixel.
    """

    args: tuple[Any, ...]
    field = Argument[GaussianField](0)

    @property
    def free_symbols(self) -> set[sp.Symbol]:
        """Symbols of the points, of the mean, the spacing and the covariance."""
        return super().free_symbols | self.field.mean.free_symbols

    def display(self, *, latex: bool) -> sp.Expr:
        """Return E(x[m₁] x[m₂] …)."""
        return sp.Function("E")(sp.Mul(*(self._point(place, orders) for place, orders in self.args[1:])))

    def _point(self, place: sp.Tuple, orders: sp.Tuple) -> sp.Expr:
        derivative = "∂" + "".join(map(str, orders)) if any(orders) else ""
        return sp.Indexed(sp.IndexedBase(derivative + self.field.name), *place)

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Sum over the pairings of the pixels, those left over giving the mean (Wick's theorem)."""
        return np.asarray(evaluate(self.by_pairs(), environment), dtype=float)

    def by_pairs(self) -> sp.Expr:
        """Return Σ over pairings of ∏ C(mᵢ − mⱼ) times the mean of what is left over."""
        total: sp.Expr = sp.Integer(0)
        for blocks in pairings(tuple(range(len(self.args) - 1))):
            total += sp.Mul(*(self._block([self.args[1 + i] for i in block]) for block in blocks))
        return total

    def _block(self, points: Sequence[sp.Tuple]) -> sp.Expr:
        if len(points) == 1:
            return sp.Integer(0) if any(points[0][1]) else self.field.mean
        return point_covariance(self.field, *points)


def point_covariance(field: GaussianField, first: sp.Tuple, second: sp.Tuple) -> sp.Expr:
    """Return Cov(∂ᵃx[m], ∂ᵇx[m′]) = (−1)^|a| ∂^(a + b) c(m′ − m) for two points (m, a), (m′, b)."""
    (place, orders), (other, other_orders) = first, second
    lag = [sp.expand(b - a) for a, b in zip(place, other, strict=True)]
    together = [int(a + b) for a, b in zip(orders, other_orders, strict=True)]
    return sp.Integer(-1) ** int(sum(orders)) * field_covariance(field, lag, together)


def known_covariances(expression: sp.Expr) -> sp.Expr:
    """Insert the covariances, and their spectral moments, of Gaussian fields that have one."""
    inserted = {node: node.inserted() for node in expression.atoms(FieldCovariance, SpectralMoment)}
    return expression.xreplace(inserted).replace(sp.Abs, _absolute)


def _absolute(argument: sp.Expr) -> sp.Expr:
    """Return |u|; without the bars where u is linear in one fraction and of one sign in (0, 1)."""
    symbols = argument.free_symbols
    if len(symbols) != 1 or not isinstance(next(iter(symbols)), FractionSymbol):
        return sp.Abs(argument)
    (fraction,) = symbols
    ends = [argument.subs(fraction, end) for end in (0, 1)]
    if sp.diff(argument, fraction, 2) != 0 or ends[0] * ends[1] < 0:
        return sp.Abs(argument)
    return argument if max(ends) > 0 else -argument


def covariance_name(field: GaussianField, *, latex: bool, letter: str = "C") -> str:
    """Return C for the field x, and C with the field's name for others; another letter for what belongs to C."""
    return letter if field.name == "x" else f"{letter}_{written(field.name, latex=latex)}"


def _representative(
    field: GaussianField, lag: tuple[sp.Expr, ...], orders: tuple[int, ...]
) -> tuple[int, tuple[sp.Expr, ...]]:
    """Return a lag at which a derivative has the same size, and the sign by which it differs.

    A covariance is even; of an isotropic field it is so along every axis, and does not tell the axes apart.
    """
    if not _is_isotropic(field):
        is_turned = _is_negative(next((part for part in lag if part != 0), sp.Integer(0)))
        return (-1) ** (sum(orders) * is_turned), tuple(-part if is_turned else part for part in lag)
    turned = [_is_negative(part) for part in lag]
    sign = (-1) ** sum(order for order, is_turned in zip(orders, turned, strict=True) if is_turned)
    lag = tuple(-part if is_turned else part for part, is_turned in zip(lag, turned, strict=True))
    if not any(orders) and all(part.is_number for part in lag):
        lag = tuple(sorted(lag, reverse=True))
    return sign, lag


def _is_negative(part: sp.Expr) -> bool:
    """Whether a coordinate is turned round: one below zero, for fractions in (0, 1), or by its leading sign."""
    symbols = part.free_symbols
    if symbols and all(isinstance(symbol, FractionSymbol) for symbol in symbols):
        middle = part.subs(dict.fromkeys(symbols, sp.Rational(1, 2)))
        if middle != 0:
            return bool(middle < 0)
    return bool(part.could_extract_minus_sign())


def _is_isotropic(field: GaussianField) -> bool:
    return field.covariance is None or field.covariance.is_isotropic


@cache
def _lag_symbols(dim: int) -> tuple[sp.Symbol, ...]:
    return tuple(sp.Symbol(f"tau_{axis + 1}", real=True) for axis in range(dim))


@cache
def _covariance_derivative(covariance: CovarianceFunction, spacing: sp.Expr, orders: tuple[int, ...]) -> sp.Expr:
    """Return a derivative of C(hΔ) in Δ, as an expression in the symbols of Δ."""
    symbols = _lag_symbols(len(orders))
    value = covariance.expression(*(spacing * symbol for symbol in symbols))
    for symbol, order in zip(symbols, orders, strict=True):
        value = sp.diff(value, symbol, order)
    return value
