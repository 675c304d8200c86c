"""The claims of a run: every quantity of some results in every setting and at random points, as one family.

At its standard values a quantity is judged by whatever simulation sees the smallest error soonest, which may know the
cumulants or the spectrum of the input as the theory does. At random points everything is drawn, and nothing but the
operator is shared; such a check costs little, as it looks for errors five times as large, of 10 % at most.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from warptheory import kernels, montecarlo
from warptheory.core.checks import check_integer
from warptheory.core.errors import ArgumentError
from warptheory.montecarlo import Claim, Experiment, Judgement, Profile
from warptheory.results._catalogue import ResultOrLabel, get, matched
from warptheory.results._experiment import forget_derivations
from warptheory.results._quantity import PlacedQuantity, forget_closed_forms
from warptheory.results._ranges import POINTS
from warptheory.results._result import Result
from warptheory.results._setting import Setting

_Judgement = TypeVar("_Judgement", bound=Judgement)

_COARSER = 5.0  # the smallest effect at a random point, in that of the quantity
_COARSEST = 0.1


class Prepared(NamedTuple):
    """What a closed form says of a claim: its number, and where it is taken.

    Attributes:
        theory: the number.
        point: numbers for symbols that do not have their standard values.
    """

    theory: float
    point: dict[str, float]


@dataclass(frozen=True)
class ClaimPlan:
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
    def of(cls, profile: Profile, seed: int, device: str, *, plain: bool) -> "ClaimPlan":
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
        point: number of the random point; 0 for the standard values.
    """

    result: str
    quantity: str
    setting: Setting
    plan: ClaimPlan
    point: int = 0

    @property
    def name(self) -> str:
        """Result and quantity."""
        return f"{self.result} {self.quantity}"

    @property
    def label(self) -> str:
        """The label of the claim."""
        label = get(self.result).claim_label(self.quantity, **asdict(self.setting))
        return f"{label}, random point {self.point}" if self.point else label

    @property
    def z(self) -> float:
        """The number of standard errors that are allowed."""
        return montecarlo.allowed_deviation(self.plan.family)

    @property
    def plain(self) -> bool:
        """Whether everything is drawn, and no variance reduced."""
        return self.plan.plain or self.point > 0

    @property
    def standard(self) -> PlacedQuantity:
        """The quantity at its standard values."""
        return _standard(self.result, self.quantity, self.setting)

    def placed(self) -> tuple[PlacedQuantity, dict[str, float]]:
        """Return the quantity where it is checked, and the random point, which follows from the seed."""
        if not self.point:
            return self.standard, {}
        return self.standard.at_random(seed=self.plan.seed, number=self.point)

    def prepare(self) -> Prepared:
        """Return the number that the closed form gives, and where."""
        placed, point = self.placed()
        return Prepared(placed.theory, point)

    def experiment(self) -> Experiment:
        """Return the experiment; what it compiles is kept from chunk to chunk."""
        return _experiment(self.result, self.quantity, self.setting)

    def claim(self, prepared: Prepared | None = None) -> Claim:
        """Return the claim; what the closed form says is worked out if it is not given."""
        theory, point = self.prepare() if prepared is None else prepared
        claim = get(self.result).claim(self.quantity, theory, **asdict(self.setting), **point)
        effect = claim.smallest_effect * self.plan.effect_scale
        if self.point:
            effect = min(_COARSER * effect, _COARSEST)
        return replace(claim, label=self.label, smallest_effect=effect)

    def trial(self, prepared: Prepared) -> Judgement:
        """Return the judgement of a theory, whose chunks workers run."""
        return self.judgement(self.claim(prepared), Judgement)

    def judgement(self, claim: Claim, kind: Callable[..., _Judgement], **own: Any) -> _Judgement:
        """Return the judgement of a claim, of a kind that may take more of its own; workers run its chunks."""
        plan = self.plan
        # Smaller effects take more work, and may have it.
        most = int(montecarlo.DEFAULT_MAX_ELEMENTS / min(plan.effect_scale, 1))
        return kind(claim, plan.seed, self.z, plan.device, most, source=self, plain=self.plain, **own)


@lru_cache(maxsize=16)
def _experiment(result: str, quantity: str, setting: Setting) -> Experiment:
    return get(result).place(quantity, **asdict(setting)).drawn


# One run asks for it at its standard values and at random points, and plants errors in it.
@lru_cache(maxsize=64)
def _standard(result: str, quantity: str, setting: Setting) -> PlacedQuantity:
    return get(result).place(quantity, **asdict(setting))


# Kernel, number of axes, laws of the offsets and of the input; None takes each result's range.
Choices = tuple[str | None, int | None, str | None, str | None]


def cases_of(chosen: ResultOrLabel | Sequence[ResultOrLabel], choices: Choices, plan: ClaimPlan) -> list[Case]:
    """Return every quantity of the results in every setting and at random points, as one family.

    The first of the random points is taken in the first setting, the last in another one where there is one.

    Args:
        chosen: results, or their labels or patterns.
        choices: kernel, dim, law of the offsets and of the input; None takes each result's range.
        plan: what they have in common but for the size of the family.

    Raises:
        UnknownNameError: an unknown result, kernel or law.
        ArgumentError: a result that is not in the catalogue, or no quantity for the choices.
    """
    choices = (None if choices[0] is None else kernels.resolve(choices[0]), *choices[1:])
    _standard.cache_clear()
    forget_closed_forms()
    forget_derivations()
    named = [
        (result.label, quantity.name, setting, point)
        for result in matched(chosen)
        for quantity in result.quantities
        for setting, point in _places(result, quantity.name, choices)
    ]
    if not named:
        asked = f"kernel {choices[0]}, dim {choices[1]}"
        raise ArgumentError("results", expected=f"at least one quantity for {asked}", received="none that is for it")
    whole = replace(plan, family=len(named))
    return [Case(result, quantity, setting, whole, point) for result, quantity, setting, point in named]


def _places(result: Result, quantity: str, choices: Choices) -> list[tuple[Setting, int]]:
    """Return the settings in which a quantity is checked, each with the number of a random point, or 0."""
    settings = list(result.settings(quantity, *choices))
    if not settings:
        return []
    at_random = [settings[0]] * (POINTS - 1) + [result.other_setting(quantity, *choices)]
    return [(setting, 0) for setting in settings] + [(setting, point) for point, setting in enumerate(at_random, 1)]


def configuration_of(cases: Sequence[Case]) -> dict[str, Any]:
    """Return everything that chunks depend on: what is checked, and the sources that check it."""
    plan = cases[0].plan
    return {
        "claims": [f"{case.result} {case.quantity} {case.setting} {case.point}" for case in cases],
        "seed": plan.seed,
        "effect_scale": plan.effect_scale,
        "plain": plan.plain,
        "device": plan.device,
        **montecarlo.what_runs(),
    }
