"""Formulas as they are typeset: LaTeX from expressions and from text, MathML from LaTeX."""

from xml.etree import ElementTree

import pytest
import sympy as sp
from hypothesis import example, given
from hypothesis import strategies as st

from warptheory import kernels
from warptheory.core.notation import latex_notation
from warptheory.symbolic import (
    Expectation,
    GaussianField,
    IIDField,
    OffsetField,
    SpectralForm,
    Variance,
    compose,
    latex,
    mathml,
    warp,
)
from warptheory.symbolic._waves import ErrorKernel
from warptheory.symbolic.nodes import Opaque

NOTATION = {
    "E (Wᵀg)[m]²": r"\operatorname{E}\, (W^{\mathsf{T}}g)[m]^{2}",
    "Var ∂₁y after L layers": r"\operatorname{Var}\, \partial _{1}y \text{ after }L \text{ layers}",
    "‖W‖_∞ = sup Σₘ |W[n, m]|": r"\Vert W\Vert _{\infty} = \sup \sum _{m} \vert W[n,\; m]\vert",
    "|ŷ(ω)|²/|x̂(ω)|²": r"\vert \hat{y}(\omega )\vert ^{2}/\vert \hat{x}(\omega )\vert ^{2}",
    "1 − C_y(0)/C(0)": r"1 - C_{y}(0)/C(0)",
    "lim (a → ∞) of P(J < 0)": r"\lim_{a \to \infty} \operatorname{P}(J < 0)",
    "rho_keys": r"\rho _{\text{keys}}",
    "k̂_gauss(0.5)": r"\hat{k}_{\text{gauss(0.5)}}",
    "ρ̄^(d)": r"\bar{\rho}^{(d)}",
    "a lower bound": r"\text{a lower bound}",
    "ℓ_ε of ell_epsilon": r"\ell _{\epsilon} \text{ of }\ell _{\epsilon}",
    r"\hat{k}": r"\hat{k}",
}


@pytest.mark.parametrize("text", NOTATION)
def test_text_becomes_latex(text):
    assert latex_notation(text) == NOTATION[text]


@given(st.text(alphabet="EPVarx yκ̂ŷ²ᵀ₁_^()[]{}|‖→∞−Σ∂′°,.&%#$~é'<>\\0", max_size=24))
@example("^{}")
def test_any_name_is_shown(text):
    """A user's names hold anything: what is no formula is shown as it is, and as text."""
    for written in (text, latex_notation(text), latex(sp.Symbol(text))):
        root = ElementTree.fromstring(mathml(written))
        assert {element.tag.rpartition("}")[2] for element in root.iter()}.isdisjoint({"script", "img", "a"})


y = warp(IIDField("x"), OffsetField("normal"), "keys")
x = GaussianField("x")
n = sp.Symbol("n", integer=True)


def test_statistics_write_themselves():
    assert Variance(y[n]).latex() == r"\operatorname{Var}\left[{y}_{n}\right]"
    assert Variance(y[n] | OffsetField("normal").fraction).latex().endswith(r"\,\middle|\, f\right]")
    composed = compose(x, OffsetField("normal"))
    assert r"\left(x\circ \varphi\right)" in Variance(composed[n]).latex()
    assert Variance(y[n]).derive().left == Variance(y[n]).latex()


def test_expectations_stand_upright_and_names_are_the_field_s():
    steps = {step.name: step for step in Variance(y[n]).derive().steps}
    assert r"\operatorname{E}{\left({y}_{n}^{2} \right)}" in steps["Moments"].latex()
    shown = steps["Kernel functionals"].mathml()
    assert "ρkeys(ϵ)" in "".join(ElementTree.fromstring(shown).itertext())
    assert '<mi mathvariant="normal">E</mi>' in shown
    assert latex(sp.Function("root")(sp.Symbol("r"))) == r"\operatorname{root}{\left(r \right)}"
    assert latex(sp.Symbol("step") / 2) == r"\frac{\text{step}}{2}"


def test_a_sum_in_a_product_stands_in_brackets():
    """Without them the integral of S(1 − 2k̂ + …) would be read as that of S alone, plus the rest."""
    uniform = OffsetField("uniform", scale="1/2")
    error = Expectation((warp(x, uniform)[n] - compose(x, uniform)[n]) ** 2)
    last = SpectralForm(error).derive().steps[-1]
    assert r"S{\left(\omega \right)} \left(" in last.latex()
    kernel_error = ErrorKernel(Opaque(kernels.get("linear")), 0, 0, sp.Symbol("theta"))
    assert sp.latex(3 * kernel_error).startswith(r"3 \left(")
    assert str(3 * kernel_error).startswith("3*(")
    assert sp.latex(kernel_error**2).startswith(r"\left(")


def test_limits_stand_below_sums():
    j = sp.Symbol("j", integer=True)
    shown = mathml(sp.Sum(sp.exp(-(j**2)), (j, 1, sp.oo)) ** 2)
    assert "<munderover>" in shown
    assert "<mi>∞</mi>" in shown
