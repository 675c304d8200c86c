"""C1: offsets that are independent of a homogeneous field do not change its law at a point."""

from warptheory.results._quantity import Quantity
from warptheory.results._result import Result
from warptheory.results._setting import PIXEL, Setting
from warptheory.results.fields._fields import (
    CONTINUUM,
    EXACT,
    check_continuum,
    continuum_simulation,
    smooth_field,
    smooth_offsets,
)
from warptheory.symbolic import Expectation, Variance, compose


def variance(setting: Setting) -> Variance:
    """State Var y(n)."""
    return Variance(compose(smooth_field(setting.dim), smooth_offsets(setting.dim))[PIXEL])


def fourth_moment(setting: Setting) -> Expectation:
    """State E y(n)⁴."""
    return Expectation(compose(smooth_field(setting.dim), smooth_offsets(setting.dim))[PIXEL] ** 4)


RESULT = Result(
    label="C1",
    title="The one-point law of a homogeneous field is unchanged",
    statement=(
        "y(t) = x(t + ε(t)), x homogeneous and ε independent of it: y(t) has the law of x(t), so Var y = C(0), and "
        "E y⁴ = 3C(0)² for a Gaussian field. What interpolation takes away (A3, C4) is the kernel's doing alone."
    ),
    assumptions=(
        "x is a homogeneous Gaussian field of mean zero.",
        "The offsets are independent of x; checked for a homogeneous Gaussian field of offsets.",
        "x is read between its pixels without error: checked on a grid that is fine against x, by cubic splines.",
    ),
    source="arXiv 2511.20800, homogeneous random fields; theory label C1",
    quantities=(
        Quantity(
            "variance",
            variance,
            simulation=continuum_simulation(2),
            check_drawn=check_continuum(2),
        ),
        Quantity(
            "fourth moment",
            fourth_moment,
            dims=(1,),
            smallest_effect=0.02,
            simulation=continuum_simulation(2),
            check_drawn=check_continuum(2),
        ),
        Quantity(
            "fourth moment in the plane",
            fourth_moment,
            dims=(2,),
            smallest_effect=0.03,  # of which the kurtosis, 3, is many
            simulation=continuum_simulation(2),
            check_drawn=check_continuum(2),
        ),
    ),
    kernels=EXACT,
    values=CONTINUUM,
)
