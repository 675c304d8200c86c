"""The algebra of expectations on the warping operator.

Write a random experiment once, and get its moments in closed form, with the steps:

>>> from warptheory.symbolic import IIDField, OffsetField, Variance, warp
>>> y = warp(IIDField("x"), OffsetField("uniform", scale="1/2"), kernel="linear")
>>> Variance(y[0]).doit()
2*sigma**2/3
"""

from typing import Any

from warptheory import kernels
from warptheory.core.errors import ArgumentError
from warptheory.kernels import Kernel
from warptheory.symbolic._derivation import Derivation, Step
from warptheory.symbolic._evaluate import NotConverged, evaluate
from warptheory.symbolic._reduction import NotReducible
from warptheory.symbolic._statistics import Cov, Covariance, E, Expectation, Statistic, Var, Variance
from warptheory.symbolic._variables import DEVIATION, MEAN, IIDField, OffsetField, WarpedField

__all__ = [
    "DEVIATION",
    "MEAN",
    "Cov",
    "Covariance",
    "Derivation",
    "E",
    "Expectation",
    "IIDField",
    "NotConverged",
    "NotReducible",
    "OffsetField",
    "Statistic",
    "Step",
    "Var",
    "Variance",
    "WarpedField",
    "evaluate",
    "warp",
    "warp_gradient",
]


def warp(
    field: IIDField, offsets: OffsetField, kernel: str | Kernel = "linear", name: str | None = None
) -> WarpedField:
    """Return the warped field y = Wx, to be indexed as y[n].

    Args:
        field: the input field x.
        offsets: the offset field ε, independent of x.
        kernel: a name in `kernels.names()`, or a `Kernel`.
        name: the name to print; y for the field x, and Wz for a field z.

    Raises:
        UnknownNameError: no kernel of that name.
    """
    return WarpedField(field, offsets, kernels.get(kernel), (0,) * offsets.dim, name or _default_name(field))


def warp_gradient(
    field: IIDField, offsets: OffsetField, axis: int = 0, kernel: str | Kernel = "linear", name: str | None = None
) -> WarpedField:
    """Return the derivative ∂ᵢWx of the warped field in the offset along one axis.

    Args:
        field: the input field x.
        offsets: the offset field ε, independent of x.
        axis: the axis i, counted from 0; printed as ∂₁, ∂₂, …
        kernel: a name in `kernels.names()`, or a `Kernel`.
        name: the name to print; y for the field x, and Wz for a field z.

    Raises:
        ArgumentError: the offsets have no such axis.
        UnknownNameError: no kernel of that name.
    """
    if axis not in range(offsets.dim):
        raise ArgumentError("axis", expected=f"an axis in 0 … {offsets.dim - 1}", received=axis)
    orders: Any = tuple(int(i == axis) for i in range(offsets.dim))
    return WarpedField(field, offsets, kernels.get(kernel), orders, name or _default_name(field))


def _default_name(field: IIDField) -> str:
    return "y" if field.name == "x" else f"W{field.name}"
