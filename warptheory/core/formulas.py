"""How expressions are written as formulas."""

import sympy as sp


def latex(form: sp.Basic) -> str:
    """Return an expression in LaTeX."""
    return str(sp.latex(form))
