"""What every law has to satisfy; a new law is checked by these tests without an edit."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import sympy as sp
from scipy import integrate, stats

from tests.cards import check_shows_itself, text_of
from tests.contracts.reference_laws import Quadrature, reference
from warptheory import kernels
from warptheory.core.errors import ArgumentError
from warptheory.core.streams import Stream
from warptheory.fields import IID, laws
from warptheory.fields.laws import ARGUMENT, Law
from warptheory.symbolic import evaluate
from warptheory.symbolic.averages import average_over_law
from warptheory.symbolic.quadrature import quadrature

N = 200_000
POINTS = np.array([-9.0, -2.5, -1.0, -0.3, 0.0, 0.2, 1.0, 1.7, 6.0, 40.0])
SMALLEST, LARGEST = np.finfo(float).tiny, 1 - 2.0**-53


def source(law):
    assert law.source


def characteristic_function(law):
    """The transform of the density, or the sum over the atoms."""
    canonical = law.at(0, 1)
    density = None if canonical.atoms else sp.lambdify([ARGUMENT], canonical.density, "numpy")
    for t in (0.3, 1.0, 4.0):
        found = complex(canonical.characteristic_function(sp.Float(t)))
        if canonical.atoms:
            exact = sum(float(p) * np.exp(1j * t * float(v)) for v, p in canonical.atoms)
        else:
            breaks = [-60, -1, 0, 1, 60]
            parts = [
                sum(
                    integrate.quad(lambda u, t=t, f=f: float(density(u)) * f(t * u), a, b, limit=400)[0]
                    for a, b in itertools.pairwise(breaks)
                )
                for f in (np.cos, np.sin)
            ]
            exact = complex(*parts)
        assert found == pytest.approx(exact, abs=1e-8)


def accuracy(law, of_scipy):
    """What is asked of sums and of SciPy's formulas, or of a quadrature."""
    return 1e-8 if isinstance(reference(law), Quadrature) else of_scipy


def cumulants(law):
    _, mean, second, third, fourth = (float(reference(law).moment(order)) for order in range(5))
    variance = second - mean**2
    exact = [mean, variance, third - 3 * mean * second + 2 * mean**3]
    exact.append(fourth - 4 * third * mean + 6 * second * mean**2 - 3 * mean**4 - 3 * variance**2)
    found = [float(law.at(0, 1).cumulant(order)) for order in (1, 2, 3, 4)]
    assert found == pytest.approx(exact, abs=accuracy(law, 1e-14))


def distribution(law):
    """Both sides are rounded a few times, at values up to one."""
    found = sp.lambdify([ARGUMENT], law.distribution, "scipy")(POINTS)
    np.testing.assert_allclose(found, reference(law).cdf(POINTS), rtol=0, atol=accuracy(law, 4e-16))
    assert found[-1] == pytest.approx(1, abs=1e-15)


def samples(law):
    """By Kolmogorov–Smirnov, or χ² for atoms, at level 1e-4."""
    sample = law.at(0, 1).sample(Stream(0, f"law/{law.name}").generator(), (N,))
    assert sample.shape == (N,)
    assert sample.dtype == np.float64
    if not law.atoms:
        assert stats.kstest(sample, reference(law).cdf).pvalue > 1e-4
        return
    values, counts = np.unique(sample, return_counts=True)
    assert list(values) == sorted(float(v) for v, _ in law.atoms)
    expected = [N * float(p) for _, p in sorted(law.atoms)]
    assert len(counts) == 1 or stats.chisquare(counts, expected).pvalue > 1e-4


def values_of_uniform_numbers(law):
    """The quantiles, to a few roundings; the parts of a mixture follow each other, and evenly spread numbers have it.

    At a jump, which no number hits in practice, either side will do.
    """
    tails = 10.0 ** -np.arange(1, 16)
    u = np.concatenate([[SMALLEST], tails, 1 - tails, [LARGEST], np.random.default_rng(1).random(2000)])
    values, exact = law.of_uniform(u), reference(law)
    assert values.shape == u.shape
    assert values.dtype == np.float64
    assert np.isfinite(values).all()
    if law.components:
        even = (np.arange(N) + 0.5) / N
        assert stats.kstest(law.of_uniform(even), exact.cdf).statistic <= (len(law.components) + 1) / N
    elif isinstance(exact, Quadrature):
        np.testing.assert_allclose(exact.cdf(values), u, rtol=0, atol=1e-6)
    else:
        np.testing.assert_allclose(values, exact.ppf(u), rtol=2e-13, atol=4e-16)


def location_and_scale(law):
    moved, canonical = law.at(location=2, scale=sp.Rational(1, 2)), law.at(location=0, scale=1)
    assert moved.cumulant(1) == 2 + canonical.cumulant(1) / 2
    assert moved.cumulant(4) == canonical.cumulant(4) / 16


def standardised(law):
    if law.variance == 0:
        with pytest.raises(ArgumentError, match=f"^law: expected a law with positive variance, got '{law.name}'$"):
            law.standardised(0, 1)
        return
    standard = law.standardised("7/10", "13/10")
    assert sp.simplify(standard.mean - sp.Rational(7, 10)) == 0
    assert sp.simplify(standard.variance - sp.Rational(169, 100)) == 0


def moments_of_fields(law):
    """Mean, variance and fourth cumulant of 2·10⁵ pixels within 4.4 standard errors (false alarm 1e-5 each)."""
    if law.variance == 0:
        return
    field = IID(law, mean=0.7, deviation=1.3)
    x = field.sample(N // 1000, (10, 10), Stream(1, f"iid/{law.name}").generator(), channels=10).flatten().numpy()
    centred = x - 0.7
    assert abs(x.mean() - 0.7) <= 4.4 * x.std() / np.sqrt(N)
    for order, stated in ((2, float(field.variance)), (4, float(field.cumulant(4)) + 3 * float(field.variance) ** 2)):
        powers = centred**order
        # The floor covers laws whose power has no scatter at all (Rademacher), where only rounding is left.
        assert abs(powers.mean() - stated) <= 4.4 * powers.std() / np.sqrt(N) + 1e-12


def averages_of_tap_sums(law):
    """The Poisson sum (or the sum over atoms) against Gauss–Legendre quadrature with the law's density.

    (0, 1) is a sawtooth with a jump, whose series is the slowest; series are promised to a relative 1e-9.
    """
    moved = law.at(location="37/100", scale="1/4")
    points, weights = quadrature(moved, {}, lambda expression, environment: float(expression))
    for orders in [(0, 0), (0, 1), (0, 0, 0, 0)]:
        function = kernels.get("linear").tap_sum(orders)
        value = sp.lambdify([kernels.FRACTION], function.at(kernels.FRACTION), "numpy")
        exact = float(np.sum(weights * value(points - np.floor(points))))
        assert evaluate(average_over_law(function, moved), {}) == pytest.approx(exact, abs=2e-9)


LAPLACE = laws.get("laplace")


class MovedTwice(Law):
    def at(self, location=None, scale=None):
        return super().at(None if location is None else 2 * location, scale)


class TooWide(Law):
    def standardised(self, mean, deviation):
        return super().standardised(mean, sp.Rational(101, 100) * sp.sympify(deviation))


def as_laplace(kind):
    return kind(**vars(replace(LAPLACE)))


# Every check, with a law that it has to refuse.
WRONG = {
    source: replace(LAPLACE, source=""),
    characteristic_function: replace(LAPLACE, canonical=1 / (1 + sp.Rational(1001, 1000) * ARGUMENT**2)),
    cumulants: replace(LAPLACE, canonical=1 / (1 + sp.Rational(1001, 1000) * ARGUMENT**2)),
    distribution: replace(LAPLACE, density=sp.exp(-sp.Rational(1001, 1000) * sp.Abs(ARGUMENT)) / 2),
    samples: replace(LAPLACE, draw=lambda generator, shape: 1.05 * generator.laplace(size=shape)),
    values_of_uniform_numbers: replace(LAPLACE, of_uniform=lambda u: 1.001 * LAPLACE.of_uniform(u)),
    location_and_scale: as_laplace(MovedTwice),
    standardised: as_laplace(TooWide),
    moments_of_fields: replace(LAPLACE, draw=lambda generator, shape: 1.05 * generator.laplace(size=shape)),
    averages_of_tap_sums: replace(LAPLACE, canonical=laws.get("normal").canonical),
}


@pytest.mark.parametrize("name", laws.names())
def test_it_shows_itself(name):
    law = laws.get(name)
    card = check_shows_itself(law)
    assert name in repr(law)
    assert law.source in text_of(card)
    assert "*" not in text_of(card).replace(law.source, "")  # formulas, not Python's source
    assert law._repr_latex_().startswith(r"$\displaystyle \operatorname{E} e^{i t X} = ")


@pytest.mark.parametrize("check", WRONG, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", laws.names())
def test_law(name, check):
    law = laws.get(name)
    assert law.name == name
    check(law)


@pytest.mark.parametrize("check", WRONG, ids=lambda check: check.__name__)
def test_a_wrong_law_is_refused(check):
    with pytest.raises(AssertionError):
        check(WRONG[check])


def test_laws_that_scipy_lacks_are_checked_by_quadrature():
    """The same checks, of a law that is right and of one 0.1 % too wide, without SciPy's name for it."""
    unnamed = replace(LAPLACE, scipy=())
    for check in (cumulants, distribution, samples, values_of_uniform_numbers):
        check(unnamed)
        with pytest.raises(AssertionError):
            check(replace(WRONG[check], scipy=()))
