"""Heads that results of this section are checked for, and the fields that they read."""

from collections.abc import Mapping
from typing import Any

import sympy as sp

from warptheory.results._ranges import Range
from warptheory.symbolic import HeadTap, IIDField, InputField, LinearHead, OffsetField

ALPHA = sp.Symbol("alpha", positive=True)

# Of white input the deviation and α enter as their product, so that one range of each is enough.
VALUES: Mapping[str, Range] = {
    "alpha": Range(0.6, 0.25, 1.2, "log"),
    "sigma": Range(1.3, 0.8, 1.6, "log"),
    "l": Range(2.0, 1.6, 3.5),
}

SCALE = "the scale of a self-warp: pixels of offset per unit of what its head computes, ε = αh"
NOTATION: Mapping[str, str] = {
    "alpha": SCALE,
    "h": "the head, a weighted sum of input values around the output pixel; h_i for the offset along the axis i",
    "c": "the covariance of the head with the input, c[m] = Cov(h, x[m])",
    "c_k": "c interpolated by the kernel, c_k(u) = Σₘ c[m] k(u − m)",
    "q": "the density of the offsets, that of a normal law",
    "j": "the number of a harmonic, or of a cell between two pixels, over which a sum runs",
}

ComponentTaps = tuple[HeadTap, ...]


def white(name: str = "x") -> IIDField:
    """Return independent normal pixels of mean zero."""
    return IIDField(name, "normal", mean=0)


def computed(field: InputField, *components: ComponentTaps) -> OffsetField:
    """Return offsets ε = αh, h a head of these taps."""
    return OffsetField(head=LinearHead(field, *components), scale=ALPHA)


def taps(weights: Mapping[tuple[int, ...], Any]) -> ComponentTaps:
    """Return the taps of one component of a head, from weights by their places."""
    return tuple(HeadTap(place, weight) for place, weight in weights.items())


def own_pixel(dim: int) -> tuple[ComponentTaps, ...]:
    """Return heads that read the output pixel itself, for the offset along every axis."""
    return (taps({(0,) * dim: 1}),) * dim


def outward(dim: int) -> tuple[ComponentTaps, ...]:
    """Return heads that read the next pixel along the axis of their offset."""
    return tuple(taps({_unit(axis, dim): 1}) for axis in range(dim))


def difference(dim: int) -> tuple[ComponentTaps, ...]:
    """Return heads that read the central difference along the axis of their offset, of unit energy."""
    weight = 1 / sp.sqrt(2)
    ahead = (_unit(axis, dim) for axis in range(dim))
    return tuple(taps({place: weight, tuple(-part for part in place): -weight}) for place in ahead)


def three_taps() -> tuple[ComponentTaps, ...]:
    """Return a head on a line that reads the mean of three pixels, of unit energy."""
    return (taps({(m,): 1 / sp.sqrt(3) for m in (-1, 0, 1)}),)


def two_ahead() -> tuple[ComponentTaps, ...]:
    """Return a head on a line that reads two pixels on one side."""
    return (taps({(1,): "4/5", (2,): "-3/5"}),)


def curl() -> tuple[ComponentTaps, ...]:
    """Return heads in the plane that read the next pixel along the other axis: offsets turn about what they read."""
    return (taps({(0, 1): 1}), taps({(1, 0): 1}))


def dependent() -> tuple[ComponentTaps, ...]:
    """Return heads in the plane that share a pixel, so that their offsets are correlated and of unequal variance."""
    return (taps({(0, 0): "3/5", (1, 0): "4/5"}), taps({(0, 0): "-1/2", (0, 1): 1}))


def _unit(axis: int, dim: int) -> tuple[int, ...]:
    return tuple(int(i == axis) for i in range(dim))
