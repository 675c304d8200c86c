"""G5: how far a step of an offset head moves the output, over how far the same step of all else does.

One layer, f[n] = Σ_c v_c x_c(n + ε(n)), εᵢ = α Σ_p wᵢ_p u_p[n], its head at zero, and one step of gradient descent with
the rate η, ηm for the head. With residuals r the head gains −ηmα Σₙ r[n] Dᵢ[n] u_p[n], D = Σ_c v_c ∂x_c, and moves the
output by −ηmα² Σₙ′ Σᵢ Dᵢ[n]Dᵢ[n′] K(n, n′) r[n′], K(n, n′) = Σ_p u_p[n]u_p[n′]; shared static offsets have K = 1. The
weights v move it by −η Σₙ′ Σ_c x_c[n]x_c[n′] r[n′].
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from warptheory import warping
from warptheory.results._experiment import DerivedExperiment
from warptheory.results._ranges import Range, whole
from warptheory.results._result import Result
from warptheory.results.stability import _steps as one_step
from warptheory.results.stability._steps import ALPHA, CHANNELS, INPUTS, MULTIPLIER, NOTATION, CountedSum
from warptheory.symbolic import DEVIATION, MEAN, Step

result = Result(
    "G5",
    "The ratio of speeds in function space",
    "One step of gradient descent on one output moves it by −ηr times a self-influence: through a zeroed head "
    "α²m·d·½σ_x²‖v‖²·P·E u², through the weights C σ_x². Their ratio ρ = α²m·dP E u²/(2C) (‖v‖ = 1) does not know the "
    "learning rate, nor r. At the knot of the linear kernel autograd promises four times as much. Positions that are "
    "shared and static have 1 in place of the patch energy P E u², so that their critical multiplier is as many times "
    "larger. Over N outputs with independent residuals the ratio predicted to static is, in energy, "
    "(3κ₀ + Nκ₁)/(3 + N) on a line, κ₀ and κ₁ the mean squares of K at one output and between two: it is the patch "
    "energy while N ≪ P, and for white u only its root √P·E u² where N ≫ P.",
    assumptions=(
        "x and u are independent of each other and normal, independent from pixel to pixel; x has mean zero.",
        "The head reads P channels of u at its own pixel, and is zero; ‖v‖ = 1.",
        "The step is small: outputs move linearly on each side of the knot.",
        "Residuals are independent of x and u.",
    ),
    source="theory label G5, in the linear regime; the ratio of static to predicted positions corrected",
    meaning="The product α²m times the energy of what a head reads, over the number of channels it moves, says how "
    "fast positions move against weights, whatever the learning rate. Keep this ratio near 1/30, by the multiplier of "
    "the offsets' parameters or by α, and far from 1/3, where networks of the study began to fail.",
    kernels=("linear", "keys"),
    dims=(1, 2),
    values={
        "alpha": Range(0.8, 0.4, 1.6, "log"),
        "m": Range(0.5, 0.1, 1.0, "log"),
        "C": whole(4, 2, 8),
        "P": whole(6, 2, 12),
        "N": whole(9, 7, 24),
        "mu": Range(0.5, 0.0, 0.8, kind="real"),
        "sigma": Range(1.0, 0.6, 1.4, "log"),
    },
    notation={
        **NOTATION,
        "N": "the number of outputs with residuals of their own",
        "mu": "the mean of what the head reads",
        "sigma": "the deviation of what the head reads",
    },
)

OUTPUTS = sp.Symbol("N", positive=True, integer=True)
_SQUARE = MEAN**2 + DEVIATION**2  # E u²


@dataclass(frozen=True)
class LayerStep(DerivedExperiment):
    """Ratios of what one step on one output moves it by, drawn on the real operator with automatic differentiation."""

    text = "E Δf_off / E Δf_rest"
    symbols = frozenset({ALPHA.name, MULTIPLIER.name, CHANNELS.name, INPUTS.name, MEAN.name, DEVIATION.name})
    pixels: ClassVar[Mapping[int, int]] = {1: one_step.PIXELS, 2: one_step.PIXELS}

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from self-influences."""
        dim = self.setting.dim
        channel, number = sp.Symbol("c", integer=True), sp.Symbol("p", integer=True)
        patch = CountedSum(_SQUARE, number, 1, INPUTS)
        weights = CountedSum(1, channel, 1, CHANNELS)
        ratio = ALPHA**2 * MULTIPLIER * dim * one_step.delivered_energy(self.setting.kernel)
        return (
            Step(
                "Differentiate",
                "Δf = −ηr Σ(∂f/∂θ)² of either group, D and u are independent; η, r and the features' deviation cancel. "
                + one_step.SIDES,
                ratio * patch / weights,
            ),
            Step("Add", "inputs are alike, and so are channels", ratio * INPUTS * _SQUARE / CHANNELS),
        )

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of values that a row draws, of x and u."""
        return int((values[CHANNELS.name] + values[INPUTS.name]) * super().row_elements(values))

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows k"]:
        """Draw layers, take the step, and return how far heads, weights and shared offsets move the output.

        They are in units of −ηr, of shape (rows, 3); shared offsets by ηm, as the heads.
        """
        channels, inputs = int(values[CHANNELS.name]), int(values[INPUTS.name])
        x = torch.from_numpy(generator.standard_normal((rows, channels, *self.grid))).to(device)
        u = torch.from_numpy(
            values[MEAN.name] + values[DEVIATION.name] * generator.standard_normal((rows, inputs, *self.grid))
        ).to(device)
        v = one_step.unit_rows(torch.from_numpy(generator.standard_normal((rows, channels))).to(device))
        head = torch.zeros((rows, self.setting.dim, inputs), dtype=torch.float64, device=device)
        shared = torch.zeros((rows, self.setting.dim), dtype=torch.float64, device=device)
        zero = (v.requires_grad_(), head.requires_grad_(), shared.requires_grad_())

        def output(v: Tensor, head: Tensor, shared: Tensor) -> Tensor:
            raw = torch.einsum("rip,rp...->ri...", head, u) + shared.reshape(*shared.shape, *[1] * self.setting.dim)
            y = warping.warp(x, values[ALPHA.name] * raw, self.setting.kernel, "periodic")
            return (v * one_step.centre(y)).sum(1)

        before = output(*zero)
        forces = one_step.gradients(before, zero)
        moved = []
        with torch.no_grad():
            for place, scale in ((1, values[MULTIPLIER.name]), (0, 1.0), (2, values[MULTIPLIER.name])):
                steps = (sign * one_step.RATE * scale * forces[place] for sign in (1, -1))  # residuals of either sign
                stepped = ([zero[k] - step if k == place else zero[k] for k in range(3)] for step in steps)
                sides = [output(v, head, shared) for v, head, shared in stepped]
                moved.append((sides[1] - sides[0]) / (2 * one_step.RATE))
        return torch.stack(moved, 1)

    def combine(self, means: Float[ndarray, "k"], values: Mapping[str, float]) -> tuple[float, Float[ndarray, "k"]]:
        """Return the ratio of heads to weights, and its gradient, shape (k,), at means of shape (k,)."""
        return _quotient(means, 0, 1)


def _quotient(means: Float[ndarray, "k"], above: int, below: int) -> tuple[float, Float[ndarray, "k"]]:
    gradient = np.zeros_like(means)
    gradient[above], gradient[below] = 1 / means[below], -means[above] / means[below] ** 2
    return float(means[above] / means[below]), gradient


result.quantity("ratio of self-influences", smallest_effect=0.08)(LayerStep)


@result.quantity("predicted over static positions, one output", smallest_effect=0.08)
class PatchEnergy(LayerStep):
    """How much further a step moves predicted positions than shared ones: the patch energy."""

    text = "E Δf_off / E Δf_static"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from K."""
        number = sp.Symbol("p", integer=True)
        return (
            Step("Cancel", "E K(n, n), for all else is common to both", CountedSum(_SQUARE, number, 1, INPUTS)),
            Step("Sum", "P inputs that are alike", INPUTS * _SQUARE),
        )

    def combine(self, means: Float[ndarray, "k"], values: Mapping[str, float]) -> tuple[float, Float[ndarray, "k"]]:
        """Return the ratio of heads to shared offsets, and its gradient, shape (k,), at means of shape (k,)."""
        return _quotient(means, 0, 2)


@result.quantity("predicted over static positions, N outputs", smallest_effect=0.08, dims=(1,), kernels=("keys",))
@dataclass(frozen=True)
class ManyOutputs(DerivedExperiment):
    """The energy of Δf over N outputs by a predicting head, over that by shared offsets; periodic, on a line."""

    text = "E ‖Δf_off‖² / E ‖Δf_static‖²"
    symbols = frozenset({INPUTS.name, OUTPUTS.name, MEAN.name, DEVIATION.name})

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from a sum over lags, by pairings of normal variables."""
        fourth = MEAN**4 + 6 * MEAN**2 * DEVIATION**2 + 3 * DEVIATION**4  # E u⁴
        same = INPUTS**2 * _SQUARE**2 + INPUTS * (fourth - _SQUARE**2)
        other = INPUTS**2 * MEAN**4 + INPUTS * (_SQUARE**2 - MEAN**4)
        # D[n] = (x[n + 1] − x[n − 1])/2 has correlations of −½ with itself two pixels on.
        apart, lag = 1 + 2 * sp.Rational(-1, 2) ** 2, sp.Symbol("j", integer=True)
        far = CountedSum(1, lag, 4, OUTPUTS)
        by_lags = (3 * same + 2 * apart * other + far * other) / (3 + 2 * apart + far)
        return (
            Step(
                "Sum over lags",
                "E D[n]²D[n′]² is 1 + 2c² times (E D²)², c the correlation of both: 3 at one output, 3/2 two pixels "
                "apart, else 1; E K² is κ₀ at one output and κ₁ between two",
                by_lags,
            ),
            Step("Count", "N outputs of a period", (3 * same + OUTPUTS * other) / (3 + OUTPUTS)),
        )

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of values that a row draws."""
        return int((values[INPUTS.name] + 2) * values[OUTPUTS.name])

    pixels: ClassVar[Mapping[int, int]] = {1: 1}

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows k"]:
        """Draw layers and residuals, and return the energies of what either step moves, shape (rows, 2)."""
        inputs, count = int(values[INPUTS.name]), int(values[OUTPUTS.name])
        x = torch.from_numpy(generator.standard_normal((rows, 1, count))).to(device)
        u = torch.from_numpy(
            values[MEAN.name] + values[DEVIATION.name] * generator.standard_normal((rows, inputs, count))
        ).to(device)
        residual = torch.from_numpy(generator.standard_normal((rows, 1, count))).to(device)

        def moved(read: Tensor) -> Tensor:
            head = torch.zeros((rows, 1, read.shape[1]), dtype=torch.float64, device=device, requires_grad=True)
            before = warping.warp(x, head @ read, self.setting.kernel, "periodic")
            (force,) = torch.autograd.grad((residual * before).sum(), head)
            with torch.no_grad():
                after = warping.warp(x, -one_step.RATE * force @ read, self.setting.kernel, "periodic")
                return ((after - before) / one_step.RATE).square().flatten(1).sum(1)

        return torch.stack([moved(u), moved(torch.ones_like(u[:, :1]))], 1)

    def combine(self, means: Float[ndarray, "k"], values: Mapping[str, float]) -> tuple[float, Float[ndarray, "k"]]:
        """Return the ratio of energies, and its gradient, shape (k,), at means of shape (k,)."""
        return _quotient(means, 0, 1)
