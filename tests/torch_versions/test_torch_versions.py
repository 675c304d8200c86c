"""The range of torch in the metadata is the one that was tried; the exact version stands in constraints.txt alone."""

import json
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

from tests.torch_versions.__main__ import RECORD

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINNED = dict(
    line.split("==") for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if "==" in line
)


def requirement(name: str, lines: list[str]) -> Requirement:
    return next(found for found in map(Requirement, lines) if found.name == name)


def test_torch_has_a_range_tried_at_both_ends():
    torch = requirement("torch", PROJECT["dependencies"])
    operators = {part.operator: Version(part.version) for part in torch.specifier}
    assert set(operators) == {">=", "<"}
    tried = [Version(Version(version).public) for version in json.loads(RECORD.read_text(encoding="utf-8"))]
    assert min(tried).release[:2] == operators[">="].release[:2]
    assert max(tried) > Version(PINNED["torch"])
    assert all(version in torch.specifier for version in [*tried, Version(PINNED["torch"])])


def test_nothing_failed():
    for version, entry in json.loads(RECORD.read_text(encoding="utf-8")).items():
        for tests, counts in entry["tests"].items():
            assert counts.get("passed", 0) > 0, (version, tests)
            assert not {"failed", "error"} & set(counts), (version, tests)


def test_triton_has_a_range_that_holds_the_pin():
    triton = requirement("triton", PROJECT["optional-dependencies"]["triton"])
    assert "==" not in {part.operator for part in triton.specifier}
    assert Version(PINNED["triton"]) in triton.specifier
