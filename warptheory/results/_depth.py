"""Any number of layers: what a map makes of a start when it is applied over and over."""

import math

import sympy as sp

from warptheory.symbolic import NotReducible, Step
from warptheory.symbolic.nodes import Node
from warptheory.symbolic.quadrature import Environment, Evaluate

LAYERS = sp.Symbol("L", positive=True, integer=True)


class Iterate(Node):
    """What a map makes of a start when it is applied over and over: args (map, its symbol, start, number of times)."""

    bound = slice(1, 2)

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the map, of what it made the time before."""
        return self.args[0].subs(self.args[1], sp.Function("M")(self.args[3] - 1))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Apply the map as many times, or until nothing changes."""
        step, symbol, start, times = self.args
        value, before, done = float(evaluate(start, environment)), math.nan, 0
        most = math.inf if times == sp.oo else float(evaluate(times, environment))
        while done < most and value != before:
            value, before, done = float(evaluate(step, {**environment, symbol: value})), value, done + 1
        return value


def solved(layer: sp.Expr, symbol: sp.Symbol, start: sp.Expr, layers: sp.Expr) -> Step:
    """Return the step that solves the recursion of a linear map that does not grow.

    Args:
        layer: what one layer makes of the symbol.
        symbol: the symbol.
        start: what the first layer is given.
        layers: the number of layers, which may be infinite.

    Raises:
        NotReducible: another map.
    """
    polynomial = sp.Poly(layer, symbol)
    if polynomial.degree() != 1 or not (0 < polynomial.LC() < 1 or (polynomial.LC() == 1 and layers != sp.oo)):
        raise NotReducible(layer, "one layer has to contract the moment linearly, or to keep it for finitely many")
    if layers == sp.oo:
        (fixed,) = sp.solve(layer - symbol, symbol)
        return Step("Fixed point", "the map is linear, and contracts by ρ̄ᵈ < 1", fixed)
    number, sequence = sp.Symbol("l", integer=True, nonnegative=True), sp.Function("M")
    equation = sequence(number + 1) - layer.subs(symbol, sequence(number))
    solution = sp.rsolve(equation, sequence(number), {sequence(0): start})
    return Step("Solve the recursion", f"linear, with M(0) = {start}", solution.subs(number, layers))
