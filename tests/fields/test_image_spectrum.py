"""Spectra of images: known ones are found again within standard errors, and C and S are a pair."""

import itertools
import math

import numpy as np
import pytest
import sympy as sp
import torch
from scipy import special, stats

from warptheory.core.errors import ArgumentError, UnknownNameError
from warptheory.core.streams import Stream
from warptheory.fields import FieldSampler, ImageSpectrum, Matern, PowerLaw, White, photographs
from warptheory.fields.periodogram import periodogram, radial_mean, rings, wavenumbers

TABLE = ImageSpectrum(np.array([0.5, 1.2, 3.3, 4.2]), np.array([[8.0, 2.0, 0.5, 0.2], [4.0, 1.0, 0.3, 0.2]]))
CAMERA = ImageSpectrum.of_photograph("camera")


def fields(covariance, count, size, **options):
    sampler = FieldSampler(covariance, (size, size), **options)
    return sampler.sample(count, Stream(3, repr(covariance)).generator())


def test_the_window_smooths_by_as_much_as_is_said():
    """Powers |j|^−β convolved with the periodogram of a wave, 1/6, 4/6, 1/6 along each axis: β²/6j² and higher."""
    wave = torch.cos(2 * math.pi * 8 / 32 * torch.arange(32, dtype=torch.float64))[:, None].expand(32, 32)
    power = periodogram(wave)
    along = power[7:10, 0] / power[7:10, 0].sum()
    np.testing.assert_allclose(along, np.array([1, 4, 1]) / 6, atol=1e-12)
    np.testing.assert_allclose(power[8, [-1, 0, 1]] / power[8, [-1, 0, 1]].sum(), along, atol=1e-12)
    j = np.arange(2, 40.0)
    for beta in (2.0, 3.0):
        shifts = np.array([-1.0, 0, 1])
        smoothed = sum(
            a * b * np.hypot(j + u, v) ** -beta
            for a, u in zip(along, shifts, strict=True)
            for b, v in zip(along, shifts, strict=True)
        )
        excess = (smoothed / j**-beta - 1) * 6 * j**2 / beta**2
        assert np.abs(excess[4:] - 1).max() < 0.15  # the next order is a share (β + 2)²/j² or so
        assert excess.max() < 2.0


def bound(count):
    """|z| of `count` normal scores, surpassed in one run of a thousand (Bonferroni)."""
    return stats.norm.isf(0.001 / 2 / count)


def test_parseval():
    """The mean of the periodogram is the variance under the window, written with NumPy's own periodic Hann window."""
    images = 3 + torch.randn(2, 12, 17, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights = np.outer(np.hanning(13)[:-1], np.hanning(18)[:-1])
    x = images.numpy()
    mean = np.array([np.average(image, weights=weights) for image in x])[:, None, None]
    variance = np.sum(weights**2 * (x - mean) ** 2, (1, 2)) / np.sum(weights**2)
    np.testing.assert_allclose(periodogram(images).mean((1, 2)), variance, rtol=1e-13)


def expected_density(covariance, size):
    """The mean of the estimate: the transform of C(m) times the autocorrelation of the window, over the rings.

    On every frequency of a ring the mean's removal changes nothing, so that this is exact.
    """
    window = np.hanning(size + 1)[:-1]
    overlap = np.correlate(window, window, "full") / (window @ window)
    lags = np.arange(1 - size, size)
    values = covariance.at(np.stack(np.meshgrid(lags, lags, indexing="ij"), -1).astype(float))
    waves = np.exp(-2j * math.pi * np.outer(np.arange(size), lags) / size) * overlap
    exact = (waves @ values @ waves.T).real
    k = wavenumbers((size, size))
    ring, centres = rings(k, 2 * math.pi / size)
    return centres, radial_mean(exact, k, ring, centres)


@pytest.mark.parametrize(
    "covariance",
    [Matern(length=3), Matern(length=2, nu="5/2", variance=4), PowerLaw(length=6, exponent=3), White(variance=2)],
    ids=repr,
)
def test_known_spectra_are_found(covariance):
    """Every ring against the exact mean of the estimate, 400 fields, standard errors between them."""
    found = ImageSpectrum.of(fields(covariance, 400, 32))
    centres, wanted = expected_density(covariance, 32)
    np.testing.assert_allclose(found.wavenumbers, centres, rtol=1e-14)
    scores = (found.density - wanted) / found.density_error
    assert np.abs(scores).max() < bound(len(scores))


def power_law_spectrum():
    """Four patches of 64 pixels from each of 48 periodic fields of 128."""
    covariance = PowerLaw(length=4, exponent="5/2", inner="1/2")
    return covariance, ImageSpectrum.of(fields(covariance, 48, 128, periodic=True), patch=64)


def test_the_exponent_lies_within_its_error():
    """β and A against a fit to the exact S on the same rings, four errors and the bias of the window apart.

    The window raises the j-th frequency by β²/6j² or less: from 9 % at j = 3.4 to 0.6 % at j = 13 on this band. A
    share of b at one end of log ω, and less beyond, turns the slope by b/2 and A by b at most.
    """
    covariance, found = power_law_spectrum()
    band = (0.34, 1.3)
    fit = found.power_law(band)
    k = found.wavenumbers[(found.wavenumbers >= band[0]) & (found.wavenumbers <= band[1])]
    slope, constant = np.polyfit(np.log(k), [math.log(covariance.spectral_density(sp.Float(w))) for w in k], 1)
    frequency = k[0] * 64 / (2 * math.pi)
    bias = 2.5**2 / (6 * frequency**2)
    assert fit.band == band
    assert 0 < fit.exponent_error < 0.05
    assert abs(fit.exponent + slope) < 4 * fit.exponent_error + bias / 2
    assert abs(fit.amplitude / math.exp(constant) - 1) < 4 * fit.amplitude_error / fit.amplitude + bias


def test_errors_of_the_fit_are_the_spread_of_fits():
    """Jackknife errors against the standard deviation between fits to 40 independent sets of 20 fields.

    The deviation of 40 values is uncertain by 1/√78 = 11 %, and the mean jackknife error by less.
    """
    batches = fields(Matern(length=3), 800, 24).split(20)
    fits = [ImageSpectrum.of(batch).power_law((0.6, 3.0)) for batch in batches]
    for value in ("exponent", "amplitude"):
        spread = np.std([getattr(fit, value) for fit in fits], ddof=1)
        error = np.sqrt(np.mean([getattr(fit, f"{value}_error") ** 2 for fit in fits]))
        assert error == pytest.approx(spread, rel=4 * 0.13)


@pytest.mark.parametrize("name", [name for name in photographs.names() if name != "retina"])
def test_photographs_are_near_inverse_squares(name):
    """Published exponents of natural images scatter about 2; the retina, seen through the eye, is as smooth as 3.7."""
    fit = ImageSpectrum.of_photograph(name).power_law()
    assert 1.5 < fit.exponent < 3.5
    assert 0 < fit.exponent_error < 0.6
    assert fit.amplitude > 2 * fit.amplitude_error


@pytest.mark.parametrize("name", ["gravel", "grass", "hubble_deep_field", "ihc"])
@pytest.mark.parametrize("lag", [1, 3])
def test_differences_within_photographs(name, lag):
    """E(x(t + τ) − x(t))² = 2(C(0) − C(τ)) against the pixels themselves, mean over both axes.

    Textures that are alike all over; within five standard errors between patches.
    """
    spectrum, image = ImageSpectrum.of_photograph(name), photographs.load(name, grey=True)
    measured = (
        sum(
            float(
                (image.narrow(a, lag, image.shape[a] - lag) - image.narrow(a, 0, image.shape[a] - lag)).square().mean()
            )
            for a in (1, 2)
        )
        / 2
    )
    found = [ImageSpectrum(spectrum.wavenumbers, row[None]) for row in spectrum.densities]
    differences = np.array([2 * float(one(0.0) - one(float(lag))) for one in found])
    error = differences.std(ddof=1) / math.sqrt(len(differences))
    assert abs(differences.mean() - measured) < 5 * error
    assert error < 0.08 * measured


def test_the_variance_is_that_of_the_patches():
    """C(0) against the mean of the periodogram, which is the variance under the window.

    The rings lack |jᵢ| ≤ 1, where the density is held constant; for a field that is much shorter than the patch that
    changes at most 9 of 32² frequencies, all near the largest density.
    """
    images = fields(Matern(length=1, variance=3), 200, 32)
    found = ImageSpectrum.of(images)
    share = 9 * found.density[0] / 32**2
    assert float(found.variance) == pytest.approx(periodogram(images).mean(), abs=share)
    errors = periodogram(images).mean((1, 2, 3))
    assert float(found.variance) == pytest.approx(3, abs=share + 5 * errors.std() / math.sqrt(200))


@pytest.mark.parametrize("spectrum", [TABLE, CAMERA], ids=["table", "camera"])
def test_variance_moments_and_covariance_agree(spectrum):
    """C(0) is the moment of order zero, and C falls from it by λ₂ and λ₄, by differences, extrapolated."""
    assert float(spectrum.variance) == pytest.approx(float(spectrum.spectral_moment(0, 0)), rel=1e-12)
    assert spectrum(0.0) == pytest.approx(float(spectrum.variance), rel=1e-12)
    assert spectrum.spectral_moment(1, 0) == spectrum.spectral_moment(2, 3) == 0
    assert spectrum.second_moment(0) == pytest.approx(spectrum.second_moment(1), rel=1e-12)

    def slope(step):
        return -2 * float(spectrum(step) - spectrum(0.0)) / step**2

    def curvature(step):
        return float(2 * spectrum(2 * step) - 8 * spectrum(step) + 6 * spectrum(0.0)) / step**4

    # Two extrapolations leave a relative h⁶λ₈/(λ₂ 8!) or so, with ω ≤ π and h = 0.04 below 1e-8; rounding is 1e-16/h².
    coarse, middle, fine = (slope(h) for h in (0.16, 0.08, 0.04))
    first, second = (4 * middle - coarse) / 3, (4 * fine - middle) / 3
    assert (16 * second - first) / 15 == pytest.approx(float(spectrum.second_moment()), rel=1e-6)
    assert (4 * curvature(0.05) - curvature(0.1)) / 3 == pytest.approx(float(spectrum.fourth_moment()), rel=1e-3)


@pytest.mark.parametrize("lag", [(0.0, 0.0), (1.0, 0.0), (2.0, 1.0), (-3.5, 4.25), (11.0, 7.0)])
def test_covariance_is_the_transform_of_the_density(lag):
    """The midpoint rule on 2000² frequencies, which errs by some (π/2000)² times curvatures and kinks of S."""
    omega = (np.arange(2000) + 0.5) * math.pi / 2000
    k = np.hypot(omega[:, None], omega)
    density = np.exp(np.interp(np.log(k), np.log(TABLE.wavenumbers), np.log(TABLE.density)))
    for position in [(3, 4), (900, 1700), (1999, 1999)]:
        exact = density[position]
        assert float(TABLE.spectral_density(*(sp.Float(omega[i]) for i in position))) == pytest.approx(exact, rel=1e-12)
    total = np.cos(lag[0] * omega) @ density @ np.cos(lag[1] * omega) / 2000**2
    assert TABLE.at(np.array(lag)) == pytest.approx(total, abs=2e-6 * float(TABLE.variance))
    assert float(TABLE.expression(*map(sp.Float, lag))) == pytest.approx(total, abs=2e-6 * float(TABLE.variance))


def test_isotropy_ends_with_the_square():
    """Axis against diagonal at |τ| = 1: 0 and sinc²(1/√2) for a flat spectrum, nearly alike for a photograph."""
    flat = ImageSpectrum(np.array([1.0, 2.0]), np.ones((1, 2)))
    diagonal = np.array([[1, 0], [math.sqrt(0.5), math.sqrt(0.5)]])
    np.testing.assert_allclose(flat.at(diagonal), [0, np.sinc(math.sqrt(0.5)) ** 2], atol=1e-13)
    difference = np.diff(CAMERA.at(diagonal))[0] / float(CAMERA.variance)
    assert 0.001 < difference < 0.005
    assert not flat.is_isotropic
    assert not CAMERA.is_isotropic


def panels(ends, most):
    """Gauss–Legendre nodes and weights, 40 for each part of at most that length."""
    x, w = np.polynomial.legendre.leggauss(40)
    edges = np.concatenate([np.linspace(a, b, 2 + int((b - a) / most))[:-1] for a, b in itertools.pairwise(ends)])
    half = np.diff(edges, append=ends[-1])[:, None] / 2
    return (edges[:, None] + half * (1 + x)).ravel(), (half * w).ravel()


def direct_sum(spectrum, lags):
    """Every lag by itself: J₀ on the disc |ω| < π, and waves on its corners, k = π/cos φ between φ and π/2 − φ.

    Nodes are closer than 50 radians of a wave, and at the knots of S.
    """
    most = 50 / (2 * math.pi * (1 + np.abs(lags).max()))
    logs = np.log(spectrum.wavenumbers), np.log(spectrum.density)
    k, weights = panels([0, *spectrum.wavenumbers[spectrum.wavenumbers < math.pi], math.pi], most)
    disc = weights * k * np.exp(np.interp(np.log(k), *logs)) / (2 * math.pi)
    beyond = spectrum.wavenumbers[(spectrum.wavenumbers > math.pi) & (spectrum.wavenumbers < math.sqrt(2) * math.pi)]
    phi, phi_weights = panels([0, *np.arccos(math.pi / beyond), math.pi / 4], most)
    share, share_weights = panels([0, 1], most)
    k_corner, width = math.pi / np.cos(phi), math.pi / 2 - 2 * phi
    angle = phi[:, None] + np.outer(width, share)
    omega = k_corner[:, None] * np.cos(angle), k_corner[:, None] * np.sin(angle)
    density = np.exp(np.interp(np.log(k_corner), *logs)) * k_corner**2 * np.tan(phi) * width * phi_weights
    corner = np.outer(density, share_weights) / math.pi**2
    return [
        disc @ special.j0(k * math.hypot(*lag)) + np.sum(corner * np.cos(omega[0] * lag[0]) * np.cos(omega[1] * lag[1]))
        for lag in lags
    ]


LATTICES = {
    "square": (np.arange(-40, 41), np.arange(-40, 41)),
    "rectangle": (np.arange(0, 90, 3.0), np.arange(-5, 60)),
    "spacing": (0.37 * np.arange(60), 2.9 * np.arange(30)),
    "row": (np.arange(150), np.zeros(1)),
    "column": (np.zeros(1), np.arange(150)),
    "few": (np.arange(3.0), np.array([-70, 2.5])),
    "origin": (np.zeros(1), np.zeros(1)),
}


@pytest.mark.parametrize("spectrum", [TABLE, CAMERA], ids=["table", "camera"])
@pytest.mark.parametrize("lattice", LATTICES)
def test_covariance_is_the_direct_sum(spectrum, lattice):
    """Lags of a lattice together, where waves are expanded in polynomials, to 1e-12 of C(0), at 25 of them."""
    lags = np.stack(np.meshgrid(*LATTICES[lattice], indexing="ij"), -1).reshape(-1, 2).astype(float)
    places = np.unique([0, len(lags) - 1, *np.random.default_rng(4).integers(len(lags), size=25)])
    found = spectrum.at(lags)[places]
    np.testing.assert_allclose(found, direct_sum(spectrum, lags[places]), atol=1e-12 * float(spectrum.variance))


@pytest.mark.parametrize("spectrum", [TABLE, CAMERA], ids=["table", "camera"])
@pytest.mark.parametrize(("count", "reach"), [(1, 300), (40, 20), (700, 80)])
def test_covariance_at_scattered_lags_is_the_direct_sum(spectrum, count, reach):
    lags = np.random.default_rng(5).uniform(-reach, reach, (count, 2))
    found = spectrum.at(lags)[:20]
    np.testing.assert_allclose(found, direct_sum(spectrum, lags[:20]), atol=1e-12 * float(spectrum.variance))
    assert CAMERA.at(np.zeros((0, 2))).shape == (0,)
    assert CAMERA.at(np.zeros((4, 3, 2))).shape == (4, 3)


def test_matrices_are_positive():
    points = np.random.default_rng(1).uniform(0, 9, (40, 2))
    matrix = CAMERA.at(points[:, None] - points[None])
    assert np.linalg.eigvalsh(matrix).min() > -1e-12 * len(points) * float(CAMERA.variance)


def test_fields_are_drawn_from_it():
    """Empirical covariances at 20 lags of 3,000 fields, within the standard errors between fields; exact embedding."""
    sampler = FieldSampler(CAMERA, (12, 12))
    drawn = sampler.sample(3000, Stream(2, "camera").generator())[:, 0]
    assert sampler.clipped == 0
    scores = []
    for i, j in ((i, j) for i in range(5) for j in range(4)):
        products = (drawn[:, i:, j:] * drawn[:, : 12 - i, : 12 - j]).mean((1, 2)).numpy()
        wanted = float(CAMERA.at(np.array([i, j], dtype=float)))
        scores.append((products.mean() - wanted) / (products.std(ddof=1) / math.sqrt(len(products))))
    assert max(map(abs, scores)) < bound(len(scores))


def test_images_of_any_kind():
    """A batch, a list, float32, channels, and a rectangle have the spectra of what they contain."""
    batch = fields(Matern(length=2), 4, 24)
    whole = ImageSpectrum.of(batch)
    np.testing.assert_array_equal(ImageSpectrum.of(list(batch)).density, whole.density)
    np.testing.assert_allclose(ImageSpectrum.of(batch.float()).density, whole.density, rtol=1e-4)
    channels = ImageSpectrum.of(batch.reshape(1, 4, 24, 24))
    np.testing.assert_allclose(channels.density, whole.density, rtol=1e-13)
    cut = ImageSpectrum.of([batch[0], batch[1, :, :20, :17]], patch=8)
    assert len(cut.densities) == 9 + 4
    assert ImageSpectrum.of(batch[..., :16]).wavenumbers[0] > 4 * math.pi / 16
    assert "4 patches at" in repr(whole)


X = torch.zeros(1, 1, 16, 16)
BAD = {
    "nothing": (lambda: ImageSpectrum.of([]), "^images: expected floating tensors"),
    "shape": (lambda: ImageSpectrum.of(X[0]), "^images: expected floating tensors"),
    "integers": (lambda: ImageSpectrum.of(X.int()), "^images: expected floating tensors"),
    "sizes": (lambda: ImageSpectrum.of([X[0], X[0, :, :9]]), "^patch: expected a side, for images of different sizes"),
    "small": (lambda: ImageSpectrum.of(X[..., :5]), "^images: expected 8 pixels or more"),
    "large patch": (lambda: ImageSpectrum.of(X, patch=17), "^patch: expected an integer from 8 to 16"),
    "small patch": (lambda: ImageSpectrum.of(X, patch=4), "^patch: expected an integer from 8 to 16"),
    "grey": (lambda: ImageSpectrum.of(X), "^images: expected finite images with contrast"),
    "nan": (lambda: ImageSpectrum.of(X * math.nan), "^images: expected finite images with contrast"),
    "order": (lambda: ImageSpectrum(np.array([2.0, 1.0]), np.ones((1, 2))), "^wavenumbers: expected increasing"),
    "band": (lambda: ImageSpectrum(np.array([2.0, 5.0]), np.ones((1, 2))), r"^wavenumbers: .*in \(0, √2π\]"),
    "columns": (lambda: ImageSpectrum(np.array([1.0, 2.0]), np.ones((1, 3))), r"^densities: expected shape \(P, 2\)"),
    "sign": (lambda: ImageSpectrum(np.array([1.0, 2.0]), -np.ones((1, 2))), "^densities: expected a positive mean"),
    "one patch": (lambda: one_patch().power_law(), "^patches: expected two or more"),
    "one patch's error": (lambda: one_patch().density_error, "^patches: expected two or more"),
    "narrow band": (lambda: CAMERA.power_law((1.0, 1.01)), "^band: expected three or more of 44 wavenumbers"),
    "symbol": (lambda: CAMERA.spectral_density(sp.Symbol("k")), "^frequency: expected numbers"),
    "symbolic lag": (lambda: CAMERA.expression(sp.Symbol("r"), 0), "^lag: expected numbers"),
    "axes": (lambda: CAMERA.expression(1, 2, 3), "^lag: expected 1 or 2 coordinates"),
    "photograph": (lambda: ImageSpectrum.of_photograph("lena"), "^name: expected one of"),
}


def one_patch():
    return ImageSpectrum(np.array([1.0, 2.0]), np.ones((1, 2)))


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    call, message = BAD[case]
    with pytest.raises((ArgumentError, UnknownNameError), match=message):
        call()


def test_beyond_the_band_there_is_nothing():
    assert CAMERA.spectral_density(sp.Float(3.2)) == 0
    assert CAMERA.spectral_density(sp.Float(3.1), sp.Float(3.1)) > 0


@pytest.mark.parametrize("spacing", [1.0, 0.5, 2.0])
def test_periodic_fields_have_the_spectrum_itself(spacing):
    """Eigenvalues on a torus are sums of S over aliases; sampled fields have the covariance that they transform to."""
    spectrum = ImageSpectrum(np.array([0.3, 1.0, 2.0, 4.0]), np.array([[9.0, 4.0, 2.0, 1.0]]))
    size = (64, 64)
    eigenvalues = spectrum.torus_spectrum(size, spacing)
    assert (eigenvalues >= 0).all()
    on_torus = np.fft.ifft2(eigenvalues).real
    if spacing <= 1:
        # The mean over frequencies is the midpoint sum of (2π)⁻² ∫ S over the band, of cells 2π/64h wide.
        assert on_torus[0, 0] == pytest.approx(float(spectrum.variance), rel=2e-2)
    sampler = FieldSampler(spectrum, size, spacing=spacing, periodic=True)
    fields = sampler.sample(400, np.random.default_rng(5))[:, 0]
    for lag in ((0, 0), (1, 0), (3, 2)):
        products = (fields * fields.roll((-lag[0], -lag[1]), (1, 2))).mean((1, 2)).numpy()
        error = products.std(ddof=1) / np.sqrt(len(products))
        assert abs(products.mean() - on_torus[lag]) < 4.5 * error
