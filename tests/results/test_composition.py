"""E5 against matrices that are multiplied, and a one-line simulation of its own."""

import numpy as np
import pytest

from warptheory import results

E5 = results.get("E5")


def linear(x, position):
    """Linear interpolation by NumPy."""
    return np.interp(position, np.arange(len(x)), x)


def test_order_of_composition():
    """Reading ψ first and then φ is reading at ψ(φ(t)), and not at φ(ψ(t)), to the error of interpolation."""
    t = np.arange(4000.0)
    epsilon, eta = (lambda s: 40 * np.sin(s / 300)), (lambda s: 60 * np.cos(s / 400))
    x = np.sin(t / 50)
    twice = linear(linear(x, t + eta(t)), t + epsilon(t))
    inner = slice(200, -200)
    composed = t + epsilon(t) + eta(t + epsilon(t))
    other = t + eta(t) + epsilon(t + eta(t))
    assert abs(twice - linear(x, composed))[inner].max() < 3 / 8 / 50**2
    assert abs(twice - linear(x, other))[inner].max() > 0.1


def test_defect_by_another_simulation():
    """Constant offsets on a line, by NumPy alone, at the standard frequency."""
    generator, omega = np.random.default_rng(0), 0.9
    t = np.arange(9.0)
    found = []
    for f, g, theta in generator.random((20000, 3)):
        x = np.sqrt(2) * np.cos(omega * t + 2 * np.pi * theta)
        y = (1 - g) * x[:-1] + g * x[1:]
        twice = (1 - f) * y[3] + f * y[4]
        found.append((twice - linear(x, 3 + f + g)) ** 2)
    theory = E5.evaluate("defect of the composition", omega=omega)
    assert abs(np.mean(found) - theory) < 4.5 * np.std(found) / np.sqrt(len(found))


@pytest.mark.parametrize(("kernel", "order", "constant"), [("linear", 4, 1 / 90), ("keys", 6, 1 / 2520)])
def test_rate_of_the_defect(kernel, order, constant):
    """The exact defect falls as the leading order says; one interpolation has 1/120 and 1/7560 (D2)."""
    exact = [E5.evaluate("defect of the composition", kernel=kernel, omega=omega) for omega in (0.1, 0.05)]
    assert np.log2(exact[0] / exact[1]) == pytest.approx(order, abs=0.02)
    assert exact[0] / 0.1**order == pytest.approx(constant, rel=0.02)
    leading = E5.evaluate("defect of the composition, smooth waves", kernel=kernel, omega=0.1)
    assert leading == pytest.approx(constant * 0.1**order, rel=1e-12)
