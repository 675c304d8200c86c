"""The page of a diagnosis: it holds everything, fetches nothing, and can be read in a browser."""

import html.parser
import re
from dataclasses import replace

import pytest

from tests.browser import CHROMIUM, opened
from tests.diagnoses import HOSTILE, made_up, nothing_known
from warptheory import report
from warptheory.core.errors import ArgumentError
from warptheory.report import _diagnosis_plots as plots
from warptheory.stability.diagnosis import StepProfile

PROBE = """() => ({
  wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  images: [...document.images].map(each => each.complete && each.naturalWidth > 0),
  fetched: performance.getEntriesByType("resource").map(e => e.name).filter(n => !n.startsWith("data:")),
})"""


class Parts(html.parser.HTMLParser):
    """Collects addresses, texts of images, and what might run."""

    def __init__(self):
        super().__init__()
        self.loaded, self.silent, self.tags = [], [], set()

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.add(tag)
        self.loaded += [given[name] for name in ("src", "href", "srcset", "data", "action") if name in given]
        if tag == "img" and len(given.get("alt", "")) < 20:
            self.silent.append(given)


@pytest.mark.parametrize("found", [made_up(), made_up(HOSTILE), nothing_known(), made_up(layers=0), made_up(layers=70)])
def test_the_page_holds_everything_and_fetches_nothing(found, tmp_path):
    report.write_diagnosis(found, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    parts = Parts()
    parts.feed(page)
    assert all(address.startswith(("data:", "#")) for address in parts.loaded)
    assert not re.search(r"url\(|@import", page)
    assert not {"script", "link", "iframe"} & parts.tags
    assert parts.silent == []
    assert "\x1b" not in page
    assert all(html.escape(each.name) in page for each in found.conditions)
    drawn = bool(plots.judged(found.conditions)) + 3 * bool(found.layers) + (found.profile is not None)
    assert page.count("<img") == drawn


def test_the_page_is_replaced_and_a_users_file_is_not(tmp_path):
    path = tmp_path / "page.html"
    report.write_diagnosis(made_up(), path)
    report.write_diagnosis(nothing_known(), path)
    path.write_text("mine")
    with pytest.raises(ArgumentError, match="left alone"):
        report.write_diagnosis(made_up(), path)
    with pytest.raises(ArgumentError, match="^path: expected a file that can be written"):
        report.write_diagnosis(made_up(), tmp_path / "nowhere" / "page.html")


def test_the_ratio_stands_against_its_bounds_with_its_error():
    ratio, *_ = made_up().conditions
    (axes,) = plots.plot_conditions([ratio]).axes
    low, high = axes.get_xlim()
    assert axes.get_xscale() == "log"
    assert low < ratio.worse < ratio.fail < ratio.value < high
    (drawn,) = axes.containers
    ((start, end),) = [segment[:, 0] for segment in drawn[2][0].get_segments()]
    assert (start, end) == pytest.approx((ratio.value - ratio.stderr, ratio.value + ratio.stderr))


@pytest.mark.parametrize("value", [0.0, 1e-30, 1e30, float("inf"), -1.0])
def test_values_that_no_logarithmic_axis_has(value):
    ratio = replace(made_up().conditions[0], value=value, stderr=float("inf"))
    plots.plot_conditions([ratio]).canvas.draw()


def test_promises_are_drawn_over_the_loss():
    profile = made_up().profile
    (axes,) = plots.plot_profile(profile).axes
    loss, promise, central = axes.lines
    assert loss.get_ydata().tolist() == list(profile.losses)
    for line, slope in ((promise, profile.promise), (central, profile.central_promise)):
        assert line.get_ydata()[-1] == pytest.approx(profile.losses[0] - 4 * slope)


@pytest.mark.parametrize("losses", [(1.0, 1.0), (float("nan"), float("nan")), (1.0, float("inf")), (0.0, 0.0)])
def test_losses_that_are_flat_or_not_finite(losses):
    plots.plot_profile(StepProfile((0.0, 1.0), losses, float("inf"), 0.1)).canvas.draw()


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_opens_in_a_browser(width, tmp_path):
    report.write_diagnosis(made_up("a.model.of." + "many." * 20 + "parts"), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    seen = opened(page, tmp_path, PROBE, size=(width, 900))
    assert seen == {"wide": 0, "images": [True] * 5, "fetched": [], "complaints": []}
