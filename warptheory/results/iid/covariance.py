"""A6: how strongly two warped values are correlated, by where they are read."""

from warptheory.results._result import Result
from warptheory.results._setting import DISPLACEMENT, PIXEL, Setting
from warptheory.symbolic import Covariance, IIDField, OffsetField, warp

result = Result(
    "A6",
    "Covariance of two warped values",
    "Two values read Δ apart have covariance σ² ∏ a_k(Δᵢ), averaged over the phase, with a_k(Δ) = ∫k(u)k(u + "
    "Δ)du; the cubic B-spline for the linear kernel. With offsets of their own, neighbours have σ² Σₘ w(m)w(m + "
    "1) along their axis, w(m) = E k(ε + m), times Σ w(m)² along the others.",
    assumptions=(
        "The pixels x[m] are independent with one law of variance σ².",
        "The offsets ε are independent of x, and over pixels; or one for all pixels, where it says so.",
        "The kernel is a partition of unity.",
    ),
    source="arXiv 2511.20800, independent inputs; theory label A6",
    meaning="Interpolation makes neighbours alike, so that the next layer no longer sees white features. Formulas "
    "for white input hold for the first warp of a stack, and for later ones only approximately (A9).",
    offsets=("normal",),
    notation={
        "Delta": "the displacement of one reading against the other, in pixels",
    },
)


@result.quantity("covariance at a displacement")
def covariance_at_displacement(setting: Setting) -> Covariance:
    """State Cov(x(t), x(t + Δ)) read through the kernel, Δ along every axis, t uniform over one pixel."""
    x, eps = IIDField("x"), OffsetField("uniform", setting.dim, scale="1/2")
    here, there = warp(x, eps, setting.kernel), warp(x, eps + DISPLACEMENT, setting.kernel)
    return Covariance(here[PIXEL], there[PIXEL])


@result.quantity("covariance of neighbours")
def covariance_of_neighbours(setting: Setting) -> Covariance:
    """State Cov(y[n], y[n + 1]), the pixels' offsets being independent."""
    return _of_neighbours(setting, OffsetField(setting.offsets, setting.dim))


@result.quantity("covariance under one offset")
def covariance_under_one_offset(setting: Setting) -> Covariance:
    """State Cov(y[n], y[n + 1]), all pixels having the same offset."""
    return _of_neighbours(setting, OffsetField(setting.offsets, setting.dim, shared=True))


def _of_neighbours(setting: Setting, offsets: OffsetField) -> Covariance:
    y = warp(IIDField("x"), offsets, setting.kernel)
    return Covariance(y[PIXEL], y[PIXEL + 1])
