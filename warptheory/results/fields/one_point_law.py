"""C1: offsets that are independent of a homogeneous field do not change its law at a point."""

from warptheory.results._result import Result
from warptheory.results._setting import PIXEL, Setting
from warptheory.results.fields._fields import CONTINUUM, EXACT, FieldSimulation, smooth_field, smooth_offsets
from warptheory.symbolic import ComposedField, Expectation, Variance, compose

result = Result(
    "C1",
    "The one-point law of a homogeneous field is unchanged",
    "y(t) = x(t + ε(t)), x homogeneous and ε independent of it: y(t) has the law of x(t), so Var y = C(0), and "
    "E y⁴ = 3C(0)² for a Gaussian field. What interpolation takes away (A3, C4) is the kernel's doing alone.",
    assumptions=(
        "x is a homogeneous Gaussian field of mean zero.",
        "The offsets are independent of x; checked for a homogeneous Gaussian field of offsets.",
        "x is read between its pixels without error: checked on a grid that is fine against x, by cubic splines.",
    ),
    source="arXiv 2511.20800, homogeneous random fields; theory label C1",
    meaning="Where features are smooth on the scale of the grid, and offsets do not depend on them, moving them "
    "changes no statistic of a single pixel. A loss of variance behind such a warp is the interpolation's "
    "doing, and a better kernel cures it; behind a self-warp see F2.",
    kernels=EXACT,
    values=CONTINUUM,
)


@result.quantity("variance")
def variance(setting: Setting) -> FieldSimulation:
    """State Var y(n)."""
    return FieldSimulation(Variance(_moved(setting)[PIXEL]), setting.inputs, refinement=2, finest=1.0)


@result.quantity("fourth moment", smallest_effect=0.02, dims=(1,))
def fourth_moment(setting: Setting) -> FieldSimulation:
    """State E y(n)⁴."""
    return FieldSimulation(Expectation(_moved(setting)[PIXEL] ** 4), setting.inputs, refinement=2, finest=1.0)


# Of the smallest effect the kurtosis, 3, is many.
result.quantity("fourth moment in the plane", smallest_effect=0.03, dims=(2,))(fourth_moment)


def _moved(setting: Setting) -> ComposedField:
    return compose(smooth_field(setting.dim), smooth_offsets(setting.dim))
