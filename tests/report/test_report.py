"""The whole reproduction on a few results, and the page that it writes, opened in a browser."""

import html.parser
import json
import re
import subprocess

import pandas as pd
import pytest

from tests.browser import CHROMIUM, FLAGS
from tests.reproduction import SETTINGS
from tests.waiting import PATIENCE
from warptheory.core.errors import ArgumentError
from warptheory.paper.analyses import verdicts as verdicts_script
from warptheory.paper.entries import PaperFigure, Plot, RunSettings
from warptheory.paper.graph import output_paths, report_scripts
from warptheory.paper.pages import write_report

# Runs in the page after everything has loaded, and leaves what it measured in the document's title.
PROBE = """<script>addEventListener("load", () => {
  document.querySelectorAll("details").forEach(d => d.open = true);
  document.title = JSON.stringify({
    formulas: [...document.querySelectorAll("math")].map(m => m.getBoundingClientRect().height),
    tables: [...document.querySelectorAll("table")].map(t => t.rows.length),
    images: [...document.images].map(i => i.complete && i.naturalWidth > 0),
    wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    fetched: performance.getEntriesByType("resource").map(e => e.name).filter(n => !n.startsWith("data:")),
  });
});</script>"""


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
    """Collects every address that the page could load."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in ("src", "href", "srcset", "data", "action", "poster")]


def test_the_page_is_self_contained(reproduced):
    page = (reproduced / "report.html").read_text(encoding="utf-8")
    addresses = Addresses()
    addresses.feed(page)
    assert addresses.found
    assert all(address.startswith("data:") for address in addresses.found)
    assert not re.search(r"url\(|@import|<script", page)


def test_the_page_opens_in_a_browser(reproduced, tmp_path):
    """Formulas are laid out, tables filled, images decoded, and nothing is fetched."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    probed = tmp_path / "probed.html"
    probed.write_text(
        (reproduced / "report.html").read_text(encoding="utf-8").replace("</body>", PROBE + "</body>"), encoding="utf-8"
    )
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", probed.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    title = re.search(r"<title>(.*?)</title>", done.stdout, re.DOTALL)
    seen = json.loads(html.unescape(title.group(1)))
    results = json.loads((reproduced / "records" / "derivations.json").read_text())
    steps = sum(1 + len(quantity["steps"]) for result in results for quantity in result["quantities"])
    assert len(seen["formulas"]) == steps
    assert min(seen["formulas"]) > 5  # pixels: an element that the browser does not know has no height
    # One of the claims of each result; planted errors, networks, the operator's timings, values from elsewhere.
    assert len(seen["tables"]) == len(results) + 4
    assert min(seen["tables"]) >= 3
    scripts = report_scripts(RunSettings(reproduced / "records")).values()
    figures = [entry for entry in scripts if isinstance(entry, PaperFigure)]
    parts = [part for entry in scripts if getattr(entry, "section", None) for part in entry.section.parts]
    plots = [part for part in parts if isinstance(part, Plot)]
    assert seen["images"] == [True] * (len(figures) + len(plots) + 1)  # and the plot of timings
    assert seen["wide"] <= 0
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
