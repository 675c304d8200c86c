"""A result: statement, assumptions, source, and the experiment from which all else follows."""

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import asdict, dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any

import sympy as sp

from warptheory import kernels, montecarlo, symbolic
from warptheory.core.cache import DERIVATION_ROOMS, cached_number, cached_text
from warptheory.core.checks import check_flag, check_number
from warptheory.core.errors import ArgumentError, UnknownNameError
from warptheory.fields import IID, laws
from warptheory.kernels import NoClosedFormError
from warptheory.montecarlo import Claim, Experiment
from warptheory.results._ranges import Range, limit, random_point, whole
from warptheory.results._symbols import check_symbol, kinds_of
from warptheory.symbolic import Derivation, MomentStatistic, NotReducible, Statistic

PIXEL = sp.Symbol("n", integer=True)
HALF_WIDTH = sp.Symbol("a", positive=True)  # of uniform offsets
DISPLACEMENT = sp.Symbol("Delta", real=True)  # of one position against another

# Where a claim is checked unless the caller or the result says otherwise: generic points, away from symmetries that
# could hide an error, and around them the ranges of random points. Offsets and fractions in pixels; the input has a
# mean, so that a lost mean shows.
DEFAULT_VALUES: Mapping[str, Range] = MappingProxyType(
    {
        "mu": Range(0.7, 0.3, 1.5),
        "sigma": Range(1.3, 0.6, 2.4, "log"),
        "s": Range(0.3, 0.12, 0.6, "log"),
        "a": Range(0.35, 0.15, 0.6, "log"),
        "b": Range(0.2, 0.08, 0.5, "log"),
        "c": Range(0.3, 0.05, 0.95),
        "r": Range(0.4, 0.1, 0.9),
        "Delta": Range(0.3, 0.1, 0.9),
        "step": Range(0.2, 0.1, 0.4),
        "omega": Range(0.9, 0.5, 1.6),
        "sigma_g": Range(0.8, 0.4, 1.6, "log"),
        "C": whole(2, 1, 6),
        "f": Range(0.3, 0.05, 0.95),
        "f_1": Range(0.3, 0.05, 0.95),
        "f_2": Range(0.15, 0.05, 0.95),
        "f_3": Range(0.6, 0.05, 0.95),
    }
)


@dataclass(frozen=True)
class Setting:
    """The choices that an experiment is made for.

    Attributes:
        kernel: name of the interpolation kernel.
        dim: number d of spatial axes.
        offsets: name of the law of the offsets.
        inputs: name of the law of the input pixels in simulations.

    Raises:
        UnknownNameError: an unknown kernel or law.
        ArgumentError: dim is not 1, 2 or 3.
    """

    kernel: str = "linear"
    dim: int = 1
    offsets: str = "normal"
    inputs: str = "normal"

    def __post_init__(self) -> None:
        kernels.get(self.kernel)
        if self.dim not in (1, 2, 3):
            raise ArgumentError("dim", expected="1, 2 or 3", received=self.dim)
        object.__setattr__(self, "dim", int(self.dim))  # NumPy's integers print otherwise
        laws.get(self.offsets, argument="offsets")
        laws.get(self.inputs, argument="inputs")


def no_values(setting: Setting) -> Mapping[str, float]:
    """Return no values: those of the result fit."""
    return {}


def stands_anywhere(setting: Setting, values: Mapping[str, float]) -> None:
    """Accept all values."""


def wide_offsets(setting: Setting) -> Mapping[str, float]:
    """Return the half-width a of uniform offsets at which limits of wide offsets are checked.

    The exact values differ from the limit by a term of order (1/a)ᵈ, there far below the smallest effect.
    """
    return {"a": limit({1: 1280.0, 2: 48.0, 3: 8.0}[setting.dim])}


def simulate(statistic: Statistic, setting: Setting) -> Experiment:
    """Return the experiment that runs a statistic of sampled values as it is written."""
    if not isinstance(statistic, MomentStatistic):
        raise ArgumentError("simulation", expected=f"an experiment for {statistic}", received="none")
    return montecarlo.simulation_of(statistic, setting.inputs)


@dataclass(frozen=True)
class Quantity:
    """One number of a result.

    Attributes:
        name: what it is, such as "variance".
        experiment: makes the statistic for a setting; it is derived and simulated from this one text.
        smallest_effect: the smallest relative error that a check has to see.
        bias: how far its experiment may be off, as a share of the smallest effect; as in `Claim`.
        kernels: names of the kernels for which it is checked; empty for the result's own.
        dims: numbers of axes for which it is checked; empty for the result's own.
        values: values at which it is checked, by setting, with their ranges, where those of the result do not fit.
        simulation: makes the experiment on the real operator, for statistics that are not polynomials of
            sampled values.
        check_drawn: raises an ArgumentError at values, by name, for which that experiment does not stand for the
            quantity, such as lengths that its grid does not hold.
        checked_by: names of the quantities whose checks stand for it, where it cannot be drawn itself, such as an
            infinite mean; it is derived and not simulated then. Empty for all others.
    """

    name: str
    experiment: Callable[[Setting], Statistic]
    smallest_effect: float = 0.01
    bias: float = 0.01
    kernels: tuple[str, ...] = ()
    dims: tuple[int, ...] = ()
    values: Callable[[Setting], Mapping[str, float]] = no_values
    simulation: Callable[[Statistic, Setting], Experiment] = simulate
    check_drawn: Callable[[Setting, Mapping[str, float]], None] = stands_anywhere
    checked_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    """A theorem on the warping operator.

    Attributes:
        label: its label, such as "A4".
        title: a short title.
        statement: what it says, in a sentence or two.
        assumptions: what it needs, one sentence each.
        source: where it comes from.
        quantities: its numbers; the first is the one meant when none is named.
        offsets: laws of the offsets for which it is checked; empty where the result fixes the law.
        inputs: laws of the input for which it is checked.
        kernels: names of the kernels for which it is checked; the first is the default.
        dims: numbers of axes for which it is checked.
        values: values at which it is checked, with their ranges, where the default ones do not fit.
    """

    label: str
    title: str
    statement: str
    assumptions: tuple[str, ...]
    source: str
    quantities: tuple[Quantity, ...]
    offsets: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ("normal",)
    kernels: tuple[str, ...] = ("linear", "keys", "gauss(0.5)")
    dims: tuple[int, ...] = (1, 2)
    values: Mapping[str, float] = field(default_factory=dict)

    def quantity(self, name: str | None = None) -> Quantity:
        """Return a quantity by name, the first one if no name is given.

        Raises:
            UnknownNameError: no quantity of that name.
        """
        if name is None:
            return self.quantities[0]
        found = {quantity.name: quantity for quantity in self.quantities}
        if name not in found:
            raise UnknownNameError("quantity", name, found)
        return found[name]

    def setting(self, /, **choices: Any) -> Setting:
        """Return the setting with the given choices; a choice of None or none at all takes the default."""
        default = Setting(kernel=self.kernels[0], dim=self.dims[0])
        if self.offsets:
            default = replace(default, offsets=self.offsets[0])
        return replace(default, **{name: choice for name, choice in choices.items() if choice is not None})

    def setting_of(self, /, quantity: str | None = None, **choices: Any) -> Setting:
        """Return the setting with the given choices; for others the first that the quantity, or the result, is for."""
        chosen = self.quantity(quantity)
        own = {"kernel": chosen.kernels[:1], "dim": chosen.dims[:1]}
        given = {name: choice for name, choice in choices.items() if choice is not None}
        return self.setting(**{**{name: first[0] for name, first in own.items() if first}, **given})

    def derive(self, /, quantity: str | None = None, **choices: Any) -> Derivation:
        """Derive a quantity for a setting.

        Args:
            quantity: name of the quantity; the first one by default.
            **choices: kernel, dim, offsets, inputs, as in `Setting`.

        Raises:
            UnknownNameError: no such quantity, kernel or law.
            NotReducible: the algebra cannot reduce it for this setting.
            NoClosedFormError: a functional of the kernel has no closed form that is needed here.
        """
        return self.quantity(quantity).experiment(self.setting_of(quantity, **choices)).derive()

    def closed_form(self, /, quantity: str | None = None, **values: Any) -> tuple[sp.Expr, Mapping[str, float]]:
        """Return a quantity's closed form, and a number for every symbol, the standard one where none is given.

        Arguments and errors as in `evaluate` with `standard`.
        """
        posed = self.pose(quantity, **values)
        return posed.form, posed.values

    @property
    def expression(self) -> sp.Expr:
        """The closed form of the first quantity in the default setting."""
        return self.derive().result

    @property
    def experiment(self) -> Statistic:
        """The statistic of the first quantity in the default setting."""
        return self.quantity().experiment(self.setting_of())

    def latex(self, /, quantity: str | None = None, **choices: Any) -> str:
        """Return the closed form in LaTeX; arguments as in `derive`."""
        return str(sp.latex(self.derive(quantity, **choices).result))

    def evaluate(self, /, quantity: str | None = None, *, standard: bool = False, **values: Any) -> float:
        """Return the number that the closed form gives.

        Args:
            quantity: name of the quantity; the first one by default.
            standard: whether symbols that are not named have the values at which the result is checked.
            **values: choices as in `Setting`, and numbers for symbols (s=0.3, sigma=1.0, …).

        Raises:
            ArgumentError: a symbol of the closed form without a number, unless `standard`; a name that is neither a
                choice nor a symbol of the closed form or of the experiment; or a number that the symbol cannot stand
                for, such as a scale of zero or a depth of 2.5.
        """
        posed = self.pose(quantity, **values)
        self._check_fitting(posed, values)
        if not check_flag("standard", standard):
            self._check_named(posed, values)
        return self.theory(posed)

    def _check_named(self, posed: "Posed", values: Mapping[str, Any]) -> None:
        """Check that every symbol of the closed form has a number among the values; κ₃ and κ₄ follow from the input."""
        missing = sorted(set(self._known(posed)["form"]) - set(values))
        if missing:
            raise ArgumentError(
                "values",
                expected=f"numbers for {', '.join(missing)}, or evaluate(..., standard=True) for the standard values",
                received=", ".join(sorted(_numbers(values))) or "none",
            )

    def check_values(self, /, quantity: str | None = None, **values: Any) -> None:
        """Check the arguments of `evaluate`; raises as there."""
        self._check_fitting(self.pose(quantity, **values), values)

    def _check_fitting(self, posed: "Posed", values: Mapping[str, Any]) -> None:
        """Check that the numbers among the values are of symbols that there are, and that these can stand for them."""
        numbers = _numbers(values)
        if not numbers:
            return
        kinds = self._kinds(posed)
        for name, value in numbers.items():
            if name not in kinds:
                raise UnknownNameError("values", name, {*kinds, *_CHOICES})
            check_symbol(name, value, kinds[name])

    def symbols(self, /, quantity: str | None = None, **choices: Any) -> Set[str]:
        """Return the names of the numbers that `evaluate` takes; arguments as in `derive`."""
        return set(self._kinds(self.pose(quantity, **choices)))

    def _kinds(self, posed: "Posed") -> Mapping[str, str]:
        """Return what the symbols of the closed form, where there is one, and of the experiment stand for."""
        kinds: Mapping[str, str] = self._known(posed)["kinds"]
        return kinds

    def _known(self, posed: "Posed") -> Mapping[str, Any]:
        """Return those kinds, and the names of the symbols of the closed form that need numbers."""
        chosen, setting = posed.quantity, posed.setting
        request = ["symbols and those of the form", self.label, chosen.name, str(setting)]

        def found() -> str:
            try:
                form = posed.form
            except (NotReducible, NoClosedFormError):
                form = sp.Integer(0)
            drawn = set() if chosen.checked_by else set(chosen.simulation(posed.statistic, setting).symbols)
            written = {symbol.name for symbol in form.free_symbols}
            of_form = {"sigma" if name in _HIGHER else name for name in written}
            return json.dumps({"kinds": kinds_of(form, drawn), "form": sorted(of_form)})

        known: dict[str, Any] = json.loads(cached_text(request, DERIVATION_ROOMS, found))
        return known

    def claim(self, /, quantity: str | None = None, theory: float | None = None, **values: Any) -> Claim:
        """Return the claim that a quantity makes for a setting, ready for `montecarlo.verify`.

        Args:
            quantity: name of the quantity; the first one by default.
            theory: the number that `evaluate` has given at these values; by default it is derived.
            **values: as in `evaluate`; symbols that are not named have the standard values, as the claim says.

        Raises:
            ArgumentError: a quantity that others stand for, or a name or number as in `evaluate`.
        """
        if theory is None:
            self.check_values(quantity, **values)
        posed = self.pose(quantity, **values)
        chosen, statistic = posed.quantity, posed.statistic
        experiment, values_drawn = self._simulation(posed)
        number = self.theory(posed) if theory is None else theory
        return Claim(
            label=self.claim_label(quantity, **values),
            theory=number,
            experiment=experiment,
            values=values_drawn,
            smallest_effect=chosen.smallest_effect,
            size=statistic.size(number),
            bias=chosen.bias,
        )

    def simulation(self, /, quantity: str | None = None, **values: Any) -> tuple[Experiment, dict[str, float]]:
        """Return the experiment of the claim that `claim` returns, and its values; arguments and errors as there."""
        return self._simulation(self.pose(quantity, **values))

    def setting_at(self, /, quantity: str | None = None, **values: Any) -> Setting:
        """Return the setting in which `evaluate` evaluates a quantity; arguments and errors as there."""
        return self.pose(quantity, **values).setting

    def check_drawn(self, /, quantity: str | None = None, **values: Any) -> None:
        """Check that the experiment stands for the quantity at these values; arguments and errors as `simulation`."""
        posed = self.pose(quantity, **values)
        posed.quantity.check_drawn(posed.setting, posed.values)

    @staticmethod
    def _simulation(posed: "Posed") -> tuple[Experiment, dict[str, float]]:
        if posed.quantity.checked_by:
            others = " and ".join(map(repr, posed.quantity.checked_by))
            expected = f"one that can be drawn: for {posed.quantity.name!r} stand {others}"
            raise ArgumentError("quantity", expected=expected, received=repr(posed.quantity.name))
        posed.quantity.check_drawn(posed.setting, posed.values)
        experiment = posed.quantity.simulation(posed.statistic, posed.setting)
        return experiment, {name: float(posed.values[name]) for name in sorted(experiment.symbols)}

    def _setting_from(self, quantity: str | None, values: Mapping[str, Any]) -> Setting:
        """Return the setting that is among choices and numbers."""
        return self.setting_of(quantity, **{name: value for name, value in values.items() if name in _CHOICES})

    def pose(self, /, quantity: str | None = None, **values: Any) -> "Posed":
        """Return a quantity in a setting, with a number for every symbol, to be evaluated again and again.

        Arguments as in `closed_form`.

        Raises:
            UnknownNameError: a name that is neither a choice nor a symbol that has a default.
        """
        setting, chosen = self._setting_from(quantity, values), self.quantity(quantity)
        numbers = _numbers(values)
        defaults = self._standard(chosen, setting)
        for name in numbers:
            if name not in defaults:
                raise UnknownNameError("values", name, {*defaults, *_CHOICES})
        everything = {name: float(value) for name, value in {**defaults, **numbers}.items()}
        everything |= _higher_cumulants(setting.inputs, everything)
        return Posed(chosen, setting, chosen.experiment(setting), everything)

    def _standard(self, quantity: Quantity, setting: Setting) -> Mapping[str, float]:
        """Return the standard values of a quantity, with their ranges."""
        return {**DEFAULT_VALUES, **self.values, **quantity.values(setting)}

    def ranges(self, /, quantity: str | None = None, **choices: Any) -> dict[str, float]:
        """Return the standard values of a quantity's symbols, each a `Range` where it has one.

        Cumulants κ₃ and κ₄ of the input follow from its law and have none. Arguments and errors as in `derive`.
        """
        posed = self.pose(quantity, **choices)
        standard, names = self._standard(posed.quantity, posed.setting), self._kinds(posed)
        return {name: standard.get(name, posed.values[name]) for name in sorted(names)}

    def at_random(self, posed: "Posed", *, seed: int, number: int) -> tuple["Posed", dict[str, float]]:
        """Return a quantity at a random point of its symbols' ranges, and the point.

        Args:
            posed: the quantity in a setting, at its standard values.
            seed: seed of the run.
            number: which of its points, from 1.

        Raises:
            ArgumentError: no point of the ranges at which the experiment stands for the quantity.
        """
        chosen, kinds = posed.quantity, self._kinds(posed)
        standard = self._standard(chosen, posed.setting)
        ranges = {name: range_ for name in kinds if isinstance(range_ := standard.get(name), Range)}

        def check(values: Mapping[str, float]) -> None:
            for name, value in values.items():
                check_symbol(name, value, kinds[name])
            chosen.check_drawn(posed.setting, {**posed.values, **values})

        point = random_point(ranges, seed, f"{self.label} {chosen.name}", number, check)
        # Cumulants of the input follow from its deviation at the point.
        values = self.pose(chosen.name, **asdict(posed.setting), **point).values
        return replace(posed, values=values), point

    def theory(self, posed: "Posed") -> float:
        """Return what the closed form gives.

        Raises:
            ArgumentError: values at which it is beyond double precision.
        """
        request = [self.label, posed.quantity.name, str(posed.setting), str(sorted(posed.values.items()))]
        try:
            return cached_number(request, DERIVATION_ROOMS, lambda: symbolic.evaluate(posed.form, posed.values))
        except OverflowError as error:
            told = ", ".join(f"{name} = {value:g}" for name, value in sorted(posed.values.items()))
            expected = f"values at which {posed.quantity.name} is below 1e308"
            raise ArgumentError("values", expected=expected, received=told) from error

    def claim_label(self, /, quantity: str | None = None, **values: Any) -> str:
        """Return the label of the claim that `claim` returns; arguments as there."""
        chosen, setting = self.quantity(quantity), self._setting_from(quantity, values)
        law = f" {setting.offsets} offsets," if self.offsets else ""
        given = "".join(f", {name}={value:g}" for name, value in _numbers(values).items())
        return f"{self.label} {chosen.name}, {setting.kernel}, d={setting.dim},{law} {setting.inputs} input{given}"

    def settings(
        self,
        quantity: str | None = None,
        kernel: str | None = None,
        dim: int | None = None,
        offsets: str | None = None,
        inputs: str | None = None,
    ) -> Iterator[Setting]:
        """Yield the settings in which a quantity is checked; an argument replaces its default range.

        There are none for a quantity that others stand for, nor for a kernel or dim that it says it is not for. All
        laws are tried with the first kernel; the others with the first law of offsets and of input, in one and two
        dimensions, for the first quantity, or one that names its kernels.
        """
        chosen, default = self.quantity(quantity), self.setting()
        if chosen.checked_by or not _allows(chosen.kernels, kernel) or not _allows(chosen.dims, dim):
            return
        of_result = self.kernels if chosen is self.quantities[0] else self.kernels[:1]
        some_kernels = (kernel,) if kernel is not None else chosen.kernels or of_result
        dims = (dim,) if dim is not None else chosen.dims or self.dims
        laws_of_offsets = (offsets,) if offsets is not None else self.offsets or (default.offsets,)
        laws_of_input = (inputs,) if inputs is not None else self.inputs
        yield from itertools.starmap(Setting, itertools.product(some_kernels[:1], dims, laws_of_offsets, laws_of_input))
        planar = tuple(axes for axes in dims if dim is not None or axes <= _MOST_AXES_OF_OTHERS)
        yield from itertools.starmap(
            Setting, itertools.product(some_kernels[1:], planar, laws_of_offsets[:1], laws_of_input[:1])
        )

    def other_setting(
        self,
        quantity: str | None = None,
        kernel: str | None = None,
        dim: int | None = None,
        offsets: str | None = None,
        inputs: str | None = None,
    ) -> Setting:
        """Return a setting unlike the first that `settings` yields, for a quantity that claims others.

        It has the second kernel, or the second number of axes where there is one kernel, and the last laws.
        Arguments as in `settings`.
        """
        chosen = self.quantity(quantity)
        first = next(self.settings(quantity, kernel, dim, offsets, inputs))
        some_kernels = (kernel,) if kernel is not None else chosen.kernels or self.kernels
        dims = (dim,) if dim is not None else chosen.dims or self.dims
        return replace(
            first,
            kernel=some_kernels[:2][-1],
            dim=dims[:2][-1] if len(some_kernels) == 1 else first.dim,
            offsets=offsets or (self.offsets or (first.offsets,))[-1],
            inputs=inputs or self.inputs[-1],
        )


@dataclass(frozen=True)
class Posed:
    """A quantity in a setting: its statistic, and a number for every symbol; its closed form is derived once."""

    quantity: Quantity
    setting: Setting
    statistic: Statistic
    values: Mapping[str, float]
    _derived: list[sp.Expr] = field(default_factory=list)  # shared by the same quantity with other values

    @property
    def form(self) -> sp.Expr:
        """The closed form, derived when it is first asked for."""
        if not self._derived:
            self._derived.append(self.statistic.doit())
        return self._derived[0]


def _allows(known: tuple[Any, ...], choice: Any) -> bool:
    return choice is None or not known or choice in known


# In three dimensions a position of the Gaussian kernel reads a thousand pixels.
_MOST_AXES_OF_OTHERS = 2

_HIGHER = frozenset({"kappa_3", "kappa_4"})  # which follow from the law of the input and its deviation

_CHOICES = frozenset(choice.name for choice in fields(Setting))


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers that are among choices and numbers.

    Raises:
        ArgumentError: one that is no finite number.
    """
    return {name: check_number(name, value) for name, value in values.items() if name not in _CHOICES}


def _higher_cumulants(inputs: str, values: Mapping[str, float]) -> dict[str, float]:
    """Return κ₃ and κ₄ of a pixel with the law `inputs`, for results that hold for any law."""
    pixel = IID(inputs, values["mu"], values["sigma"])
    return {f"kappa_{order}": float(pixel.cumulant(order)) for order in (3, 4)}
