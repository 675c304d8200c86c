"""A claim's simulation judged as a run judges it, with errors planted; and settings that have every choice once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TypeVar

import pytest

from warptheory import montecarlo
from warptheory.montecarlo import Judgement
from warptheory.results import Quantity, Result, Setting


def check_simulation(result: Result, quantity: Quantity, setting: Setting, family: int) -> None:
    """The same machinery and level as in a run, two estimates; planted numbers are too large and too small."""
    claim = result.claim(quantity.name, **asdict(setting))
    judgement = Judgement(claim, seed=0, z=montecarlo.allowed_deviation(family), twice=True)
    montecarlo.run_here(judgement)
    truth = judgement.verdict
    assert truth.verdict == "verified", str(truth)
    assert truth.power >= montecarlo.POWER
    for sign in (1, -1):
        assert judgement.refuses(claim.theory + sign * claim.absolute_effect), str(truth)


def covering(settings: Iterable[Setting]) -> list[Setting]:
    """Return settings that have each value of each field that some setting has, by taking what brings most of them."""
    return _covering({setting: set(asdict(setting).items()) for setting in settings})


def shared_out(settings: Mapping[str, Sequence[Setting]]) -> dict[str, list[Setting]]:
    """Return the first setting of each quantity, and others with which they together have each value of each field."""
    every = {(name, setting): set(asdict(setting).items()) for name, found in settings.items() for setting in found}
    chosen = _covering(every, first=[(name, found[0]) for name, found in settings.items()])
    return {name: [setting for quantity, setting in chosen if quantity == name] for name in settings}


def claims_of(result: Result) -> list[object]:
    """Return parameters, a quantity and a setting, for every quantity with every kernel, number of axes and law.

    All but those that have each of them once are slow.
    """
    every = {
        (quantity.name, setting): {("quantity", quantity.name), *asdict(setting).items()}
        for quantity in result.quantities
        for setting in covering(result.settings(quantity.name))
    }
    quick = _covering(every)
    return [
        pytest.param(
            result.get(name),
            setting,
            id=f"{name}-{setting.kernel}-{setting.dim}-{setting.offsets}",
            marks=[] if (name, setting) in quick else pytest.mark.slow,
        )
        for name, setting in every
    ]


_Choice = TypeVar("_Choice")


def _covering(values: Mapping[_Choice, set[tuple[str, object]]], first: Sequence[_Choice] = ()) -> list[_Choice]:
    found = list(first)
    missing = set().union(*values.values()).difference(*(values[choice] for choice in found))
    while missing:
        found.append(max(values, key=lambda choice: len(missing & values[choice])))
        missing -= values[found[-1]]
    return found
