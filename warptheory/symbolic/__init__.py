"""The algebra of expectations on the warping operator.

Write a random experiment once, and get its moments in closed form, with the steps:

>>> from warptheory.symbolic import IIDField, OffsetField, Variance, warp
>>> y = warp(IIDField("x"), OffsetField("uniform", scale="1/2"), kernel="linear")
>>> Variance(y[0]).doit()
2*sigma**2/3

Closed forms are written with functionals of the kernel k, functions of the fraction f of an offset:
ρ(f) = Σₘ k(f − m)² and δ(f) = Σₘ k′(f − m)².
"""

from warptheory import kernels
from warptheory.core.errors import ArgumentError
from warptheory.core.formulas import latex, mathml
from warptheory.core.listing import public_names
from warptheory.kernels import Kernel
from warptheory.symbolic._deep_stacks import AfterLayers
from warptheory.symbolic._derivation import Derivation, Step, restated
from warptheory.symbolic._reduction import kernel_mean
from warptheory.symbolic._small import LeadingTerm, SmallOffsets, SmallSpacing
from warptheory.symbolic._terms import NotReducible
from warptheory.symbolic._waves import SpectralForm
from warptheory.symbolic.composition import ComposedField, compose
from warptheory.symbolic.evaluation import evaluate
from warptheory.symbolic.input_fields import DEVIATION, MEAN, Field, GaussianField, IIDField, InputField
from warptheory.symbolic.linear_heads import HeadTap, LinearHead
from warptheory.symbolic.moments import (
    Cov,
    Covariance,
    Cumulant,
    E,
    ExcessKurtosis,
    ExchangeableVariance,
    Expectation,
    JointCumulant,
    Var,
    Variance,
    WideOffsets,
)
from warptheory.symbolic.moved_fields import SplattedField, WarpedField
from warptheory.symbolic.offset_fields import OffsetField
from warptheory.symbolic.quadrature import NotConverged
from warptheory.symbolic.statistic import Averaging, MomentStatistic, Statistic, by_linearity

__all__ = [
    "DEVIATION",
    "MEAN",
    "AfterLayers",
    "Averaging",
    "ComposedField",
    "Cov",
    "Covariance",
    "Cumulant",
    "Derivation",
    "E",
    "ExcessKurtosis",
    "ExchangeableVariance",
    "Expectation",
    "Field",
    "GaussianField",
    "HeadTap",
    "IIDField",
    "InputField",
    "JointCumulant",
    "LeadingTerm",
    "LinearHead",
    "MomentStatistic",
    "NotConverged",
    "NotReducible",
    "OffsetField",
    "SmallOffsets",
    "SmallSpacing",
    "SpectralForm",
    "SplattedField",
    "Statistic",
    "Step",
    "Var",
    "Variance",
    "WarpedField",
    "WideOffsets",
    "by_linearity",
    "compose",
    "evaluate",
    "kernel_mean",
    "latex",
    "mathml",
    "restated",
    "splat",
    "warp",
    "warp_gradient",
]
__dir__ = public_names(__name__)


def warp(field: Field, offsets: OffsetField, kernel: str | Kernel = "linear", name: str | None = None) -> WarpedField:
    """Return the warped field y = Wx, to be indexed as y[n].

    Args:
        field: the input field x, of independent pixels or itself the result of warping.
        offsets: the offset field ε, independent of x, or computed from x or another field by a `LinearHead`.
        kernel: a name in `kernels.names()`, or a `Kernel`.
        name: the name to print; y for the field x, and Wz for a field z.

    Raises:
        ArgumentError: a sum or product of fields, no offset field, or one of another number of axes.
        UnknownNameError: no kernel of that name.
    """
    _check(field, offsets)
    return WarpedField(field, offsets, kernels.get(kernel), (0,) * offsets.dim, name or _warped_name(field))


def splat(
    field: Field, offsets: OffsetField, kernel: str | Kernel = "linear", name: str | None = None
) -> SplattedField:
    """Return the splatted field z = Wᵀg, to be indexed as z[m]; the adjoint of `warp`.

    Args:
        field: the field g that is splatted, of independent pixels or itself the result of splatting.
        offsets: the offset field ε, independent of g.
        kernel: a name in `kernels.names()`, or a `Kernel`.
        name: the name to print; z for the field g, and Wᵀx for a field x.

    Raises:
        ArgumentError: a sum or product of fields, no offset field, or one of another number of axes.
        UnknownNameError: no kernel of that name.
    """
    _check(field, offsets)
    known = getattr(field, "name", "f")
    return SplattedField(field, offsets, kernels.get(kernel), name or ("z" if known == "g" else f"Wᵀ{known}"))


def warp_gradient(
    field: Field,
    offsets: OffsetField,
    axis: int = 0,
    kernel: str | Kernel = "linear",
    name: str | None = None,
    knot: str = "right",
) -> WarpedField:
    """Return the derivative ∂ᵢWx of the warped field in the offset along one axis.

    Args:
        field: the input field x.
        offsets: the offset field ε, independent of x.
        axis: the axis i, counted from 0; printed as ∂₁, ∂₂, …
        kernel: a name in `kernels.names()`, or a `Kernel`.
        name: the name to print; y for the field x, and Wz for a field z.
        knot: which derivative holds at a knot of the kernel: "right", "left" or "central".

    Raises:
        ArgumentError: the offsets have no such axis, or an unknown side.
        UnknownNameError: no kernel of that name.
    """
    return warp(field, offsets, kernel, name).diff(axis, knot)


def _check(field: Field, offsets: OffsetField) -> None:
    if not isinstance(field, InputField | WarpedField | SplattedField):
        raise ArgumentError(
            "field",
            expected="an input field, or a warped or splatted one (for a sum, warp its parts with the same offsets)",
            received=type(field).__name__,
        )
    if not isinstance(offsets, OffsetField):
        raise ArgumentError("offsets", expected="an OffsetField", received=repr(offsets))
    if isinstance(field, GaussianField):
        field.check_axes(offsets.dim)


def _warped_name(field: Field) -> str:
    known = getattr(field, "name", "f")
    return "y" if known == "x" else f"W{known}"
