"""B5's norms against dense linear algebra and SciPy's `svds`."""

import numpy as np
import pytest
import torch
from scipy import integrate, special

from warptheory import results, warping
from warptheory.results._setting import Setting
from warptheory.results.backward.column_sums import LargestColumnSumOfMany, SchurBound, SquaredNorm

MANY = "largest column sum, many pixels"


@pytest.mark.parametrize("kernel", ["nearest", "linear", "keys"])
@pytest.mark.parametrize(("dim", "pixels"), [(1, 24), (2, 5)])
def test_norms_are_those_of_dense_matrices(kernel, dim, pixels):
    """The same draws: NumPy's dense singular values, and Schur's bound from its column and row sums."""
    values = {"N": float(pixels)}
    setting = Setting(kernel, dim)
    squares = SquaredNorm(setting).sample(np.random.default_rng(1), 3, values)
    within = SchurBound(setting).sample(np.random.default_rng(1), 3, values)
    grid = (pixels,) * dim
    offsets = torch.from_numpy(np.random.default_rng(1).uniform(0, pixels, (3, dim, *grid)))
    for row in range(3):
        matrix = warping.warp_matrix(offsets[row : row + 1], grid, kernel, "periodic")[0].to_dense().numpy()
        norm = np.linalg.norm(matrix, 2)
        assert squares[row].item() == pytest.approx(norm**2, rel=1e-9)
        bound = np.linalg.norm(matrix, 1) * np.linalg.norm(matrix, np.inf)
        assert within[row].item() == float(norm**2 <= bound * (1 + 1e-10)) == 1.0
        if kernel == "nearest":
            assert norm**2 == pytest.approx(np.linalg.norm(matrix, 1), rel=1e-9)


@pytest.mark.parametrize(("dim", "pixels"), [(1, 64), (2, 8)])
def test_the_norm_is_the_largest_load(dim, pixels):
    """NumPy's bincount; 4.5 standard errors."""
    generator = np.random.default_rng(dim)
    loads = [np.bincount(generator.integers(0, pixels**dim, pixels**dim)).max() for _ in range(20_000)]
    exact = results.get("B5").evaluate("squared norm", kernel="nearest", dim=dim, standard=True)
    assert abs(np.mean(loads) - exact) < 4.5 * np.std(loads) / np.sqrt(len(loads))
    assert exact == results.get("B5").evaluate("largest column sum", kernel="nearest", dim=dim, N=pixels)


@pytest.mark.parametrize("pixels", [1024])
def test_largest_column_of_the_linear_kernel(pixels):
    """The law of one column by NumPy: sums of a Poisson number of uniform weights, independent from column to column.

    Neighbours share their outputs, which the limit leaves out: real columns agree to 2 %.
    """
    generator = np.random.default_rng(pixels)
    count = generator.poisson(2, 1_000_000)
    weights = generator.random(int(count.sum()))
    sums = np.zeros(len(count))
    np.add.at(sums, np.repeat(np.arange(len(count)), count), weights)
    largest = sums[: len(sums) // pixels * pixels].reshape(-1, pixels).max(1)
    exact = results.get("B5").evaluate(MANY, N=pixels, standard=True)
    # Against exp(−N P) there is (1 − P)ᴺ: a difference of order N P² where it matters, below 1/N.
    assert abs(largest.mean() - exact) < 4.5 * largest.std() / np.sqrt(len(largest)) + exact / pixels
    real = LargestColumnSumOfMany(Setting("linear", 1)).sample(generator, 300, {"N": float(pixels)}).numpy()
    assert abs(real.mean() / exact - 1) < 0.02


def tails_in_the_plane(per_unit):
    """P(S > t) at t = 0, h, 2h, …: Poisson(4) products of two uniform weights, of distribution w − w log w.

    Each weight's mass is shared between neighbours on a lattice of step h.
    """
    w = np.arange(per_unit + 1) / per_unit
    integral = w**2 / 2 - special.xlogy(w**2, w) / 2 + w**2 / 4
    below = np.diff(integral) * per_unit  # mean of the distribution function in each cell
    masses = np.zeros(32 * per_unit)
    masses[: per_unit + 1] = np.diff([0.0, *below, 1.0])
    sums = np.fft.irfft(np.exp(4 * (np.fft.rfft(masses) - 1)), len(masses))
    return 1 - np.cumsum(sums) + sums / 2


@pytest.mark.parametrize("size", [24, 64, 80])
def test_largest_column_of_the_linear_kernel_in_the_plane(size):
    """By the trapezoid rule over lattices of weights, whose error is of the order h²: 1e-6; real columns to 2 %.

    The library's own lattice holds the tail to 2e-8, which as many columns multiply.
    """
    numbers = []
    for per_unit in (512, 1024):
        tails = tails_in_the_plane(per_unit)
        tails[0] = 1 - np.exp(-4)
        numbers.append(integrate.trapezoid(-np.expm1(-(size**2) * tails), dx=1 / per_unit))
    exact = (4 * numbers[1] - numbers[0]) / 3
    found = results.get("B5").evaluate(MANY, dim=2, N=size)
    assert found == pytest.approx(exact, rel=2e-4)
    real = (
        LargestColumnSumOfMany(Setting("linear", 2))
        .sample(np.random.default_rng(size), 500, {"N": float(size)})
        .numpy()
    )
    assert abs(real.mean() / exact - 1) < 0.01 + 4.5 * real.std() / exact / np.sqrt(len(real))
