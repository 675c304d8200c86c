"""Special functions of closed forms that sympy has no number for: Dawson's integral and Kummer's function."""

import numpy as np
import sympy as sp
from numpy import ndarray
from scipy import special

from warptheory.symbolic.nodes import Node
from warptheory.symbolic.quadrature import Environment, Evaluate


class Dawson(Node):
    """Dawson's integral D(x) = exp(−x²) ∫₀ˣ exp(u²) du: args (x,)."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return D(x)."""
        return sp.Function("D")(self.args[0])

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Return SciPy's value, a scalar or of the shape (*N) of x."""
        return np.asarray(special.dawsn(evaluate(self.args[0], environment)))


class Kummer(Node):
    """Kummer's function M(a, b, x), also written ₁F₁(a; b; x): args (a, b, x)."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return M(a, b, x)."""
        return sp.Function("M")(*self.args)

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Return SciPy's value, a scalar or of the shape (*N) of x; below 0 after Kummer's transformation.

        The terms of its series do not cancel then.
        """
        a, b, x = (np.asarray(evaluate(argument, environment)) for argument in self.args)
        below = np.exp(np.minimum(x, 0)) * special.hyp1f1(b - a, b, -np.minimum(x, 0))
        return np.asarray(np.where(x < 0, below, special.hyp1f1(a, b, np.maximum(x, 0))))
