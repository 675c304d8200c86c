"""What a script of the paper declares: what it computes, reads and writes, its cost, and what is shown of it.

A script is one file in `analyses/`, `figures/` or `benchmarks/`, and holds one entry. The run, the report, the tables
of the site, the command line and the tests take everything from there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from matplotlib.figure import Figure

OnProgress = Callable[[float, str], None]


def _silent(share: float, name: str) -> None:
    """Take a report of progress that nobody wants."""


@dataclass(frozen=True)
class RunSettings:
    """How a script runs; each takes from it what concerns it.

    Attributes:
        out: folder of the records.
        seed: seed of every random number.
        device: torch device.
        profile: "quick" or "full".
        labels: labels or patterns of the results that are checked.
        thin: of curves, of the shapes that are timed, and of a timed batch, every `thin`-th only.
        rounds: interleaved rounds of timings; None takes the script's own number for the profile.
        seeds: number of seeds with which networks are trained.
        most_steps: of every training run, at most so many steps.
        workers: processes that simulate claims; None takes one for each core.
        on_progress: called with the share that is done, in [0, 1], and the name of what is running.
    """

    out: Path
    seed: int = 0
    device: str = "cpu"
    profile: str = "quick"
    labels: tuple[str, ...] = ("*",)
    thin: int = 1
    rounds: int | None = None
    seeds: int = 3
    most_steps: int | None = None
    workers: int | None = None
    on_progress: OnProgress = _silent


@dataclass(frozen=True)
class Cost:
    """How long a script takes alone on two idle cores.

    Attributes:
        quick: seconds at the quick profile; None if the profile leaves it out.
        full: seconds at the full profile.
        cores: how many cores it keeps busy.
    """

    quick: int | None
    full: int
    cores: int = 1

    def at(self, profile: str) -> int | None:
        """Return the seconds at a profile, None if the profile leaves the script out."""
        return self.quick if profile == "quick" else self.full


@dataclass(frozen=True)
class Plot:
    """A plot of records.

    Attributes:
        draw: makes the figure of what is read.
        reads: names of the records, such as "iid_statistics.parquet"; a star stands for the device of a timing.
        alt: what it shows, for those who do not see it.
        caption: HTML, or a function that makes it of what is read.
    """

    draw: Callable[..., Figure]
    reads: tuple[str, ...]
    alt: str
    caption: str | Callable[..., str]


@dataclass(frozen=True)
class ReportPassage:
    """HTML made of records, such as a table with its text.

    Attributes:
        write: makes it of what is read.
        reads: names of the records.
    """

    write: Callable[..., str]
    reads: tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """A section of the report.

    Attributes:
        title: its heading.
        order: sections follow each other by this number.
        parts: what it consists of: text in HTML, each piece a paragraph, plots and passages.
        finding: what was found, in a sentence with its numbers, for the head of the report.
    """

    title: str
    order: int
    parts: tuple[str | Plot | ReportPassage, ...]
    finding: ReportPassage | None = None


@dataclass(frozen=True)
class DocumentTable:
    """A table in a document.

    Attributes:
        name: name of the block between whose markers it stands.
        write: makes Markdown of what is read.
        reads: names of the records.
    """

    name: str
    write: Callable[..., str]
    reads: tuple[str, ...]


@dataclass(frozen=True)
class ExplorerCurve:
    """A quantity in a record of curve points (`results.write_points`) that the page of `warptheory explore` shows.

    Attributes:
        result: label of the result.
        quantity: name of the quantity.
        record: name of the record, one that its analysis writes.
        control: what moves along the curve: "spread" (standard deviation of the offsets, whose law's scale is the
            parameter), "slope" (τ) or "depth" (L).
        choices: what tells the curves of the record apart, among "kernel", "dim" and "offsets".
        axis: name of the vertical axis.
        text: what is to be seen, in a sentence or two.
        order: curves follow each other by this number.
        power: the quantity is proportional to this power of the input's deviation σ, for which the record has 1.
        logarithmic: whether the vertical axis is.
    """

    result: str
    quantity: str
    record: str
    control: str
    choices: tuple[str, ...]
    axis: str
    text: str
    order: int
    power: int = 0
    logarithmic: bool = False


@dataclass(frozen=True)
class RecomputedCell:
    """A part of a committed record, computed anew.

    Attributes:
        what: what was computed.
        committed: the number in the committed record.
        recomputed: the number now.
        tolerance: by how much they may differ, and `reason` says why they do at all.
        reason: where the tolerance comes from.
    """

    what: str
    committed: float
    recomputed: float
    tolerance: float
    reason: str

    @property
    def agrees(self) -> bool:
        """Whether both numbers agree."""
        return abs(self.recomputed - self.committed) <= self.tolerance


@dataclass(frozen=True)
class LongComputation:
    """Why the quick profile draws committed records, and how it checks them.

    Attributes:
        configuration: what the records depend on, by name, the data by their digests; another one makes them stale.
        cell: computes a part of the committed records anew; takes the settings and the folder of those records.
    """

    configuration: Callable[[], Mapping[str, Any]]
    cell: Callable[[RunSettings, Path], RecomputedCell]


def _always(*found: Any) -> bool:
    """Hold whatever was found."""
    return True


@dataclass(frozen=True)
class Analysis:
    """A computation that writes records.

    Attributes:
        run: computes and writes; returns the path of the first record.
        writes: names of the records.
        cost: how long it takes.
        reads: names of the records of others that it needs.
        files: names of committed files that it needs, in `paper_repro/`.
        section: its section of the report.
        tables: its tables in documents; those of benchmarks have pages of their own.
        explored: its curves that `warptheory explore` shows.
        holds: whether what it checks holds, by the records that it writes.
        long: what the quick profile does instead, for a computation that takes minutes.
    """

    run: Callable[[RunSettings], Path]
    writes: tuple[str, ...]
    cost: Cost
    reads: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    section: Section | None = None
    tables: tuple[DocumentTable, ...] = ()
    explored: tuple[ExplorerCurve, ...] = ()
    holds: Callable[..., bool] = _always
    long: LongComputation | None = None

    runs_alone: ClassVar[bool] = False

    @property
    def function(self) -> Callable[..., Any]:
        """The function by whose source it is known whether records are up to date."""
        return self.run

    @property
    def name(self) -> str:
        """The script's name."""
        return _script_of(self.function)

    @property
    def records(self) -> tuple[str, ...]:
        """Names of the records and of the manifests beside them; JSON holds its own."""
        beside = (Path(name).with_suffix(".json").name for name in self.writes)
        return tuple(dict.fromkeys([*self.writes, *beside]))


@dataclass(frozen=True, kw_only=True)
class Benchmark(Analysis):
    """A comparison of times, on a machine that does nothing else; its record's name ends in the device.

    Attributes:
        summary: makes a text for the terminal of the record's path.
    """

    summary: Callable[[Path], str]

    runs_alone: ClassVar[bool] = True


@dataclass(frozen=True)
class PaperFigure:
    """A figure of the paper, drawn from records as PDF and PNG that are named like its script.

    Attributes:
        draw: makes the figure of what is read.
        reads: names of the records.
        title: its number and title, or a function that makes them of what is read.
        caption: a function that makes the caption, plain text, of what is read.
        order: place of its section in the report.
        alt: what it shows, for those who do not see it.
        cost: how long it takes.
    """

    draw: Callable[..., Figure]
    reads: tuple[str, ...]
    title: str | Callable[..., str]
    caption: Callable[..., str]
    order: int
    alt: str
    cost: Cost = Cost(quick=4, full=4)

    runs_alone: ClassVar[bool] = False

    @property
    def function(self) -> Callable[..., Any]:
        """The function by whose source it is known whether the drawing is up to date."""
        return self.draw

    @property
    def name(self) -> str:
        """The script's name."""
        return _script_of(self.draw)

    @property
    def writes(self) -> tuple[str, ...]:
        """Names of the files, beside the folder of the records."""
        return (f"{self.name}.pdf", f"{self.name}.png")


Script = Analysis | PaperFigure


def _script_of(function: Callable[..., Any]) -> str:
    return function.__module__.rpartition(".")[2]
