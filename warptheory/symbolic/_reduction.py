"""The rewriting rules that take an expected monomial to its closed form, one per step.

Every rule maps a group of dependent factors to an expression. The rules agree in value, and differ in how
much has been worked out; the steps before `separate_axes` still show the offsets as they were written.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

import sympy as sp

from warptheory.fields.laws import ARGUMENT, Law
from warptheory.kernels import Kernel, NoClosedFormError, PeriodicFunction
from warptheory.symbolic._nodes import (
    ExpectedValue,
    KernelValue,
    Node,
    OffsetAverage,
    Opaque,
    PixelMoment,
    Side,
    TapSum,
    kernel_argument,
    sided_tap_sum,
)
from warptheory.symbolic._stacks import StackCovariance
from warptheory.symbolic._terms import (
    Block,
    Group,
    NotReducible,
    OffsetVariable,
    Reading,
    Term,
    whole_index,
)
from warptheory.symbolic._variables import FRACTIONS, Fraction, Index, OffsetField, PixelValue, SampledValue

# Not declared an integer: for those sympy 1.14 evaluates sin(πj/2) to a power of −1 that is wrong for even j.
SERIES_INDEX = sp.Symbol("j", positive=True)
_INTEGER = sp.Symbol("j", integer=True, positive=True)

Writer = Callable[[Group, Sequence[Block]], sp.Expr]


def expand_over_taps(group: Group) -> sp.Expr:
    """Insert y[n] = Σₘ k(ε − m) x[n + m] and z[m] = Σₙ k(n + ε[n] − m) g[n] for every factor."""
    if group.splatted:
        return _expand_splats(group)
    if not group.sampled:
        return _pixels(group)
    return _expand_warps(group)


def use_independence(group: Group) -> sp.Expr:
    """Expand the moments of independent pixels in cumulants; pixels of a block coincide."""
    return _collect(group, group.terms(), _raw_blocks)


def name_functionals(group: Group) -> sp.Expr:
    """Separate the axes and write each tap sum at one offset as a functional of its fraction, such as ρ(f)."""
    return _collect(group, _without_trivial_sums(group.terms()), _functional_blocks)


def separate_axes(group: Group) -> sp.Expr:
    """Use that the offsets along the axes are independent: one average per axis."""
    total = sp.Integer(0)
    for term in _without_trivial_sums(group.terms()):
        parts = (_separate(group, component) for component in _components(term.blocks))
        total += term.coefficient * sp.Mul(*parts)
    return total


def _expand_warps(group: Group) -> sp.Expr:
    atoms = group.sampled
    origin = whole_index(atoms[0].site.index, group.dim)
    names = _names(group)
    taps = [_tap_indices(group.dim, str(i + 1) if len(atoms) > 1 else "") for i in range(len(atoms))]
    weights: list[sp.Expr] = []
    pixels: dict[Any, list[sp.Tuple]] = {}
    for atom, tap in zip(atoms, taps, strict=True):
        weights += _weights(group, atom, tap, names[_variable(group, atom)], origin)
        pixels.setdefault(atom.field, []).append(sp.Tuple(*tap))
    for atom in group.factors:
        if isinstance(atom, PixelValue):
            place = _difference(group, whole_index(atom.index, group.dim), origin)
            pixels.setdefault(atom.field, []).append(sp.Tuple(*place))
    moments = [
        PixelMoment(Opaque(field.name), sp.Tuple(*(field.cumulant(r + 1) for r in range(len(places)))), *places)
        for field, places in pixels.items()
    ]
    total = sp.Sum(sp.Mul(*weights, *moments), *((m, -sp.oo, sp.oo) for tap in taps for m in tap))
    for variable, offsets in names.items():
        if not group.is_given(variable.offsets):
            total = OffsetAverage(total, Opaque(offsets))
    return total


def _weights(
    group: Group, atom: SampledValue, tap: tuple[sp.Symbol, ...], offsets: OffsetField, origin: Index
) -> list[sp.Expr]:
    """Return k⁽ᵒʳᵈᵉʳ⁾(ε + n − m) for one factor, a factor per axis, pixels counted from the origin."""
    symbols = group.positions(offsets) if group.is_given(offsets) else offsets.symbols
    shift = _difference(group, whole_index(atom.site.index, group.dim), origin)
    kernel = kernel_argument(atom.site.kernel)
    return [
        _derivative(kernel, order, symbol + n + move - m, atom.knot)
        for order, symbol, n, move, m in zip(
            atom.orders, symbols, shift, atom.site.offsets.displacement, tap, strict=True
        )
    ]


def _pixels(group: Group) -> sp.Expr:
    """Return E of a product of input pixels."""
    return sp.Add(*(term.coefficient for term in group.terms()))


def _expand_splats(group: Group) -> sp.Expr:
    """Return E ∏ (Σₙ k(n + ε[n] − m) g[n]), the sums written out."""
    n = _tap_indices(group.dim, "", letter="n")

    def written(atom: sp.Expr) -> sp.Expr:
        if isinstance(atom, PixelValue):
            return atom
        offsets, target = atom.site.offsets, whole_index(atom.site.index, group.dim)
        kernel = kernel_argument(atom.site.kernel)
        symbols = (
            offsets.symbols if offsets.is_shared else [sp.Indexed(sp.IndexedBase(str(s)), *n) for s in offsets.symbols]
        )
        weights = [
            KernelValue(kernel, 0, place + symbol + move - m, Side.RIGHT)
            for place, symbol, move, m in zip(n, symbols, offsets.displacement, target, strict=True)
        ]
        source = sp.Indexed(sp.IndexedBase(atom.field.name), *n)
        return sp.Sum(sp.Mul(*weights, source), *((m, -sp.oo, sp.oo) for m in n))

    return ExpectedValue(sp.Mul(*(written(atom) for atom in group.factors)))


def _collect(group: Group, terms: Iterable[Term], write: Writer) -> sp.Expr:
    """Sum the terms, those of one common offset under a single average."""
    total = sp.Integer(0)
    together: dict[OffsetField, sp.Expr] = {}
    for term in terms:
        components = _components(term.blocks)
        if len(components) == 1 and len(_variables(components[0])) == 1:
            (variable,) = _variables(components[0])
            written = term.coefficient * write(group, components[0])
            together[variable.offsets] = together.get(variable.offsets, sp.Integer(0)) + written
        else:
            total += term.coefficient * sp.Mul(*(_averaged(group, component, write) for component in components))
    for offsets, expression in together.items():
        total += expression if group.is_given(offsets) else _average(expression, offsets)
    return total


def _averaged(group: Group, component: Sequence[Block], write: Writer) -> sp.Expr:
    """Average the blocks that share offsets; several offsets are averaged inside the sums over pixels."""
    variables = _variables(component)
    if len(variables) > 1:
        return _sum_of_averages(group, component, range(group.dim))
    written = write(group, component)
    if not variables or group.is_given(variables[0].offsets):
        return written
    return _average(written, variables[0].offsets)


def _separate(group: Group, component: Sequence[Block]) -> sp.Expr:
    """Write the average of blocks that share offsets as a product over the axes, where these are independent."""
    variables = _variables(component)
    if not variables:
        return sp.Integer(1)
    correlations = {variable.offsets.correlation for variable in variables}
    if any(group.is_given(variable.offsets) for variable in variables):
        return _averaged(group, component, _functional_blocks)
    if correlations == {0}:
        return sp.Mul(*(_on_axes(group, component, [axis]) for axis in range(group.dim)))
    if correlations == {1}:
        return _on_axes(group, component, range(group.dim))
    if len(variables) > 1:
        raise NotReducible(
            group.monomial,
            "its pixels have offsets of their own, correlated along the axes; that needs correlation 0 or 1",
        )
    return _averaged(group, component, _functional_blocks)


def _on_axes(group: Group, component: Sequence[Block], axes: Sequence[int]) -> sp.Expr:
    """Average the factors of some axes over offsets that are the same along them."""
    variables = _variables(component)
    if len(variables) > 1:
        return _sum_of_averages(group, component, axes, on_line=True)
    (variable,) = variables
    line = variable.offsets.line
    functionals = _functionals(group, component, axes, dict.fromkeys(axes, line.symbols[0]))
    return _average(functionals, line)


# ---------------------------------------------------------------------------- blocks as expressions


def _raw_blocks(group: Group, component: Sequence[Block]) -> sp.Expr:
    """Write blocks that share one offset as products of sums over taps."""
    tap = _tap_indices(group.dim, "")
    origin = _origin(group, component)
    factors = []
    for block in component:
        place = tap if block.pixel is None else _difference(group, block.pixel, origin)
        values = sp.Mul(
            *(v for reading in block.readings for v in _values(group, reading, origin, place, range(group.dim)))
        )
        factors.append(values if block.pixel is not None else sp.Sum(values, *((m, -sp.oo, sp.oo) for m in tap)))
    return sp.Mul(*factors)


def _functional_blocks(group: Group, component: Sequence[Block]) -> sp.Expr:
    """Write blocks that share one offset by functionals of its fraction."""
    axes = range(group.dim)
    variables = _variables(component)
    symbols = group.positions(variables[0].offsets) if variables else ()
    return _functionals(group, component, axes, dict(zip(axes, symbols, strict=False)))


def _functionals(
    group: Group, component: Sequence[Block], axes: Iterable[int], symbols: dict[int, sp.Symbol]
) -> sp.Expr:
    """Return the product over blocks and axes of tap sums, or of kernel values at a given pixel."""
    origin = _origin(group, component)
    factors = []
    for axis in axes:
        for block in component:
            readings = [
                (r.kernel, r.orders[axis], _difference(group, r.index, origin)[axis] + r.displacement[axis], r.side)
                for r in block.readings
            ]
            if block.pixel is None:
                factors.append(tap_sum_node(readings, symbols[axis]))
                continue
            place = _difference(group, block.pixel, origin)[axis]
            factors += [
                KernelValue(
                    kernel_argument(kernel), order, symbols[axis] + shift - place, side if order else Side.RIGHT
                )
                for kernel, order, shift, side in readings
            ]
    return sp.Mul(*factors)


def tap_sum_node(readings: Sequence[tuple[Kernel, int, sp.Expr, int]], position: sp.Expr) -> sp.Expr:
    """Return Σₘ ∏ k⁽ᵒʳᵈᵉʳ⁾(position + shift − m) as a node; constants of the kernel are inserted.

    Args:
        readings: (kernel, order, shift, side) of each factor.
        position: an offset, or its fraction, along one axis.
    """
    first = readings[0][2]
    distances = [sp.expand(shift - first) for _, _, shift, _ in readings]
    if all(distance.is_Integer for distance in distances):
        first += min(distances)
        distances = [distance - min(distances) for distance in distances]
    factors = sorted(
        (
            sp.Tuple(kernel_argument(kernel), sp.Integer(order), distance, sp.Integer(side if order else Side.RIGHT))
            for (kernel, order, _, side), distance in zip(readings, distances, strict=True)
        ),
        key=str,
    )
    # A common shift by whole pixels changes nothing.
    node = TapSum(sp.Tuple(*factors), position + (0 if first.is_integer else first))
    if node.has_whole_shifts and not node.is_one_sided:
        cells = node.function.cells
        if len(cells) == 1 and cells[0].expression in (0, 1):
            return cells[0].expression
    return node


def _sum_of_averages(
    group: Group, component: Sequence[Block], axes: Sequence[int], *, on_line: bool = False
) -> sp.Expr:
    """Return Σ over the blocks' pixels of a product over the offsets of averages of kernel values."""
    origin = _origin(group, component)
    summed = [block for block in component if block.pixel is None]
    labels = [str(i + 1) if len(summed) > 1 else "" for i in range(len(summed))]
    indices = {id(block): _line_indices(group.dim, label, axes) for block, label in zip(summed, labels, strict=True)}
    values: dict[OffsetVariable, list[sp.Expr]] = {}
    for block in component:
        place = indices[id(block)] if block.pixel is None else _difference(group, block.pixel, origin)
        for reading in block.readings:
            found = values.setdefault(reading.variable, [])
            found += _values(group, reading, origin, place, axes, on_line=on_line)
    averages = []
    for variable, factors in values.items():
        offsets = variable.offsets.line if on_line else variable.offsets
        product = sp.Mul(*factors)
        averages.append(product if group.is_given(variable.offsets) else _average(product, offsets))
    limits = [(index[axis], -sp.oo, sp.oo) for index in indices.values() for axis in axes]
    return sp.Sum(sp.Mul(*averages), *limits) if limits else sp.Mul(*averages)


def _values(
    group: Group, reading: Reading, origin: Index, place: Index, axes: Iterable[int], *, on_line: bool = False
) -> list[sp.Expr]:
    """Return k⁽ᵒʳᵈᵉʳ⁾(ε + index + displacement − pixel), a factor per axis."""
    offsets = reading.variable.offsets
    symbols = (offsets.line.symbols[0],) * group.dim if on_line else group.positions(offsets)
    index = _difference(group, reading.index, origin)
    kernel = kernel_argument(reading.kernel)
    return [
        KernelValue(
            kernel,
            reading.orders[axis],
            symbols[axis] + index[axis] + reading.displacement[axis] - place[axis],
            reading.side if reading.orders[axis] else Side.RIGHT,
        )
        for axis in axes
    ]


def _without_trivial_sums(terms: Iterable[Term]) -> list[Term]:
    """Drop sums over the taps of one kernel that is a partition of unity: they are 1."""
    return [
        Term(term.coefficient, tuple(block for block in term.blocks if block.pixel is not None or not _is_one(block)))
        for term in terms
    ]


def _check_whole_parts(group: Group, component: Sequence[Block]) -> None:
    """Refuse what depends on the whole part of an offset of which only the fraction is given.

    Raises:
        NotReducible: a given fraction, and a pixel or another offset whose distance matters.
    """
    if not isinstance(group.given, Fraction) or not any(group.is_given(v.offsets) for v in _variables(component)):
        return
    if len(_variables(component)) > 1 or any(block.pixel is not None for block in component):
        raise NotReducible(
            group.monomial, "given the fraction alone, the whole part of the offset is not known; give both"
        )


def _is_one(block: Block) -> bool:
    if len(block.readings) != 1:
        return not block.readings
    (reading,) = block.readings
    return reading.kernel.reproduces >= 0 and not any(reading.orders)


def _components(blocks: Sequence[Block]) -> list[list[Block]]:
    """Group blocks that share an offset, directly or through others, in an order that depends on them alone."""
    groups: list[tuple[set[OffsetVariable], list[Block]]] = []
    for block in sorted(blocks, key=_block_key):
        variables, members = set(block.variables), [block]
        for other in [group for group in groups if group[0] & variables]:
            groups.remove(other)
            variables |= other[0]
            members = other[1] + members
        groups.append((variables, members))
    return [members for variables, members in groups if variables]


def _block_key(block: Block) -> tuple[str, ...]:
    readings = sorted(f"{r.kernel.name}{r.orders}{r.index}{r.displacement}{r.side}" for r in block.readings)
    return (str(block.pixel), *readings)


def _variables(component: Iterable[Block]) -> list[OffsetVariable]:
    return list(dict.fromkeys(variable for block in component for variable in block.variables))


def _origin(group: Group, component: Sequence[Block]) -> Index:
    """Return the pixel from which the others of a component are counted: the lowest along each axis."""
    _check_whole_parts(group, component)
    indices = [reading.index for block in component for reading in block.readings]
    differences = [_difference(group, index, indices[0]) for index in indices]
    lowest = [min(difference[axis] for difference in differences) for axis in range(group.dim)]
    return tuple(first + low for first, low in zip(indices[0], lowest, strict=True))


def _difference(group: Group, index: Index, origin: Index) -> Index:
    """Return index − origin, which has to be a number of pixels.

    Raises:
        NotReducible: it is not known how far two pixels are apart.
    """
    found = tuple(sp.expand(a - b) for a, b in zip(index, origin, strict=True))
    if not all(difference.is_Integer for difference in found):
        raise NotReducible(group.monomial, "its pixels have to be a known number of pixels apart")
    return found


def _variable(group: Group, atom: SampledValue) -> OffsetVariable:
    offsets = atom.site.offsets
    return OffsetVariable(offsets.source, () if offsets.is_shared else whole_index(atom.site.index, group.dim))


def _names(group: Group) -> dict[OffsetVariable, OffsetField]:
    """Give every offset symbols of its own: those of its field, numbered where the field has several."""
    variables = list(dict.fromkeys(_variable(group, atom) for atom in group.sampled))
    names = {}
    for variable in variables:
        siblings = [other for other in variables if other.offsets == variable.offsets]
        number = str(siblings.index(variable)) if len(siblings) > 1 else ""
        names[variable] = replace(variable.offsets, name=variable.offsets.name + number)
    return names


def _derivative(kernel: Opaque, order: int, position: sp.Expr, knot: str) -> sp.Expr:
    """Return k⁽ᵒʳᵈᵉʳ⁾(u) from the side that is meant at a knot."""
    right, left = (KernelValue(kernel, order, position, side) for side in (Side.RIGHT, Side.LEFT))
    if order == 0 or knot == "right":
        return right
    return left if knot == "left" else (right + left) / 2


def _tap_indices(dim: int, label: str, letter: str = "m") -> tuple[sp.Symbol, ...]:
    """Return the summation indices of one factor, one per axis."""
    axes = [""] if dim == 1 else [str(axis + 1) for axis in range(dim)]
    names = [letter + (f"_{label}{axis}" if label or axis else "") for axis in axes]
    return tuple(sp.Symbol(name, integer=True) for name in names)


def _line_indices(dim: int, label: str, axes: Sequence[int]) -> tuple[sp.Symbol, ...]:
    """Return summation indices; along one axis alone they are called alike, so that equal sums are seen to be equal."""
    return _tap_indices(1, label) * dim if len(axes) == 1 else _tap_indices(dim, label)


def _average(expression: sp.Expr, offsets: OffsetField) -> sp.Expr:
    """Return E over the offsets; what does not depend on them stays outside."""
    if not expression.free_symbols & set(offsets.symbols):
        return expression
    return OffsetAverage(expression, Opaque(offsets))


# ---------------------------------------------------------------------------- averages in closed form


def kernel_mean(kernel: Kernel, *orders: int) -> sp.Expr:
    """Return ∫₀¹ Σₘ ∏ k⁽ᵒʳᵈᵉʳ⁾(f − m) df as a quantity of the algebra: ρ̄ for orders 0, 0, and δ̄ for 1, 1.

    Args:
        kernel: the kernel.
        *orders: order of the derivative of each factor.
    """
    pixel = OffsetField("uniform", scale=sp.Rational(1, 2))
    node = tap_sum_node([(kernel, order, sp.Integer(0), Side.RIGHT) for order in orders], pixel.symbols[0])
    return _average(node, pixel)


def evaluate_averages(expression: sp.Expr) -> sp.Expr:
    """Replace every average over an axis, and every functional that is left, by its closed form.

    What has none, such as averages of Gaussian kernels or sums of products of averages, stays; it has a
    number by quadrature.
    """
    averaged = expression.replace(lambda node: isinstance(node, OffsetAverage), _closed_average)
    left = {node: sp.Dummy(real=True) for node in averaged.atoms(OffsetAverage)}
    return _at(averaged.xreplace(left)).xreplace({name: node for node, name in left.items()})


def _closed_average(node: OffsetAverage) -> sp.Expr:
    offsets, body = node.offsets, node.args[0]
    if offsets.dim > 1:
        return node
    total = sp.Integer(0)
    for probability, law in offsets.axis_law.parts:
        (symbol,) = offsets.symbols
        closed = _over_atoms(body, symbol, law) if law.atoms else _over_density(body, symbol, law)
        if closed is None:
            return node
        total += probability * closed
    return total


def _over_atoms(body: sp.Expr, symbol: sp.Symbol, law: Law) -> sp.Expr:
    """Return Σ p F(value)."""
    return sp.Add(
        *(
            _at(body.xreplace({symbol: law.location + law.scale * value})) * probability
            for value, probability in law.atoms
        )
    )


def _at(body: sp.Expr) -> sp.Expr:
    """Insert the kernel's values and functionals at positions that are no longer random."""

    def known(node: TapSum) -> sp.Expr:
        if not node.is_one_sided:
            return node.function.at(_fraction_of(node.position)) if node.has_whole_shifts else node
        if not node.position.is_number:
            raise NotReducible(
                node, "a one-sided derivative needs the offset as a number, to know whether it is a knot"
            )
        return sided_tap_sum(node.factors, node.position)

    inserted = body.replace(lambda node: isinstance(node, TapSum), known)
    return inserted.replace(
        lambda node: isinstance(node, KernelValue) and node.args[2].is_number and node.args[3] == Side.RIGHT,
        lambda node: node.kernel.value(node.args[2], int(node.args[1])),
    )


def _over_density(body: sp.Expr, symbol: sp.Symbol, law: Law) -> sp.Expr | None:
    """Return the average in closed form, None if the library derives none."""
    constant, rest = body.as_independent(symbol, as_Add=False)
    sums = [node for node, power in rest.as_powers_dict().items() for _ in range(int(power))]
    if not all(isinstance(node, TapSum) for node in sums):
        return None
    if not all(node.has_whole_shifts for node in sums):
        return _correlation(sums, law, constant)
    moves = {sp.expand(node.position - symbol) for node in sums}
    if len(moves) > 1:
        return None
    try:
        product = reduce(PeriodicFunction.__mul__, (node.function for node in sums))
        found = average_over_law(product, law.at(law.location + moves.pop(), law.scale))
    except NoClosedFormError:
        return None
    return None if found.has(sp.Integral) else constant * found


def averaging_reason(expression: sp.Expr, result: sp.Expr) -> str:
    """Say how `evaluate_averages` gets rid of the averages of an expression, and what stays."""
    averages = expression.atoms(OffsetAverage)
    if not averages:
        return "the fraction is given: insert the functionals of the kernel"
    reasons = []
    for _, law in sorted({str(node.offsets): node.offsets.axis_law for node in averages}.items()):
        if law.atoms:
            reasons.append("the offset has finitely many values: E F(ε) is the sum over them")
        elif _covers_pixels(law):
            reasons.append("every fraction is equally likely: E F(ε) = ∫F(f) df over one pixel")
        elif _is_uniform(law):
            reasons.append(
                "integrate over the interval [l − a, l + a): E F(ε) = ∫F + (Q(l + a) − Q(l − a))/2a, "
                "Q′ = F − ∫F of period one"
            )
        else:
            reasons.append(
                "Fourier series and Poisson summation: E F(ε) = Σ c_j χ(2πj), c_j = ∫F(f) exp(−2πijf) df, "
                f"χ(t) = {law.characteristic_function(sp.Symbol('t', real=True))}"
            )
    if result.atoms(OffsetAverage):
        reasons.append("what is still written as an average has no closed form here; its number comes from quadrature")
    elif result.atoms(sp.Integral):
        reasons.append("integrals that are left have no closed form here; their numbers come from quadrature")
    return "; ".join(reasons)


def average_over_law(function: PeriodicFunction, law: Law) -> sp.Expr:
    """Return E F(ε) for a function of period one.

    With the Fourier series F(ε) = Σⱼ cⱼ exp(2πijε) this is Σⱼ cⱼ χ(2πj) (Poisson summation, A4); for
    laws with atoms it is the sum over them, and for uniform ones the integral over their interval.

    Raises:
        NoClosedFormError: the kernel's functional has no Fourier coefficients, or no primitive, in closed
            form, and the law needs them.
    """
    return sp.Add(*(probability * _average_over_part(function, part) for probability, part in law.parts))


def _average_over_part(function: PeriodicFunction, law: Law) -> sp.Expr:
    if law.atoms:
        values = ((function.at(sp.frac(law.location + law.scale * value)), p) for value, p in law.atoms)
        return sp.Add(*(value * probability for value, probability in values))
    if _is_uniform(law):
        return function.mean() if _covers_pixels(law) else _average_over_interval(function, law)
    factor, term = series_term(function, law).as_coeff_Mul()
    return function.mean() + (factor * sp.Sum(term, (SERIES_INDEX, 1, sp.oo)) if factor != 0 else 0)


def _average_over_interval(function: PeriodicFunction, law: Law) -> sp.Expr:
    """Return the mean over [l − a, l + a): ∫F + (Q(l + a) − Q(l − a))/2a, Q the periodic primitive of F − ∫F."""
    if len(function.cells) == 1 and not function.cells[0].expression.free_symbols:
        return function.mean()
    primitive = function.primitive()
    upper = primitive.at(sp.frac(law.location + law.scale))
    if law.location == 0:  # both ends by one fraction, so that terms merge
        lower = primitive.reflect().at(sp.frac(law.scale))
    else:
        lower = primitive.at(sp.frac(law.location - law.scale))
    return function.mean() + sp.expand((upper - lower) / (2 * law.scale))


def _is_uniform(law: Law) -> bool:
    return bool(law.canonical == sp.sinc(ARGUMENT))


def take_wide_limit(expression: sp.Expr, scale: sp.Symbol) -> sp.Expr:
    """Return the limit as the scale of the offsets grows without bound.

    Raises:
        NotReducible: the scale remains in a term that has no rule here.
    """
    limit = expression.replace(
        lambda node: isinstance(node, sp.Sum | OffsetAverage | StackCovariance) and scale in node.free_symbols,
        lambda node: _wide(node, scale),
    )
    return _factored(_without_fractions(limit, scale) if scale in limit.free_symbols else limit)


def _without_fractions(expression: sp.Expr, scale: sp.Symbol) -> sp.Expr:
    """Return the limit of a rational function of the scale, in which fractions of it are only bounded."""
    refusal = NotReducible(
        expression, f"its limit for {scale} → ∞ is not one of harmonics, of fractions and of sums over pixels"
    )
    if any(scale in node.free_symbols for node in expression.atoms(Node, sp.Sum, sp.Integral)):
        raise refusal
    bounded = {
        part: sp.Dummy(real=True)
        for part in expression.atoms(sp.frac, sp.Piecewise)
        if scale not in part.replace(sp.frac, lambda _: sp.Integer(0)).free_symbols
    }
    inverse = sp.Dummy(positive=True)
    ratio = sp.together(expression.xreplace(bounded).subs(scale, 1 / inverse))
    numerator, denominator = (part.as_poly(inverse) for part in sp.fraction(ratio))
    if numerator is not None and denominator is not None and denominator.eval(0) != 0:
        # The coefficients are bounded, so the limit is uniform in them.
        limit = numerator.eval(0) / denominator.eval(0)
        if not limit.free_symbols & set(bounded.values()):
            return limit
    raise refusal


def _factored(expression: sp.Expr) -> sp.Expr:
    """Factor, with averages and integrals that are left as indivisible symbols."""
    names = {part: sp.Dummy(positive=True) for part in expression.atoms(OffsetAverage, sp.Integral)}
    return sp.factor(expression.xreplace(names)).xreplace({name: part for part, name in names.items()})


def _wide(node: sp.Expr, scale: sp.Symbol) -> sp.Expr:
    if isinstance(node, StackCovariance):
        is_wide = all(_spreads(layer.offsets, scale) for layer in node.stack.layers)
        return node.wide_limit() if is_wide else node
    if isinstance(node, OffsetAverage):
        return _wide_average(node, scale)
    averages = [
        part
        for base, power in node.function.as_powers_dict().items()
        for part in [base] * int(power if power.is_Integer else 1)
        if isinstance(base, OffsetAverage)
    ]
    is_series = not averages and all(index == SERIES_INDEX for index, *_ in node.limits)
    if is_series or (len(averages) > 1 and all(_spreads(average.offsets, scale) for average in averages)):
        return sp.Integer(0)
    return node


def _wide_average(node: OffsetAverage, scale: sp.Symbol) -> sp.Expr:
    """Return the mean over the fraction of a function of period one, none of whose harmonics survives."""
    if node.offsets.dim > 1 or node.args[0].has(KernelValue) or not _spreads(node.offsets, scale):
        return node
    constant, rest = node.args[0].as_independent(*node.offsets.symbols, as_Add=False)
    one_pixel = replace(node.offsets, law="uniform", scale=sp.Rational(1, 2), location=None)
    return constant * _closed_average(OffsetAverage(rest, Opaque(one_pixel)))


def is_still_or_spreads(offsets: OffsetField, scale: sp.Symbol) -> bool:
    """Return whether a field does not depend on a scale, or widens without bound about a fixed centre."""
    laws = [part for _, part in offsets.axis_law.parts]
    fixed = [*offsets.displacement, offsets.correlation, *(law.location for law in laws)]
    if any(scale in sp.sympify(part).free_symbols for part in fixed):
        return False
    return all(scale not in law.scale.free_symbols for law in laws) or _spreads(offsets, scale)


def _spreads(offsets: OffsetField, scale: sp.Symbol) -> bool:
    """Whether every part of the law has a density that widens without bound with the scale."""
    parts = [part for _, part in offsets.axis_law.parts]
    return all(not part.atoms and sp.diff(part.scale, scale).is_positive is True for part in parts) and all(
        sp.diff(part.scale, scale, 2) == 0 for part in parts
    )


def _covers_pixels(law: Law) -> bool:
    """Whether the law is uniform over a whole number of pixels, so that every fraction is equally likely."""
    return bool(law.canonical.subs(ARGUMENT, law.scale * 2 * sp.pi * _INTEGER) == 0)


def _correlation(sums: Sequence[TapSum], law: Law, constant: sp.Expr) -> sp.Expr | None:
    """Return ∫ k⁽ᵃ⁾(u) k⁽ᵇ⁾(u + Δ) du, the mean over the fraction of a sum of two factors Δ apart."""
    if len(sums) != 1 or len(sums[0].factors) != 2 or not _covers_pixels(law):
        return None
    (first, second) = sums[0].factors
    if first[0] != second[0]:
        return None
    kernel = first[0].content
    return constant * kernel.correlation(int(first[1]), int(second[1]), second[2] - first[2])


def series_term(function: PeriodicFunction, law: Law) -> sp.Expr:
    """Return cⱼ χ(2πj) + c₋ⱼ χ(−2πj), the real j-th term of the Poisson sum, j ≥ 1."""
    if len(function.cells) == 1 and not function.cells[0].expression.free_symbols:
        return sp.Integer(0)
    if _covers_pixels(law):
        return sp.Integer(0)  # no harmonic is left, whatever its coefficient
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


def _fraction_of(position: sp.Expr) -> sp.Expr:
    """Return the fraction of a position; the symbols of a given fraction are fractions already."""
    return position if any(position in symbols for symbols in FRACTIONS.values()) else sp.frac(position)
