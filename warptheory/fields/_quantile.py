"""Maps of normal values to values of another law, by its quantile."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from scipy import special
from torch import Tensor

from warptheory.core.errors import ArgumentError
from warptheory.fields import laws
from warptheory.fields.laws import ARGUMENT

if TYPE_CHECKING:
    from scipy import interpolate

_FARTHEST = 8.0  # deviations; a value beyond has a probability of 1e−15
_WIDEST = 60.0  # deviations of any law of the catalogue at that probability
_TABLE = 4001
_BISECTIONS = 60


@dataclass(frozen=True)
class Quantile:
    """The map x = F⁻¹(Φ(g)) of a standard normal value to one of another law of mean 0 and variance 1.

    Attributes:
        law: name of the law.
    """

    law: str

    @classmethod
    def of(cls, law: str) -> "Quantile":
        """Return the map to a law of `fields.laws`.

        Raises:
            UnknownNameError: no law of that name.
            ArgumentError: a law of single values, which has no quantile between them.
        """
        if laws.get(law).density is None:
            raise ArgumentError("law", expected="a law with a density", received=repr(law))
        return cls(law)

    def of_normal(self, fields: Float[Tensor, "*N"], deviation: float) -> Float[Tensor, "*N"]:
        """Map normal values of that standard deviation, shape (*N), and keep mean 0 and variance."""
        values = fields.cpu().numpy() / deviation
        mapped = self._table(np.clip(values, -_FARTHEST, _FARTHEST)) * deviation
        return torch.from_numpy(mapped).to(fields)

    @cached_property
    def _table(self) -> "interpolate.PchipInterpolator":
        """Return x at normal values g, interpolated between solutions of F(x) = Φ(g)."""
        from scipy import interpolate  # a second that most users never need

        law = laws.get(self.law).standardised(0, 1)
        position = (ARGUMENT - law.location) / law.scale
        distribution = sp.lambdify([ARGUMENT], law.distribution.subs(ARGUMENT, position), ["scipy", "numpy"])
        g = np.linspace(-_FARTHEST, _FARTHEST, _TABLE)
        wanted = special.ndtr(g)
        low, high = np.full(_TABLE, -_WIDEST), np.full(_TABLE, _WIDEST)
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            below = distribution(middle) < wanted
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return interpolate.PchipInterpolator(g, (low + high) / 2)
