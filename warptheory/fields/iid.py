"""Fields of independent, identically distributed pixels."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from numbers import Integral

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory.core.checks import check_fits, check_integer
from warptheory.core.errors import ArgumentError
from warptheory.core.presented import Presented
from warptheory.core.text import shown
from warptheory.fields import laws
from warptheory.fields.laws import Law


@lru_cache(maxsize=64, typed=True)
def _standardised(law: str | Law, mean: Hashable, deviation: Hashable) -> Law:
    return laws.get(law).standardised(mean, deviation)


@dataclass(frozen=True)
class IID(Presented):
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
            ArgumentError: a negative batch, an empty spatial size, more than memory holds; a mean or deviation that is
                still a symbol.
        """
        check_integer("batch", batch, least=0)
        check_integer("channels", channels)
        is_size = isinstance(size, Sequence) and len(size) > 0
        if not is_size or not all(isinstance(length, Integral) and length >= 1 for length in size):
            raise ArgumentError("size", expected="positive integers", received=shown(size))
        check_fits("size", size, 8 * batch * channels * math.prod(map(int, size)))
        values = self.pixel.sample(generator, (batch, channels, *size))
        return torch.from_numpy(values).to(device=device, dtype=dtype)
