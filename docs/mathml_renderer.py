"""Formulas of the site as MathML, which browsers show without a script or a font of ours."""

import re
from typing import Any

from docutils.nodes import SkipNode

from warptheory.symbolic import mathml

NAME = "mathml"
_ALIGNED = re.compile(r"\\(begin|end)\{aligned\}")  # which the converter knows by another name
_LABELLED = re.compile(r"\\label\{[^}]*\}")


def mathml_of(latex: str, *, block: bool) -> str:
    """Return LaTeX as a MathML element.

    Args:
        latex: what stands between dollar signs.
        block: whether it stands on a line of its own.
    """
    written = _LABELLED.sub("", latex).strip().removeprefix(r"\displaystyle").strip()
    written = _ALIGNED.sub(r"\\\1{align}", written)
    return mathml(written).replace('display="block"', f'display="{"block" if block else "inline"}"', 1)


def _inline(writer: Any, node: Any) -> None:
    writer.body.append(mathml_of(node.astext(), block=False))
    raise SkipNode


def _block(writer: Any, node: Any) -> None:
    writer.body.append(writer.starttag(node, "div", CLASS="math formula", tabindex="0"))
    writer.body.append(mathml_of(node.astext(), block=True) + "</div>\n")
    raise SkipNode


def setup(app: Any) -> None:
    """Register the renderer."""
    app.add_html_math_renderer(NAME, inline_renderers=(_inline, None), block_renderers=(_block, None))
