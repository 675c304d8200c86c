"""A diagnosis as text, as a card and as JSON."""

import json
import math
from dataclasses import replace

import pytest

from tests.cards import check_line, check_shows_itself, text_of
from tests.diagnoses import HOSTILE, made_up, nothing_known
from warptheory.core.errors import ArgumentError
from warptheory.stability.diagnosis import Condition, Diagnosis


@pytest.mark.parametrize("found", [made_up(), made_up(HOSTILE), nothing_known(), made_up(layers=0)])
def test_everything_shows_itself(found):
    profile = [] if found.profile is None else [found.profile]
    for thing in (found, *found.conditions, *found.layers, *profile):
        check_shows_itself(thing)
    assert str(found).replace("\n", "").isprintable()


def test_the_line_has_verdict_reason_and_ratio():
    assert repr(made_up("Net")) == "Diagnosis(Net, 'fail', 'runaway', rho=2.34, batches=4)"
    check_line(made_up("n" * 500))


def test_the_text_says_everything():
    text = str(made_up())
    first = " ".join(text.partition("\n\n")[0].split())
    assert first == (
        "blocks.0.warp: fail. Training is expected to fail: samples move too fast beside all else that is learnt "
        "(speed ratio 2.34 ± 0.2; worse > 0.333, fails > 1). Told from 4 batches."
    )
    for said in ("97 of 100", "worse < 0.0001", "step (pixels)", "blocks.1.warp, call 1", "and 3 more", "Clip."):
        assert said in " ".join(text.split()) or all(word in text for word in said.split()), said
    assert text.rstrip().endswith("- Clip.")
    assert "blocks.0.warp.head.11" in text
    assert "blocks.0.warp.head.12" not in text
    (folds,) = (line for line in text.splitlines() if line.startswith("folds"))
    assert folds.split() == ["folds", "G1", "–", "share", "of", "pixels", "–", "–"]


@pytest.mark.parametrize("width", [100, 120])
def test_lines_are_no_longer_than_asked(width):
    text = made_up("a.long.module.path.of.a.model.with.many.parts.warp").as_text(width)
    assert max(map(len, text.splitlines())) <= width


def test_the_card_says_everything():
    shown = text_of(check_shows_itself(made_up(HOSTILE)))
    for said in (
        "fail",
        "2.34 ± 0.2",
        "What to set",
        "97 of 100",
        "with momentum (pixels)",
        "backward gain, predicted",
    ):
        assert said in shown, said
    assert r"\x1b[2J" in shown


def test_the_verdict_rests_on_the_condition_of_its_reason():
    found = made_up()
    assert found.deciding is found.conditions[0]
    assert replace(found, verdict="worse", reason="explosion").deciding is found.conditions[2]
    assert nothing_known().deciding is None
    assert nothing_known().headline == "No condition of stable training is broken."


@pytest.mark.parametrize(
    ("value", "stderr", "measured"),
    [
        (0.5, math.nan, "0.5"),
        (math.nan, 0.1, "–"),
        (math.inf, math.nan, "infinite"),
        (-math.inf, math.nan, "−infinite"),
        (1.23456, 0.0312, "1.23 ± 0.03"),
    ],
)
def test_values_as_text(value, stderr, measured):
    assert Condition("name", "G5", value, stderr).measured == measured


@pytest.mark.parametrize("found", [made_up(), made_up(HOSTILE), nothing_known(), made_up(layers=0)])
def test_json_is_lossless(found):
    """NaN differs from itself, so that what is compared is how both are written by Python."""
    text = found.to_json()
    assert text.isprintable()
    again = Diagnosis.from_json(text)
    assert vars_of(again) == vars_of(found)
    assert again.to_json() == text
    strict = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert strict["schema"] == "warptheory-diagnosis-1"


def vars_of(thing):
    """Return all values, numbers as Python writes them."""
    if hasattr(thing, "__dataclass_fields__"):
        return {name: vars_of(value) for name, value in vars(thing).items()}
    return tuple(map(vars_of, thing)) if isinstance(thing, tuple) else repr(thing)


def test_whole_numbers_come_back_as_numbers():
    content = json.loads(made_up().to_json()) | {"rho": 2}
    assert isinstance(Diagnosis.from_json(json.dumps(content)).rho, float)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "warptheory-diagnosis-0"}, "expected an object of schema 'warptheory-diagnosis-1', got 'warpth"),
        ({"verdict": "good"}, "Diagnosis.verdict to be 'ok' or 'worse' or 'fail', got 'good'"),
        ({"rho": "much"}, "Diagnosis.rho to be float, got 'much'"),
        ({"rho": True}, "Diagnosis.rho to be float, got True"),
        ({"batches": 4.5}, "Diagnosis.batches to be int, got 4.5"),
        ({"advice": "Clip."}, "Diagnosis.advice to be tuple, got 'Clip.'"),
        ({"advice": [1]}, "Diagnosis.advice to be str, got 1"),
        ({"layers": [[]]}, r"an object with the fields of LayerDiagnosis, got \[\]"),
        ({"layers": [{}]}, "layer of LayerDiagnosis, got none"),
        ({"profil": None}, "fields of Diagnosis, got 'profil'"),
    ],
)
def test_what_is_no_diagnosis_is_refused(change, message):
    content = json.loads(made_up().to_json()) | change
    with pytest.raises(ArgumentError, match=message):
        Diagnosis.from_json(json.dumps(content))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", None, 3, "[" * 100_000])
def test_what_is_no_object_is_refused(text):
    with pytest.raises(ArgumentError, match="^text: expected "):
        Diagnosis.from_json(text)
