import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from warptheory.core.normals import NormalNumbers, standard_normal
from warptheory.core.streams import Stream

SAMPLES = 2_000_000
Z = 4.42  # exceeded once in 10⁵


@pytest.fixture(scope="module")
def sample():
    return standard_normal(Stream(3, "normals").generator(), (SAMPLES,))


def test_distribution(sample):
    assert stats.kstest(sample, "norm").pvalue > 1e-4


@pytest.mark.parametrize("half", [slice(0, None, 2), slice(1, None, 2)])
def test_distribution_of_cosines_and_sines(sample, half):
    assert stats.kstest(sample[half], "norm").pvalue > 1e-4


@pytest.mark.parametrize("order", range(1, 9))
def test_moments(sample, order):
    def moment(n):
        return 0 if n % 2 else float(np.prod(np.arange(n - 1, 0, -2)))

    deviation = np.sqrt((moment(2 * order) - moment(order) ** 2) / SAMPLES)
    assert abs(np.mean(sample**order) - moment(order)) < Z * deviation


def test_tails(sample):
    """As many numbers beyond 4 as there should be."""
    expected = SAMPLES * 2 * stats.norm.sf(4)
    assert abs(np.sum(np.abs(sample) > 4) - expected) < Z * np.sqrt(expected)


@pytest.mark.parametrize("lag", [1, 2, 3, 4, 8, 1001])
@pytest.mark.parametrize("power", [1, 2])
def test_no_correlation(sample, lag, power):
    """Neither of neighbours, such as the two numbers of a pair, nor of their squares."""
    values = sample**power - (power == 2)
    correlation = np.mean(values[lag:] * values[:-lag]) / np.mean(values**2)
    assert abs(correlation) < Z / np.sqrt(SAMPLES - lag)


def test_box_and_muller_by_numpy():
    """The pair of a known address agrees with Philox in plain integers, and with its transform to 1e-15."""
    generator = Stream(0, "address").generator()
    key = [int(word) for word in Stream(0, "address").generator().integers(0, 2**32, 4, np.uint64)]
    found = standard_normal(generator, (1000,))
    for number in (0, 1, 2, 17, 499):
        a, b, c, d = philox((number, 0, key[2], key[3]), (key[0], key[1]))
        radius = np.sqrt(-2 * np.log(1 - ((a | b << 32) >> 12) * 2.0**-52))
        angle = (((c | d << 32) >> 12) * 2.0**-52 - 0.5) * np.pi / 2
        across, along = radius * np.sin(angle), radius * np.cos(angle) * (-1) ** (c & 1)
        expected = (across, along) if c & 2 else (along, across)
        np.testing.assert_allclose(found[2 * number : 2 * number + 2], expected, rtol=1e-15, atol=1e-15)


def philox(counter, key):
    """Return Philox 4×32 with 10 rounds, in Python's integers."""
    a, b, c, d = counter
    for n in range(10):
        left, right = 0xD2511F53 * a, 0xCD9E8D57 * c
        keys = [(k + n * w) % 2**32 for k, w in zip(key, (0x9E3779B9, 0xBB67AE85), strict=True)]
        a, b, c, d = (right >> 32) ^ b ^ keys[0], right % 2**32, (left >> 32) ^ d ^ keys[1], left % 2**32
    return a, b, c, d


def test_philox_of_the_tests_is_the_published_one():
    """Known answers of the authors' library, Random123."""
    assert philox((0,) * 4, (0,) * 2) == (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)
    full = 0xFFFFFFFF
    assert philox((full,) * 4, (full,) * 2) == (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 31, 1001])
def test_sizes(size):
    """All of an array is filled, if its size is odd as well."""
    generator = Stream(1, "sizes").generator()
    found = standard_normal(generator, (size,))
    assert found.shape == (size,)
    assert len(np.unique(found)) == size


def test_parts_are_the_whole():
    whole = standard_normal(Stream(1, "parts").generator(), (100,))
    numbers, parts = NormalNumbers(Stream(1, "parts").generator()), np.empty((5, 2, 10))
    for part in parts:
        numbers.fill(part)
    np.testing.assert_array_equal(parts.ravel(), whole)


def test_streams_differ():
    draws = [standard_normal(Stream(1, "a", chunk).generator(), (1000,)) for chunk in (0, 0, 1)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert not np.any(draws[0] == draws[2])
    generator = Stream(1, "a").generator()
    assert not np.any(standard_normal(generator, (1000,)) == standard_normal(generator, (1000,)))


def test_float32_is_rounded():
    single, double = np.empty((3, 5), np.float32), np.empty((3, 5))
    for out in (single, double):
        NormalNumbers(Stream(2, "rounded").generator()).fill(out)
    np.testing.assert_array_equal(single, double.astype(np.float32))


def test_import_compiles_nothing():
    script = "import sys, warptheory.core.normals; print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
