"""The function sinc x = sin(x)/x and its derivatives, with no division by zero at x = 0.

sinc⁽ⁿ⁾(x) = ∫₀¹ tⁿ cos(xt + nπ/2) dt is entire. The formulas that sympy knows divide by powers of x:
near zero they lose all digits, and their gradients are NaN. Values near zero come from the integral
by Gauss–Legendre quadrature instead, for numbers, NumPy arrays and torch tensors alike.
"""

import math
from typing import Any

import mpmath
import numpy as np
import sympy as sp
from numpy import ndarray

# For |x| ≤ 2π sixteen nodes leave an error below x³²(16!)⁴/(33·(32!)³) < 1e-28 in ∫cos(xt)dt; the factor tⁿ raises
# the degree by n, which costs n/2 nodes: orders to 8 stay far below the rounding of float64.
_NEAR = 2 * math.pi
_NODES, _WEIGHTS = (array.tolist() for array in np.polynomial.legendre.leggauss(16))


class SincDerivative(sp.Function):
    """The n-th derivative of sin(x)/x: args (n, x)."""

    nargs = 2

    @classmethod
    def eval(cls, order: sp.Expr, argument: sp.Expr) -> sp.Expr | None:
        """Return the exact value at zero, cos(nπ/2)/(n + 1), and move a sign out of the argument."""
        if argument.is_zero:
            return sp.cos(order * sp.pi / 2) / (order + 1)
        if argument.could_extract_minus_sign():
            return (-1) ** order * SincDerivative(order, -argument)
        return None

    def _eval_is_real(self) -> bool | None:
        is_real: bool | None = self.args[1].is_real
        return is_real

    def fdiff(self, argindex: int = 2) -> sp.Expr:
        """Return the derivative in x, which is one order higher."""
        if argindex != 2:
            raise sp.ArgumentIndexError(self, argindex)
        return SincDerivative(self.args[0] + 1, self.args[1])

    def _eval_rewrite_as_sin(self, order: sp.Expr, argument: sp.Expr, **hints: Any) -> sp.Expr:
        x = sp.Dummy("x")
        return sp.diff(sp.sin(x) / x, x, order).subs(x, argument)

    def _eval_evalf(self, prec: int) -> sp.Expr:
        order, argument = int(self.args[0]), self.args[1]._eval_evalf(prec)
        if argument is None or not argument.is_Float:
            return self
        with mpmath.workprec(prec):
            return sp.Float(_precise(order, self.args[1]._to_mpmath(prec)), precision=prec)

    @staticmethod
    def _imp_(order: int, argument: Any) -> Any:
        """Evaluate numbers, arrays or tensors; sympy's lambdify finds it by this name."""
        if isinstance(argument, mpmath.mpf):
            return _precise(int(order), argument)
        namespace: Any = np
        if not isinstance(argument, float | int | np.generic | ndarray):
            import torch

            namespace = torch
        order = int(order)
        phase = order * math.pi / 2
        near = abs(argument) <= _NEAR
        inside, outside = namespace.where(near, argument, 0.0), namespace.where(near, _NEAR, argument)
        total = 0.0
        for node, weight in zip(_NODES, _WEIGHTS, strict=True):
            t = (1 + node) / 2
            total = total + weight / 2 * t**order * namespace.cos(inside * t + phase)
        return namespace.where(near, total, _away_from_zero(order, outside, namespace.sin))

    def _sympystr(self, printer: Any) -> str:
        order, argument = self.args
        return f"sinc{chr(39) * int(order)}({printer._print(argument)})"

    def _torchcode(self, printer: Any) -> str:
        # The printer refuses functions that torch does not have; `lambdify` supplies this one.
        order, argument = self.args
        return f"{type(self).__name__}({order}, {printer._print(argument)})"

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        order, argument = self.args
        raised = "'" * int(order) if exp is None else rf"^{{{chr(39) * int(order)}{exp}}}"
        return rf"\operatorname{{sinc}}{raised}\left({printer._print(argument)}\right)"


def _precise(order: int, x: mpmath.mpf) -> mpmath.mpf:
    """Return sinc⁽ⁿ⁾(x) to mpmath's precision."""
    if x == 0:
        return mpmath.cos(order * mpmath.pi / 2) / (order + 1)
    # The powers x^−(n+1) of the closed form cancel near zero: that many more bits are carried.
    with mpmath.extraprec(max(0, -(order + 1) * mpmath.frexp(x)[1]) + 16):
        return _away_from_zero(order, x, mpmath.sin)


def _away_from_zero(order: int, x: Any, sine: Any) -> Any:
    """Return sinc⁽ⁿ⁾(x) = Σₖ C(n, k) sin⁽ⁿ⁻ᵏ⁾(x) (−1)ᵏ k!/xᵏ⁺¹ (Leibniz)."""
    half_pi = mpmath.pi / 2 if isinstance(x, mpmath.mpf) else math.pi / 2
    return sum(
        math.comb(order, k) * (-1) ** k * math.factorial(k) * sine(x + (order - k) * half_pi) / x ** (k + 1)
        for k in range(order + 1)
    )
