"""D7: how much of a warped field lies beyond the grid's Nyquist frequency."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, cast

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from warptheory import warping
from warptheory.fields import SquaredExponential, kept_sampler
from warptheory.results._experiment import DerivedExperiment
from warptheory.results._ranges import Range
from warptheory.results._result import Result
from warptheory.results.fields._fields import EXACT, SPACING, check_length, frequencies, smooth_field, smooth_offsets
from warptheory.symbolic import Covariance, Step, compose
from warptheory.symbolic.nodes import Node
from warptheory.symbolic.quadrature import Environment, Evaluate, gauss_legendre

result = Result(
    "D7",
    "Aliasing of the warped field",
    "Roughening (C3) sends power beyond the Nyquist frequency of the grid on which y is kept, even if x had none "
    "there. The share is 1 − ∫ C_y(τ)/C(0) ∏ sin(πτᵢ/h)/πτᵢ dτ with C_y of C2; sampling folds it back as error.",
    assumptions=(
        "x is a homogeneous field of mean zero, C(τ) = σ² exp(−|τ|²/2ℓ²).",
        "The components of the offsets are independent homogeneous Gaussian fields, K(τ) = s² exp(−|τ|²/2ℓ_e²).",
        "x is read between its pixels without error: checked on a grid three to six times as fine, by cubic splines.",
    ),
    source="arXiv 2511.20800, discretization; theory label D7",
    meaning="Warping creates frequencies that the grid cannot hold, and they come back as noise. Low-pass where "
    "the map compresses, or warp at twice the resolution.",
    kernels=EXACT,
    values={
        "l": Range(1.5, 1.3, 2.2),
        "s": Range(2.0, 1.2, 2.6),
        "l_e": Range(3.0, 2.2, 4.0),
        "h": Range(2.0, 1.8, 2.6),
    },
)

_PERIOD = {1: 128, 2: 32}  # spacings h of a row along each axis
_REFINEMENT = {1: 6, 2: 3}  # points per spacing
_FINEST = 2.0  # points of the fine grid, a length that cubic splines read without error


@result.quantity("share beyond Nyquist", smallest_effect=0.015)
@dataclass(frozen=True)
class ShareBeyondNyquist(DerivedExperiment):
    """The share of Var y at frequencies with some |ωᵢ| > π/h.

    x and ε are drawn at a spacing of h/6 on a circle, or h/3 on a torus, and x is read with cubic splines; at the
    Nyquist frequency itself half the power counts.
    """

    text = "share of S_y beyond |ωᵢ| = π/h"
    symbols = frozenset({"sigma", "l", "s", "l_e", "h"})
    pixels: ClassVar[Mapping[int, int]] = {dim: spacings * _REFINEMENT[dim] for dim, spacings in _PERIOD.items()}

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from the power within the band to an integral of the covariance."""
        dim = self.setting.dim
        lags = tuple(sp.Symbol(f"tau_{axis + 1}", real=True) for axis in range(dim))
        y = compose(smooth_field(dim), smooth_offsets(dim))
        covariance = Covariance(y(*[0] * dim), y(*lags)).doit()
        # Not simplified: with exp(τ²/2ℓ_e²) in its denominators a fraction would overflow at large lags.
        correlation = covariance / covariance.subs(dict.fromkeys(lags, 0))
        return (
            Step(
                "Integrate the spectrum",
                "what lies within the band of the grid, by S_y(ω) = ∫ C_y(τ) exp(−iω·τ) dτ with C_y of C2",
                1 - BandOfSpectrum(correlation, SPACING, *lags),
            ),
            Step(
                "Exchange the integrals",
                "∫ cos ωτ dω/2π over |ω| < π/h is sin(πτ/h)/πτ",
                1 - BandOfCovariance(correlation, SPACING, *lags, _window(SPACING)),
            ),
        )

    def check_values(self, values: Mapping[str, float]) -> None:
        """Check that the fine grid resolves the field and the offsets, and is much larger than their lengths."""
        finest = _FINEST * values["h"] / _REFINEMENT[self.setting.dim]
        for name in ("l", "l_e"):
            check_length(name, values[name], finest, _PERIOD[self.setting.dim] * values["h"])

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Return the power beyond the Nyquist frequency over C(0) for each row, shape (rows,)."""
        dim, size, spacing = self.setting.dim, self.grid, values["h"] / _REFINEMENT[self.setting.dim]
        variance = values["sigma"] ** 2
        field = SquaredExponential(values["l"], variance, dim)
        offsets = SquaredExponential(values["l_e"], values["s"] ** 2, dim)
        x = kept_sampler(field, size, spacing, periodic=True).sample(rows, generator, device=device)
        moved = kept_sampler(offsets, size, spacing, periodic=True).sample(rows, generator, dim, device)
        y = warping.warp(x, moved / spacing, EXACT[0], "periodic")[:, 0]
        power = torch.fft.fftn(y, dim=tuple(range(1, y.ndim))).abs().square() / math.prod(size) ** 2
        return cast("Tensor", (power * (1 - self._within(power))).flatten(1).sum(1) / variance)

    def _within(self, power: Tensor) -> Tensor:
        """Return 1 at frequencies within the band, 1/2 on its edge, and 0 beyond, shape (*S)."""
        length = power.shape[-1]
        frequency = torch.fft.fftfreq(length, device=power.device).abs() * length
        edge = length // _REFINEMENT[self.setting.dim] / 2
        line = torch.where(frequency < edge, 1.0, torch.where(frequency == edge, 0.5, 0.0)).to(power.dtype)
        whole = torch.ones((), dtype=power.dtype, device=power.device)
        for _ in range(self.setting.dim):
            whole = whole[..., None] * line
        return whole


_NODES = 16  # of a panel
_REACH = 8.5  # standard deviations of the widest Gaussian in C_y; beyond, it is below 1e-15
_TIME, _FREQUENCY = sp.Symbol("tau", positive=True), sp.Symbol("omega", real=True)


@cache
def _window(spacing: sp.Expr) -> sp.Expr:
    """Return ∫ cos ωτ dω/2π over the band |ω| < π/h, for τ > 0."""
    return sp.integrate(sp.cos(_FREQUENCY * _TIME) / (2 * sp.pi), (_FREQUENCY, -sp.pi / spacing, sp.pi / spacing))


class _Band(Node):
    """The share of a spectrum within |ωᵢ| < π/h: args (correlation, h, τ₁, …, τ_d)."""

    @property
    def free_symbols(self) -> set[sp.Symbol]:
        """Symbols of the correlation and the spacing, without the lags."""
        return (self.args[0].free_symbols - set(self.lags)) | self.args[1].free_symbols

    @property
    def lags(self) -> tuple[sp.Symbol, ...]:
        """The lag along each axis."""
        return cast("tuple[sp.Symbol, ...]", self.args[2:])

    def _sampled(self, environment: Environment, evaluate: Evaluate) -> tuple[ndarray, ndarray, ndarray, float]:
        """Return lags along an axis, their weights, the correlation on their grid, and h; lags ≥ 0 count twice."""
        spacing = float(evaluate(self.args[1], environment))
        # C_y falls no slower than a Gaussian of variance ℓ² + 2s².
        widest = math.hypot(environment[_symbol(self, "l")], math.sqrt(2) * environment[_symbol(self, "s")])
        panel = min(environment[_symbol(self, "l")], environment[_symbol(self, "l_e")], spacing) / 2
        count = math.ceil(_REACH * widest / panel)
        points, weights = (part.ravel() for part in gauss_legendre(panel * np.arange(count + 1), _NODES))
        grid = np.meshgrid(*[points] * len(self.lags), indexing="ij")
        values = evaluate(self.args[0], {**environment, **dict(zip(self.lags, grid, strict=True))})
        return points, 2 * weights, values, spacing


def _symbol(node: Node, name: str) -> sp.Symbol:
    return next(symbol for symbol in node.free_symbols if symbol.name == name)


class BandOfSpectrum(_Band):
    """The share as an integral of the spectral density over the band."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return ∫ S_y/C_y(0) dω/(2π)ᵈ over the band."""
        omega = frequencies(len(self.lags))
        density = sp.Function("S_y")(*omega) / sp.Function("C_y")(0)
        limits = ((w, -sp.pi / self.args[1], sp.pi / self.args[1]) for w in omega)
        return sp.Integral(density, *limits) / (2 * sp.pi) ** len(omega)

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Transform the correlation at Gauss–Legendre frequencies, and add these up; a scalar."""
        points, weights, values, spacing = self._sampled(environment, evaluate)
        panels = max(8, math.ceil(points[-1] / spacing))
        omega, lengths = (part.ravel() for part in gauss_legendre(np.linspace(0, np.pi / spacing, panels + 1), _NODES))
        shares = lengths / np.pi
        wave = np.cos(np.multiply.outer(omega, points)) * weights
        for _ in self.lags:  # each pass transforms the first axis, and moves it to the end
            values = np.tensordot(values, wave, axes=(0, 1))
        for _ in self.lags:
            values = np.tensordot(values, shares, axes=(0, 0))
        return float(values)


class BandOfCovariance(_Band):
    """The share as an integral of the covariance: args (correlation, h, τ₁, …, τ_d, window in τ)."""

    @property
    def lags(self) -> tuple[sp.Symbol, ...]:
        """The lag along each axis."""
        return cast("tuple[sp.Symbol, ...]", self.args[2:-1])

    def display(self, *, latex: bool) -> sp.Expr:
        """Return ∫ C_y(τ)/C_y(0) ∏ sin(πτᵢ/h)/πτᵢ dτ."""
        window = sp.Mul(*(self.args[-1].subs(_TIME, t) for t in self.lags))
        return sp.Integral(self.args[0] * window, *((t, -sp.oo, sp.oo) for t in self.lags))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Integrate on a tensor grid of Gauss–Legendre panels; a scalar."""
        points, weights, values, _ = self._sampled(environment, evaluate)
        window = weights * evaluate(self.args[-1], {**environment, _TIME: points})
        for _ in self.lags:
            values = np.tensordot(values, window, axes=(0, 0))
        return float(values)
