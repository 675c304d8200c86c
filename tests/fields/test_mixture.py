"""Mixtures of laws, against moments and distribution functions summed over their parts with SciPy."""

import numpy as np
import pytest
import sympy as sp
from scipy import stats

from warptheory.core.errors import ArgumentError
from warptheory.fields import laws
from warptheory.fields.laws import ARGUMENT
from warptheory.fields.laws.mixture import mixture

SKEWED = (("1/4", laws.get("normal").at(-1, "1/2")), ("1/2", laws.get("uniform").at(0, 2)))
SKEWED = (*SKEWED, ("1/4", laws.get("laplace").at(3, "1/3")))
PARTS = [(0.25, stats.norm(-1, 0.5)), (0.5, stats.uniform(-2, 4)), (0.25, stats.laplace(3, 1 / 3))]


def test_the_contaminated_normal_law_by_default():
    """Fourth cumulant 3(E s⁴ − (E s²)²) with s² = 1 or 9: 3(21 − 9) = 36."""
    law = laws.get("mixture").at(0, 1)
    assert [law.cumulant(order) for order in (1, 2, 3, 4)] == [0, 3, 0, 36]


def test_cumulants_of_a_skewed_mixture():
    components = (SKEWED[0], ("3/4", SKEWED[2][1]))
    parts = [PARTS[0], (0.75, PARTS[2][1])]
    raw = [sum(p * part.moment(k) for p, part in parts) for k in (1, 2, 3, 4)]
    m, m2, m3, m4 = raw
    exact = [m, m2 - m**2, m3 - 3 * m * m2 + 2 * m**3, m4 - 4 * m3 * m - 3 * m2**2 + 12 * m2 * m**2 - 6 * m**4]
    law = mixture(components).at(0, 1)
    # SciPy's moments are rounded to about 1e-14 and partly cancel.
    assert [float(law.cumulant(k)) for k in (1, 2, 3, 4)] == pytest.approx(exact, rel=1e-11)
    moved = mixture(components).at(5, 2)
    assert float(moved.mean) == pytest.approx(5 + 2 * m)
    assert float(moved.variance) == pytest.approx(4 * exact[1])


def test_density_and_distribution():
    points = np.array([-3.0, -1.2, 0.1, 1.9, 2.7, 3.1, 6.0])
    law = mixture(SKEWED)
    density = sp.lambdify([ARGUMENT], law.density, "numpy")(points)
    np.testing.assert_allclose(density, sum(p * part.pdf(points) for p, part in PARTS), rtol=1e-14)
    distribution = sp.lambdify([ARGUMENT], law.distribution, "scipy")(points)
    np.testing.assert_allclose(distribution, sum(p * part.cdf(points) for p, part in PARTS), rtol=0, atol=1e-15)


def test_samples():
    """Kolmogorov–Smirnov at level 1e-4 on 10⁵ samples; samples moved by 2 % of a pixel are rejected, as a control."""
    drawn = mixture(SKEWED).sample(np.random.default_rng(8), (100, 1000), scale=1.0).ravel()
    assert stats.kstest(drawn, lambda u: sum(p * part.cdf(u) for p, part in PARTS)).pvalue > 1e-4
    assert stats.kstest(drawn + 0.02, lambda u: sum(p * part.cdf(u) for p, part in PARTS)).pvalue < 1e-4


def test_parts_of_nested_mixtures():
    """Locations and scales of inner laws are in units of the outer scale."""
    inner = mixture((("1/3", laws.get("constant").at(1, 1)), ("2/3", laws.get("normal").at(0, 2)))).at(1, 1)
    outer = mixture((("1/2", inner), ("1/2", laws.get("rademacher").at(0, 1)))).at(10, 3)
    found = [(p, part.name, part.location, part.scale) for p, part in outer.parts]
    assert found == [
        (sp.Rational(1, 6), "constant", 16, 3),
        (sp.Rational(1, 3), "normal", 13, 6),
        (sp.Rational(1, 2), "rademacher", 10, 3),
    ]
    assert outer.mean == sp.Rational(1, 6) * 16 + sp.Rational(1, 3) * 13 + sp.Rational(1, 2) * 10
    t = sp.Float(0.3)
    apart = sum(p * part.characteristic_function(t) for p, part in outer.parts)
    assert complex(outer.characteristic_function(t)) == pytest.approx(complex(apart), abs=1e-14)


def test_a_law_that_is_no_mixture_is_its_only_part():
    law = laws.get("normal")
    assert law.parts == ((1, law),)


def test_atoms_and_densities_together_have_neither_alone():
    law = mixture((("1/2", laws.get("constant").at(0, 1)), ("1/2", laws.get("normal").at(0, 1))))
    assert law.density is None
    assert law.atoms == ()
    distribution = sp.lambdify([ARGUMENT], law.distribution, "scipy")(np.array([-1e-9, 0.0]))
    np.testing.assert_allclose(distribution, [0.25, 0.75], rtol=0, atol=1e-8)


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("components", "message"),
    [
        ((), "positive probabilities that sum to one"),
        ((("1/2", laws.get("normal").at(0, 1)),), "positive probabilities that sum to one"),
        (((2, laws.get("normal").at(0, 1)), (-1, laws.get("normal").at(0, 1))), "positive probabilities"),
        (((1, laws.get("normal")),), "numbers for location and scale of each law"),
    ],
)
def test_bad_input(components, message):
    with pytest.raises(ArgumentError, match=f"^components: expected {message}"):
        mixture(components)
