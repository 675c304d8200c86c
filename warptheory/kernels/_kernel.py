"""What an interpolation kernel offers; every kind of kernel derives it from its own definition."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import sympy as sp

from warptheory.core import html
from warptheory.core.checks import check_integer
from warptheory.core.definition import definition
from warptheory.core.errors import ArgumentError
from warptheory.core.expressions import real
from warptheory.core.formulas import latex
from warptheory.core.presented import Presented, brief
from warptheory.kernels._periodic import FRACTION, NoClosedFormError, PeriodicFunction
from warptheory.kernels._pieces import POSITION
from warptheory.kernels._sampled import sampled, transformed

FREQUENCY = sp.Symbol("omega", real=True)
SHIFT = sp.Symbol("Delta", real=True)

_PLOTTED = 4  # pixels on each side of a plot, at most
_REPRODUCES = {-1: "not even constants", 0: "constants", 1: "straight lines"}


def check_orders(orders: Sequence[int]) -> tuple[int, ...]:
    """Return orders of derivatives in ascending order, one for each factor.

    Raises:
        ArgumentError: none, or one that is no whole number ≥ 0.
    """
    if isinstance(orders, str) or not isinstance(orders, Sequence) or not orders:
        raise ArgumentError("orders", expected="an order of derivative for each factor", received=repr(orders))
    return tuple(sorted(check_integer("orders", order, least=0) for order in orders))


class Kernel(Presented, ABC):
    """An interpolation kernel k(u), u in pixels; a d-dimensional kernel is ∏ k(uᵢ).

    Kernels are values: hashable, and equal when their definitions are.

    Attributes:
        name: the call that makes the kernel, such as "linear" or "gauss(0.7)"; `kernels.get(name)`
            returns an equal kernel.
        reproduces: largest degree q with Σₘ mᵠ k(p − m) = pᵠ for every p; 0 is the partition of
            unity, −1 claims nothing.
        source: where the definition is published.
    """

    name: str
    reproduces: int
    source: str

    @property
    def is_compact(self) -> bool:
        """Whether the operator reads finitely many pixels (or coefficients) around a position.

        If not, it works on a periodic axis only, and `tap_weights` needs the size of that axis.
        """
        return True

    @property
    def prefilter(self) -> tuple[sp.Rational, ...] | None:
        """The filter s[−r], …, s[r] to be inverted before the gather, or None.

        The operator first solves Σₘ s[n − m] c[m] = x[n] for c along each axis, c continued by the
        boundary rule, and then gathers c, not x, with `tap_weights`.
        """
        return None

    @property
    @abstractmethod
    def taps(self) -> Mapping[int, PeriodicFunction]:
        """The weights of the pixels j around a position as functions of its fraction f, by j.

        k(f − j) for kernels that read pixels; with a `prefilter`, the weights of the coefficients.

        Raises:
            NoClosedFormError: the kernel is not compact.
        """

    @property
    @abstractmethod
    def reach(self) -> int | None:
        """Number of pixels beyond which |k| is below 2⁻⁵³; None if it decays too slowly to say so."""

    @abstractmethod
    def value(self, position: sp.Expr = POSITION, order: int = 0) -> sp.Expr:
        """Return k⁽ᵒʳᵈᵉʳ⁾(position) as a sympy expression; at a knot the right-hand value.

        Args:
            position: a real expression, in pixels.
            order: number of derivatives; jumps of k contribute nothing (the operator's derivative
                ignores them too).
        """

    @property
    def derivative(self) -> sp.Expr:
        """k′(u) as a sympy expression in `POSITION`."""
        return self.value(order=1)

    @property
    @abstractmethod
    def spectrum(self) -> sp.Expr:
        """k̂(ω) = ∫ k(u) e^{−iωu} du as a sympy expression in `FREQUENCY`, ω in radians per pixel.

        Contains unevaluated integrals where there is no closed form; `.evalf()` evaluates them.
        """

    @property
    @abstractmethod
    def autocorrelation(self) -> sp.Expr:
        """a_k(Δ) = ∫ k(u) k(u + Δ) du as a sympy expression in `SHIFT`, Δ in pixels.

        Contains unevaluated integrals where there is no closed form; `.evalf()` evaluates them.
        """

    def correlation(self, first: int, second: int, shift: sp.Expr = SHIFT) -> sp.Expr:
        """Return ∫ k⁽ᶠⁱʳˢᵗ⁾(u) k⁽ˢᵉᶜᵒⁿᵈ⁾(u + Δ) du, jumps of k contributing nothing.

        Args:
            first: order of the derivative of the first factor.
            second: that of the second one.
            shift: Δ, a real expression, in pixels.

        Raises:
            NoClosedFormError: derivatives of a kernel for which the library has no such integral.
        """
        if first or second:
            raise NoClosedFormError(f"the correlation of derivatives of {self.name}")
        return self.autocorrelation.subs(SHIFT, real("shift", shift))

    @abstractmethod
    def tap_sum(self, orders: Sequence[int]) -> PeriodicFunction:
        """Return F(f) = Σₘ ∏ᵢ k⁽ᵒʳᵈᵉʳˢ⁽ⁱ⁾⁾(f − m), a function of the fraction.

        Args:
            orders: derivative order of each factor; (0, 0) gives ρ, (1, 1) gives δ.
        """

    def functionals(self) -> "Functionals":
        """Return ρ(f), δ(f), ρ̄, δ̄, κ₄ and a_k, derived from the definition.

        ρ̄, δ̄ and κ₄ are exact numbers where a closed form exists, else unevaluated integrals.
        """
        return _functionals(self)

    @cached_property
    def _text(self) -> str:
        return definition(self)

    def __str__(self) -> str:
        # The whole definition: expressions identify a kernel by this text, and ask for it often.
        return self._text

    def _parts(self) -> Iterable[str]:
        return [repr(self.name), f"reproduces={self.reproduces}"]

    def _subtitle(self) -> str:
        return self.name

    def _card(self) -> Iterable[object]:
        form = self.value()
        yield html.formula(rf"k(u) = {latex(form)}", "the formula of k(u)")
        yield from self._plots(form)
        yield html.properties(
            [
                ("support", self._extent),
                ("pixels that a position reads", len(self.taps) if self.is_compact else "all of the axis"),
                ("reproduces", _REPRODUCES.get(self.reproduces, f"polynomials up to degree {self.reproduces}")),
                ("ρ̄ = ∫ k², what is left of the variance of white input", f"{float(self.tap_sum((0, 0)).mean()):.6g}"),
                ("prefilter", "yes: coefficients are read, not pixels" if self.prefilter else ""),
                ("source", self.source),
            ]
        )

    @property
    def _extent(self) -> str:
        """Where k is not zero, or hardly, as text."""
        return "all of the axis" if self.reach is None else f"|u| < {self.reach} pixels (beyond, |k| < 2⁻⁵³)"

    def _plots(self, form: sp.Expr) -> Iterable[object]:
        """Return a plot of k, and one of its spectrum up to twice the Nyquist frequency."""
        edge = min(self.reach or _PLOTTED, _PLOTTED)
        places, frequencies = np.linspace(-edge, edge, 241), np.linspace(0, 2 * np.pi, 161)
        yield html.line_plot(places, sampled(form, POSITION, places), x_label="u (pixels)", y_label="k(u)")
        if self.reach is None:
            spectrum = np.abs(sampled(self.spectrum, FREQUENCY, frequencies))
        else:
            spectrum = transformed(form, POSITION, self.reach, frequencies)
        yield html.line_plot(frequencies / np.pi, spectrum, x_label="ω/π (per pixel; Nyquist at 1)", y_label="|k̂(ω)|")

    def _repr_latex_(self) -> str:
        return rf"$\displaystyle k(u) = {latex(self.value())}$"


@dataclass(frozen=True)
class Functionals(Presented):
    """The numbers and functions of one axis through which a kernel enters every second-order result.

    Attributes:
        rho: ρ(f) = Σₘ k(f − m)², in the fraction f ∈ [0, 1).
        delta: δ(f) = Σₘ k′(f − m)², per pixel².
        rho_bar: ρ̄ = ∫₀¹ ρ = ∫ k².
        delta_bar: δ̄ = ∫₀¹ δ; jumps of the kernel contribute nothing.
        kappa4: κ₄ = ∫ k⁴.
        autocorrelation: a_k(Δ) = ∫ k(u) k(u + Δ) du, Δ in pixels.
    """

    rho: sp.Expr
    delta: sp.Expr
    rho_bar: sp.Expr
    delta_bar: sp.Expr
    kappa4: sp.Expr
    autocorrelation: sp.Expr

    def _parts(self) -> Iterable[str]:
        return (f"{name}={brief(getattr(self, name), 24)}" for name in ("rho_bar", "delta_bar", "kappa4"))

    def _card(self) -> Iterable[object]:
        for left, form in (
            (r"\rho(f)", self.rho),
            (r"\delta(f)", self.delta),
            (r"\bar\rho", self.rho_bar),
            (r"\bar\delta", self.delta_bar),
            (r"\kappa_4", self.kappa4),
            (r"a_k(\Delta)", self.autocorrelation),
        ):
            yield html.formula(f"{left} = {latex(form)}")

    @property
    def are_exact(self) -> bool:
        """Whether ρ̄, δ̄ and κ₄ are closed forms, and not integrals to be evaluated numerically."""
        return not any(value.has(sp.Integral) for value in (self.rho_bar, self.delta_bar, self.kappa4))

    def as_floats(self) -> dict[str, float]:
        """Return ρ̄, δ̄ and κ₄ as floats, by attribute name.

        Where they have no closed form (`are_exact` is False) they come from adaptive quadrature, to
        a relative 1e-12 or better.
        """
        return {name: float(getattr(self, name)) for name in ("rho_bar", "delta_bar", "kappa4")}


@cache
def _functionals(kernel: Kernel) -> Functionals:
    rho, delta = kernel.tap_sum((0, 0)), kernel.tap_sum((1, 1))
    return Functionals(
        rho=rho.at(FRACTION),
        delta=delta.at(FRACTION),
        rho_bar=rho.mean(),
        delta_bar=delta.mean(),
        kappa4=kernel.tap_sum((0, 0, 0, 0)).mean(),
        autocorrelation=kernel.autocorrelation,
    )
