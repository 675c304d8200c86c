"""Expansions of waves: the bounds that the module states, and sums and integrals against SciPy."""

import math

import numpy as np
import pytest
from scipy import special

from warptheory.fields._waves import Panels, WaveSum, chebyshev_terms, composite, interpolate


def test_legendre_coefficients_vanish_from_the_32nd_on():
    """(2m + 1) jₘ(z) at the ends of a panel, z = 8; each is smaller than half the one before."""
    m = np.arange(32, 80)
    terms = (2 * m + 1) * np.abs(special.spherical_jn(m, 8.0))
    assert terms.sum() < 1e-15
    z = np.linspace(0, 8, 200)
    assert (65 * np.abs(special.spherical_jn(32, z))).max() < 1e-15


@pytest.mark.parametrize("z", [0.0, 1e-3, 0.5, 3.0, 20.0, 150.0, 900.0, 5000.0])
def test_chebyshev_coefficients_vanish(z):
    count = chebyshev_terms(z)
    assert np.abs(special.jv(np.arange(count, count + 200), z)).max() < 1e-16


@pytest.mark.parametrize("reach", [0.0, 3.0, 170.0])
def test_waves_are_integrated(reach):
    """∫₀³ cos(kr) dk = sin(3r)/r, to rounding."""
    k, weights = composite([0.0, 0.1, 3.0], reach)
    exact = 3 * np.sinc(3 * reach / math.pi)
    assert np.sum(weights * np.cos(k * reach)) == pytest.approx(exact, abs=1e-13)


@pytest.mark.parametrize("count", [3, 100, 4000])
def test_functions_of_a_band_are_interpolated(count):
    """J₀(πr), whose frequencies are up to π, called at fewer points than it is asked for."""
    calls = []

    def function(r):
        calls.append(len(r))
        return special.j0(math.pi * r)

    x = np.random.default_rng(0).uniform(0, 200, count)
    # Clenshaw's recurrence over 430 terms rounds by some 1e-16 each.
    np.testing.assert_allclose(interpolate(function, math.pi, x), special.j0(math.pi * x), atol=1e-13)
    assert calls == [min(count, chebyshev_terms(math.pi * x.max() / 2))]


@pytest.mark.parametrize("reach", [0.0, 4.0, 90.0])
def test_sums_of_waves(reach):
    """At single lags by the sum itself; the amplitudes add up to one, of which an error is a share."""
    generator = np.random.default_rng(1)
    omega, weights = generator.uniform(0, 3, (2, 3000)), generator.uniform(size=3000)
    weights /= weights.sum()
    first, second = generator.uniform(0, reach, 12), generator.uniform(0, reach, 9)
    waves = WaveSum.of(omega, weights, 3.0, reach)
    exact = np.cos(np.outer(first, omega[0])) * weights @ np.cos(np.outer(second, omega[1])).T
    np.testing.assert_allclose(waves.on_grid(first, second), exact, atol=1e-14)
    np.testing.assert_allclose(waves.at_pairs(first[:9], second), np.diag(exact), atol=1e-14)


def test_points_are_placed_up_to_the_end():
    panels = Panels(3.0, 4)
    panel, place = panels.place(np.array([0.0, 0.75, 2.9, 3.0]))
    assert panel.tolist() == [0, 1, 3, 3]
    np.testing.assert_allclose(place, [-1, -1, 1 - 0.8 / 3, 1], atol=1e-14)
    found, places = panels.place(panels.nodes.ravel())
    assert (found.reshape(panels.nodes.shape) == np.arange(4)[:, None]).all()
    np.testing.assert_allclose(
        places.reshape(4, -1), np.polynomial.legendre.leggauss(32)[0] * np.ones((4, 1)), atol=1e-14
    )
