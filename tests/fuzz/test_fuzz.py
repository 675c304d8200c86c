"""The driver, the cases, and a slice of them: what `make fuzz` runs by the hundred thousand."""

import json
import math

import pytest
import torch

from tests.fuzz.__main__ import fuzz
from tests.fuzz.case import KINDS, kind_of, run_case
from warptheory.warping import _options, jacobian
from warptheory.warping.engines.cpu import linear
from warptheory.warping.engines.thin import convolution

SEED = 1  # the record's cases have seed 0
pytestmark = pytest.mark.usefixtures("as_users_call")


def failures(numbers, kind=None):
    """Return the cases that fail, and why."""
    found = {}
    for number in numbers:
        if kind is None or kind_of(SEED, number) == kind:
            try:
                run_case(SEED, number)
            except Exception as error:
                found[number] = f"{type(error).__name__}: {error}"
    return found


def test_some_hundred_cases():
    assert {kind_of(SEED, number) for number in range(300)} == set(KINDS)
    assert not failures(range(300))


def test_a_case_is_a_function_of_its_number(monkeypatch):
    """Whatever ran before: the same fields come to the determinant."""
    seen = {}
    real = jacobian.jacobian_determinant

    def determinant(eps, spacing):
        seen.setdefault((eps.shape, eps.dtype), []).append(eps.clone())
        return real(eps, spacing)

    monkeypatch.setattr(jacobian, "jacobian_determinant", determinant)
    for numbers in (range(100), reversed(range(100))):
        torch.manual_seed(len(seen))
        assert not failures(numbers, "jacobian")
    assert seen
    for fields in seen.values():
        assert all(map(torch.equal, fields, reversed(fields)))


def wrong_by(factor):
    def spoil(values):
        return values * (1 + factor)

    return spoil


PLANTED = {
    "a value off by a ten-thousandth": (linear, "gather", wrong_by(1e-4), "operators"),
    "a pixel that is NaN": (
        linear,
        "gather",
        lambda values: (
            values.clone().flatten().index_fill_(0, torch.tensor([0]), math.nan).view(values.shape)
            if values.numel()
            else values
        ),
        "operators",
    ),
    "another dtype": (linear, "gather", lambda values: values.double(), "operators"),
    "a transposed result": (linear, "gather", lambda values: values.transpose(-1, -2).contiguous(), "operators"),
    "a scatter off by a tenth": (linear, "scatter", wrong_by(0.1), "operators"),
    "a convolution off by a ten-thousandth": (convolution, "convolve", wrong_by(1e-4), "convolutions"),
    "a determinant off by a thousandth": (jacobian, "jacobian_determinant", wrong_by(1e-3), "jacobian"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_seen(name, monkeypatch):
    module, function, spoil, kind = PLANTED[name]
    real = getattr(module, function)
    monkeypatch.setattr(module, function, lambda *arguments, **keywords: spoil(real(*arguments, **keywords)))
    assert failures(range(120), kind)


def test_a_check_that_is_gone_is_seen(monkeypatch):
    """One without which nothing is read out of bounds."""
    _options.remembered.cache_clear()
    monkeypatch.setattr(_options, "check_knot", lambda knot: None)
    found = failures(range(400), "wrong calls")
    _options.remembered.cache_clear()
    assert found
    assert all("wrong knot" in message for message in found.values())


def test_the_driver_counts_and_goes_on(tmp_path, monkeypatch, capsys):
    """A case that crashes its process is one failure; the record goes on, and forgets what is mended."""
    record = tmp_path / "record.json"
    assert fuzz(record, 0, 8, "tests.fuzz.stand_in") == 2
    first = json.loads(record.read_text())
    assert first["next"] == 8
    assert [failure["number"] for failure in first["failures"]] == [3, 5]
    assert "status -6" in first["failures"][0]["error"]
    assert "ValueError: the fifth" in first["failures"][1]["error"]
    monkeypatch.setenv("FUZZ_IS_MENDED", "1")
    assert fuzz(record, 0, 3, "tests.fuzz.stand_in") == 1
    second = json.loads(record.read_text())
    assert second["next"] == 11
    assert [failure["number"] for failure in second["mended"]] == [5]
    assert [run["cases"] for run in second["runs"]] == [8, 3]
    assert "11 cases, of which 1 fail" in capsys.readouterr().out
