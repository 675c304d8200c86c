"""The Kac–Rice formula for folds: how often the slope of t + αx(t) passes zero downwards, x a Gaussian field."""

import sympy as sp

from warptheory.core.errors import ArgumentError
from warptheory.fields import CovarianceFunction
from warptheory.symbolic import Step
from warptheory.symbolic.gaussian import normal_density

_CURVATURE = sp.Symbol("b", real=True)  # αx″
_SLOPE_VARIANCE, _CURVATURE_VARIANCE = sp.symbols("v_1 v_2", positive=True)


def fold_rate_steps(covariance: CovarianceFunction, scale: sp.Expr) -> tuple[Step, ...]:
    """Return the steps to the mean number of folds of t + αx(t) per pixel along the first axis.

    Args:
        covariance: C of the Gaussian field x.
        scale: α, in pixels per unit of x.

    Raises:
        ArgumentError: a field without a variance of its curvature, whose slope crosses a level infinitely often.
    """
    slope, curvature = covariance.second_moment(), covariance.fourth_moment()
    if curvature == sp.oo:
        raise ArgumentError(
            "covariance",
            expected="a field with a finite fourth spectral moment, or its slope crosses a level infinitely often",
            received=covariance,
        )
    # E x′x″ = −C‴(0), an odd spectral moment.
    crossed = covariance.spectral_moment(3, *[0] * (covariance.dim - 1))
    variances = {_SLOPE_VARIANCE: scale**2 * slope, _CURVATURE_VARIANCE: scale**2 * curvature}
    joint = _bivariate_density(sp.Integer(-1), _CURVATURE, scale**2 * crossed)
    alone = normal_density(_CURVATURE, sp.Integer(0), _CURVATURE_VARIANCE)
    at_level = normal_density(sp.Integer(-1), sp.Integer(0), _SLOPE_VARIANCE)
    falling = sp.integrate(-_CURVATURE * alone, (_CURVATURE, -sp.oo, 0))
    return (
        Step(
            "Kac–Rice formula",
            "a fold begins where the slope αx′ passes −1 downwards: the mean number per length is that of |αx″| over "
            "αx″ < 0 with αx′ = −1; p is normal, its covariance α²E x′x″ = −α²C‴(0) = 0",
            sp.Integral((-_CURVATURE * joint).subs(variances), (_CURVATURE, -sp.oo, 0)),
        ),
        Step(
            "Use independence",
            "slope and curvature at a point are uncorrelated and normal, hence independent: the density of the slope "
            "at −1 is a factor",
            (at_level * sp.Integral(-_CURVATURE * alone, (_CURVATURE, -sp.oo, 0))).subs(variances),
        ),
        Step(
            "Integrate",
            "half the mean modulus of a normal variable; the other half are the ends of folds",
            sp.powsimp(sp.simplify(at_level * falling).subs(variances)),
        ),
    )


def _bivariate_density(slope: sp.Expr, curvature: sp.Expr, covariance: sp.Expr) -> sp.Expr:
    """Return the density of two centred normal variables of the variances above."""
    matrix = sp.Matrix([[_SLOPE_VARIANCE, covariance], [covariance, _CURVATURE_VARIANCE]])
    point = sp.Matrix([slope, curvature])
    quadratic = (point.T * matrix.inv() * point)[0]
    return sp.exp(-quadratic / 2) / (2 * sp.pi * sp.sqrt(matrix.det()))
