"""Rewriting rules for offsets ε = αh that a linear head computes from a normal field, one per step.

Values and offsets are jointly normal, and dependent: c(m) = Cov(h, x[m]). Stein's lemma (Gaussian integration by parts)
takes the input out of the expectation,

    E[x[m] x[m′] F(ε)] = C(m − m′) E F(ε) + α² Σᵢₗ cᵢ(m) cₗ(m′) E ∂ᵢ∂ₗF(ε),

and so on for more factors: each of them is paired with another one, which gives C, or differentiates F. With F the
product of the kernel's values, the sum over the taps turns c(m) into cₖ(u) = Σₘ c(m) k(u − m). Derivatives are then
moved onto the density q of the offsets, ∫ cₖ² q″ du on a line, which needs no derivative of the kernel.

Components of the head that depend on each other linearly, such as the own pixel for both, leave a density on a line or
a plane: the variables are those components on which the others depend.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import cast

import sympy as sp

from warptheory.fields import laws
from warptheory.symbolic._continuum import has_white_part
from warptheory.symbolic._offset_law import OffsetLaw
from warptheory.symbolic._reduction import tap_sum_node
from warptheory.symbolic._terms import Group, whole_index
from warptheory.symbolic.composition import ComposedValue, SlopeValue
from warptheory.symbolic.covariance_nodes import field_covariance, point_covariance
from warptheory.symbolic.head_laws import FixedSum
from warptheory.symbolic.head_nodes import (
    ConditionedMean,
    DensityIntegral,
    MeanOfDerivative,
    MovingCovariance,
    Written,
    opaque_kernel,
)
from warptheory.symbolic.input_fields import GaussianField, IIDField, InputField, PixelValue
from warptheory.symbolic.linear_heads import HeadTap, LinearHead
from warptheory.symbolic.moved_fields import MovedValue, SampledValue
from warptheory.symbolic.nodes import KernelValue, Opaque, Side, kernel_argument, pairings
from warptheory.symbolic.offset_fields import OffsetField
from warptheory.symbolic.values import Index, RandomAtom


def has_head(group: Group) -> bool:
    """Return whether offsets of a group's values, of any layer, are computed by a head."""
    return have_head(group.factors)


def have_head(atoms: Iterable[RandomAtom]) -> bool:
    """Return whether offsets of some values, of any layer, are computed by a head."""
    return any(offsets.head is not None for atom in atoms for offsets in _offsets_of(atom))


def _offsets_of(atom: RandomAtom) -> Iterator[OffsetField]:
    """Yield the offset fields of every layer below a value."""
    if isinstance(atom, MovedValue):
        yield atom.site.offsets
    field = getattr(atom, "field", None)
    while field is not None and not isinstance(field, InputField):
        yield field.offsets
        field = field.field


def condition_on_offsets(group: Group) -> sp.Expr:
    """Average the moment given the offsets, in which the input has the mean cᵀV⁻¹h and the covariance C − cᵀV⁻¹c."""
    return _sum(group, lambda values: values.conditioned())


def by_stein(group: Group) -> sp.Expr:
    """Use Stein's lemma: each value is paired with another one, or differentiates what depends on the offsets."""
    return _sum(group, lambda values: values.integrals(MeanOfDerivative))


def by_parts(group: Group) -> sp.Expr:
    """Move the derivatives onto the density of the offsets."""
    return _sum(group, lambda values: values.integrals(DensityIntegral))


def _sum(group: Group, write: "Callable[[_Values], sp.Expr]") -> sp.Expr:
    law = OffsetLaw(group, _only_offsets(group))
    products = itertools.product(*(list(_chain_rule(law, atom)) for atom in group.factors))
    total: sp.Expr = sp.Integer(0)
    for product in products:
        coefficient = sp.Mul(*(part for part, _ in product))
        total += coefficient * write(_Values(law, tuple(atom for _, atoms in product for atom in atoms)))
    return total


def _only_offsets(group: Group) -> OffsetField:
    """Return the offsets that all moved values of a group have, before they are displaced.

    Raises:
        NotReducible: several, values at several pixels, or anything else that there is no rule for.
    """
    moved = [atom for atom in group.factors if isinstance(atom, MovedValue)]
    sources = {atom.site.offsets.source for atom in moved}
    if any(not isinstance(atom, SampledValue | ComposedValue | SlopeValue) for atom in moved):
        raise group.refusal("splats by offsets that a head computes; known are warped and composed values")
    if not all(isinstance(atom.field, InputField) for atom in moved):
        raise group.refusal("fields moved twice, once by offsets that a head computes")
    if len(sources) > 1:
        raise group.refusal("offsets that a head computes beside others; known are values with the same offsets")
    if len({whole_index(atom.site.index, group.dim) for atom in moved}) > 1:
        raise group.refusal("offsets that a head computes at several pixels; known are values at one")
    if group.given is not None:
        raise group.refusal("given offsets, where a head computes them; known are averages over all of them")
    if len({isinstance(atom, SampledValue) for atom in moved}) > 1:
        raise group.refusal("a warped value beside a composed one, with offsets that a head computes")
    (source,) = sources
    _check_normal(group, cast("LinearHead", source.head).field)
    return source


def _check_normal(group: Group, head_field: InputField) -> None:
    """Refuse fields whose moments given the offsets are not those of a normal law."""
    for field in {head_field, *(atom.field for atom in group.factors)}:
        if isinstance(field, GaussianField):
            if has_white_part(field.covariance) and any(
                isinstance(a, ComposedValue | SlopeValue) for a in group.factors
            ):
                raise group.refusal("white noise lives on the pixels, and has no values between them")
            continue
        is_normal = field.law is not None and laws.get(field.law).name == "normal"
        few = sum(atom.field == field for atom in group.factors) <= 2 and field != head_field
        if not (is_normal or few):
            raise group.refusal(
                f"Stein's lemma needs a normal law of {field.name}; for pixels that have one write "
                f'IIDField("{field.name}", "normal")'
            )


def _chain_rule(law: "OffsetLaw", atom: RandomAtom) -> Iterator[tuple[sp.Expr, tuple[RandomAtom, ...]]]:
    """Yield coefficients and products whose sum is a value; of a slope by ∂(x∘φ)/∂tⱼ = Σᵢ (δᵢⱼ + ∂ⱼεᵢ) (∂ᵢx)∘φ."""
    if not isinstance(atom, SlopeValue):
        yield sp.Integer(1), (atom,)
        return
    for component, taps in enumerate(law.head.components):
        inner = ComposedValue(atom.field, atom.site, _unit(component, law.head.dim), atom.name)
        if component == atom.axis:
            yield sp.Integer(1), (inner,)
        for tap in taps:
            place = tuple(n + m for n, m in zip(law.pixel, tap.place, strict=True))
            orders = tuple(a + b for a, b in zip(tap.orders, _unit(atom.axis, law.head.dim), strict=True))
            yield law.offsets.scale * tap.weight, (PixelValue(law.head.field, place, orders), inner)


def _unit(axis: int, dim: int) -> tuple[int, ...]:
    return tuple(int(i == axis) for i in range(dim))


@dataclass(frozen=True)
class _Values:
    """A product of values with offsets of one law; slopes are taken apart.

    Attributes:
        law: the law of the offsets.
        atoms: the values.
    """

    law: OffsetLaw
    atoms: tuple[RandomAtom, ...]

    # ------------------------------------------------------------------ moments as integrals

    def conditioned(self) -> sp.Expr:
        """Return the mean over the offsets of the moment given them."""
        law, rank = self.law, len(self.law.basis)
        inverse = law.head_covariance.inv()
        means = (law.means[axis] for axis in law.independent)
        deviations = [(u - mean) / law.offsets.scale for u, mean in zip(law.variables, means, strict=True)]
        body: sp.Expr = sp.Integer(0)
        for blocks in pairings(tuple(range(len(self.atoms)))):
            product: sp.Expr = sp.Integer(1)
            for block in blocks:
                left = [[self.with_head(self.atoms[i], k) for k in range(rank)] for i in block]
                right = deviations if len(block) == 1 else left[1]
                moved = sp.Add(*(left[0][k] * inverse[k, m] * right[m] for k in range(rank) for m in range(rank)))
                product *= self.mean(self.atoms[block[0]]) + moved if len(block) == 1 else self.pair(*block) - moved
            body += product
        return law.integral(ConditionedMean, body, (0,) * rank, Opaque(Written(self.written_out())))

    def integrals(self, kind: type[DensityIntegral]) -> sp.Expr:
        """Return the moment by Stein's lemma, an integral for each derivative that occurs."""
        rank = len(self.law.basis)
        bodies: dict[tuple[int, ...], sp.Expr] = {}
        for blocks in pairings(tuple(range(len(self.atoms)))):
            single = [block[0] for block in blocks if len(block) == 1]
            pairs = sp.Mul(*(self.pair(*block) for block in blocks if len(block) == 2))
            for choice in itertools.product([None, *range(rank)], repeat=len(single)):
                orders = tuple(choice.count(k) for k in range(rank))
                factors = (
                    self.mean(self.atoms[i]) if k is None else self.with_head(self.atoms[i], k)
                    for i, k in zip(single, choice, strict=True)
                )
                bodies[orders] = bodies.get(orders, sp.Integer(0)) + pairs * sp.Mul(*factors)
        total: sp.Expr = sp.Integer(0)
        for orders, body in bodies.items():
            if body != 0:
                sign = 1 if kind is MeanOfDerivative else sp.Integer(-1) ** sum(orders)
                total += sign * self.law.offsets.scale ** sum(orders) * self.law.integral(kind, body, orders)
        return total

    def written_out(self) -> sp.Expr:
        """Return the product with the sums over taps written out."""
        return sp.Mul(*(self._written(atom) for atom in self.atoms))

    def _written(self, atom: RandomAtom) -> sp.Expr:
        field = cast("InputField", getattr(atom, "field", None))
        if isinstance(atom, PixelValue):
            return atom.display(latex=False)
        position, orders = self._position(atom), self._orders(atom)
        if not isinstance(atom, SampledValue):
            marks = "".join(f"∂{axis + 1}" for axis, order in enumerate(orders) for _ in range(order))
            return sp.Function(marks + field.name)(*position)
        taps = [sp.Symbol(f"m_{axis + 1}" if len(position) > 1 else "m", integer=True) for axis in range(len(position))]
        kernel = kernel_argument(atom.site.kernel)
        values = (KernelValue(kernel, o, u - m, Side.RIGHT) for o, u, m in zip(orders, position, taps, strict=True))
        pixel = sp.Indexed(sp.IndexedBase(field.name), *taps)
        return sp.Sum(sp.Mul(*values) * pixel, *((m, -sp.oo, sp.oo) for m in taps))

    # ------------------------------------------------------------------ what the values are

    def _orders(self, atom: RandomAtom) -> tuple[int, ...]:
        orders = tuple(getattr(atom, "orders", ()))
        return (*orders, *[0] * (self.law.head.dim - len(orders)))

    def _position(self, atom: RandomAtom) -> Index:
        """Return where a moved value is read, counted from its pixel."""
        offsets = cast("MovedValue", atom).site.offsets
        return tuple(map(sp.Add, offsets.symbols, offsets.displacement))

    def _fixed(self, atom: PixelValue) -> FixedSum:
        """Return the value at a place that the offsets do not move."""
        index = whole_index(atom.index, self.law.head.dim)
        place = tuple(sp.expand(a - b) for a, b in zip(index, self.law.pixel, strict=True))
        if isinstance(atom.field, IIDField) and not all(part.is_Integer for part in place):
            raise self.law.group.refusal("its pixels have to be a known number of pixels apart")
        name = str(PixelValue(atom.field, place, self._orders(atom)))
        return FixedSum(name, atom.field, (HeadTap(place, 1, self._orders(atom)),))

    def mean(self, atom: RandomAtom) -> sp.Expr:
        """Return the mean of a value given the offsets, were they independent of its field."""
        field = cast("InputField", getattr(atom, "field", None))
        if any(self._orders(atom)) or field.mean == 0:
            return sp.Integer(0)
        if isinstance(atom, SampledValue) and atom.site.kernel.reproduces < 0:
            raise self.law.group.refusal(f"a mean, and {atom.site.kernel.name}, which is no partition of unity")
        return field.mean

    def with_head(self, atom: RandomAtom, component: int) -> sp.Expr:
        """Return the covariance of a value with an independent component of the head, where the offsets are."""
        fixed = self.law.basis[component]
        if getattr(atom, "field", None) != fixed.field:
            return sp.Integer(0)
        return self._with_fixed(fixed, atom)

    def _with_fixed(self, fixed: FixedSum, atom: RandomAtom) -> sp.Expr:
        if isinstance(atom, PixelValue):
            return fixed.covariance_with(self._fixed(atom))
        kernel = atom.site.kernel if isinstance(atom, SampledValue) else None
        self._check_kernel(atom)
        node: sp.Expr = MovingCovariance(
            Opaque(fixed), opaque_kernel(kernel), sp.Tuple(*self._orders(atom)), sp.Tuple(*self._position(atom))
        )
        return node

    def _check_kernel(self, atom: RandomAtom) -> None:
        if not isinstance(atom, SampledValue):
            return
        kernel = atom.site.kernel
        if kernel.prefilter is not None or (isinstance(atom.field, GaussianField) and not kernel.is_compact):
            raise self.law.group.refusal(f"{kernel.name} reads every pixel; that needs one of finite support")

    def pair(self, first: int, second: int) -> sp.Expr:
        """Return the covariance of two values given the offsets, were they independent of the field."""
        a, b = self.atoms[first], self.atoms[second]
        if getattr(a, "field", None) != getattr(b, "field", None):
            return sp.Integer(0)
        if isinstance(a, PixelValue):
            return self._with_fixed(self._fixed(a), b)
        if isinstance(b, PixelValue):
            return self._with_fixed(self._fixed(b), a)
        if isinstance(a, SampledValue) and isinstance(b, SampledValue):
            return self._of_warped(a, b)
        points = (sp.Tuple(self._position(atom), self._orders(atom)) for atom in (a, b))
        return point_covariance(cast("GaussianField", getattr(a, "field", None)), *points)

    def _of_warped(self, first: SampledValue, second: SampledValue) -> sp.Expr:
        """Return Σₘₘ′ C(m − m′) k(u − m) k(u − m′), a sum over the lags that both kernels reach."""
        self._check_kernel(first)
        dim, field = self.law.head.dim, first.field
        moves = (first.site.offsets.displacement, second.site.offsets.displacement)
        if isinstance(field, IIDField):
            return field.deviation**2 * self._tap_sums(first, second, moves, (0,) * dim)
        lags = itertools.product(*(self._lags(first, second, axis) for axis in range(dim)))
        return sp.Add(
            *(
                field_covariance(cast("GaussianField", field), lag) * self._tap_sums(first, second, moves, lag)
                for lag in lags
            )
        )

    def _lags(self, first: SampledValue, second: SampledValue, axis: int) -> range:
        distance = sp.expand(second.site.offsets.displacement[axis] - first.site.offsets.displacement[axis])
        if not distance.is_number:
            raise self.law.group.refusal("its values have to be a known number of pixels apart")
        reach = cast("int", first.site.kernel.reach) + cast("int", second.site.kernel.reach)
        return range(int(sp.floor(distance)) - reach + 1, int(sp.ceiling(distance)) + reach)

    def _tap_sums(
        self, first: SampledValue, second: SampledValue, moves: tuple[Index, Index], lag: tuple[int, ...]
    ) -> sp.Expr:
        """Return Σₘ k(u − m) k(u − m − Δ), a factor for each axis; sums over taps that never meet are zero."""
        factors = []
        for axis, symbol in enumerate(self.law.offsets.symbols):
            read = [
                (first.site.kernel, first.orders[axis], moves[0][axis], Side.RIGHT),
                (second.site.kernel, second.orders[axis], moves[1][axis] - lag[axis], Side.RIGHT),
            ]
            factors.append(tap_sum_node(read, symbol))
        return sp.Mul(*factors)
