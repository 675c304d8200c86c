"""The most that an offset's gradient can vary on a grid: the wave whose slope the interpolant shows best (C3)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from scipy import optimize
from torch import Tensor

from warptheory import warping
from warptheory.results._experiment import DerivedExperiment
from warptheory.results._setting import PIXEL
from warptheory.results.fields._fields import SPACING, uniform_offsets
from warptheory.symbolic import DEVIATION, GaussianField, Step, Variance, warp
from warptheory.symbolic.covariance_nodes import FieldCovariance
from warptheory.symbolic.nodes import Node
from warptheory.symbolic.quadrature import Environment, Evaluate

_COSINE = sp.Symbol("c", real=True)  # of the wave's frequency in radians per pixel
_MARGIN = 4  # pixels of a row that the edge may reach
_PHASES = 8


class Largest(Node):
    """The largest value of a function of c = cos θ, −1 ≤ c ≤ 1: args (function, c)."""

    bound = slice(1, 2)

    def display(self, *, latex: bool) -> sp.Expr:
        """Return max(f)."""
        return sp.Function("max")(self.args[0])

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Look at 2000 frequencies, and about the best of them."""
        function, cosine = self.args

        def value(theta: float) -> float:
            return -float(evaluate(function, {**environment, cosine: math.cos(theta)}))

        theta = np.linspace(0, math.pi, 2001)
        best = theta[
            np.argmax(np.broadcast_to(evaluate(function, {**environment, cosine: np.cos(theta)}), theta.shape))
        ]
        ends = (max(best - 2e-3, 0.0), min(best + 2e-3, math.pi))
        found = optimize.minimize_scalar(value, bounds=ends, method="bounded", options={"xatol": 1e-12})
        return -min(float(found.fun), value(best))


@cache
def transfer(kernel: str, order: int) -> sp.Expr:
    """Return what a warp at uniform fractions, or its derivative, makes of a wave's power along an axis, in cos θ."""
    y = warp(GaussianField("x"), uniform_offsets(1), kernel)
    variance = Variance((y.diff(0) if order else y)[PIXEL]).doit()
    lags = {node: sp.chebyshevt(int(node.lag[0]), _COSINE) for node in variance.atoms(FieldCovariance)}
    return sp.expand(variance.xreplace(lags))


def highest(function: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """Return where a polynomial in c is largest on [−1, 1], and its value there."""
    slope = sp.Poly(sp.diff(function, _COSINE), _COSINE)
    inner = [root for root in slope.real_roots() if -1 < root < 1] if slope.degree() > 0 else []
    best = max([sp.Integer(1), sp.Integer(-1), *inner], key=lambda place: float(function.subs(_COSINE, place)))
    return best, function.subs(_COSINE, best)


_WAVES = (
    "Var ∂₁y = Σ w(Δ) C(Δ) for any C, by the algebra; with C(Δ) = ∫ S cos(θ·Δ) dθ/(2π)ᵈ and S ≥ 0 it is no larger than "
    "C(0) times the largest value of Σ w(Δ) cos(θ·Δ), a product over the axes; c = cos θ"
)


@dataclass(frozen=True)
class Ceiling(DerivedExperiment):
    """The largest Var ∂₁y/h of all fields of variance σ².

    Drawn is the mean square of ∂₁Wx/h for the highest wave, of random phase and variance σ², at independent offsets.
    """

    text = "max Var ∂₁y of fields of variance σ²"
    symbols = frozenset({DEVIATION.name, SPACING.name})
    pixels: ClassVar[Mapping[int, int]] = {dim: inner + 2 * _MARGIN for dim, inner in ((1, 24), (2, 10), (3, 6))}

    def steps(self) -> tuple[Step, ...]:
        """Return the steps: what the warp makes of a wave, and the wave that it leaves most of."""
        scale = DEVIATION**2 / SPACING**2
        return (
            Step("Sum over waves", _WAVES, scale * sp.Mul(*(Largest(f, _COSINE) for f in self._factors))),
            Step(
                "Highest wave",
                "at an end of −1 ≤ c ≤ 1, or where the derivative in c vanishes",
                scale * sp.Mul(*(highest(factor)[1] for factor in self._factors)),
            ),
        )

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels."""
        return _PHASES * super().row_elements(values)

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw phases and offsets, and return the mean square over the pixels within the margin, shape (rows,)."""
        kernel, dim, size = self.kernel, self.setting.dim, self.grid
        # Powers have the period π in the phase, which is stratified: else it would be nearly all of the scatter.
        phases = math.pi * (np.arange(_PHASES) + generator.random((rows, _PHASES))) / _PHASES
        # θ along each axis, in radians per pixel.
        frequencies = [math.acos(float(highest(factor)[0])) for factor in self._factors]
        x = np.cos(phases.reshape(rows, _PHASES, *[1] * dim) + np.tensordot(frequencies, np.indices(size), axes=1))
        moved = torch.from_numpy(generator.random((rows, dim, *size)) - 0.5).to(device)
        shown = warping.warp_gradient(torch.from_numpy(x).to(device), moved, kernel, "periodic")
        inside = [slice(_MARGIN, -_MARGIN)] * dim
        power = shown[:, :, 0][(slice(None), slice(None), *inside)].square().flatten(1).mean(1)
        return 2 * (values[DEVIATION.name] / values[SPACING.name]) ** 2 * power

    @property
    def _factors(self) -> list[sp.Expr]:
        """What is left of a wave's power along each axis, the first of which is differentiated."""
        return [transfer(self.setting.kernel, order) for order in (1, *[0] * (self.setting.dim - 1))]
