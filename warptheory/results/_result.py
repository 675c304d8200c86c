"""A result: its statement, its assumptions, its source, and the quantities that could refute it."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import sympy as sp
from markupsafe import Markup

from warptheory.core import html
from warptheory.core.checks import check_flag, check_number
from warptheory.core.errors import ArgumentError, UnknownNameError
from warptheory.core.presented import Presented
from warptheory.core.text import shortened
from warptheory.kernels import NoClosedFormError
from warptheory.montecarlo import Claim
from warptheory.results._quantity import CHOICES, PlacedQuantity, Quantity, Standard
from warptheory.results._ranges import DEFAULT_VALUES
from warptheory.results._setting import Setting, SettingValue
from warptheory.results._symbols import check_symbol
from warptheory.symbolic import Derivation, NotReducible, Statistic, latex

_Stated = TypeVar("_Stated", bound=Callable[[Setting], Statistic])


@dataclass(eq=False)
class Result(Presented):
    """A theorem on the warping operator; its quantities are what its file declares below it.

        result = Result("A4", "Forward gain for any law of the offsets", statement, assumptions=..., source=...)

        @result.quantity("variance")
        def variance(setting: Setting) -> Variance:
            y = warp(IIDField("x"), OffsetField(setting.offsets, setting.dim), setting.kernel)
            return Variance(y[PIXEL])

    Attributes:
        label: its label, such as "A4".
        title: a short title.
        statement: what it says, in a sentence or two.
        assumptions: what it needs, one sentence each.
        source: where it comes from.
        meaning: what it means for someone who trains such a network, in two sentences; pages open with it.
        quantities: its numbers; the first is the one meant when none is named.
        offsets: laws of the offsets for which it is checked; empty where the result fixes the law.
        inputs: laws of the input for which it is checked.
        kernels: names of the kernels for which it is checked; the first is the default.
        dims: numbers of axes for which it is checked.
        values: values at which it is checked, with their ranges, where the default ones do not fit.
        notation: what symbols stand for that it introduces, by name; for the others see `results.glossary`.
    """

    label: str
    title: str
    statement: str
    assumptions: tuple[str, ...]
    source: str
    meaning: str = ""
    quantities: tuple[Quantity, ...] = ()
    offsets: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ("normal",)
    kernels: tuple[str, ...] = ("linear", "keys", "gauss(0.5)")
    dims: tuple[int, ...] = (1, 2)
    values: Mapping[str, float] = field(default_factory=dict)
    notation: Mapping[str, str] = field(default_factory=dict)

    def quantity(
        self,
        name: str,
        *,
        smallest_effect: float = 0.01,
        bias: float = 0.01,
        kernels: tuple[str, ...] = (),
        dims: tuple[int, ...] = (),
        values: Standard | None = None,
        checked_by: tuple[str, ...] = (),
        label: str = "",
    ) -> Callable[[_Stated], _Stated]:
        """Return what declares a class or function, which makes an experiment for a setting, as a quantity.

        Arguments as in `Quantity`.

        Raises:
            ArgumentError: a name that another quantity of the result has.
        """
        if any(known.name == name for known in self.quantities):
            raise ArgumentError("name", expected=f"a new name for a quantity of {self.label}", received=repr(name))

        def declare(states: _Stated) -> _Stated:
            own = Quantity(name, states, smallest_effect, bias, kernels, dims, values or {}, checked_by, label)
            self.quantities = (*self.quantities, own)
            return states

        return declare

    def get(self, name: str | None = None) -> Quantity:
        """Return a quantity by its name or label, the first one if none is given.

        Raises:
            UnknownNameError: no such quantity.
        """
        if name is None:
            return self.quantities[0]
        found = {key: quantity for quantity in self.quantities for key in (quantity.name, quantity.label) if key}
        if name not in found:
            raise UnknownNameError("quantity", name, found)
        return found[name]

    def setting(self, /, **choices: SettingValue) -> Setting:
        """Return the setting with the given choices; a choice of None or none at all takes the default."""
        default = Setting(kernel=self.kernels[0], dim=self.dims[0])
        if self.offsets:
            default = replace(default, offsets=self.offsets[0])
        chosen: dict[str, Any] = {name: choice for name, choice in choices.items() if choice is not None}
        return replace(default, **chosen)

    def setting_of(self, /, quantity: str | None = None, **choices: SettingValue) -> Setting:
        """Return the setting with the given choices; for others the first that the quantity, or the result, is for."""
        chosen = self.get(quantity)
        own: dict[str, tuple[SettingValue, ...]] = {"kernel": chosen.kernels[:1], "dim": chosen.dims[:1]}
        given = {name: choice for name, choice in choices.items() if choice is not None}
        return self.setting(**{**{name: first[0] for name, first in own.items() if first}, **given})

    def derive(self, /, quantity: str | None = None, **choices: SettingValue) -> Derivation:
        """Derive a quantity for a setting.

        Args:
            quantity: name of the quantity; the first one by default.
            **choices: kernel, dim, offsets, inputs, as in `Setting`.

        Raises:
            UnknownNameError: no such quantity, kernel or law.
            NotReducible: the algebra cannot reduce it for this setting.
            NoClosedFormError: a functional of the kernel has no closed form that is needed here.
        """
        return self.get(quantity).derive(self.setting_of(quantity, **choices))

    def closed_form(
        self, /, quantity: str | None = None, **values: SettingValue
    ) -> tuple[sp.Expr, Mapping[str, float]]:
        """Return a quantity's closed form, and a number for every symbol, the standard one where none is given.

        Arguments and errors as in `evaluate` with `standard`.
        """
        placed = self.place(quantity, **values)
        return placed.form, placed.values

    @property
    def expression(self) -> sp.Expr:
        """The closed form of the first quantity in the default setting."""
        return self.derive().result

    @property
    def experiment(self) -> Statistic:
        """The experiment of the first quantity in the default setting."""
        return self.get().experiment(self.setting_of())

    def latex(self, /, quantity: str | None = None, **choices: SettingValue) -> str:
        """Return the closed form in LaTeX; arguments as in `derive`."""
        return latex(self.derive(quantity, **choices).result)

    def _parts(self) -> Iterable[str]:
        return [repr(self.label), repr(shortened(self.title, 90))]

    def _subtitle(self) -> str:
        return f"{self.label}: {self.title}"

    def _card(self) -> Iterable[object]:
        if self.meaning:
            yield html.element("p", self.meaning)
        yield html.element("p", self.statement)
        try:
            found = self.derive()
        except (NotReducible, NoClosedFormError) as error:
            yield html.element("p", f"{_NO_CLOSED_FORM}: {error}")
        else:
            yield html.formula(found.equation, "the closed form")
        yield self._quantities_table()
        yield html.details("assumptions", html.element("ul", html.joined(self._listed(self.assumptions))))
        yield html.element("p", f"Source: {self.source}")

    def _repr_latex_(self) -> str:
        found = self.derive()
        return rf"$\displaystyle {found.equation}$"

    def _quantities_table(self) -> Markup:
        columns = [html.Column(name, is_text=True) for name in ("quantity", "kernels", "axes", "checked")]
        rows = [
            (
                quantity.name,
                ", ".join(quantity.kernels or self.kernels),
                ", ".join(map(str, quantity.dims or self.dims)),
                f"by {' and '.join(quantity.checked_by)}" if quantity.checked_by else "by simulation",
            )
            for quantity in self.quantities
        ]
        return html.table(columns, rows)

    @staticmethod
    def _listed(sentences: Iterable[str]) -> Iterator[Markup]:
        return (html.element("li", sentence) for sentence in sentences)

    def evaluate(self, /, quantity: str | None = None, *, standard: bool = False, **values: SettingValue) -> float:
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
        placed = self.place(quantity, **values)
        _check_fitting(placed, values)
        if not check_flag("standard", standard):
            _check_named(placed, values)
        return placed.theory

    def check_values(self, /, quantity: str | None = None, **values: SettingValue) -> None:
        """Check the arguments of `evaluate`; raises as there."""
        _check_fitting(self.place(quantity, **values), values)

    def symbols(self, /, quantity: str | None = None, **choices: SettingValue) -> Set[str]:
        """Return the names of the numbers that `evaluate` takes; arguments as in `derive`."""
        return set(self.place(quantity, **choices).kinds)

    def claim(self, /, quantity: str | None = None, theory: float | None = None, **values: SettingValue) -> Claim:
        """Return the claim that a quantity makes for a setting, ready for `montecarlo.verify`.

        Args:
            quantity: name of the quantity; the first one by default.
            theory: the number that `evaluate` has given at these values; by default it is derived.
            **values: as in `evaluate`; symbols that are not named have the standard values, as the claim says.

        Raises:
            ArgumentError: a quantity that others stand for, or a name or number as in `evaluate`.
        """
        placed = self.place(quantity, **values)
        if theory is None:
            _check_fitting(placed, values)
        label = self.claim_label(quantity, **values)
        _ = placed.drawn  # that it can be drawn is told before anything is derived
        return placed.claim(label, placed.theory if theory is None else theory)

    def place(self, /, quantity: str | None = None, **values: SettingValue) -> PlacedQuantity:
        """Return a quantity in a setting, with a number for every symbol, to be evaluated again and again.

        Arguments as in `closed_form`.

        Raises:
            UnknownNameError: a name that is neither a choice nor a symbol that has a default.
        """
        chosen = self.get(quantity)
        setting = self.setting_of(quantity, **_choices(values))
        numbers, defaults = _numbers(values), self.standard(chosen, setting)
        placed = PlacedQuantity(self.label, chosen, setting, chosen.experiment(setting), defaults, {})
        for name in numbers:
            if name not in defaults:
                raise UnknownNameError("values", name, {*placed.kinds, *CHOICES})
        return replace(placed, given=numbers)

    def standard(self, quantity: Quantity, setting: Setting) -> Mapping[str, float]:
        """Return the standard values of a quantity in a setting, with their ranges."""
        return {**DEFAULT_VALUES, **self.values, **quantity.standard(setting)}

    def ranges(self, /, quantity: str | None = None, **choices: SettingValue) -> dict[str, float]:
        """Return the standard values of a quantity's symbols, each a `Range` where it has one.

        Cumulants κ₃ and κ₄ of the input follow from its law and have none. Arguments and errors as in `derive`.
        """
        placed = self.place(quantity, **choices)
        return {name: placed.standard.get(name, placed.values[name]) for name in sorted(placed.kinds)}

    def claim_label(self, /, quantity: str | None = None, **values: SettingValue) -> str:
        """Return the label of the claim that `claim` returns; arguments as there."""
        chosen = self.get(quantity)
        setting = self.setting_of(quantity, **_choices(values))
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
        chosen, default = self.get(quantity), self.setting()
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
        chosen = self.get(quantity)
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


# What a closed form's place says where the algebra finds none in the default setting.
_NO_CLOSED_FORM = "The algebra finds no closed form in the default setting"


def _check_named(placed: PlacedQuantity, values: Mapping[str, Any]) -> None:
    """Check that every symbol of the closed form has a number among the values."""
    missing = sorted(placed.needed - set(values))
    if missing:
        raise ArgumentError(
            "values",
            expected=f"numbers for {', '.join(missing)}, or evaluate(..., standard=True) for the standard values",
            received=", ".join(sorted(_numbers(values))) or "none",
        )


def _check_fitting(placed: PlacedQuantity, values: Mapping[str, Any]) -> None:
    """Check that the numbers among the values are of symbols that there are, and that these can stand for them."""
    numbers = _numbers(values)
    if not numbers:
        return
    kinds = placed.kinds
    for name, value in numbers.items():
        if name not in kinds:
            raise UnknownNameError("values", name, {*kinds, *CHOICES})
        check_symbol(name, value, kinds[name])


def _allows(known: tuple[Any, ...], choice: Any) -> bool:
    return choice is None or not known or choice in known


# In three dimensions a position of the Gaussian kernel reads a thousand pixels.
_MOST_AXES_OF_OTHERS = 2


def _choices(values: Mapping[str, SettingValue]) -> dict[str, SettingValue]:
    """Return the choices that are among choices and numbers."""
    return {name: value for name, value in values.items() if name in CHOICES}


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers that are among choices and numbers.

    Raises:
        ArgumentError: one that is no finite number.
    """
    return {name: check_number(name, value) for name, value in values.items() if name not in CHOICES}
