"""A1: warping keeps the mean."""

from warptheory.results._result import Result
from warptheory.results._setting import PIXEL, Setting
from warptheory.symbolic import Expectation, IIDField, OffsetField, warp

result = Result(
    "A1",
    "Warping keeps the mean",
    "E y = μ for every kernel whose taps sum to one, and every law of the offsets.",
    assumptions=(
        "The pixels x[m] are independent with one law of mean μ.",
        "The offsets ε are independent of x.",
        "The kernel is a partition of unity: Σₘ k(p − m) = 1 for every position p.",
    ),
    source="arXiv 2511.20800, independent inputs; theory label A1",
    meaning="A warp whose offsets do not depend on its input adds no bias to its features, whatever the offsets "
    "are. If the mean of your features drifts from layer to layer, the offsets follow the features (F6) "
    "or the kernel's weights do not sum to one.",
    offsets=("normal",),
    inputs=("normal", "uniform", "laplace", "rademacher", "exponential"),
)


@result.quantity("mean")
def mean(setting: Setting) -> Expectation:
    """State E y[n]."""
    y = warp(IIDField("x"), OffsetField(setting.offsets, setting.dim), setting.kernel)
    return Expectation(y[PIXEL])
