"""A11: the curvature of an alignment loss, and what automatic differentiation makes of it."""

import sympy as sp

from warptheory.results._result import PIXEL, Quantity, Result, Setting
from warptheory.symbolic import Expectation, IIDField, OffsetField, WarpedField, warp

DISPLACEMENT = sp.Symbol("Delta", real=True)
STEP = sp.Symbol("step", positive=True)


def read(setting: Setting, moved: sp.Expr) -> WarpedField:
    """Return x read at p + moved along the first axis, p uniform over one pixel."""
    eps = OffsetField("uniform", setting.dim, scale="1/2")
    axes = (moved, *(sp.Integer(0),) * (setting.dim - 1))
    return warp(IIDField("x", mean=0), eps + axes, setting.kernel, name="y" if moved == 0 else f"y_({moved})")


def loss_at(setting: Setting, moved: sp.Expr) -> sp.Expr:
    """Return ½(y(p + moved) − y(p))²."""
    return ((read(setting, moved) - read(setting, sp.Integer(0))) ** 2)[PIXEL] / 2


def loss(setting: Setting) -> Expectation:
    """State the alignment loss at a displacement Δ from the target."""
    return Expectation(loss_at(setting, DISPLACEMENT))


def curvature(setting: Setting) -> Expectation:
    """State its curvature from three evaluations, a finite step apart."""
    moved = {factor: loss_at(setting, DISPLACEMENT + factor * STEP) for factor in (-1, 0, 1)}
    return Expectation(sp.expand((moved[1] - 2 * moved[0] + moved[-1]) / STEP**2))


def automatic_curvature(setting: Setting) -> Expectation:
    """State the second derivative that automatic differentiation returns: (∂y)² + (y − y*)·∂²y, knots left out."""
    y, target = read(setting, DISPLACEMENT), read(setting, sp.Integer(0))
    return Expectation(sp.expand(y.diff()[PIXEL] ** 2 + (y - target)[PIXEL] * y.diff().diff()[PIXEL]))


RESULT = Result(
    label="A11",
    title="Curvature of an alignment loss",
    statement=(
        "L(Δ) = ½E(y(p + Δ) − y(p))² = σ²(ρ̄ − a_k(Δ))ρ̄ᵈ⁻¹ has the curvature −σ² a_k″(Δ)ρ̄ᵈ⁻¹: for the linear kernel"
        " in one dimension σ²(2 − 3Δ) for 0 < Δ < 1, negative beyond 2/3 of a pixel. Its second derivative in the "
        "position vanishes between knots, so automatic differentiation returns the Gauss–Newton part alone, σ² δ̄ = "
        "2σ² everywhere. The cubic kernel keys has no kinks, and both agree."
    ),
    assumptions=(
        "The pixels x[m] are independent with one law of mean 0 and variance σ².",
        "The phase of p is uniform over one pixel; Δ is along the first axis.",
        "The kernel is a partition of unity.",
    ),
    source="arXiv 2511.20800, loss landscapes; theory label A11",
    quantities=(
        Quantity("loss", loss),
        Quantity("curvature at a finite step", curvature),
        Quantity("curvature by automatic differentiation", automatic_curvature),
    ),
)
