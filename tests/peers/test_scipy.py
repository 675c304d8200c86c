"""SciPy's own cases for boundaries and splines (scipy.ndimage.tests), worked out by SciPy while the test runs.

Its modes "constant" and "wrap" are no rule of ours: the first interpolates with the constant within the last pixel
alone, the second repeats with a period of one pixel less. "grid-mirror" is another name of "reflect".
"""

import numpy as np
import pytest
import torch
from scipy import ndimage

import warptheory as wt

MODES = {
    "nearest": "border",
    "mirror": "mirror",
    "reflect": "reflect",
    "grid-mirror": "reflect",
    "grid-wrap": "periodic",
    "grid-constant": "zeros",
}
NUMPY_MODES = {"border": "edge", "mirror": "reflect", "reflect": "symmetric", "periodic": "wrap", "zeros": "constant"}
PREFILTERED = "bspline3(prefilter=True)"
KERNELS = {0: "nearest", 1: "linear", 3: PREFILTERED}
POLE = 2 - 3**0.5
CLOSE = 1e-12  # rounding, of some operations on numbers of a few units


def scipys_own_error(mode, order, image):
    """Bound what SciPy's prefilter leaves out: powers of √3 − 2 from a distance on, along each axis."""
    if order < 3:
        return CLOSE
    beyond = {"nearest": 12, "grid-constant": 12, "reflect": 2 * min(image.shape), "grid-mirror": 2 * min(image.shape)}
    return CLOSE + 4 * image.ndim * POLE ** beyond.get(mode, np.inf) * 2 * np.abs(image).max()


def tensor(array):
    return torch.from_numpy(np.asarray(array, float))[None, None]


def warp(image, positions, kernel, boundary):
    """The image at positions (d, *T), as `map_coordinates` takes them."""
    positions = np.asarray(positions, float)
    offsets = positions - np.stack(np.meshgrid(*map(np.arange, positions.shape[1:]), indexing="ij"))
    return wt.warp(tensor(image), torch.from_numpy(offsets)[None], kernel, boundary)[0, 0].numpy()


def lattice(shape):
    return np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij")).astype(float)


@pytest.mark.parametrize("order", KERNELS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("shift", "length"), [(0.5, 7), (-0.9, 4), (0.0, 4), (-3.25, 30)])
def test_boundaries(shift, length, mode, order):
    """Four pixels, shifted; with −1 as the constant around them."""
    if order == 0 and shift == 0.5:
        shift = 0.45  # SciPy rounds what is halfway after it has mirrored it
    image, cval = np.array([1.0, 2.0, 3.0, 4.0]), -1.0
    theirs = ndimage.geometric_transform(
        image, lambda n: (n[0] + shift,), cval=cval, mode=mode, output_shape=(length,), order=order
    )
    around = cval if mode == "grid-constant" else 0.0
    ours = around + warp(image - around, lattice((length,)) + shift, KERNELS[order], MODES[mode])
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=scipys_own_error(mode, order, image))


@pytest.mark.parametrize("order", KERNELS)
@pytest.mark.parametrize("mode", MODES)
def test_spline_accuracy_at_boundaries(mode, order):
    """A ramp far beyond its ends, against SciPy on the pixels that numpy continues it by, and against SciPy itself."""
    ramp, positions, around = np.arange(-6.0, 7.0), np.linspace(-8, 15, 1000), 60
    ours = warp(ramp, [positions], KERNELS[order], MODES[mode])
    padded = np.pad(ramp, around, mode=NUMPY_MODES[MODES[mode]])
    expected = ndimage.map_coordinates(padded, [positions + around], order=order, mode="mirror")
    np.testing.assert_allclose(ours, expected, rtol=0, atol=CLOSE)
    theirs = ndimage.map_coordinates(ramp, [positions], order=order, mode=mode)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=scipys_own_error(mode, order, ramp))


@pytest.mark.parametrize("size", [(40,), (30, 35), (28, 26, 27)])
@pytest.mark.parametrize("mode", ["mirror", "reflect", "grid-wrap"])
def test_coefficients(mode, size):
    """The spline through pixels is the blurring spline of what SciPy's filter makes of them, where it is exact."""
    generator = np.random.default_rng(len(size))
    image = generator.normal(size=size)
    positions = generator.uniform(-20, 60, size=(len(size), *[4] * len(size)))
    through = warp(image, positions, PREFILTERED, MODES[mode])
    blurred = warp(ndimage.spline_filter(image, order=3, mode=mode), positions, "bspline3", MODES[mode])
    np.testing.assert_allclose(through, blurred, rtol=0, atol=CLOSE)
    np.testing.assert_allclose(warp(np.ones(size), positions, PREFILTERED, MODES[mode]), 1.0, rtol=0, atol=CLOSE)


@pytest.mark.parametrize("order", KERNELS)
@pytest.mark.parametrize("mode", MODES)
def test_affine_maps_and_shifts_of_images(mode, order):
    image = np.random.default_rng(0).normal(size=(23, 27))
    # No position is halfway between pixels.
    matrix, move = np.array([[0.9, -0.3], [0.25, 1.1]]) * 3**0.5 / 1.7, np.array([-4.3, 2.7])
    atol = scipys_own_error(mode, order, image)
    theirs = ndimage.affine_transform(image, matrix, move, mode=mode, order=order)
    positions = np.tensordot(matrix, lattice(image.shape), 1) + move[:, None, None]
    ours = warp(image, positions, KERNELS[order], MODES[mode])
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=atol)
    theirs = ndimage.shift(image, move, mode=mode, order=order)
    ours = warp(image, lattice(image.shape) - move[:, None, None], KERNELS[order], MODES[mode])
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=atol)
