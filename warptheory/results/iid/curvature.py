"""A11: the curvature of an alignment loss, and what automatic differentiation makes of it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import sympy as sp
from numpy import ndarray

from warptheory.core.errors import ArgumentError
from warptheory.fields import SquaredExponential
from warptheory.kernels import FRACTION
from warptheory.montecarlo import Experiment, Simulation
from warptheory.results._quantity import Quantity
from warptheory.results._ranges import Range, limit
from warptheory.results._result import Result
from warptheory.results._setting import DISPLACEMENT, PIXEL, Setting
from warptheory.results.iid._automatic import AutomaticCurvature
from warptheory.symbolic import (
    DEVIATION,
    Derivation,
    Expectation,
    GaussianField,
    IIDField,
    InputField,
    MomentStatistic,
    NotReducible,
    OffsetField,
    Statistic,
    Step,
    WarpedField,
    warp,
)
from warptheory.symbolic._nodes import Node, OffsetAverage
from warptheory.symbolic._quadrature import Environment, Evaluate
from warptheory.symbolic._variables import RandomAtom

STEP = sp.Symbol("step", positive=True)
LENGTH = sp.Symbol("l", positive=True)  # ℓ of the correlated input, in pixels
WHITE = IIDField("x", mean=0)


def correlated_input(setting: Setting) -> GaussianField:
    """Return an input of covariance σ² exp(−|τ|²/2ℓ²)."""
    return GaussianField("x", SquaredExponential(length=LENGTH, variance=DEVIATION**2, dim=setting.dim))


def read(setting: Setting, moved: sp.Expr, x: InputField = WHITE) -> WarpedField:
    """Return x read at p + moved along the first axis, p uniform over one pixel."""
    eps = OffsetField("uniform", setting.dim, scale="1/2")
    axes = (moved, *(sp.Integer(0),) * (setting.dim - 1))
    return warp(x, eps + axes, setting.kernel, name="y" if moved == 0 else f"y_({moved})")


def loss_at(setting: Setting, moved: sp.Expr, x: InputField = WHITE) -> sp.Expr:
    """Return ½(y(p + moved) − y(p))²."""
    return ((read(setting, moved, x) - read(setting, sp.Integer(0), x)) ** 2)[PIXEL] / 2


def loss(setting: Setting) -> Expectation:
    """State the alignment loss at a displacement Δ from the target."""
    return Expectation(loss_at(setting, DISPLACEMENT))


def correlated_loss(setting: Setting) -> Expectation:
    """State it for a correlated input, at a displacement f of less than a pixel."""
    return Expectation(loss_at(setting, FRACTION, correlated_input(setting)))


def curvature(setting: Setting, displacement: sp.Symbol = DISPLACEMENT, x: InputField = WHITE) -> Expectation:
    """State its curvature from three evaluations, a finite step apart."""
    moved = {factor: loss_at(setting, displacement + factor * STEP, x) for factor in (-1, 0, 1)}
    return Expectation(sp.expand((moved[1] - 2 * moved[0] + moved[-1]) / STEP**2))


class SmallStepLimit(Node):
    """The limit of an even function of a step as it goes to zero: args (function, step)."""

    @property
    def free_symbols(self) -> set[sp.Symbol]:
        """Symbols of the function, without the step."""
        return self.args[0].free_symbols - {self.args[1]}

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the limit, to be taken."""
        return sp.Limit(self.args[0], self.args[1], 0)

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Extrapolate from two small steps (Richardson), shape (*grid); what is left is of fourth order, below 1e-8."""
        coarse, fine = (np.asarray(evaluate(self.args[0], {**environment, self.args[1]: h})) for h in _SMALL_STEPS)
        extrapolated = fine + (fine - coarse) / 3
        return extrapolated if extrapolated.ndim else float(extrapolated)


_SMALL_STEPS = (2.0**-7, 2.0**-8)


@dataclass(frozen=True)
class SecondDerivative(Statistic):
    """The limit of a second difference as its step goes to zero.

    Attributes:
        difference: the second difference, divided by the square of the step.
        step: the step.
    """

    difference: MomentStatistic
    step: sp.Symbol

    def derive(self) -> Derivation:
        """Return the steps at a finite step, and the limit as the last one; raises as `Statistic.derive`."""
        finite = self.difference.derive()
        steps = [Step(s.name, s.reason, SmallStepLimit(s.expression, self.step)) for s in finite.steps]
        limit = Step(
            "Differentiate twice",
            "the second difference vanishes to second order in the step, so that the limit is half of its second "
            "derivative in the step (L'Hôpital); at a knot of a_k″ from the right",
            self._limit(finite.result),
        )
        return Derivation(str(self), (*steps, limit))

    def _limit(self, quotient: sp.Expr) -> sp.Expr:
        difference = sp.expand(quotient * self.step**2)
        for order in (0, 1):
            if sp.simplify(sp.diff(difference, self.step, order).subs(self.step, 0)) != 0:
                raise ArithmeticError(f"{difference} has to vanish to second order in {self.step}")
        return sp.factor_terms(sp.simplify(sp.diff(difference, self.step, 2).subs(self.step, 0) / 2))

    def __str__(self) -> str:
        return f"lim ({self.step} → 0) of {self.difference}"


@dataclass(frozen=True)
class Curvature(Statistic):
    """The second derivative of a mean in a displacement f.

    Attributes:
        mean: the mean at f.
        difference: its second difference a finite step apart, which is simulated.
    """

    mean: MomentStatistic
    difference: MomentStatistic

    def derive(self) -> Derivation:
        """Return the steps of the mean in closed form, differentiated.

        Raises:
            NotReducible: the mean has no closed form, or as its `derive`.
        """
        averaged = [s for s in self.mean.derive().steps if not s.expression.atoms(RandomAtom, OffsetAverage)]
        if not averaged:
            raise NotReducible(self.mean, "its closed form has to be known, to be differentiated")
        steps = [Step(s.name, s.reason, self._limit(s.expression)) for s in averaged]
        inside = averaged[-1].expression.replace(sp.Piecewise, _inside_a_pixel)
        closed = sp.factor_terms(sp.expand(sp.diff(inside, FRACTION, 2)))
        last = Step(
            "Differentiate twice", f"inside a pixel, 0 ≤ {FRACTION} < 1: C is weighed by pieces of −a_k″", closed
        )
        return Derivation(str(self), (*steps, last))

    def _limit(self, mean: sp.Expr) -> SmallStepLimit:
        ahead, behind = (mean.subs(FRACTION, FRACTION + sign * STEP) for sign in (1, -1))
        return SmallStepLimit((ahead - 2 * mean + behind) / STEP**2, STEP)

    def __str__(self) -> str:
        return f"∂² in {FRACTION} of {self.mean}"


def _inside_a_pixel(*pieces: sp.Tuple) -> sp.Expr:
    """Return the first piece whose condition holds between 0 and 1; knots of a_k are whole pixels."""
    return next(piece for piece, condition in pieces if condition.subs(FRACTION, sp.Rational(1, 2)) == sp.true)


def correlated_curvature(setting: Setting) -> Curvature:
    """State the curvature of the loss for a correlated input."""
    return Curvature(correlated_loss(setting), curvature(setting, FRACTION, correlated_input(setting)))


def true_curvature(setting: Setting) -> SecondDerivative:
    """State the curvature of the loss itself."""
    return SecondDerivative(curvature(setting), STEP)


def at_a_small_step(statistic: Statistic, setting: Setting) -> Experiment:
    """Return the experiment on the second difference."""
    if not isinstance(statistic, SecondDerivative | Curvature):
        raise ArgumentError("statistic", expected="a second derivative", received=str(statistic))
    return Simulation(statistic.difference, setting.inputs)


def small_step(setting: Setting) -> Mapping[str, float]:
    """Return a step at which the second difference is within 0.001 % of the second derivative.

    The linear kernel's loss is a cubic about the displacement, whose second difference is the derivative at any step
    that stays within the pixel; the scatter of a wide one is less.
    """
    return {
        **away_from_the_zero(setting),
        "step": Range(0.2, 0.05, 0.2) if setting.kernel == "linear" else limit(0.0005),
    }


def wide_step(setting: Setting) -> Mapping[str, float]:
    """Return a step at which the second difference of the linear kernel's loss is its derivative, and scatters little.

    That loss is a cubic in the displacement, as long as the step stays within the pixel.
    """
    return {"step": Range(0.2, 0.18, 0.2), FRACTION.name: Range(0.3, 0.2, 0.8)}


def away_from_the_zero(setting: Setting) -> Mapping[str, float]:
    """Return displacements at which the curvature is of the size of its terms; it changes sign beyond half a pixel."""
    return {"Delta": Range(0.3, 0.2, 0.5)}


def check_step(setting: Setting, values: Mapping[str, float]) -> None:
    """Check that the linear kernel's loss is one cubic within a step of the displacement.

    Raises:
        ArgumentError: a step to a knot or beyond.
    """
    displacement, step = values[DISPLACEMENT.name], values[STEP.name]
    _check_within(setting, DISPLACEMENT, displacement, step)


def check_correlated_step(setting: Setting, values: Mapping[str, float]) -> None:
    """Check the same for the displacement of a correlated input; raises as `check_step`."""
    _check_within(setting, FRACTION, values[FRACTION.name], values[STEP.name])


def _check_within(setting: Setting, symbol: sp.Symbol, displacement: float, step: float) -> None:
    from_knot = abs(displacement - round(displacement))
    if setting.kernel == "linear" and step > from_knot + _ROUNDING:
        expected = f"at most {from_knot:.3g}, the distance of {symbol} = {displacement:g} from the kernel's next knot"
        raise ArgumentError(STEP.name, expected=expected, received=step)


_ROUNDING = 1e-12


def automatic_curvature(setting: Setting, displacement: sp.Symbol = DISPLACEMENT, x: InputField = WHITE) -> Expectation:
    """State the second derivative that automatic differentiation returns: (∂y)² + (y − y*)·∂²y, knots left out.

    That this is what it returns is stated, and checked: the experiment differentiates the loss itself.
    """
    y, target = read(setting, displacement, x), read(setting, sp.Integer(0), x)
    return Expectation(sp.expand(y.diff()[PIXEL] ** 2 + (y - target)[PIXEL] * y.diff().diff()[PIXEL]))


def correlated_automatic_curvature(setting: Setting) -> Expectation:
    """State the same for a correlated input."""
    return automatic_curvature(setting, FRACTION, correlated_input(setting))


RESULT = Result(
    label="A11",
    title="Curvature of an alignment loss",
    statement=(
        "L(Δ) = ½E(y(p + Δ) − y(p))² = σ²(ρ̄ − a_k(Δ))ρ̄ᵈ⁻¹ has the curvature −σ² a_k″(Δ)ρ̄ᵈ⁻¹, and at a finite step s "
        "the second difference −σ²(a_k(Δ + s) − 2a_k(Δ) + a_k(Δ − s))ρ̄ᵈ⁻¹/s²: for the linear kernel"
        " in one dimension σ²(2 − 3Δ) for 0 < Δ < 1, negative beyond 2/3 of a pixel. Its second derivative in the "
        "position vanishes between knots, so automatic differentiation returns the Gauss–Newton part alone, σ² δ̄ = "
        "2σ² everywhere (times ρ̄ᵈ⁻¹). The cubic kernel keys has no kinks, and both agree. With a covariance C the "
        "loss is Σⱼ C(j)[∏ᵢ a_k(jᵢ) − a_k(Δ − j₁) ∏_{i>1} a_k(jᵢ)], the curvature −Σⱼ C(j) a_k″(Δ − j₁) "
        "∏_{i>1} a_k(jᵢ), and automatic differentiation returns 2(C(0) − C(1)) for the linear kernel, d = 1."
    ),
    assumptions=(
        "The pixels x[m] are independent with one law of mean 0 and variance σ², or a Gaussian field of covariance C, "
        "checked for σ² exp(−|τ|²/2ℓ²).",
        "The phase of p is uniform over one pixel; Δ is along the first axis.",
        "The kernel is a partition of unity.",
    ),
    source="arXiv 2511.20800, loss landscapes; theory label A11",
    quantities=(
        Quantity("loss", loss),
        Quantity("curvature at a finite step", curvature, values=away_from_the_zero),
        Quantity(
            "curvature",
            true_curvature,
            kernels=("linear", "keys"),
            dims=(1,),
            values=small_step,
            simulation=at_a_small_step,
            check_drawn=check_step,
        ),
        Quantity(
            "curvature by automatic differentiation",
            automatic_curvature,
            smallest_effect=0.02,
            kernels=("linear", "keys"),
            simulation=lambda _, s: AutomaticCurvature(s.kernel, s.dim, s.inputs, DISPLACEMENT.name),
        ),
        Quantity("loss, correlated input", correlated_loss, smallest_effect=0.02, kernels=("linear",)),
        Quantity(
            "curvature, correlated input",
            correlated_curvature,
            smallest_effect=0.02,
            kernels=("linear",),
            values=wide_step,
            simulation=at_a_small_step,
            check_drawn=check_correlated_step,
        ),
        Quantity(
            "curvature by automatic differentiation, correlated input",
            correlated_automatic_curvature,
            smallest_effect=0.03,
            kernels=("linear",),
            simulation=lambda _, s: AutomaticCurvature(
                s.kernel, s.dim, s.inputs, FRACTION.name, correlated_input(s).covariance
            ),
        ),
    ),
    values={"l": Range(1.8, 1.2, 3.0, "log")},
)
