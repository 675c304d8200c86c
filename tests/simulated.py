"""A claim's simulation judged as a run judges it, with errors planted; and settings that have every choice once."""

from collections.abc import Iterable
from dataclasses import asdict

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
    every = list(settings)
    missing = set().union(*(asdict(setting).items() for setting in every))
    found: list[Setting] = []
    while missing:
        found.append(max(every, key=lambda setting: len(missing.intersection(asdict(setting).items()))))
        missing -= asdict(found[-1]).items()
    return found
