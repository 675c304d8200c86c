"""Fields of independent, identically distributed pixels."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory.core.errors import ArgumentError
from warptheory.fields import laws
from warptheory.fields.laws import Law


@lru_cache(maxsize=64, typed=True)
def _standardised(law: str | Law, mean: Hashable, deviation: Hashable) -> Law:
    return laws.get(law).standardised(mean, deviation)


@dataclass(frozen=True)
class IID:
    """A field of independent pixels with one law, given mean and standard deviation.

    Attributes:
        law: a name in `fields.laws.names()`, or a `Law`; its shape is kept, location and scale are set.
        mean: mean of a pixel; a number, or a sympy expression for symbolic work.
        deviation: standard deviation of a pixel, in the same unit.
    """

    law: str | Law = "normal"
    mean: Hashable = 0
    deviation: Hashable = 1

    @property
    def pixel(self) -> Law:
        """The law of one pixel."""
        return _standardised(self.law, self.mean, self.deviation)

    @property
    def variance(self) -> sp.Expr:
        """The variance of a pixel, as a sympy expression."""
        return self.cumulant(2)

    def cumulant(self, order: int) -> sp.Expr:
        """Return the cumulant of that order of a pixel, as a sympy expression."""
        return self.pixel.cumulant(order)

    def sample(
        self,
        batch: int,
        size: Sequence[int],
        generator: np.random.Generator,
        channels: int = 1,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float64,
    ) -> Float[Tensor, "B C *S"]:
        """Draw independent fields of shape (batch, channels, *size).

        Args:
            batch: number of fields B.
            size: spatial size S.
            generator: NumPy generator; `core.streams.Stream.generator()` gives reproducible ones.
            channels: number of independent channels C.
            device: device of the result; the numbers do not depend on it.
            dtype: floating dtype of the result.

        Raises:
            ArgumentError: a negative batch or an empty spatial size; a mean or deviation that is
                still a symbol.
        """
        if batch < 0:
            raise ArgumentError("batch", expected="an integer ≥ 0", received=batch)
        if not size or min(size) < 1:
            raise ArgumentError("size", expected="positive integers", received=tuple(size))
        values = self.pixel.sample(generator, (batch, channels, *size))
        return torch.from_numpy(values).to(device=device, dtype=dtype)
