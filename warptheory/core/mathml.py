"""What MathML may hold: known elements, harmless attributes, text; nothing else reaches a page or a notebook."""

import re
from html.entities import html5
from xml.etree import ElementTree

from markupsafe import Markup

from warptheory.core.errors import ArgumentError

_NAMESPACE = "{http://www.w3.org/1998/Math/MathML}"
# Of MathML Core, https://www.w3.org/TR/mathml-core/, with `mfenced` and `menclose` of MathML 3; no links, no HTML.
_ELEMENT = re.compile(
    "math|mrow|mi|mn|mo|ms|mtext|mspace|mfrac|msqrt|mroot|mstyle|mpadded|mphantom|mfenced|menclose|msub|msup|msubsup|"
    "munder|mover|munderover|mmultiscripts|mprescripts|none|mtable|mtr|mtd"
)
_ATTRIBUTE = re.compile(
    "display|displaystyle|scriptlevel|mathvariant|form|fence|separators?|stretchy|symmetric|largeop|movablelimits|accent|"
    "accentunder|linethickness|lspace|rspace|width|height|depth|open|close|bevelled|columnalign|rowalign|columnspan|"
    "rowspan|columnspacing|rowspacing|columnlines|rowlines|minsize|maxsize|mathsize|notation"
)
_VALUE = re.compile(r"[\w\s.%+,;|‖(){}\[\]⟨⟩⌊⌋⌈⌉-]{0,40}")
_NAMED = re.compile(r"&(\w+;)")
_OF_XML = ("amp;", "lt;", "gt;", "quot;", "apos;")
_DEEPEST = 200


def checked_mathml(text: str) -> Markup:
    """Return MathML that is safe on a page: known elements, attributes with harmless values, and text.

    Args:
        text: one element `math`; named characters are those of HTML.

    Raises:
        ArgumentError: anything else, such as scripts, links, styles, comments, document types or entities.
    """
    if not isinstance(text, str) or "<!" in text or "<?" in text:
        raise _refused("neither declarations nor instructions", text)
    try:
        root = ElementTree.fromstring(_NAMED.sub(_character, text))
    except (ElementTree.ParseError, ValueError) as error:
        raise _refused("well-formed XML", error) from error
    check_mathml(root)
    return Markup(ElementTree.tostring(root, encoding="unicode", short_empty_elements=False))


def check_mathml(root: ElementTree.Element) -> None:
    """Check an element `math` with all that it holds, and take the namespace away, which HTML knows.

    Raises:
        ArgumentError: anything else than known elements and harmless attributes.
    """
    if _name(root) != "math":
        raise _refused("the element math", root.tag)
    level, deep = [root], 0
    while level:
        for element in level:
            _check(element)
        level, deep = [child for element in level for child in element], deep + 1
        if deep > _DEEPEST:
            raise _refused(f"at most {_DEEPEST} elements in each other", "more")


def _check(element: ElementTree.Element) -> None:
    """Check an element and its attributes, and take its namespace away, which HTML knows."""
    element.tag = _name(element)
    if not _ELEMENT.fullmatch(element.tag):
        raise _refused("elements of MathML", element.tag)
    for name, value in element.attrib.items():
        if not _ATTRIBUTE.fullmatch(name) or not _VALUE.fullmatch(value):
            raise _refused("attributes of MathML with values of letters and numbers", f"{name}={value!r}")


def _name(element: ElementTree.Element) -> str:
    return element.tag.removeprefix(_NAMESPACE)


def _character(named: re.Match[str]) -> str:
    """Return a character that HTML names, and MathML writers use, where XML does not know it."""
    name = named[1]
    return named[0] if name in _OF_XML else html5.get(name, named[0])


def _refused(expected: str, received: object) -> ArgumentError:
    return ArgumentError("record", expected=f"MathML: {expected}", received=received)
