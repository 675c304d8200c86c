"""Streaming moments of vectors: mean and scatter matrix, merged pairwise without cancellation."""

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor


@dataclass(frozen=True)
class Moments:
    """Count, mean and scatter matrix Σ(x − mean)(x − mean)ᵀ of a sample of vectors.

    Attributes:
        n: number of vectors.
        mean: their mean, shape (k,).
        scatter: Σ(x − mean)(x − mean)ᵀ, shape (k, k).
    """

    n: int = 0
    mean: Float[ndarray, "k"] = field(default_factory=lambda: np.zeros(1))
    scatter: Float[ndarray, "k k"] = field(default_factory=lambda: np.zeros((1, 1)))

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
        return cls(len(x), (mean + correction).numpy(), (centred.T @ centred).numpy())

    def merge(self, other: "Moments") -> "Moments":
        """Return the moments of both samples together (Chan, Golub, LeVeque 1979)."""
        if self.n == 0 or other.n == 0:
            return other if self.n == 0 else self
        n = self.n + other.n
        gap = other.mean - self.mean
        return Moments(
            n=n,
            mean=self.mean + gap * (other.n / n),
            scatter=self.scatter + other.scatter + np.outer(gap, gap) * (self.n * other.n / n),
        )

    @property
    def covariance(self) -> Float[ndarray, "k k"]:
        """Unbiased covariance matrix, shape (k, k); infinite for fewer than two vectors."""
        return self.scatter / (self.n - 1) if self.n > 1 else np.full_like(self.scatter, np.inf)

    def standard_error(self, gradient: Float[ndarray, "k"]) -> float:
        """Return the standard error of a function of the mean (delta method); infinite for fewer than two vectors.

        Args:
            gradient: the function's gradient at the mean, shape (k,).
        """
        if self.n < 2:
            return float("inf")
        return float(np.sqrt(max(0.0, gradient @ self.covariance @ gradient) / self.n))
