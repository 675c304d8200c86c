"""The covariance that many layers settle at when each adds variance at the largest scale, exactly on the grid (D6)."""

import sympy as sp

from warptheory.kernels import Kernel
from warptheory.results.discretization._definition import derived_weights
from warptheory.results.discretization._stationary import MeanForce, SolvedPower, StationaryGradient, StationaryPower
from warptheory.symbolic import Step
from warptheory.symbolic._nodes import Node, kernel_argument
from warptheory.symbolic._slopes import TAU

CHI = sp.Symbol("chi", positive=True)  # the variance that a layer adds
PERIOD = 32  # pixels
MODES = (3, 7)  # whose powers are compared: 0.7 and 1.6 times √3 τ at τ = 0.5
_LAG = sp.Symbol("Delta", real=True)
_SETTLED = (
    "x ← Wx + f and the mean of x taken off: C = MC + F − c, where c, the variance that the mean would gain, is "
    "taken off; C after so many layers that it no longer changes"
)


def stationary(node: type[Node], kernel: Kernel, which: int) -> sp.Expr:
    """Return a quantity of the stationary covariance.

    Offsets and forcing are random waves of the period N: K(Δ) = (τ/k)² cos kΔ and F(Δ) = χ cos kΔ, k = 2π/N.
    """
    wavenumber = 2 * sp.pi / PERIOD
    wave = sp.cos(wavenumber * _LAG)
    spread = 2 * (TAU / wavenumber) ** 2 * (1 - wave)
    return node(kernel_argument(kernel), spread, CHI * wave, _LAG, PERIOD, which)


def gradient_steps(kernel: Kernel, dim: int) -> tuple[Step, ...]:
    """Return the steps of the gradient variance 2(C(0) − C(1)).

    Raises:
        ArithmeticError: a kernel of which more than the nearest lags take part.
    """
    balance = (CHI - stationary(MeanForce, kernel, 0)) / _loss_by_gradient(kernel)
    return (
        Step("Iterate the layers", _SETTLED, stationary(StationaryGradient, kernel, 1)),
        Step(
            "Balance the variance",
            "at Δ = 0: C(0) − Σ a(δ) C(δ) = 2a(1)(C(0) − C(1)) is what a layer loses, and F(0) − c = χ − c what it "
            "gets; c = Σ π(Δ) F(Δ), πM = π, since Σ π(C − MC) = 0",
            balance,
        ),
    )


def _loss_by_gradient(kernel: Kernel) -> sp.Expr:
    """Return what a layer loses of C(0) over the gradient variance 2(C(0) − C(1)).

    Raises:
        ArithmeticError: it is not the same for every C.
    """
    a = derived_weights(kernel)
    values = [sp.Symbol(f"C_{lag}", real=True) for lag in range(a.reach)]
    lost = values[0] - sum(a.value(sp.Integer(lag)) * values[abs(lag)] for lag in range(1 - a.reach, a.reach))
    ratio = sp.cancel(lost / (2 * (values[0] - values[1])))
    if ratio.free_symbols:
        raise ArithmeticError(f"{kernel.name}: C(0) is balanced with more than C(1)")
    return ratio


def ratio_steps(kernel: Kernel, dim: int) -> tuple[Step, ...]:
    """Return the steps of the ratio of the power at two frequencies."""
    low, high = MODES
    iterated, solved = (
        stationary(node, kernel, high) / stationary(node, kernel, low) for node in (StationaryPower, SolvedPower)
    )
    return (
        Step("Iterate the layers", _SETTLED + "; P is its transform", iterated),
        Step("Solve", "C = MC + F − c are as many linear equations as lags, with C(0) = 0 one more", solved),
    )
