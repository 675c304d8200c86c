"""C3: random offsets roughen a field, and layers of them exponentially so."""

from warptheory.results._ranges import Range
from warptheory.results._result import PIXEL, Quantity, Result, Setting
from warptheory.results.fields._fields import (
    CONTINUUM,
    EXACT,
    check_continuum,
    continuum_simulation,
    smooth_field,
    smooth_offsets,
)
from warptheory.symbolic import Variance, compose

_LAYERS = 3


def slope_variance(setting: Setting) -> Variance:
    """State λ₂(y) = Var ∂₁y."""
    return _after(1, setting)


def slope_variance_of_layers(setting: Setting) -> Variance:
    """State λ₂ after three layers with independent offsets."""
    return _after(_LAYERS, setting)


def _after(layers: int, setting: Setting) -> Variance:
    field = compose(smooth_field(setting.dim), smooth_offsets(setting.dim, "epsilon_1"))
    for number in range(2, layers + 1):
        field = compose(field, smooth_offsets(setting.dim, f"epsilon_{number}"))
    return Variance(field.slope(0)[PIXEL])


RESULT = Result(
    label="C3",
    title="Roughening by random offsets",
    statement=(
        "∂ⱼy = Σᵢ (δᵢⱼ + ∂ⱼεᵢ)(∂ᵢx)∘φ, so that λ₂(y) = Var ∂ⱼy = λ₂(x)(1 + dτ²) for an isotropic field, τ² = Var ∂ⱼεᵢ, "
        "while Var y stays C(0). L layers with independent offsets have λ₂(x)(1 + dτ²)ᴸ: offset gradients grow "
        "exponentially with depth. On a grid they stay below 2C(0)/h² while C(h) ≥ 0 (C4), and interpolation, which "
        "takes power from high frequencies, stops them earlier (D6)."
    ),
    assumptions=(
        "x is a homogeneous isotropic field with a variance of its slopes.",
        "The components of the offsets are independent homogeneous Gaussian fields, independent of x and of other "
        "layers'.",
        "x is read between its pixels without error: checked on a grid that is fine against x, by cubic splines; the "
        "slopes of y by its Fourier series.",
    ),
    source="arXiv 2511.20800, homogeneous random fields; theory label C3",
    quantities=(
        Quantity(
            "slope variance",
            slope_variance,
            smallest_effect=0.02,
            simulation=continuum_simulation(2),
            check_drawn=check_continuum(2),
        ),
        Quantity(
            f"slope variance after {_LAYERS} layers",
            slope_variance_of_layers,
            smallest_effect=0.02,
            dims=(1,),
            simulation=continuum_simulation(2),
            check_drawn=check_continuum(2),
        ),
    ),
    kernels=EXACT,
    values={**CONTINUUM, "l": Range(3.0, 2.0, 5.0)},
)
