"""A derivation: the chain of equal expressions from a statistic to its closed form."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import sympy as sp

from warptheory.core import formulas, html
from warptheory.core.notation import latex_notation
from warptheory.core.presented import Presented, brief
from warptheory.core.text import shortened
from warptheory.symbolic.derivation_text import derivation_text


@dataclass(frozen=True)
class Step(Presented):
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
        return formulas.latex(self.expression)

    def _parts(self) -> Iterable[str]:
        return [repr(self.name), brief(self.expression)]

    def _subtitle(self) -> str:
        return f"{self.name}: {self.reason}"

    def _card(self) -> Iterable[object]:
        yield html.formula(self.latex(), "the expression")

    def _repr_latex_(self) -> str:
        return rf"$\displaystyle {self.latex()}$"

    def mathml(self) -> str:
        """Return the expression as a MathML element, as browsers show it."""
        return formulas.mathml(self.latex())


def restated(steps: Iterable[Step], reason: str, write: Callable[[sp.Expr], sp.Expr]) -> tuple[Step, ...]:
    """Return the steps of one quantity as those of another that it determines.

    Args:
        steps: the steps.
        reason: why it does; what is said before the reason of the first step.
        write: returns the other quantity, of an expression for the one.
    """
    return tuple(
        Step(step.name, reason * (number == 0) + step.reason, write(step.expression))
        for number, step in enumerate(steps)
    )


@dataclass(frozen=True)
class Derivation(Presented):
    """The steps that lead from a statistic to its closed form.

    Attributes:
        statistic: the statistic as the user wrote it, in plain text.
        steps: the steps in order; the last one is the result.
        left: the statistic in LaTeX, the left-hand side of the closed form; made of the text by default.
    """

    statistic: str
    steps: tuple[Step, ...]
    left: str = ""

    def __post_init__(self) -> None:
        if not self.left:
            object.__setattr__(self, "left", latex_notation(self.statistic))

    @property
    def result(self) -> sp.Expr:
        """The closed form."""
        return self.steps[-1].expression

    @property
    def equation(self) -> str:
        """The statistic and its closed form in LaTeX."""
        return f"{self.left} = {self.steps[-1].latex()}"

    def latex(self) -> str:
        """Return the whole chain as a LaTeX `align*` body, one step a line."""
        lines = " \\\\\n".join(rf"&= {step.latex()} && \text{{{step.name}}}" for step in self.steps)
        return f"{self.left} {lines}"

    def _parts(self) -> Iterable[str]:
        return [repr(shortened(self.statistic, 60)), f"steps={len(self.steps)}", f"result={brief(self.result, 30)}"]

    def _subtitle(self) -> str:
        return f"of {self.statistic}"

    def _card(self) -> Iterable[object]:
        yield html.formula(self.equation, "the closed form")
        if self.result.is_Rational and not self.result.is_Integer:
            yield html.element("p", f"= {float(self.result):.10g}")
        steps = (
            html.joined(
                [
                    html.element("p", html.joined([html.element("strong", step.name), f": {step.reason}"])),
                    html.formula(step.latex(), "the expression"),
                ]
            )
            for step in self.steps
        )
        items = html.joined(html.element("li", step) for step in steps)
        yield html.details(f"the {len(self.steps)} steps", html.element("ol", items))

    def _repr_latex_(self) -> str:
        return rf"$\displaystyle \begin{{aligned}}{self.latex()}\end{{aligned}}$"

    def __str__(self) -> str:
        return derivation_text(self)
