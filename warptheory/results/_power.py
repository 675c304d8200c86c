"""What a run could have seen: errors are planted in closed forms, and all of them have to be refused.

Of each closed form one version is wrong by the smallest effect that matters, upwards and downwards; one has the wrong
sign; and for each term of each sum in it, however deep, there is one in which the term is missing, and one in which its
sign is wrong. At random points there is one for each power of a symbol, in which its exponent is wrong, although the
number at the standard values is right. Versions that differ by less than the smallest effect are no errors that matter,
and are left out, as are those that give no number; they are counted. A formula without a sum has no terms: it is only
scaled, and its sign flipped, which is counted apart.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Unpack

import pandas as pd

from warptheory import montecarlo
from warptheory.montecarlo import Judgement, Outcome, Profile
from warptheory.results._catalogue import ResultOrLabel
from warptheory.results._claims import Case, ClaimPlan, Prepared, cases_of, configuration_of
from warptheory.results._planted import Planted, PlantedError, plant, plant_exponents
from warptheory.results._run import RunOptions, run
from warptheory.results._setting import Setting

# Terms of a formula that are made wrong: in the first setting of a quantity all of those that are registered; formulas
# of other kernels and dimensions have hundreds, of which some are taken.
_MOST_TERMS = 128
_MOST_TERMS_ELSEWHERE = 8
# Powers of a symbol that get a wrong exponent at a random point.
_MOST_POWERS = 4


@dataclass
class PowerTrial(Judgement):
    """A judgement, and the wrong versions of its claim that it has to refuse.

    Attributes:
        errors: the wrong versions.
        no_effect: how many wrong versions differ too little to matter.
        no_number: how many have no number.
        not_tried: how many were not tried.
    """

    errors: tuple[PlantedError, ...] = ()
    no_effect: int = 0
    no_number: int = 0
    not_tried: int = 0


@dataclass(frozen=True)
class PowerCase:
    """A claim, to be made wrong.

    Attributes:
        case: the claim as it is checked.
        most_terms: how many terms of its closed form are made wrong.
    """

    case: Case
    most_terms: int = _MOST_TERMS

    @property
    def name(self) -> str:
        """Result and quantity."""
        return self.case.name

    def prepare(self) -> tuple[Prepared, Planted]:
        """Return what the closed form says, and what its wrong versions do."""
        placed, point = self.case.placed()
        prepared = Prepared(placed.theory, point)
        if not self.case.point:
            return prepared, plant(placed.form, placed.values, prepared.theory, self.most_terms)
        standard = self.case.standard.values
        return prepared, plant_exponents(placed.form, placed.values, standard, prepared.theory, _MOST_POWERS)

    def trial(self, prepared: tuple[Prepared, Planted]) -> PowerTrial:
        """Return the judgement, with the errors that matter; workers run its chunks."""
        known, planted = prepared
        claim = self.case.claim(known)
        effect = claim.absolute_effect
        scaled = [PlantedError("scaled", "", planted.theory + sign * effect) for sign in (1, -1)]
        matter = [error for error in planted.errors if abs(error.value - planted.theory) >= effect]
        return self.case.judgement(
            claim,
            PowerTrial,
            twice=True,
            errors=(*scaled, *matter),
            no_effect=len(planted.errors) - len(matter),
            no_number=planted.no_number,
            not_tried=planted.not_tried,
        )


def power(
    chosen: ResultOrLabel | Sequence[ResultOrLabel],
    *,
    kernel: str | None = None,
    dim: int | None = None,
    offsets: str | None = None,
    inputs: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    profile: Profile = montecarlo.PROFILES["quick"],
    plain: bool = False,
    **options: Unpack[RunOptions],
) -> pd.DataFrame:
    """Plant errors in every quantity of the results in every setting; arguments and errors as in `check`.

    The first estimates are those of `check`: in its folder `out` they are found finished. Up to 128 terms are made
    wrong in the first setting of a quantity, which are all that the registered formulas have there, and up to 8 in
    others, spread evenly over the formula.

    Returns:
        One row per planted error: result, quantity, the setting, the number of the `point` or 0, theory, the kind
        of error and its term, the number `planted`, the `effect` that matters, both estimates with their standard
        errors, `refused`, and a `reason` where a claim could not be simulated. In every row of a claim, how many of its
        wrong versions were not planted: they
        have `no_effect` that matters, `no_number` (NaN, infinite or complex), or were `not_tried`.
    """
    claims = cases_of(chosen, (kernel, dim, offsets, inputs), ClaimPlan.of(profile, seed, device, plain=plain))
    cases = [PowerCase(case, most) for case, most in zip(claims, _terms_to_try(claims), strict=True)]
    outcomes = run(cases, configuration_of(claims), **options)
    return pd.DataFrame([row for case, outcome in zip(cases, outcomes, strict=True) for row in _rows(case, outcome)])


def not_planted(table: pd.DataFrame) -> str:
    """Return, as text, how many wrong versions of the closed forms were left out of a table that `power` returned."""
    claims = table.drop_duplicates(["result", "quantity", *(choice.name for choice in fields(Setting)), "point"])
    counts = {name: int(claims[name].sum()) for name in ("no_effect", "no_number", "not_tried") if name in claims}
    effect, number, tried = (counts.get(name, 0) for name in ("no_effect", "no_number", "not_tried"))
    return f"{effect} of too small an effect, {number} without a number, {tried} not tried"


def _terms_to_try(claims: Sequence[Case]) -> Iterator[int]:
    """Yield how many terms of each claim's closed form are made wrong."""
    known = set()
    for case in claims:
        quantity = (case.result, case.quantity)
        yield _MOST_TERMS_ELSEWHERE if quantity in known else _MOST_TERMS
        known.add(quantity)


def _rows(case: PowerCase, outcome: Outcome) -> Iterator[dict[str, object]]:
    claim = case.case
    where = {"result": claim.result, "quantity": claim.quantity, **asdict(claim.setting), "point": claim.point}
    trial = outcome.trial
    if outcome.reason or not isinstance(trial, PowerTrial):
        yield {**where, "refused": False, "reason": outcome.reason}
        return
    estimates = {
        f"{name}_{number}": getattr(found, name)
        for number, found in enumerate(trial.estimates, 1)
        for name in ("value", "stderr")
    }
    for error in trial.errors:
        yield {
            **where,
            "theory": trial.claim.theory,
            "error": error.kind,
            "term": error.term,
            "planted": error.value,
            "effect": trial.claim.absolute_effect,
            **estimates,
            "seed": claim.plan.seed,
            "no_effect": trial.no_effect,
            "no_number": trial.no_number,
            "not_tried": trial.not_tried,
            "refused": trial.refuses(error.value),
            "reason": "",
        }
