"""The rewriting rules that take an expected monomial to its closed form, one per step.

A monomial such as y[n]²·∂₁y[n] is a product of *factors*, each a linear functional of the input:
∂^α y[n] = Σₘ ∂^α k(ε − m) x[n + m]. Every rule maps a monomial to an expression; the rules agree
in value, and differ in how much has been worked out.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

import sympy as sp

from warptheory.core.errors import WarpTheoryError
from warptheory.fields.laws import ARGUMENT, Law
from warptheory.kernels import PeriodicFunction
from warptheory.symbolic._nodes import (
    KernelValue,
    OffsetAverage,
    Opaque,
    PixelMoment,
    TapSum,
    kernel_argument,
    set_partitions,
)
from warptheory.symbolic._variables import (
    Fraction,
    Given,
    IIDField,
    Index,
    OffsetField,
    PixelValue,
    RandomAtom,
    SampledValue,
    Site,
)

# Not declared an integer: for those sympy 1.14 evaluates sin(πj/2) to a power of −1 that is wrong for even j.
SERIES_INDEX = sp.Symbol("j", positive=True)
_INTEGER = sp.Symbol("j", integer=True, positive=True)

Orders = tuple[int, ...]  # order of the derivative along each axis, of one factor
Block = tuple[Orders, ...]  # the factors that share one input pixel


class NotReducible(WarpTheoryError):  # noqa: N818 -- the public name; it reads as what it says
    """The algebra cannot reduce a term; the message names the term and what would be needed."""

    def __init__(self, term: object, needed: str) -> None:
        super().__init__(f"cannot reduce {term}: {needed}")


@dataclass(frozen=True)
class Sample:
    """The factors of a monomial that are read at one site, grouped by input field.

    Attributes:
        site: where they are sampled.
        factors: pairs (field, orders of its factors).
        given: what the expectation is conditional on, or None.
    """

    site: Site
    factors: tuple[tuple[IIDField, tuple[Orders, ...]], ...]
    given: Given | None

    @property
    def offsets(self) -> OffsetField:
        """The offset field of the site."""
        return self.site.offsets

    @property
    def is_conditional(self) -> bool:
        """Whether the position is given, so that nothing is averaged over offsets."""
        return self.given in (self.offsets, self.offsets.fraction)

    @property
    def positions(self) -> Index:
        """Symbols of the position along each axis: the given fraction, or the offset."""
        return self.given.symbols if isinstance(self.given, Fraction) and self.is_conditional else self.offsets.symbols

    def terms(self) -> Iterator[tuple[sp.Expr, list[Block]]]:
        """Yield (product of cumulants, blocks): factors that share a block read the same pixel.

        For independent pixels E ∏ x[mᵢ] = Σ over set partitions of ∏ over blocks of κ_|block|, where
        all mᵢ of a block are equal (Leonov and Shiryaev, Theory Probab. Appl. 4(3), 1959).
        """
        per_field = [
            [
                (
                    math.prod(field.cumulant(len(block)) for block in partition),
                    [tuple(orders[i] for i in block) for block in partition],
                )
                for partition in set_partitions(tuple(range(len(orders))))
            ]
            for field, orders in self.factors
        ]
        for choice in itertools.product(*per_field):
            yield sp.Mul(*(cumulants for cumulants, _ in choice)), [block for _, blocks in choice for block in blocks]


def expand_over_taps(sample: Sample) -> sp.Expr:
    """Insert y[n] = Σₘ k(ε − m) x[n + m] for every factor, pixels counted from n."""
    all_orders = [orders for _, field_orders in sample.factors for orders in field_orders]
    taps = [_tap_indices(sample, i + 1, several=len(all_orders) > 1) for i in range(len(all_orders))]
    weights = [weight for orders, tap in zip(all_orders, taps, strict=True) for weight in _weights(sample, orders, tap)]
    unused = iter(taps)
    moments = []
    for field, field_orders in sample.factors:
        cumulants = sp.Tuple(*(field.cumulant(r + 1) for r in range(len(field_orders))))
        moments.append(PixelMoment(Opaque(field.name), cumulants, *(sp.Tuple(*next(unused)) for _ in field_orders)))
    limits = [(m, -sp.oo, sp.oo) for tap in taps for m in tap]
    return _average(sample, sp.Sum(sp.Mul(*weights, *moments), *limits))


def use_independence(sample: Sample) -> sp.Expr:
    """Expand the moments of independent pixels in cumulants; pixels of a block coincide."""
    tap = _tap_indices(sample, 1, several=False)
    limits = [(m, -sp.oo, sp.oo) for m in tap]

    def block_sum(block: Block) -> sp.Expr:
        weights = [weight for orders in block for weight in _weights(sample, orders, tap)]
        return sp.Sum(sp.Mul(*weights), *limits)

    return _average(sample, sp.Add(*(c * sp.Mul(*map(block_sum, blocks)) for c, blocks in sample.terms())))


def name_functionals(sample: Sample) -> sp.Expr:
    """Separate the axes and write each tap sum as a functional of the fraction, such as ρ(f)."""
    summands = [c * sp.Mul(*itertools.chain(*_axis_functionals(sample, blocks))) for c, blocks in sample.terms()]
    return _average(sample, sp.Add(*summands))


def separate_axes(sample: Sample) -> sp.Expr:
    """Use that the offsets along the axes are independent: one average per axis."""
    if sample.is_conditional:
        return name_functionals(sample)
    line = Opaque(
        OffsetField(sample.offsets.law, 1, sample.offsets.scale, sample.offsets.location, sample.offsets.name)
    )
    total = sp.Integer(0)
    for cumulants, blocks in sample.terms():
        axes = [sp.Mul(*functionals) for functionals in _axis_functionals(sample, blocks)]
        names = dict.fromkeys(sample.positions, line.content.symbols[0])
        total += cumulants * sp.Mul(*(_average_on_line(axis.xreplace(names), line) for axis in axes))
    return total


def evaluate_averages(expression: sp.Expr) -> sp.Expr:
    """Replace every average over an axis, and every functional that is left, by its closed form."""
    averaged = expression.replace(
        lambda node: isinstance(node, OffsetAverage),
        lambda node: average_over_law(_as_periodic(node.args[0]), node.offsets.axis_law),
    )
    return averaged.replace(
        lambda node: isinstance(node, TapSum), lambda node: node.function.at(_fraction_of(node.position))
    )


def averaging_reason(expression: sp.Expr) -> str:
    """Say how `evaluate_averages` gets rid of the averages of an expression."""
    laws = {str(node.offsets): node.offsets.axis_law for node in expression.atoms(OffsetAverage)}
    if not laws:
        return "the fraction is given: insert the functionals of the kernel"
    return "; ".join(
        "the offset has finitely many values: E F(ε) is the sum over them"
        if law.atoms
        else "Fourier series and Poisson summation: E F(ε) = Σ c_j χ(2πj), c_j = ∫F(f) exp(−2πijf) df, "
        f"χ(t) = {law.characteristic_function(sp.Symbol('t', real=True))}"
        for _, law in sorted(laws.items())
    )


def average_over_law(function: PeriodicFunction, law: Law) -> sp.Expr:
    """Return E F(ε) for a function of period one.

    With the Fourier series F(ε) = Σⱼ cⱼ exp(2πijε) this is Σⱼ cⱼ χ(2πj) (Poisson summation, A4); for
    laws with atoms it is the sum over them.

    Raises:
        NoClosedFormError: the kernel's functional has no Fourier coefficients in closed form, and the
            law needs them.
    """
    if law.atoms:
        values = ((function.at(sp.frac(law.location + law.scale * value)), p) for value, p in law.atoms)
        return sp.Add(*(value * probability for value, probability in values))
    factor, term = series_term(function, law).as_coeff_Mul()
    return function.mean() + (factor * sp.Sum(term, (SERIES_INDEX, 1, sp.oo)) if factor != 0 else 0)


def series_term(function: PeriodicFunction, law: Law) -> sp.Expr:
    """Return cⱼ χ(2πj) + c₋ⱼ χ(−2πj), the real j-th term of the Poisson sum, j ≥ 1."""
    if len(function.cells) == 1 and not function.cells[0].expression.free_symbols:
        return sp.Integer(0)
    if law.canonical.subs(ARGUMENT, law.scale * 2 * sp.pi * _INTEGER) == 0:
        return sp.Integer(0)  # uniform over whole pixels: no harmonic is left, whatever its coefficient
    frequency = 2 * sp.pi * SERIES_INDEX
    cosine, sine = _real_and_imaginary(function.fourier_coefficient(_INTEGER).subs(_INTEGER, SERIES_INDEX))
    even, odd = (part.subs(ARGUMENT, law.scale * frequency) for part in _real_and_imaginary(law.canonical))
    phase = law.location * frequency
    real = cosine * even - sine * odd
    imaginary = cosine * odd + sine * even
    term = 2 * (real * sp.cos(phase) - imaginary * sp.sin(phase))
    term = term.replace(sp.sinc, lambda argument: sp.sin(argument) / argument)
    vanishes = term.subs(SERIES_INDEX, _INTEGER) == 0  # such as sin(πj)
    return sp.Integer(0) if vanishes else term


def _real_and_imaginary(expression: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """Split an expression in real symbols by turning i into −i."""
    conjugate = expression.xreplace({sp.I: -sp.I})
    if conjugate == expression:
        return expression, sp.Integer(0)
    return _over_one_denominator((expression + conjugate) / 2), _over_one_denominator(
        (expression - conjugate) / (2 * sp.I)
    )


def _over_one_denominator(expression: sp.Expr) -> sp.Expr:
    numerator, denominator = sp.fraction(sp.together(expression))
    return sp.expand(numerator) / sp.expand(denominator)


def split_samples(monomial: sp.Expr, given: Given | None) -> tuple[list[Sample], list[list[PixelValue]]]:
    """Split a monomial into independent samples, and groups of raw pixels, by field.

    Raises:
        NotReducible: two factors at different positions, or through different kernels, share a
            random field.
    """
    factors = [atom for base, power in monomial.as_powers_dict().items() for atom in [base] * int(power)]
    samples: list[Sample] = []
    pixels: dict[IIDField, list[PixelValue]] = {}
    for group in _connected(factors):
        raw = [atom for atom in group if isinstance(atom, PixelValue)]
        warped = [atom for atom in group if isinstance(atom, SampledValue)]
        if raw and warped:
            raise NotReducible(
                monomial,
                "it mixes pixels of the input with warped values of the same field, which needs the law of single taps",
            )
        if raw:
            pixels.setdefault(raw[0].field, []).extend(raw)
            continue
        sites = {atom.site for atom in warped}
        if len(sites) > 1:
            raise NotReducible(
                monomial,
                "its factors sit at different pixels, offsets or kernels, which needs covariances between positions",
            )
        by_field: dict[IIDField, list[Orders]] = {}
        for atom in warped:
            by_field.setdefault(atom.field, []).append(atom.orders)
        samples.append(Sample(sites.pop(), tuple((field, tuple(orders)) for field, orders in by_field.items()), given))
    return samples, list(pixels.values())


def _connected(factors: list[RandomAtom]) -> list[list[RandomAtom]]:
    """Group the factors that share an input field or an offset field, directly or through others."""
    groups: list[tuple[set[object], list[RandomAtom]]] = []
    for atom in factors:
        sources: set[object] = {atom.field} | ({atom.site.offsets} if isinstance(atom, SampledValue) else set())
        members = [atom]
        for other_sources, other_members in [group for group in groups if group[0] & sources]:
            groups.remove((other_sources, other_members))
            sources |= other_sources
            members = other_members + members
        groups.append((sources, members))
    return [members for _, members in groups]


def _tap_indices(sample: Sample, factor: int, *, several: bool) -> tuple[sp.Symbol, ...]:
    """Return the summation indices of one factor, one per axis."""
    label = str(factor) if several else ""
    axes = [""] if sample.offsets.dim == 1 else [str(axis + 1) for axis in range(sample.offsets.dim)]
    names = ["m" + (f"_{label}{axis}" if label or axis else "") for axis in axes]
    return tuple(sp.Symbol(name, integer=True) for name in names)


def _weights(sample: Sample, orders: Orders, tap: tuple[sp.Symbol, ...]) -> list[sp.Expr]:
    """Return ∂^orders k(p − m) for one factor and one tap, as a factor per axis."""
    kernel = kernel_argument(sample.site.kernel)
    axes = zip(orders, sample.positions, tap, strict=True)
    return [KernelValue(kernel, order, position - m) for order, position, m in axes]


def _axis_functionals(sample: Sample, blocks: list[Block]) -> list[list[sp.Expr]]:
    """Return, for each axis, the functional of every block; constants of the kernel are inserted."""
    kernel = kernel_argument(sample.site.kernel)

    def functional(orders: tuple[int, ...], position: sp.Symbol) -> sp.Expr:
        node = TapSum(kernel, sp.Tuple(*sorted(orders)), position)
        cells = node.function.cells
        is_trivial = len(cells) == 1 and cells[0].expression in (0, 1)
        return cells[0].expression if is_trivial else node

    return [
        [functional(tuple(orders[axis] for orders in block), position) for block in blocks]
        for axis, position in enumerate(sample.positions)
    ]


def _average(sample: Sample, expression: sp.Expr) -> sp.Expr:
    return expression if sample.is_conditional else OffsetAverage(expression, Opaque(sample.offsets))


def _average_on_line(expression: sp.Expr, line: Opaque) -> sp.Expr:
    return expression if not expression.has(TapSum) else OffsetAverage(expression, line)


def _as_periodic(product: sp.Expr) -> PeriodicFunction:
    """Multiply out a product of tap sums, exactly."""
    functions = [
        node.function
        for node, power in product.as_powers_dict().items()
        if isinstance(node, TapSum)
        for _ in range(int(power))
    ]
    constant = sp.Mul(
        *(base**power for base, power in product.as_powers_dict().items() if not isinstance(base, TapSum))
    )
    return reduce(PeriodicFunction.__mul__, functions, PeriodicFunction.constant(constant))


def _fraction_of(position: sp.Expr) -> sp.Expr:
    """Return the fraction of a position; the symbols of a given fraction are fractions already."""
    return position if position.is_nonnegative else sp.frac(position)
