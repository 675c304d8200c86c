"""A12: offsets and factors that keep the variance."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import kernels, warping
from warptheory.fields import IID
from warptheory.kernels import FRACTION
from warptheory.results._experiment import DerivedExperiment
from warptheory.results._ranges import Range
from warptheory.results._result import Result
from warptheory.results._setting import PIXEL, Setting
from warptheory.symbolic import (
    DEVIATION,
    IIDField,
    NotReducible,
    OffsetField,
    Step,
    Variance,
    kernel_mean,
    splat,
    warp,
)

result = Result(
    "A12",
    "Offsets and factors that keep the variance",
    "The gain E ρ(ε)ᵈ is 1 if and only if ρ(ε) = 1 almost surely: for the linear kernel, offsets in whole pixels. "
    "A share q of coordinates with a fraction f, however small, loses σ²(1 − (1 − q(1 − ρ(f)))ᵈ) > 0. With a "
    "uniform fraction the factor ρ̄^(−d/2) restores the variance of the output, and with it that of the gradient "
    "to white input: both passes have the gain ρ̄ᵈ.",
    assumptions=(
        "The pixels of x, or of g with mean 0, are independent with one law of variance σ².",
        "The offsets are independent of x and g.",
        "The kernel is a partition of unity; for whole offsets also interpolating, k(m) = 0 for m ≠ 0.",
    ),
    source="arXiv 2511.20800, independent inputs; theory label A12",
    meaning="Under linear interpolation only whole offsets keep the variance of noise, and one factor, ρ̄^(−d/2), "
    "restores it in both passes for spread-out ones. Multiply by it behind the warp where there is no "
    "normalisation.",
    notation={
        "q": "the probability that the offset along an axis is not whole",
    },
)

SHARE = sp.Symbol("q", positive=True)  # of the coordinates of offsets that are not whole


@result.quantity("variance, whole offsets", kernels=("linear", "keys"))
def variance_of_whole_offsets(setting: Setting) -> Variance:
    """State Var y[n] for offsets of one pixel to either side."""
    whole = OffsetField("rademacher", setting.dim, scale=1)
    return Variance(warp(IIDField("x"), whole, setting.kernel)[PIXEL])


@result.quantity(
    "deficit of a share of other offsets",
    smallest_effect=0.1,
    kernels=("linear", "keys"),
    values={SHARE.name: Range(0.25, 0.15, 0.9), FRACTION.name: Range(0.3, 0.2, 0.8)},
)
class Deficit(DerivedExperiment):
    """What Var y falls short of σ² by if each coordinate of an offset has the fraction f with probability q, else 0.

    A row is what the mean square about μ of the values falls short of that of all pixels that they are read from by.
    """

    text = "σ² − Var y[n]"
    symbols = frozenset({"mu", "sigma", SHARE.name, FRACTION.name})
    pixels: ClassVar[Mapping[int, int]] = {1: 256, 2: 32, 3: 8}

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from the variance given the fractions.

        Raises:
            NotReducible: a kernel that keeps the variance at another fraction than 0, such as sinc.
        """
        dim = self.setting.dim
        eps = OffsetField("uniform", 1, scale="1/2")
        given = Variance(warp(IIDField("x"), eps, self.setting.kernel)[PIXEL] | eps.fraction).doit()
        kept = sp.expand(given / DEVIATION**2)
        _check_kept(kept)
        chances = [sp.binomial(dim, r) * SHARE**r * (1 - SHARE) ** (dim - r) for r in range(dim + 1)]
        summed = sp.Add(*(chance * (1 - kept**r) for r, chance in enumerate(chances)))
        closed = sp.factor(sp.expand(DEVIATION**2 * (1 - (1 - SHARE + SHARE * kept) ** dim)))
        return (
            Step(
                "Condition on the fractions",
                "Var y = E Var(y | f), as E(y | f) = μ; given that r of the coordinates are off the pixels the "
                "share 1 − ρ(f)ʳ is lost, which is positive since ρ = 1 at whole pixels alone",
                DEVIATION**2 * summed,
            ),
            Step("Add up", "a binomial number of coordinates", closed),
        )

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw pixels and offsets, and return what the mean square of each row falls short by; shape (rows,)."""
        kernel, dim, size = self.setting.kernel, self.setting.dim, self.grid
        x = IID(self.setting.inputs, values["mu"], values["sigma"]).sample(rows, size, generator, device=device)
        shape = (rows, dim, *size)
        off = generator.random(shape) < values[SHARE.name]
        whole = torch.from_numpy(generator.integers(-3, 4, shape).astype(float)).to(device)
        moved = whole + torch.from_numpy(values[FRACTION.name] * off).to(device)
        pixels, y = (warping.warp(x, offsets, kernel, "periodic") - values["mu"] for offsets in (whole, moved))
        return (pixels.square() - y.square()).flatten(1).mean(1)


@result.quantity("forward variance, rescaled")
def rescaled_forward_variance(setting: Setting) -> Variance:
    """State the variance of ρ̄^(−d/2) y[n], offsets uniform over one pixel."""
    return Variance(_factor(setting) * warp(IIDField("x"), _uniform(setting), setting.kernel)[PIXEL])


@result.quantity("backward variance, rescaled")
def rescaled_backward_variance(setting: Setting) -> Variance:
    """State the variance of ρ̄^(−d/2) (Wᵀg)[m], offsets uniform over one pixel."""
    return Variance(_factor(setting) * splat(IIDField("g", mean=0), _uniform(setting), setting.kernel)[PIXEL])


def _check_kept(kept: sp.Expr) -> None:
    if not kept.is_polynomial(FRACTION):
        raise NotReducible(kept, "where it is 1 is known for kernels of polynomial pieces, such as linear")
    level = sp.Poly(kept - 1, FRACTION)
    inside = sp.Interval.open(0, 1)
    if level.is_zero or any(inside.contains(root) == sp.true for root in level.real_roots()):
        raise NotReducible(kept, "it is 1 at another fraction than 0")


def _uniform(setting: Setting) -> OffsetField:
    return OffsetField("uniform", setting.dim, scale="1/2")


def _factor(setting: Setting) -> sp.Expr:
    return kernel_mean(kernels.get(setting.kernel), 0, 0) ** -sp.Rational(setting.dim, 2)
