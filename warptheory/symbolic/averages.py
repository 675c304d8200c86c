"""Averages over offsets in closed form: sums over atoms, Fourier series, and integrals over intervals."""

from collections.abc import Sequence
from functools import reduce

import sympy as sp

from warptheory.fields.laws import ARGUMENT, Law
from warptheory.kernels import Kernel, NoClosedFormError, PeriodicFunction
from warptheory.symbolic._terms import NotReducible
from warptheory.symbolic.head_nodes import DensityIntegral
from warptheory.symbolic.nodes import FractionMean, KernelValue, OffsetAverage, Side, TapSum, sided_tap_sum
from warptheory.symbolic.offset_fields import FRACTIONS
from warptheory.symbolic.values import SUMMED

# Not declared an integer: for those sympy 1.14 evaluates sin(πj/2) to a power of −1 that is wrong for even j.
SERIES_INDEX, _INTEGER = SUMMED


def evaluate_averages(expression: sp.Expr) -> sp.Expr:
    """Replace every average over an axis, and every functional that is left, by its closed form.

    What has none, such as averages of Gaussian kernels or sums of products of averages, stays; it has a
    number by quadrature.
    """
    averaged = expression.replace(lambda node: isinstance(node, OffsetAverage), closed_average)
    averaged = averaged.replace(lambda node: isinstance(node, FractionMean), closed_mean)
    # Averages that are left keep their functionals; symbols stand for them meanwhile.
    left = {node: sp.Dummy(real=True) for node in averaged.atoms(OffsetAverage, DensityIntegral)}
    return _with_values(averaged.xreplace(left)).xreplace({name: node for node, name in left.items()})


def closed_average(node: OffsetAverage) -> sp.Expr:
    """Return an average over the offset along one axis in closed form, or as it is where there is none."""
    offsets, body = node.offsets, node.args[0]
    if offsets.dim > 1:
        return node
    total: sp.Expr = sp.Integer(0)
    for probability, law in offsets.axis_law.parts:
        (symbol,) = offsets.symbols
        closed = _over_atoms(body, symbol, law) if law.atoms else _over_density(body, symbol, law)
        if closed is None:
            return node
        total += probability * closed
    return total


def closed_mean(node: FractionMean) -> sp.Expr:
    """Return the mean over fractions of a sum of products of powers of them, the node itself for other functions."""
    fractions = node.args[1:]
    if not node.args[0].is_polynomial(*fractions):
        return node
    terms = sp.Poly(node.args[0], *fractions).terms()
    return sp.Add(*(coefficient / sp.Mul(*(power + 1 for power in powers)) for powers, coefficient in terms))


def _over_atoms(body: sp.Expr, symbol: sp.Symbol, law: Law) -> sp.Expr:
    """Return Σ p F(value)."""
    return sp.Add(
        *(
            _with_values(body.xreplace({symbol: law.location + law.scale * value})) * probability
            for value, probability in law.atoms
        )
    )


def _with_values(body: sp.Expr) -> sp.Expr:
    """Insert the kernel's values and functionals at positions that are no longer random.

    Functionals become expressions of the fraction, a number or a symbol; one-sided ones, and single values of the
    kernel, need a number.
    """

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
        return _kernel_correlation(sums, law, constant)
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
        elif covers_pixels(law):
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
        return function.mean() if covers_pixels(law) else _average_over_interval(function, law)
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


def covers_pixels(law: Law) -> bool:
    """Whether the law is uniform over a whole number of pixels, so that every fraction is equally likely."""
    return bool(law.canonical.subs(ARGUMENT, law.scale * 2 * sp.pi * _INTEGER) == 0)


def _kernel_correlation(sums: Sequence[TapSum], law: Law, constant: sp.Expr) -> sp.Expr | None:
    """Return ∫ k⁽ᵃ⁾(u) k⁽ᵇ⁾(u + Δ) du, the mean over the fraction of a sum of two factors Δ apart."""
    if len(sums) != 1 or len(sums[0].factors) != 2 or not covers_pixels(law):
        return None
    (first, second) = sums[0].factors
    if first[0] != second[0]:
        return None
    kernel: Kernel = first[0].content
    return constant * kernel.correlation(int(first[1]), int(second[1]), second[2] - first[2])


def series_term(function: PeriodicFunction, law: Law) -> sp.Expr:
    """Return cⱼ χ(2πj) + c₋ⱼ χ(−2πj), the real j-th term of the Poisson sum, j ≥ 1."""
    if len(function.cells) == 1 and not function.cells[0].expression.free_symbols:
        return sp.Integer(0)
    if covers_pixels(law):
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
