"""A new item is one file: in a copy of the repository one of each kind is added, and everything that loops finds it.

It is named by `warptheory list`, checked by the contract of its kind, planned and computed by the run, and shown in the
report. The table in CONTRIBUTING.md says the same.
"""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import warptheory
from tests.waiting import PATIENCE

REPOSITORY = Path(warptheory.__file__).parents[1]
COPIED = ("warptheory", "tests", "paper_repro", "README.md", "CONTRIBUTING.md", "pyproject.toml")


@dataclass(frozen=True)
class Addition:
    """A file that adds an item.

    Attributes:
        name: name of the item, by which it is listed.
        kind: heading under which it is listed.
        path: the file.
        source: what is in it.
        contract: the contract that finds it, a file in tests/contracts/.
        section: title of its section of the report; empty for none.
        is_part: whether it is a part of the run.
    """

    name: str
    kind: str
    path: str
    source: str
    contract: str
    section: str = ""
    is_part: bool = False


ADDITIONS = (
    Addition(
        name="half_life",
        kind="analyses",
        path="warptheory/paper/analyses/half_life.py",
        contract="test_analysis_contract.py",
        section="Half-life of a signal",
        is_part=True,
        source='''"""Halve a number again and again; writes `half_life.parquet`."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from warptheory.core import records
from warptheory.paper.entries import Analysis, Cost, Plot, RunSettings, Section

RECORD = "half_life.parquet"


def run(settings: RunSettings) -> Path:
    """Compute and write the record; return its path."""
    path = records.output_folder(settings.out) / RECORD
    table = pd.DataFrame({"step": range(8), "value": [2.0**-step for step in range(8)]})
    records.write_table(path, table, records.Manifest(__name__, settings.seed, settings.device))
    return path


def plot(table: pd.DataFrame) -> Figure:
    """Draw the values."""
    figure = Figure(figsize=(4, 3))
    figure.subplots().plot(table["step"], table["value"])
    return figure


ANALYSIS = Analysis(
    run=run,
    writes=(RECORD,),
    cost=Cost(quick=1, full=1),
    section=Section(
        title="Half-life of a signal",
        order=400,
        parts=("It halves.", Plot(plot, (RECORD,), alt="A curve that falls", caption="It falls by <b>half</b>.")),
    ),
)
''',
    ),
    Addition(
        name="figure9_half_life",
        kind="figures",
        path="warptheory/paper/figures/figure9_half_life.py",
        contract="test_figure_contract.py",
        section="Figure 9. Half-lives",
        is_part=True,
        source='''"""Figure 9: half-lives."""

import pandas as pd
from matplotlib.figure import Figure

from warptheory.paper.entries import PaperFigure


def draw(table: pd.DataFrame) -> Figure:
    """Return the figure."""
    figure = Figure(figsize=(4, 3))
    figure.subplots().plot(table["step"], table["value"])
    return figure


def caption(table: pd.DataFrame) -> str:
    """Return the caption."""
    return f"A signal that is halved {len(table)} times."


FIGURE = PaperFigure(
    draw=draw, reads=("half_life.parquet",), title="Figure 9. Half-lives", caption=caption, order=401
)
''',
    ),
    Addition(
        name="halving",
        kind="benchmarks",
        path="warptheory/paper/benchmarks/halving.py",
        contract="test_benchmark_contract.py",
        is_part=True,
        source='''"""Time halving against doubling."""

from pathlib import Path

from warptheory.core import records
from warptheory.paper.entries import Benchmark, Cost, RunSettings
from warptheory.paper.timings import write_timings


def run(settings: RunSettings) -> Path:
    """Time both, and write `halving_<device>.json`; return its path."""
    return write_timings(settings, __name__, {"rounds": 1, "device_name": "any"}, {"ratio": 1.0})


def summary(path: Path) -> str:
    """Return a record of `run` as text."""
    return str(records.read_json(path)["ratio"])


BENCHMARK = Benchmark(run=run, summary=summary, writes=("halving_*.json",), cost=Cost(quick=1, full=1))
''',
    ),
    Addition(
        name="halve",
        kind="commands",
        path="warptheory/cli/commands/halve.py",
        contract="test_command_contract.py",
        source='''"""`warptheory halve`: halve a number."""

EXAMPLES = "Example:  warptheory halve 4"


def command(number: float) -> None:
    """Print half of a number."""
    print(number / 2)
''',
    ),
)


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the repository with everything added."""
    root = tmp_path_factory.mktemp("copy")
    for name in COPIED:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__", "out"))
        else:
            shutil.copy(source, root / name)
    for addition in ADDITIONS:
        (root / addition.path).write_text(addition.source, encoding="utf-8")
    return root


def call(copy, *arguments, **environment):
    """Run Python in the copy; return the standard output."""
    surroundings = {**os.environ, "PYTHONPATH": str(copy), "PYTHONUTF8": "1", "COLUMNS": "500", **environment}
    paths = [path for path in sys.path if "site-packages" in path or path.endswith("-site")]
    surroundings["PYTHONPATH"] = os.pathsep.join([str(copy), *paths])
    command, options = [sys.executable, *arguments], {"capture_output": True, "encoding": "utf-8", "timeout": PATIENCE}
    done = subprocess.run(command, cwd=copy, env=surroundings, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_is_listed(copy):
    listed = dict(line.split(": ", 1) for line in call(copy, "-m", "warptheory", "list").splitlines() if ": " in line)
    for addition in ADDITIONS:
        assert addition.name in listed[addition.kind].split(", ")


@pytest.fixture(scope="module")
def computed(copy):
    """The folder of a run of what was added, with a report of it alone."""
    only = [option for addition in ADDITIONS if addition.is_part for option in ("--only", addition.name)]
    out = copy / "out"
    call(copy, "-m", "warptheory", "reproduce", "--seed", "1", "--out", str(out), *only)
    call(copy, "-c", _REPORT, str(out), *(addition.name for addition in ADDITIONS if addition.is_part))
    return out


_REPORT = """
import sys
from pathlib import Path
from warptheory.paper import scripts
from warptheory.paper.entries import RunSettings
from warptheory.paper.pages import write_report

known = scripts()
write_report([known[name] for name in sys.argv[2:]], RunSettings(Path(sys.argv[1]) / "records", seed=1))
"""


def test_it_is_planned(copy):
    planned = call(copy, "-m", "warptheory", "reproduce", "--plan", "--out", str(copy / "planned"))
    for addition in ADDITIONS:
        assert bool(re.search(rf"^{addition.name} .*about", planned, re.MULTILINE)) == addition.is_part


def test_it_is_in_the_report(computed):
    page = (computed / "report.html").read_text(encoding="utf-8")
    for addition in ADDITIONS:
        assert not addition.section or f"<h2>{addition.section}</h2>" in page


def test_its_contract_finds_it_and_holds(copy, computed):
    contracts = sorted({f"tests/contracts/{addition.contract}" for addition in ADDITIONS})
    names = " or ".join(addition.name for addition in ADDITIONS)
    options = ("-q", "-p", "no:cacheprovider", "-k", names, "-rA")
    printed = call(copy, "-m", "pytest", *options, *contracts, WARPTHEORY_REPRODUCED=str(computed))
    for addition in ADDITIONS:
        assert re.search(rf"^PASSED tests/contracts/{addition.contract}::\w+\[{addition.name}\]", printed, re.MULTILINE)


def test_the_table_of_contributing_says_so():
    """Each kind has its row, whose files are those that were touched here."""
    text = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for addition in ADDITIONS:
        kind = {"analyses": "analysis"}.get(addition.kind, addition.kind.removesuffix("s"))
        folder = re.escape(str(Path(addition.path).parent))
        assert re.search(rf"^\| {kind} \| `{folder}/", text, re.MULTILINE), kind
