"""Circulant embedding: the covariance on the grid is the wanted one exactly, and fields have it within their errors."""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest
import sympy as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import fft, stats

from warptheory.core.errors import ArgumentError
from warptheory.core.streams import Stream
from warptheory.fields import (
    Exponential,
    FieldSampler,
    Matern,
    NotPositiveDefinite,
    PowerLaw,
    RationalQuadratic,
    SquaredExponential,
    White,
    kept_sampler,
)
from warptheory.fields.covariance import CovarianceFunction, RadialCovariance

SHEAR = ((1, "1/2"), (0, "3/2"))
CASES = {
    "smooth": (SquaredExponential(length=4, variance=2), (24, 17)),
    "short": (SquaredExponential(length="1/3"), (5, 9)),
    "rough": (Exponential(length=6), (16, 16)),
    "Bessel": (Matern(length=3, nu="4/5"), (12, 31)),
    "sheared": (Exponential(length=5, anisotropy=SHEAR), (14, 15)),
    "heavy tails": (RationalQuadratic(length=2, alpha=3), (10, 10)),
    "photographs": (PowerLaw(length=8), (12, 12)),
    "sum": (SquaredExponential(length=6) + White(variance="1/10"), (16, 16)),
    "product": (SquaredExponential(length=9) * Exponential(length=4), (16, 16)),
    "line": (Matern(length=7, dim=1), (200,)),
    "volume": (SquaredExponential(length=2, dim=3), (8, 9, 6)),
    "one pixel": (Exponential(length=3), (1, 1)),
    "white": (White(), (6, 7)),
}


def grid_lags(size):
    """All lags between two pixels of a grid, both signs."""
    return np.array(list(itertools.product(*(range(1 - n, n) for n in size))))


@pytest.mark.parametrize("case", CASES)
def test_embedding_is_exact(case):
    """The torus' covariance, from the eigenvalues that fields are made of, at every lag of the grid."""
    covariance, size = CASES[case]
    sampler = FieldSampler(covariance, size)
    torus, eigenvalues, _ = sampler._embedding
    assert sampler.clipped == 0.0
    assert eigenvalues.min() >= 0
    on_torus = fft.ifftn(eigenvalues).real
    lags = grid_lags(size)
    found = on_torus[tuple((lags % torus).T)]
    # Correlations below 2e-15 are taken for zero, and a transform of N values rounds by some 1e-16·log N.
    np.testing.assert_allclose(found, covariance.at(lags.astype(float)), atol=3e-14 * float(covariance.variance))


@pytest.mark.parametrize("case", ["smooth", "rough", "line", "volume", "sheared"])
def test_periodic_fields_have_the_covariance_of_the_torus(case):
    """Σ_j C(τ + Nj) at every lag."""
    covariance, size = CASES[case]
    sampler = FieldSampler(covariance, size, periodic=True)
    assert sampler.torus == size
    lags = grid_lags(size).astype(float)
    shells = {1: 20, 2: 12, 3: 4}[len(size)]  # in space 24 pixels, where exp(−72) is left
    images = itertools.product(range(-shells, shells + 1), repeat=len(size))
    wanted = sum(covariance.at(lags + np.multiply(j, size)) for j in images)
    found = fft.ifftn(sampler._embedding[1]).real[tuple((grid_lags(size) % size).T)]
    np.testing.assert_allclose(found, wanted, atol=1e-12 * float(covariance.variance))


def test_spacing_scales_the_lags():
    """Points 0.4 pixels apart of ℓ = 4 are points a pixel apart of ℓ = 10."""
    near = SquaredExponential(length=4).sample(2, (9, 9), Stream(1, "spacing").generator(), spacing=0.4)
    far = FieldSampler(SquaredExponential(length=10), (9, 9)).sample(2, Stream(1, "spacing").generator())
    # Eigenvalues that are zero to rounding, 1e-16, enter by their roots.
    torch.testing.assert_close(near, far, rtol=0, atol=1e-6)


def test_pairs_are_independent_and_normal():
    """Real and imaginary part of one transform: no correlation between neighbouring fields, and Gaussian pixels."""
    sampler = FieldSampler(SquaredExponential(length=2), (8, 8))
    fields = sampler.sample(6000, Stream(1, "pairs").generator())[:, 0]
    first, second = fields[0::2, 4, 4].numpy(), fields[1::2, 4, 4].numpy()
    assert abs(np.corrcoef(first, second)[0, 1]) < 4 / math.sqrt(len(first))
    assert stats.kstest(np.concatenate([first, second]), "norm").pvalue > 1e-3


@settings(max_examples=20)
@given(batch=st.integers(0, 7), channels=st.integers(1, 3), pixels=st.integers(1, 9))
def test_blocks_do_not_change_the_numbers(batch, channels, pixels):
    """A bound on memory changes how many fields are made at a time, not which."""
    covariance = Exponential(length=2, dim=1)
    smallest = FieldSampler(covariance, (pixels,))
    torus = smallest.torus[0]
    tight = FieldSampler(covariance, (pixels,), memory=3 * 16 * torus)
    roomy, bounded = (
        sampler.sample(batch, Stream(3, "blocks").generator(), channels=channels) for sampler in (smallest, tight)
    )
    assert roomy.shape == (batch, channels, pixels)
    assert torch.equal(roomy, bounded)


@pytest.mark.parametrize("law", ["uniform", "laplace", "exponential", "mixture", "normal"])
def test_other_laws_of_single_pixels(law):
    """Pixels follow the law (Kolmogorov–Smirnov against the library's own sampler's law by SciPy), of variance C(0)."""
    sampler = FieldSampler(SquaredExponential(length="1/4", variance=4), (40, 40))
    values = sampler.sample(4, Stream(2, law).generator(), law=law).flatten().numpy() / 2
    frozen = {
        "uniform": stats.uniform(-math.sqrt(3), 2 * math.sqrt(3)),
        "laplace": stats.laplace(scale=math.sqrt(0.5)),
        "exponential": stats.expon(loc=-1),
        "normal": stats.norm(),
    }.get(law)
    # Lags of a pixel and more have correlations below exp(−8): the pixels are all but independent.
    if frozen is not None:
        assert stats.kstest(values, frozen.cdf).pvalue > 1e-3
    assert values.mean() == pytest.approx(0, abs=5 / math.sqrt(len(values)))
    assert values.var() == pytest.approx(1, abs=5 * math.sqrt((np.mean(values**4) - 1) / len(values)))


def test_a_bound_on_memory_is_kept_or_refused():
    big = SquaredExponential(length=2, dim=3)
    with pytest.raises(
        ArgumentError, match="^memory: expected at least .* bytes, for a torus of .128, 128, 128. pixels"
    ):
        FieldSampler(big, (128, 128, 128), memory=2**24)
    sampler = FieldSampler(big, (32, 32, 32), memory=3 * 16 * 32**3)
    with pytest.raises(ArgumentError, match="^memory: expected at least"):
        sampler.sample(1, Stream(0, "memory").generator())


class Box(RadialCovariance):
    """ρ = 1 up to a length and 0 beyond: no covariance at all."""

    def correlation(self, distance):
        raise NotImplementedError

    def _values(self, lags):
        return (np.linalg.norm(lags, axis=-1) <= 3).astype(float)


def test_what_is_no_covariance_is_refused():
    sampler = FieldSampler(Box(dim=2), (16, 16))
    with pytest.raises(NotPositiveDefinite, match="of the variance, more than the tolerance .* Either this is no"):
        sampler.sample(1, Stream(0, "box").generator())
    tolerant = FieldSampler(Box(dim=2), (16, 16), tolerance=0.5)
    assert 0.05 < tolerant.clipped < 0.5


@dataclass(frozen=True)
class Tent(RadialCovariance):
    """ρ = max(0, 1 − r/ℓ), a covariance on a line, and on no more axes: S has negative values there."""

    def correlation(self, distance):
        return sp.Max(0, 1 - distance / self.length)


@pytest.mark.parametrize(("dim", "size"), [(1, (60,)), (2, (16, 16)), (3, (6, 6, 6))])
def test_a_tent_is_a_covariance_on_a_line_alone(dim, size):
    sampler = FieldSampler(Tent(length=5, dim=dim), size)
    if dim == 1:
        assert sampler.clipped == 0
        assert sampler.sample(2, Stream(0, "tent").generator()).shape == (2, 1, 60)
        return
    with pytest.raises(
        NotPositiveDefinite, match=rf"^Tent\(length=5.* on a grid of \({size[0]}, .* no covariance in {dim} dim"
    ):
        sampler.sample(1, Stream(0, "tent").generator())
    assert 0.01 < FieldSampler(Tent(length=5, dim=dim), size, tolerance=0.5).clipped < 0.5


def test_long_correlations_are_clipped_as_far_as_allowed():
    """RationalQuadratic(α = 1/2) falls as 1/r: no torus that can be afforded is long enough, and the loss is known."""
    slow = RationalQuadratic(length=6, alpha="1/2")
    with pytest.raises(NotPositiveDefinite):
        FieldSampler(slow, (16, 16)).sample(1, Stream(0, "slow").generator())
    clipped = FieldSampler(slow, (16, 16), tolerance=1e-2)
    assert 0 < clipped.clipped <= 1e-2
    with pytest.raises(ArgumentError, match="^size: expected a period over"):
        FieldSampler(slow, (16, 16), periodic=True).sample(1, Stream(0, "slow").generator())


COVARIANCE = SquaredExponential(length=2)
BAD = {
    "axes": (lambda: FieldSampler(COVARIANCE, (8,)), "^size: expected 2 positive integers"),
    "empty": (lambda: FieldSampler(COVARIANCE, (8, 0)), "^size: expected 2 positive integers"),
    "floats": (lambda: FieldSampler(COVARIANCE, (8.0, 8)), "^size: expected 2 positive integers"),
    "axes too many": (lambda: FieldSampler(COVARIANCE, (8, 8, 8)), r"^size: .* 2 positive .*, got \(8, 8, 8\)"),
    "a number": (lambda: FieldSampler(COVARIANCE, 8), "^size: expected 2 positive integers, got 8"),
    "truth": (lambda: FieldSampler(COVARIANCE, (True, 8)), "^size: expected 2 positive integers"),
    "name": (lambda: FieldSampler("matern", (8, 8)), "^covariance: expected a covariance, got 'matern'"),
    "spacing": (lambda: FieldSampler(COVARIANCE, (8, 8), spacing=0), "^spacing: expected a finite distance > 0, got 0"),
    "nan": (lambda: FieldSampler(COVARIANCE, (8, 8), spacing=math.nan), "^spacing: expected a finite .*, got nan"),
    "infinity": (lambda: FieldSampler(COVARIANCE, (8, 8), spacing=math.inf), "^spacing: expected a finite .*, got inf"),
    "text": (lambda: FieldSampler(COVARIANCE, (8, 8), spacing="1"), "^spacing: expected a finite .*, got '1'"),
    "tolerance": (lambda: FieldSampler(COVARIANCE, (8, 8), tolerance=-1e-3), r"^tolerance: .* \[0, 1\), got -0.001"),
    "tolerance nan": (lambda: FieldSampler(COVARIANCE, (8, 8), tolerance=math.nan), "^tolerance: .* a share .* nan"),
    "memory": (lambda: FieldSampler(COVARIANCE, (8, 8), memory=math.nan), "^memory: expected a number of bytes .* nan"),
    "a large grid": (
        lambda: FieldSampler(COVARIANCE, (10**6, 10**6)),
        r"^memory: expected at least 48000000000000 bytes, for a torus of \(1000000, 1000000\) pixels, got 2147483648",
    ),
    "symbol": (lambda: symbolic_draw(), "^variance: expected a number, to compute with, got v"),
    "batch": (lambda: draw(-1), r"^batch: expected batch ≥ 0 and channels ≥ 1, got \(-1, 1\)"),
    "a broken batch": (lambda: draw(1.5), r"^batch: expected batch ≥ 0 .*, got \(1.5, 1\)"),
    # More than a process can address, and more than torch can count.
    "a large batch": (lambda: draw(2**42), "^batch: expected fields that fit in memory on cpu, got .* bytes"),
    "many channels": (lambda: draw(2**30, channels=2**30), "^batch: expected fields that fit in memory on cpu"),
    "a huge batch": (lambda: draw(10**30), f"^batch: expected fields that fit in memory on cpu, got {10**30} of"),
    "channels": (lambda: draw(1, channels=0), "^batch: expected batch ≥ 0 and channels"),
    "dtype": (lambda: draw(1, dtype=torch.float16), "^dtype: expected torch.float32 or torch.float64"),
    "law": (lambda: draw(1, law="cauchy"), "^law: expected one of"),
    "atoms": (lambda: draw(1, law="rademacher"), "^law: expected a law with a density"),
}


def symbolic_draw():
    covariance = Matern(variance=sp.Symbol("v", positive=True))
    return covariance.sample(1, (8, 8), Stream(0, "bad").generator())


def draw(batch, **options):
    return FieldSampler(COVARIANCE, (8, 8)).sample(batch, Stream(0, "bad").generator(), **options)


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    call, message = BAD[case]
    with pytest.raises(ArgumentError, match=message):
        call()


def test_is_a_covariance():
    assert isinstance(COVARIANCE + White(), CovarianceFunction)


def test_a_kept_sampler_is_worked_out_once_and_only_for_the_same_field():
    one = kept_sampler(Exponential(2.0, dim=2), (8, 9), periodic=True)
    assert kept_sampler(Exponential(2.0, dim=2), [8, 9], periodic=True) is one
    others = [(Exponential(2.5, dim=2), (8, 9), 1.0), (Exponential(2.0, dim=2), (9, 8), 1.0)]
    for covariance, size, spacing in (*others, (Exponential(2.0, dim=2), (8, 9), 0.5)):
        assert kept_sampler(covariance, size, spacing, periodic=True) == FieldSampler(covariance, size, spacing, True)
