"""The law of a canonical variable by other means than ours: SciPy's law of that name, or sums and quadrature."""

import itertools
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import sympy as sp
from scipy import integrate, interpolate, stats

from warptheory.fields.laws import ARGUMENT, Law

ENDS = (-60.0, -1.0, 0.0, 1.0, 60.0)  # where densities of the catalogue have edges, and where nothing is left of them


def reference(law: Law):
    """Return an object with `cdf` and `moment` (about zero), and `ppf` for laws that are no mixtures."""
    if law.scipy:
        name, *arguments = law.scipy
        return getattr(stats, name)(*arguments)
    if law.components:
        return Mixture(
            [(float(p), float(part.location), float(part.scale), reference(part)) for p, part in law.components]
        )
    return Atoms(sorted((float(v), float(p)) for v, p in law.atoms)) if law.atoms else Quadrature(law.density)


@dataclass(frozen=True)
class Mixture:
    """Sums over (probability, location, scale, reference) of the parts."""

    parts: list

    def cdf(self, x):
        return sum(p * part.cdf((x - location) / scale) for p, location, scale, part in self.parts)

    def moment(self, order):
        return sum(
            p * math.comb(order, k) * location ** (order - k) * scale**k * part.moment(k)
            for p, location, scale, part in self.parts
            for k in range(order + 1)
        )


@dataclass(frozen=True)
class Atoms:
    """Sums over pairs (value, probability), in order of their values."""

    pairs: list

    def cdf(self, x):
        return sum(np.where(np.asarray(x) >= value, p, 0.0) for value, p in self.pairs)

    def ppf(self, u):
        ends = np.cumsum([p for _, p in self.pairs])[:-1]
        return np.array([value for value, _ in self.pairs])[np.searchsorted(ends, u)]

    def moment(self, order):
        return sum(p * value**order for value, p in self.pairs)


@dataclass(frozen=True)
class Quadrature:
    """Integrals of a density."""

    density: sp.Expr

    @cached_property
    def _compiled(self):
        return sp.lambdify([ARGUMENT], self.density, ["scipy", "numpy"])

    def moment(self, order):
        def integrand(x):
            return float(self._compiled(x)) * x**order

        panels = itertools.pairwise(ENDS)
        return sum(integrate.quad(integrand, *panel, epsabs=1e-12, limit=400)[0] for panel in panels)

    @cached_property
    def _distribution(self):
        """A spline with the density as its slope, between sums over panels."""
        nodes, weights = np.polynomial.legendre.leggauss(20)
        edges = np.unique(np.concatenate([np.linspace(*panel, 2001) for panel in itertools.pairwise(ENDS)]))
        half, density = np.diff(edges)[:, None] / 2, np.vectorize(self._compiled, otypes=[float])
        sums = np.cumsum((half * density(edges[:-1, None] + half * (1 + nodes))) @ weights)
        return interpolate.CubicHermiteSpline(edges, [0.0, *sums], density(edges))

    def cdf(self, x):
        return self._distribution(np.clip(x, ENDS[0], ENDS[-1]))
