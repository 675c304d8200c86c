"""White noise on the grid: pixels that are not correlated."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp
from jaxtyping import Float
from numpy import ndarray

from warptheory.core.expressions import number, positive
from warptheory.fields.covariance._covariance import CovarianceFunction
from warptheory.fields.parameters import check_dim


@dataclass(frozen=True)
class White(CovarianceFunction):
    """C(m) = σ² for m = 0, and 0 between different pixels; S = σ² up to the grid's Nyquist frequency.

    Attributes:
        variance: σ².
        dim: number d of axes, 1, 2 or 3.
    """

    variance: sp.Expr | Any = 1
    dim: int = 2

    def __post_init__(self) -> None:
        object.__setattr__(self, "variance", positive("variance", self.variance))
        check_dim(self.dim)

    @property
    def is_isotropic(self) -> bool:
        """True: C is zero at every lag but one, although the band of S is a square."""
        return True

    def expression(self, *lag: Any) -> sp.Expr:
        """Return σ² ∏ δ(τᵢ); arguments and errors as in `CovarianceFunction`."""
        return self.variance * sp.Mul(*(sp.KroneckerDelta(t, 0) for t in self._check_axes(lag, "lag")))

    def spectral_density(self, *frequency: Any) -> sp.Expr:
        """Return σ² for |ωᵢ| ≤ π, and 0 beyond; arguments and errors as in `CovarianceFunction`."""
        inside = sp.And(*(sp.Abs(w) <= sp.pi for w in self._check_axes(frequency, "frequency")))
        return sp.Piecewise((self.variance, inside), (0, True))

    def spectral_moment(self, *orders: int) -> sp.Expr:
        """Return σ² for the field itself, and ∞ for its derivatives, which white noise lacks."""
        powers = self._check_orders(orders)
        if any(power % 2 for power in powers):
            return sp.Integer(0)
        return sp.oo if any(powers) else self.variance

    def _values(self, lags: Float[ndarray, "N d"]) -> Float[ndarray, "N"]:
        return np.where((lags == 0).all(axis=-1), number("variance", self.variance), 0.0)

    def _mean_over_offsets(self, spread: float) -> float:
        """Return zero: an offset almost surely is not a whole pixel."""
        return 0.0
