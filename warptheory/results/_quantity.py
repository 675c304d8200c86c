"""A quantity of a result: the experiment that states it, and where and how finely it is checked."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, lru_cache
from typing import Any

import sympy as sp

from warptheory import symbolic
from warptheory.core import html
from warptheory.core.cache import DERIVATION_ROOMS, cached_number, cached_text
from warptheory.core.errors import ArgumentError
from warptheory.core.formulas import latex
from warptheory.core.presented import Presented
from warptheory.fields import IID
from warptheory.kernels import NoClosedFormError
from warptheory.montecarlo import Claim, Experiment, simulation_of
from warptheory.results._ranges import Range, random_point
from warptheory.results._setting import Setting
from warptheory.results._symbols import check_symbol, kinds_of
from warptheory.symbolic import Derivation, MomentStatistic, NotReducible, Statistic

# Numbers for symbols, by name, with the ranges from which others are drawn; or what gives them for a setting.
Standard = Mapping[str, float] | Callable[[Setting], Mapping[str, float]]

_HIGHER = frozenset({"kappa_3", "kappa_4"})  # which follow from the law of the input and its deviation


@dataclass(frozen=True)
class Quantity(Presented):
    """One number of a result.

    Attributes:
        name: what it is, such as "variance".
        states: makes, for a setting, its experiment, or a function of moments that is drawn as it is written; a
            statistic that cannot be drawn where `checked_by` says what stands for it.
        smallest_effect: the smallest relative error that a check has to see.
        bias: how far its experiment may be off, as a share of the smallest effect; as in `Claim`.
        kernels: names of the kernels for which it is checked; empty for the result's own.
        dims: numbers of axes for which it is checked; empty for the result's own.
        values: values at which it is checked, with their ranges, where those of the result do not fit.
        checked_by: names of the quantities whose checks stand for it, where it cannot be drawn itself, such as an
            infinite mean. Empty for all others.
        label: the label that it has of its own, such as "F7a"; empty for most.
    """

    name: str
    states: Callable[[Setting], Statistic]
    smallest_effect: float = 0.01
    bias: float = 0.01
    kernels: tuple[str, ...] = ()
    dims: tuple[int, ...] = ()
    values: Standard = field(default_factory=dict)
    checked_by: tuple[str, ...] = ()
    label: str = ""

    def _parts(self) -> Iterable[str]:
        return [repr(self.name), f"smallest_effect={self.smallest_effect:g}"]

    def experiment(self, setting: Setting) -> Statistic:
        """Return the experiment for a setting, which is derived and, unless others stand for it, drawn."""
        stated = self.states(setting)
        return simulation_of(stated, setting.inputs) if isinstance(stated, MomentStatistic) else stated

    def derive(self, setting: Setting) -> Derivation:
        """Return the steps that lead to its closed form for a setting; raises as `Statistic.derive`."""
        return _derivation(self.states, setting)

    def closed_form(self, setting: Setting) -> sp.Expr:
        """Return its closed form for a setting; raises as `derive`."""
        return _closed_form(self.states, setting)

    def standard(self, setting: Setting) -> Mapping[str, float]:
        """Return its own standard values for a setting."""
        return self.values(setting) if callable(self.values) else self.values


# Each value of a curve asks for the same closed form.
@lru_cache(maxsize=256)
def _closed_form(states: Callable[[Setting], Statistic], setting: Setting) -> sp.Expr:
    return states(setting).doit()


@lru_cache(maxsize=256)
def _derivation(states: Callable[[Setting], Statistic], setting: Setting) -> Derivation:
    return states(setting).derive()


def forget_closed_forms() -> None:
    """Forget what quantities have derived: what is derived in one run is derived again in the next."""
    _closed_form.cache_clear()
    _derivation.cache_clear()


@dataclass(frozen=True)
class PlacedQuantity(Presented):
    """A quantity of a result in a setting, with a number for every symbol.

    Attributes:
        result: label of the result.
        quantity: the quantity.
        setting: the setting.
        experiment: its experiment.
        standard: the standard value of every symbol that there may be, by name, with the ranges of those that have one.
        given: numbers that take their place, by name.
    """

    result: str
    quantity: Quantity
    setting: Setting
    experiment: Statistic
    standard: Mapping[str, float]
    given: Mapping[str, float]

    @cached_property
    def values(self) -> Mapping[str, float]:
        """A number for every symbol, by name; cumulants κ₃ and κ₄ of the input follow from its law and deviation."""
        numbers = {name: float(value) for name, value in {**self.standard, **self.given}.items()}
        pixel = IID(self.setting.inputs, numbers["mu"], numbers["sigma"])
        return numbers | {f"kappa_{order}": float(pixel.cumulant(order)) for order in (3, 4)}

    def _parts(self) -> Iterable[str]:
        chosen = {**vars(self.setting), **self.given}
        return [repr(self.result), repr(self.quantity.name), *(f"{name}={value!r}" for name, value in chosen.items())]

    def _subtitle(self) -> str:
        return f"{self.result} {self.quantity.name}"

    def _card(self) -> Iterable[object]:
        yield html.formula(latex(self.form), "the closed form")
        chosen = [*vars(self.setting).items(), *((name, f"{value:g}") for name, value in self._needed_values)]
        yield html.properties([*chosen, ("value", f"{self.theory:.6g}")])

    def _repr_latex_(self) -> str:
        return rf"$\displaystyle {latex(self.form)}$"

    @property
    def _needed_values(self) -> Iterable[tuple[str, float]]:
        return [(name, self.values[name]) for name in sorted(self.needed)]

    @property
    def form(self) -> sp.Expr:
        """The closed form, derived when it is first asked for."""
        return self.quantity.closed_form(self.setting)

    @property
    def theory(self) -> float:
        """What the closed form gives.

        Raises:
            ArgumentError: values at which it is beyond double precision.
        """
        request = [self.result, self.quantity.name, str(self.setting), str(sorted(self.values.items()))]
        try:
            return cached_number(request, DERIVATION_ROOMS, lambda: symbolic.evaluate(self.form, self.values))
        except OverflowError as error:
            told = ", ".join(f"{name} = {value:g}" for name, value in sorted(self.values.items()))
            expected = f"values at which {self.quantity.name} is below 1e308"
            raise ArgumentError("values", expected=expected, received=told) from error

    @property
    def kinds(self) -> Mapping[str, str]:
        """What the symbols of the closed form, where there is one, and of the experiment stand for, by name."""
        kinds: Mapping[str, str] = self._known["kinds"]
        return kinds

    @property
    def needed(self) -> frozenset[str]:
        """Names of the symbols of the closed form that need numbers; κ₃ and κ₄ follow from the input."""
        return frozenset(self._known["form"])

    @cached_property
    def _known(self) -> Mapping[str, Any]:
        request = ["symbols and those of the form", self.result, self.quantity.name, str(self.setting)]

        def found() -> str:
            try:
                form = self.form
            except (NotReducible, NoClosedFormError):
                form = sp.Integer(0)
            drawn = set() if self.quantity.checked_by else set(self._drawable.symbols)
            written = {symbol.name for symbol in form.free_symbols}
            of_form = {"sigma" if name in _HIGHER else name for name in written}
            return json.dumps({"kinds": kinds_of(form, drawn, self.standard), "form": sorted(of_form)})

        known: dict[str, Any] = json.loads(cached_text(request, DERIVATION_ROOMS, found))
        return known

    @property
    def drawn(self) -> Experiment:
        """What is drawn.

        Raises:
            ArgumentError: a quantity that others stand for, or values at which its experiment does not stand for it.
        """
        if self.quantity.checked_by:
            others = " and ".join(map(repr, self.quantity.checked_by))
            expected = f"one that can be drawn: for {self.quantity.name!r} stand {others}"
            raise ArgumentError("quantity", expected=expected, received=repr(self.quantity.name))
        self.experiment.check_values(self.values)
        return self._drawable

    @property
    def _drawable(self) -> Experiment:
        if not isinstance(self.experiment, Experiment):
            raise ArgumentError(
                "states",
                expected=f"an experiment with symbols, row_elements and sample for {self.quantity.name!r}",
                received=type(self.experiment).__name__,
            )
        return self.experiment

    @property
    def values_drawn(self) -> dict[str, float]:
        """The numbers for the symbols of what is drawn, by name."""
        return {name: float(self.values[name]) for name in sorted(self._drawable.symbols)}

    def claim(self, label: str, theory: float) -> Claim:
        """Return the claim that its expectation is a number; raises as `drawn`."""
        return Claim(
            label=label,
            theory=theory,
            experiment=self.drawn,
            values=self.values_drawn,
            smallest_effect=self.quantity.smallest_effect,
            size=self.experiment.size(theory),
            bias=self.quantity.bias,
        )

    def at_random(self, *, seed: int, number: int) -> tuple["PlacedQuantity", dict[str, float]]:
        """Return it at a random point of its symbols' ranges, and the point.

        Args:
            seed: seed of the run.
            number: which of its points, from 1.

        Raises:
            ArgumentError: no point of the ranges at which the experiment stands for the quantity.
        """
        kinds = self.kinds
        ranges = {name: range_ for name in kinds if isinstance(range_ := self.standard.get(name), Range)}

        def check(values: Mapping[str, float]) -> None:
            for name, value in values.items():
                check_symbol(name, value, kinds[name])
            self.experiment.check_values({**self.values, **values})

        point = random_point(ranges, seed, f"{self.result} {self.quantity.name}", number, check)
        return replace(self, given=point), point


CHOICES = frozenset(choice.name for choice in fields(Setting))
