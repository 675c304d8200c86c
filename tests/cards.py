"""What every object owes that shows itself: a short line, and HTML that is well formed, fetches nothing and escapes."""

import re
from xml.etree import ElementTree

LONGEST_LINE = 119
_FETCHING = {"script", "link", "iframe", "object", "embed", "img", "image", "use", "audio", "video", "foreignObject"}
# Colours that would be right in the light alone, or in the dark.
_FIXED_COLOUR = re.compile(r"#[0-9a-fA-F]{3,8}\b|\b(?:black|white|rgba?\()")


def check_shows_itself(thing: object) -> ElementTree.Element:
    """Check an object's line and its card; return the card."""
    check_line(thing)
    return check_html(thing._repr_html_())


def check_line(thing: object) -> None:
    line = repr(thing)
    assert 0 < len(line) <= LONGEST_LINE, line
    assert line.isprintable(), line


def check_html(html: str) -> ElementTree.Element:
    """Check HTML that a notebook is given: XML, which fetches nothing, and has the colours of its surroundings."""
    root = ElementTree.fromstring(html)
    for element in root.iter():
        tag = element.tag.rpartition("}")[2]
        assert tag not in _FETCHING, tag
        assert not {name for name in element.attrib if name.startswith("on")}, element.attrib
        assert not {"href", "src", "srcset", "action"} & set(element.attrib), element.attrib
        colours = [element.text or ""] if tag == "style" else []
        colours += [element.get(name, "") for name in ("style", "fill", "stroke", "color", "background")]
        for said in colours:
            assert "url(" not in said
            assert "@import" not in said
            assert not _FIXED_COLOUR.search(said), said
    return root


def text_of(root: ElementTree.Element) -> str:
    """Return what a reader sees of a card, without its style."""
    return " ".join(
        text.strip() for each in root.iter() if each.tag != "style" for text in (each.text, each.tail) if text
    )
