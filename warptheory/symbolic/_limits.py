"""The limit of wide offsets, in which nothing but the fractions of positions is left."""

from dataclasses import replace

import sympy as sp

from warptheory.core.expressions import as_argument
from warptheory.symbolic._terms import NotReducible
from warptheory.symbolic.averages import SERIES_INDEX, closed_average
from warptheory.symbolic.nodes import KernelValue, Node, OffsetAverage, Opaque
from warptheory.symbolic.offset_fields import OffsetField
from warptheory.symbolic.stacks import StackCovariance


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
        limit: sp.Expr = numerator.eval(0) / denominator.eval(0)
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
    return constant * closed_average(OffsetAverage(rest, Opaque(one_pixel)))


def is_still_or_spreads(offsets: OffsetField, scale: sp.Symbol) -> bool:
    """Return whether a field does not depend on a scale, or widens without bound about a fixed centre."""
    laws = [part for _, part in offsets.axis_law.parts]
    fixed = [*offsets.displacement, offsets.correlation, *(law.location for law in laws)]
    if any(scale in as_argument(part).free_symbols for part in fixed):
        return False
    return all(scale not in law.scale.free_symbols for law in laws) or _spreads(offsets, scale)


def _spreads(offsets: OffsetField, scale: sp.Symbol) -> bool:
    """Whether every part of the law has a density that widens without bound with the scale."""
    parts = [part for _, part in offsets.axis_law.parts]
    return all(not part.atoms and sp.diff(part.scale, scale).is_positive is True for part in parts) and all(
        sp.diff(part.scale, scale, 2) == 0 for part in parts
    )
