"""Any number of equal layers: the variance that a stack of them leaves.

S_L, the spectral density after L layers, follows from S_{L−1} as in `_stacks`. White noise of the source has passed L
layers, and what layer l adds has passed L − l: each passage multiplies by |ŵ|². With

    α_l = ∫|ŵ|²ˡ dθ/2π,   β_l = ∫R̂ |ŵ|²ˡ dθ/2π   along one axis,   b_l = β_lᵈ − α_{l+1}ᵈ

l later layers leave of what one adds to the variance v a share b_l of v, forward and backward alike:

    v_L = σ² α_Lᵈ + Σ_{l < L} b_l (v_{L−1−l} + μ²),   v_0 = σ²   (a renewal equation; μ² for splats alone).
"""

from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import sympy as sp
from jaxtyping import Float
from numpy import ndarray

from warptheory.core.notation import latex_notation
from warptheory.symbolic._derivation import Derivation, Step
from warptheory.symbolic._terms import NotReducible
from warptheory.symbolic.nodes import Node, Opaque
from warptheory.symbolic.quadrature import Environment, Evaluate, NotConverged
from warptheory.symbolic.stacks import (
    Frequencies,
    Layer,
    Stack,
    StackCovariance,
    frequencies_of,
    mean_over_frequencies,
    outer,
    response,
)
from warptheory.symbolic.statistic import MomentStatistic, Statistic

_NODES = 32  # at first, for one layer; the spectrum narrows as √L
_SETTLED = 1e-13  # relative change when the nodes are doubled
_MOST_WORK = 2**31  # nodes times layers


@dataclass(frozen=True)
class AfterLayers(Statistic):
    """The variance or second moment of a pixel after any number of equal layers.

    Attributes:
        statistic: the same after two layers; their offsets have one law, and a name each.
        layers: the number L of layers.
    """

    statistic: MomentStatistic
    layers: sp.Symbol

    def derive(self) -> Derivation:
        """Return the steps from the spectral density, layer by layer, to a renewal equation.

        Raises:
            NotReducible: no two equal layers over white noise, or values at several pixels.
        """
        two = self.statistic.doit()
        iterated = two.replace(StackCovariance, lambda *args: self._node(SpectralIterate, StackCovariance(*args)))
        if iterated == two:
            raise NotReducible(self, "it has to be a moment of second order after two layers")
        summed = iterated.replace(SpectralIterate, RenewalVariance)
        return self.derivation(
            (
                Step(
                    "One layer",
                    "what a layer makes of a spectral density, applied L times to that of white noise; W = |ŵ|² and "
                    "R = R̂ are the layer's own, and what it adds is white forward, and of the kernel's colour backward",
                    iterated,
                ),
                Step(
                    "Renewal equation",
                    "what each layer adds passes the later ones, every one of which multiplies by W: over d axes "
                    "integrals of powers of W are products, and what is left of it after l layers is a share of the "
                    "variance v that it was made from",
                    summed,
                ),
            ),
        )

    def _node(self, kind: type["_DeepVariance"], two: StackCovariance) -> Node:
        stack = two.stack
        if any(two.args[3]) or len({_unnamed(layer) for layer in stack.layers}) > 1 or len(stack.layers) != 2:
            raise NotReducible(self, "both layers have to be equal, and the pixel one")
        one = Stack(stack.source, (_unnamed(stack.layers[0]),))
        mean = two.args[1] if one.layers[0].is_splat else 0  # which the others keep
        return kind(Opaque(one), mean, two.args[2], len(two.args[3]), self.layers)

    def __str__(self) -> str:
        return f"{self.statistic}, {self.layers} layers in place of 2"

    def latex(self) -> str:
        """Return it in LaTeX."""
        return self.statistic.latex() + latex_notation(f", {self.layers} layers in place of 2")


def _unnamed(layer: Layer) -> Layer:
    return replace(layer, offsets=replace(layer.offsets, name="epsilon"))


class _DeepVariance(Node):
    """The variance after L equal layers: args (stack of one of them, E x, Var x, d, L)."""

    @property
    def layer(self) -> Layer:
        """The layer."""
        (layer,) = cast("Stack", self.args[0].content).layers
        return layer

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Integrate over the frequencies by the trapezoid rule, with twice the nodes until nothing changes.

        The integrands are trigonometric polynomials: of so many nodes that one is exact, or as many as its
        exponential convergence takes.
        """
        mean, variance, layers = (float(evaluate(self.args[place], environment)) for place in (1, 2, 4))
        found = response(self.layer, environment, evaluate)
        exact = int(layers) * len(found.smoothed) + len(found.pairs)
        size, before = int(2 ** np.ceil(np.log2(_NODES * np.sqrt(layers)))), np.nan
        while size**self._axes * layers <= _MOST_WORK:
            value = self._variance(mean, variance, int(layers), found.transfer(size))
            if size > exact or abs(value - before) <= _SETTLED * abs(value):
                return value
            size, before = 2 * size, value
        raise NotConverged(f"{layers:g} layers need {size} frequencies or more along each of {self._axes} axes")

    @property
    def _axes(self) -> int:
        """The number of axes of the grid of frequencies."""
        raise NotImplementedError

    def _variance(self, mean: float, variance: float, layers: int, transfer: tuple[ndarray, ndarray]) -> float:
        """Return the variance, from |ŵ|² and R̂ at the nodes along one axis."""
        raise NotImplementedError


class SpectralIterate(_DeepVariance):
    """The variance after L equal layers: its number from the spectral density, layer by layer."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return ∫S_L dθ/(2π)ᵈ, S_L in terms of S_{L−1}."""
        dim, layers = int(self.args[3]), self.args[4]
        theta, phi = frequencies_of(dim, "theta"), frequencies_of(dim, "phi")

        def before(frequencies: Frequencies) -> sp.Expr:
            return sp.Function(f"S_({layers - 1})")(*frequencies)

        return mean_over_frequencies(self.layer.density(before, _named, self.args[1], theta, phi), theta)

    @property
    def _axes(self) -> int:
        return int(self.args[3])

    def _variance(self, mean: float, variance: float, layers: int, transfer: tuple[ndarray, ndarray]) -> float:
        kept, read = (outer(line, self._axes) for line in transfer)
        spectrum = np.full(kept.shape, variance)
        for _ in range(layers):
            spectrum = self.layer.passed(spectrum, kept, read, mean)
        return float(spectrum.mean())


class RenewalVariance(_DeepVariance):
    """The variance after L equal layers: its number from what is left of the variances before."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the right side of the renewal equation."""
        mean, variance, dim, layers = self.args[1:]
        (theta,), index = frequencies_of(1, "theta"), sp.Symbol("l", integer=True)
        kept, read = _named((theta,))

        def power(exponent: sp.Expr, factor: sp.Expr = sp.S.One) -> sp.Expr:
            return mean_over_frequencies(factor * kept**exponent, (theta,)) ** dim

        before = sp.Function("v")(layers - 1 - index) + (mean**2 if self.layer.is_splat else 0)
        added = sp.Sum((power(index, read) - power(index + 1)) * before, (index, 0, layers - 1))
        return variance * power(layers) + added

    @property
    def _axes(self) -> int:
        return 1

    def _variance(self, mean: float, variance: float, layers: int, transfer: tuple[ndarray, ndarray]) -> float:
        from scipy import signal  # a second that most users never need

        own, left = _shares(*transfer, layers, int(self.args[3]))
        extra = mean**2 if self.layer.is_splat else 0.0
        made = signal.lfilter([1.0], [1.0, *-left], variance * own + extra)  # v + μ² for splats
        return float(made[-1] - extra)


def _shares(
    kept: Float[ndarray, "N"], read: Float[ndarray, "N"], layers: int, dim: int
) -> tuple[Float[ndarray, "K"], Float[ndarray, "L"]]:
    """Return α_lᵈ for l = 0 … L, and b_l for l = 0 … L − 1."""
    powers, products, power = np.empty(layers + 1), np.empty(layers + 1), np.ones_like(kept)
    for count in range(layers + 1):
        powers[count], products[count] = power.mean(), (read * power).mean()
        power = power * kept
    own = powers**dim
    return own, products[:-1] ** dim - own[1:]


def _named(frequencies: Frequencies) -> tuple[sp.Expr, sp.Expr]:
    """Return |ŵ|² and R̂ of the layer by name."""
    return sp.Function("W")(*frequencies), sp.Function("R")(*frequencies)
