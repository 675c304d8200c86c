"""B4: dead inputs, the pixels that no output reads and no gradient reaches."""

from collections.abc import Mapping, Set
from typing import ClassVar

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import symbolic, warping
from warptheory.core.errors import ArgumentError
from warptheory.results._experiment import DerivedExperiment
from warptheory.results._ranges import Range, limit
from warptheory.results._result import Result
from warptheory.results.backward._reading import (
    OUTPUT,
    ExpectedReadings,
    LogUnread,
    MeanPixelsRead,
    OverOutputs,
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
from warptheory.symbolic import NotReducible, OffsetField, Step
from warptheory.symbolic.nodes import Opaque

result = Result(
    "B4",
    "Dead inputs",
    "A share ∏ₙ(1 − P(p(n) in the support of m)) of the input pixels is read by no output and receives no "
    "gradient; for offsets of wide spread exp(−|S|ᵈ), |S| the length of the kernel's support: e^{−2ᵈ} for linear "
    "interpolation, 1/e for nearest in any number of axes, exp(−4ᵈ) for cubic convolution.",
    assumptions=(
        "The offsets are independent over the pixels, and independent and alike along the axes, with a density.",
        "The kernel has a finite support and no prefilter.",
        "Wide offsets: their spread goes to infinity, on a grid that is larger still (or on a torus that they cover).",
    ),
    source="arXiv 2511.20800, backward pass; occupancy of randomly placed balls; theory label B4",
    meaning="Under spread-out offsets one input in seven (d = 1) or one in fifty-five (d = 2) is read by nobody, "
    "and learns nothing in that step. A wider kernel or smoother offsets bring them back.",
    offsets=("normal", "uniform"),
    kernels=("linear", "nearest"),
)


class DeadShareExperiment(DerivedExperiment):
    """The share of pixels that receive no gradient, on a periodic grid.

    The gradient sent back is random with a density, so what reaches a pixel is zero with probability zero
    unless no output reads it: weights of both signs cannot hide a reading by cancelling.
    """

    @property
    def offsets(self) -> OffsetField:
        """The offset field, of independent pixels and axes."""
        return OffsetField(self.setting.offsets, self.setting.dim)

    @property
    def symbols(self) -> Set[str]:
        """Names of the parameters of the law of the offsets."""
        return {symbol.name for symbol in self.offsets.axis_law.free_symbols}

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw the shares of dead pixels of independent grids, in [0, 1]; raises as `check_values`; shape (rows,)."""
        self.check_values(values)
        law = self.offsets.axis_law
        location, scale = symbolic.evaluate(law.location, values), symbolic.evaluate(law.scale, values)
        drawn = law.sample(generator, (rows, self.setting.dim, *self.grid), location, scale)
        offsets = torch.from_numpy(drawn).to(device)
        g = torch.from_numpy(generator.uniform(0.5, 1.5, (rows, 1, *self.grid))).to(device)
        gradient = warping.splat(g, offsets, kernel=self.kernel, boundary="periodic")
        return (gradient == 0).to(torch.float64).flatten(1).mean(1)


@result.quantity(
    "share of dead inputs",
    smallest_effect=0.03,
    values={"s": Range(1.4, 0.6, 2.0), "a": Range(2.3, 1.0, 3.5), "b": Range(0.5, 0.4, 1.5)},
)
class DeadShare(DeadShareExperiment):
    """The probability that a pixel is dead: no output reads it, so no gradient reaches it."""

    text = "P((Wᵀg)[m] = 0 for every g)"
    pixels: ClassVar[Mapping[int, int]] = {
        1: 64,
        2: 48,
        3: 32,
    }  # so many that no offset of the spreads above goes around the grid

    def steps(self) -> tuple[Step, ...]:
        """Return the steps to the product over all outputs."""
        kernel, offsets = self.kernel, self.offsets
        by_kernel = ReadingProbability(Opaque(kernel), Opaque(offsets.axis_law), OUTPUT)
        by_distribution = reading_probability(kernel, offsets.axis_law)
        return (
            Step(
                "Event",
                "a pixel is dead when every output gives it weight zero",
                watch(UnreadEvent, by_kernel, kernel, offsets),
            ),
            Step(
                "Use independence",
                "offsets are independent over the pixels, and over the axes",
                watch(UnreadProbability, by_kernel, kernel, offsets),
            ),
            Step(
                "Distribution function",
                "the kernel is not zero on its support, a union of intervals [a, b)",
                watch(UnreadProbability, by_distribution, kernel, offsets),
            ),
        )

    def check_values(self, values: Mapping[str, float]) -> None:
        """Check that offsets do not go around the grid.

        Raises:
            ArgumentError: offsets that do.
        """
        low, high = offset_range(self.offsets.axis_law, {}, lambda expression, _: symbolic.evaluate(expression, values))
        reach = max(float(abs(edge)) for piece in support(self.kernel) for edge in (piece.lower, piece.upper))
        farthest = self.grid[0] / 2 - reach
        if max(-low, high) > farthest:
            expected, received = f"offsets below {farthest:g} pixels", f"up to {max(-low, high):g}"
            raise ArgumentError("values", expected=expected, received=received)


_WIDE = {name: limit(8192.0) for name in ("s", "a", "b")}


@result.quantity("share of dead inputs, wide offsets", smallest_effect=0.03, values=_WIDE)
class WideDeadShare(DeadShareExperiment):
    """The limit of the same for offsets of wide spread, a multiple of the grid: positions are uniform over it.

    With N pixels along an axis the share (1 − |S|ᵈ/Nᵈ)^(Nᵈ) is below its limit by a relative |S|²ᵈ/2Nᵈ: at most a tenth
    of the smallest effect.
    """

    pixels: ClassVar[Mapping[int, int]] = {1: 8192, 2: 128, 3: 64}

    def steps(self) -> tuple[Step, ...]:
        """Return the steps to exp(−|S|ᵈ).

        Raises:
            NotReducible: a law without a density, or one without a scale.
        """
        kernel, offsets, dim = self.kernel, self.offsets, self.setting.dim
        law = offsets.axis_law
        if not law.scale.is_Symbol:
            raise NotReducible(sp.Symbol(law.name), "a law with a scale is needed, which grows in the limit")
        probability = reading_probability(kernel, law)

        def wide(node: type[OverOutputs]) -> sp.Expr:
            return WideLimit(watch(node, probability, kernel, offsets), law.scale, dim)

        return (
            Step("Finite spread", "the share of dead inputs at finite spread", wide(UnreadProbability)),
            Step("Take the logarithm", "of a product that is positive", sp.exp(wide(LogUnread))),
            Step(
                "Keep the first order",
                "p ≤ −log(1 − p) ≤ p + p² for p ≤ 1/2, and Σp² ≤ max p · Σp: the sum stays bounded, and max p → 0 "
                "since the density falls as 1/scale",
                sp.exp(-wide(ExpectedReadings)),
            ),
            Step(
                "Count the pixels read",
                "Σₙ P(n + ε ∈ S) is the mean number of integers in S − ε, a function N of the fraction of ε, "
                "which is uniform in the limit",
                sp.exp(-(MeanPixelsRead(Opaque(kernel)) ** dim)),
            ),
            Step("Support", "∫N is the length of the support", sp.exp(-(support_size(kernel) ** dim))),
        )

    def __str__(self) -> str:
        return f"lim ({self.offsets.axis_law.scale} → ∞) of P((Wᵀg)[m] = 0 for every g)"


result.quantity(
    "share of dead inputs, wide offsets, nearest", smallest_effect=0.03, kernels=("nearest",), values=_WIDE
)(WideDeadShare)

# e⁻¹⁶ for two axes is beyond simulation, and e⁻⁴ takes many pixels.
result.quantity(
    "share of dead inputs, wide offsets, cubic", smallest_effect=0.05, kernels=("keys",), dims=(1,), values=_WIDE
)(WideDeadShare)
