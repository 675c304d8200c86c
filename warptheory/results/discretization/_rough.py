"""The error of linear interpolation for Matérn fields of any smoothness, to leading order in the spacing (D3).

C(τ) is a series in τ² and one in τ²ᵐ⁺²ᵛ. The mean error is linear in C, and takes a power |τ|ᵖ to F(p)hᵖ, F(2) = 0: the
first power that is left is h²ᵛ, or h⁴ of D2, and at ν = 2, where both have a pole, h⁴ log h.
"""

from dataclasses import dataclass
from functools import cache

import mpmath
import sympy as sp

from warptheory.fields import Matern
from warptheory.results._setting import Setting
from warptheory.results.discretization._errors import error
from warptheory.results.fields._fields import LENGTH, SMOOTHNESS, SPACING, uniform_offsets
from warptheory.symbolic import (
    DEVIATION,
    Derivation,
    Expectation,
    GaussianField,
    LeadingTerm,
    SmallSpacing,
    Step,
)
from warptheory.symbolic.covariance_nodes import FieldCovariance, SpectralMoment
from warptheory.symbolic.nodes import FractionMean, Node, Opaque
from warptheory.symbolic.quadrature import Environment, Evaluate

_POWER = sp.Symbol("p", positive=True)


@cache
def finite_error(kernel: str) -> sp.Expr:
    """Return the mean error on a grid of spacing 1, for any covariance."""
    return Expectation(error(Setting(kernel=kernel), GaussianField("x"), uniform_offsets(1)) ** 2).doit()


@cache
def functional(kernel: str) -> sp.Expr:
    """Return F(p), the mean error at h = 1 for |τ|ᵖ in place of C(τ), p > 0; linear in C by the algebra.

    Raises:
        ArithmeticError: a lag that is neither whole, nor the fraction f or 1 − f beyond whole pixels.
    """

    def integral(integrand: sp.Expr, fraction: sp.Symbol) -> sp.Expr:
        return sp.Add(*(_mean_of(term, fraction) for term in sp.Add.make_args(sp.expand(integrand))))

    averaged = finite_error(kernel).replace(FractionMean, integral)
    whole = {node: abs(node.lag[0]) ** _POWER if node.lag[0] != 0 else 0 for node in averaged.atoms(FieldCovariance)}
    return sp.factor(sp.simplify(averaged.xreplace(whole)))


def _mean_of(term: sp.Expr, fraction: sp.Symbol) -> sp.Expr:
    """Return ∫₀¹ q(f)|τ|ᵖ df for a polynomial q times C(τ), by Euler's beta function."""
    (node,) = term.atoms(FieldCovariance)
    lag, weight = node.lag[0], sp.Poly(term.coeff(node), fraction)
    if lag == 0:
        return sp.Integer(0)
    if fraction not in lag.free_symbols:
        return sp.Abs(lag) ** _POWER * sp.integrate(weight.as_expr(), (fraction, 0, 1))
    if lag not in (fraction, 1 - fraction, fraction - 1):
        raise ArithmeticError(f"known are lags f and 1 − f, and not {lag}")
    turned = weight if lag == fraction else sp.Poly(weight.as_expr().subs(fraction, 1 - fraction), fraction)
    return sp.Add(*(c / (_POWER + power + 1) for (power,), c in turned.terms()))


@cache
def coefficient_of_rough_power() -> sp.Expr:
    """Return B of C(τ) = even powers + B|τ|^2ν + …, for the Matérn covariance of variance one, ν no whole number.

    By K_ν = π(I₋ν − I_ν)/(2 sin νπ), I_ν(z) = (z/2)^ν/Γ(ν + 1) + …; as Γ(2 − ν)/ν(ν − 1) in place of Γ(−ν).
    """
    nu, z = sp.Symbol("nu", positive=True, integer=False), sp.Symbol("z", positive=True)
    growing = sp.besselk(nu, z).rewrite(sp.besseli).expand().coeff(sp.besseli(nu, z))
    power = 2 ** (1 - nu) / sp.gamma(nu) * z**nu * growing * (z / 2) ** nu / sp.gamma(nu + 1)
    reflected = power.subs(sp.csc(sp.pi * nu), sp.gamma(nu) * sp.gamma(2 - nu) / (sp.pi * (1 - nu)))
    in_gammas = reflected.subs(sp.gamma(nu + 1), nu * sp.gamma(nu))
    plain = sp.powsimp(sp.expand_power_base(in_gammas / z ** (2 * nu), force=True)).subs(nu, SMOOTHNESS)
    return plain * (2 * SMOOTHNESS / LENGTH**2) ** SMOOTHNESS


@cache
def rough_error(kernel: str) -> sp.Expr:
    """Return σ²B F(2ν) h^2ν, in which a pole of B at ν = 1 meets a zero of F."""
    factors = coefficient_of_rough_power() * functional(kernel).subs(_POWER, 2 * SMOOTHNESS)
    return sp.factor(sp.cancel(sp.together(factors)), deep=False) * DEVIATION**2 * SPACING ** (2 * SMOOTHNESS)


@dataclass(frozen=True)
class RoughLeading(LeadingTerm):
    """The leading term of the mean error of a Matérn field of 0 < ν < 2 as h → 0.

    Attributes:
        kernel: name of the kernel.
    """

    kernel: str

    def derive(self) -> Derivation:
        """Return the steps of the mean error at a finite spacing, and the leading term."""
        finite = self.statistic.derive().steps
        return self.derivation((*finite, Step("Expand in the spacing", _SERIES, rough_error(self.kernel))))

    @property
    def vanishing(self) -> sp.Symbol:
        """The parameter that goes to zero."""
        return SPACING


_SERIES = (
    "C(τ) = even powers + B|τ|^2ν + …, B from K_ν = π(I₋ν − I_ν)/(2 sin νπ); |τ|ᵖ gives F(p)hᵖ, F(p) = "
    "(p − 2)(p + 5)/3(p + 1)(p + 2) for linear interpolation: τ² gives nothing, and 2ν < 4 is the lowest power left"
)


class LimitAt(Node):
    """The limit of an expression at a removable singularity: args (expression, symbol, point)."""

    bound = slice(1, 2)

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the limit."""
        return sp.Limit(*self.args, "+-")

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Take the mean of both sides, in so many digits that their distance counts as little as rounding."""
        expression, symbol, point = self.args
        given = {other: sp.Float(environment[other], _DIGITS) for other in self.free_symbols}
        sides = (point + sign * sp.Float(10, _DIGITS) ** (-_DIGITS // 4) for sign in (1, -1))
        return float(sum(expression.subs(symbol, side).subs(given).evalf(_DIGITS) for side in sides) / 2)


_DIGITS = 60


@cache
def smooth_error(kernel: str) -> sp.Expr:
    """Return the leading term of the mean error where C has four derivatives, of order h⁴ (D2)."""
    x = GaussianField("x", spacing=SPACING)
    return SmallSpacing(Expectation(error(Setting(kernel=kernel), x, uniform_offsets(1)) ** 2), SPACING).doit()


@dataclass(frozen=True)
class LogarithmicLeading(RoughLeading):
    """The leading term of the mean error of a Matérn field of ν = 2 as h → 0, of order h⁴ log(1/h)."""

    def derive(self) -> Derivation:
        """Return the steps of the mean error at a finite spacing, and the limit of the two terms that have poles.

        Raises:
            ArithmeticError: the poles do not cancel.
        """
        beyond = sp.Symbol("q", positive=True)  # ν − 2
        covariance = Matern(nu=2 + beyond, length=LENGTH, variance=DEVIATION**2, dim=1)
        smooth = smooth_error(self.kernel)
        (moment,) = smooth.atoms(SpectralMoment)
        smooth = smooth.xreplace({moment: covariance.spectral_moment(*moment.orders)}).subs(beyond, SMOOTHNESS - 2)
        rough = rough_error(self.kernel)
        # Γ(2 − ν) = Γ(3 − ν)/(2 − ν): both times ν − 2 are regular.
        without_poles = sp.simplify((SMOOTHNESS - 2) * smooth) - rough.subs(
            sp.gamma(2 - SMOOTHNESS), sp.gamma(3 - SMOOTHNESS)
        )
        if sp.simplify(without_poles.subs(SMOOTHNESS, 2)) != 0:
            raise ArithmeticError("the poles of both terms at ν = 2 have to cancel")
        limit = sp.diff(without_poles, SMOOTHNESS).subs(SMOOTHNESS, 2)
        finite = self.statistic.derive().steps
        return self.derivation(
            (
                *finite,
                Step("Expand in the spacing", _POLES, LimitAt(rough + smooth, SMOOTHNESS, 2)),
                Step("Cancel the poles", "the residues differ in sign: h^2ν − h⁴ over ν − 2", _collected(limit)),
            ),
        )


def _collected(limit: sp.Expr) -> sp.Expr:
    """Return the coefficient of log(ℓ/h) times that, and a constant."""
    fine, coarse = (sp.log(symbol) for symbol in (SPACING, LENGTH))
    expanded = sp.expand(sp.expand_log(limit, force=True))
    slope = expanded.coeff(fine)
    if sp.simplify(slope + expanded.coeff(coarse)) != 0:
        raise ArithmeticError("the error has to depend on h/ℓ alone")
    return -slope * (sp.log(LENGTH / SPACING) + sp.simplify((expanded - slope * (fine - coarse)) / -slope))


_POLES = (
    "B|τ|^2ν and λ₄τ⁴/24 have poles of opposite signs at ν = 2, and so have the terms B F(2ν) h^2ν and λ₄h⁴/120 that "
    "they leave; C is continuous in ν, so that their sum is too"
)


class OrderOfError(Node):
    """lim log₂ E(2h)/E(h) as h → 0, E the mean error of a Matérn field: args (name of the kernel, ν)."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the limit, to be taken."""
        mean = sp.Function("E")
        return sp.Limit(sp.log(mean(2 * SPACING) / mean(SPACING)) / sp.log(2), SPACING, 0)

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Take the ratio of two errors at a fine spacing, ℓ = 1, in digits enough for what cancels."""
        with mpmath.workdps(_DIGITS):
            nu = mpmath.mpf(float(evaluate(self.args[1], environment)))
            fine, coarse = (_matern_error(self.args[0].content, nu, h) for h in (_FINE, 2 * _FINE))
            return float(mpmath.log(coarse / fine, 2))


def _matern_error(kernel: str, nu: mpmath.mpf, spacing: float) -> mpmath.mpf:
    """Return the mean error for the Matérn covariance of variance and length one."""
    factor = mpmath.mpf(2) ** (1 - nu) / mpmath.gamma(nu)

    @cache  # terms are integrated one by one, over the same fractions
    def covariance(lag: mpmath.mpf | int) -> mpmath.mpf:
        z = mpmath.sqrt(2 * nu) * abs(lag) * spacing
        return factor * z**nu * mpmath.besselk(nu, z) if z else mpmath.mpf(1)

    def at_lags(expression: sp.Expr) -> sp.Expr:
        return expression.replace(FieldCovariance, lambda *args: sp.Function("C")(FieldCovariance(*args).lag[0]))

    total = mpmath.mpf(0)
    for term in sp.Add.make_args(sp.expand(finite_error(kernel))):
        means = term.atoms(FractionMean)
        (fraction,) = {symbol for mean in means for symbol in mean.args[1:]} or {_POWER}
        plain = at_lags(term.replace(FractionMean, lambda integrand, _: integrand))
        value = sp.lambdify(fraction, plain, [{"C": covariance}, "mpmath"])
        total += mpmath.quad(value, [0, 1]) if means else value(0)
    return total


_FINE = 1e-8  # where the next power of h is 1e-8 of the leading one or less, but for ν near 2


def order_steps(kernel: str) -> tuple[Step, ...]:
    """Return the steps from the local order to the smaller exponent of the leading terms, ν other than 2."""
    terms = (rough_error(kernel), smooth_error(kernel))
    powers = [sp.simplify(SPACING * sp.diff(term, SPACING) / term) for term in terms]
    limit = OrderOfError(Opaque(kernel), SMOOTHNESS)
    return (
        Step("Refine the grid", "the power of h between a grid and one twice as fine, as h → 0", limit),
        Step("Compare the leading terms", _ORDER, sp.Min(*powers)),
    )


_ORDER = (
    "B|τ|^2ν leaves B F(2ν) h^2ν, and where λ₄ < ∞, for ν > 2, the term λ₄τ⁴/24 leaves λ₄h⁴/120 (D2); at ν = 2 the "
    "poles of both cancel in h⁴ log(1/h)"
)
