"""What a case is drawn from: choices, shapes, hostile numbers, layouts in memory."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from warptheory.core.streams import Stream

# NaN around every tensor: what is read beside it does not stay hidden.
_GUARD = 64
LAYOUTS = ("contiguous", "channels last", "transposed", "strided", "reversed axes", "expanded", "unaligned")


class Draws:
    """Random choices, a function of (seed, number) alone."""

    def __init__(self, seed: int, number: int) -> None:
        self._numbers = Stream(seed, "fuzz", number).generator()

    def chance(self, share: float) -> bool:
        """Return True with a probability."""
        return bool(self._numbers.random() < share)

    def integer(self, least: int, most: int) -> int:
        """Return a whole number, both ends included."""
        return int(self._numbers.integers(least, most + 1))

    def choice(self, options: Sequence[Any], weights: Sequence[float] | None = None) -> Any:
        """Return one of some options."""
        if weights is None:
            return options[self.integer(0, len(options) - 1)]
        bounds = np.cumsum(weights)
        return options[int(np.searchsorted(bounds, self._numbers.random() * bounds[-1], side="right"))]

    def normal(self, shape: Sequence[int]) -> np.ndarray:
        """Return normal numbers."""
        return self._numbers.standard_normal(tuple(shape))

    def uniform(self, shape: Sequence[int]) -> np.ndarray:
        """Return numbers in [0, 1)."""
        return self._numbers.random(tuple(shape))

    def integers(self, least: int, most: int, shape: Sequence[int]) -> np.ndarray:
        """Return whole numbers, both ends included."""
        return self._numbers.integers(least, most + 1, tuple(shape))

    def size(self, dim: int) -> tuple[int, ...]:
        """Return the pixels along each axis: often one, seldom more than a block of a kernel."""
        most = {1: 40, 2: 10, 3: 5}[dim]
        if dim < 3 and self.chance(0.03):
            most *= 4
        return tuple(1 if self.chance(0.12) else self.integer(1, most) for _ in range(dim))

    def tensor(self, values: np.ndarray, dtype: torch.dtype, layout: str | None = None) -> Tensor:
        """Return values as a tensor, laid out in one of `LAYOUTS`, between guards."""
        dense = torch.from_numpy(np.ascontiguousarray(values)).to(dtype)
        return lay_out(dense, layout or self.choice(LAYOUTS, (4, 4, 1, 1, 1, 1, 1)))


def lay_out(values: Tensor, layout: str) -> Tensor:
    """Return a tensor of the same shape in another layout; an expanded one has other values."""
    if values.numel() == 0 or values.ndim < 2:
        return values
    if layout == "channels last":
        return _guarded(values.movedim(1, -1)).movedim(-1, 1)
    if layout == "transposed":
        return _guarded(values.transpose(0, -1)).transpose(0, -1)
    if layout == "strided":
        wide = values.new_full((*values.shape[:-1], 3 * values.shape[-1]), math.nan)
        wide[..., 1::3] = values
        return wide[..., 1::3]
    if layout == "reversed axes":
        order = tuple(reversed(range(values.ndim)))
        return _guarded(values.permute(order)).permute(order)
    if layout == "expanded":
        return values[:, :1].expand_as(values) if values.shape[1] > 1 else values[:1].expand_as(values)
    if layout == "unaligned":
        return _guarded(values, before=_GUARD + 1)
    return _guarded(values)


def _guarded(values: Tensor, before: int = _GUARD) -> Tensor:
    whole = values.new_full((before + values.numel() + _GUARD,), math.nan)
    inner = whole[before : before + values.numel()].view(values.shape)
    inner.copy_(values)
    return inner


_HOSTILE = (math.nan, math.inf, -math.inf, 1e30, -1e30, 2.0**31, -(2.0**31), 2.0**30, -(2.0**30), 2.0**30 - 64)
_TINY = (1e-45, -1e-45, 1e-40, -1e-40, -1e-9, 1e-9, -0.0, 0.0, -1.1754944e-38)
_LARGE = (16_777_217.0, -16_777_218.0, 2.0**24 + 2, -(2.0**26), 2.0**29 + 0.5)


def offsets(draws: Draws, shape: tuple[int, ...], size: Sequence[int], near_knots: bool) -> np.ndarray:
    """Return offsets (B, G, d, *T), in pixels, of images of a size.

    Args:
        draws: the choices.
        shape: (B, G, d, *T).
        size: pixels of the image.
        near_knots: whether numbers whose fraction is rounded may be among them.
    """
    kind = draws.choice(("zero", "integer", "half", "slow", "white", "far", "edge"), (2, 2, 2, 3, 5, 1, 2))
    if kind == "zero":
        found = np.zeros(shape)
    elif kind in ("integer", "half"):
        found = draws.integers(-4, 4, shape) + (0.5 if kind == "half" else 0.0)
    elif kind == "edge":  # exactly onto the first or the last pixel, or one beyond
        targets = np.array([[-1, 0, length - 1, length] for length in size], float)
        chosen = draws.integers(0, 3, shape)
        found = np.empty(shape)
        for axis, index in enumerate(np.indices(shape[3:])):
            found[:, :, axis] = targets[axis][chosen[:, :, axis]] - index
    else:
        found = {"slow": 0.3, "white": 3.0, "far": 1e3}[kind] * draws.normal(shape)
    # A dyadic fraction is the same number in every dtype; others come up too.
    if draws.chance(0.3):
        found = np.round(found * 64) / 64
    share = draws.choice((0.0, 0.05, 0.4, 1.0), (5, 2, 2, 1))
    if share:
        poison = np.array(_HOSTILE + _LARGE + (_TINY if near_knots else (0.0,)))
        chosen = poison[draws.integers(0, len(poison) - 1, shape)]
        found = np.where(draws.uniform(shape) < share, chosen, found)
    return found
