"""E3: which warps, and which convolutions, keep all energies.

φ a diffeomorphism of the torus, J = det φ′, and U x = √|J| x∘φ. Changing variables, ∫|J| (x∘φ)² dt = ∫x² ds: U is an
isometry; its inverse, x ↦ (x/√|J|)∘φ⁻¹, is of the same form, so that U is unitary. The adjoint of W x = x∘φ is φ₊g =
Σ g/|J|, and WᵀW is the multiplication by 1/|J| ∘ φ⁻¹: it is the identity iff |J| ≡ 1. A convolution multiplies each
wave by ĥ(ω), and is unitary iff |ĥ| ≡ 1. A map that is both, x ↦ x∘φ and commuting with translations, has x(φ(t + s)) =
x(φ(t) + s) for all x, hence φ(t + s) = φ(t) + s, and with t = 0: φ(s) = s + φ(0), a translation. The same holds with
the weight: applied to x = 1 it says that |J| is a constant, which is 1 since φ covers the torus once. So the two
families of unitary maps, of many dimensions each, meet only in translations.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import warping
from warptheory.results._experiment import DerivedExperiment
from warptheory.results._ranges import Range
from warptheory.results._result import Result
from warptheory.results._setting import TAU
from warptheory.results.backward._smooth_offsets import WaveGrid
from warptheory.results.backward.jensen import BackwardGain, TorusMean
from warptheory.symbolic import Step, restated
from warptheory.symbolic.nodes import Opaque, Side, TapSum

result = Result(
    "E3",
    "Unitary warps and unitary convolutions",
    "For every diffeomorphism φ of the torus √|J| x∘φ is unitary. x∘φ is unitary iff J ≡ ±1: WᵀW x − x has the mean "
    "square ⟨1/J⟩ − 1, which is (1 − τ²)^(−d/2) − 1 for εᵢ = τ sin tᵢ. A convolution is unitary iff |ĥ| ≡ 1; a shift "
    "by the fraction f, read by linear interpolation, has the mean square 6f²(1 − f)² of AᵀA x − x for white x, d = 1. "
    "Only translations belong to both families; on a grid, by whole pixels.",
    assumptions=(
        "The offsets are smooth on the scale of the grid and independent of x; J = det(I + ∇ε) > 0.",
        "x is homogeneous and smooth on the scale of the grid; white for the fractional shift.",
        "Backward, the output grid is fine enough that neighbouring positions lie well within a pixel of each other.",
    ),
    source="arXiv 2511.20800, orthogonal operators; Koopman operators of maps; theory label E3",
    meaning="Warps have their own way of keeping the energy of signals and gradients, with the weight √|J|, which "
    "no convolution shares. Multiply the output of a layer by √|J| if its gradients grow where its map "
    "compresses: then both passes keep their energy as long as the map does not fold, though constants do "
    "not stay constant.",
    kernels=("keys",),
    values={TAU.name: Range(0.5, 0.25, 0.55)},
    notation={
        "A": "a shift of the whole image by one fraction of a pixel along each axis, read by the kernel",
        "t": "a place on the torus, whose period is 2π",
        "x": "a homogeneous field, or independent pixels for a shift",
    },
)


@dataclass(frozen=True)
class WeightedGrid(WaveGrid):
    """The grid of smooth offsets, on which √J is known."""

    def weights(self, phases: Float[Tensor, "rows d"], tau: float) -> Float[Tensor, "rows 1 *T"]:
        """Return √J at the output pixels, shape (rows, 1, *T), for phases θ₁ … θ_d, shape (rows, d)."""
        wavenumber = 2 * math.pi / self.period
        slopes = 1 + tau * torch.cos(wavenumber * self._positions(phases.device) + phases[..., None])
        determinant = torch.ones((), dtype=torch.float64, device=phases.device)
        for axis in range(self.dim):
            determinant = determinant * self._along(axis, slopes[:, axis])
        return determinant.sqrt()[:, None]

    def waves(self, phase: Float[Tensor, "rows"]) -> Float[Tensor, "rows 2 *T"]:
        """Return waves of mean square one at the output pixels, shape (rows, 2, *T), for phases (rows,).

        The second is a quarter of a period behind: of what is linear in the wave, the mean square of both is that over
        all its phases.
        """
        return torch.cat([self._wave(phase), self._wave(phase + math.pi / 2)], 1)

    def warped(
        self, x: Float[Tensor, "rows 2 *S"], phases: Float[Tensor, "rows d"], tau: float
    ) -> Float[Tensor, "rows 2 *T"]:
        """Return x∘φ on the output pixels, shape (rows, 2, *T), for x (rows, 2, *S), one value a pixel."""
        return warping.warp(x, self._offsets(phases, tau), self.kernel, "periodic")


class OnTheTorus(DerivedExperiment):
    """An experiment with waves and offsets of random phases on a grid that resolves them."""

    symbols = frozenset({TAU.name})

    @property
    def grid_of_waves(self) -> WeightedGrid:
        """The grid of slopes up to 0.5, as fine at the output as B6 needs it backward."""
        coarse = WaveGrid.of(self.setting)
        return WeightedGrid(coarse.kernel, coarse.dim, coarse.period)

    def resolved(self, tau: float) -> WeightedGrid:
        """Return the grid on which the peaks of 1/J are resolved; raises as `WaveGrid.resolving`."""
        found = self.grid_of_waves.resolving(tau)
        assert isinstance(found, WeightedGrid)
        return found

    def check_values(self, values: Mapping[str, float]) -> None:
        """Check that a grid resolves the peaks of 1/J; raises as `WaveGrid.resolving`."""
        self.resolved(values[TAU.name])

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of output pixels."""
        return self.resolved(values[TAU.name]).points

    def phases(
        self, generator: np.random.Generator, rows: int, device: str
    ) -> tuple[Float[Tensor, "rows"], Float[Tensor, "rows d"]]:
        """Draw the phases of waves, shape (rows,), and of offsets, shape (rows, d)."""
        drawn = torch.from_numpy(2 * math.pi * generator.random((rows, 1 + self.setting.dim))).to(device)
        return drawn[:, 0], drawn[:, 1:]


# Linear interpolation takes 3e-4 of the energy.
@result.quantity("forward gain of the weighted warp", kernels=("keys", "linear"), bias=0.05)
class WeightedForwardGain(OnTheTorus):
    """E (√J x∘φ)² for E x² = 1."""

    text = "E (√J · x∘φ)²"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from ⟨J⟩."""
        mean = torus_mean(self.setting.dim, lambda jacobian: jacobian)
        return (
            Step("Average over the field", "E x² = 1 wherever it is read", mean),
            Step("Integrate", "φ covers the torus once: ∫J dt is its volume", sp.simplify(mean.integral.doit())),
        )

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw waves and offsets, and return the gain of each; shape (rows,)."""
        tau = values[TAU.name]
        grid = replace(self.resolved(tau), oversampling=1)
        wave, phases = self.phases(generator, rows, device)
        found = grid.weights(phases, tau) * grid.warped(grid.waves(wave), phases, tau)
        return found.square().flatten(1).mean(1)


@result.quantity("backward gain of the weighted warp")
class WeightedBackwardGain(OnTheTorus):
    """E (φ₊ √J g)² for E g² = 1."""

    text = "E (φ₊(√J g))²"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from the change of variables."""
        squared = torus_mean(self.setting.dim, lambda jacobian: jacobian * (sp.sqrt(jacobian) / jacobian) ** 2)
        return (
            Step("Change variables", "one preimage each: ∫ds (√J/J)² E g² = ∫dt J (√J/J)², whatever φ is", squared),
            Step("Integrate", "the integrand is one", sp.simplify(squared.integral.doit())),
        )

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw waves and offsets, and return the gain of each; shape (rows,)."""
        tau = values[TAU.name]
        grid = self.resolved(tau)
        wave, phases = self.phases(generator, rows, device)
        found = grid.splatted(grid.weights(phases, tau) * grid.waves(wave), phases, tau)
        return found.square().flatten(1).mean(1)


# In the plane it is the backward gain less one, which B6 draws there.
@result.quantity("departure of a warp from a unitary one", dims=(1,))
class Departure(OnTheTorus):
    """E (WᵀW x − x)² for W x = x∘φ and E x² = 1."""

    text = "E (WᵀW x − x)²"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from the backward gain, B6."""
        mean = torus_mean(self.setting.dim, lambda jacobian: jacobian * (1 / jacobian - 1) ** 2)
        backward = restated(
            BackwardGain(self.setting).steps(),
            "J(1/J − 1)² = 1/J − 2 + J, and ⟨J⟩ = 1; ⟨1/J⟩ is the backward gain (B6): ",
            lambda gain: gain - 1,
        )
        return (
            Step("Change variables", "WᵀW multiplies by 1/J at φ⁻¹(s): E (1/J − 1)² over s, ds = J dt", mean),
            *backward,
        )

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw waves and offsets, warp and splat; return the mean square of what changed, shape (rows,)."""
        tau = values[TAU.name]
        grid = self.resolved(tau)
        wave, phases = self.phases(generator, rows, device)
        x = replace(grid, oversampling=1).waves(wave)
        found = grid.splatted(grid.warped(x, phases, tau), phases, tau)
        return (found - x).square().flatten(1).mean(1)


_FRACTION = sp.Symbol("f", nonnegative=True)


class ShiftDeparture(DerivedExperiment):
    """E (AᵀA x − x)² for white x of variance one, A a shift by the fraction f along each axis."""

    text = "E [(AᵀA x − x)² | f]"
    symbols = frozenset({"f"})
    pixels: ClassVar[Mapping[int, int]] = {1: 256, 2: 16}

    def steps(self) -> tuple[Step, ...]:
        """Return the steps to a polynomial of the fraction."""
        reach = len(self.kernel.taps)
        kernel = Opaque(self.kernel)
        lags = {
            lag: TapSum(sp.Tuple(*(sp.Tuple(kernel, 0, shift, Side.RIGHT) for shift in (0, lag))), _FRACTION)
            for lag in range(-reach, reach + 1)
        }
        closed = {lag: sum_.function.at(_FRACTION) for lag, sum_ in lags.items()}
        return (
            Step(
                "Average over the pixels",
                "AᵀA is a convolution with r(j) = Σₘ k(f − m) k(f + j − m) along each axis: Σⱼ (r(j) − δⱼ)² over the "
                "lags j of all axes, which is (Σ r²)ᵈ − 2r(0)ᵈ + 1",
                self._departure(lags),
            ),
            Step("Insert the kernel", "r(j) as polynomials of the fraction", sp.factor(self._departure(closed))),
        )

    def _departure(self, lags: Mapping[int, sp.Expr]) -> sp.Expr:
        squares = sp.Add(*(value**2 for value in lags.values()))
        return squares**self.setting.dim - 2 * lags[0] ** self.setting.dim + 1

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw white images, shift them and back by the adjoint; return the mean square change, shape (rows,)."""
        x = torch.from_numpy(generator.standard_normal((rows, 1, *self.grid))).to(device)
        offsets = torch.full((rows, self.setting.dim, *self.grid), values["f"], dtype=torch.float64, device=device)
        there = warping.warp(x, offsets, self.setting.kernel, "periodic")
        back = warping.splat(there, offsets, self.grid, self.setting.kernel, "periodic")
        return (back - x).square().flatten(1).mean(1)


_KERNELS = ("linear", "keys")
result.quantity("departure of a fractional shift from a unitary one", kernels=_KERNELS)(ShiftDeparture)


def torus_mean(dim: int, function: Callable[[sp.Expr], sp.Expr]) -> TorusMean:
    """Return the mean of a function of J over the torus, for εᵢ = τ sin tᵢ."""
    coordinates = tuple(sp.Symbol(f"t_{axis + 1}", real=True) for axis in range(dim))
    return TorusMean(function(sp.Mul(*(1 + TAU * sp.cos(t) for t in coordinates))), *coordinates)
