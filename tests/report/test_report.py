"""The whole reproduction on a few results, and the page that it writes, opened in a browser."""

import html.parser
import json
import re
import shutil
import subprocess

import pandas as pd
import pytest

from tests.waiting import PATIENCE
from warptheory import report
from warptheory.core.errors import ArgumentError

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
TABLES = ("random_fields", "discretization_error", "discretization_orders")
TABLES += tuple(f"natural_images{part}" for part in ("", "_agreement", "_displacement", "_edges"))
TABLES += tuple(f"selfwarp_{part}" for part in ("accuracy", "steps", "layers"))
FIGURES = ("figure1_warped_image", "figure2_training", "figure5_warped_through_network")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=5000",
)
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
    assert run["holds"]
    assert run["shares"] == sorted(run["shares"])


def test_everything_is_written(reproduced):
    names = {str(path.relative_to(reproduced)) for path in reproduced.rglob("*") if path.is_file()}
    names = {name for name in names if not name.startswith("training/")}
    assert names == {
        "report.html",
        *(f"{stem}{suffix}" for stem in FIGURES for suffix in (".pdf", ".png")),
        *(f"records/{stem}" for stem in ("derivations.json", "verdicts.parquet", "verdicts.json", "expected.parquet")),
        *(f"records/{stem}" for stem in ("power.parquet", "power.json")),
        *(f"chunks/{stem}" for stem in ("chunks.sqlite", "configuration.json", "lock")),
        *(f"records/{stem}" for stem in ("expected.json", "iid_statistics.parquet", "iid_statistics.json")),
        *(f"records/{stem}" for stem in ("backward_asymmetry.parquet", "backward_asymmetry.json")),
        *(f"records/{stem}{suffix}" for stem in TABLES for suffix in (".parquet", ".json")),
        *(f"records/{stem}" for stem in ("warped_image.safetensors", "warped_image.json")),
        *(f"records/{stem}" for stem in ("operator_accuracy.parquet", "operator_accuracy.json", "warp_cpu.json")),
        *(f"records/{stem}" for stem in ("warped_through_network.safetensors", "warped_through_network.json")),
        *(f"records/{stem}" for stem in ("training_step_cpu.json", "monitor_overhead_cpu.json")),
    }
    verdicts = pd.read_parquet(reproduced / "records" / "verdicts.parquet")
    assert set(verdicts["result"]) == {"A2", "A3", "A7"}
    assert (verdicts["verdict"] == "verified").all()
    manifest = json.loads((reproduced / "records" / "verdicts.json").read_text())
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
    assert (
        len(seen["tables"]) == len(results) + 4
    )  # planted errors; networks; the operator's timings; values from elsewhere
    assert min(seen["tables"]) >= 3
    # Claims, two of the forward and three of the backward pass, two each of fields, errors and photographs; networks;
    # speed, accuracy, Figures 1, 2 and 5.
    assert seen["images"] == [True] * 18
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
    figure = report.plot_deviations(verdicts)
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
        report.write_report(tmp_path, [])
