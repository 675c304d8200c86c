"""A wave that warps itself: y = sin(t + τ sin t), τ the largest slope of its offsets, beside Burgers' solution u.

u = sin s with t = s − τ sin s is Kepler's equation: t the mean anomaly, s the eccentric one, τ < 1 the eccentricity.
"""

import numpy as np
import sympy as sp
from scipy import special

from warptheory.results._setting import TAU
from warptheory.results.backward.jensen import TorusMean
from warptheory.symbolic import Step
from warptheory.symbolic.nodes import Node
from warptheory.symbolic.quadrature import Environment, Evaluate

GAIN = sp.Symbol("M", positive=True)  # the factor by which a gradient is multiplied
_T, _FOOT = sp.symbols("t s", real=True)
_WARPED = sp.sin(_T + TAU * sp.sin(_T))
_ALONG = "u is constant along the characteristics t = s − αx(s), and dt = (1 − αx′(s)) ds while αx′ < 1"


def energy_steps() -> tuple[Step, ...]:
    """Return the steps to E y²/E x² of one self-warp of a wave."""
    halved = 1 - sp.cos(2 * _T + 2 * TAU * sp.sin(_T))
    return (
        Step(
            "Average over the phase", "x = A sin t with E x² = A²/2, t = kn + θ uniform", TorusMean(2 * _WARPED**2, _T)
        ),
        Step("Double the angle", "2 sin² a = 1 − cos 2a", TorusMean(halved, _T)),
        Step(
            "Use Bessel's integral",
            "J₂(z) is the mean of cos(2t − z sin t), here at z = −2τ; J₂ is even",
            1 - sp.besselj(2, 2 * TAU),
        ),
    )


def conserved_steps() -> tuple[Step, ...]:
    """Return the steps to E u²/E x² of Burgers' solution before the shock."""
    along = TorusMean(sp.expand(2 * sp.sin(_FOOT) ** 2 * (1 - TAU * sp.cos(_FOOT))), _FOOT)
    return (
        Step("Follow the characteristics", _ALONG, along),
        Step(
            "Integrate",
            "x²x′ = (x³)′/3 has the mean zero, whatever the periodic x",
            sp.simplify(along.integral.doit()),
        ),
    )


def distance_steps() -> tuple[Step, ...]:
    """Return the steps to E(y − u)²/E x², the distance of one self-warp from Burgers' solution."""
    arrival = _FOOT - TAU * sp.sin(_FOOT)
    gap = _WARPED.subs(_T, arrival) - sp.sin(_FOOT)
    return (
        Step("Follow the characteristics", _ALONG, TorusMean(2 * gap**2 * (1 - TAU * sp.cos(_FOOT)), _FOOT)),
        Step(
            "Expand in waves",
            "y = Σ [Jₙ₋₁(τ) + (−1)ⁿJₙ₊₁(τ)] sin nt (Jacobi and Anger), u = Σ 2Jₙ(nτ)/(nτ) sin nt (Bessel's solution of "
            "Kepler's equation), and waves are orthogonal (Parseval); τ⁴/8 for small τ",
            WaveGap(TAU),
        ),
    )


class WaveGap(Node):
    """Σₙ [Jₙ₋₁(τ) + (−1)ⁿJₙ₊₁(τ) − 2Jₙ(nτ)/(nτ)]²: args (τ,), 0 < τ < 1.

    Jₙ(nτ) falls as exp(−n(artanh w − w)), w = √(1 − τ²): 2048 terms reach rounding for τ ≤ 0.97.
    """

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the sum."""
        n, tau = sp.Symbol("n", integer=True, positive=True), self.args[0]
        warped = sp.besselj(n - 1, tau) + (-1) ** n * sp.besselj(n + 1, tau)
        return sp.Sum((warped - 2 * sp.besselj(n, n * tau) / (n * tau)) ** 2, (n, 1, sp.oo))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Sum the terms."""
        tau, n = float(evaluate(self.args[0], environment)), np.arange(1, 2049)
        warped = special.jv(n - 1, tau) + (-1.0) ** n * special.jv(n + 1, tau)
        return float(np.sum((warped - 2 * special.jv(n, n * tau) / (n * tau)) ** 2))


def unfolded_steps() -> tuple[Step, ...]:
    """Return the steps to the share of waves of Gaussian amplitude that do not fold."""
    r = sp.Symbol("r", positive=True)
    rayleigh = sp.Integral(r * sp.exp(-(r**2) / 2), (r, 0, 1 / TAU))
    return (
        Step(
            "Use the law of the amplitude",
            "x = a cos kt + b sin kt, a and b normal: the largest slope of αx is τr, both ways, r of Rayleigh's law",
            rayleigh,
        ),
        Step("Integrate", "the integrand is a derivative", rayleigh.doit()),
    )


def early_pile_up_steps() -> tuple[Step, ...]:
    """Return the steps to the share of inputs with 1/J > M, at a uniform time before a wave's first fold."""
    angle, slope, sine = sp.symbols("theta v q", real=True)
    widest = 1 - 1 / GAIN  # least cosine at which J < 1/M while the slope is below 1
    jacobian = 1 - slope * sp.cos(angle)
    over_time = sp.integrate(jacobian, (slope, widest / sp.cos(angle), 1)) / sp.pi
    in_sine = sp.expand(sp.cancel(over_time.subs(sp.cos(angle), slope) / slope)).subs(slope, sp.sqrt(1 - sine**2))
    end = sp.sqrt(1 - widest**2)
    return (
        Step(
            "Count inputs by outputs",
            "an output covers J inputs: the share of inputs is E[J; J < 1/M], J = 1 − v cos θ, v the slope at the time "
            "over that at the first fold, uniform on (0, 1), θ uniform",
            ShareBelow(1 / GAIN),
        ),
        Step("Integrate over time", "J is linear in v", sp.Integral(over_time, (angle, 0, sp.acos(widest)))),
        Step("Substitute", "q = sin θ, dθ = dq/cos θ", sp.Integral(in_sine, (sine, 0, end))),
        Step(
            "Integrate over the wave",
            "term by term; for large M it is (2√2/5π) M^(−5/2), so that the density of 1/J falls as the power −7/2",
            _over_sine(in_sine, sine, end),
        ),
    )


def _over_sine(integrand: sp.Expr, sine: sp.Symbol, end: sp.Expr) -> sp.Expr:
    """Integrate a sum of powers of √(1 − q²) and 1/(1 − q²) from 0 to the end."""
    total: sp.Expr = sp.Integer(0)
    for term in sp.Add.make_args(integrand):
        constant, rest = term.as_independent(sine)
        primitive = sp.atanh(sine) if sp.simplify(rest * (1 - sine**2)) == 1 else sp.integrate(rest, sine)
        total += constant * (primitive.subs(sine, end) - primitive.subs(sine, 0))
    return sp.expand(total)


class ShareBelow(Node):
    """E[J; J < δ] for J = 1 − v cos θ, v uniform on (0, 1), θ uniform: args (δ,), δ < 1."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return E(J; J < δ)."""
        return sp.Function("E")(sp.Symbol("J"), sp.StrictLessThan(sp.Symbol("J"), self.args[0]))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Integrate over θ for each v by a primitive, and over v by a rule that knows of the root at the lower end."""
        widest = 1 - float(evaluate(self.args[0], environment))
        nodes, weights = np.polynomial.legendre.leggauss(64)
        root = np.sqrt(1 - widest) * (nodes + 1) / 2  # v = widest + root²
        slope = widest + root**2
        angle = np.arccos(widest / slope)
        inputs = (angle - slope * np.sin(angle)) / np.pi
        return float(np.sqrt(1 - widest) / 2 * np.sum(weights * 2 * root * inputs))
