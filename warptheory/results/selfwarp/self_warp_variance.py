"""F7: the second moment of a field that is warped by offsets computed from it, and its share of A4's."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from warptheory.montecarlo import simulation_of
from warptheory.results._experiment import DerivedExperiment
from warptheory.results._result import Result
from warptheory.results._setting import PIXEL, Setting
from warptheory.results.fields._fields import EXACT, FieldSimulation, smooth_field
from warptheory.results.selfwarp import _heads as heads
from warptheory.results.selfwarp._heads import NOTATION, VALUES
from warptheory.symbolic import (
    Expectation,
    GaussianField,
    HeadTap,
    InputField,
    Step,
    Variance,
    compose,
    restated,
    warp,
)

result = Result(
    "F7",
    "Second moment of a self-warp",
    "E y² = A4 + α² Σᵢₗ ∫ c_ki c_kl ∂ᵢ∂ₗq du, A4 the same for offsets of the same law that are independent of x "
    "(of a field C4's form), q the density of the offsets. Linear kernel, d = 1, with p_j = Φ((j+1)/s) − Φ(j/s): A4 + "
    "2α² Σⱼ [(c[j+1] − c[j])² p_j + c[j] (c[j+1] − 2c[j] + c[j−1]) q(j)]; own pixel, white input of deviation one: "
    "A4 + 2α² erf(1/(α√2)) − 4α/√(2π). The deviation from A4 is of first order in α, and a self-warp may raise the "
    "variance above the input's. Between the pixels c takes the place of c_k: a head that reads the own value lowers "
    "the second moment (F2), one that reads the slope raises it.",
    assumptions=(
        "x is normal, of mean zero: independent pixels, or a homogeneous field of any covariance.",
        "The offsets are linear functions of x, the same around every pixel.",
    ),
    source="Stein's lemma (C. M. Stein, Estimation of the mean of a multivariate normal distribution, 1981); theory "
    "labels F7 and F7a",
    meaning="How much variance a self-warp keeps depends on which pixels its head reads, from less than half to more "
    "than that of independent offsets. An initialisation that corrects for A4 is off by that factor in every block: "
    "take the gain from this formula, or measure it.",
    kernels=("linear", "keys"),
    values=VALUES,
    notation=NOTATION,
)


@result.quantity("second moment, own pixel", kernels=("linear", "keys", "nearest"))
def own_pixel(setting: Setting) -> Expectation:
    """State E y[n]² for heads that read their own pixel; in the plane both offsets are equal."""
    return _second_moment(heads.white(), heads.own_pixel(setting.dim), setting)


@result.quantity("second moment, three taps", dims=(1,))
def three_taps(setting: Setting) -> Expectation:
    """State E y[n]² for a head that reads the mean of three pixels."""
    return _second_moment(heads.white(), heads.three_taps(), setting)


@result.quantity("variance, two taps ahead", dims=(1,))
def two_ahead(setting: Setting) -> Variance:
    """State Var y[n] for a head that reads two pixels on one side, which also shifts the mean."""
    x = heads.white()
    return Variance(warp(x, heads.computed(x, *heads.two_ahead()), setting.kernel)[PIXEL])


@result.quantity("second moment, outward heads", dims=(2,))
def outward(setting: Setting) -> Expectation:
    """State E y[n]² for heads in the plane that read the next pixel along their offset."""
    return _second_moment(heads.white(), heads.outward(2), setting)


@result.quantity("second moment, curl heads", kernels=("linear",), dims=(2,))
def curl(setting: Setting) -> Expectation:
    """State E y[n]² for heads in the plane whose offsets turn about what they read."""
    return _second_moment(heads.white(), heads.curl(), setting)


@result.quantity("second moment, dependent heads", dims=(2,))
def dependent(setting: Setting) -> Expectation:
    """State E y[n]² for offsets in the plane that are correlated, and of unequal variance."""
    return _second_moment(heads.white(), heads.dependent(), setting)


@result.quantity("second moment of a field, own pixel", dims=(1, 2))
def field_own_pixel(setting: Setting) -> Expectation:
    """State E y[n]² of a smooth field whose heads read their own pixel."""
    return _second_moment(smooth_field(setting.dim), heads.own_pixel(setting.dim), setting)


@result.quantity("second moment of a field, difference head", dims=(1,))
def field_difference(setting: Setting) -> Expectation:
    """State E y[n]² of a smooth field whose head reads a difference: it is above C(0) for small α."""
    return _second_moment(smooth_field(1), heads.difference(1), setting)


@dataclass(frozen=True)
class ShareOfIndependent(DerivedExperiment):
    """E y[n]² for a head that reads its own pixel, over the same where it reads another field of the same law."""

    text = "E y[n]²/A4"

    @property
    def _computed(self) -> Expectation:
        return _second_moment(heads.white(), heads.own_pixel(self.setting.dim), self.setting)

    @property
    def _independent(self) -> Expectation:
        offsets = heads.computed(heads.white("z"), *heads.own_pixel(self.setting.dim))
        return Expectation(warp(heads.white(), offsets, self.setting.kernel)[PIXEL] ** 2)

    @property
    def symbols(self) -> frozenset[str]:
        """Names of the symbols that need a number."""
        return frozenset(simulation_of(self._computed).symbols)

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels that a row draws, of three fields."""
        return 3 * simulation_of(self._computed).row_elements(values)

    def steps(self) -> tuple[Step, ...]:
        """Return the steps of the second moment, over the closed form for independent offsets."""
        reason, independent = "over that for a head on another field: ", self._independent.doit()
        return restated(self._computed.derive().steps, reason, lambda moment: moment / independent)

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows 2"]:
        """Draw both second moments, shape (rows, 2)."""
        drawn = [
            simulation_of(each).sample(generator, rows, values, device) for each in (self._computed, self._independent)
        ]
        return torch.cat(drawn, dim=1)

    def combine(self, means: Float[ndarray, "2"], values: Mapping[str, float]) -> tuple[float, Float[ndarray, "2"]]:
        """Return the quotient of the means and its gradient, shape (2,), at means of shape (2,)."""
        share = float(means[0] / means[1])
        return share, np.array([1 / means[1], -share / means[1]])


# Two percent: a quotient scatters as both of its parts, each of which is looked at to 1 % by itself, above and in A4.
@result.quantity("share of A4, own pixel", dims=(1,), smallest_effect=0.02)
def share(setting: Setting) -> ShareOfIndependent:
    """State E y² over that for independent offsets of the same law."""
    return ShareOfIndependent(setting)


@result.quantity("second moment in the continuum, slope head", label="F7a", kernels=EXACT, dims=(1,))
def slope_head(setting: Setting) -> FieldSimulation:
    """State E y(t)² for y(t) = x(t + αx′(t)), above C(0) for small α."""
    return _in_continuum(smooth_field(1), ((HeadTap(0, orders=1),),), setting)


@result.quantity("second moment in the continuum, own value in the plane", kernels=EXACT, dims=(2,))
def own_value(setting: Setting) -> FieldSimulation:
    """State E y(t)² for offsets αx(t) along both axes; on a line it is F2."""
    return _in_continuum(smooth_field(2), heads.own_pixel(2), setting)


def _second_moment(x: InputField, taps: tuple[heads.ComponentTaps, ...], setting: Setting) -> Expectation:
    return Expectation(warp(x, heads.computed(x, *taps), setting.kernel)[PIXEL] ** 2)


def _in_continuum(x: GaussianField, taps: tuple[heads.ComponentTaps, ...], setting: Setting) -> FieldSimulation:
    y = compose(x, heads.computed(x, *taps))
    return FieldSimulation(Expectation(y[PIXEL] ** 2), setting.inputs, refinement=2, finest=1.0)
