"""The chain of distances: covariances after many layers on the infinite grid (D6).

The same number has two routes here. The covariance can be pushed through the layers, C_l = M C_{l−1}; or the distance
of two walkers can be followed back through them, C_L(Δ) = E C₀(Δ_L), whose law passes the transposed chain.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import cast

import numpy as np
import sympy as sp
from numpy import ndarray

from warptheory.core.errors import ArgumentError
from warptheory.fields import CovarianceFunction
from warptheory.kernels import Kernel
from warptheory.results.discretization._walkers import autocorrelation, kernel_variance, smoothed
from warptheory.symbolic import NotConverged
from warptheory.symbolic.nodes import Node
from warptheory.symbolic.quadrature import Environment, Evaluate
from warptheory.symbolic.values import Argument

_NEGLIGIBLE = 1e-13  # share of C(0) beyond the lags that are kept
_MOST_WEIGHTS, _MOST_PRODUCTS = 2**26, 2**34  # half a GiB, and some seconds
_FARTHEST = 9.0  # deviations of the distance; what lies beyond has a probability of 1e−18


@dataclass(frozen=True)
class Walkers:
    """The chain of the distance of two walkers, on the lags −R … R along each axis.

    Attributes:
        kernel: the kernel k.
        offsets: the covariance K of each component of the offsets, with numbers for its symbols.
        reach: R, in pixels.
    """

    kernel: Kernel
    offsets: CovarianceFunction
    reach: int

    @property
    def lags(self) -> ndarray:
        """The lags along an axis, shape (n,), n = 2R + 1."""
        return np.arange(-self.reach, self.reach + 1)

    @cached_property
    def steps(self) -> tuple[ndarray, ...]:
        """For each axis the weights of the lags after a step, by the lag before it: d arrays of shape (nᵈ, n)."""
        axes = np.meshgrid(*[self.lags] * self.offsets.dim, indexing="ij")
        before = np.stack([axis.ravel() for axis in axes])
        lengths, place = np.unique((before**2).sum(0), return_inverse=True)
        spread = 2 * (float(self.offsets(0.0)) - self.offsets(np.sqrt(lengths)))
        moves = np.arange(-2 * self.reach, 2 * self.reach + 1)
        table = smoothed(autocorrelation(self.kernel), moves[None, :], np.maximum(spread, 0.0)[:, None])
        return tuple(table[place[:, None], axis[:, None] - self.lags + 2 * self.reach] for axis in before)

    def push(self, covariance: ndarray) -> ndarray:
        """Return the covariance after a layer, Σ_δ M(Δ, δ) C(δ); shapes (n, …)."""
        first, *others = self.steps
        pushed = np.tensordot(first, covariance, axes=1)
        for steps in others:
            pushed = np.einsum("an,an...->a...", steps, pushed)
        return pushed.reshape(covariance.shape)

    def move(self, law: ndarray) -> ndarray:
        """Return the law of the distance after a step, Σ_Δ P(Δ) M(Δ, δ); shapes (n, …)."""
        if self.offsets.dim == 1:
            return cast("ndarray", law @ self.steps[0])
        first, second = self.steps
        return cast("ndarray", (law.reshape(-1, 1) * first).T @ second)


class CovarianceAfterLayers(Node):
    """C_L(Δ) on the infinite grid: args (k, K, C₀, L, Δ₁, …, Δ_d); its number by pushing the covariance."""

    kernel = Argument[Kernel](0)

    def display(self, *, latex: bool) -> sp.Expr:
        """Return C_L(Δ)."""
        return sp.Function(f"C_{self.args[3]}")(*self.args[4:])

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Apply the chain to C₀ as many times as there are layers."""
        walkers, covariance, layers = self._numbers(environment, evaluate)
        return float(_pushed(walkers, covariance, layers)[self._place(walkers)])

    def _numbers(self, environment: Environment, evaluate: Evaluate) -> tuple[Walkers, CovarianceFunction, int]:
        given = {symbol.name: value for symbol, value in environment.items()}
        offsets, covariance = (part.content.subs(given) for part in self.args[1:3])
        layers = int(evaluate(self.args[3], environment))
        reach = _reach(self.kernel, offsets, covariance, layers)
        weights = (2 * reach + 1) ** (offsets.dim + 1)
        if weights > _MOST_WEIGHTS or layers * weights > _MOST_PRODUCTS:
            expected = f"at most {_MOST_WEIGHTS} weights of a step, and {_MOST_PRODUCTS} in all layers"
            raise ArgumentError("L", expected=expected, received=f"{layers} layers of {weights}")
        return _walkers(self.kernel, offsets, reach), covariance, layers

    def _place(self, walkers: Walkers) -> tuple[int, ...]:
        return tuple(walkers.reach + int(lag) for lag in self.args[4:])


class MeanOverWalks(CovarianceAfterLayers):
    """E C₀(Δ_L), the distance of two walkers having started at Δ; its number from the law of the distance."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return E(C(Δ_L))."""
        start = ", ".join(map(str, self.args[4:]))
        distance = sp.Symbol(f"Delta_{self.args[3]}^({start})" if latex else f"Δ_{self.args[3]}({start})")
        return sp.Function("E")(sp.Function("C")(distance))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Apply the transposed chain to the law of the distance, and average C₀."""
        walkers, covariance, layers = self._numbers(environment, evaluate)
        law = np.zeros((len(walkers.lags),) * walkers.offsets.dim)
        law[self._place(walkers)] = 1.0
        for _ in range(layers):
            law = walkers.move(law)
        return float(np.sum(law * _on_lags(walkers, covariance)))


class LayersOfGrowth(CovarianceAfterLayers):
    """The first layer after which C_L(0) − C_L(Δ) does not grow: args as above, L the most that are tried."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return min L, of those after which the gradient variance no longer grows."""
        return sp.Function("min")(sp.Symbol("L: G_{L+1} ≤ G_L"))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Go through the layers.

        Raises:
            NotConverged: it still grows after the most layers that are tried.
        """
        walkers, covariance, most = self._numbers(environment, evaluate)
        before = -math.inf
        for layer, growing in enumerate(itertools.islice(self._differences(walkers, covariance), most + 1)):
            if growing <= before:
                return float(layer - 1)
            before = growing
        raise NotConverged(f"the gradient variance still grows after {most} layers")

    def _differences(self, walkers: Walkers, covariance: CovarianceFunction) -> Iterator[float]:
        """Yield C_L(0) − C_L(Δ), layer after layer, for ever."""
        here, place = (walkers.reach,) * walkers.offsets.dim, self._place(walkers)
        pushed = _on_lags(walkers, covariance)
        while True:
            yield float(pushed[here] - pushed[place])
            pushed = walkers.push(pushed)


class LayersOfGrowthByWalks(LayersOfGrowth):
    """The same layer from the laws of the distances of walkers that start together and Δ apart."""

    def _differences(self, walkers: Walkers, covariance: CovarianceFunction) -> Iterator[float]:
        together = np.zeros((len(walkers.lags),) * walkers.offsets.dim)
        together[(walkers.reach,) * walkers.offsets.dim] = 1.0
        apart = np.zeros_like(together)
        apart[self._place(walkers)] = 1.0
        values = _on_lags(walkers, covariance)
        while True:
            yield float(np.sum((together - apart) * values))
            together, apart = walkers.move(together), walkers.move(apart)


@lru_cache(maxsize=4)
def _walkers(kernel: Kernel, offsets: CovarianceFunction, reach: int) -> Walkers:
    return Walkers(kernel, offsets, reach)


@lru_cache(maxsize=8)
def _pushed(walkers: Walkers, covariance: CovarianceFunction, layers: int) -> ndarray:
    pushed = _on_lags(walkers, covariance)
    for _ in range(layers):
        pushed = walkers.push(pushed)
    return pushed


def _on_lags(walkers: Walkers, covariance: CovarianceFunction) -> ndarray:
    lags = np.meshgrid(*[walkers.lags.astype(float)] * covariance.dim, indexing="ij")
    return covariance.at(np.stack(lags, axis=-1))


def _reach(kernel: Kernel, offsets: CovarianceFunction, covariance: CovarianceFunction, layers: int) -> int:
    """Return the lags beyond which nothing reaches the first ones within the layers."""
    a_layer = 2 * float(offsets(0.0)) + float(kernel_variance(kernel))
    walked = _FARTHEST * math.sqrt(layers * a_layer) + len(kernel.taps)
    return covariance.range(_NEGLIGIBLE) + math.ceil(walked)
