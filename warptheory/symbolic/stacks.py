"""Warps of warps: the covariance of stacked layers whose pixels have independent offsets.

With w(m) = E k(ε + m) the smoothed kernel, ŵ(θ) = Σ w(m) e^{imθ} and R̂(θ) = E |Σₘ k(ε − m) e^{imθ}|², one layer
takes the spectral density S of a homogeneous field of mean μ to

    warp     |ŵ|²S + ∫(R̂ − |ŵ|²) S dθ/(2π)ᵈ             (the jitter adds white noise)
    splat    |ŵ|²S + (R̂ − |ŵ|²) (∫S dθ/(2π)ᵈ + μ²)       (the jitter adds noise of the kernel's own colour)

Both follow from y = w∗x + Σₘ (k − w) x: the deviations k − w of different outputs (warp) or of different
inputs (splat) are independent.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import cast

import numpy as np
import sympy as sp
from jaxtyping import Float
from numpy import ndarray

from warptheory.kernels import FREQUENCY, Kernel
from warptheory.symbolic._terms import Group, whole_index
from warptheory.symbolic.input_fields import Field, IIDField, InputField, PixelValue
from warptheory.symbolic.moved_fields import SampledValue, SplattedField, SplatValue, WarpedField
from warptheory.symbolic.nodes import (
    KernelValue,
    Node,
    OffsetAverage,
    Opaque,
    TapSum,
    edges_of,
    kernel_argument,
    tap_sum,
)
from warptheory.symbolic.offset_fields import OffsetField
from warptheory.symbolic.quadrature import Environment, Evaluate, quadrature
from warptheory.symbolic.values import Argument, RandomAtom

Frequencies = tuple[sp.Symbol, ...]
Transfer = Callable[[Frequencies], tuple[sp.Expr, sp.Expr]]

_TOGETHER = 2**16  # positions of the quadrature
_ENOUGH = 1e-12  # share of the offsets that may wrap around the axis of the transform


@dataclass(frozen=True)
class Layer:
    """One warp or splat of a stack.

    Attributes:
        offsets: its offsets, independent over pixels and axes.
        kernel: its kernel.
        is_splat: whether it is a splat.
    """

    offsets: OffsetField
    kernel: Kernel
    is_splat: bool

    def density(
        self,
        before: Callable[[Frequencies], sp.Expr],
        transfer: Transfer,
        mean: sp.Expr,
        theta: Frequencies,
        phi: Frequencies,
    ) -> sp.Expr:
        """Return the spectral density at θ of what the layer leaves.

        Args:
            before: that of what it receives, a function of the frequencies.
            transfer: |ŵ|² and R̂, a function of the frequencies.
            mean: μ of what it receives.
            theta: θ.
            phi: symbols to integrate over.
        """
        (kept, read), (kept_there, read_there) = transfer(theta), transfer(phi)
        if self.is_splat:
            added = (read - kept) * (mean_over_frequencies(before(phi), phi) + mean**2)
        else:
            added = mean_over_frequencies((read_there - kept_there) * before(phi), phi)
        return kept * before(theta) + added

    def passed(
        self, spectrum: Float[ndarray, "*N"], kept: Float[ndarray, "*N"], read: Float[ndarray, "*N"], mean: float
    ) -> Float[ndarray, "*N"]:
        """Return the same on a grid of frequencies, from its values before, |ŵ|² and R̂; shapes (*N)."""
        noise = read - kept
        added = noise * (spectrum.mean() + mean**2) if self.is_splat else (noise * spectrum).mean()
        return cast("ndarray", kept * spectrum + added)

    def __str__(self) -> str:
        # This text identifies the layer, so it holds the kernel's whole definition: names need not differ.
        return f"{'splat' if self.is_splat else 'warp'}({self.offsets}/{self.kernel})"


@dataclass(frozen=True)
class Stack:
    """A field of independent pixels, and the layers that it passes, the innermost first."""

    source: IIDField
    layers: tuple[Layer, ...]

    @property
    def free_symbols(self) -> set[sp.Symbol]:
        """Symbols of the layers' laws; those of the source's moments are told apart."""
        return set().union(*(layer.offsets.axis_law.free_symbols for layer in self.layers))

    def __str__(self) -> str:
        return f"{self.source}|{'|'.join(map(str, self.layers))}"


class StackCovariance(Node):
    """The covariance of a stack's values at a lag: args (stack, E x, Var x, lag)."""

    args: tuple[Opaque, sp.Expr, sp.Expr, sp.Tuple]
    stack = Argument[Stack](0)

    def display(self, *, latex: bool) -> sp.Expr:
        """Return ∫S_L(θ) cos(lag·θ) dθ/(2π)ᵈ, S_L from the recursion; Ŵ_l = |ŵ_l|² and R̂_l are the layers' own."""
        return self.integral(*(_named(number) for number in range(1, len(self.stack.layers) + 1)))

    def integral(self, *transfers: Transfer) -> sp.Expr:
        """Return the covariance as an integral of the last layer's spectral density.

        Args:
            *transfers: functions of θ that give |ŵ|² and R̂ of each layer; those of its law and kernel by default.
        """
        given = transfers or tuple(map(_of_layer, self.stack.layers))
        theta = frequencies_of(len(self.args[3]), "theta")
        phase = sp.cos(sp.Add(*(j * t for j, t in zip(self.args[3], theta, strict=True))))
        return mean_over_frequencies(self._density(given, theta) * phase, theta)

    def _density(self, transfers: Sequence[Transfer], theta: Frequencies) -> sp.Expr:
        """Return S_l(θ) after the layers l whose transfer is given."""
        if not transfers:
            return self.args[2]
        layer, phi = self.stack.layers[len(transfers) - 1], frequencies_of(len(theta), f"phi_{len(transfers)}")
        before = partial(self._density, transfers[:-1])
        return layer.density(before, transfers[-1], self.args[1], theta, phi)

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Iterate the spectral recursion on a grid of frequencies.

        The grid is wide enough for all lags that the layers reach, but for a share 1e-12 of the offsets on either side,
        so that the transforms are exact. Averages over the offsets are Gauss–Legendre sums between the kernel's knots,
        exact to rounding for polynomial pieces against a uniform law, and to about 1e-12 for smooth ones.
        """
        mean, variance = (float(evaluate(moment, environment)) for moment in self.args[1:3])
        lag = [int(distance) for distance in self.args[3]]
        responses = [response(layer, environment, evaluate) for layer in self.stack.layers]
        reach = 2 + sum(found.width for found in responses)
        size = int(2 ** np.ceil(np.log2(2 * reach + 2 * max(map(abs, lag), default=0))))
        spectrum = np.full((size,) * len(lag), variance)
        for layer, found in zip(self.stack.layers, responses, strict=True):
            smooth, energy = found.transfer(size)
            spectrum = layer.passed(spectrum, outer(smooth, len(lag)), outer(energy, len(lag)), mean)
        return float(np.real(np.fft.ifftn(spectrum))[tuple(lag)])

    def wide_limit(self) -> sp.Expr:
        """Return the limit of wide offsets, ŵ → 0: a layer leaves white noise, or noise of the kernel's colour."""
        mean, dim = self.args[1], len(self.args[3])
        covariance: dict[tuple[int, ...], sp.Expr] = {(0,) * dim: self.args[2]}
        for layer in self.stack.layers:
            if layer.is_splat:
                power = covariance[(0,) * dim] + mean**2
                reach = range(1 - len(layer.kernel.taps), len(layer.kernel.taps))
                covariance = {lag: power * _read(layer, lag) for lag in itertools.product(reach, repeat=dim)}
            else:
                covariance = {(0,) * dim: sp.Add(*(value * _read(layer, lag) for lag, value in covariance.items()))}
        return covariance.get(tuple(int(distance) for distance in self.args[3]), sp.Integer(0))


def frequencies_of(dim: int, name: str) -> Frequencies:
    """Return θ, or θ₁ … θ_d."""
    names = [name] if dim == 1 else [f"{name}{axis + 1}" for axis in range(dim)]
    return tuple(sp.Symbol(symbol, real=True) for symbol in names)


def mean_over_frequencies(density: sp.Expr, frequencies: Frequencies) -> sp.Expr:
    """Return ∫ density dθ/(2π)ᵈ over (−π, π)ᵈ."""
    if not density.free_symbols & set(frequencies):
        return density
    return sp.Integral(density, *((theta, -sp.pi, sp.pi) for theta in frequencies)) / (2 * sp.pi) ** len(frequencies)


def _named(number: int) -> Transfer:
    """Return |ŵ|² and R̂ of a layer by name."""
    kept, read = (sp.Function(f"{letter}_{number}") for letter in ("W", "R"))
    return lambda frequencies: (kept(*frequencies), read(*frequencies))


def _of_layer(layer: Layer) -> Transfer:
    """Return |ŵ|² and R̂ of a layer, by the characteristic function of its offsets and its kernel's spectrum."""
    return lambda frequencies: (
        sp.Mul(*(smoothing(layer, theta) for theta in frequencies)),
        sp.Mul(*(reading(layer, theta) for theta in frequencies)),
    )


def smoothing(layer: Layer, theta: sp.Symbol) -> sp.Expr:
    """Return |ŵ(θ)|² = |Σⱼ k̂(θ + 2πj) χ(−θ − 2πj)|² along one axis (Poisson summation), χ that of the offsets."""
    j = sp.Symbol("j", integer=True)
    alias = theta + 2 * sp.pi * j
    spectrum = layer.kernel.spectrum
    if isinstance(spectrum, sp.Piecewise):
        spectrum = spectrum.args[-1].expr  # its value at frequency 0 is the limit of this
    term = spectrum.subs(FREQUENCY, alias) * layer.offsets.axis_law.characteristic_function(-alias)
    return sp.Abs(sp.Sum(term, (j, -sp.oo, sp.oo))) ** 2


def reading(layer: Layer, theta: sp.Symbol) -> sp.Expr:
    """Return R̂(θ) = Σⱼ E[Σₘ k(ε − m) k(ε + j − m)] cos jθ along one axis."""
    line = layer.offsets.line
    kernel = kernel_argument(layer.kernel)

    def correlation(j: int) -> sp.Expr:
        factors = sp.Tuple(*(sp.Tuple(kernel, 0, shift, 0) for shift in (0, j)))
        return OffsetAverage(TapSum(factors, line.symbols[0]), Opaque(line))

    return sp.Add(
        *(sp.cos(j * theta) * correlation(abs(j)) for j in range(1 - len(layer.kernel.taps), len(layer.kernel.taps)))
    )


def _read(layer: Layer, lag: tuple[int, ...]) -> sp.Expr:
    """Return ∏ ∫₀¹ Σₘ k(f − m) k(f + lag − m) df over the axes."""
    return sp.Mul(*(tap_sum(((layer.kernel, 0, 0), (layer.kernel, 0, abs(j)))).mean() for j in lag))


def is_stacked(group: Group) -> bool:
    """Return whether a value comes from a layer above another one."""
    return any(not isinstance(atom.field, InputField) for atom in group.factors)


def stacked_moment(group: Group) -> sp.Expr:
    """Return the expectation of one or two values of a stack.

    Raises:
        NotReducible: more than two factors, different stacks, or layers that the recursion does not cover.
    """
    if group.given is not None and any(
        group.is_given(layer.offsets) for atom in group.factors for layer in _stack(group, atom).layers
    ):
        raise group.refusal("given offsets of a stack; only the average over all of them is known")
    stacks = [_stack(group, atom) for atom in group.factors]
    mean = stacks[0].source.mean
    if len(group.factors) == 1:
        return mean
    if len(group.factors) > 2 or stacks[0] != stacks[1]:
        raise group.refusal("of stacked layers only mean and covariance of one field are known")
    first, second = (whole_index(atom.site.index, group.dim) for atom in group.factors)
    lag = sp.Tuple(*(sp.expand(b - a) for a, b in zip(first, second, strict=True)))
    if any(distance.could_extract_minus_sign() for distance in lag[:1]):
        lag = sp.Tuple(*(-distance for distance in lag))  # a covariance is even
    if not all(distance.is_Integer for distance in lag):
        raise group.refusal("its pixels have to be a known number of pixels apart")
    return mean**2 + StackCovariance(Opaque(stacks[0]), mean, stacks[0].source.cumulant(2), lag)


def _stack(group: Group, atom: RandomAtom) -> Stack:
    if isinstance(atom, PixelValue):
        raise group.refusal("it mixes a stack with pixels of its input")
    layers: list[Layer] = []
    field: Field = (
        SplattedField(atom.field, atom.site.offsets, atom.site.kernel)
        if isinstance(atom, SplatValue)
        else WarpedField(atom.field, atom.site.offsets, atom.site.kernel, atom.orders)
        if isinstance(atom, SampledValue)
        else atom.field
    )
    while isinstance(field, WarpedField | SplattedField):
        layers.append(_layer(group, field))
        field = field.field
    if len({layer.offsets.dim for layer in layers}) > 1:
        raise group.refusal("its layers have different numbers of axes; they need one number of them")
    names = {layer.offsets.name for layer in layers}
    if len(names) < len(layers):
        raise group.refusal("its layers share an offset field; give each a name of its own")
    if not isinstance(field, IIDField):
        raise group.refusal("the innermost field has to have independent pixels")
    return Stack(field, tuple(reversed(layers)))


def _layer(group: Group, field: WarpedField | SplattedField) -> Layer:
    offsets, kernel = field.offsets, field.kernel
    if isinstance(field, WarpedField) and any(field.orders):
        raise group.refusal("a derivative inside a stack; only values are known")
    if offsets.is_shared or offsets.correlation != 0 or any(offsets.displacement):
        raise group.refusal("the layers of a stack need offsets that are independent over pixels and axes")
    if not kernel.is_compact or kernel.prefilter is not None or kernel.reproduces < 0:
        raise group.refusal(f"the layers of a stack need finitely many taps that sum to one, not {kernel.name}")
    return Layer(offsets, kernel, isinstance(field, SplattedField))


@dataclass(frozen=True)
class Response:
    """What a layer with independent offsets does to second moments along one axis.

    Attributes:
        smoothed: w(j) = E k(ε + j) over successive lags, shape (M,); where they begin makes no difference.
        pairs: E Σₘ k(ε − m) k(ε + j − m) for j = 0, 1, …, shape (K,).
        width: reach of the kernel to both sides, and of the offsets but for a share 1e-12 on either side, in pixels.
    """

    smoothed: Float[ndarray, "M"]
    pairs: Float[ndarray, "K"]
    width: int

    def transfer(self, size: int) -> tuple[Float[ndarray, "N"], Float[ndarray, "N"]]:
        """Return |ŵ(θ)|² and R̂(θ) at θ = 2πj/N, shape (N,) each."""
        wrapped = np.bincount(np.arange(len(self.smoothed)) % size, weights=self.smoothed, minlength=size)
        theta = 2 * np.pi * np.arange(size) / size
        waves = 2 * np.cos(np.outer(np.arange(len(self.pairs)), theta))
        waves[0] = 1.0
        return np.abs(np.fft.fft(wrapped)) ** 2, self.pairs @ waves


def response(layer: Layer, environment: Environment, evaluate: Evaluate) -> Response:
    """Average a layer's kernel, and its products, over the offsets by Gauss–Legendre sums between the knots."""
    kernel, u = layer.kernel, sp.Symbol("u", real=True)
    points, weights = quadrature(layer.offsets.axis_law, environment, evaluate, {0.0, 0.5, *edges_of(kernel)})
    value = KernelValue(kernel_argument(kernel), 0, u, 0)
    reach = max(map(abs, kernel.taps)) + 1
    taps = np.arange(-reach, reach + 1)
    whole = np.floor(points).astype(int)
    first = whole.min()
    smoothed, pairs = np.zeros(int(whole.max() - first) + len(taps)), np.zeros(len(taps))
    for start in range(0, len(points), _TOGETHER):
        some = slice(start, start + _TOGETHER)
        positions = (points[some] - whole[some])[:, None] - taps
        samples = np.asarray(value.numeric({u: positions}, lambda part, environment: environment[part]))
        places = (whole[some] - first)[:, None] + np.arange(len(taps))
        np.add.at(smoothed, places, weights[some, None] * samples)
        together = samples.T @ (weights[some, None] * samples)
        pairs += [np.trace(together, lag) for lag in range(len(taps))]
    return Response(smoothed, pairs, _width(points, weights) + 2 * reach)


def _width(points: ndarray, weights: ndarray) -> int:
    order = np.argsort(points)
    below = np.cumsum(weights[order])
    inside = points[order][(below > _ENOUGH) & (below < 1 - _ENOUGH)]
    return int(np.ceil(inside[-1] - inside[0])) if len(inside) else 0


def outer(line: Float[ndarray, "N"], dim: int) -> Float[ndarray, "*N"]:
    """Return ∏ line(θᵢ) over the axes, shape (N, …, N)."""
    return np.asarray(reduce(np.multiply.outer, [line] * dim))
