"""The law of W₁ᵀ…W_Lᵀ1 for the nearest kernel and wide offsets: descendants after L generations, each of a Poisson one.

An output is nearest to one pixel alone, so that the gradient of ones counts paths: an input has a Poisson number of
outputs that read it, of mean 1, each of which is read in turn. The number of paths has the generating function
G_L(s) = exp(G_{L−1}(s) − 1), G_0(s) = s (Galton and Watson, 1875).
"""

import numpy as np
import sympy as sp
from numpy import ndarray
from scipy import stats

from warptheory.results._depth import LAYERS
from warptheory.results.backward._compound_poisson import THRESHOLD
from warptheory.symbolic import Step
from warptheory.symbolic.nodes import Node
from warptheory.symbolic.quadrature import Environment, Evaluate

_POINTS = 2**14  # on the unit circle; aliases of so many descendants have a probability below rounding for L < 500


def descendant_tail_steps() -> tuple[Step, ...]:
    """Return the steps from the recursion of the probabilities to Cauchy's integral."""
    return (
        Step(
            "Branch",
            "an input's gradient adds up those of a Poisson number of outputs, which wide offsets take from "
            "anywhere: independent copies of it, one layer earlier",
            CompoundTail(LAYERS, THRESHOLD),
        ),
        Step(
            "Generating function",
            "G_L(s) = E s^z is that of the Poisson law at G_{L−1}(s); Cauchy's formula has its coefficients",
            GeneratedTail(LAYERS, THRESHOLD),
        ),
    )


class PoissonPower(Node):
    """E qᴿ, R Poisson: args (mean of R, q)."""

    @property
    def series(self) -> sp.Sum:
        """The series, to be added up."""
        mean, base = self.args
        r = sp.Symbol("r", integer=True, nonnegative=True)
        return sp.Sum(sp.exp(-mean) * mean**r / sp.factorial(r) * base**r, (r, 0, sp.oo))

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the series."""
        return self.series

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Add the terms up to where they are negligible."""
        mean, base = (float(evaluate(part, environment)) for part in self.args)
        r = np.arange(int(mean + 12 * np.sqrt(mean) + 30))
        return float(np.sum(stats.poisson.pmf(r, mean) * base**r))


class _Tail(Node):
    """P(z_L > t): args (L, t)."""

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Take the probabilities of 0, 1, …, ⌊t⌋ off one."""
        layers, threshold = (float(evaluate(part, environment)) for part in self.args)
        return float(1 - np.sum(self.probabilities(int(layers), int(threshold))))

    def probabilities(self, layers: int, most: int) -> ndarray:
        """Return P(z_L = k) for k = 0 … most, shape (most + 1,)."""
        raise NotImplementedError


class CompoundTail(_Tail):
    """The tail of a sum of a Poisson number of copies: numbers by Panjer's recursion, layer by layer."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the probability."""
        layers, threshold = self.args
        r, number = sp.Symbol("r", integer=True), sp.Symbol("R", integer=True)
        copies = sp.Sum(sp.IndexedBase(f"z_{layers - 1}")[r], (r, 1, number))
        return sp.Function("P")(sp.Gt(copies, threshold, evaluate=False))

    def probabilities(self, layers: int, most: int) -> ndarray:
        """Return P(z_L = k), shape (most + 1,): p_k = (1/k) Σ_j j c_j p_{k−j}, c of the layer before."""
        before = np.zeros(most + 2)
        before[1] = 1.0
        before = before[: most + 1]
        for _ in range(layers):
            found = np.zeros(most + 1)
            found[0] = np.exp(before[0] - 1)
            for k in range(1, most + 1):
                j = np.arange(1, k + 1)
                found[k] = np.sum(j * before[j] * found[k - j]) / k
            before = found
        return before


class GeneratedTail(_Tail):
    """The tail by the generating function: numbers by its values on the unit circle."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return one less a sum of Cauchy integrals."""
        layers, threshold = self.args
        theta, k = sp.Symbol("theta", real=True), sp.Symbol("k", integer=True)
        generating = sp.Function(f"G_{layers}")(sp.exp(sp.I * theta))
        coefficient = sp.Integral(generating * sp.exp(-sp.I * k * theta), (theta, 0, 2 * sp.pi)) / (2 * sp.pi)
        return 1 - sp.Sum(coefficient, (k, 0, sp.floor(threshold)))

    def probabilities(self, layers: int, most: int) -> ndarray:
        """Return P(z_L = k), shape (most + 1,)."""
        value = np.exp(2j * np.pi * np.arange(_POINTS) / _POINTS)
        for _ in range(layers):
            value = np.exp(value - 1)
        return (np.fft.fft(value).real / _POINTS)[: most + 1]
