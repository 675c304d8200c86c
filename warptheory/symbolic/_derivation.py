"""A derivation: the chain of equal expressions from a statistic to its closed form."""

from dataclasses import dataclass

import sympy as sp


@dataclass(frozen=True)
class Step:
    """One link of a derivation.

    Attributes:
        name: what was done.
        reason: why it is allowed, in a sentence.
        expression: the expression that results; equal in value to the step before.
    """

    name: str
    reason: str
    expression: sp.Expr

    def latex(self) -> str:
        """Return the expression in LaTeX."""
        return str(sp.latex(self.expression))

    def mathml(self) -> str:
        """Return the expression as a MathML element, as browsers show it."""
        return f'<math display="block">{sp.printing.mathml(self.expression, printer="presentation")}</math>'


@dataclass(frozen=True)
class Derivation:
    """The steps that lead from a statistic to its closed form.

    Attributes:
        statistic: the statistic as the user wrote it, in plain text.
        steps: the steps in order; the last one is the result.
    """

    statistic: str
    steps: tuple[Step, ...]

    @property
    def result(self) -> sp.Expr:
        """The closed form."""
        return self.steps[-1].expression

    def latex(self) -> str:
        """Return the whole chain as a LaTeX `align*` body, one step a line."""
        return " \\\\\n".join(rf"&= {step.latex()} && \text{{{step.name}}}" for step in self.steps)

    def _repr_latex_(self) -> str:
        return rf"$\displaystyle \begin{{aligned}}{self.latex()}\end{{aligned}}$"

    def __str__(self) -> str:
        blocks = [self.statistic]
        for number, step in enumerate(self.steps, start=1):
            formula = sp.pretty(step.expression, use_unicode=True, num_columns=110)
            indented = "\n".join(f"    {line}".rstrip() for line in formula.splitlines())
            blocks.append(f"{number}. {step.name}: {step.reason}\n\n{indented}")
        if self.result.is_Rational and not self.result.is_Integer:
            blocks.append(f"    = {float(self.result):.10g}")
        return "\n\n".join(blocks)
