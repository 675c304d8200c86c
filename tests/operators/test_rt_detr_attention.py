"""RT-DETR's deformable attention: equal where it reads linearly, and right where it reads the nearest pixel."""

import math

import pytest
import torch

from tests.operators import attention_originals as originals
from warptheory.core.errors import ArgumentError, WarpTheoryError
from warptheory.core.tolerances import rounding
from warptheory.operators import MSDeformableAttention, get, multi_scale_deformable_attention

ROUNDING = rounding(torch.float64, operations=200, magnitude=100)


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=ROUNDING.relative, atol=ROUNDING.absolute)


def call(seed):
    """Return arguments of a layer and inputs: boxes, common to all levels, and a mask."""
    generator = torch.Generator().manual_seed(seed)

    def number(least, most):
        return int(torch.randint(least, most + 1, (), generator=generator))

    sizes = [(number(1, 6), number(1, 6)) for _ in range(number(1, 3))]
    heads, width = number(1, 3), number(1, 3)
    batch, queries, pixels = number(1, 2), number(1, 5), sum(map(math.prod, sizes))
    arguments = (heads * width, heads, len(sizes), [number(1, 3) for _ in sizes])

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    boxes = torch.rand(batch, queries, 1, 4, generator=generator, dtype=torch.float64)
    mask = torch.rand(batch, pixels, generator=generator) < 0.8
    return arguments, (draw(batch, queries, heads * width), boxes, draw(batch, pixels, heads * width), sizes, mask)


@pytest.mark.parametrize("seed", range(50))
def test_the_layer_is_rt_detrs(seed):
    """By its parameters, with its own buffer: values, and gradients of parameters."""
    arguments, inputs = call(seed)
    torch.manual_seed(seed)
    original = originals.MSDeformableAttention(*arguments).drawn().double()
    # Its buffer is made in single precision, where 1/3 is not 1/3.
    original.num_points_scale = torch.tensor([1 / n for n in arguments[3] for _ in range(n)], dtype=torch.float64)
    layer = MSDeformableAttention(*arguments).double()
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
    layer, original = MSDeformableAttention(16, 8, 2, [3, 1]), originals.MSDeformableAttention(16, 8, 2, [3, 1]).start()
    for name in ("sampling_offsets", "attention_weights"):
        for key, expected in getattr(original, name).state_dict().items():
            torch.testing.assert_close(getattr(layer, name).state_dict()[key], expected, rtol=0, atol=1e-6)
    discrete = MSDeformableAttention(16, 8, 2, 4, "discrete")
    assert not any(each.requires_grad for each in discrete.sampling_offsets.parameters())
    assert discrete.value_proj.weight.requires_grad


def read(sizes, places, kernel):
    """Return what the original and ours read at places (N, 2) of one level, whose pixels are their numbers."""
    (height, width) = sizes
    value = torch.arange(height * width, dtype=torch.float64).reshape(1, -1, 1, 1)
    locations = places.reshape(1, -1, 1, 1, 2)
    weights = torch.ones(locations.shape[:-1], dtype=torch.float64)
    original = originals.listed_attention(value, [sizes], locations, weights, [1], "discrete")
    ours = multi_scale_deformable_attention(value, [sizes], locations, weights, [1], kernel=kernel)
    return original.flatten(), ours.flatten()


def test_the_nearest_pixel_is_read():
    """Displacements of what is read from where it is asked for, along one axis of 64 pixels."""
    across = (torch.arange(64_000, dtype=torch.float64) + 0.5) / 64_000
    places = torch.stack([across, torch.full_like(across, 0.25 / 64)], -1)
    position = across * 64 - 0.5
    theirs, ours = (found - position for found in read((64, 64), places, "nearest"))
    assert float(theirs.square().mean().sqrt()) == pytest.approx(0.574, abs=5e-4)
    assert float(theirs.mean()) == pytest.approx(0.492, abs=5e-4)
    assert float(ours.square().mean().sqrt()) == pytest.approx(math.sqrt(1 / 12), abs=5e-4)
    assert float(ours.mean()) == pytest.approx(0, abs=5e-4)
    assert ours.abs().max() <= 0.5


def test_rectangles_are_read_to_their_end():
    """The middle of each column of a level of 4 × 8 pixels."""
    across = (torch.arange(8, dtype=torch.float64) + 0.5) / 8 - 1e-9
    places = torch.stack([across, torch.full_like(across, 0.25 / 4)], -1)
    theirs, ours = read((4, 8), places, "nearest")
    assert theirs.tolist() == [0, 1, 2, 3, 3, 3, 3, 3]
    assert ours.tolist() == [0, 1, 2, 3, 4, 5, 6, 7]


def test_outside_is_zero_for_both_methods():
    places = torch.tensor([[1.5, 0.6]], dtype=torch.float64)
    theirs, nearest = read((4, 4), places, "nearest")
    _, linear = read((4, 4), places, "linear")
    assert (float(theirs), float(nearest), float(linear)) == (11, 0, 0)


def test_points_are_taken_as_references():
    arguments, (query, boxes, value, sizes, _) = call(1)
    original, layer = originals.MSDeformableAttention(*arguments), MSDeformableAttention(*arguments)
    layer.load_state_dict(original.drawn().state_dict())
    points = boxes[..., :2].expand(-1, -1, len(sizes), -1).float()
    with pytest.raises(RuntimeError, match="must match the size"):
        original(query.float(), points, value.float(), sizes)
    # A box without extent at a head's offset, in pixels of the level, is the same place.
    found = layer.pattern(query.float(), points, value.float(), sizes)
    offsets = layer.sampling_offsets(query.float()).reshape(*query.shape[:2], arguments[1], -1, 2)
    for part, moved, size in zip(found.parts, torch.split(offsets, arguments[3], 3), sizes, strict=True):
        place = points[:, :, :1, None] * torch.tensor(size[::-1]) - 0.5 + moved
        torch.testing.assert_close(place.permute(0, 2, 3, 4, 1).flatten(1, 2).flip(2).unsqueeze(-1), part.offsets)


@pytest.mark.parametrize("first", [False, True])
def test_conversion_there_and_back(first):
    arguments, (*inputs, _) = call(2)
    counterpart = get("rt_detr_attention").counterparts[first]
    kind = originals.FirstMSDeformableAttention if first else originals.MSDeformableAttention
    arguments = (*arguments[:3], 2) if first else arguments
    if first:
        inputs[1] = inputs[1].expand(-1, -1, arguments[2], -1)
    original = kind(*arguments).drawn()
    ours = counterpart.to_ours(original)
    assert type(ours) is counterpart.ours
    inputs = [each.float() if isinstance(each, torch.Tensor) else each for each in inputs]
    torch.testing.assert_close(ours(*inputs), original(*inputs))
    back = counterpart.to_original(ours, kind)
    torch.testing.assert_close(back(*inputs), original(*inputs))
    with pytest.raises(ArgumentError, match="method 'default' and boundary"):
        counterpart.to_original(MSDeformableAttention(4, 2, 1, 1, boundary="border"), kind)


def test_what_no_converter_can_keep():
    second, first = get("rt_detr_attention").counterparts
    with pytest.raises(ArgumentError, match="half a pixel"):
        second.to_ours(originals.MSDeformableAttention(4, 2, 1, 1, "discrete"))
    with pytest.raises(ArgumentError, match="as many points"):
        first.to_original(MSDeformableAttention(4, 2, 2, (1, 2)), originals.FirstMSDeformableAttention)


@pytest.mark.usefixtures("as_users_call")
def test_errors_name_the_argument():
    for arguments, name in (
        ((6, 4), "embed_dim"),
        ((4, 0), "num_heads"),
        ((4, 2, 0), "num_levels"),
        ((4, 2, 2, [1]), "num_points"),
        ((4, 2, 2, 1, "other"), "method"),
        ((4, 2, 2, 1, "default", math.nan), "offset_scale"),
    ):
        with pytest.raises(WarpTheoryError, match=name):
            MSDeformableAttention(*arguments)
    layer = MSDeformableAttention(4, 2, 1, 1)
    inputs = (torch.zeros(1, 3, 4), torch.zeros(1, 3, 1, 4), torch.zeros(1, 6, 4), [(2, 3)])
    layer(*inputs, torch.ones(1, 6))
    for wrong, name in (
        ((*inputs[:3], [(2, 2), (1, 2)]), "value_spatial_shapes"),
        ((*inputs, torch.ones(1, 5)), "value_mask"),
    ):
        with pytest.raises(ArgumentError, match=name):
            layer(*wrong)


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"query": torch.zeros(1, 3, 4).double()},
            r"^query: expected dtype torch.float32, as the layer's parameters have",
        ),
        (
            {"value": torch.zeros(1, 20, 4).double()},
            r"^value: expected dtype torch.float32, as the layer's parameters have",
        ),
        ({"query": [1.0]}, r"^query: expected a tensor.*, got list$"),
        ({"reference_points": [1.0]}, r"^reference_points: expected a tensor.*, got list$"),
        ({"value": [1.0]}, r"^value: expected a tensor.*, got list$"),
        ({"value_mask": [1.0]}, r"^value_mask: expected a tensor.*, got list$"),
    ],
)
def test_what_does_not_fit_a_layer(change, message):
    good = {
        "query": torch.zeros(1, 3, 4),
        "reference_points": torch.zeros(1, 3, 1, 2),
        "value": torch.zeros(1, 20, 4),
        "value_spatial_shapes": ((4, 5),),
    }
    with pytest.raises(ArgumentError, match=message):
        MSDeformableAttention(4, 2, 1).forward(**good | change)
