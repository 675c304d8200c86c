"""The claims of a run: every quantity of some results in every setting, as one family."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

from warptheory import montecarlo, results
from warptheory.core.checks import check_integer
from warptheory.core.errors import ArgumentError
from warptheory.montecarlo import Claim, Experiment, Judgement, Profile
from warptheory.results._result import Result, Setting


@dataclass(frozen=True)
class Plan:
    """What all claims of a run have in common.

    Attributes:
        family: number of claims.
        seed: the seed.
        device: torch device on which the operator runs.
        effect_scale: factor on every smallest effect.
        plain: whether experiments are run without any reduction of their variance.

    Raises:
        ArgumentError: a seed that is no integer ≥ 0, or a device that cannot be used.
    """

    family: int
    seed: int
    device: str
    effect_scale: float
    plain: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", check_integer("seed", self.seed, least=0))
        montecarlo.check_device(self.device)

    @classmethod
    def of(cls, profile: Profile, seed: int, device: str, *, plain: bool) -> "Plan":
        """Return the plan of a run whose claims are not counted yet.

        Raises:
            ArgumentError: as the class, or something else than a profile.
        """
        if not isinstance(profile, Profile):
            expected = "a Profile, such as montecarlo.get_profile('full')"
            raise ArgumentError("profile", expected=expected, received=repr(profile))
        return cls(0, seed, device, profile.effect_scale, plain)


@dataclass(frozen=True)
class Case:
    """One claim to be checked, by names, so that it can be sent to whoever checks it.

    Attributes:
        result: label of the result.
        quantity: name of the quantity.
        setting: the setting.
        plan: what all claims of the run have in common.
    """

    result: str
    quantity: str
    setting: Setting
    plan: Plan

    @property
    def name(self) -> str:
        """Result and quantity."""
        return f"{self.result} {self.quantity}"

    @property
    def label(self) -> str:
        """The label of the claim."""
        return results.get(self.result).claim_label(self.quantity, **asdict(self.setting))

    @property
    def z(self) -> float:
        """The number of standard errors that are allowed."""
        return montecarlo.allowed_deviation(self.plan.family)

    def prepare(self) -> float:
        """Return the number that the closed form gives."""
        return results.get(self.result).evaluate(self.quantity, **asdict(self.setting))

    def experiment(self) -> Experiment:
        """Return the experiment; what it compiles is kept from chunk to chunk."""
        return _experiment(self)

    def claim(self, theory: float | None = None) -> Claim:
        """Return the claim; the theory is derived if it is not given."""
        claim = results.get(self.result).claim(self.quantity, theory, **asdict(self.setting))
        return replace(claim, smallest_effect=claim.smallest_effect * self.plan.effect_scale)

    def trial(self, prepared: float) -> Judgement:
        """Return the judgement of a theory, whose chunks workers run."""
        return self.judgement(self.claim(prepared))

    def judgement(self, claim: Claim, *, twice: bool = False) -> Judgement:
        """Return the judgement of a claim, if need be always with a second estimate; workers run its chunks."""
        plan = self.plan
        # Smaller effects take more work, and may have it.
        most = int(montecarlo.DEFAULT_MAX_ELEMENTS / min(plan.effect_scale, 1))
        return Judgement(claim, plan.seed, self.z, plan.device, most, source=self, plain=plan.plain, twice=twice)


@lru_cache(maxsize=16)
def _experiment(case: Case) -> Experiment:
    return results.get(case.result).simulation(case.quantity, **asdict(case.setting))[0]


# Kernel, number of axes, laws of the offsets and of the input; None takes each result's range.
Choices = tuple[str | None, int | None, str | None, str | None]


def cases_of(chosen: Sequence[Result], choices: Choices, plan: Plan) -> list[Case]:
    """Return every quantity of the results in every setting, as one family.

    Args:
        chosen: the results.
        choices: kernel, dim, law of the offsets and of the input; None takes each result's range.
        plan: what they have in common but for the size of the family.

    Raises:
        UnknownNameError: an unknown kernel or law.
        ArgumentError: something else than results, or no quantity for the choices.
    """
    for result in chosen:
        if not isinstance(result, Result):
            raise ArgumentError("chosen", expected="results, such as results.match(['A4'])", received=repr(result))
    named = [
        (result.label, quantity.name, setting)
        for result in chosen
        for quantity in result.quantities
        for setting in result.settings(quantity.name, *choices)
    ]
    if not named:
        asked = f"kernel {choices[0]}, dim {choices[1]}"
        raise ArgumentError("results", expected=f"at least one quantity for {asked}", received="none that is for it")
    whole = replace(plan, family=len(named))
    return [Case(*name, whole) for name in named]


def configuration_of(cases: Sequence[Case]) -> dict[str, Any]:
    """Return everything that chunks depend on: what is checked, and the sources that check it."""
    plan = cases[0].plan
    return {
        "claims": [f"{case.result} {case.quantity} {case.setting}" for case in cases],
        "seed": plan.seed,
        "effect_scale": plan.effect_scale,
        "plain": plan.plain,
        "device": plan.device,
        **montecarlo.what_runs(),
    }
