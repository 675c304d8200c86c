"""From an expected monomial to sums over pixels: which values of kernels share a pixel, and which an offset.

Warped and splatted values are sums over pixels of k(offset + shift − pixel) times the input there. Taking the
expectation over the input leaves sums of products of kernels. What is left to do, over the offsets, is the subject of
`_reduction`. The words, with the example E y[0]² for y[0] = Σₘ k(ε − m) x[m] and independent x[m] of mean μ and
deviation σ, which is E over ε of σ² Σₘ k(ε − m)² + μ² (Σₘ k(ε − m))²:

- `Group`: the factors of a monomial that share random fields; here y[0], twice.
- `KernelFactor`: one k(ε − m).
- `Block`: the kernel factors at one pixel, summed over it; Σₘ k(ε − m)² has two of them, Σₘ k(ε − m) one.
- `Term`: a coefficient times blocks; here σ² times one block, and μ² times two.
- Component: the blocks of a term that share offsets, and are averaged over them together; here all blocks of a term.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import sympy as sp

from warptheory.core.errors import WarpTheoryError
from warptheory.kernels import FractionSymbol, Kernel
from warptheory.symbolic.covariance_nodes import field_covariance
from warptheory.symbolic.input_fields import GaussianField, IIDField, InputField, PixelValue
from warptheory.symbolic.moved_fields import KernelledValue, MovedValue, SampledValue, SplatValue
from warptheory.symbolic.nodes import Side, pairings, set_partitions
from warptheory.symbolic.offset_fields import Fraction, Given, OffsetField, given_offsets
from warptheory.symbolic.values import Index, RandomAtom

_Item = TypeVar("_Item")


class NotReducible(WarpTheoryError):  # noqa: N818 -- the public name; it reads as what it says
    """The algebra cannot reduce a term; the message names the term and what would be needed."""

    def __init__(self, term: object, needed: str) -> None:
        super().__init__(f"cannot reduce {term}: {needed}")


@dataclass(frozen=True)
class OffsetVariable:
    """One random offset: that of a pixel, or the one that all pixels share.

    Attributes:
        offsets: the field that it belongs to, not displaced.
        label: tells independent offsets of one field apart: for warps the pixel n, for splats the numbers of the
            cumulant and of the moment in it that they are averaged in; empty where all pixels share one.
    """

    offsets: OffsetField
    label: tuple[object, ...] = ()


@dataclass(frozen=True)
class KernelFactor:
    """One factor k⁽ᵒʳᵈᵉʳˢ⁾(ε + index + displacement − pixel), where the block says which pixel.

    A warp y[n] = Σₘ k(n + ε − m) x[m] has the index n and the pixel m. A splat z[m] = Σₙ k(n + ε − m) g[n] has the
    index −m and the pixel −n, so that both have one form.

    Attributes:
        variable: the offset ε.
        kernel: the kernel.
        orders: order of the derivative along each axis.
        index: whole pixels that are added to the offset, one per axis.
        displacement: further pixels that are added, one per axis.
        side: that of the derivative at a knot.
    """

    variable: OffsetVariable
    kernel: Kernel
    orders: tuple[int, ...]
    index: Index
    displacement: Index
    side: Side = Side.RIGHT


@dataclass(frozen=True)
class Block:
    """The product of the kernel factors at one pixel, summed over all pixels, or at one that is given.

    Attributes:
        kernel_factors: the factors; a block without any is the factor 1, `UNIT`.
        pixel: the pixel, or None where it is summed over.
    """

    kernel_factors: tuple[KernelFactor, ...]
    pixel: Index | None = None

    @property
    def variables(self) -> list[OffsetVariable]:
        """The offsets that occur, in order of their first factor."""
        return list(dict.fromkeys(factor.variable for factor in self.kernel_factors))


UNIT = Block(())


@dataclass(frozen=True)
class Term:
    """A coefficient times a product of blocks, whose expectation over the offsets is meant."""

    coefficient: sp.Expr
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Group:
    """The factors of a monomial that share random variables, directly or through others.

    Attributes:
        factors: values of warped, splatted and input fields.
        given: what the expectation is conditional on, or None.
    """

    factors: tuple[RandomAtom, ...]
    given: Given | None

    @property
    def monomial(self) -> sp.Expr:
        """The product of the factors."""
        return sp.Mul(*self.factors)

    def refusal(self, needed: str) -> NotReducible:
        """Return the error that says what would be needed to reduce the monomial."""
        return NotReducible(self.monomial, needed)

    @property
    def sampled(self) -> list[SampledValue]:
        """The warped values among the factors."""
        return [atom for atom in self.factors if isinstance(atom, SampledValue)]

    @property
    def splatted(self) -> list[SplatValue]:
        """The splatted values among the factors."""
        return [atom for atom in self.factors if isinstance(atom, SplatValue)]

    @property
    def dim(self) -> int:
        """Number of axes.

        Raises:
            NotReducible: fields of different numbers of axes.
        """
        dims = {atom.site.offsets.dim for atom in self.factors if isinstance(atom, MovedValue)}
        dims |= {len(atom.index) for atom in self.factors if isinstance(atom, PixelValue) and len(atom.index) > 1}
        if len(dims) > 1:
            raise self.refusal(f"its fields have {sorted(dims)} axes; they need one number of them")
        return dims.pop() if dims else 1

    def is_given(self, offsets: OffsetField) -> bool:
        """Whether the offsets are what the expectation is conditional on."""
        return given_offsets(self.given) == offsets.source

    def positions(self, offsets: OffsetField) -> tuple[sp.Symbol, ...]:
        """Return symbols of the position along each axis: the given fraction, or the offset."""
        if isinstance(self.given, Fraction) and self.is_given(offsets):
            return self.given.symbols
        return offsets.symbols

    def terms(self) -> list[Term]:
        """Return the terms whose expectations over the offsets sum to that of the monomial.

        Raises:
            NotReducible: what the algebra has no rule for; the message names it.
        """
        self._check()
        if self.splatted and not self.splatted[0].site.offsets.is_shared:
            return list(_independent_summands(self))
        return list(_terms_given_offsets(self))

    def _check(self) -> None:
        for atom in (*self.sampled, *self.splatted):
            if not isinstance(atom.field, InputField):
                raise NotReducible(
                    atom, "its input is no field of independent pixels, so that only `Var` and `Cov` are known"
                )
        if self.sampled and self.splatted:
            raise self.refusal(
                "it mixes warped and splatted values that share a field; that needs the joint law of W and Wᵀ",
            )
        self._check_correlated()
        if len({atom.site.offsets.is_shared for atom in self.splatted}) > 1:
            raise self.refusal("it mixes splats by shared and by independent offsets")
        is_gaussian = any(isinstance(atom.field, GaussianField) for atom in self.splatted)
        if is_gaussian and not all(atom.site.offsets.is_shared for atom in self.splatted):
            raise self.refusal("splats of a Gaussian field by independent offsets; that needs independent pixels")
        if self.splatted and not self.splatted[0].site.offsets.is_shared and self._is_conditional:
            raise self.refusal("given the offsets a splat depends on all of them; a closed form needs shared offsets")
        sites = {atom.site.index for atom in self.sampled if not atom.site.offsets.is_shared}
        if self._is_conditional and len(sites) > 1:
            raise self.refusal(
                "conditioning on the offsets of several pixels needs a symbol for each; share the offsets",
            )

    def _check_correlated(self) -> None:
        """Refuse what depends on how the offsets of several pixels are correlated."""
        moved = [atom for atom in (*self.sampled, *self.splatted) if atom.site.offsets.covariance is not None]
        if len({atom.site.index for atom in moved}) > 1 or any(isinstance(atom, SplatValue) for atom in moved):
            raise self.refusal("offsets that are correlated over the pixels: known are warped values at one pixel")

    @property
    def _is_conditional(self) -> bool:
        return any(self.is_given(atom.site.offsets) for atom in (*self.sampled, *self.splatted))


def split_groups(monomial: sp.Expr, given: Given | None) -> list[Group]:
    """Split a monomial into groups of factors that are independent of each other."""
    factors = [atom for base, power in monomial.as_powers_dict().items() for atom in [base] * int(power)]
    found = set[object]().union(*map(_sources, factors))
    offsets = {source for source in (*found, given_offsets(given)) if isinstance(source, OffsetField)}
    if len({field.name for field in offsets}) < len(offsets):
        raise NotReducible(monomial, "two of its offset fields have one name; give each a name of its own")
    inputs = {source for source in found if isinstance(source, InputField)}
    if len({field.name for field in inputs}) < len(inputs):
        raise NotReducible(monomial, "two of its input fields have one name; give each a name of its own")
    return [Group(tuple(members), given) for members in connected((_sources(atom), atom) for atom in factors)]


def connected(items: Iterable[tuple[Set[Any], _Item]]) -> list[list[_Item]]:
    """Group items that share an element of their sets, directly or through others, in an order that follows theirs."""
    groups: list[tuple[Set[Any], list[_Item]]] = []
    for shared, item in items:
        members = [item]
        for other in [group for group in groups if group[0] & shared]:
            groups.remove(other)
            shared, members = shared | other[0], other[1] + members
        groups.append((shared, members))
    return [members for _, members in groups]


def _sources(atom: RandomAtom) -> set[object]:
    """Return the independent random fields that a value depends on."""
    if isinstance(atom, PixelValue):
        return {atom.field}
    return _sources_of_offsets(atom.site.offsets) | _sources_of_field(atom.field)


def _sources_of_field(field: Any) -> set[object]:
    if isinstance(field, InputField):
        return {field}
    return _sources_of_offsets(field.offsets) | _sources_of_field(field.field)


def _sources_of_offsets(offsets: OffsetField) -> set[object]:
    return {offsets.source} if offsets.head is None else {offsets.source, offsets.head.field}


def whole_index(index: Index, dim: int) -> Index:
    """Return an index with one coordinate per axis; a lone n counts along the first."""
    return index if len(index) == dim else index + (sp.Integer(0),) * (dim - len(index))


def _terms_given_offsets(group: Group) -> Iterator[Term]:
    """Yield the terms of warped values, and of splats by one offset, a product over the input fields."""
    by_field: dict[InputField, list[RandomAtom]] = {}
    for atom in group.factors:
        by_field.setdefault(atom.field, []).append(atom)
    choices = [list(_products(group, field, atoms)) for field, atoms in by_field.items()]
    for choice in itertools.product(*choices):
        coefficient = sp.Mul(*(part for part, _ in choice))
        if coefficient != 0:
            yield from _terms_of(coefficient, [block for _, blocks in choice for block in blocks])


# A coefficient, and blocks to multiply it by; None among them makes it zero.
Product = tuple[sp.Expr, list[Block | None]]


def _products(group: Group, field: InputField, atoms: list[RandomAtom]) -> Iterator[Product]:
    """Yield the coefficients and blocks whose sum is the moment of one field's values."""
    if isinstance(field, IIDField):
        return _independent_pixels(group, field, atoms)
    if isinstance(field, GaussianField):
        return _pairs_of_pixels(group, field, atoms)
    raise group.refusal(f"no rule for moments of {field}")


def _independent_pixels(group: Group, field: IIDField, atoms: list[RandomAtom]) -> Iterator[Product]:
    """Yield coefficients and blocks, the factors of a block reading the same pixel.

    For independent pixels E ∏ x[mᵢ] = Σ over set partitions of ∏ over blocks of κ_|block|, where
    all mᵢ of a block are equal (Leonov and Shiryaev, Theory Probab. Appl. 4(3), 1959).
    """
    for partition in _partitions(atoms):
        cumulants = sp.Mul(*(field.cumulant(len(block)) for block in partition))
        yield cumulants, [_block(group, block, ()) for block in partition]


def _pairs_of_pixels(group: Group, field: GaussianField, atoms: list[RandomAtom]) -> Iterator[Product]:
    """Yield coefficients and blocks of a Gaussian field: one factor reads pixel m, its partner m + Δ.

    By Wick's theorem E ∏ x[mᵢ] is the sum over pairings of ∏ C(mᵢ − mⱼ), single ones giving the mean. Kernels of
    finite support read few lags Δ, and a pair is the sum over them of C(Δ) times a block.
    """
    for pairing in pairings(tuple(range(len(atoms)))):
        parts = [[atoms[i] for i in block] for block in pairing]
        choices = [
            list(_pair(group, field, part)) if len(part) == 2 else [(field.mean, _block(group, part, ()))]
            for part in parts
        ]
        for choice in itertools.product(*choices):
            coefficient = sp.Mul(*(part for part, _ in choice))
            if coefficient != 0:
                yield coefficient, [block for _, block in choice]


def _pair(group: Group, field: GaussianField, atoms: list[RandomAtom]) -> Iterator[tuple[sp.Expr, Block]]:
    """Yield C(Δ), and the block in which the second factor reads Δ pixels beyond the first."""
    pixels = [whole_index(atom.index, group.dim) for atom in atoms if isinstance(atom, PixelValue)]
    if len(pixels) == 2:
        yield field_covariance(field, [a - b for a, b in zip(*pixels, strict=True)]), UNIT
        return
    if pixels:
        raise group.refusal("a value of a Gaussian field beside a pixel is a sum over every pixel that it may read")
    first, second = (_kernel_factor(group, atom, ()) for atom in atoms if isinstance(atom, KernelledValue))
    if first.variable != second.variable:
        raise group.refusal("values of one Gaussian field have offsets of their own; that needs shared offsets")
    for lag in itertools.product(*(_lags(group, first, second, axis) for axis in range(group.dim))):
        moved = tuple(index - step for index, step in zip(second.index, lag, strict=True))
        yield field_covariance(field, lag), Block((first, replace(second, index=moved)))


def _lags(group: Group, first: KernelFactor, second: KernelFactor, axis: int) -> range:
    """Return the lags along an axis between two pixels that both factors may reach."""
    if first.kernel.reach is None or second.kernel.reach is None:
        raise group.refusal("its kernel reads every pixel; that needs one of finite support")
    distance = sp.expand(second.index[axis] + second.displacement[axis] - first.index[axis] - first.displacement[axis])
    fractions = sorted((s for s in distance.free_symbols if isinstance(s, FractionSymbol)), key=str)
    if distance.free_symbols - set(fractions) or any(sp.diff(distance, s, 2) != 0 for s in fractions):
        raise group.refusal(
            "its pixels have to be a known number of pixels apart, or that plus a symbol of a fraction, "
            "`kernels.FRACTION`",
        )
    reach = first.kernel.reach + second.kernel.reach
    corners = itertools.product((0, 1), repeat=len(fractions))
    ends = [distance.subs(dict(zip(fractions, corner, strict=True))) for corner in corners]
    return range(int(sp.floor(min(ends))) - reach + 1, int(sp.ceiling(max(ends))) + reach)


def _independent_summands(group: Group) -> Iterator[Term]:
    """Yield the terms of splats by independent offsets, a sum over pixels n of independent k(n + ε[n] − m)·g[n].

    Joint cumulants of a sum of independent summands add up, and moments are sums over set partitions of
    products of joint cumulants. Each is, by the same theorem inverted, a sum over partitions of the block
    into parts that have independent copies of the offset and of g.
    """
    for partition in _partitions(list(group.factors)):
        cumulants = [list(_cumulant_of_summand(group, block)) for block in partition]
        for choice in itertools.product(*cumulants):
            coefficient = sp.Mul(*(coefficient for coefficient, _ in choice))
            blocks = [_numbered(block, place) for place, (_, block) in enumerate(choice)]
            if coefficient != 0:
                yield from _terms_of(coefficient, blocks)


def _cumulant_of_summand(group: Group, atoms: list[RandomAtom]) -> Iterator[tuple[sp.Expr, Block | None]]:
    """Yield the joint cumulant of k(n + ε − mᵢ)·g as coefficients times blocks."""
    for partition in _partitions(atoms):
        parts = len(partition)
        sign = (-1) ** (parts - 1) * math.factorial(parts - 1)
        moments = sp.Mul(*(_raw_moment_of_fields(part) for part in partition))
        pieces = [_block(group, part, (place,)) for place, part in enumerate(partition)]
        if moments == 0 or None in pieces:
            continue
        pixels = {piece.pixel for piece in pieces if piece is not None and piece.pixel is not None}
        if len(pixels) > 1:
            continue
        kernel_factors = tuple(factor for piece in pieces if piece is not None for factor in piece.kernel_factors)
        yield sign * sp.expand(moments), Block(kernel_factors, pixels.pop() if pixels else None)


def _raw_moment_of_fields(atoms: Sequence[RandomAtom]) -> sp.Expr:
    """Return E of the product of the fields' values at one pixel."""
    counts: dict[IIDField, int] = {}
    for atom in atoms:
        counts[atom.field] = counts.get(atom.field, 0) + 1
    return sp.Mul(*(raw_moment(field, count) for field, count in counts.items()))


def raw_moment(field: IIDField, order: int) -> sp.Expr:
    """Return E x[m]ⁿ in terms of the cumulants."""
    return sp.Add(
        *(
            sp.Mul(*(field.cumulant(len(block)) for block in partition))
            for partition in set_partitions(tuple(range(order)))
        )
    )


def _partitions(atoms: list[RandomAtom]) -> Iterator[list[list[RandomAtom]]]:
    for partition in set_partitions(tuple(range(len(atoms)))):
        yield [[atoms[i] for i in block] for block in partition]


def _block(group: Group, atoms: Sequence[RandomAtom], label: tuple[object, ...]) -> Block | None:
    """Return the block of values that read one pixel; None, for zero, if two of them are different pixels.

    Args:
        group: the factors that the values are of.
        atoms: the values.
        label: that of the offsets of splatted pixels, where they have their own; empty otherwise.
    """
    pixels = {whole_index(atom.index, group.dim) for atom in atoms if isinstance(atom, PixelValue)}
    if not all(a - b == 0 or (a - b).is_number for p in pixels for q in pixels for a, b in zip(p, q, strict=True)):
        raise NotReducible(sp.Mul(*atoms), "its pixels have to be a known number of pixels apart")
    if len(pixels) > 1:
        return None
    pixel = pixels.pop() if pixels else None
    is_splat = bool(label) or any(isinstance(atom, SplatValue) for atom in atoms)
    # The sign by which splats have the form of warps (`KernelFactor`).
    if is_splat and pixel is not None:
        pixel = tuple(-coordinate for coordinate in pixel)
    moved = (atom for atom in atoms if isinstance(atom, KernelledValue))
    return Block(tuple(_kernel_factor(group, atom, label) for atom in moved), pixel)


def _kernel_factor(group: Group, atom: KernelledValue, label: tuple[object, ...]) -> KernelFactor:
    offsets = atom.site.offsets
    index = whole_index(atom.site.index, group.dim)
    orders, side = (0,) * group.dim, Side.RIGHT
    if isinstance(atom, SampledValue):
        label, orders = () if offsets.is_shared else index, atom.orders
        side = _SIDES[atom.knot] if any(orders) else Side.RIGHT
    else:
        index = tuple(-coordinate for coordinate in index)
    # An offset that is random and has a density lies on a knot with probability zero.
    meets_knots = group.is_given(offsets) or any(part.atoms for _, part in offsets.axis_law.parts)
    return KernelFactor(
        variable=OffsetVariable(offsets.source, label),
        kernel=atom.site.kernel,
        orders=orders,
        index=index,
        displacement=offsets.displacement,
        side=side if meets_knots else Side.RIGHT,
    )


def _numbered(block: Block | None, place: int) -> Block | None:
    """Return the block with its own copies of the offsets, independent of other blocks'."""
    if block is None:
        return None
    kernel_factors = (
        replace(factor, variable=replace(factor.variable, label=(place, *factor.variable.label)))
        for factor in block.kernel_factors
    )
    return replace(block, kernel_factors=tuple(kernel_factors))


def _terms_of(coefficient: sp.Expr, blocks: Sequence[Block | None]) -> Iterator[Term]:
    """Yield terms with every central derivative written as the mean of the two one-sided ones."""
    if None in blocks:
        return
    whole = [block for block in blocks if block is not None]
    central = [
        (b, f)
        for b, block in enumerate(whole)
        for f, factor in enumerate(block.kernel_factors)
        if factor.side == Side.BOTH
    ]
    for sides in itertools.product((Side.RIGHT, Side.LEFT), repeat=len(central)):
        chosen = dict(zip(central, sides, strict=True))
        yield Term(
            coefficient / sp.Integer(2) ** len(central),
            tuple(
                replace(
                    block,
                    kernel_factors=tuple(
                        replace(factor, side=chosen.get((b, f), factor.side))
                        for f, factor in enumerate(block.kernel_factors)
                    ),
                )
                for b, block in enumerate(whole)
            ),
        )


_SIDES = {"right": Side.RIGHT, "left": Side.LEFT, "central": Side.BOTH}
