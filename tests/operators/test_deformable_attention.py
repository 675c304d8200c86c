"""Multi-scale deformable attention is that of `grid_sample`, and Deformable-DETR's layer by its parameters."""

import math

import pytest
import torch

from tests.operators import attention_originals as originals
from warptheory.core.errors import ArgumentError
from warptheory.core.tolerances import rounding
from warptheory.operators import MultiScaleDeformableAttention, get, multi_scale_deformable_attention

# Places are products of some ten operations, whose rounding the slopes between pixels multiply.
ROUNDING = rounding(torch.float64, operations=200, magnitude=100)


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=ROUNDING.relative, atol=ROUNDING.absolute)


def number(generator, least, most):
    return int(torch.randint(least, most + 1, (), generator=generator))


def random_sizes(generator):
    return [(number(generator, 1, 6), number(generator, 1, 6)) for _ in range(number(generator, 1, 3))]


def random_call(seed):
    """Return values, sizes, places and weights; places reach beyond the levels, and some are not finite."""
    generator = torch.Generator().manual_seed(seed)
    sizes, heads, width = random_sizes(generator), number(generator, 1, 3), number(generator, 1, 4)
    batch, queries, points = number(generator, 1, 3), number(generator, 1, 9), number(generator, 1, 4)
    value = torch.randn(batch, sum(map(math.prod, sizes)), heads, width, generator=generator, dtype=torch.float64)
    shape = (batch, queries, heads, len(sizes), points)
    places = 1.6 * torch.rand(*shape, 2, generator=generator, dtype=torch.float64) - 0.3
    return value, sizes, places, torch.randn(shape, generator=generator, dtype=torch.float64)


def with_gradients(function, value, places, weights, *others):
    leaves = [each.clone().requires_grad_() for each in (value, places, weights)]
    y = function(*leaves)
    g = torch.randn(y.shape, generator=torch.Generator().manual_seed(0), dtype=y.dtype)
    return y.detach(), *torch.autograd.grad(y, leaves, g)


@pytest.mark.parametrize("seed", range(60))
def test_it_is_the_one_of_grid_sample(seed):
    """Values and gradients."""
    value, sizes, places, weights = random_call(seed)
    found = with_gradients(lambda x, p, a: multi_scale_deformable_attention(x, sizes, p, a), value, places, weights)
    expected = with_gradients(lambda x, p, a: originals.attention(x, sizes, p, a), value, places, weights)
    for each, other in zip(found, expected, strict=True):
        close(each, other)


def test_sizes_may_be_a_tensor_and_points_differ_by_level():
    value, sizes, places, weights = random_call(3)
    expected = multi_scale_deformable_attention(value, sizes, places, weights)
    close(multi_scale_deformable_attention(value, torch.tensor(sizes), places, weights), expected)
    points = [places.shape[4]] * len(sizes)
    flat = (places.flatten(3, 4), weights.flatten(3))
    close(multi_scale_deformable_attention(value, sizes, *flat, points), expected)


def test_a_place_that_is_not_finite_reads_nothing():
    """As a weight of zero, and with no gradient."""
    value, sizes, places, weights = random_call(5)
    hidden = torch.rand(weights.shape, generator=torch.Generator().manual_seed(1)) < 0.3
    expected = with_gradients(
        lambda x, p, a: multi_scale_deformable_attention(x, sizes, p, a), value, places, weights.masked_fill(hidden, 0)
    )
    for bad in (math.nan, math.inf, 1e30):
        moved = places.clone()
        moved[..., 0] = moved[..., 0].masked_fill(hidden, bad)
        found = with_gradients(lambda x, p, a: multi_scale_deformable_attention(x, sizes, p, a), value, moved, weights)
        close(found[0], expected[0])
        close(found[1], expected[1])
        close(found[2], expected[2])


def test_wider_kernels_read_more_pixels():
    """Bicubic is that of `grid_sample` too, whose Keys' kernel has a = −3/4."""
    value, sizes, places, weights = random_call(8)
    found = multi_scale_deformable_attention(value, sizes, places, weights, kernel="keys(-0.75)")
    batch, _, heads, width = value.shape
    expected, first = 0, 0
    for level, (h, w) in enumerate(sizes):
        x = value[:, first : first + h * w].permute(0, 2, 3, 1).reshape(batch * heads, width, h, w)
        grid = 2 * places[:, :, :, level].transpose(1, 2).flatten(0, 1) - 1
        read = torch.nn.functional.grid_sample(x, grid, mode="bicubic", align_corners=False)
        factor = weights[:, :, :, level].transpose(1, 2).flatten(0, 1).unsqueeze(1)
        expected, first = expected + (read * factor).sum(-1), first + h * w
    close(found, expected.reshape(batch, heads * width, -1).transpose(1, 2))


# ---- the layer


def layer_call(seed, coordinates):
    generator = torch.Generator().manual_seed(seed)
    sizes = random_sizes(generator)
    heads, width = number(generator, 1, 3), number(generator, 1, 3)
    arguments = (heads * width, len(sizes), heads, number(generator, 1, 3))
    batch, queries, pixels = number(generator, 1, 2), number(generator, 1, 5), sum(map(math.prod, sizes))

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    references = torch.rand(batch, queries, len(sizes), coordinates, generator=generator, dtype=torch.float64)
    padding = torch.rand(batch, pixels, generator=generator) < 0.2
    inputs = (draw(batch, queries, heads * width), references, draw(batch, pixels, heads * width), torch.tensor(sizes))
    return arguments, (*inputs, None, padding)


@pytest.mark.parametrize("coordinates", [2, 4])
@pytest.mark.parametrize("seed", range(25))
def test_the_layer_is_deformable_detrs(seed, coordinates):
    """By its parameters, which load unchanged: values, and gradients of parameters."""
    arguments, inputs = layer_call(seed, coordinates)
    torch.manual_seed(seed)
    original = originals.MSDeformAttn(*arguments).drawn().double()
    layer = MultiScaleDeformableAttention(*arguments).double()
    layer.load_state_dict(original.state_dict())
    expected, found = original(*inputs), layer(*inputs)
    close(found.detach(), expected.detach())
    for each, other in zip(
        torch.autograd.grad(found.square().sum(), [*layer.parameters()]),
        torch.autograd.grad(expected.square().sum(), [*original.parameters()]),
        strict=True,
    ):
        torch.testing.assert_close(each, other, rtol=1e-9, atol=ROUNDING.absolute)


def test_it_starts_as_the_original_starts():
    layer, original = MultiScaleDeformableAttention(32, 2, 8, 3), originals.MSDeformAttn(32, 2, 8, 3).start()
    for name in ("sampling_offsets", "attention_weights"):
        expected, found = getattr(original, name).state_dict(), getattr(layer, name).state_dict()
        for key in expected:
            torch.testing.assert_close(found[key], expected[key], rtol=0, atol=1e-6)
    # A star around the query: the p-th point of a head is p pixels away along the longer axis.
    bias = layer.sampling_offsets.bias.detach().view(8, 2, 3, 2)
    torch.testing.assert_close(bias.abs().amax(-1), torch.arange(1.0, 4.0).expand(8, 2, 3))
    bound = math.sqrt(6 / (32 + 32))  # Glorot and Bengio's
    assert 0.95 * bound < layer.value_proj.weight.abs().max() <= bound
    assert layer.output_proj.bias.eq(0).all()


def test_references_may_be_common_to_all_levels():
    arguments, inputs = layer_call(4, 2)
    torch.manual_seed(0)
    layer = MultiScaleDeformableAttention(*arguments).double()
    common = inputs[1][:, :, :1]
    expected = layer(inputs[0], common.expand(-1, -1, arguments[1], -1), *inputs[2:])
    close(layer(inputs[0], common, *inputs[2:]), expected)


def test_it_takes_arguments_by_name():
    arguments, inputs = layer_call(4, 2)
    layer = MultiScaleDeformableAttention(*arguments).double()
    names = ("query", "reference_points", "input_flatten", "input_spatial_shapes", "input_level_start_index")
    by_name = dict(zip((*names, "input_padding_mask"), inputs, strict=True))
    assert torch.equal(layer(**by_name), layer(*inputs))


def test_conversion_there_and_back():
    arguments, inputs = layer_call(7, 4)
    (counterpart,) = get("deformable_attention").counterparts
    assert counterpart.original.endswith("MSDeformAttn")
    original = originals.MSDeformAttn(*arguments).drawn().double()
    ours = counterpart.to_ours(original).double()
    assert type(ours) is counterpart.ours
    close(ours(*inputs).detach(), original(*inputs).detach())
    back = counterpart.to_original(ours, originals.MSDeformAttn).double()
    close(back(*inputs).detach(), original(*inputs).detach())
    for options in ({"kernel": "keys"}, {"boundary": "border"}, {"offset_scale": 1.0}):
        with pytest.raises(ArgumentError, match="model: expected"):
            counterpart.to_original(MultiScaleDeformableAttention(4, 1, 2, 1, **options), originals.MSDeformAttn)
    with pytest.raises(ArgumentError, match="as many points"):
        counterpart.to_original(MultiScaleDeformableAttention(4, 2, 2, (1, 2)), originals.MSDeformAttn)


# ---- errors


@pytest.mark.parametrize(
    ("change", "argument"),
    [
        ({"value": torch.zeros(1, 5, 2, 3)}, "value"),
        ({"spatial_shapes": [(2, 2), (1, 0)]}, "spatial_shapes"),
        ({"spatial_shapes": [4]}, "spatial_shapes"),
        ({"sampling_locations": torch.zeros(1, 3, 2, 1, 2, 2)}, "sampling_locations"),
        ({"sampling_locations": torch.zeros(1, 3, 2, 4, 2)}, "sampling_locations"),
        ({"attention_weights": torch.zeros(1, 3, 2, 2, 3)}, "attention_weights"),
        ({"num_points_list": [2]}, "num_points_list"),
        ({"num_points_list": [2, 0]}, "num_points_list"),
        ({"num_points_list": [2, 3]}, "sampling_locations"),
        ({"kernel": "none"}, "kernel"),
        ({"boundary": "none"}, "boundary"),
    ],
)
@pytest.mark.usefixtures("as_users_call")
def test_errors_name_the_argument(change, argument):
    arguments = {
        "value": torch.zeros(1, 6, 2, 3),
        "spatial_shapes": [(2, 2), (1, 2)],
        "sampling_locations": torch.zeros(1, 3, 2, 2, 2, 2),
        "attention_weights": torch.zeros(1, 3, 2, 2, 2),
    }
    multi_scale_deformable_attention(**arguments)
    with pytest.raises(ValueError, match=f"^{argument}|no {argument}|unknown {argument}"):
        multi_scale_deformable_attention(**(arguments | change))


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [((6, 1, 4, 1), "d_model"), ((4, 0, 2, 1), "n_levels"), ((4, 1, 0, 1), "n_heads"), ((4, 2, 2, (1,)), "n_points")],
)
def test_a_layer_refuses_numbers_that_make_no_sense(arguments, argument):
    with pytest.raises(ArgumentError, match=f"^{argument}"):
        MultiScaleDeformableAttention(*arguments)


@pytest.mark.parametrize(
    ("position", "wrong", "argument"),
    [
        (0, torch.zeros(1, 3, 5), "query"),
        (1, torch.zeros(1, 3, 2, 3), "reference_points"),
        (1, torch.zeros(1, 2, 2, 2), "reference_points"),
        (2, torch.zeros(1, 7, 4), "input_flatten"),
        (3, [(2, 3)], "input_spatial_shapes"),
        (5, torch.zeros(1, 5, dtype=torch.bool), "input_padding_mask"),
    ],
)
@pytest.mark.usefixtures("as_users_call")
def test_a_call_names_what_does_not_fit(position, wrong, argument):
    layer = MultiScaleDeformableAttention(4, 2, 2, 1)
    inputs = [torch.zeros(1, 3, 4), torch.zeros(1, 3, 2, 2), torch.zeros(1, 6, 4), [(2, 2), (1, 2)], None, None]
    layer(*inputs)
    inputs[position] = wrong
    with pytest.raises(ArgumentError, match=f"^{argument}"):
        layer(*inputs)


def test_boxes_of_another_range():
    """A box's last point starts at its edge along an axis, scaled."""
    layer = MultiScaleDeformableAttention(2, 1, 1, 2, offset_scale=0.25)
    box = torch.tensor([[[[0.5, 0.5, 0.4, 0.2]]]])
    pattern = layer.pattern(torch.zeros(1, 1, 2), box, torch.zeros(1, 100, 2), [(10, 10)])
    across = pattern.parts[0].offsets[0, :, 1].flatten().detach()
    # Head 0 looks along x: the middle 4.5, and 0.4 · 10 · 0.25 = 1 pixel for the last point.
    torch.testing.assert_close(across, torch.tensor([5.0, 5.5]))


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": [1.0]}, r"^value: expected a tensor.*, got list$"),
        ({"sampling_locations": [1.0]}, r"^sampling_locations: expected a tensor.*, got list$"),
        ({"attention_weights": [1.0]}, r"^attention_weights: expected a tensor.*, got list$"),
        (
            {"sampling_locations": torch.zeros(3)},
            r"^sampling_locations: expected shape \(B, Q, G, L, P, 2\), got \(3,\)$",
        ),
        ({"sampling_locations": torch.zeros(1, 3, 2, 1, 0, 2)}, r"^sampling_locations: expected at least one point"),
    ],
)
def test_arguments_that_are_no_tensors_of_the_dtype(change, message):
    good = {
        "value": torch.zeros(1, 20, 2, 3),
        "spatial_shapes": ((4, 5),),
        "sampling_locations": torch.zeros(1, 3, 2, 1, 2, 2),
        "attention_weights": torch.zeros(1, 3, 2, 1, 2),
    }
    with pytest.raises(ArgumentError, match=message):
        multi_scale_deformable_attention(**good | change)


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"query": torch.zeros(1, 3, 4).double()},
            r"^query: expected dtype torch.float32, as the layer's parameters have",
        ),
        (
            {"input_flatten": torch.zeros(1, 20, 4).double()},
            r"^input_flatten: expected dtype torch.float32, as the layer's parameters have",
        ),
        ({"query": [1.0]}, r"^query: expected a tensor.*, got list$"),
        ({"reference_points": [1.0]}, r"^reference_points: expected a tensor.*, got list$"),
        ({"input_flatten": [1.0]}, r"^input_flatten: expected a tensor.*, got list$"),
        ({"input_padding_mask": torch.zeros(1, 20)}, r"^input_padding_mask: expected dtype torch.bool"),
        ({"input_padding_mask": [1.0]}, r"^input_padding_mask: expected a tensor.*, got list$"),
    ],
)
def test_what_does_not_fit_a_layer(change, message):
    good = {
        "query": torch.zeros(1, 3, 4),
        "reference_points": torch.zeros(1, 3, 1, 2),
        "input_flatten": torch.zeros(1, 20, 4),
        "input_spatial_shapes": ((4, 5),),
    }
    with pytest.raises(ArgumentError, match=message):
        MultiScaleDeformableAttention(4, 1, 2).forward(**good | change)
