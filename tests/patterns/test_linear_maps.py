"""Every pattern is a linear map: it equals its matrix, and its adjoint the transposed one."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from tests.patterns.settings import close, convolution, images, normal, patterns, samplings, with_leaves
from warptheory import warping
from warptheory.patterns import Chain, Lattice, Levels, SamplingPattern, Transposed, Weighting


@given(patterns())
@settings(max_examples=60)
def test_apply_and_adjoint_are_the_matrix(pattern):
    x, g = images(pattern)
    matrix = pattern.matrix()
    assert matrix.shape == (pattern.batch, pattern.outputs, pattern.inputs)
    assert matrix.is_coalesced()
    dense = matrix.to_dense()
    close(pattern.apply(x), (dense @ x.flatten(1).unsqueeze(2)).reshape(g.shape))
    close(pattern.adjoint(g), (dense.mT @ g.flatten(1).unsqueeze(2)).reshape(x.shape))


@given(patterns())
@settings(max_examples=30)
def test_it_is_linear(pattern):
    (x, _), (other, _) = images(pattern, 0), images(pattern, 7)
    close(pattern.apply(0.3 * x - 2 * other), 0.3 * pattern.apply(x) - 2 * pattern.apply(other))


@given(patterns())
@settings(max_examples=30)
def test_adjoint_is_the_gradient(pattern):
    x, g = images(pattern)
    leaf = x.requires_grad_()
    close(torch.autograd.grad(pattern.apply(leaf), leaf, g)[0], pattern.adjoint(g))
    leaf = g.requires_grad_()
    close(torch.autograd.grad(pattern.adjoint(leaf), leaf, x.detach())[0], pattern.apply(x.detach()))


@given(samplings())
@settings(max_examples=25)
def test_adjoint_is_differentiable_in_all_that_the_pattern_holds(pattern):
    """⟨A x, g⟩ = ⟨x, Aᵀ g⟩ has one gradient in offsets, weights and filters."""
    x, g = images(pattern)
    leaves = with_leaves(pattern)
    forward = torch.autograd.grad((leaves[0].apply(x) * g).sum(), leaves[1])
    backward = torch.autograd.grad((leaves[0].adjoint(g) * x).sum(), leaves[1])
    for one, other in zip(forward, backward, strict=True):
        close(one, other)


@given(samplings())
@settings(max_examples=25)
def test_taps_add_up(pattern):
    """A pattern is the sum of the warps of its taps, each weighed and mixed."""
    x, g = images(pattern)
    groups, steps, total = pattern.offset_groups, pattern.steps(), torch.zeros_like(g)
    for tap in range(pattern.taps):
        of_tap = slice(tap, None, pattern.taps)
        samples = warping.warp(x, steps[:, of_tap], pattern.kernel, pattern.boundary)
        if pattern.weights is not None:
            samples = samples * pattern.weights[:, of_tap].repeat_interleave(pattern.channels // groups, 1)
        if pattern.filters is None:
            total = total + samples
            continue
        blocks = torch.block_diag(*torch.split(pattern.filters[:, :, tap], len(pattern.filters) // pattern.groups))
        total = total + torch.einsum("oc,bc...->bo...", blocks, samples)
    close(pattern.apply(x), total)


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 2, 12, 97])
def test_pixels_without_places_may_stand_in_a_row(dim, count):
    """Positions of a long row, which is folded, and of as many rows of one pixel."""
    size, positions = (5, 4, 3)[:dim], 3 * normal(0, 2, 2, dim, count)
    row = SamplingPattern(size, 4, positions.reshape(2, 2, dim, count, *[1] * (dim - 1)), Lattice.free(dim))
    x, g = normal(1, 2, 4, *size), normal(2, 2, 4, count, *[1] * (dim - 1))
    single = [
        SamplingPattern(size, 4, positions[..., n].reshape(2, 2, dim, *[1] * dim), Lattice.free(dim))
        for n in range(count)
    ]
    close(row.apply(x), torch.cat([each.apply(x) for each in single], 2))
    parts = zip(single, torch.split(g, 1, 2), strict=True)
    close(row.adjoint(g), torch.stack([each.adjoint(part) for each, part in parts]).sum(0))
    close(
        row.matrix().to_dense(),
        torch.stack([each.matrix().to_dense() for each in single])
        .unflatten(2, (4, 1))
        .permute(1, 2, 3, 0, 4)
        .reshape(2, 4 * count, -1),
    )


def test_a_long_row_keeps_its_positions_in_single_precision():
    """A position within 8 pixels, at an index of a million: unfolded, float32 would know it to 0.06 pixels."""
    count, ramp = 10**6, torch.arange(8.0).expand(1, 1, 8, 8)
    positions = torch.full((1, 1, 2, count, 1), 3.3)
    positions[0, 0, 1] += torch.linspace(0, 3, count).reshape(-1, 1)
    found = SamplingPattern((8, 8), 1, positions, Lattice.free(2)).apply(ramp)
    # An index of 1000 and a position of 7 in float32.
    assert float((found[0, 0] - positions[0, 0, 1]).abs().max()) < 1000 * 2**-22


def test_chains_and_sums_are_those_of_their_matrices():
    first, second = convolution(dtype=torch.float64), convolution(channels=6, dtype=torch.float64, seed=5)
    product = second.matrix().to_dense() @ first.matrix().to_dense()
    close(Chain((first, second)).matrix().to_dense(), product)
    levels = Levels((first, replace(first, offsets=-first.offsets)))
    parts = [each.matrix().to_dense().unflatten(2, (4, -1)) for each in levels.parts]
    close(levels.matrix().to_dense(), torch.cat(parts, 3).flatten(2))
    close(Transposed(first).matrix().to_dense(), first.matrix().to_dense().mT)
    factors = normal(3, 2, 3, 2, 2)
    close(Weighting(factors).matrix().to_dense(), torch.diag_embed(factors.flatten(1)))


def test_samplings_are_told_in_order():
    first, second = convolution(), convolution(channels=6, seed=5)
    assert list(Chain((first, Weighting(torch.ones(2, 6, 8, 8)), second)).samplings()) == [first, second]
    assert list(Levels((first, first)).samplings()) == [first, first]
    assert list(Transposed(first).samplings()) == [first]


@given(patterns())
@settings(max_examples=15)
def test_statistics_are_those_of_the_matrix(pattern):
    dense, found = pattern.matrix().to_dense().numpy(), pattern.statistics()
    expected = [
        (dense**2).sum(2).mean(), (dense**2).sum(1).mean(), dense.sum(2).max(), dense.sum(1).max(),
        (dense == 0).all(1).mean(),
    ]  # fmt: skip
    got = [found.forward_gain, found.backward_gain, found.largest_row_sum, found.largest_column_sum, found.dead_share]
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)
