"""Streaming moments of vectors: means, scatter matrix and higher central sums, merged pairwise without cancellation."""

from dataclasses import dataclass, field
from typing import cast

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from warptheory.core.presented import Presented


@dataclass(frozen=True)
class Moments(Presented):
    """Count, mean, and central sums of a sample of vectors: Σccᵀ, Σc³ and Σc⁴ with c = x − mean.

    Attributes:
        n: number of vectors.
        mean: their mean, shape (k,).
        scatter: Σ(x − mean)(x − mean)ᵀ, shape (k, k).
        third: Σ(x − mean)³ of each entry, shape (k,).
        fourth: Σ(x − mean)⁴ of each entry, shape (k,).
    """

    n: int = 0
    mean: Float[ndarray, "k"] = field(default_factory=lambda: np.zeros(1))
    scatter: Float[ndarray, "k k"] = field(default_factory=lambda: np.zeros((1, 1)))
    third: Float[ndarray, "k"] = field(default_factory=lambda: np.zeros(1))
    fourth: Float[ndarray, "k"] = field(default_factory=lambda: np.zeros(1))

    @classmethod
    def of(cls, values: Float[Tensor, "n"] | Float[Tensor, "n k"]) -> "Moments":
        """Return the moments of a sample of shape (n,) or (n, k), computed in float64 by two passes."""
        x = values.detach().to("cpu", torch.float64)
        x = x[:, None] if x.ndim == 1 else x
        mean = x.mean(0)
        centred = x - mean
        # The second pass corrects the rounding of the first (Chan, Golub, LeVeque 1983).
        correction = centred.mean(0)
        centred = centred - correction
        squares = centred.square()
        return cls(
            n=len(x),
            mean=(mean + correction).numpy(),
            scatter=(centred.T @ centred).numpy(),
            third=(squares * centred).sum(0).numpy(),
            fourth=squares.square().sum(0).numpy(),
        )

    def merge(self, other: "Moments") -> "Moments":
        """Return the moments of both samples together.

        Source: T. F. Chan, G. H. Golub, R. J. LeVeque, 1979; for the third and fourth, P. Pébay, SAND2008-6212.
        """
        if self.n == 0 or other.n == 0:
            return other if self.n == 0 else self
        n, product = self.n + other.n, self.n * other.n
        gap = other.mean - self.mean
        here, there = np.diag(self.scatter), np.diag(other.scatter)
        return Moments(
            n=n,
            mean=self.mean + gap * (other.n / n),
            scatter=self.scatter + other.scatter + np.outer(gap, gap) * (product / n),
            third=self.third
            + other.third
            + gap**3 * (product * (self.n - other.n) / n**2)
            + 3 * gap * (self.n * there - other.n * here) / n,
            fourth=self.fourth
            + other.fourth
            + gap**4 * (product * (self.n**2 - product + other.n**2) / n**3)
            + 6 * gap**2 * (self.n**2 * there + other.n**2 * here) / n**2
            + 4 * gap * (self.n * other.third - other.n * self.third) / n,
        )

    @property
    def covariance(self) -> Float[ndarray, "k k"]:
        """Unbiased covariance matrix, shape (k, k); infinite for fewer than two vectors."""
        return self.scatter / (self.n - 1) if self.n > 1 else np.full_like(self.scatter, np.inf)

    @property
    def skewness(self) -> Float[ndarray, "k"]:
        """Third central moment over the deviation cubed, shape (k,); NaN for entries that do not scatter."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return cast("ndarray", np.sqrt(self.n) * self.third / np.diag(self.scatter) ** 1.5)

    @property
    def excess_kurtosis(self) -> Float[ndarray, "k"]:
        """Fourth central moment over the squared variance, less 3, shape (k,); NaN for entries that do not scatter."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return cast("ndarray", self.n * self.fourth / np.diag(self.scatter) ** 2 - 3)

    def standard_error(self, gradient: Float[ndarray, "k"]) -> float:
        """Return the standard error of a function of the mean (delta method); infinite for fewer than two vectors.

        Args:
            gradient: the function's gradient at the mean, shape (k,).
        """
        return propagated_error(gradient, self.covariance / self.n) if self.n > 1 else float("inf")


def propagated_error(gradient: Float[ndarray, "k"], covariance: Float[ndarray, "k k"]) -> float:
    """Return the standard error of a function of some estimates (delta method); NaN where something is.

    Args:
        gradient: the function's gradient at the estimates, shape (k,).
        covariance: covariance matrix of the estimates, shape (k, k).
    """
    # Of a negative variance, which is rounding, the root is zero; that of NaN is NaN.
    return float(np.sqrt(np.maximum(0.0, gradient @ covariance @ gradient)))
