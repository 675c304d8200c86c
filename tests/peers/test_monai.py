"""MONAI's cases for its `Warp` and `grid_pull`: inputs and expected values.

Source: Project-MONAI/MONAI, tests/networks/blocks/warp/test_warp.py and tests/testing_data/1D_BP_fwd.txt (Apache-2.0);
only the numbers are taken over, which are printed to four decimals there.
"""

import numpy as np
import pytest
import sympy as sp
import torch

import warptheory as wt
from warptheory.kernels import POSITION, Piece, PiecewiseKernel

HALF = sp.Rational(1, 2)
QUADRATIC = PiecewiseKernel(
    name="bspline2",
    pieces=(
        Piece(-3 * HALF, -HALF, sp.expand((POSITION + 3 * HALF) ** 2 / 2)),
        Piece(-HALF, HALF, sp.Rational(3, 4) - POSITION**2),
        Piece(HALF, 3 * HALF, sp.expand((3 * HALF - POSITION) ** 2 / 2)),
    ),
    reproduces=1,
    source="M. Unser, IEEE Signal Process. Mag. 16(6), 1999",
)
PRINTED = {"rtol": 0, "atol": 6e-5}

# Size, offset of every pixel along every axis, kernel, boundary, the result in C order; the image counts its pixels.
WARPS = {
    "nearest, zeros": ((2, 2), 0, "nearest", "zeros", [0, 1, 2, 3]),
    "linear, zeros": ((2, 2), 1, "linear", "zeros", [3, 0, 0, 0]),
    "linear, border": ((2, 2, 2), -1, "linear", "border", [0, 0, 0, 0, 0, 0, 0, 0]),
    "linear, reflection": ((2, 2, 2), -1, "linear", "mirror", [7, 6, 5, 4, 3, 2, 1, 0]),
    "quadratic, border": ((2, 2, 2), -1, QUADRATIC, "border", [0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875]),
    "quadratic, reflection": ((2, 2, 2), -1, QUADRATIC, "mirror", [5.25, 4.75, 4.25, 3.75, 3.25, 2.75, 2.25, 1.75]),
    "quadratic, zeros": (
        (2, 2, 2),
        -1,
        QUADRATIC,
        "zeros",
        [0, 0.0020, 0.0039, 0.0410, 0.0078, 0.0684, 0.0820, 0.6699],
    ),
    "cubic, reflection": (
        (2, 2, 2),
        1,
        "bspline3",
        "mirror",
        [4.6667, 4.3333, 4.0, 3.6667, 3.3333, 3.0, 2.6667, 2.3333],
    ),
}


@pytest.mark.parametrize("name", WARPS)
def test_warp(name):
    size, shift, kernel, boundary, expected = WARPS[name]
    image = torch.arange(float(np.prod(size))).reshape(1, 1, *size)
    offsets = torch.full((1, len(size), *size), float(shift))
    found = wt.warp(image, offsets, kernel, boundary)
    np.testing.assert_allclose(found.flatten().numpy(), expected, **PRINTED)


# Where the linear and the quadratic spline read 0 … 9 at n + ½, n = 0 … 19, which they do alike; the nearest pixel;
# and where the cubic spline differs from the first.
RISING = [n + 0.5 for n in range(9)]
HALFWAY = {
    "border": [*RISING, *[9.0] * 11],
    "mirror": [*RISING, *RISING[::-1], 0.5, 1.5],
    "reflect": [*RISING, 9.0, *RISING[::-1], 0.0],
    "periodic": [*RISING, 4.5, *RISING, 4.5],
    "zeros": [*RISING, 4.5, *[0.0] * 10],
}
NEAREST = {
    "border": [*range(1, 10), *[9] * 11],
    "mirror": [*range(1, 10), *range(8, -1, -1), 1, 2],
    "reflect": [*range(1, 10), *range(9, -1, -1), 0],
    "periodic": [*range(1, 10), *range(10), 0],
    "zeros": [*range(1, 10), *[0] * 11],
}
CUBIC = {
    "border": {0: 0.5208, 8: 8.4792, 9: 8.9792},
    "mirror": {0: 0.5417, 8: 8.4583, 9: 8.4583, 17: 0.5417, 18: 0.5417},
    "reflect": {0: 0.5208, 8: 8.4792, 9: 8.9583, 10: 8.4792, 18: 0.5208, 19: 0.0417},
    "periodic": {0: 0.7083, 8: 8.2917, 10: 0.7083, 18: 8.2917},
    "zeros": {0: 0.5208, 8: 8.2917, 9: 4.4792, 10: 0.1875},
}


@pytest.mark.parametrize("boundary", HALFWAY)
def test_grid_pull(boundary):
    image, offsets = torch.arange(10.0)[None, None], torch.full((1, 1, 20), 0.5)
    cubic = [CUBIC[boundary].get(place, value) for place, value in enumerate(HALFWAY[boundary])]
    expected = {"nearest": NEAREST[boundary], "linear": HALFWAY[boundary], "bspline3": cubic}
    for kernel, values in [*expected.items(), (QUADRATIC, HALFWAY[boundary])]:
        found = wt.warp(image, offsets, kernel, boundary)
        np.testing.assert_allclose(found.flatten().numpy(), values, **PRINTED)
