"""F8: the energy of the offset derivative where the offsets are computed from the field that they move."""

from warptheory.results._result import Result
from warptheory.results._setting import PIXEL, Setting
from warptheory.results.fields._fields import smooth_field
from warptheory.results.selfwarp import _heads as heads
from warptheory.results.selfwarp._heads import NOTATION, VALUES
from warptheory.symbolic import Expectation, InputField, warp_gradient

result = Result(
    "F8",
    "Offset-gradient energy of a self-warp",
    "E(∂ᵢy)² = A7 + α² Σⱼₗ ∫ ∂ᵢc_kj ∂ᵢc_kl ∂ⱼ∂ₗq du, A7 the same for offsets of the same law that are independent of x "
    "(of a field C4's form). Linear kernel, d = 1: 2(C(0) − C(1)) + α² Σⱼ (c[j+1] − c[j])² (q′(j+1) − q′(j)), q the "
    "density of the offsets; own pixel, white input of deviation one: 2 − (2/α) φ(1/α), least at α = 1: 1.516.",
    assumptions=(
        "x is normal, of mean zero: independent pixels, or a homogeneous field of any covariance.",
        "The offsets are linear functions of x, the same around every pixel.",
    ),
    source="Stein's lemma (C. M. Stein, Estimation of the mean of a multivariate normal distribution, 1981); theory "
    "label F8",
    meaning="The gradient that the offset head of a self-warp receives is smaller than that of offsets from "
    "elsewhere, by up to a quarter if the head reads its own pixel and up to a third if it reads "
    "differences, and nearly the same if it averages neighbours. Learning rates of offset heads may be "
    "taken from A8 and C5, with that tolerance.",
    kernels=("linear", "keys"),
    values=VALUES,
    notation=NOTATION,
)


@result.quantity("energy, own pixel")
def own_pixel(setting: Setting) -> Expectation:
    """State E(∂₁y[n])² for heads that read their own pixel."""
    return _energy(heads.white(), heads.own_pixel(setting.dim), setting)


@result.quantity("energy, three taps", dims=(1,))
def three_taps(setting: Setting) -> Expectation:
    """State E(∂y[n])² for a head that reads the mean of three pixels."""
    return _energy(heads.white(), heads.three_taps(), setting)


@result.quantity("energy, curl heads", dims=(2,))
def curl(setting: Setting) -> Expectation:
    """State E(∂₁y[n])² for heads in the plane whose offsets turn about what they read."""
    return _energy(heads.white(), heads.curl(), setting)


@result.quantity("energy, dependent heads", dims=(2,))
def dependent(setting: Setting) -> Expectation:
    """State E(∂₁y[n])² for offsets in the plane that are correlated, and of unequal variance."""
    return _energy(heads.white(), heads.dependent(), setting)


@result.quantity("energy of a field, own pixel", dims=(1,))
def of_a_field(setting: Setting) -> Expectation:
    """State E(∂₁y[n])² of a smooth field whose heads read their own pixel."""
    return _energy(smooth_field(1), heads.own_pixel(1), setting)


def _energy(x: InputField, taps: tuple[heads.ComponentTaps, ...], setting: Setting) -> Expectation:
    return Expectation(warp_gradient(x, heads.computed(x, *taps), 0, setting.kernel)[PIXEL] ** 2)
