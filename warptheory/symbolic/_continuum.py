"""Rewriting rules for Gaussian fields that are also read between their pixels, one per step.

Values at pixels, at points, composed with offsets and warped through kernels are all sums over places of weights times
the field there, so that Wick's theorem makes their moments sums of covariances at the lags between places. Slopes of
composed fields are taken apart by the chain rule first.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import sympy as sp

from warptheory.fields import CovarianceFunction, White
from warptheory.symbolic._terms import Group, OffsetVariable, whole_index
from warptheory.symbolic.averages import covers_pixels
from warptheory.symbolic.composition import (
    ComposedField,
    ComposedValue,
    OffsetSlope,
    SlopeValue,
    is_of_continuum,
)
from warptheory.symbolic.covariance_nodes import GaussianMoment, field_covariance, point_covariance
from warptheory.symbolic.input_fields import GaussianField, PixelValue
from warptheory.symbolic.moved_fields import MovedValue, SampledValue, input_field
from warptheory.symbolic.nodes import (
    ExpectedValue,
    FractionMean,
    KernelValue,
    OffsetAverage,
    Opaque,
    Side,
    kernel_argument,
    pairings,
)
from warptheory.symbolic.offset_fields import FRACTIONS, Fraction, OffsetField
from warptheory.symbolic.values import Index, RandomAtom


@dataclass(frozen=True)
class ReadPoint:
    """A share of a value: a weight times a derivative of the field at a place.

    Attributes:
        weight: the weight.
        position: the place, counted in pixels.
        orders: order of the derivative along each axis, per pixel.
    """

    weight: sp.Expr
    position: Index
    orders: tuple[int, ...]

    @property
    def point(self) -> sp.Tuple:
        """The place as an argument of `GaussianMoment`."""
        return sp.Tuple(self.position, self.orders)


def is_continuous(group: Group) -> bool:
    """Return whether a group has values of the continuum: composed ones, slopes, or values between pixels."""
    return any(map(is_of_continuum, group.factors))


def expand(group: Group) -> sp.Expr:
    """Apply the chain rule to slopes, and insert Σₘ k(ε + n − m) x[m] for every warped value."""
    total: sp.Expr = sp.Integer(0)
    for slopes, values in chain_rule(group):
        if any(isinstance(atom.field, ComposedField) for atom in values if isinstance(atom, ComposedValue)):
            total += ExpectedValue(sp.Mul(*slopes, *values))
        else:
            total += slope_moment(slopes) * _Values(group, values).expanded()
    return total


def by_pairs(group: Group) -> sp.Expr:
    """Use Wick's theorem: a sum over pairings of covariances between places."""
    return _moment(group, lambda values: values.paired())


def average(group: Group) -> sp.Expr:
    """Average each term over the fractions or offsets that it depends on."""
    return _moment(group, lambda values: values.averaged())


def _moment(group: Group, write: "Callable[[_Values], sp.Expr]") -> sp.Expr:
    total: sp.Expr = sp.Integer(0)
    for slopes, values in chain_rule(group):
        factor = slope_moment(slopes)
        if factor != 0:
            total += factor * write(_Values(group, values))
    return sp.expand(total)


def chain_rule(group: Group) -> Iterator[tuple[list[OffsetSlope], list[RandomAtom]]]:
    """Yield products of slopes of offsets and of values, the sum of which is the group's monomial.

    ∂(x∘φ)/∂tⱼ = Σᵢ (δᵢⱼ + ∂ⱼεᵢ) (∂ᵢx)∘φ.
    """
    choices = [list(_differentiated(group, atom)) for atom in group.factors]
    for choice in itertools.product(*choices):
        yield [slope for slopes, _ in choice for slope in slopes], [value for _, value in choice]


def _differentiated(group: Group, atom: RandomAtom) -> Iterator[tuple[list[OffsetSlope], RandomAtom]]:
    if not isinstance(atom, SlopeValue):
        yield [], atom
        return
    offsets, dim = atom.site.offsets, atom.site.offsets.dim
    if offsets.covariance is not None:
        _check_slope(group, atom)
    for component in range(dim):
        orders = tuple(int(axis == component) for axis in range(dim))
        inner = ComposedValue(atom.field, atom.site, orders, atom.name)
        if component == atom.axis:
            yield [], inner
        if offsets.covariance is None and not offsets.is_shared:
            raise group.refusal("slopes of offsets that are independent over pixels; give a covariance")
        if offsets.covariance is not None:
            position = whole_index(atom.site.index, dim)
            yield [OffsetSlope(offsets.source, component, atom.axis, position)], inner


def _check_slope(group: Group, atom: SlopeValue) -> None:
    """Refuse slopes of offsets that are not independent of the offsets of the values beside them.

    Raises:
        NotReducible: given offsets, or values at another pixel: only at one point are ε and its slope independent.
    """
    source = atom.site.offsets.source
    if group.is_given(source):
        raise group.refusal("slopes, given the offsets; known are values, given these")
    moved = [other.site for other in group.factors if isinstance(other, MovedValue)]
    if len({whole_index(site.index, group.dim) for site in moved if site.offsets.source == source}) > 1:
        raise group.refusal("slopes beside values at other points; known are slopes at one point")


def slope_moment(slopes: Sequence[OffsetSlope]) -> sp.Expr:
    """Return E ∏ ∂ⱼεᵢ by Wick's theorem; components are independent, and all of one covariance."""
    total: sp.Expr = sp.Integer(0)
    for blocks in pairings(tuple(range(len(slopes)))):
        if all(len(block) == 2 for block in blocks):
            total += sp.Mul(*(_slope_covariance(*(slopes[i] for i in block)) for block in blocks))
    return total


def _slope_covariance(first: OffsetSlope, second: OffsetSlope) -> sp.Expr:
    if first.offsets != second.offsets or first.component != second.component:
        return sp.Integer(0)
    dim = first.offsets.dim
    points = (
        sp.Tuple(slope.position, tuple(int(axis == slope.axis) for axis in range(dim))) for slope in (first, second)
    )
    return point_covariance(first.offsets.component, *points)


@dataclass(frozen=True)
class _Values:
    """The product of values whose moment is wanted, the slopes of offsets taken off.

    Attributes:
        group: the group that they are of.
        atoms: the values.
    """

    group: Group
    atoms: Sequence[RandomAtom]

    def expanded(self) -> sp.Expr:
        """Return the moment as sums over taps of the moments of the field at places, averaged over the offsets."""
        variables = self._variables()
        if len(variables) > 1:
            return self.averaged()
        weights: list[sp.Expr] = []
        points: dict[GaussianField, list[sp.Tuple]] = {}
        indices: list[sp.Symbol] = []
        for number, atom in enumerate(self.atoms):
            if isinstance(atom, SampledValue):
                taps = tuple(sp.Symbol(f"m_{number + 1}{axis + 1}", integer=True) for axis in range(self._dim))
                weights += self._kernel_values(atom, taps)
                indices += taps
                place = ReadPoint(sp.Integer(1), taps, (0,) * self._dim)
            else:
                (place,) = self._places(atom, self._symbols(atom))
            points.setdefault(atom.field, []).append(place.point)
        moments = [GaussianMoment(Opaque(field), *found) for field, found in points.items()]
        product = sp.Mul(*weights, *moments)
        total = sp.Sum(product, *((m, -sp.oo, sp.oo) for m in indices)) if indices else product
        return self._over_offsets(total)

    def paired(self) -> sp.Expr:
        """Return the moment by pairs, under one average."""
        if len(self._variables()) > 1:
            return self.averaged()
        return self._over_fractions(self._by_pairs())

    def averaged(self) -> sp.Expr:
        """Return the moment by pairs, each term averaged by itself."""
        if len(self._variables()) > 1:
            return self._over_difference()
        body = sp.expand(self._by_pairs())
        return sp.Add(*(self._over_fractions(term) for term in sp.Add.make_args(body)))

    # ------------------------------------------------------------------ what the values are

    @property
    def _dim(self) -> int:
        return self.group.dim

    @property
    def _origin(self) -> Index:
        """The position from which others are counted, so that an index n drops out."""
        return self._index(self.atoms[0])

    def _index(self, atom: RandomAtom) -> Index:
        index = atom.index if isinstance(atom, PixelValue) else atom.site.index
        return whole_index(index, self._dim)

    def _variables(self) -> list[OffsetVariable]:
        """Return the offsets that occur: one for each pixel of each field that is not shared."""
        found = []
        for atom in self.atoms:
            if isinstance(atom, MovedValue):
                offsets = atom.site.offsets
                found.append(OffsetVariable(offsets.source, () if offsets.is_shared else self._index(atom)))
        return list(dict.fromkeys(found))

    @property
    def _offsets(self) -> OffsetField | None:
        variables = self._variables()
        return variables[0].offsets if variables else None

    def _is_fraction(self) -> bool:
        return isinstance(self.group.given, Fraction) and self._is_given()

    def _is_given(self) -> bool:
        return self._offsets is not None and self.group.is_given(self._offsets)

    def _symbols(self, atom: RandomAtom) -> Index:
        """Return the symbols of the offset, or of its fraction where that is given."""
        if isinstance(atom, PixelValue):
            return ()
        return self.group.positions(atom.site.offsets.source)

    # ------------------------------------------------------------------ as sums over places

    def _kernel_values(self, atom: SampledValue, taps: Index) -> list[sp.Expr]:
        kernel = kernel_argument(atom.site.kernel)
        moved = zip(
            atom.orders, self._symbols(atom), self._counted(atom), atom.site.offsets.displacement, taps, strict=True
        )
        return [KernelValue(kernel, order, symbol + n + d - m, Side.RIGHT) for order, symbol, n, d, m in moved]

    def _counted(self, atom: RandomAtom) -> Index:
        return tuple(sp.expand(a - b) for a, b in zip(self._index(atom), self._origin, strict=True))

    def _places(self, atom: RandomAtom, symbols: Index) -> list[ReadPoint]:
        """Return the places that a value is a weighted sum over, with the offset's symbols inserted."""
        if isinstance(atom, PixelValue):
            orders = (*atom.orders, *[0] * (self._dim - len(atom.orders)))
            return [ReadPoint(sp.Integer(1), self._counted(atom), orders)]
        moved = tuple(map(sp.Add, symbols, atom.site.offsets.displacement))
        position = tuple(map(sp.Add, self._counted(atom), moved))
        if isinstance(atom, ComposedValue):
            return [ReadPoint(sp.Integer(1), position, atom.orders)]
        if isinstance(atom, SampledValue):
            return list(self._taps(atom, position, moved))
        raise self.group.refusal("splats beside values of the continuum")

    def _taps(self, atom: SampledValue, position: Index, moved: Index) -> Iterator[ReadPoint]:
        """Yield the taps of a warped value, their weights in the fraction of its position."""
        kernel = atom.site.kernel
        if not kernel.is_compact or kernel.prefilter is not None:
            raise self.group.refusal(f"{kernel.name} reads every pixel; `SpectralForm` has a rule for that")
        if atom.knot != "right":
            raise self.group.refusal("derivatives beside values of the continuum are right-hand ones")
        is_fraction = self._is_fraction() and not any(atom.site.offsets.displacement)
        fractions = moved if is_fraction else tuple(map(sp.frac, moved))
        for tap in itertools.product(kernel.taps, repeat=self._dim):
            weight: sp.Expr = sp.Integer(1)
            for axis, fraction in enumerate(fractions):
                weight *= kernel.taps[tap[axis]].product_of_derivatives([atom.orders[axis]]).at(fraction)
            place = tuple(p - f + m for p, f, m in zip(position, fractions, tap, strict=True))
            yield ReadPoint(weight, place, (0,) * self._dim)

    # ------------------------------------------------------------------ Wick's theorem

    def _by_pairs(self) -> sp.Expr:
        """Return the moment given the offsets."""
        by_field: dict[object, list[RandomAtom]] = {}
        if self._is_fraction() and any(isinstance(atom, PixelValue) for atom in self.atoms):
            raise self.group.refusal(
                "given the fraction alone, the whole part of the offset is not known; give both",
            )
        for atom in self.atoms:
            by_field.setdefault(atom.field, []).append(atom)
        if len({input_field(atom) for atom in self.atoms}) < len(by_field):
            raise self.group.refusal("values of a field beside those of the same field composed twice")
        self._check_layers(by_field)
        return sp.Mul(*(self._of_field(field, atoms) for field, atoms in by_field.items()))

    def _check_layers(self, by_field: Mapping[object, Sequence[RandomAtom]]) -> None:
        """Refuse derivatives of two composed fields that share the offsets of an inner layer: they are dependent."""
        composed = [
            field
            for field, atoms in by_field.items()
            if isinstance(field, ComposedField) and any(any(getattr(atom, "orders", ())) for atom in atoms)
        ]
        layers = [source for field in composed for source in field.layers]
        if len(set(layers)) < len(layers):
            raise self.group.refusal("derivatives of fields that share the offsets of an inner layer")

    def _of_field(self, field: object, atoms: Sequence[RandomAtom]) -> sp.Expr:
        if isinstance(field, ComposedField):
            return self._of_composed(field, atoms)
        if not isinstance(field, GaussianField):
            raise self.group.refusal("values of the continuum need Gaussian fields")
        if has_white_part(field.covariance):
            raise self.group.refusal("white noise lives on the pixels, and has no values between them")
        total: sp.Expr = sp.Integer(0)
        for blocks in pairings(tuple(range(len(atoms)))):
            total += sp.Mul(*(self._block(field, [atoms[i] for i in block]) for block in blocks))
        return total

    def _block(self, field: GaussianField, atoms: Sequence[RandomAtom]) -> sp.Expr:
        choices = [self._places(atom, self._symbols(atom)) for atom in atoms]
        if len(atoms) == 1:
            return sp.Add(*(p.weight * (0 if any(p.orders) else field.mean) for p in choices[0]))
        return sp.Add(
            *(
                first.weight * second.weight * point_covariance(field, first.point, second.point)
                for first, second in itertools.product(*choices)
            )
        )

    def _of_composed(self, field: ComposedField, atoms: Sequence[RandomAtom]) -> sp.Expr:
        """Return the moment of values of an inner composed field at one point; it is homogeneous as the outermost."""
        moved = [atom for atom in atoms if isinstance(atom, ComposedValue)]
        if len(atoms) > 2 or len(moved) < len(atoms) or len({atom.site for atom in moved}) > 1:
            raise self.group.refusal("of fields composed several times only pairs of values at one point are known")
        if any(self.group.is_given(source) for source in field.layers):
            raise self.group.refusal("given the offsets of an inner layer")
        origin = (sp.Integer(0),) * self._dim
        inner = [_inner_value(field, origin, atom.orders) for atom in moved]
        if None in inner:
            raise self.group.refusal("of fields composed several times only first derivatives are known")
        return by_pairs(Group(tuple(atom for atom in inner if atom is not None), None))

    # ------------------------------------------------------------------ averages

    def _over_offsets(self, expression: sp.Expr) -> sp.Expr:
        offsets = self._offsets
        if offsets is None or self._is_given() or not expression.free_symbols & set(offsets.symbols):
            return expression
        return OffsetAverage(expression, Opaque(offsets))

    def _over_fractions(self, expression: sp.Expr) -> sp.Expr:
        """Average what depends on the fraction alone over that, where every fraction is equally likely."""
        offsets = self._offsets
        if offsets is None or self._is_given() or not expression.free_symbols & set(offsets.symbols):
            return expression
        fractions = {sp.frac(symbol): f for symbol, f in zip(offsets.symbols, FRACTIONS[offsets.dim], strict=True)}
        replaced = expression.xreplace(fractions)
        is_uniform = offsets.correlation == 0 and covers_pixels(offsets.axis_law)
        if is_uniform and not replaced.free_symbols & set(offsets.symbols):
            return FractionMean(replaced, *FRACTIONS[offsets.dim])
        return self._over_offsets(expression)

    def _over_difference(self) -> sp.Expr:
        """Return the covariance of two composed values whose offsets differ, averaged over the difference η of these.

        η ~ N(0, 2(K(0) − K(Δ))) for offsets with a covariance K, N(0, 2s²) for independent ones.
        """
        if len(self.atoms) != 2 or not all(isinstance(atom, ComposedValue) for atom in self.atoms):
            raise self.group.refusal("offsets that differ from value to value, other than of two composed values")
        first, second = self.atoms
        field, other = first.site.offsets, second.site.offsets
        lag = self._counted(second)
        if field.source != other.source or not isinstance(first.field, GaussianField) or first.field != second.field:
            raise self.group.refusal("two composed values with offsets of different fields")
        if self.group.is_given(field):
            raise self.group.refusal("given the offsets of several pixels; that needs a symbol for each")
        scale = _spread_of_difference(self.group, field, lag)
        eta = replace(
            OffsetField("normal", field.dim, scale=scale, name="eta", correlation=field.correlation),
            displacement=tuple(b - a for a, b in zip(field.displacement, other.displacement, strict=True)),
        )
        moved = tuple(n + e + d for n, e, d in zip(lag, eta.symbols, eta.displacement, strict=True))
        origin = (sp.Integer(0),) * self._dim
        value = point_covariance(first.field, sp.Tuple(origin, first.orders), sp.Tuple(moved, second.orders))
        mean = sp.Mul(*(0 if any(atom.orders) else first.field.mean for atom in self.atoms))
        return OffsetAverage(value, Opaque(eta.source)) + mean


def _spread_of_difference(group: Group, field: OffsetField, lag: Index) -> sp.Expr:
    """Return the standard deviation of ε(n + Δ) − ε(n) along an axis."""
    if field.covariance is not None:
        component, zero = field.component, (sp.Integer(0),) * len(lag)
        return sp.sqrt(2 * (field_covariance(component, zero) - field_covariance(component, lag)))
    if field.axis_law.name != "normal":
        raise group.refusal("independent offsets at two points, other than normal ones")
    return sp.sqrt(2) * field.axis_law.scale


def has_white_part(part: object) -> bool:
    """Whether a covariance is that of white noise, or a sum or product with one."""
    if isinstance(part, tuple):
        return any(map(has_white_part, part))
    if not isinstance(part, CovarianceFunction):
        return False
    return isinstance(part, White) or any(map(has_white_part, vars(part).values()))


def _inner_value(field: ComposedField, position: Index, orders: tuple[int, ...]) -> RandomAtom | None:
    """Return the value of a composed field, or its slope, in the orders that a derivative in the outer offset has."""
    value = field._value(position)
    if not any(orders):
        return value
    if sum(orders) > 1:
        return None
    return SlopeValue(field.field, value.site, orders.index(1), field.name)
