"""The check of a built site sees what it is for."""

import pytest

from docs.check import Reference, addresses, faults

PAGE = '<html><body id="top"><h1 id="a">A</h1>{}</body></html>'


@pytest.fixture
def site(tmp_path):
    """A site of two pages and a style sheet, in which everything is right."""
    (tmp_path / "more").mkdir()
    (tmp_path / "picture.svg").write_text("<svg/>")
    (tmp_path / "style.css").write_text("body { background: url(picture.svg) }")
    (tmp_path / "index.html").write_text(
        PAGE.format(
            '<a href="more/">More</a><a href="more/index.html#a">A</a><a href="#a">A</a><a href="https://arxiv.org">x</a>'
            '<img src="picture.svg" alt="A picture"><link rel="stylesheet" href="style.css">'
            '<link rel="canonical" href="https://example.org/"><a href="mailto:nobody">write</a>'
        )
    )
    (tmp_path / "more" / "index.html").write_text(PAGE.format('<a href="../index.html#top">Back</a>'))
    return tmp_path


def test_a_right_site_has_no_faults(site):
    assert list(faults(site)) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('<script src="https://cdn.example.org/x.js"></script>', "from another host"),
        ('<script src="//cdn.example.org/x.js"></script>', "from another host"),
        ('<link rel="stylesheet" href="https://fonts.example.org/x.css">', "from another host"),
        ('<link rel="preconnect" href="https://fonts.example.org">', "from another host"),
        ('<img src="https://example.org/x.png" alt="x">', "from another host"),
        ('<img srcset="picture.svg 1x, https://example.org/x.png 2x" src="picture.svg" alt="x">', "from another host"),
        ('<style>@import "https://example.org/x.css";</style>', "from another host"),
        ('<p style="background: url(//example.org/x.png)">x</p>', "from another host"),
        ('<a href="gone.html">gone</a>', "leads nowhere"),
        ('<a href="../outside.html">outside</a>', "leads nowhere"),
        ('<a href="more/index.html#b">b</a>', "anchor"),
        ('<a href="#b">b</a>', "anchor"),
        ('<img src="picture.svg" alt="">', "without a text"),
        ('<img src="picture.svg">', "without a text"),
        ("<math><mtext>\\frac{1}{2}</mtext></math>", "shown as LaTeX"),
    ],
)
def test_a_fault_is_seen(site, content, said):
    (site / "wrong.html").write_text(PAGE.format(content))
    found = list(faults(site))
    assert len(found) == 1
    assert said in found[0]
    assert found[0].startswith("wrong.html")


def test_a_style_sheet_that_loads_from_elsewhere_is_seen(site):
    (site / "style.css").write_text('@import "https://example.org/x.css"; p { background: url("gone.png") }')
    assert [fault.partition(": ")[2] for fault in faults(site)] == [
        "loads https://example.org/x.css from another host",
        "gone.png leads nowhere",
    ]


def test_addresses_of_styles():
    assert list(addresses("a{b:url('c.png')} @import \"d.css\"; e{f:url( g )}")) == ["c.png", "d.css", "g "]
    assert Reference("x", True) == Reference("x", True)
