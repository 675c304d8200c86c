"""Integrals against a normal density and its derivatives in closed form, cell by cell, and over whole axes.

Between the pixels j and j + 1 a compact kernel of polynomial pieces makes every function here a polynomial g in the
fraction f = u − j. Integration by parts moves derivatives from the density q back onto it,

    ∫ G q⁽ʳ⁾ = −Σ over knots of Σ_{s<r} (−1)ˢ [g⁽ˢ⁾] q⁽ʳ⁻¹⁻ˢ⁾ + (−1)ʳ Σ over cells of ∫ g⁽ʳ⁾ q,

[g] the jump at a knot, and ∫ fᵖ q over a cell follows from Φ and q at its ends. Along independent axes integrals are
products. Functions of period one are averaged by Poisson summation, those that are Gaussian themselves at once.
"""

import itertools
from collections.abc import Iterator, Sequence
from functools import lru_cache

import sympy as sp

from warptheory.kernels import FRACTION, Kernel, NoClosedFormError, PeriodicFunction
from warptheory.symbolic.averages import closed_average
from warptheory.symbolic.covariance_nodes import FieldCovariance
from warptheory.symbolic.gaussian import gaussian_mean, normal_density
from warptheory.symbolic.head_nodes import CellMoment, CellSum, DensityIntegral, MovingCovariance
from warptheory.symbolic.nodes import KernelValue, OffsetAverage, Opaque, TapSum
from warptheory.symbolic.offset_fields import OffsetField

_CELL = sp.Symbol("j", integer=True)
_HIGHEST_POWER = 2  # of the fraction, whose mean over a cell is written with Φ and q
_Polynomial = Sequence[sp.Expr]  # coefficients of a polynomial in the fraction, by their powers
_Piece = tuple[sp.Expr, sp.Expr, _Polynomial]  # from, to, the polynomial


class _LeftOpenError(Exception):
    """An integral that has no closed form here; it is left as it is, and has a number by quadrature."""


def closed_integrals(expression: sp.Expr) -> sp.Expr:
    """Replace integrals against a density by closed forms, where they have one."""
    return expression.replace(lambda node: isinstance(node, DensityIntegral), _closed)


def gaussian_integrals(expression: sp.Expr) -> sp.Expr:
    """Replace integrals of polynomials times Gaussians against a density, where covariances are inserted."""
    return expression.replace(lambda node: isinstance(node, DensityIntegral), _closed_gaussian)


def _closed(node: DensityIntegral) -> sp.Expr:
    moving = {each: each.explicit() for each in node.body.atoms(MovingCovariance)}
    body = node.body.xreplace(moving)
    if any(each.kernel is None for each in moving):
        return node.with_body(body)
    try:
        if len(node.symbols) == 1:
            return _on_line(body, node.symbols[0], node.means[0], node.covariance[0][0], node.orders[0])
        return _along_axes(node, body)
    except (_LeftOpenError, NoClosedFormError):
        return node


def _along_axes(node: DensityIntegral, body: sp.Expr) -> sp.Expr:
    """Return the integral as a sum of products of integrals along the axes, where components are independent.

    Raises:
        _LeftOpenError: dependent components, or factors that depend on several of them.
    """
    rows = node.covariance
    if any(rows[i][k] != 0 for i, k in itertools.combinations(range(len(rows)), 2)):
        raise _LeftOpenError
    total: sp.Expr = sp.Integer(0)
    for term in sp.Add.make_args(sp.expand(body)):
        product: sp.Expr = sp.Integer(1)
        rest = term
        for axis, symbol in enumerate(node.symbols):
            rest, factor = rest.as_independent(symbol, as_Add=False)
            if factor.free_symbols & set(node.symbols) - {symbol}:
                raise _LeftOpenError
            product *= _on_line(factor, symbol, node.means[axis], rows[axis][axis], node.orders[axis])
        total += rest * product
    return total


@lru_cache(maxsize=4096)
def _on_line(body: sp.Expr, symbol: sp.Symbol, mean: sp.Expr, variance: sp.Expr, order: int) -> sp.Expr:
    """Return ∫ F(u) q⁽ʳ⁾(u) du along one axis.

    Raises:
        _LeftOpenError: no closed form.
        NoClosedFormError: a functional of the kernel has none.
    """
    body = sp.expand(body)
    cells: sp.Expr = sp.Integer(0)
    total: sp.Expr = sp.Integer(0)
    for term in sp.Add.make_args(body):
        if symbol not in term.free_symbols:
            total += term if order == 0 else 0
        elif term.atoms(KernelValue, MovingCovariance):
            cells += term
        else:
            total += _periodic(term, symbol, mean, variance, order)
    return total + (_over_cells(cells, symbol, mean, variance, order) if cells != 0 else 0)


def _periodic(body: sp.Expr, symbol: sp.Symbol, mean: sp.Expr, variance: sp.Expr, order: int) -> sp.Expr:
    """Integrate a function of period one; a derivative of the density is minus one in its mean."""
    centre = sp.Dummy(real=True) if order else mean
    offsets = OffsetField("normal", location=centre, scale=sp.sqrt(variance), name=symbol.name)
    node = OffsetAverage(body, Opaque(offsets))
    found = closed_average(node)
    if found == node:
        raise _LeftOpenError
    if not order:
        return found
    return sp.Integer(-1) ** order * sp.diff(found, centre, order).xreplace({centre: mean})


# ---------------------------------------------------------------------------- cell by cell


def _over_cells(body: sp.Expr, symbol: sp.Symbol, mean: sp.Expr, variance: sp.Expr, order: int) -> sp.Expr:
    """Sum over the cells that kernels reach: finitely many for independent pixels, else all, as a node."""
    read = body.atoms(KernelValue)
    if not read:
        return CellSum(_of_cell(body, symbol, _CELL, mean, variance, order), _CELL, mean, variance)
    # Every term has a factor of finite support.
    reach = [cell for node in read for cell in _support(node, symbol)]
    cells = range(min(reach), max(reach) + 2)
    return sp.expand(sp.Add(*(_of_cell(body, symbol, sp.Integer(j), mean, variance, order) for j in cells)))


def _support(node: KernelValue, symbol: sp.Symbol) -> Iterator[int]:
    """Yield the cells in which a value of the kernel is not zero."""
    if not node.kernel.is_compact:
        raise _LeftOpenError
    move = _whole_move(node.args[2], symbol)
    yield from (tap - move for tap in node.kernel.taps)
    yield from (-tap - move for tap in node.kernel.taps)


def _whole_move(position: sp.Expr, symbol: sp.Symbol) -> int:
    """Return the whole pixels e of a position u + e.

    Raises:
        _LeftOpenError: another position.
    """
    move = sp.expand(position - symbol)
    if not move.is_Integer:
        raise _LeftOpenError
    return int(move)


def _of_cell(body: sp.Expr, symbol: sp.Symbol, cell: sp.Expr, mean: sp.Expr, variance: sp.Expr, order: int) -> sp.Expr:
    """Return what one cell adds: the integrals over its pieces, and the jumps at its lower end and inside."""
    names = _Names()
    pieces, before = (_pieces(body, symbol, place, names) for place in (cell, cell - 1))
    total: sp.Expr = sp.Integer(0)
    # Where cells are numbers many terms cancel in their sum, which says more than factors do.
    tidied = sp.expand if cell.is_number else sp.factor
    left, shift = before[-1][2], sp.Integer(1)  # the piece below ends one pixel on, in its own fraction
    for low, high, polynomial in pieces:
        for derivative in range(order):
            jump = _derived(polynomial, derivative, low) - _derived(left, derivative, low + shift)
            density = _density(cell + low, mean, variance, order - 1 - derivative)
            total -= sp.Integer(-1) ** derivative * names.inserted(tidied(jump)) * density
        for power, coefficient in enumerate(_derivative(polynomial, order)):
            if coefficient != 0:
                moment = _moment(power, cell, low, high, mean, variance)
                total += sp.Integer(-1) ** order * names.inserted(tidied(coefficient)) * moment
        left, shift = polynomial, sp.Integer(0)
    return total


def _derivative(polynomial: _Polynomial, order: int) -> _Polynomial:
    return [sp.ff(power, order) * polynomial[power] for power in range(order, len(polynomial))]


def _derived(polynomial: _Polynomial, order: int, at: sp.Expr) -> sp.Expr:
    """Return a derivative of a polynomial at a point."""
    return sp.Add(*(at**power * part for power, part in enumerate(_derivative(polynomial, order))))


class _Names:
    """Names for covariances while polynomials of them are expanded and factored, which is slow with long ones."""

    def __init__(self) -> None:
        self._names: dict[sp.Expr, sp.Dummy] = {}

    def of(self, value: sp.Expr) -> sp.Expr:
        """Return a value with a name in the place of each term, but for its numerical factor."""
        if value.is_number:
            return value
        parts = (term.as_independent(*value.free_symbols, as_Add=False) for term in sp.Add.make_args(value))
        return sp.Add(*(number * self._names.setdefault(rest, sp.Dummy(real=True)) for number, rest in parts))

    def inserted(self, expression: sp.Expr) -> sp.Expr:
        """Return an expression with the values in the place of their names."""
        return expression.xreplace({name: value for value, name in self._names.items()})


def _density(at: sp.Expr, mean: sp.Expr, variance: sp.Expr, order: int) -> sp.Expr:
    """Return q⁽ᵒʳᵈᵉʳ⁾ at a point, by q⁽ʳ⁺¹⁾ = −(u − l) q⁽ʳ⁾/s² − r q⁽ʳ⁻¹⁾/s²."""
    rate = (mean - at) / variance
    before: sp.Expr = sp.Integer(0)
    factor: sp.Expr = sp.Integer(1)
    for done in range(order):
        before, factor = factor, rate * factor - done * before / variance
    return factor * normal_density(at, mean, variance)


def _moment(power: int, cell: sp.Expr, low: sp.Expr, high: sp.Expr, mean: sp.Expr, variance: sp.Expr) -> sp.Expr:
    """Return M_p = ∫ fᵖ q du from j + low to j + high, f = u − j; of high powers, in which much cancels, the node.

    M_p = (l − j) M_{p−1} + (p − 1) s² M_{p−2} − s² [fᵖ⁻¹ q].
    """
    if power > (_HIGHEST_POWER if cell.is_number else 0):
        return CellMoment(sp.Integer(power), cell, low, high, mean, variance)
    if power == 0:
        shares = [sp.erf((cell + end - mean) / sp.sqrt(2 * variance)) / 2 for end in (low, high)]
        return shares[1] - shares[0]
    lower, upper = (end ** (power - 1) * normal_density(cell + end, mean, variance) for end in (low, high))
    before = _moment(power - 1, cell, low, high, mean, variance)
    earlier = (power - 1) * _moment(power - 2, cell, low, high, mean, variance) if power > 1 else sp.Integer(0)
    return (mean - cell) * before + variance * (earlier - upper + lower)


def _pieces(body: sp.Expr, symbol: sp.Symbol, cell: sp.Expr, names: _Names) -> list[_Piece]:
    """Return an expression as polynomials in the fraction on the pieces of a cell, with names for covariances."""
    nodes = body.atoms(KernelValue, TapSum, MovingCovariance)
    functions = {node: _on_cell(node, symbol, cell, names) for node in nodes if symbol in node.free_symbols}
    edges = sorted({edge for function in functions.values() for part in function.cells for edge in part[:2]})
    found = []
    for low, high in itertools.pairwise(edges):
        expression = sp.expand(body.xreplace({node: each.on(low, high) for node, each in functions.items()}))
        if not expression.is_polynomial(FRACTION) or symbol in expression.free_symbols:
            raise _LeftOpenError
        found.append((low, high, _coefficients(expression)))
    return found


def _coefficients(expanded: sp.Expr) -> _Polynomial:
    """Return the coefficients of a polynomial in the fraction that is written as a sum of products."""
    terms: dict[int, list[sp.Expr]] = {}
    for term in sp.Add.make_args(expanded):
        coefficient, power = term.as_coeff_exponent(FRACTION)
        terms.setdefault(int(power), []).append(coefficient)
    return [sp.Add(*terms.get(power, ())) for power in range(max(terms) + 1)]


def _on_cell(node: sp.Expr, symbol: sp.Symbol, cell: sp.Expr, names: _Names) -> PeriodicFunction:
    """Return a node on the cell j ≤ u < j + 1 as a function of the fraction."""
    if isinstance(node, TapSum):
        _whole_move(node.position, symbol)
        return node.function
    if isinstance(node, KernelValue):
        move = _whole_move(node.args[2], symbol)
        return _tap_on_cell(node.kernel, int(node.args[1]), -move - int(cell))
    axes = [(_whole_move(place, symbol), order) for place, order in zip(node.place, node.orders, strict=True)]
    terms = []
    for taps in itertools.product(node.kernel.taps, repeat=len(axes)):
        read = tuple(cell + move + tap for (move, _), tap in zip(axes, taps, strict=True))
        weight = PeriodicFunction.constant(names.of(node.fixed.covariance(read, (0,) * len(read))))
        for (_, order), tap in zip(axes, taps, strict=True):
            weight = weight * _tap_on_cell(node.kernel, order, tap)
        terms.append(weight)
    return PeriodicFunction.sum(terms)


def _tap_on_cell(kernel: Kernel, order: int, tap: int) -> PeriodicFunction:
    """Return k⁽ᵒʳᵈᵉʳ⁾(f − tap), zero beyond the kernel's taps."""
    if tap not in kernel.taps:
        return PeriodicFunction.constant(sp.Integer(0))
    return kernel.taps[tap].product_of_derivatives([order])


# ---------------------------------------------------------------------------- Gaussians


def _closed_gaussian(node: DensityIntegral) -> sp.Expr:
    if node.body.atoms(FieldCovariance, MovingCovariance, KernelValue, TapSum):
        return node
    try:
        return sp.Add(*(_gaussian_term(node, term) for term in sp.Add.make_args(sp.expand(node.body))))
    except _LeftOpenError:
        return node


def _gaussian_term(node: DensityIntegral, term: sp.Expr) -> sp.Expr:
    """Return ∫ of a polynomial times a Gaussian times a derivative of the density.

    Raises:
        _LeftOpenError: another function, or a quadratic form that mixes the axes.
    """
    symbols, covariance = node.symbols, sp.Matrix(node.covariance)
    deviations = sp.Matrix([u - mean for u, mean in zip(symbols, node.means, strict=True)])
    exponent = -(deviations.T * covariance.inv() * deviations)[0] / 2
    polynomial = _hermite(exponent, symbols, node.orders)
    for factor in sp.Mul.make_args(term):
        if isinstance(factor, sp.exp):
            exponent += factor.args[0]
        else:
            polynomial *= factor
    form = sp.Poly(exponent, *symbols) if exponent.is_polynomial(*symbols) else None
    if form is None or form.total_degree() > 2 or not polynomial.is_polynomial(*symbols):
        raise _LeftOpenError
    curvatures = [sp.factor(-sp.diff(exponent, symbol, 2)) for symbol in symbols]
    if any(sp.expand(sp.diff(exponent, *pair)) != 0 for pair in itertools.combinations(symbols, 2)):
        raise _LeftOpenError
    origin = dict.fromkeys(symbols, sp.Integer(0))
    slopes = [sp.diff(exponent, symbol).xreplace(origin) for symbol in symbols]
    centres = [sp.factor(slope / curvature) for slope, curvature in zip(slopes, curvatures, strict=True)]
    height = exponent.xreplace(origin) + sp.Add(*(s * c / 2 for s, c in zip(slopes, centres, strict=True)))
    shifted = {u: u + centre for u, centre in zip(symbols, centres, strict=True)}
    moment = gaussian_mean(sp.expand(polynomial.xreplace(shifted)), _inverted(symbols, curvatures))
    scale = sp.sqrt(sp.factor(covariance.det() * sp.Mul(*curvatures)))
    return sp.exp(sp.factor(height)) * sp.factor(moment) / scale


def _hermite(exponent: sp.Expr, symbols: Sequence[sp.Symbol], orders: Sequence[int]) -> sp.Expr:
    """Return what a derivative of exp(E) has as a factor of exp(E)."""
    polynomial: sp.Expr = sp.Integer(1)
    for symbol, order in zip(symbols, orders, strict=True):
        for _ in range(order):
            polynomial = sp.diff(polynomial, symbol) + polynomial * sp.diff(exponent, symbol)
    return polynomial


def _inverted(symbols: Sequence[sp.Symbol], curvatures: Sequence[sp.Expr]) -> dict[sp.Symbol, sp.Expr]:
    return {symbol: 1 / curvature for symbol, curvature in zip(symbols, curvatures, strict=True)}
