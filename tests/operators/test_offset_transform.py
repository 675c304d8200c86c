"""Options of an offset field, each against what it promises."""

import math

import numpy as np
import pytest
import scipy.ndimage
import torch
from hypothesis import given
from hypothesis import strategies as st

from warptheory.core.errors import ArgumentError
from warptheory.operators._offset_transform import (
    OffsetTransform,
    bound_slopes,
    lipschitz_constant,
    scale_gradient,
    smooth,
)
from warptheory.stability import fold_fraction, jacobian_determinant, offset_jacobian

SEEDS = st.integers(0, 2**31)
SIZES = st.one_of(st.tuples(st.integers(2, 12)), st.tuples(st.integers(2, 9), st.integers(2, 9)))
BOUNDS = st.floats(0.05, 0.95)
# Of slopes: ten halvings below and above one.
SPREADS = st.floats(-10, 10).map(lambda exponent: 2.0**exponent)
EPSILON = torch.finfo(torch.float64).eps


def draw(seed, size, spread=1.0, groups=2):
    """Draw offsets (3, G, d, *T), independent between pixels."""
    generator = torch.Generator().manual_seed(seed)
    return spread * torch.randn(3, groups, len(size), *size, generator=generator, dtype=torch.float64)


@given(SEEDS, SIZES, SPREADS, BOUNDS)
def test_bounded_offsets_do_not_fold(seed, size, spread, bound):
    """J ≥ (1 − L)ᵈ, for no singular value of I + A lies further than ‖A‖ from 1.

    Slopes are differences of offsets, and rounded as these are.
    """
    bounded = bound_slopes(draw(seed, size, spread), bound)
    slack = 8 * EPSILON * (1 + bounded.abs().max())
    assert (lipschitz_constant(bounded) <= bound + slack).all()
    fields = bounded.flatten(0, 1)
    assert fold_fraction(fields) == 0
    assert jacobian_determinant(fields).min() >= (1 - bound) ** len(size) - 2 * slack


@given(SEEDS, SIZES, BOUNDS)
def test_offsets_within_the_bound_are_untouched(seed, size, bound):
    offsets = draw(seed, size)
    # So far within that rounding the offsets, and so their slopes, does not lead out.
    offsets = offsets * (bound * (1 - 1e-6) / lipschitz_constant(offsets).max())
    assert torch.equal(bound_slopes(offsets, bound), offsets)
    assert torch.equal(bound_slopes(torch.zeros_like(offsets), bound), torch.zeros_like(offsets))


@given(SEEDS, SIZES, SPREADS, BOUNDS)
def test_a_bound_shrinks_each_image_and_group_by_its_own_factor(seed, size, spread, bound):
    offsets = draw(seed, size, spread)
    factors = (bound_slopes(offsets, bound) / offsets).flatten(2)
    expected = (bound / lipschitz_constant(offsets)).clamp_max(1)
    torch.testing.assert_close(factors, expected[..., None].expand_as(factors), rtol=8 * EPSILON, atol=0)


@given(SEEDS, SIZES)
def test_lipschitz_constant_is_one(seed, size):
    """Offsets interpolated linearly differ by at most it times the distance, between any two positions."""
    offsets = draw(seed, size, groups=1)[0]
    positions = torch.rand(len(size), 40, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    positions = positions * (torch.tensor(size, dtype=torch.float64) - 1)[:, None]
    sampled = [scipy.ndimage.map_coordinates(axis, positions, order=1) for axis in offsets[0].numpy()]
    values = torch.from_numpy(np.stack(sampled))
    differences, distances = torch.cdist(values.T, values.T), torch.cdist(positions.T, positions.T)
    # cdist by matrix products loses half of the digits of small distances.
    assert (differences <= lipschitz_constant(offsets[None])[0, 0] * distances + 1e-6).all()


@given(SEEDS, SIZES)
def test_lipschitz_constant_bounds_the_norm_of_the_jacobian(seed, size):
    offsets = draw(seed, size)
    largest = offset_jacobian(offsets.flatten(0, 1)).square().sum((1, 2)).sqrt().flatten(1).amax(1)
    assert (largest <= lipschitz_constant(offsets).flatten() * (1 + 8 * EPSILON)).all()


def test_lipschitz_constant_of_shapes_without_slopes():
    assert lipschitz_constant(torch.ones(2, 3, 1, 1)).tolist() == [[0] * 3] * 2
    # A slope of 3 along the axis that has two pixels.
    field = torch.zeros(1, 1, 2, 1, 2)
    field[0, 0, 0, 0, 1] = 3
    assert lipschitz_constant(field).item() == 3


@pytest.mark.parametrize("spread", [0.01, 3.0], ids=["within", "beyond"])
def test_gradient_of_a_bound(spread):
    offsets = draw(1, (4, 3), spread).requires_grad_()
    assert torch.autograd.gradcheck(lambda offsets: bound_slopes(offsets, 0.9), offsets)
    assert torch.autograd.gradgradcheck(lambda offsets: bound_slopes(offsets, 0.9), offsets)


def test_gradient_of_a_bound_at_rest_is_the_identity():
    offsets = torch.zeros(1, 1, 2, 4, 4, requires_grad=True)
    g = draw(2, (4, 4), groups=1)[:1].float()
    (found,) = torch.autograd.grad(bound_slopes(offsets, 0.5), offsets, g)
    assert torch.equal(found, g)


@pytest.mark.parametrize("deviation", [0.4, 1.0, 3.7])
@pytest.mark.parametrize("size", [(7,), (3, 11)], ids=str)
def test_smoothing_against_scipy(size, deviation):
    offsets = draw(3, size)
    axes = tuple(range(3, 3 + len(size)))
    radius = math.ceil(4 * deviation)
    expected = scipy.ndimage.gaussian_filter(offsets.numpy(), deviation, mode="nearest", radius=radius, axes=axes)
    # Sums of 2·15 + 1 products along each of two axes, of offsets below 5.
    torch.testing.assert_close(smooth(offsets, deviation), torch.from_numpy(expected), rtol=0, atol=5 * 62 * EPSILON)


@given(SEEDS, SIZES, st.floats(0.1, 4.0))
def test_smoothing_keeps_constants_and_lowers_slopes(seed, size, deviation):
    offsets = draw(seed, size)
    constant = torch.full_like(offsets, 2.5)
    torch.testing.assert_close(smooth(constant, deviation), constant, rtol=66 * EPSILON, atol=0)
    assert (lipschitz_constant(smooth(offsets, deviation)) <= lipschitz_constant(offsets) + 1e-12).all()


@pytest.mark.parametrize("factor", [0.0, 0.1, 3.0])
def test_scaled_gradients(factor):
    """The gradient of f at what comes is multiplied once, a second derivative f″ by the two passes it makes."""
    values = draw(4, (5,)).requires_grad_()
    found = scale_gradient(values, factor)
    assert torch.equal(found, values)
    (first,) = torch.autograd.grad(found.pow(3).sum(), values, create_graph=True)
    torch.testing.assert_close(first, 3 * factor * values.square(), rtol=4 * EPSILON, atol=0)
    (second,) = torch.autograd.grad(first.sum(), values)
    torch.testing.assert_close(second, 6 * factor**2 * values, rtol=8 * EPSILON, atol=0)


def test_scaled_gradients_in_forward_mode_and_vmap():
    values, tangent = draw(5, (5,)), draw(6, (5,))
    _, found = torch.func.jvp(lambda values: scale_gradient(values, 0.1).square(), (values,), (tangent,))
    torch.testing.assert_close(found, 0.2 * values * tangent, rtol=4 * EPSILON, atol=0)
    each = torch.func.vmap(torch.func.grad(lambda v: scale_gradient(v, 0.1).square().sum()))(values)
    torch.testing.assert_close(each, 0.2 * values, rtol=4 * EPSILON, atol=0)


def test_options_follow_each_other():
    found = torch.randn(2, 6, 5, 4, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    grouped = found.reshape(2, 3, 2, 5, 4)
    assert torch.equal(OffsetTransform(2)(found), grouped)
    whole = OffsetTransform(2, 0.3, lipschitz=0.2, smoothing=0.7, gradient_scale=0.5)(found)
    torch.testing.assert_close(whole, bound_slopes(smooth(0.3 * grouped, 0.7), 0.2), rtol=0, atol=0)


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": math.nan}, "^scale: expected a finite number, got nan$"),
        ({"scale": "1"}, "^scale: expected a finite number, got '1'$"),
        ({"smoothing": -1.0}, r"^smoothing: expected a finite number ≥ 0, got -1\.0$"),
        ({"smoothing": math.inf}, "^smoothing: expected a finite number ≥ 0, got inf$"),
        ({"gradient_scale": -0.1}, r"^gradient_scale: expected a finite number ≥ 0, got -0\.1$"),
        ({"lipschitz": 0.0}, r"^lipschitz: expected a finite number > 0, got 0\.0$"),
        ({"lipschitz": True}, "^lipschitz: expected a finite number > 0, got True$"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(ArgumentError, match=message):
        OffsetTransform(2, **options)
