"""Sampling points of models whose offsets are known maps: translations, rotations, scalings, with strides between."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import warptheory as wt
from tests.stability import stand_ins
from warptheory.core import records
from warptheory.core.errors import ArgumentError, UnknownNameError
from warptheory.networks import selfwarp_resnet


def rotation(angle):
    return torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


class Affine(nn.Module):
    """Samples at p(n) = A (n − centre) + centre + shift, exactly, on the grid of its input."""

    def __init__(self, matrix, shift=(0.0, 0.0), groups=1):
        super().__init__()
        self.matrix, self.shift, self.groups = torch.as_tensor(matrix), torch.tensor(shift), groups

    def positions(self, points, size):
        """Return where points (N, 2) are read from, on a grid of a size."""
        centre = (torch.tensor(size) - 1) / 2
        return (points - centre) @ self.matrix.T + centre + self.shift

    def forward(self, x):
        size = tuple(x.shape[2:])
        lattice = torch.stack(torch.meshgrid(*map(torch.arange, size), indexing="ij"), -1).float()
        offsets = (self.positions(lattice.flatten(0, 1), size).reshape(lattice.shape) - lattice).movedim(-1, 0)
        return wt.warp(x, offsets.expand(len(x), self.groups, -1, -1, -1), boundary="border")


IMAGE = torch.randn(1, 1, 24, 20, generator=torch.Generator().manual_seed(0))
# Positions of a few tens of pixels, through at most a dozen float32 roundings.
CLOSE = {"rtol": 0, "atol": 24 * 12 * 1.2e-7}


@pytest.mark.parametrize("matrix", [torch.eye(2), rotation(0.4), 0.5 * torch.eye(2)], ids=["shift", "rotate", "scale"])
def test_one_layer(matrix):
    layer = Affine(matrix, (1.25, -2.5))
    found = wt.stability.sampling_points(nn.Sequential(layer), IMAGE, (5, 9))
    np.testing.assert_allclose(found.positions, layer.positions(torch.tensor([[5.0, 9.0]]), (24, 20)), **CLOSE)
    assert (found.layer, found.layers, found.start, found.size) == ("0", ("0",), (5.0, 9.0), (24, 20))
    assert found.weights.tolist() == [1.0]


def test_two_layers_with_a_stride_between():
    """Read at p₂ of the small grid, that is at 2p₂ of the large one, and there displaced by the first layer."""
    first, second = Affine(rotation(0.3), (0.5, 1.0)), Affine(0.7 * rotation(-0.2), (-0.25, 0.75))
    model = nn.Sequential(first, nn.Conv2d(1, 2, 3, stride=2, padding=1), nn.ReLU(), second)
    found = wt.stability.sampling_points(model, IMAGE, (4, 7))
    upper = second.positions(torch.tensor([[4.0, 7.0]]), (12, 10))
    np.testing.assert_allclose(found.positions, first.positions(2 * upper, (24, 20)), **CLOSE)
    assert found.layers == ("3", "0")
    assert found.start == (8.0, 14.0)
    alone = wt.stability.sampling_points(model, IMAGE, (4, 7), below=False)
    np.testing.assert_allclose(alone.positions, upper, **CLOSE)
    assert alone.size == (12, 10)


class Unseen(torch.autograd.Function):
    """The identity, as a function that no mode sees."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()


class ByUnseen(nn.Module):
    def forward(self, x):
        return Unseen.apply(x)


RESIZES = {
    "unseen function": (nn.Sequential(nn.Conv2d(1, 1, 3, 2, 1), ByUnseen()), lambda p: 2 * p),
    "odd convolution": (nn.Conv2d(1, 1, 3, 2, padding=1), lambda p: 2 * p),
    "even convolution": (nn.Conv2d(1, 1, 4, 2, padding=1), lambda p: 2 * p + 0.5),
    "pooling": (nn.MaxPool2d(2), lambda p: 2 * p + 0.5),
    "average": (nn.AvgPool2d(3, 2, padding=1), lambda p: 2 * p),
    "no padding": (nn.Conv2d(1, 1, 5, dilation=2), lambda p: p + 4),
    "same": (nn.Conv2d(1, 1, 3, padding="same"), lambda p: p),
    "upsampling": (nn.Upsample(scale_factor=2, mode="bilinear"), lambda p: (p + 0.5) / 2 - 0.5),
    "two": (nn.Sequential(nn.Conv2d(1, 1, 3, 2, 1), nn.Conv2d(1, 1, 3, 2, 1)), lambda p: 4 * p),
}


@pytest.mark.parametrize("name", RESIZES)
def test_changes_of_the_grid(name):
    resize, expected = RESIZES[name]
    model = nn.Sequential(resize, Affine(torch.eye(2), (1.0, -1.0)))
    found = wt.stability.sampling_points(model, IMAGE, (2, 3))
    np.testing.assert_allclose(found.positions, expected(np.array([[3.0, 2.0]])), **CLOSE)


@pytest.mark.parametrize("name", ["odd convolution", "even convolution", "average", "no padding", "upsampling"])
def test_changes_of_the_grid_against_the_gradient(name):
    """The centre of what the pixel reads, by weights that are all alike."""
    resize, expected = RESIZES[name]
    for parameter in resize.parameters():
        nn.init.ones_(parameter)
    field = wt.stability.receptive_field(nn.Sequential(resize, Affine(torch.eye(2))), IMAGE, (2, 3))
    where = np.stack(np.indices(field.shape)).reshape(2, -1)
    np.testing.assert_allclose(where @ field.ravel() / field.sum(), expected(np.array([2.0, 3.0])), rtol=1e-5)


# An image whose two channels are its own rows and columns tells where it was read.
COORDINATES = torch.stack(torch.meshgrid(torch.arange(24.0), torch.arange(20.0), indexing="ij"))[None]


def linear(layer):
    """Return a convolution of each channel that keeps linear functions: a mean, transposed an interpolation."""
    size, stride = layer.kernel_size[0], layer.stride[0]
    taps = torch.ones(size)
    if layer.transposed and stride > 1:
        taps = 1 - (torch.arange(size) - (size - 1) / 2).abs() / stride
    weights = torch.outer(taps, taps)
    share = stride**2 if layer.transposed else 1
    layer.weight.data[:] = share * weights / weights.sum()
    return layer


def transposed(*geometry, **options):
    return linear(nn.ConvTranspose2d(2, 2, *geometry, groups=2, bias=False, **options))


def mean(*geometry, **options):
    return linear(nn.Conv2d(2, 2, *geometry, groups=2, bias=False, **options))


KNOWN = {
    "transposed, even": transposed(4, 2, padding=1),
    "transposed, odd": transposed(3, 2, padding=1, output_padding=1),
    "transposed, wide": transposed(3, dilation=2, padding=1),
    "zeros": nn.ZeroPad2d((3, 1, 2, 0)),
    "cropping pad": nn.ConstantPad2d((-2, 1, -1, 0), 0.0),
    "replication": nn.ReplicationPad2d((3, 1, 2, 0)),
    "aligned corners": nn.Upsample((31, 50), mode="bilinear", align_corners=True),
    "given factor": nn.Upsample(scale_factor=1.7, mode="bilinear"),
    "recomputed factor": nn.Upsample(scale_factor=1.7, mode="bilinear", recompute_scale_factor=True),
    "pad to the left": nn.Sequential(nn.ZeroPad2d((1, 0, 1, 0)), mean(2)),
    "roll to the left": nn.ZeroPad2d((-2, 2, -1, 1)),
    "same, even": mean(2, padding="same"),
    "same, wide and even": mean(4, padding="same", dilation=3),
    "there and back": nn.Sequential(mean(2, 2), transposed(4, 2, padding=1)),
}


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("pixel", [(8, 7), (11, 12)])
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
def test_known_layers_are_followed_to_where_the_image_is_read(name, pixel):
    model = nn.Sequential(Affine(torch.eye(2), (0.5, 0.0)), KNOWN[name], Affine(rotation(0.1), (0.25, -1.5)))
    truth = model(COORDINATES)[0][(slice(None), *pixel)].detach()
    found = wt.stability.sampling_points(model, COORDINATES, pixel)
    np.testing.assert_allclose(found.positions, truth[None], **CLOSE)


@pytest.mark.parametrize("pad", [nn.ReplicationPad2d, nn.ReflectionPad2d, nn.CircularPad2d])
@pytest.mark.parametrize("pixel", [(0, 1), (2, 25), (31, 1)])
def test_padding_reads_what_it_was_filled_with(pad, pixel):
    model = nn.Sequential(pad((4, 3, 5, 6)), Affine(torch.eye(2), (1.0, -1.0)))
    truth = model(COORDINATES)[0][(slice(None), *pixel)]
    found = wt.stability.sampling_points(model, COORDINATES, pixel)
    np.testing.assert_allclose(found.positions, truth[None], **CLOSE)


@pytest.mark.parametrize("padding_mode", ["replicate", "reflect", "circular"])
@pytest.mark.parametrize("pixel", [(0, 1), (2, 25), (30, 1)])
def test_convolutions_that_pad_read_what_they_padded_with(padding_mode, pixel):
    padded = nn.Conv2d(2, 2, 1, padding=(5, 4), padding_mode=padding_mode, groups=2, bias=False)
    model = nn.Sequential(linear(padded), Affine(torch.eye(2), (1.0, -1.0)))
    truth = model(COORDINATES)[0][(slice(None), *pixel)].detach()
    found = wt.stability.sampling_points(model, COORDINATES, pixel)
    np.testing.assert_allclose(found.positions, truth[None], **CLOSE)


@pytest.mark.parametrize(("dim", "layer"), [(1, nn.ConvTranspose1d(1, 1, 2, 2)), (3, nn.ConvTranspose3d(1, 1, 2, 2))])
def test_transposed_convolutions_on_other_grids(dim, layer):
    class Shift(nn.Module):
        def forward(self, x):
            return wt.warp(x, torch.full((1, dim, *x.shape[2:]), 2.0))

    found = wt.stability.sampling_points(nn.Sequential(layer, Shift()), torch.zeros(1, 1, *[6] * dim), (3,) * dim)
    np.testing.assert_allclose(found.positions, np.full((1, dim), (5 - 0.5) / 2), **CLOSE)


def test_layers_that_compute_offsets_are_not_followed():
    class Coarse(nn.Module):
        """Offsets come from a coarser grid, whose corners are aligned."""

        def __init__(self):
            super().__init__()
            self.down, self.up = nn.AvgPool2d(4), nn.Upsample((24, 20), mode="bilinear", align_corners=True)

        def forward(self, x):
            shifts = self.up(self.down(torch.ones_like(x)))
            return wt.warp(x, shifts.expand(-1, 2, -1, -1))

    found = wt.stability.sampling_points(Coarse(), IMAGE, (9, 13))
    np.testing.assert_allclose(found.positions, [[10.0, 14.0]], **CLOSE)


def test_blocks_with_a_shortcut_count_a_stride_once():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.branch, self.shortcut = nn.Conv2d(1, 1, 3, 2, 1), nn.Conv2d(1, 1, 1, 2)

        def forward(self, x):
            return self.branch(x) + self.shortcut(x)

    model = nn.Sequential(Affine(torch.eye(2), (1.0, 0.0)), Block(), Affine(torch.eye(2), (0.0, 0.5)))
    found = wt.stability.sampling_points(model, IMAGE, (4, 5))
    np.testing.assert_allclose(found.positions, [[9.0, 11.0]], **CLOSE)


@pytest.mark.parametrize("align_corners", [False, True])
def test_grid_sample_samples_where_torch_says(align_corners):
    """An image whose two channels are its own rows and columns tells where it was read."""

    class Transformer(nn.Module):
        def forward(self, x):
            theta = torch.tensor([[[0.6, -0.2, 0.1], [0.3, 0.5, -0.05]]])
            grid = functional.affine_grid(theta, (1, 2, 9, 7), align_corners)
            return functional.grid_sample(x, grid, padding_mode="border", align_corners=align_corners)

    image = torch.stack(torch.meshgrid(torch.arange(12.0), torch.arange(10.0), indexing="ij"))[None]
    truth = Transformer()(image)[0]
    for pixel in ((4, 3), (5, 2), (3, 5)):
        found = wt.stability.sampling_points(Transformer(), image, pixel)
        np.testing.assert_allclose(found.positions[0], truth[(slice(None), *pixel)], **CLOSE)
    (field,) = wt.stability.offset_fields(Transformer(), image)
    assert field.offsets.shape == (1, 2, 9, 7)
    np.testing.assert_allclose(field.positions[0][:, 3:6, 2:6], truth[:, 3:6, 2:6], **CLOSE)


@pytest.mark.parametrize("library", ["torchvision", "mmcv"])
def test_deformable_convolution_reproduces_its_output(library):
    """The image at the points, weighted by mask and filters, is the output: order and lattice are right."""
    torch.manual_seed(0)
    layer = stand_ins.DeformableLayer(library, 1, filters=1, masked=True)
    nn.init.normal_(layer.conv_offset.weight, std=0.2)
    with getattr(stand_ins, library)():
        found = wt.stability.sampling_points(nn.Sequential(layer), IMAGE, (5, 4))
        outcome = nn.Sequential(layer)(IMAGE)
    positions = torch.from_numpy(found.positions).float()
    line = torch.stack([torch.arange(9.0), torch.zeros(9)])
    values = wt.warp(IMAGE, (positions.T - line).reshape(1, 2, 9, 1)).flatten()
    mask = layer.conv_offset(IMAGE)[0, 18:, 5, 4].sigmoid()
    weighted = (values * mask * layer.weight[0, 0].flatten()).sum()
    torch.testing.assert_close(weighted, outcome[0, 0, 5, 4], rtol=1e-4, atol=1e-5)
    shares = mask * layer.weight[0, 0].flatten().abs()
    np.testing.assert_allclose(found.weights, (shares / shares.sum()).detach(), rtol=1e-5)


def test_taps_multiply_and_the_heaviest_are_kept():
    torch.manual_seed(0)
    layers = [stand_ins.DeformableLayer("torchvision", 1, filters=1) for _ in range(2)]
    with stand_ins.torchvision():
        every = wt.stability.sampling_points(nn.Sequential(*layers), IMAGE, (2, 3))
        few = wt.stability.sampling_points(nn.Sequential(*layers), IMAGE, (2, 3), limit=20)
    assert len(every.weights) == 81
    assert every.weights.sum() == pytest.approx(1)
    assert (len(few.weights), few.weights.sum()) == (20, pytest.approx(1))
    assert few.kept == pytest.approx(np.sort(every.weights)[-20:].sum())


def test_groups_have_a_point_each():
    model = nn.Sequential(nn.Conv2d(1, 4, 1), Affine(torch.eye(2), (1.0, 2.0), groups=2))
    found = wt.stability.sampling_points(model, IMAGE, (4, 5))
    np.testing.assert_allclose(found.positions, [[5.0, 7.0]] * 2, **CLOSE)
    assert found.weights.tolist() == [0.5, 0.5]


class Translation(nn.Module):
    """Samples at n + shift on both axes."""

    def __init__(self, shift, boundary):
        super().__init__()
        self.shift, self.boundary = shift, boundary

    def forward(self, x):
        return wt.warp(x, torch.full((len(x), 2, *x.shape[2:]), self.shift), boundary=self.boundary)


@pytest.mark.parametrize("boundary", ["border", "reflect", "mirror", "periodic"])
@pytest.mark.parametrize("shift", [13.0, -17.0])
@pytest.mark.parametrize("pixel", [(12, 9), (3, 18), (23, 0)])
def test_points_that_leave_a_grid_between_layers(boundary, shift, pixel):
    """The output pixel depends on one pixel of the image, by the gradient: where the rule leads, there is the point."""
    model = nn.Sequential(Translation(0.0, "border"), Translation(shift, boundary))
    (truth,) = np.argwhere(wt.stability.receptive_field(model, IMAGE, pixel))
    found = wt.stability.sampling_points(model, IMAGE, pixel)
    np.testing.assert_allclose(found.positions, [truth], **CLOSE)


def test_receptive_field_of_a_translation_is_one_pixel():
    field = wt.stability.receptive_field(nn.Sequential(Affine(torch.eye(2), (1.0, -2.0))), IMAGE, (5, 9))
    assert np.argwhere(field).tolist() == [[6, 7]]
    assert field[6, 7] == 1


def test_receptive_field_against_the_jacobian():
    model = selfwarp_resnet(8, width=2, channels_in=1).eval().double()
    for name, parameter in model.named_parameters():
        if "head" in name:
            nn.init.normal_(parameter, std=0.3)
    image = IMAGE[:, :, :8, :8].double()
    found = wt.stability.receptive_field(model, image, (2, 1), "blocks.1.warp")

    def outcome(x):
        x = functional.relu(model.stem_norm(model.stem(x)))
        return model.blocks[1].warp(model.blocks[0](x))[0, :, 2, 1]

    jacobian = torch.autograd.functional.jacobian(outcome, image)
    np.testing.assert_allclose(found, jacobian.square().sum((0, 1, 2)).sqrt(), rtol=1e-10, atol=1e-14)


def test_models_are_left_as_they_were():
    model = selfwarp_resnet(8, width=2, channels_in=1)
    model.blocks[0].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    wt.stability.sampling_points(model, IMAGE, (2, 3))
    wt.stability.receptive_field(model, IMAGE, (2, 3))
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_points_are_a_record(tmp_path):
    model = nn.Sequential(Affine(rotation(0.3)))
    points = [wt.stability.sampling_points(model, IMAGE, pixel) for pixel in ((2, 3), (7, 8))]
    wt.stability.write_points(tmp_path / "points.parquet", points)
    table = records.read_table(tmp_path / "points.parquet")
    np.testing.assert_array_equal(table[["position0", "position1"]], np.concatenate([p.positions for p in points]))
    assert table[["pixel0", "pixel1"]].to_numpy().tolist() == [[2, 3], [7, 8]]
    assert records.read_json(tmp_path / "points.json")["rows"] == 2


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: wt.stability.sampling_points(model, IMAGE.repeat(2, 1, 1, 1), (0, 0)), "^image: expected one"),
        (lambda model: wt.stability.sampling_points(model, IMAGE, (0, 20)), r"^pixel: expected a pixel of the grid"),
        (
            lambda model: wt.stability.sampling_points(model, IMAGE, (0.5, 1)),
            r"^pixel: expected 2 integers, got \(0.5, 1",
        ),
        (lambda model: wt.stability.sampling_points(model, IMAGE, 3), "^pixel: expected 2 integers, got 3$"),
        (lambda model: wt.stability.sampling_points(model, IMAGE, (0, 0), limit=0), "^limit: expected"),
        (lambda model: wt.stability.sampling_points(model, IMAGE, (0, 0), "0", call=1), "^call: expected a call of"),
        (lambda model: wt.stability.sampling_points(nn.Identity(), IMAGE, (0, 0)), "^model: expected a model that"),
        (lambda model: wt.stability.write_points(None, []), "^points: expected at least one"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ArgumentError, match=message):
        call(nn.Sequential(Affine(torch.eye(2))))


def test_unknown_layers_are_named():
    with pytest.raises(UnknownNameError, match=r"^layer: expected one of 0, got"):
        wt.stability.sampling_points(nn.Sequential(Affine(torch.eye(2))), IMAGE, (0, 0), "warp")
