"""Random patterns of every kind, for properties that all of them have."""

import math
import random
from dataclasses import replace

import torch
from hypothesis import strategies as st

from warptheory.core.tolerances import rounding
from warptheory.patterns import Chain, Lattice, Levels, SamplingPattern, Transposed, Weighting

BOUNDARIES = ("zeros", "border", "reflect", "mirror", "periodic")
TENSORS = ("offsets", "weights", "filters")


def tolerances(dtype):
    """Tolerances of sums of a few hundred products of size 1, as samples, weights, filters and images give them."""
    bound = rounding(dtype, operations=400, magnitude=30)
    return {"rtol": bound.relative, "atol": bound.absolute}


def close(found, expected, dtype=torch.float64):
    torch.testing.assert_close(found, expected, **tolerances(dtype))


def normal(seed, *shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def made(kind, *parts):
    """Return a pattern. Checks of shapes draw numbers, which must not become part of what is searched."""
    state = random.getstate()
    pattern = kind(*parts)
    random.setstate(state)
    return pattern


@st.composite
def lattices(draw, dim, grid, fields):
    """A lattice of a convolution, of a resize, of no extent, or of single pixels."""
    kind = draw(st.sampled_from(["unit", "free", "resize", "taps"]))
    if kind == "unit":
        return Lattice.unit(dim)
    if kind == "free":
        return Lattice.free(dim)
    if kind == "resize":
        return Lattice.of_resize([5] * dim, grid, draw(st.booleans()))
    places = st.tuples(*[st.integers(-2, 2).map(float)] * dim)
    return Lattice(draw(st.tuples(*[st.sampled_from([1.0, 2.0])] * dim)), tuple(draw(places) for _ in range(fields)))


@st.composite
def samplings(draw, batch=None, channels=None, size=None, output=None, is_mixing=None):
    """A sampling pattern in double precision; given numbers and shapes (D, *T) are kept."""
    dim = draw(st.integers(1, 3)) if size is None else len(size)
    sides = st.integers(1, 4)
    size = tuple(draw(sides) for _ in range(dim)) if size is None else size
    grid = tuple(draw(sides) for _ in range(dim)) if output is None else output[1:]
    batch = draw(st.integers(1, 2)) if batch is None else batch
    channels = draw(st.sampled_from([1, 2, 4])) if channels is None else channels
    divisors = [n for n in range(1, channels + 1) if channels % n == 0]
    groups, taps, seed = draw(st.sampled_from(divisors)), draw(st.integers(1, 3)), draw(st.integers(0, 2**20))
    fields = groups * taps
    is_mixing = draw(st.booleans()) if is_mixing is None else is_mixing
    filters = None
    if is_mixing:
        per_group = draw(st.sampled_from(divisors))
        outputs = channels // per_group * draw(st.integers(1, 2))
        if output is not None:
            per_group, outputs = channels, output[0]
        filters = normal(seed + 2, outputs, per_group, taps)
    return made(
        SamplingPattern,
        size,
        channels,
        2 * normal(seed, batch, fields, dim, *grid),
        draw(lattices(dim, grid, fields)),
        taps,
        normal(seed + 1, batch, fields, *grid) if draw(st.booleans()) else None,
        filters,
        draw(st.sampled_from(["linear", "nearest", "keys"])),
        draw(st.sampled_from(BOUNDARIES)),
    )


@st.composite
def patterns(draw):
    """Any pattern: a sampling pattern, or some put together."""
    first = draw(samplings())
    kind = draw(st.sampled_from(["sampling", "chain", "levels", "transposed", "weighting"]))
    if kind == "chain":
        factors = made(Weighting, normal(1, first.batch, *first.output_shape))
        output, *grid = first.output_shape
        last = draw(samplings(batch=first.batch, channels=output, size=tuple(grid)))
        return made(Chain, (first, factors, last))
    if kind == "levels":
        given = {"batch": first.batch, "channels": first.channels, "output": first.output_shape}
        is_mixing = first.filters is not None
        others = [
            draw(samplings(size=tuple(max(1, n - cut) for n in first.size), is_mixing=is_mixing, **given))
            for cut in range(draw(st.integers(0, 2)))
        ]
        return made(Levels, (first, *others))
    if kind == "transposed":
        return made(Transposed, first)
    return made(Weighting, normal(1, first.batch, *first.input_shape)) if kind == "weighting" else first


def images(pattern, seed=0):
    """Return images for a pattern (B, C, *S), and values of its outcome (B, D, *T)."""
    return (
        normal(seed, pattern.batch, *pattern.input_shape),
        normal(seed + 1, pattern.batch, *pattern.output_shape),
    )


def with_leaves(pattern, dtype=torch.float64):
    """Return a sampling pattern of new tensors that track gradients, and the tensors."""
    leaves = {
        name: getattr(pattern, name).detach().to(dtype).clone().requires_grad_()
        for name in TENSORS
        if getattr(pattern, name) is not None
    }
    return replace(pattern, **leaves), list(leaves.values())


def convolution(batch=2, channels=4, taps=9, side=8, dtype=torch.float32, seed=0):
    """Return a pattern of an ordinary deformable convolution with masks and two offset groups."""
    count = math.isqrt(taps)
    lattice = Lattice.of_convolution((count, count), ((1, 1), (1, 1), (1, 1)), 2)
    fields = (batch, 2 * taps)
    return SamplingPattern(
        (side, side),
        channels,
        normal(seed, *fields, 2, side, side, dtype=dtype),
        lattice,
        taps,
        normal(seed + 1, *fields, side, side, dtype=dtype),
        normal(seed + 2, 6, channels, taps, dtype=dtype),
    )
