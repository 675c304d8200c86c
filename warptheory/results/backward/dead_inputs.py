"""B4: dead inputs, the pixels that no output reads and no gradient reaches."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import kernels, symbolic, warping
from warptheory.core.errors import ArgumentError
from warptheory.kernels import Kernel
from warptheory.results._quantity import Quantity
from warptheory.results._ranges import Range, limit
from warptheory.results._result import Result
from warptheory.results._setting import Setting
from warptheory.symbolic import Derivation, NotReducible, OffsetField, Statistic, Step
from warptheory.symbolic._nodes import Opaque
from warptheory.symbolic._reading import (
    OUTPUT,
    ExpectedReadings,
    LogUnread,
    MeanPixelsRead,
    ReadingProbability,
    UnreadEvent,
    UnreadProbability,
    WideLimit,
    offset_range,
    reading_probability,
    support,
    support_size,
    watch,
)


@dataclass(frozen=True)
class DeadShare(Statistic):
    """The probability that a pixel is dead: no output reads it, so no gradient reaches it.

    Attributes:
        kernel: the interpolation kernel.
        offsets: the offset field, of independent pixels and axes.
        period: number of pixels along each axis of a periodic grid; infinite for Zᵈ.
    """

    kernel: Kernel
    offsets: OffsetField
    period: int | None = None

    def derive(self) -> Derivation:
        """Return the steps to the product over all outputs; raises as `Statistic.derive`."""
        law, period = self.offsets.axis_law, sp.oo if self.period is None else self.period
        by_kernel = ReadingProbability(Opaque(self.kernel), Opaque(law), OUTPUT)
        by_distribution = reading_probability(self.kernel, law)
        return Derivation(
            str(self),
            (
                Step(
                    "Event",
                    "a pixel is dead when every output gives it weight zero",
                    watch(UnreadEvent, by_kernel, self.kernel, self.offsets, period),
                ),
                Step(
                    "Use independence",
                    "offsets are independent over the pixels, and over the axes",
                    watch(UnreadProbability, by_kernel, self.kernel, self.offsets, period),
                ),
                Step(
                    "Distribution function",
                    "the kernel is not zero on its support, a union of intervals [a, b)",
                    watch(UnreadProbability, by_distribution, self.kernel, self.offsets, period),
                ),
            ),
        )

    def __str__(self) -> str:
        return "P((Wᵀg)[m] = 0 for every g)"


@dataclass(frozen=True)
class WideDeadShare(Statistic):
    """The limit of `DeadShare` for offsets of wide spread.

    Attributes:
        kernel: the interpolation kernel.
        offsets: the offset field, of independent pixels and axes; its scale grows.
    """

    kernel: Kernel
    offsets: OffsetField

    def derive(self) -> Derivation:
        """Return the steps to exp(−|S|ᵈ); raises as `Statistic.derive`."""
        kernel, offsets, dim = self.kernel, self.offsets, self.offsets.dim
        law = offsets.axis_law
        if not law.scale.is_Symbol:
            raise NotReducible(sp.Symbol(law.name), "a law with a scale is needed, which grows in the limit")
        probability = reading_probability(kernel, law)

        def limit(node: type) -> sp.Expr:
            return WideLimit(watch(node, probability, kernel, offsets), law.scale, dim)

        return Derivation(
            str(self),
            (
                Step("Finite spread", "the share of dead inputs at finite spread", limit(UnreadProbability)),
                Step("Take the logarithm", "of a product that is positive", sp.exp(limit(LogUnread))),
                Step(
                    "Keep the first order",
                    "p ≤ −log(1 − p) ≤ p + p² for p ≤ 1/2, and Σp² ≤ max p · Σp: the sum stays bounded, and max p → 0 "
                    "since the density falls as 1/scale",
                    sp.exp(-limit(ExpectedReadings)),
                ),
                Step(
                    "Count the pixels read",
                    "Σₙ P(n + ε ∈ S) is the mean number of integers in S − ε, a function N of the fraction of ε, "
                    "which is uniform in the limit",
                    sp.exp(-(MeanPixelsRead(Opaque(kernel)) ** dim)),
                ),
                Step("Support", "∫N is the length of the support", sp.exp(-(support_size(kernel) ** dim))),
            ),
        )

    def __str__(self) -> str:
        return f"lim P((Wᵀg)[m] = 0 for every g), {self.offsets.axis_law.scale} → ∞"


@dataclass(frozen=True)
class DeadShareSimulation:
    """The share of pixels that receive no gradient, on a periodic grid.

    The gradient sent back is random with a density, so what reaches a pixel is zero with probability zero
    unless no output reads it: weights of both signs cannot hide a reading by cancelling.

    Attributes:
        kernel: the interpolation kernel.
        offsets: the offset field.
        size: number of pixels along each axis.
        wraps: whether offsets may go around the grid; else they have to be short against it.
    """

    kernel: Kernel
    offsets: OffsetField
    size: int
    wraps: bool

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels of a grid."""
        return int(self.size**self.offsets.dim)

    @property
    def symbols(self) -> set[str]:
        """Names of the parameters of the law of the offsets."""
        law = self.offsets.axis_law
        return {symbol.name for symbol in law.location.free_symbols | law.scale.free_symbols}

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw the share of dead pixels of independent grids.

        Args:
            generator: source of every random number.
            rows: number of grids.
            values: a number for every symbol, by name; offsets in pixels.
            device: device on which the operator runs.

        Returns:
            Shares in [0, 1], shape (rows,), float64.

        Raises:
            ArgumentError: offsets so wide that they go around the grid.
        """
        law, dim = self.offsets.axis_law, self.offsets.dim
        location, scale = symbolic.evaluate(law.location, values), symbolic.evaluate(law.scale, values)
        self._check_that_offsets_fit(values)
        grid = (self.size,) * dim
        offsets = torch.from_numpy(law.sample(generator, (rows, dim, *grid), location, scale)).to(device)
        g = torch.from_numpy(generator.uniform(0.5, 1.5, (rows, 1, *grid))).to(device)
        gradient = warping.splat(g, offsets, kernel=self.kernel, boundary="periodic")
        return (gradient == 0).to(torch.float64).flatten(1).mean(1)

    def _check_that_offsets_fit(self, values: Mapping[str, float]) -> None:
        if self.wraps:
            return
        low, high = offset_range(self.offsets.axis_law, {}, lambda expression, _: symbolic.evaluate(expression, values))
        reach = max(float(abs(edge)) for piece in support(self.kernel) for edge in (piece.lower, piece.upper))
        if max(-low, high) + reach > self.size / 2:
            raise ArgumentError(
                "values",
                expected=f"offsets below {self.size / 2 - reach:g} pixels",
                received=f"up to {max(-low, high):g}",
            )


def dead_share(setting: Setting) -> DeadShare:
    """State the share of dead inputs at finite spread."""
    return DeadShare(kernels.get(setting.kernel), OffsetField(setting.offsets, setting.dim))


def wide_dead_share(setting: Setting) -> WideDeadShare:
    """State the share of dead inputs in the limit of wide offsets."""
    return WideDeadShare(kernels.get(setting.kernel), OffsetField(setting.offsets, setting.dim))


# Wide enough that offsets of the spreads below never go around the grid.
_FINITE_SIZE = {1: 64, 2: 48, 3: 32}
# The spread is a multiple of this size, so that positions are uniform over the periodic grid of N pixels, and the
# share (1 − |S|ᵈ/Nᵈ)^(Nᵈ) is below its limit by a relative |S|²ᵈ/2Nᵈ: at most a tenth of the smallest effect.
WIDE_SIZE = {1: 8192, 2: 128, 3: 64}
_WIDE = {name: limit(8192.0) for name in ("s", "a", "b")}


def _simulate_finite(statistic: Statistic, setting: Setting) -> DeadShareSimulation:
    offsets = OffsetField(setting.offsets, setting.dim)
    return DeadShareSimulation(kernels.get(setting.kernel), offsets, _FINITE_SIZE[setting.dim], wraps=False)


def _simulate_wide(statistic: Statistic, setting: Setting) -> DeadShareSimulation:
    offsets = OffsetField(setting.offsets, setting.dim)
    return DeadShareSimulation(kernels.get(setting.kernel), offsets, WIDE_SIZE[setting.dim], wraps=True)


RESULT = Result(
    label="B4",
    title="Dead inputs",
    statement=(
        "A share ∏ₙ(1 − P(p(n) in the support of m)) of the input pixels is read by no output and receives no "
        "gradient; for offsets of wide spread exp(−|S|ᵈ), |S| the length of the kernel's support: e^{−2ᵈ} for linear "
        "interpolation, 1/e for nearest in any number of axes, exp(−4ᵈ) for cubic convolution."
    ),
    assumptions=(
        "The offsets are independent over the pixels, and independent and alike along the axes, with a density.",
        "The kernel has a finite support and no prefilter.",
        "Wide offsets: their spread goes to infinity, on a grid that is larger still (or on a torus that they cover).",
    ),
    source="arXiv 2511.20800, backward pass; occupancy of randomly placed balls; theory label B4",
    quantities=(
        Quantity(
            "share of dead inputs",
            dead_share,
            smallest_effect=0.03,
            values=lambda setting: {"s": Range(1.4, 0.6, 2.0), "a": Range(2.3, 1.0, 3.5), "b": Range(0.5, 0.4, 1.5)},
            simulation=_simulate_finite,
        ),
        Quantity(
            "share of dead inputs, wide offsets",
            wide_dead_share,
            smallest_effect=0.03,
            values=lambda setting: _WIDE,
            simulation=_simulate_wide,
        ),
        Quantity(
            "share of dead inputs, wide offsets, nearest",
            wide_dead_share,
            smallest_effect=0.03,
            kernels=("nearest",),
            values=lambda setting: _WIDE,
            simulation=_simulate_wide,
        ),
        # e⁻¹⁶ for two axes is beyond simulation, and e⁻⁴ takes many pixels.
        Quantity(
            "share of dead inputs, wide offsets, cubic",
            wide_dead_share,
            smallest_effect=0.05,
            kernels=("keys",),
            dims=(1,),
            values=lambda setting: _WIDE,
            simulation=_simulate_wide,
        ),
    ),
    offsets=("normal", "uniform"),
    kernels=("linear", "nearest"),
    dims=(1, 2),
)
