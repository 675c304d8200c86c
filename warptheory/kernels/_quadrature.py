"""Integrals that have no closed form: they stay unevaluated in expressions, and have a number."""

import bisect
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import sympy as sp
from sympy.core.function import AppliedUndef, UndefinedFunction

from warptheory.kernels._pieces import POSITION, Piece

# Requested of the adaptive quadrature; integrands are smooth between knots, so it is reached.
_RELATIVE = 1e-13
_ABSOLUTE = 1e-14
_MOST_PANELS = 200
_MOST_PRINTED = 30  # operations
# Panels shrink towards the knots, for a narrow kernel changes within 1e-6 of one, where a rule on the whole cell has
# no node.
_GRADES = 2.0 ** -np.arange(3, 22, 3)


class NumericalIntegral(sp.Integral):
    """An unevaluated one-dimensional integral whose number comes from quadrature in float64.

    Between the knots of the functions made by `opaque_function` the integrand has to be smooth.

    Source: QUADPACK's adaptive Gauss–Kronrod rule, by `scipy.integrate.quad`.
    """

    def _shown(self) -> sp.Expr:
        """Return what is printed: the integral, or its number where the integrand would fill a page."""
        is_long = self.function.count_ops() > _MOST_PRINTED
        return (
            sp.Float(float(self), 12) if is_long and not self.free_symbols else sp.Integral(self.function, *self.limits)
        )

    def _sympystr(self, printer: Any) -> str:
        return str(printer._print(self._shown()))

    def _pretty(self, printer: Any) -> Any:
        return printer._print(self._shown())

    def _latex(self, printer: Any) -> str:
        return str(printer._print(self._shown()))

    def _eval_evalf(self, prec: int) -> sp.Expr:
        ((variable, lower, upper),) = self.limits
        if self.free_symbols:
            return self
        from scipy import integrate  # a third of a second that most users never need

        edges = {float(lower), float(upper)}
        for node in self.function.atoms(AppliedUndef):
            shift = float(node.args[0] - variable)
            edges |= {knot - shift for knot in node.func.knots if float(lower) < knot - shift < float(upper)}
        integrand = sp.lambdify([variable], self.function, "math", cse=True)
        return sp.Float(
            math.fsum(
                integrate.quad(integrand, low, high, epsabs=_ABSOLUTE, epsrel=_RELATIVE, limit=_MOST_PANELS)[0]
                for cell in itertools.pairwise(sorted(edges))
                for low, high in itertools.pairwise(_graded(*cell))
            )
        )


def _graded(low: float, high: float) -> list[float]:
    """Return the ends of panels of a cell, which shrink towards both of its ends."""
    steps = (high - low) * _GRADES
    return sorted({low, high, *(low + steps), *(high - steps)})


def opaque_function(name: str, pieces: Sequence[Piece]) -> UndefinedFunction:
    """Return a sympy function that prints as its name, and evaluates numbers by pieces.

    Args:
        name: the name to print.
        pieces: adjacent pieces; outside them the function is zero.
    """
    edges = (*(float(piece.lower) for piece in pieces), float(pieces[-1].upper))
    branches = [sp.lambdify([POSITION], piece.expression, "math", cse=True) for piece in pieces]

    def value(position: float) -> float:
        place = bisect.bisect_right(edges, position) - 1
        return float(branches[place](position)) if 0 <= place < len(branches) else 0.0

    return UndefinedFunction(name, real=True, knots=edges, _imp_=staticmethod(value))
