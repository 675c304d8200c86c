"""Four renderings of one moment, the expected product of a group of dependent factors; each is a step of a derivation.

They are expressions of the same value: `as_tap_sums`, `as_blocks`, `as_functionals`, and `as_axis_averages`, each more
worked out than the one before. None uses another, since each starts from the group; only the last goes on to the
result, and the others show how it comes about. What is multiplied in them, `_terms` defines.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, cast

import sympy as sp

from warptheory.kernels import Kernel
from warptheory.symbolic._terms import (
    Block,
    Group,
    KernelFactor,
    OffsetVariable,
    Term,
    connected,
    whole_index,
)
from warptheory.symbolic.covariance_nodes import GaussianMoment
from warptheory.symbolic.input_fields import GaussianField, IIDField, InputField, PixelValue
from warptheory.symbolic.moved_fields import SampledValue
from warptheory.symbolic.nodes import (
    ExpectedValue,
    KernelValue,
    OffsetAverage,
    Opaque,
    PixelMoment,
    Side,
    TapSum,
    kernel_argument,
)
from warptheory.symbolic.offset_fields import Fraction, OffsetField
from warptheory.symbolic.values import Index

Writer = Callable[[Group, Sequence[Block]], sp.Expr]


def as_tap_sums(group: Group) -> sp.Expr:
    """Insert y[n] = Σₘ k(ε − m) x[n + m] and z[m] = Σₙ k(n + ε[n] − m) g[n] for every factor."""
    if group.splatted:
        return _expand_splats(group)
    if not group.sampled:
        return _pixels(group)
    return _expand_warps(group)


def as_blocks(group: Group) -> sp.Expr:
    """Expand the moments of independent pixels in cumulants; pixels of a block coincide."""
    return _collect(group, group.terms(), _raw_blocks)


def as_functionals(group: Group) -> sp.Expr:
    """Write each tap sum at one offset as a product over axes of functionals of its fraction, such as ρ(f)."""
    return _collect(group, _without_trivial_sums(group.terms()), _functional_blocks)


def as_axis_averages(group: Group) -> sp.Expr:
    """Write one average per axis, where the offsets along the axes are independent."""
    total: sp.Expr = sp.Integer(0)
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
    for factor in group.factors:
        if isinstance(factor, PixelValue):
            place = _difference(group, whole_index(factor.index, group.dim), origin)
            pixels.setdefault(factor.field, []).append(sp.Tuple(*place))
    moments = [_pixel_moment(field, places) for field, places in pixels.items()]
    total: sp.Expr = sp.Sum(sp.Mul(*weights, *moments), *((m, -sp.oo, sp.oo) for tap in taps for m in tap))
    for variable, offsets in names.items():
        if not group.is_given(variable.offsets):
            total = OffsetAverage(total, Opaque(offsets))
    return total


def _pixel_moment(field: InputField, places: Sequence[sp.Tuple]) -> sp.Expr:
    """Return E ∏ x[m] of a field, not yet worked out."""
    if isinstance(field, GaussianField):
        return GaussianMoment(Opaque(field), *(sp.Tuple(place, (0,) * len(place)) for place in places))
    cumulants = sp.Tuple(*(cast("IIDField", field).cumulant(r + 1) for r in range(len(places))))
    return PixelMoment(Opaque(field.name), cumulants, *places)


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
    total: sp.Expr = sp.Integer(0)
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
        total += expression if group.is_given(offsets) else _offset_average(expression, offsets)
    return total


def _averaged(group: Group, component: Sequence[Block], write: Writer) -> sp.Expr:
    """Average the blocks that share offsets; several offsets are averaged inside the sums over pixels."""
    variables = _variables(component)
    if len(variables) > 1:
        return _sum_of_averages(group, component, range(group.dim))
    written = write(group, component)
    if not variables or group.is_given(variables[0].offsets):
        return written
    return _offset_average(written, variables[0].offsets)


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
        raise group.refusal(
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
    return _offset_average(functionals, line)


# ---------------------------------------------------------------------------- blocks as expressions


def _raw_blocks(group: Group, component: Sequence[Block]) -> sp.Expr:
    """Write blocks that share one offset as products of sums over taps."""
    tap = _tap_indices(group.dim, "")
    origin = _origin(group, component)
    factors = []
    for block in component:
        place = tap if block.pixel is None else _difference(group, block.pixel, origin)
        values = sp.Mul(
            *(v for factor in block.kernel_factors for v in _values(group, factor, origin, place, range(group.dim)))
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
            kernel_factors = [
                (f.kernel, f.orders[axis], _difference(group, f.index, origin)[axis] + f.displacement[axis], f.side)
                for f in block.kernel_factors
            ]
            if block.pixel is None:
                factors.append(tap_sum_node(kernel_factors, symbols[axis]))
                continue
            place = _difference(group, block.pixel, origin)[axis]
            factors += [
                KernelValue(
                    kernel_argument(kernel), order, symbols[axis] + shift - place, side if order else Side.RIGHT
                )
                for kernel, order, shift, side in kernel_factors
            ]
    return sp.Mul(*factors)


def tap_sum_node(kernel_factors: Sequence[tuple[Kernel, int, sp.Expr, int]], position: sp.Expr) -> sp.Expr:
    """Return Σₘ ∏ k⁽ᵒʳᵈᵉʳ⁾(position + shift − m) as a node; constants of the kernel are inserted.

    Args:
        kernel_factors: (kernel, order, shift, side) of each factor.
        position: an offset, or its fraction, along one axis.
    """
    first = kernel_factors[0][2]
    distances = [sp.expand(shift - first) for _, _, shift, _ in kernel_factors]
    if all(distance.is_Integer for distance in distances):
        first += min(distances)
        distances = [distance - min(distances) for distance in distances]
    factors = sorted(
        (
            sp.Tuple(kernel_argument(kernel), sp.Integer(order), distance, sp.Integer(side if order else Side.RIGHT))
            for (kernel, order, _, side), distance in zip(kernel_factors, distances, strict=True)
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
        for factor in block.kernel_factors:
            found = values.setdefault(factor.variable, [])
            found += _values(group, factor, origin, place, axes, on_line=on_line)
    averages = []
    for variable, factors in values.items():
        offsets = variable.offsets.line if on_line else variable.offsets
        product = sp.Mul(*factors)
        averages.append(product if group.is_given(variable.offsets) else _offset_average(product, offsets))
    limits = [(index[axis], -sp.oo, sp.oo) for index in indices.values() for axis in axes]
    return sp.Sum(sp.Mul(*averages), *limits) if limits else sp.Mul(*averages)


def _values(
    group: Group, factor: KernelFactor, origin: Index, place: Index, axes: Iterable[int], *, on_line: bool = False
) -> list[sp.Expr]:
    """Return k⁽ᵒʳᵈᵉʳ⁾(ε + index + displacement − pixel), a factor per axis."""
    offsets = factor.variable.offsets
    symbols = (offsets.line.symbols[0],) * group.dim if on_line else group.positions(offsets)
    index = _difference(group, factor.index, origin)
    kernel = kernel_argument(factor.kernel)
    return [
        KernelValue(
            kernel,
            factor.orders[axis],
            symbols[axis] + index[axis] + factor.displacement[axis] - place[axis],
            factor.side if factor.orders[axis] else Side.RIGHT,
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
        raise group.refusal("given the fraction alone, the whole part of the offset is not known; give both")


def _is_one(block: Block) -> bool:
    if len(block.kernel_factors) != 1:
        return not block.kernel_factors
    (factor,) = block.kernel_factors
    return factor.kernel.reproduces >= 0 and not any(factor.orders)


def _components(blocks: Sequence[Block]) -> list[list[Block]]:
    """Group blocks that share an offset, directly or through others, in an order that depends on them alone."""
    return connected((set(block.variables), block) for block in sorted(blocks, key=_block_key) if block.variables)


def _block_key(block: Block) -> tuple[str, ...]:
    factors = sorted(f"{f.kernel.name}{f.orders}{f.index}{f.displacement}{f.side}" for f in block.kernel_factors)
    return (str(block.pixel), *factors)


def _variables(component: Iterable[Block]) -> list[OffsetVariable]:
    return list(dict.fromkeys(variable for block in component for variable in block.variables))


def _origin(group: Group, component: Sequence[Block]) -> Index:
    """Return the pixel from which the others of a component are counted: the lowest along each axis."""
    _check_whole_parts(group, component)
    indices = [factor.index for block in component for factor in block.kernel_factors]
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
        raise group.refusal("its pixels have to be a known number of pixels apart")
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


def _offset_average(expression: sp.Expr, offsets: OffsetField) -> sp.Expr:
    """Return E over the offsets; what does not depend on them stays outside."""
    if not expression.free_symbols & set(offsets.symbols):
        return expression
    return OffsetAverage(expression, Opaque(offsets))


def kernel_mean(kernel: Kernel, *orders: int) -> sp.Expr:
    """Return ∫₀¹ Σₘ ∏ k⁽ᵒʳᵈᵉʳ⁾(f − m) df as a quantity of the algebra: ρ̄ for orders 0, 0, and δ̄ for 1, 1.

    Args:
        kernel: the kernel.
        *orders: order of the derivative of each factor.
    """
    pixel = OffsetField("uniform", scale=sp.Rational(1, 2))
    node = tap_sum_node([(kernel, order, sp.Integer(0), Side.RIGHT) for order in orders], pixel.symbols[0])
    return _offset_average(node, pixel)
