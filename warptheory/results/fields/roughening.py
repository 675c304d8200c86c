"""C3: random offsets roughen a field, layers of them exponentially so; and what the grid lets through of it."""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from functools import cache

import numpy as np
import sympy as sp
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from warptheory.montecarlo import ContinuumSimulation
from warptheory.results._depth import LAYERS
from warptheory.results._experiment import DerivedExperiment
from warptheory.results._ranges import Range, whole
from warptheory.results._result import Result
from warptheory.results._setting import PIXEL, Setting
from warptheory.results.fields._ceiling import Ceiling
from warptheory.results.fields._fields import (
    CONTINUUM,
    EXACT,
    FieldSimulation,
    smooth_covariance,
    smooth_field,
    smooth_offsets,
)
from warptheory.symbolic import ComposedField, GaussianField, Step, Variance, compose, restated
from warptheory.symbolic.covariance_nodes import SpectralMoment

result = Result(
    "C3",
    "Roughening by random offsets",
    "∂ⱼy = Σᵢ (δᵢⱼ + ∂ⱼεᵢ)(∂ᵢx)∘φ, so that λ₂(y) = Var ∂ⱼy = λ₂(x)(1 + dτ²) for an isotropic field, τ² = Var ∂ⱼεᵢ, "
    "while Var y stays C(0). L layers with independent offsets have λ₂(x)(1 + dτ²)ᴸ: offset gradients grow "
    "exponentially with depth. On a grid of spacing h linear interpolation lets through 4C(0)/h² at most, whatever "
    "the field and d: that of the wave (−1)ⁿ. A field whose correlations are nowhere negative has 2C(0)/h² at "
    "most, and white noise 2(2/3)ᵈ⁻¹C(0)/h² (C4). Layers on the grid do not stay there: each takes h²/6 times this "
    "variance from C(0) (D8, d = 1), so that over all layers it adds up to no more than 6C(0)/h².",
    assumptions=(
        "x is a homogeneous isotropic field with a variance of its slopes.",
        "The components of the offsets are independent homogeneous Gaussian fields, independent of x and of other "
        "layers'.",
        "x is read between its pixels without error: checked on a grid that is fine against x, by cubic splines; the "
        "slopes of y by its Fourier series.",
    ),
    source="arXiv 2511.20800, homogeneous random fields; theory label C3",
    meaning="Each layer multiplies the squared slope of the features by 1 + dτ², and with it the gradient of "
    "every offset behind it. Keep Ldτ² below one, or expect the grid to stop it at its own roughness.",
    kernels=EXACT,
    values={**CONTINUUM, "l": Range(3.0, 2.0, 5.0), "h": Range(0.8, 0.6, 1.2)},
)


@result.quantity("slope variance", smallest_effect=0.03)
def slope_variance(setting: Setting) -> FieldSimulation:
    """State λ₂(y) = Var ∂₁y."""
    return FieldSimulation(_after(1, setting.dim), setting.inputs, refinement=2, finest=1.0)


def _after(layers: int, dim: int, field: GaussianField | None = None) -> Variance:
    y: GaussianField | ComposedField = smooth_field(dim) if field is None else field
    for number in range(1, layers + 1):
        y = compose(y, smooth_offsets(dim, f"epsilon_{number}"))
    return Variance(y.slope(0)[PIXEL])


@result.quantity(
    "slope variance after L layers in the plane",
    smallest_effect=0.04,
    dims=(2,),
    values={"L": whole(2, 1, 2), "l": Range(2.0, 2.0, 3.0)},
)
@result.quantity(
    "slope variance after L layers",
    smallest_effect=0.02,
    dims=(1,),
    values={"L": whole(3, 1, 4), "l": Range(2.0, 2.0, 3.0)},
)
@dataclass(frozen=True)
class SlopeVarianceOfLayers(DerivedExperiment):
    """λ₂ after L layers with independent offsets, each drawn on a grid with two points per pixel."""

    text = "Var ∂₁y after L layers"

    def steps(self) -> tuple[Step, ...]:
        """Take the steps of one layer to the power L, the solution of λ(l + 1) = Rλ(l); R is that of any field.

        Raises:
            ArithmeticError: R depends on the field, or two layers are not R².
        """
        dim = self.setting.dim
        of_any = _after(1, dim, GaussianField("x")).doit()
        (moment,) = of_any.atoms(SpectralMoment)
        ratio, start = sp.cancel(of_any / moment), smooth_covariance(dim).second_moment()
        if ratio.atoms(SpectralMoment) or sp.simplify(_after(2, dim).doit() - start * ratio**2) != 0:
            raise ArithmeticError(f"a layer has to multiply the slope variance of every field by {ratio}")
        later, factor, before = sp.Function("lambda"), sp.Symbol("R", positive=True), sp.Symbol("l", integer=True)
        first = sp.Symbol("lambda_0", positive=True)
        solved = sp.rsolve(later(before + 1) - factor * later(before), later(before), {later(0): first})
        reason = (
            "what a layer makes of a homogeneous isotropic field is one again, independent of the next layer's "
            "offsets, and λ₂ grows by the same factor R for each: λ(l + 1) = Rλ(l); "
        )
        steps = _after(1, dim).derive().steps
        return restated(steps, reason, lambda one: solved.subs({before: LAYERS, factor: one / start, first: start}))

    @property
    def symbols(self) -> Set[str]:
        """Those of a layer, and the number of layers."""
        return {*_simulation(1, self.setting.dim).symbols, LAYERS.name}

    def check_values(self, values: Mapping[str, float]) -> None:
        """Check the length of the field; raises as `check_length`."""
        _simulation(1, self.setting.dim).check_values(values)

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of points that a row draws."""
        return self._of(values).row_elements(_without_layers(values))

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows k"]:
        """Draw the moments of the slope, shape (rows, k)."""
        return self._of(values).sample(generator, rows, _without_layers(values), device)

    def combine(self, means: Float[ndarray, "k"], values: Mapping[str, float]) -> tuple[float, Float[ndarray, "k"]]:
        """Return the variance of the slope, and its gradient, shape (k,), at means of shape (k,)."""
        return self._of(values).combine(means, _without_layers(values))

    def _of(self, values: Mapping[str, float]) -> ContinuumSimulation:
        return _simulation(int(values[LAYERS.name]), self.setting.dim)


@cache
def _simulation(layers: int, dim: int) -> FieldSimulation:
    return FieldSimulation(_after(layers, dim), refinement=2, finest=1.0)


def _without_layers(values: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if name != LAYERS.name}


result.quantity("ceiling on the grid", kernels=("linear", "keys", "bspline3"), dims=(1, 2))(Ceiling)
