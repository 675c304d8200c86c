"""Sums of waves over a bounded band of frequencies, at lags up to a reach, to 1e-14 of their amplitudes.

On a panel z radians to either side of its middle, a wave is Σ (2m + 1) iᵐ jₘ(z) Pₘ with jₘ(z) ≤ zᵐ/(2m + 1)!!: after
32 Legendre polynomials less than 1e-15 is left of z = 8. What has frequencies in the band is therefore known from its
values at 32 points for 16 radians, and a sum of very many waves from its moments with those polynomials.

Source: DLMF, https://dlmf.nist.gov/10.60.E7 and 10.14.E4 (the expansion of a plane wave, a bound of Bessel functions).
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from numpy.polynomial import chebyshev, legendre
from scipy import fft

Blocks = dict[int, dict[int, Float[ndarray, "M M"]]]

_TERMS = 32
_NODES, _WEIGHTS = legendre.leggauss(_TERMS)
# As many nodes integrate a wave of z = 28 radians to either side of a panel's middle to (ez/128)⁶⁴ < 1e-14.
_INTEGRATED = 56.0
_EXPANDED = 16.0
_SINGLE = 256  # products of so few rows are not worth a thread, and BLAS starts none
# Values at the nodes times this matrix are the coefficients of the Legendre polynomials.
_ANALYSIS = legendre.legvander(_NODES, _TERMS - 1) * _WEIGHTS[:, None] * (np.arange(_TERMS) + 0.5)


def composite(ends: Sequence[float], reach: float) -> tuple[Float[ndarray, "P M"], Float[ndarray, "P M"]]:
    """Return Gauss–Legendre nodes and weights on panels short enough for waves exp(ikr), r ≤ reach, shapes (P, M)."""
    panels = [
        np.linspace(low, high, 2 + int((high - low) * reach / _INTEGRATED)) for low, high in itertools.pairwise(ends)
    ]
    low, high = (np.concatenate(edges) for edges in ([p[:-1] for p in panels], [p[1:] for p in panels]))
    half = (high - low)[:, None] / 2
    return (low + high)[:, None] / 2 + half * _NODES, half * _WEIGHTS


@dataclass(frozen=True)
class Panels:
    """Equal panels of [0, end], each with its Legendre polynomials.

    Attributes:
        end: end of the last one.
        count: their number.
    """

    end: float
    count: int

    @classmethod
    def for_waves(cls, end: float, reach: float) -> "Panels":
        """Return panels on which waves exp(ixr), r ≤ reach, are polynomials."""
        return cls(end, 1 + int(end * reach / _EXPANDED))

    @property
    def nodes(self) -> Float[ndarray, "P M"]:
        """Points of every panel, shape (P, M)."""
        return (np.arange(self.count)[:, None] + (1 + _NODES) / 2) * self.end / self.count

    def place(self, x: Float[ndarray, "N"]) -> tuple[Int[ndarray, "N"], Float[ndarray, "N"]]:
        """Return the panel of each point, and its place there in [−1, 1], shapes (N,)."""
        scaled = x * (self.count / self.end)
        panel = np.minimum(scaled.astype(int), self.count - 1)
        return panel, 2 * (scaled - panel) - 1


def interpolate(
    function: Callable[[Float[ndarray, "M"]], Float[ndarray, "M"]], bandwidth: float, x: Float[ndarray, "N"]
) -> Float[ndarray, "N"]:
    """Return an even function whose frequencies are at most `bandwidth`, at points x ≥ 0, shape (N,).

    It is called at Chebyshev points of the interval, or at x itself if those are fewer.
    """
    half = float(x.max(initial=0.0)) / 2
    count = chebyshev_terms(bandwidth * half)
    if count >= x.size:
        return function(x)
    values = function(half * (1 + chebyshev.chebpts1(count)))
    coefficients = fft.dct(values[::-1], type=2) / count
    coefficients[0] /= 2
    return np.asarray(chebyshev.chebval(x / half - 1, coefficients))


def chebyshev_terms(z: float) -> int:
    """Return from which n on Jₙ(z), the coefficients of a wave of z radians to either side, are below 1e-16.

    Beyond n = z they fall like an Airy function of (n − z)(2/z)^⅓, which is below 1e-16 at 14.
    """
    return math.ceil(z + 11 * math.pow(z, 1 / 3) + 20)


@dataclass(frozen=True)
class WaveSum:
    """Σₚ wₚ cos(ω₁ₚτ₁) cos(ω₂ₚτ₂) at many lags, from moments of the weights with Legendre polynomials.

    Attributes:
        panels: the panels of each axis.
        blocks: by panels of ω₁ and of ω₂, Σ wₚ Pₘ(ω₁ₚ) Pₙ(ω₂ₚ) over the frequencies there, shape (M, M).
    """

    panels: Panels
    blocks: Blocks

    @classmethod
    def of(cls, omega: Float[ndarray, "2 K"], weights: Float[ndarray, "K"], end: float, reach: float) -> "WaveSum":
        """Take the moments.

        Args:
            omega: frequencies in [0, end], shape (2, K).
            weights: shape (K,).
            end: the largest frequency along an axis.
            reach: the largest |τᵢ|.
        """
        panels = Panels.for_waves(end, reach)
        (rows, x), (columns, y) = (panels.place(axis) for axis in omega)
        order = np.lexsort((columns, rows))
        blocks = {
            int(rows[part[0]]): _moments(x[part], y[part], weights[part], columns[part])
            for part in np.split(order, _changes(rows[order]))
        }
        return cls(panels, blocks)

    def on_grid(self, first: Float[ndarray, "N"], second: Float[ndarray, "M"]) -> Float[ndarray, "N M"]:
        """Return the sums at all pairs of lags τ₁, shape (N,), and τ₂, shape (M,): (N, M)."""
        waves, others = self._factors(first, second)
        return np.asarray(waves @ others.T)

    def at_pairs(self, first: Float[ndarray, "N"], second: Float[ndarray, "N"]) -> Float[ndarray, "N"]:
        """Return the sums at lags (τ₁, τ₂), shapes (N,)."""
        return np.asarray(np.einsum("nt,nt->n", *self._factors(first, second)))

    def _factors(
        self, first: Float[ndarray, "N"], second: Float[ndarray, "M"]
    ) -> tuple[Float[ndarray, "N T"], Float[ndarray, "M T"]]:
        """Return the coefficients of the waves of ω₁, and what the sum over ω₂ makes of them, shapes (N, T), (M, T)."""
        waves = self._waves(first, list(self.blocks))
        others = self._waves(second, range(self.panels.count))
        inner = [sum(others[c] @ block.T for c, block in blocks.items()) for blocks in self.blocks.values()]
        return np.concatenate(waves, axis=-1), np.concatenate(inner, axis=-1)

    def _waves(self, lags: Float[ndarray, "N"], panels: Sequence[int]) -> Float[ndarray, "P N M"]:
        """Return the Legendre coefficients of cos(ωτ) on panels, shape (P, N, M)."""
        nodes = self.panels.nodes[list(panels)]
        return np.asarray(np.cos(lags[:, None] * nodes[:, None]) @ _ANALYSIS)


def _moments(
    x: Float[ndarray, "K"], y: Float[ndarray, "K"], weights: Float[ndarray, "K"], columns: Int[ndarray, "K"]
) -> dict[int, Float[ndarray, "M M"]]:
    """Return Σ wₚ Pₘ(xₚ) Pₙ(yₚ) by the panel of y, which are in order."""
    first, second = (legendre.legvander(place, _TERMS - 1) for place in (x, y))
    first *= weights[:, None]
    bounds = sorted({*range(0, len(columns), _SINGLE), *_changes(columns).tolist(), len(columns)})
    blocks: dict[int, Float[ndarray, "M M"]] = defaultdict(lambda: np.zeros((_TERMS, _TERMS)))
    for low, high in itertools.pairwise(bounds):
        blocks[int(columns[low])] += first[low:high].T @ second[low:high]
    return dict(blocks)


def _changes(values: Int[ndarray, "K"]) -> Int[ndarray, "C"]:
    """Return the places from which on a value is another one than before."""
    return np.flatnonzero(np.diff(values)) + 1
