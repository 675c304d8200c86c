"""MathML: what the library writes passes, and nothing else reaches a page."""

import pytest
import sympy as sp

from warptheory.core.errors import ArgumentError
from warptheory.core.formulas import mathml
from warptheory.core.mathml import checked_mathml

x, s = sp.symbols("x_1 sigma", positive=True)
FORMULAS = [
    sp.Integral(sp.exp(-(x**2)) * s, (x, -sp.oo, sp.oo)) / sp.sqrt(sp.pi),
    sp.Sum(sp.Function("C")(x), (x, 0, sp.oo)) + sp.Limit(x, x, 0),
    sp.Piecewise((x, s > 0), (0, True)) + sp.Matrix([[1, 2], [3, 4]]).det() + sp.besselj(0, x) + sp.gamma(x) + abs(x),
    sp.Matrix([[x, 1], [s, 0]]),
    sp.Piecewise((x, sp.Symbol("y") < 1), (s, sp.Symbol("y") >= 2), (0, True)),
    sp.Derivative(sp.Function("f")(x), x) + sp.binomial(x, 2) + sp.floor(x) + sp.conjugate(sp.Symbol("z")),
    sp.Symbol("\u27e8x\u27e9") + sp.Symbol("L: G_{L+1} \u2264 G_L"),
]


@pytest.mark.parametrize("formula", FORMULAS, ids=str)
def test_what_is_written_passes(formula):
    """As it is: the writer of formulas and the check know the same elements and attributes."""
    written = mathml(formula)
    assert "<mtext>\\" not in written
    assert checked_mathml(written) == written


def test_names_of_characters_are_those_of_html():
    """They stand in records of before."""
    assert (
        checked_mathml("<math><mi>&pi;</mi><mo>&InvisibleTimes;</mo></math>")
        == "<math><mi>π</mi><mo>\u2062</mo></math>"
    )


MI = "<math><mi>{}</mi></math>"
HOSTILE = [
    "",
    "text",
    "<p>math</p>",
    "<math>",
    "<math></math><script>1</script>",
    MI.format("<script>alert(1)</script>"),
    MI.format("<img src='x' onerror='alert(1)'/>"),
    MI.format("<![CDATA[<script>]]>"),
    MI.format("<!-- --><mo/>"),
    MI.format("&LT;script>alert(1)&LT;/script>"),
    MI.format("&unknown;"),
    '<math><mi onclick="alert(1)">x</mi></math>',
    '<math href="javascript:alert(1)"><mi>x</mi></math>',
    '<math xmlns:xlink="http://www.w3.org/1999/xlink"><mi xlink:href="javascript:alert(1)">x</mi></math>',
    '<math><mi style="position:fixed">x</mi></math>',
    "<math><mi mathvariant=\"url('http://x')\">x</mi></math>",
    '<math><annotation-xml encoding="text/html"><p>x</p></annotation-xml></math>',
    "<math><semantics><mi>x</mi></semantics></math>",
    "<math><maction actiontype='statusline'><mi>x</mi></maction></math>",
    '<math><h:script xmlns:h="http://www.w3.org/1999/xhtml">alert(1)</h:script></math>',
    '<math xmlns="http://www.w3.org/1999/xhtml"><mi>x</mi></math>',
    '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    '<!DOCTYPE math [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><math><mi>&b;</mi></math>',
    '<!DOCTYPE math [<!ENTITY f SYSTEM "file:///etc/passwd">]><math><mi>&f;</mi></math>',
    "<?xml-stylesheet href='x'?><math/>",
    "<math>" + "<mrow>" * 5000 + "</mrow>" * 5000 + "</math>",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_everything_else_is_refused(text):
    with pytest.raises(ArgumentError, match="^record: expected MathML: "):
        checked_mathml(text)


def test_text_stays_text():
    found = checked_mathml(MI.format("a &lt;b&gt; &amp; c"))
    assert found == "<math><mi>a &lt;b&gt; &amp; c</mi></math>"
