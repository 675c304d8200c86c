"""Exact sampling of homogeneous Gaussian fields on a grid, by circulant embedding.

The covariance on a torus that is larger than the grid is diagonal in the Fourier basis. If its eigenvalues are
non-negative, a Fourier transform of white noise scaled by their roots is a field with exactly the wanted
covariance on the grid (A. T. A. Wood, G. Chan, J. Comput. Graph. Stat. 3(4), 1994; C. R. Dietrich, G. N. Newsam,
SIAM J. Sci. Comput. 18(4), 1997).
"""

import itertools
import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from numbers import Real
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from scipy import fft
from torch import Tensor

from warptheory.core.checks import is_whole
from warptheory.core.errors import ArgumentError, WarpTheoryError
from warptheory.core.normals import NormalNumbers
from warptheory.fields._quantile import Quantile

# Share of the variance: correlations below it are rounding, and so are negative eigenvalues.
_ROUNDING = 2e-15
_GROWTH = 1.5
_MOST_GROWTH = 8  # along each axis, for grids on which that is more than can always be afforded
_ALWAYS_AFFORDABLE = 2**20  # points
_NOISE: dict[torch.dtype, np.dtype[Any]] = {torch.float32: np.dtype(np.float32), torch.float64: np.dtype(np.float64)}
# Arrays of the torus that live at once: noise, its transform, and the transform's workspace.
_COPIES = 3
_CACHED = 2**18  # complex numbers: the tori of small fields are transformed together, large ones one by one
_MOST_SHELLS = 16
_TOGETHER = 2**21  # coordinates of lags at which a covariance is computed at a time


@runtime_checkable
class SampledCovariance(Hashable, Protocol):
    """What a sampler asks of a covariance, as `fields.CovarianceFunction` states it."""

    @property
    def dim(self) -> int:
        """Number d of axes."""

    def __call__(self, distance: Float[ndarray, "*N"] | float) -> Float[ndarray, "*N"]:
        """Return C at lags in pixels along the first axis, shape (*N)."""

    def at(self, lags: Float[ndarray, "*N d"]) -> Float[ndarray, "*N"]:
        """Return C at lags in pixels, shape (*N, d), as float64 of shape (*N,)."""

    def torus_spectrum(self, size: Sequence[int], spacing: float) -> Float[ndarray, "*M"] | None:
        """Return the eigenvalues on a torus of so many points, shape (*M), where they are known otherwise."""


class NotPositiveDefinite(WarpTheoryError):  # noqa: N818 -- reads as what it says
    """No torus was found on which the covariance is one, to the accepted share of the variance.

    Args:
        covariance: the covariance.
        size: the grid.
        torus: the largest torus that was tried.
        clipped: share of the variance in its negative eigenvalues.
        tolerance: the share that was accepted.
    """

    def __init__(
        self,
        covariance: SampledCovariance,
        size: Sequence[int],
        torus: Sequence[int],
        clipped: float,
        tolerance: float,
    ) -> None:
        super().__init__(
            f"{covariance} on a grid of {tuple(size)} pixels: {clipped:.2g} of the variance, more than the tolerance "
            f"{tolerance:.2g}, would be clipped as negative eigenvalues of the torus {tuple(torus)}. Either this is no "
            f"covariance in {len(size)} dimensions, or it is longer than the torus (more memory allows a larger one)"
        )


@dataclass(frozen=True)
class FieldSampler:
    """Draws homogeneous Gaussian fields of one covariance on one grid.

    Attributes:
        covariance: their covariance.
        size: the grid's size, pixels along each axis.
        spacing: distance of neighbouring points of the grid, in pixels.
        periodic: whether the grid itself is the torus: C is then summed over its images, one for each period, which is
            periodic and positive definite whatever N.
        tolerance: the largest share of the variance that may be clipped away as negative eigenvalues.
        memory: the most bytes to be used at a time, besides the fields themselves.

    Raises:
        ArgumentError: sizes that are not positive or of another number of axes; a spacing, tolerance or memory out of
            bounds; a grid that needs more memory.
        NotPositiveDefinite: more than `tolerance` would have to be clipped on every torus that fits in memory,
            and is at most eight times as long as the grid, or of a million points; raised when the first
            field is drawn.
    """

    covariance: SampledCovariance
    size: tuple[int, ...]
    spacing: float = 1.0
    periodic: bool = False
    tolerance: float = 1e-12
    memory: int = 2**31

    def __post_init__(self) -> None:
        if not isinstance(self.covariance, SampledCovariance):
            raise ArgumentError("covariance", expected="a covariance", received=repr(self.covariance))
        size = tuple(self.size) if isinstance(self.size, Sequence) else (self.size,)
        if len(size) != self.covariance.dim or not all(is_whole(n) and n > 0 for n in size):
            raise ArgumentError("size", expected=f"{self.covariance.dim} positive integers", received=self.size)
        object.__setattr__(self, "size", tuple(map(int, size)))
        for name, expected, is_right in (
            ("spacing", "a finite distance > 0", 0 < self._number("spacing") < math.inf),
            ("tolerance", "a share in [0, 1)", 0 <= self._number("tolerance") < 1),
            ("memory", "a number of bytes > 0", self._number("memory") > 0),
        ):
            if not is_right:
                raise ArgumentError(name, expected=expected, received=repr(getattr(self, name)))
        self._check_memory(self.size)

    def _number(self, name: str) -> Any:
        """Return a number, and NaN for what is none, which lies within no bounds."""
        value = getattr(self, name)
        return value if isinstance(value, Real) else math.nan

    @property
    def torus(self) -> tuple[int, ...]:
        """Size of the torus, pixels along each axis."""
        return self._embedding[0]

    @property
    def eigenvalues(self) -> Float[ndarray, "*M"]:
        """Eigenvalues of the covariance on the torus, shape (*M); their mean is the variance of a pixel."""
        return self._embedding[1]

    @property
    def clipped(self) -> float:
        """Share of the variance that was clipped as negative eigenvalues; 0 where the embedding is exact."""
        return self._embedding[2] if self._embedding[2] > _ROUNDING else 0.0

    def sample(
        self,
        batch: int,
        generator: np.random.Generator,
        channels: int = 1,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float64,
        law: str | None = None,
    ) -> Float[Tensor, "B C *S"]:
        """Draw independent fields of mean zero, shape (batch, channels, *size).

        Args:
            batch: number of fields B.
            generator: NumPy generator; `core.streams.Stream.generator()` gives reproducible ones.
            channels: number of independent channels C.
            device: device on which they are made; the noise comes from the generator on every device.
            dtype: torch.float32 or torch.float64.
            law: a law of `fields.laws` for the single pixels, whose mean stays 0 and variance C(0): each value is
                mapped by its quantile. The correlation then is that of the mapped field, a little lower.

        Raises:
            ArgumentError: a negative batch, or more fields than there is memory for; another dtype; a law without a
                density; a covariance with symbols.
        """
        if not (is_whole(batch) and is_whole(channels) and batch >= 0 and channels >= 1):
            raise ArgumentError("batch", expected="batch ≥ 0 and channels ≥ 1", received=(batch, channels))
        if dtype not in _NOISE:
            raise ArgumentError("dtype", expected="torch.float32 or torch.float64", received=dtype)
        quantile = None if law is None else Quantile.of(law)
        fields = self._empty(batch * channels, torch.device(device), dtype)
        roots = self._roots(dtype).to(device)
        numbers = NormalNumbers(generator)
        noise = np.empty((self._block(dtype) // 2, *self.torus, 2), _NOISE[dtype])
        for first in range(0, len(fields), self._block(dtype)):
            block = fields[first : first + self._block(dtype)]
            drawn = noise[: -(-len(block) // 2)]
            numbers.fill(drawn)
            block.copy_(self._colour(torch.from_numpy(drawn), roots)[: len(block)])
        if quantile is not None:
            fields = quantile.of_normal(fields, math.sqrt(self._variance))
        return fields.reshape(batch, channels, *self.size)

    def _empty(self, count: int, device: torch.device, dtype: torch.dtype) -> Float[Tensor, "fields *S"]:
        try:
            return torch.empty((count, *self.size), dtype=dtype, device=device)
        except (RuntimeError, TypeError) as error:  # torch counts to 2⁶³
            needed = count * math.prod(self.size) * dtype.itemsize
            raise ArgumentError(
                "batch", expected=f"fields that fit in memory on {device}", received=f"{count} of {needed} bytes"
            ) from error

    def _block(self, dtype: torch.dtype) -> int:
        """Return how many fields are made at a time: two for each complex torus that fits in memory and in a cache."""
        torus = math.prod(self.torus)
        bound = self.memory // (_COPIES * torus * 2 * _NOISE[dtype].itemsize)
        return 2 * max(1, min(bound, _CACHED // torus))

    def _colour(self, noise: Float[Tensor, "N *M 2"], roots: Float[Tensor, "*M"]) -> Float[Tensor, "fields *S"]:
        """Return independent fields: real and imaginary part of the transform of each torus of noise are two."""
        waves = torch.view_as_complex(noise.to(roots.device))
        waves *= roots
        torch.fft.fftn(waves, dim=tuple(range(1, waves.ndim)), out=waves)
        grid = waves[(slice(None), *(slice(n) for n in self.size))]
        return torch.view_as_real(grid).movedim(-1, 1).flatten(0, 1)

    def _roots(self, dtype: torch.dtype) -> Tensor:
        """Return √(λ/N) on the torus."""
        return torch.from_numpy(np.sqrt(self._embedding[1] / math.prod(self.torus))).to(dtype)

    @cached_property
    def _embedding(self) -> tuple[tuple[int, ...], Float[ndarray, "*M"], float]:
        """The torus, its eigenvalues, and the clipped share of the variance."""
        torus = self.size if self.periodic else tuple(map(self._first_torus, range(len(self.size))))
        self._check_memory(torus)
        while True:
            eigenvalues = self._eigenvalues(torus)
            clipped = float(-np.minimum(eigenvalues, 0.0).sum() / np.abs(eigenvalues).sum())
            if clipped <= self.tolerance:
                return torus, np.maximum(eigenvalues, 0.0), clipped
            larger = tuple(fft.next_fast_len(math.ceil(_GROWTH * n)) for n in torus)
            most = max(_MOST_GROWTH ** len(self.size) * math.prod(self.size), _ALWAYS_AFFORDABLE)
            if self.periodic or self._bytes(larger) > self.memory or math.prod(larger) > most:
                raise NotPositiveDefinite(self.covariance, self.size, torus, clipped, self.tolerance)
            torus = larger

    def _eigenvalues(self, torus: tuple[int, ...]) -> Float[ndarray, "*M"]:
        known = self.covariance.torus_spectrum(torus, self.spacing) if self.periodic else None
        return np.asarray(fft.fftn(self._on_torus(torus)).real) if known is None else known

    @staticmethod
    def _bytes(torus: Sequence[int]) -> int:
        return _COPIES * 16 * math.prod(torus)

    def _check_memory(self, torus: Sequence[int]) -> None:
        if self._bytes(torus) > self.memory:
            raise ArgumentError(
                "memory",
                expected=f"at least {self._bytes(torus)} bytes, for a torus of {torus} pixels",
                received=self.memory,
            )

    def _first_torus(self, axis: int) -> int:
        """Return the shortest axis on which no lag of the grid meets a correlated image of itself."""
        most = 2 * self.size[axis] - 1
        lags = np.zeros((most, self.covariance.dim))
        lags[:, axis] = self.spacing * np.arange(most)
        correlated = np.flatnonzero(np.abs(self.covariance.at(lags)) > _ROUNDING * self._variance)
        return int(fft.next_fast_len(min(most, self.size[axis] + int(correlated[-1]))))

    @property
    def _variance(self) -> float:
        return float(self.covariance(0.0))

    def _on_torus(self, torus: tuple[int, ...]) -> Float[ndarray, "*M"]:
        """Return C at the lags of the torus, the shorter way round along each axis."""
        axes = [np.where(np.arange(n) <= n // 2, np.arange(n), np.arange(n) - n) for n in torus]
        lags = self.spacing * np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
        return self._summed_over_images(lags) if self.periodic else self.covariance.at(lags)

    def _summed_over_images(self, lags: Float[ndarray, "*M d"]) -> Float[ndarray, "*M"]:
        """Return Σ_j C(τ + Nj), shell after shell of images, until one adds nothing."""
        total = np.zeros(lags.shape[:-1])
        for shell in range(_MOST_SHELLS):
            images = itertools.product(range(-shell, shell + 1), repeat=len(self.size))
            outermost = np.array([j for j in images if max(map(abs, j)) == shell])
            blocks = np.array_split(outermost, -(-len(outermost) * lags.size // _TOGETHER))
            added = sum(part for block in blocks for part in self._at_images(block, lags))
            total = np.asarray(total + added)
            if shell and np.abs(added).max() <= _ROUNDING * self._variance:
                return total
        raise ArgumentError(
            "size", expected=f"a period over {_MOST_SHELLS - 1} of which the correlations vanish", received=self.size
        )

    def _at_images(self, images: Int[ndarray, "J d"], lags: Float[ndarray, "*M d"]) -> Float[ndarray, "J *M"]:
        """Return C(τ + Nj) at images j; together, as many distances are the same."""
        moved = np.expand_dims(self.spacing * (images * self.size), tuple(range(1, lags.ndim)))
        return self.covariance.at(lags + moved)


def kept_sampler(
    covariance: SampledCovariance, size: Sequence[int], spacing: float = 1.0, *, periodic: bool = False
) -> FieldSampler:
    """Return a sampler that is kept for the next call with the same arguments, for its embedding takes long.

    Arguments and errors as those of `FieldSampler`. A covariance that cannot be hashed has a new one each time.
    """
    sizes = tuple(size) if isinstance(size, Sequence) else (size,)
    try:
        return _kept(covariance, sizes, spacing, periodic)
    except TypeError:
        return FieldSampler(covariance, sizes, spacing, periodic)


@lru_cache(maxsize=8)
def _kept(covariance: SampledCovariance, size: tuple[int, ...], spacing: float, periodic: bool) -> FieldSampler:
    return FieldSampler(covariance, size, spacing, periodic)
