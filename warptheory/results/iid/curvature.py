"""A11: the curvature of an alignment loss, and what automatic differentiation makes of it."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import ClassVar, cast

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor, func

from warptheory import warping
from warptheory.core.errors import ArgumentError
from warptheory.core.formulas import latex
from warptheory.fields import IID
from warptheory.kernels import FRACTION
from warptheory.montecarlo import Simulation
from warptheory.results._experiment import MomentExperiment
from warptheory.results._ranges import Range, limit
from warptheory.results._result import Result
from warptheory.results._setting import DISPLACEMENT, PIXEL, Setting
from warptheory.results.fields._fields import LENGTH, smooth_covariance, smooth_field
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
    Step,
    WarpedField,
    warp,
)
from warptheory.symbolic.nodes import Node, OffsetAverage
from warptheory.symbolic.quadrature import Environment, Evaluate
from warptheory.symbolic.values import RandomAtom

result = Result(
    "A11",
    "Curvature of an alignment loss",
    "L(Δ) = ½E(y(p + Δ) − y(p))² = σ²(ρ̄ − a_k(Δ))ρ̄ᵈ⁻¹ has the curvature −σ² a_k″(Δ)ρ̄ᵈ⁻¹, and at a finite step s "
    "the second difference −σ²(a_k(Δ + s) − 2a_k(Δ) + a_k(Δ − s))ρ̄ᵈ⁻¹/s²: for the linear kernel"
    " in one dimension σ²(2 − 3Δ) for 0 < Δ < 1, negative beyond 2/3 of a pixel. Its second derivative in the "
    "position vanishes between knots, so automatic differentiation returns the Gauss–Newton part alone, σ² δ̄ = "
    "2σ² everywhere (times ρ̄ᵈ⁻¹). The cubic kernel keys has no kinks, and both agree. With a covariance C the "
    "loss is Σⱼ C(j)[∏ᵢ a_k(jᵢ) − a_k(Δ − j₁) ∏_{i>1} a_k(jᵢ)], the curvature −Σⱼ C(j) a_k″(Δ − j₁) "
    "∏_{i>1} a_k(jᵢ), and automatic differentiation returns 2(C(0) − C(1)) for the linear kernel, d = 1.",
    assumptions=(
        "The pixels x[m] are independent with one law of mean 0 and variance σ², or a Gaussian field of covariance C, "
        "checked for σ² exp(−|τ|²/2ℓ²).",
        "The phase of p is uniform over one pixel; Δ is along the first axis.",
        "The kernel is a partition of unity.",
    ),
    source="arXiv 2511.20800, loss landscapes; theory label A11",
    meaning="What automatic differentiation calls the curvature of an offset is positive everywhere, while the "
    "true loss turns down beyond two thirds of a pixel. Second-order methods and curvature-based "
    "diagnoses of offsets need a smooth kernel or finite differences.",
    values={"l": Range(1.8, 1.2, 3.0, "log")},
    notation={
        "Delta": "the displacement of the network's warp against the right one, in pixels",
        "step": "the step of the second difference, in pixels",
    },
)

STEP = sp.Symbol("step", positive=True)
_WHITE = IIDField("x", mean=0)
# Displacements at which the curvature is of the size of its terms; it changes sign beyond half a pixel.
_AWAY_FROM_THE_ZERO = {"Delta": Range(0.3, 0.2, 0.5)}
# At this step the second difference of the linear kernel's loss is its derivative, and scatters little: that loss is a
# cubic in the displacement, as long as the step stays within the pixel.
_WIDE_STEP = {"step": Range(0.2, 0.18, 0.2), FRACTION.name: Range(0.3, 0.2, 0.8)}
_ROUNDING = 1e-12


def _read(setting: Setting, moved: sp.Expr, x: InputField) -> WarpedField:
    """Return x read at p + moved along the first axis, p uniform over one pixel."""
    eps = OffsetField("uniform", setting.dim, scale="1/2")
    axes = (moved, *(sp.Integer(0),) * (setting.dim - 1))
    return warp(x, eps + axes, setting.kernel, name="y" if moved == 0 else f"y_({moved})")


def _loss_at(setting: Setting, moved: sp.Expr, x: InputField) -> sp.Expr:
    """Return ½(y(p + moved) − y(p))²."""
    return ((_read(setting, moved, x) - _read(setting, sp.Integer(0), x)) ** 2)[PIXEL] / 2


def _second_difference(setting: Setting, displacement: sp.Symbol, x: InputField) -> Expectation:
    """State the curvature of the loss from three evaluations, a finite step apart."""
    moved = {factor: _loss_at(setting, displacement + factor * STEP, x) for factor in (-1, 0, 1)}
    return Expectation(sp.expand((moved[1] - 2 * moved[0] + moved[-1]) / STEP**2))


@result.quantity("loss")
def loss(setting: Setting) -> Expectation:
    """State the alignment loss at a displacement Δ from the target."""
    return Expectation(_loss_at(setting, DISPLACEMENT, _WHITE))


@result.quantity("curvature at a finite step", values=_AWAY_FROM_THE_ZERO)
def curvature_at_a_step(setting: Setting) -> Expectation:
    """State its curvature at a finite step."""
    return _second_difference(setting, DISPLACEMENT, _WHITE)


@dataclass(frozen=True)
class SmallStepSimulation(Simulation):
    """A curvature, drawn as a second difference at a step that is small, or within which it is the same.

    Attributes:
        kernel: name of the kernel.
        displacement: the symbol that is differentiated in.
    """

    kernel: str = "linear"
    displacement: sp.Symbol = DISPLACEMENT

    def doit(self) -> sp.Expr:
        """Return the closed form."""
        return self.derive().result

    def check_values(self, values: Mapping[str, float]) -> None:
        """Check that the linear kernel's loss is one cubic within a step of the displacement.

        Raises:
            ArgumentError: a step to a knot or beyond.
        """
        displacement, step = values[self.displacement.name], values[STEP.name]
        from_knot = abs(displacement - round(displacement))
        if self.kernel == "linear" and step > from_knot + _ROUNDING:
            place = f"{self.displacement} = {displacement:g}"
            expected = f"at most {from_knot:.3g}, the distance of {place} from the kernel's next knot"
            raise ArgumentError(STEP.name, expected=expected, received=step)


@dataclass(frozen=True)
class SecondDerivative(SmallStepSimulation):
    """The limit of a second difference as its step goes to zero."""

    def derive(self) -> Derivation:
        """Return the steps at a finite step, and the limit as the last one; raises as `Statistic.derive`."""
        finite = self.statistic.derive()
        steps = [Step(s.name, s.reason, SmallStepLimit(s.expression, STEP)) for s in finite.steps]
        limit = Step(
            "Differentiate twice",
            "the second difference vanishes to second order in the step, so that the limit is half of its second "
            "derivative in the step (L'Hôpital); at a knot of a_k″ from the right",
            self._limit(finite.result),
        )
        return self.derivation((*steps, limit))

    def _limit(self, quotient: sp.Expr) -> sp.Expr:
        difference = sp.expand(quotient * STEP**2)
        for order in (0, 1):
            # Pieces are polynomials: folded and expanded they vanish at once.
            if sp.expand(sp.piecewise_fold(sp.diff(difference, STEP, order).subs(STEP, 0))) != 0:
                raise ArithmeticError(f"{difference} has to vanish to second order in {STEP}")
        return sp.factor_terms(sp.simplify(sp.diff(difference, STEP, 2).subs(STEP, 0) / 2))

    def __str__(self) -> str:
        return f"lim ({STEP} → 0) of {self.statistic}"

    def latex(self) -> str:
        """Return it in LaTeX."""
        return rf"\lim_{{{latex(STEP)} \to 0}} {self.statistic.latex()}"


def _small_step(setting: Setting) -> Mapping[str, float]:
    """Return a step at which the second difference is within 0.001 % of the second derivative.

    The linear kernel's loss is a cubic about the displacement, whose second difference is the derivative at any step
    that stays within the pixel; the scatter of a wide one is less.
    """
    step = Range(0.2, 0.05, 0.2) if setting.kernel == "linear" else limit(0.0005)
    return {**_AWAY_FROM_THE_ZERO, STEP.name: step}


@result.quantity("curvature", kernels=("linear", "keys"), dims=(1,), values=_small_step)
def curvature(setting: Setting) -> SecondDerivative:
    """State the curvature of the loss itself."""
    return SecondDerivative(curvature_at_a_step(setting), setting.inputs, setting.kernel, DISPLACEMENT)


@result.quantity("curvature by automatic differentiation", smallest_effect=0.02, kernels=("linear", "keys"))
@dataclass(frozen=True)
class AutomaticCurvature(MomentExperiment):
    """The second derivative that automatic differentiation returns: (∂y)² + (y − y*)·∂²y, knots left out.

    That this is what it returns is stated, and checked: drawn is what `torch.func` returns for ½ mean
    (y(p + Δ) − y(p))², the first entry of the Hessian in a displacement of all positions of an image, as the
    derivative, forward, of the gradient.
    """

    displacement: ClassVar[sp.Symbol] = DISPLACEMENT
    symbols: ClassVar[Set[str]] = frozenset({DISPLACEMENT.name, DEVIATION.name})
    pixels: ClassVar[Mapping[int, int]] = {1: 64, 2: 16, 3: 8}

    @property
    def statistic(self) -> Expectation:
        """The mean of (∂y)² + (y − y*)·∂²y."""
        y, target = (_read(self.setting, moved, self._input) for moved in (self.displacement, sp.Integer(0)))
        return Expectation(sp.expand(y.diff()[PIXEL] ** 2 + (y - target)[PIXEL] * y.diff().diff()[PIXEL]))

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw images and positions, and differentiate the loss of each image twice; shape (rows,)."""
        dim, kernel = self.setting.dim, self.setting.kernel
        x = self._images(generator, rows, values, device)
        offsets = torch.from_numpy(generator.random((rows, dim, *self.grid))).to(device)
        target = warping.warp(x, offsets, kernel, "periodic")

        def loss(displacement: Tensor) -> Tensor:
            moved = offsets + displacement.reshape(rows, dim, *[1] * dim)
            y = warping.warp(x, moved, kernel, "periodic")
            return (y - target).square().flatten(1).mean(1).sum() / 2

        along = torch.zeros((rows, dim), dtype=torch.float64, device=device)
        along[:, 0] = 1
        column = func.jvp(func.grad(loss), (values[self.displacement.name] * along,), (along,))[1]
        return cast("Tensor", column[:, 0].detach())

    @property
    def _input(self) -> InputField:
        return _WHITE

    def _images(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str
    ) -> Float[Tensor, "rows 1 *S"]:
        return IID(self.setting.inputs, 0.0, values["sigma"]).sample(rows, self.grid, generator, device=device)


@result.quantity("loss, correlated input", smallest_effect=0.02, kernels=("linear",))
def correlated_loss(setting: Setting) -> Expectation:
    """State the loss for a correlated input, at a displacement f of less than a pixel."""
    return Expectation(_loss_at(setting, FRACTION, smooth_field(setting.dim)))


@dataclass(frozen=True)
class CorrelatedCurvature(SmallStepSimulation):
    """The second derivative of a mean in a displacement f.

    Attributes:
        mean: the mean at f; `statistic` is its second difference, a finite step apart.
    """

    mean: MomentStatistic = field(kw_only=True)

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
        return self.derivation((*steps, last))

    def _limit(self, mean: sp.Expr) -> sp.Expr:
        ahead, behind = (mean.subs(FRACTION, FRACTION + sign * STEP) for sign in (1, -1))
        return SmallStepLimit((ahead - 2 * mean + behind) / STEP**2, STEP)

    def __str__(self) -> str:
        return f"∂² in {FRACTION} of {self.mean}"

    def latex(self) -> str:
        """Return it in LaTeX."""
        return rf"\partial_{{{latex(FRACTION)}}}^{{2}} {self.mean.latex()}"


def _inside_a_pixel(*pieces: sp.Tuple) -> sp.Expr:
    """Return the first piece whose condition holds between 0 and 1; knots of a_k are whole pixels."""
    inside: sp.Expr = next(piece for piece, holds in pieces if holds.subs(FRACTION, sp.Rational(1, 2)) == sp.true)
    return inside


@result.quantity("curvature, correlated input", smallest_effect=0.02, kernels=("linear",), values=_WIDE_STEP)
def correlated_curvature(setting: Setting) -> CorrelatedCurvature:
    """State the curvature of the loss for a correlated input."""
    difference = _second_difference(setting, FRACTION, smooth_field(setting.dim))
    return CorrelatedCurvature(difference, setting.inputs, setting.kernel, FRACTION, mean=correlated_loss(setting))


@result.quantity("curvature by automatic differentiation, correlated input", smallest_effect=0.03, kernels=("linear",))
@dataclass(frozen=True)
class AutomaticCurvatureOfCorrelatedInput(AutomaticCurvature):
    """The same for a correlated input."""

    displacement: ClassVar[sp.Symbol] = FRACTION
    symbols = frozenset({FRACTION.name, DEVIATION.name, LENGTH.name})

    @property
    def _input(self) -> GaussianField:
        return smooth_field(self.setting.dim)

    def _images(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str
    ) -> Float[Tensor, "rows 1 *S"]:
        covariance = smooth_covariance(self.setting.dim).subs(values)
        return cast("Tensor", covariance.sample(rows, self.grid, generator, periodic=True, device=device))


class SmallStepLimit(Node):
    """The limit of an even function of a step as it goes to zero: args (function, step)."""

    bound = slice(1, 2)

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the limit, to be taken."""
        return sp.Limit(self.args[0], self.args[1], 0)

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Extrapolate from two small steps (Richardson), shape (*grid); what is left is of fourth order, below 1e-8."""
        coarse, fine = (np.asarray(evaluate(self.args[0], {**environment, self.args[1]: h})) for h in _SMALL_STEPS)
        extrapolated = fine + (fine - coarse) / 3
        return extrapolated if extrapolated.ndim else float(extrapolated)


_SMALL_STEPS = (2.0**-7, 2.0**-8)
