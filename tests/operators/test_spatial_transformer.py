"""Spatial transformers are `affine_grid` and `grid_sample`, a homography, and SciPy's thin-plate spline."""

import itertools

import numpy as np
import pytest
import torch
from scipy.interpolate import RBFInterpolator
from skimage.transform import ProjectiveTransform
from torch import nn
from torch.nn import functional

from warptheory.core.errors import ArgumentError, WarpTheoryError
from warptheory.core.tolerances import rounding
from warptheory.operators import SpatialTransformer, affine_offsets, projective_offsets, thin_plate_offsets
from warptheory.warping import warp

ROUNDING = rounding(torch.float64, operations=200, magnitude=50)
# Which boundary rule a padding mode of torch is, without and with align_corners.
RULES = {"zeros": ("zeros", "zeros"), "border": ("border", "border"), "reflection": ("reflect", "mirror")}

# What an axis of one pixel means with align_corners, of which torch warns.
OF_ONE_PIXEL = pytest.mark.filterwarnings("ignore:Since version 1.3.0, affine_grid")


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=ROUNDING.relative, atol=ROUNDING.absolute)


def randoms(seed):
    generator = torch.Generator().manual_seed(seed)

    def number(least, most):
        return int(torch.randint(least, most + 1, (), generator=generator))

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    return number, draw


def gradients(y, leaves):
    g = torch.randn(y.shape, generator=torch.Generator().manual_seed(0), dtype=y.dtype)
    return torch.autograd.grad(y, leaves, g)


@OF_ONE_PIXEL
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("padding", RULES)
@pytest.mark.parametrize("dim", [2, 3])
def test_affine_offsets_are_those_of_affine_grid(dim, padding, align_corners):
    """Values and gradients, five random calls of each of twelve kinds, with images of another size."""
    rule = RULES[padding][align_corners]
    for seed in range(5):
        number, draw = randoms(seed)
        x = draw(number(1, 2), 2, *(number(1, 5) for _ in range(dim))).requires_grad_()
        theta = (torch.eye(dim, dim + 1) + 0.4 * draw(len(x), dim, dim + 1)).requires_grad_()
        size = (len(x), 2, *(number(1, 5) for _ in range(dim)))
        grid = functional.affine_grid(theta, size, align_corners=align_corners)
        expected = functional.grid_sample(x, grid, padding_mode=padding, align_corners=align_corners)
        offsets = affine_offsets(theta, size, align_corners, image_size=x.shape[2:])
        found = warp(x, offsets, boundary=rule)
        close(found.detach(), expected.detach())
        for each, other in zip(gradients(found, [x, theta]), gradients(expected, [x, theta]), strict=True):
            torch.testing.assert_close(each, other, rtol=1e-9, atol=1e-10)


@OF_ONE_PIXEL
@pytest.mark.parametrize("align_corners", [False, True])
def test_in_one_dimension_it_is_a_row_of_two(align_corners):
    _, draw = randoms(3)
    x, theta = draw(2, 3, 7), draw(2, 1, 2)
    rows = torch.eye(2, 3).double().repeat(2, 1, 1)
    rows[:, 0, 0], rows[:, 0, 2] = theta[:, 0, 0], theta[:, 0, 1]
    grid = functional.affine_grid(rows, (2, 3, 1, 5), align_corners=align_corners)
    expected = functional.grid_sample(x[:, :, None], grid, align_corners=align_corners)[:, :, 0]
    close(warp(x, affine_offsets(theta, (2, 3, 5), align_corners, image_size=(7,))), expected)


@pytest.mark.parametrize("align_corners", [False, True])
def test_at_the_identity_offsets_are_exactly_zero(align_corners):
    size = (1, 1, 7, 5)
    for found in (
        affine_offsets(torch.eye(2, 3)[None], size, align_corners),
        projective_offsets(torch.eye(3)[None], size, align_corners),
        thin_plate_offsets(torch.zeros(1, 9, 2), size, align_corners),
    ):
        assert torch.equal(found, torch.zeros(1, 2, 7, 5))


def centres(n, align_corners):
    """Return the coordinates of n pixels."""
    return np.array([2 * i / (n - 1) - 1 if align_corners else (2 * i + 1) / n - 1 for i in range(n)])


def to_pixels(coordinate, n, align_corners):
    return (coordinate + 1) / 2 * (n - 1) if align_corners else ((coordinate + 1) * n - 1) / 2


def offsets_of(places, shape, align_corners):
    """Return offsets (2, H, W), in pixels, of places (H·W, 2) in coordinates, x before y."""
    height, width = shape
    across, down = places.reshape(height, width, 2).transpose(2, 0, 1)
    rows, columns = np.mgrid[:height, :width]
    return np.stack([to_pixels(down, height, align_corners) - rows, to_pixels(across, width, align_corners) - columns])


def grid_of(shape, align_corners):
    down, across = (centres(n, align_corners) for n in shape)
    return np.array([(x, y) for y, x in itertools.product(down, across)])


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("seed", range(25))
def test_homographies_are_those_of_scikit_image(seed, align_corners):
    number, draw = randoms(seed)
    theta, shape = torch.eye(3) + 0.3 * draw(1, 3, 3), (number(2, 6), number(2, 6))
    expected = ProjectiveTransform(theta[0].numpy())(grid_of(shape, align_corners))
    found = projective_offsets(theta, (1, 1, *shape), align_corners)[0].numpy()
    expected = offsets_of(expected, shape, align_corners)
    # The error of a position grows as it nears infinity.
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * (1 + np.abs(expected).max()))


def test_gradients_of_a_homography():
    _, draw = randoms(2)
    theta = (torch.eye(3) + 0.1 * draw(2, 3, 3)).requires_grad_()
    assert torch.autograd.gradcheck(lambda each: projective_offsets(each, (2, 1, 3, 4)), theta)
    displacements = draw(2, 9, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda each: thin_plate_offsets(each, (2, 1, 3, 4)), displacements)


def test_points_at_infinity_read_nothing():
    """The line x = 0 goes to infinity: the middle column of five; the gradient of the others is finite."""
    theta = torch.tensor([[[0.0, 0, 1], [0, 1, 0], [1, 0, 0]]], dtype=torch.float64, requires_grad=True)
    offsets = projective_offsets(theta, (1, 1, 3, 5), align_corners=True)
    assert offsets.isnan().any(1)[0].all(0).tolist() == [False, False, True, False, False]
    y = warp(torch.ones(1, 1, 3, 5, dtype=torch.float64), offsets)
    assert y[0, 0, :, 2].tolist() == [0, 0, 0]
    (gradient,) = torch.autograd.grad(y.sum() + offsets.nansum(), theta)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("seed", range(25))
def test_thin_plates_are_those_of_scipy(seed, align_corners):
    """Regular control points, and others."""
    number, draw = randoms(seed)
    shape = (number(2, 6), number(2, 6))
    count = number(2, 4)
    along = np.linspace(-1, 1, count)
    points = np.array([(x, y) for y, x in itertools.product(along, along)])
    given = None
    if seed % 2:
        given = draw(number(4, 9), 2)
        points = given.numpy()
    theta = 0.3 * draw(1, len(points), 2)
    grid = grid_of(shape, align_corners)
    spline = RBFInterpolator(points, theta[0].numpy(), kernel="thin_plate_spline", degree=1)
    found = thin_plate_offsets(theta, (1, 1, *shape), align_corners, control_points=given)[0].numpy()
    np.testing.assert_allclose(found, offsets_of(grid + spline(grid), shape, align_corners), rtol=1e-8, atol=1e-8)


# ---- the layer


def moved(layer, std=0.2):
    nn.init.normal_(layer.head.weight, std=std)
    return layer


@pytest.mark.parametrize(
    ("mode", "dim"), [("affine", 1), ("affine", 2), ("affine", 3), ("projective", 2), ("thin-plate", 2)]
)
def test_a_new_layer_returns_its_input(mode, dim):
    x = torch.randn(2, 3, *(6, 5, 4)[:dim])
    layer = SpatialTransformer(3, None, mode, dim=dim)
    assert torch.equal(layer(x), x)
    layer(x).square().sum().backward()
    assert layer.head.weight.grad.isfinite().all()
    torch.manual_seed(0)
    assert not torch.equal(moved(layer)(x), x)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("padding", RULES)
def test_the_layer_is_the_tutorials(padding, align_corners):
    """Localisation, `affine_grid`, `grid_sample`: values, and gradients of parameters."""
    torch.manual_seed(0)
    rule = RULES[padding][align_corners]
    layer = SpatialTransformer(3, boundary=rule, align_corners=align_corners, size=(4, 6)).double()
    moved(layer)
    x = torch.randn(2, 3, 6, 5, dtype=torch.float64)
    theta = layer.head(layer.localisation(x)).view(-1, 2, 3)
    grid = functional.affine_grid(theta, (2, 3, 4, 6), align_corners=align_corners)
    expected = functional.grid_sample(x, grid, padding_mode=padding, align_corners=align_corners)
    found = layer(x)
    close(found.detach(), expected.detach())
    parameters = list(layer.parameters())
    for each, other in zip(gradients(found, parameters), gradients(expected, parameters), strict=True):
        torch.testing.assert_close(each, other, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("mode", "offsets"), [("projective", projective_offsets), ("thin-plate", thin_plate_offsets)])
def test_other_modes_are_their_functions(mode, offsets):
    torch.manual_seed(1)
    layer = moved(SpatialTransformer(2, None, mode, points=3, kernel="keys")).double()
    x = torch.randn(2, 2, 5, 4, dtype=torch.float64)
    close(layer(x).detach(), warp(x, offsets(layer.transform(x), x.shape), "keys", "border").detach())


def test_a_localisation_of_ones_own():
    seen = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 7))
    layer = SpatialTransformer(3, seen, features=7)
    assert layer.localisation is seen
    assert layer(torch.randn(2, 3, 5, 5)).shape == (2, 3, 5, 5)
    with pytest.raises(ArgumentError, match="localisation"):
        SpatialTransformer(3, seen, features=8)(torch.randn(2, 3, 5, 5))


def test_an_empty_localisation_is_one():
    """`nn.Sequential()` is false, and returns the image as it is: here features."""
    seen = nn.Sequential()
    assert SpatialTransformer(3, seen, features=7).localisation is seen


def test_zooming_out_adds_no_frame():
    """A uniform background of −0.4242, normalised as digits are, zoomed out by two."""
    background = torch.full((1, 1, 28, 28), -0.4242)
    theta = 2 * torch.eye(2, 3)[None]
    tutorials = functional.grid_sample(
        background, functional.affine_grid(theta, (1, 1, 28, 28), align_corners=False), align_corners=False
    )
    layer = SpatialTransformer(1)
    with torch.no_grad():
        layer.head.bias.copy_(theta.flatten())
    ours = layer(background)
    assert float(tutorials.mean()) == pytest.approx(-0.4242 / 4, rel=1e-5)
    assert float(tutorials.std()) > 0.18
    torch.testing.assert_close(ours, background)


# ---- errors


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: affine_offsets(torch.zeros(1, 3, 3), (1, 1, 4, 4)), "theta"),
        (lambda: affine_offsets(torch.zeros(1, 2, 3), (1, 1)), "size"),
        (lambda: affine_offsets(torch.zeros(1, 2, 3), (1, 1, 0, 3)), "size"),
        (lambda: affine_offsets(torch.zeros(1, 2, 3), (1, 1, 4, 4), 1), "align_corners"),
        (lambda: affine_offsets(torch.zeros(1, 2, 3), (1, 1, 4, 4), image_size=(4,)), "image_size"),
        (lambda: projective_offsets(torch.zeros(1, 2, 3), (1, 1, 4, 4)), "theta"),
        (lambda: projective_offsets(torch.zeros(1, 3, 3), (1, 1, 4)), "size"),
        (lambda: thin_plate_offsets(torch.zeros(1, 5, 2), (1, 1, 4, 4)), "theta"),
        (lambda: thin_plate_offsets(torch.zeros(1, 4, 2), (1, 1, 4)), "size"),
        (
            lambda: thin_plate_offsets(torch.zeros(1, 4, 2), (1, 1, 4, 4), control_points=torch.zeros(4, 2)),
            "control_points",
        ),
        (
            lambda: thin_plate_offsets(torch.zeros(1, 5, 2), (1, 1, 4, 4), control_points=torch.eye(4, 2)),
            "control_points",
        ),
        (lambda: SpatialTransformer(0), "in_channels"),
        (lambda: SpatialTransformer(3, mode="other"), "mode"),
        (lambda: SpatialTransformer(3, mode="projective", dim=3), "dim"),
        (lambda: SpatialTransformer(3, dim=4), "dim"),
        (lambda: SpatialTransformer(3, size=(4,)), "size"),
        (lambda: SpatialTransformer(3, size=4), "size"),
        (lambda: SpatialTransformer(3, size=(4, 0.5)), "size"),
        (lambda: SpatialTransformer(3, points=1), "points"),
        (lambda: SpatialTransformer(3, features=0), "features"),
        (lambda: SpatialTransformer(3)(torch.zeros(1, 2, 4, 4)), "input"),
        (lambda: SpatialTransformer(3)(torch.zeros(1, 3, 4)), "input"),
        (lambda: SpatialTransformer(3)([1.0]), "input"),
        (lambda: SpatialTransformer(3)(torch.zeros(1, 3, 4, 4, dtype=torch.float64)), "input"),
        (lambda: SpatialTransformer(3, nn.Flatten(), features=48)(torch.zeros(1, 3, 4, 4).double()), "localisation"),
        (lambda: affine_offsets(torch.zeros(1, 2, 3), (5, 1, 4, 4)), "theta"),
        (lambda: projective_offsets(torch.zeros(1, 3, 3), (2, 1, 4, 4)), "theta"),
        (lambda: thin_plate_offsets(torch.zeros(1, 4, 2), (2, 1, 4, 4)), "theta"),
        (lambda: affine_offsets([[1.0, 0.0]], (1, 1, 4)), "theta"),
        (lambda: affine_offsets(torch.tensor(0.0), (1, 1, 4)), "theta"),
        (lambda: affine_offsets(torch.zeros(1, 1, 2), 4), "size"),
        (lambda: affine_offsets(torch.zeros(1, 1, 2), (1, 1, 4), image_size=4), "image_size"),
        (lambda: thin_plate_offsets(torch.zeros(4), (1, 1, 4, 4)), "theta"),
        (lambda: thin_plate_offsets(torch.zeros(1, 4, 3), (1, 1, 4, 4)), "theta"),
        (lambda: thin_plate_offsets(torch.zeros(1, 4, 2), (1, 1, 4, 4), control_points=[0.0]), "control_points"),
        (
            lambda: thin_plate_offsets(torch.zeros(1, 4, 2), (1, 1, 4, 4), control_points=torch.ones(4)),
            "control_points",
        ),
    ],
)
def test_errors_name_the_argument(call, argument):
    with pytest.raises(WarpTheoryError, match=f"^{argument}: "):
        call()
