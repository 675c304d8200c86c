"""The whole reproduction on a few results, and the page that it writes, opened in a browser."""

import html.parser
import json
import re
import subprocess

import pandas as pd
import pytest
from markupsafe import Markup

from tests.browser import CHROMIUM, FLAGS
from tests.reproduction import SETTINGS
from tests.waiting import PATIENCE
from warptheory.core.errors import ArgumentError
from warptheory.paper.analyses import verdicts as verdicts_script
from warptheory.paper.entries import PaperFigure, Plot, RunSettings
from warptheory.paper.graph import output_paths, report_scripts
from warptheory.paper.pages import write_report
from warptheory.report._links import entries_of, linked

# Widths of a phone, a tablet, a laptop and a large screen, in pixels.
WIDTHS = (390, 768, 1280, 1920)
# Runs beside copies of the page in frames of these widths, and leaves what it measured in the document's title.
PROBE = """
const luminance = c => c.map(v => v / 255).map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const rgb = text => (text.match(/[\\d.]+/g) || []).map(Number);
const background = (view, e) => { for (; e; e = e.parentElement) {
  const c = rgb(view.getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0) return c.slice(0, 3); }
  return [255, 255, 255]; };
const contrast = (view, e) => { const [a, b] = [rgb(view.getComputedStyle(e).color).slice(0, 3), background(view, e)]
  .map(luminance).sort((x, y) => y - x); return (a + 0.05) / (b + 0.05); };
const measure = frame => { const d = frame.contentDocument, view = frame.contentWindow;
  d.querySelectorAll("details").forEach(e => e.open = true);
  const texts = [...d.querySelectorAll("h1,h2,h3,h4,p,li,td,th,figcaption,summary,dt,dd,a,code,span")]
    .filter(e => e.innerText && e.innerText.trim());
  const page = d.documentElement, inPage = e => e.getBoundingClientRect().right <= page.clientWidth + 1;
  return {
    formulas: [...d.querySelectorAll("math")].map(m => m.getBoundingClientRect().height),
    tables: [...d.querySelectorAll("table")].map(t => t.rows.length),
    images: [...d.images].map(i => i.complete && i.naturalWidth > 0),
    wide: page.scrollWidth - page.clientWidth,
    escaped: [...d.querySelectorAll(".scroll, .frame, h1, h2, h3, h4, p, li")].filter(e => !inPage(e)).length,
    scrolling: [...d.querySelectorAll("table")].map(t => t.parentElement)
      .filter(e => e.scrollWidth > e.clientWidth + 1).length,
    narrow: [...d.images].filter(i => i.getBoundingClientRect().width < Math.min(600, 0.8 * page.clientWidth)).length,
    contrast: Math.min(...texts.map(e => contrast(view, e))),
    dark: luminance(background(view, d.body)) < 0.2,
    fetched: view.performance.getEntriesByType("resource").map(e => e.name).filter(n => !n.startsWith("data:")),
  }; };
addEventListener("load", () => {
  document.title = JSON.stringify([...document.querySelectorAll("iframe")].map(measure)); });
"""


def seen_in_browser(page, folder, *, dark):
    """Return what the page is like at each width."""
    frames = "".join(
        f'<iframe style="width:{width}px;height:800px;border:0" srcdoc="{html.escape(page)}"></iframe>'
        for width in WIDTHS
    )
    probed = folder / f"probed_{dark}.html"
    probed.write_text(f"<!DOCTYPE html><title></title><body>{frames}<script>{PROBE}</script>", encoding="utf-8")
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    command = [CHROMIUM, *FLAGS, scheme, f"--user-data-dir={folder / 'profile'}", "--dump-dom", probed.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    return json.loads(html.unescape(re.search(r"<title>(.*?)</title>", done.stdout, re.DOTALL).group(1)))


def test_everything_holds_and_progress_only_grows(reproduced):
    run = json.loads((reproduced.parent / "run.json").read_text())
    assert (run["holds"], run["failed"], run["refuted"]) == (True, {}, [])
    assert run["shares"] == sorted(run["shares"])
    assert run["shares"][-1] == 1


def test_everything_is_written_and_nothing_else(reproduced):
    """Records, figures and the page; what is known of the run; and what it goes on from after an interruption."""
    settings = RunSettings(reproduced / "records", **SETTINGS)
    scripts = report_scripts(settings).values()
    expected = {path for entry in scripts for path in output_paths(entry, settings)}
    expected |= {reproduced / "report.html", reproduced / "graph.json"}
    expected |= {settings.out / f"{entry.name}_cell.json" for entry in scripts if getattr(entry, "long", None)}
    written = {path for path in reproduced.rglob("*") if path.is_file()}
    assert {path for path in written if not {"chunks", "training"} & set(path.parts)} == expected
    verdicts = pd.read_parquet(settings.out / "verdicts.parquet")
    assert set(verdicts["result"]) == {"A2", "A3", "A7"}
    assert (verdicts["verdict"] == "verified").all()
    manifest = json.loads((settings.out / "verdicts.json").read_text())
    assert manifest["rows"] == len(verdicts)
    assert manifest["device"] == "cpu"


def test_values_from_elsewhere_agree(reproduced):
    expected = pd.read_parquet(reproduced / "records" / "expected.parquet")
    assert len(expected) >= 14
    assert expected["agrees"].all()


class Addresses(html.parser.HTMLParser):
    """Collects every address that the page could load or lead to, every place in it, and images without words."""

    def __init__(self):
        super().__init__()
        self.loaded, self.links, self.places, self.silent = [], [], [], []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.loaded += [given[name] for name in ("src", "srcset", "data", "action", "poster") if name in given]
        self.links += [given["href"]] if "href" in given else []
        self.places += [given["id"]] if "id" in given else []
        if tag == "img" and len(given.get("alt", "")) < 10:
            self.silent.append(given)


def test_the_page_is_self_contained_and_its_links_lead_somewhere(reproduced):
    page = (reproduced / "report.html").read_text(encoding="utf-8")
    addresses = Addresses()
    addresses.feed(page)
    assert addresses.loaded
    assert all(address.startswith("data:") for address in addresses.loaded)
    assert not re.search(r"url\(|@import|<script|<link", page)
    outside = {link for link in addresses.links if not link.startswith("#")}
    assert outside == {"https://arxiv.org/abs/2511.20800"}
    assert {link[1:] for link in addresses.links if link.startswith("#")} <= set(addresses.places)
    assert len(set(addresses.places)) == len(addresses.places)
    assert addresses.silent == []


def test_labels_in_captions_lead_to_results():
    text = '<p>A4, A40, B1 <code>A4</code> <a href="x">A4</a></p>'
    body = Markup(f'<section id="A4" data-title="A4. Gain"><h3>A4</h3>{text}</section>')
    assert entries_of(body) == [("A4", "A4. Gain")]
    shown = linked(body, {"A4"})
    assert shown.count('<a href="#A4">A4</a>') == 1
    assert '<p><a href="#A4">A4</a>, A40, B1 <code>A4</code> <a href="x">A4</a></p>' in shown


def test_what_was_found_comes_first_and_what_is_missing_is_said(reproduced):
    page = (reproduced / "report.html").read_text(encoding="utf-8")
    found = re.search(r'<section id="found">(.*?)</section>', page, re.DOTALL).group(1)
    scripts = report_scripts(RunSettings(reproduced / "records")).values()
    sections = [entry.section for entry in scripts if getattr(entry, "section", None)]
    assert found.count("<li>") == sum(section.finding is not None for section in sections) >= 10
    assert page.index('id="found"') < page.index('<nav aria-label="Contents">') < page.index('id="verdicts"')
    assert "Figure 3 of the paper is not reproduced yet" in page
    assert "verification: not part of the quick profile" in page


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_opens_in_a_browser(reproduced, tmp_path, dark):
    """Formulas are laid out, tables filled, images decoded, nothing is fetched, and all of it fits, and can be read.

    4.5 is the least contrast of text by WCAG 2.2, level AA.
    """
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    views = seen_in_browser((reproduced / "report.html").read_text(encoding="utf-8"), tmp_path, dark=dark)
    results = json.loads((reproduced / "records" / "derivations.json").read_text())
    symbols = json.loads((reproduced / "records" / "symbols.json").read_text())
    steps = sum(1 + len(quantity["steps"]) for result in results for quantity in result["quantities"])
    scripts = report_scripts(RunSettings(reproduced / "records")).values()
    figures = [entry for entry in scripts if isinstance(entry, PaperFigure)]
    parts = [part for entry in scripts if getattr(entry, "section", None) for part in entry.section.parts]
    plots = [part for part in parts if isinstance(part, Plot)]
    for width, seen in zip(WIDTHS, views, strict=True):
        assert len(seen["formulas"]) == steps + len(symbols)
        assert min(seen["formulas"]) > 3  # pixels: an element that the browser does not know has no height
        # One of the claims of each result; planted errors, networks, timings of warp and of operators, values from
        # elsewhere, predicted gradients; critical multipliers, rules of practice, phase diagram, mechanisms, and two of
        # the development set.
        assert len(seen["tables"]) == len(results) + 12
        assert min(seen["tables"]) >= 3
        assert seen["images"] == [True] * (len(figures) + len(plots) + 1)  # and the plot of timings
        assert (seen["wide"], seen["escaped"], seen["narrow"]) == (0, 0, 0)
        assert seen["scrolling"] == 0 or width < 1280  # a phone scrolls them
        assert seen["contrast"] >= 4.5
        assert seen["dark"] == dark
        assert seen["fetched"] == []


def test_many_claims_share_a_row_by_quantity():
    """Three hundred claims of fifty quantities: a row each, all points inside it, and no row without its number."""
    verdicts = pd.DataFrame(
        {
            "result": [f"A{number % 50}" for number in range(300)],
            "quantity": "variance",
            "verdict": ["verified"] * 298 + ["undecided", "refuted"],
            "estimate": 1.0,
            "theory": 1.0,
            "stderr": 0.001,
            "effect": [0.01] * 299 + [1e-9],
        }
    )
    verdicts.loc[299, "estimate"] = 2.0
    figure = verdicts_script.plot_deviations(verdicts)
    (axes,) = figure.axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert len(labels) == 50
    assert all(label.endswith("variance (6)") for label in labels)
    points = [line for line in axes.get_lines() if line.get_marker() not in ("None", "", "|")]
    heights = sorted(height for line in points for height in line.get_ydata())
    assert len(heights) == 300
    rows = [round(height) for height in heights]
    assert all(rows.count(row) == 6 for row in range(50))
    low, high = axes.get_xlim()
    assert all(low <= place <= high for line in points for place in line.get_xdata())


@pytest.mark.usefixtures("as_users_call")
def test_missing_records_are_named(tmp_path):
    with pytest.raises(
        ArgumentError, match=r"^record: expected a record that a command wrote, got no file .*verdicts.parquet$"
    ):
        write_report([verdicts_script.ANALYSIS], RunSettings(tmp_path / "records"))
