"""The contract of analyses: what they declare, what they write, what is shown of it, and committed records."""

from dataclasses import replace
from functools import cache

import pytest

from tests.reproduction import SETTINGS
from tests.scripts import check_declared, check_shown, check_written
from warptheory.core import records
from warptheory.paper import analyses
from warptheory.paper.committed import committed_file, is_stale
from warptheory.paper.entries import Cost, Plot, RunSettings, Section

NAMES = analyses.names()
MOST_BYTES = 5_000_000  # of the committed records of an analysis


@pytest.mark.parametrize("name", NAMES)
def test_it_declares_what_others_need(name):
    check_declared(analyses.get(name))


@pytest.mark.parametrize("name", NAMES)
def test_it_writes_what_it_declares(name, reproduced):
    check_written(analyses.get(name), RunSettings(reproduced / "records", **SETTINGS))


@pytest.mark.parametrize("name", NAMES)
def test_it_is_in_the_report(name, reproduced):
    check_shown(analyses.get(name), (reproduced / "report.html").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_its_tables_are_in_a_document(name, reproduced):
    from warptheory.paper.documents import documents, replace_block

    for table in analyses.get(name).tables:
        read = [records.read(reproduced / "records" / each) for each in table.reads]
        assert table.write(*read).startswith("|")
        text = documents()[table.name].read_text(encoding="utf-8")
        assert replace_block(text, table.name, "x") != text


@cache
def configuration_of(name):
    """What a long computation depends on now, for which its data are drawn."""
    return analyses.get(name).long.configuration()


@pytest.mark.parametrize("name", NAMES)
def test_committed_records_are_of_this_configuration(name):
    """Long computations are done again when configuration, data or script change."""
    entry = analyses.get(name)
    if entry.long is None:
        assert entry.cost.quick is None or entry.cost.quick <= 300
        return
    long = replace(entry.long, configuration=lambda: configuration_of(name))
    assert not is_stale(entry, long), f"run: warptheory reproduce --profile full --only {name}; then commit"


@pytest.mark.parametrize("name", [name for name in NAMES if analyses.get(name).long])
def test_a_part_of_committed_records_is_computed_in_every_run(name, reproduced):
    assert records.read_json(reproduced / "records" / f"{name}_cell.json")["agrees"]


def test_another_configuration_would_be_seen():
    entry = next(entry for entry in map(analyses.get, NAMES) if entry.long)
    found = configuration_of(entry.name)
    same, other = (
        replace(entry.long, configuration=lambda seeds=seeds: {**found, "seeds": seeds})
        for seeds in (found["seeds"], found["seeds"] + 1)
    )
    assert not is_stale(entry, same)
    assert is_stale(entry, other)
    assert is_stale(replace(entry, run=entry.long.cell), same)


def test_committed_records_are_small():
    long = [entry for entry in map(analyses.get, NAMES) if entry.long]
    assert long
    for entry in long:
        assert sum(committed_file(f"records/{name}").stat().st_size for name in entry.records) <= MOST_BYTES
    known = {"origin.json", *(name for entry in long for name in entry.records)}
    assert {path.name for path in committed_file("records").iterdir()} == known


def test_a_wrong_analysis_would_be_seen(reproduced):
    """One that reads what nobody writes, writes less than it says, shows a plot without words, or is not shown."""
    right = analyses.get("iid_statistics")
    settings = RunSettings(reproduced / "records", **SETTINGS)
    blind = Section("Blind", 1, (Plot(lambda table: None, right.writes, alt="", caption="nothing to see here"),))
    for wrong in (
        replace(right, reads=("nowhere.parquet",)),
        replace(right, section=blind),
        replace(right, cost=Cost(quick=2, full=1)),
    ):
        with pytest.raises(AssertionError):
            check_declared(wrong)
    with pytest.raises(AssertionError):
        check_written(replace(right, writes=("iid_statistics.parquet", "more.parquet")), settings)
    with pytest.raises(AssertionError):
        check_shown(right, "<html></html>")
