"""F2: a field that is moved by its own values is no longer as large as it was."""

from warptheory.results._ranges import Range
from warptheory.results._result import Result
from warptheory.results._setting import PIXEL, Setting
from warptheory.results.fields._fields import EXACT, FAMILIES, FieldSimulation, smooth_field
from warptheory.results.selfwarp import _heads as heads
from warptheory.results.selfwarp._heads import NOTATION, VALUES
from warptheory.symbolic import Expectation, GaussianField, compose

result = Result(
    "F2",
    "A field moved by its own values",
    "y(t) = x(t + αx(t)), x a homogeneous Gaussian field: E y² = C(0) + α² ∫ C(u)² q″(u) du, q the density of "
    "N(0, α²C(0)). Squared exponential covariance: C(0) [1 − 2β(1 + 2β)^(−3/2)] with β = α²C(0)/ℓ²: unlike offsets "
    "that are independent of the field (C1), its own values lower the second moment, by 0.385 of it at most, at β = 1.",
    assumptions=(
        "x is a homogeneous Gaussian field of mean zero, of any covariance.",
        "The offset is α times the value at the output's own point.",
        "x is read between its pixels without error: checked on a grid that is fine against x, by cubic splines.",
    ),
    source="arXiv 2511.20800, self-warps; Stein's lemma; theory label F2",
    meaning="A self-warp is not a random warp: offsets that read the own value of a feature carry it to where it "
    "is smaller, and the features shrink even where nothing is interpolated. The loss grows with the "
    "offsets until they exceed the features' length and falls again, so rescale by the measured second "
    "moment and not by a constant.",
    kernels=EXACT,
    dims=(1,),
    values={**VALUES, "nu": Range(2.5, 2.4, 4.0)},
    notation=NOTATION,
)


@result.quantity("second moment")
def second_moment(setting: Setting) -> FieldSimulation:
    """State E y(t)² for a squared exponential covariance."""
    return _second_moment(smooth_field(1), setting)


@result.quantity("second moment, Matérn field")
def of_matern_field(setting: Setting) -> FieldSimulation:
    """State E y(t)² for a Matérn field."""
    return _second_moment(GaussianField("x", FAMILIES["Matérn"](1)), setting)


def _second_moment(x: GaussianField, setting: Setting) -> FieldSimulation:
    y = compose(x, heads.computed(x, *heads.own_pixel(1)))
    return FieldSimulation(Expectation(y[PIXEL] ** 2), setting.inputs, refinement=2, finest=1.0)
