"""Streaming moments: mean and central sums up to order four, merged pairwise without cancellation."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Moments:
    """Count, mean and central power sums Mₖ = Σ(x − mean)ᵏ of a sample.

    Attributes:
        n: number of values.
        mean: their mean.
        m2: Σ(x − mean)².
        m3: Σ(x − mean)³.
        m4: Σ(x − mean)⁴.
    """

    n: int = 0
    mean: float = 0.0
    m2: float = 0.0
    m3: float = 0.0
    m4: float = 0.0

    @classmethod
    def of(cls, values: Float[Tensor, "n"]) -> "Moments":
        """Return the moments of a sample of shape (n,), computed in float64 by two passes."""
        x = values.detach().to(torch.float64)
        mean = x.mean()
        centred = x - mean
        # The second pass corrects the rounding of the first (Chan, Golub, LeVeque 1983).
        mean, centred = mean + centred.mean(), centred - centred.mean()
        sums = [float(centred.pow(order).sum()) for order in (2, 3, 4)]
        return cls(x.numel(), float(mean), *sums)

    def merge(self, other: "Moments") -> "Moments":
        """Return the moments of both samples together (Chan et al. 1979; order 3, 4: Pébay, SAND2008-6212)."""
        if self.n == 0 or other.n == 0:
            return other if self.n == 0 else self
        a, b, n = self.n, other.n, self.n + other.n
        gap = other.mean - self.mean
        return Moments(
            n=n,
            mean=self.mean + gap * b / n,
            m2=self.m2 + other.m2 + gap**2 * a * b / n,
            m3=self.m3 + other.m3 + gap**3 * a * b * (a - b) / n**2 + 3 * gap * (a * other.m2 - b * self.m2) / n,
            m4=self.m4
            + other.m4
            + gap**4 * a * b * (a * a - a * b + b * b) / n**3
            + 6 * gap**2 * (a * a * other.m2 + b * b * self.m2) / n**2
            + 4 * gap * (a * other.m3 - b * self.m3) / n,
        )

    @property
    def variance(self) -> float:
        """Unbiased variance; infinite for fewer than two values."""
        return self.m2 / (self.n - 1) if self.n > 1 else math.inf

    @property
    def standard_error(self) -> float:
        """Standard error of the mean; infinite for fewer than two values."""
        return math.sqrt(self.variance / self.n) if self.n > 1 else math.inf
