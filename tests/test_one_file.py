"""A new item is one file: in a copy of the repository one of each kind is added, and everything that loops finds it.

It is named by `warptheory list`, checked by the contract of its kind, planned and computed by the run, and shown in the
report. The table in CONTRIBUTING.md says the same.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import warptheory
from tests.once import made_once
from tests.waiting import PATIENCE

REPOSITORY = Path(warptheory.__file__).parents[1]
WRITTEN = ("out", "_build", "_gallery", "gallery", "generated", ".*.nbc")  # perhaps at this moment
SAID = "said.json"  # of the copy
COPIED = ("warptheory", "tests", "docs", "paper_repro", "CONTRIBUTING.md", "pyproject.toml")


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
        name="mitchell",
        kind="kernels",
        path="warptheory/kernels/mitchell.py",
        contract="test_kernel_contract.py",
        source='''"""Cubic filters of two parameters (Mitchell and Netravali)."""

import sympy as sp

from warptheory.core.expressions import Number, rational
from warptheory.kernels._parameters import canonical_call
from warptheory.kernels._pieces import POSITION, Piece, reflect
from warptheory.kernels._piecewise import PiecewiseKernel, reproduced_degree, taps_of

EXAMPLES = ("mitchell(0.5, 0.2)",)


def mitchell(b: Number = 1, c: Number = 0) -> PiecewiseKernel:
    """Build the kernel for two parameters; b + 2c = 1 reproduces lines."""
    first, second, u = rational("b", b), rational("c", c), POSITION
    inner = (12 - 9 * first - 6 * second) * u**3 + (12 * first + 6 * second - 18) * u**2 + 6 - 2 * first
    outer = (
        (-first - 6 * second) * u**3
        + (6 * first + 30 * second) * u**2
        - (12 * first + 48 * second) * u
        + 8 * first
        + 24 * second
    )
    right = (
        Piece(sp.Integer(0), sp.Integer(1), sp.expand(inner / 6)),
        Piece(sp.Integer(1), sp.Integer(2), sp.expand(outer / 6)),
    )
    pieces = (*reflect(right), *right)
    return PiecewiseKernel(
        name=canonical_call(mitchell, b=first, c=second),
        pieces=pieces,
        reproduces=reproduced_degree(taps_of(pieces)),
        source="D. P. Mitchell and A. N. Netravali, SIGGRAPH 1988",
    )
''',
    ),
    Addition(
        name="once_differentiable",
        kind="covariances",
        path="warptheory/fields/covariance/once_differentiable.py",
        contract="test_covariance_contract.py",
        source='''"""A covariance of fields that have one derivative."""

from dataclasses import dataclass

import sympy as sp

from warptheory.core.expressions import real
from warptheory.fields.covariance._radial import RadialCovariance


@dataclass(frozen=True)
class OnceDifferentiable(RadialCovariance):
    """C(τ) = σ² (1 + |τ|/ℓ) exp(−|τ|/ℓ)."""

    def correlation(self, distance: sp.Expr) -> sp.Expr:
        """Return (1 + r/ℓ) exp(−r/ℓ)."""
        ratio = real("distance", distance) / self.length
        return (1 + ratio) * sp.exp(-ratio)

    def radial_spectrum(self, wavenumber: sp.Expr) -> sp.Expr:
        """Return 2ᵈ π^(d/2) Γ(d/2 + 3/2)/Γ(3/2) ℓᵈ (1 + ℓ²k²)^(−d/2 − 3/2)."""
        half = sp.Rational(self.dim, 2)
        three = sp.Rational(3, 2)
        constant = (2 * self.length) ** self.dim * sp.pi**half * sp.gamma(half + three) / sp.gamma(three)
        return constant * (1 + self.length**2 * real("frequency", wavenumber) ** 2) ** (-half - three)
''',
    ),
    Addition(
        name="logistic",
        kind="laws",
        path="warptheory/fields/laws/logistic.py",
        contract="test_law_contract.py",
        source='''"""The logistic law."""

import numpy as np
import sympy as sp
from numpy import ndarray

from warptheory.fields.laws._law import ARGUMENT, Law


_decay = sp.exp(-sp.pi * sp.Abs(ARGUMENT))


def logistic() -> Law:
    """Build the law with the distribution function 1/(1 + exp(−z))."""
    return Law(
        name="logistic",
        canonical=2 * sp.pi * sp.Abs(ARGUMENT) * _decay / (1 - _decay**2),
        density=sp.exp(-sp.Abs(ARGUMENT)) / (1 + sp.exp(-sp.Abs(ARGUMENT))) ** 2,
        draw=_draw,
        of_uniform=_of_uniform,
        scale=sp.Symbol("b", positive=True),
        scipy=("logistic",),
        source="N. L. Johnson, S. Kotz, N. Balakrishnan, Continuous Univariate Distributions 2, 1995, chapter 23",
    )


def _draw(generator: np.random.Generator, shape: tuple[int, ...]) -> ndarray:
    return generator.logistic(size=shape)


def _of_uniform(u: ndarray) -> ndarray:
    return np.asarray(np.log(u) - np.log1p(-u))
''',
    ),
    Addition(
        name="first_pixel",
        kind="boundary rules",
        path="warptheory/warping/boundaries/first_pixel.py",
        contract="test_boundary_contract.py",
        source='''"""Outside, the first pixel is read: d a a | a b c d | a a a."""

import torch
from jaxtyping import Int
from torch import Tensor


def first_pixel(positions: Int[Tensor, "*T"], size: int) -> tuple[Int[Tensor, "*T"], None]:
    """Return the positions (*T) within the image, and 0 for others."""
    return torch.where((positions >= 0) & (positions < size), positions, 0), None
''',
    ),
    Addition(
        name="mirrored",
        kind="image pairs",
        path="warptheory/training/pairs/mirrored.py",
        contract="test_pairs_contract.py",
        source='''"""Noise and its mirror image."""

import torch

from warptheory.core.streams import Stream
from warptheory.training.pairs._pairs import ImagePairs, PairedImages


def mirrored(*, seed: int = 0, train_per_photograph: int = 20, test_per_photograph: int = 10) -> ImagePairs:
    """Draw images of shape (N, 1, 16, 16), and turn them over."""
    generator = Stream(seed, "mirrored").generator()
    parts = (
        torch.from_numpy(generator.standard_normal((count, 1, 16, 16))).float()
        for count in (train_per_photograph, test_per_photograph)
    )
    return ImagePairs("mirrored", ("image",), *(PairedImages(part, part.flip(3).contiguous()) for part in parts))
''',
    ),
    Addition(
        name="stripes",
        kind="data sets",
        path="warptheory/training/data/stripes.py",
        contract="test_dataset_contract.py",
        source='''"""Stripes along one axis or the other, drawn."""

import torch

from warptheory.core.streams import Stream
from warptheory.training.data._dataset import Dataset, LabelledImages
from warptheory.training.data._preparation import normalise_channels


def stripes(*, seed: int = 0) -> Dataset:
    """Draw images of shape (N, 1, 8, 8), of two classes."""
    generator = Stream(seed, "stripes").generator()
    labels = torch.arange(96) % 2
    lines = torch.from_numpy(generator.standard_normal((96, 1, 8, 1))).expand(96, 1, 8, 8)
    images = torch.where(labels[:, None, None, None] == 0, lines, lines.transpose(2, 3)).contiguous()
    train, test = normalise_channels(images[:64], images[64:])
    return Dataset(
        "stripes", ("along", "across"), LabelledImages(train, labels[:64]), LabelledImages(test, labels[64:])
    )
''',
    ),
    Addition(
        name="turn",
        kind="operators",
        path="warptheory/operators/turn.py",
        contract="test_operator_contract.py",
        source='''"""Turn: signals are read from their end."""

from jaxtyping import Float
from torch import Tensor

from warptheory.operators._entry import OperatorEntry, OperatorExample
from warptheory.operators._operator import WarpOperator

__all__ = ["Turn1d"]


class Turn1d(WarpOperator):
    """A signal (B, C, N) from its end to its start."""

    def offsets(self, x: Float[Tensor, "B C N"]) -> Float[Tensor, "B 1 1 N"]:
        """Return the offsets (B, 1, 1, N) at a signal (B, C, N)."""
        places = x.new_tensor(range(x.shape[2]))
        return (places.flip(0) - places).expand(len(x), 1, 1, -1)


operator = OperatorEntry(
    formula="y(t) = x(N - 1 - t)",
    where={"N": "the number of pixels"},
    source="a test",
    conventions=("The last pixel comes first.",),
    initialisation="It has no parameters.",
    examples={"1d": OperatorExample(Turn1d, lambda x, _: (x,), (2, 3, 5))},
)
''',
    ),
    Addition(
        name="Z7a",
        kind="results",
        path="warptheory/results/iid/weighted_value.py",
        contract="test_result_contract.py",
        source='''"""Z7a: the variance of a weighted value."""

import sympy as sp

from warptheory.results._ranges import Range
from warptheory.results._result import Result
from warptheory.results._setting import PIXEL, Setting
from warptheory.symbolic import IIDField, OffsetField, Variance, warp

result = Result(
    "Z7a",
    "A weighted value",
    "Var w·y = w² Var y.",
    assumptions=("The pixels x[m] are independent with one law of variance σ².",),
    source="theory label Z7a",
    meaning="A weight changes the variance by its square. Choose one where the variance has to stay.",
    offsets=("normal",),
    kernels=("linear",),
    dims=(1,),
    values={"w": Range(0.6, 0.3, 1.2)},
)

WEIGHT = sp.Symbol("w", positive=True)


@result.quantity("variance")
def variance(setting: Setting) -> Variance:
    """State Var w·y[n]."""
    y = warp(IIDField("x"), OffsetField(setting.offsets, setting.dim), setting.kernel)
    return Variance(WEIGHT * y[PIXEL])
''',
    ),
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
    draw=draw, reads=("half_life.parquet",), title="Figure 9. Half-lives", caption=caption, order=401, alt="half-lives"
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


def write_copy(root):
    """Write a copy of the repository with everything added, and with what Python and numba have compiled of it."""
    for name in COPIED:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns(*WRITTEN))
        else:
            shutil.copy(source, root / name)
    for addition in ADDITIONS:
        (root / addition.path).write_text(addition.source, encoding="utf-8")


# All that is asked of the copy, in one process: each would import the library anew.
ASK = """
import io, json, os, sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from warptheory.cli import main
from warptheory.paper import scripts
from warptheory.paper.entries import RunSettings
from warptheory.paper.pages import write_report

asked = json.loads(sys.argv[1])
said = {}
for name, arguments in asked["commands"].items():
    sys.argv = ["warptheory", *arguments]
    with redirect_stdout(io.StringIO()) as printed:
        try:
            main()
        except SystemExit as ended:
            assert not ended.code, printed.getvalue()
    said[name] = printed.getvalue()
known = scripts()
write_report([known[name] for name in asked["parts"]], RunSettings(Path(asked["out"]) / "records", seed=1))
from docs import gallery_scripts
from docs.pages import kinds

shown = {kind: pages.names() for kind, pages in kinds().items()}
said["site"] = {**shown, "gallery": [plot.entry.name for plot in gallery_scripts.all_plots()]}
with redirect_stdout(io.StringIO()) as printed:
    assert pytest.main(asked["pytest"]) == 0, printed.getvalue()
said["pytest"] = printed.getvalue()
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the repository with everything added, of which everything was asked."""
    return made_once(tmp_path_factory, "copy", write_and_ask)


@pytest.fixture(scope="module")
def asked(copy):
    """What the copy has said."""
    return json.loads((copy / SAID).read_text(encoding="utf-8"))


def write_and_ask(copy):
    write_copy(copy)
    (copy / SAID).write_text(ask(copy), encoding="utf-8")


def ask(copy):
    """Return what a copy says of a list, a plan, a run and a report of what was added alone, and of its contracts."""
    out, parts = copy / "out", [addition.name for addition in ADDITIONS if addition.is_part]
    names = " or ".join(addition.name for addition in ADDITIONS)
    contracts = sorted({f"tests/contracts/{addition.contract}" for addition in ADDITIONS})
    chosen = [option for name in parts for option in ("--only", name)]
    question = {
        "commands": {
            "list": ["list", "--json"],
            "plan": ["reproduce", "--plan", "--out", str(copy / "planned")],
            "run": ["reproduce", "--seed", "1", "--out", str(out), *chosen],
        },
        "parts": parts,
        "out": str(out),
        "pytest": ["-q", "-p", "no:cacheprovider", "-m", "not slow", "-k", names, "-rA", *contracts],
    }
    paths = [path for path in sys.path if "site-packages" in path or path.endswith("-site")]
    surroundings = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(copy), *paths]),
        "PYTHONUTF8": "1",
        "COLUMNS": "500",
        "WARPTHEORY_REPRODUCED": str(out),
        "WARPTHEORY_TEST_SHAPES": "off",
    }
    command, options = [sys.executable, "-c", ASK, json.dumps(question)], {"capture_output": True, "encoding": "utf-8"}
    done = subprocess.run(command, cwd=copy, env=surroundings, timeout=PATIENCE, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]


def test_it_is_listed(asked):
    listed = json.loads(asked["list"])
    for addition in ADDITIONS:
        names = [
            {entry.get("label"), entry.get("name"), *(alias["name"] for alias in entry.get("aliases", ()))}
            for entry in listed[addition.kind]
        ]
        assert sum(addition.name in known for known in names) == 1


def test_it_has_a_page_on_the_site(asked):
    """Kinds with pages have one of it; what draws is in the gallery."""
    for addition in ADDITIONS:
        if addition.kind in asked["site"]:
            assert addition.name in asked["site"][addition.kind]
        assert (addition.name in asked["site"]["gallery"]) == bool(addition.section)


def test_it_is_planned(asked):
    for addition in ADDITIONS:
        assert bool(re.search(rf"^{addition.name} .*about", asked["plan"], re.MULTILINE)) == addition.is_part


def test_it_is_in_the_report(copy):
    page = (copy / "out" / "report.html").read_text(encoding="utf-8")
    for addition in ADDITIONS:
        assert not addition.section or f"<h2>{addition.section} <a" in page


def test_its_contract_finds_it_and_holds(asked):
    for addition in ADDITIONS:
        entry = rf"\[(?:[^\]]*-)?{addition.name}(?:-[^\]]*)?\]"
        passed = rf"^PASSED tests/contracts/{addition.contract}::\w+{entry}"
        assert re.search(passed, asked["pytest"], re.MULTILINE), addition


def test_the_table_of_contributing_says_so():
    """Each kind has its row, whose files are those that were touched here."""
    text = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for addition in ADDITIONS:
        kind = {"analyses": "analysis", "data sets": "data set"}.get(addition.kind, addition.kind.removesuffix("s"))
        folder = re.escape(str(Path(addition.path).parent))
        assert re.search(rf"^\| {kind} \| `{folder}/", text, re.MULTILINE), kind
