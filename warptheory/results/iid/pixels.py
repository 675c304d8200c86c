"""A0: the cumulants of a pixel, which every other result on independent pixels is stated in."""

from functools import partial

from warptheory.fields import laws
from warptheory.results._result import Result
from warptheory.results._setting import PIXEL, Setting
from warptheory.symbolic import IIDField, JointCumulant, Variance

result = Result(
    "A0",
    "Cumulants of a pixel",
    "A pixel of any law has the cumulants σ², κ₃, κ₄ that are read off the expansion of the logarithm of the law's "
    "characteristic function, at the scale that gives it the variance σ²: κₙ is σⁿ times that of the law of "
    "variance one. All that follows for independent pixels is stated in them.",
    assumptions=("The pixels x[m] are independent with one law of mean μ and variance σ² that has four moments.",),
    source="Definition of cumulants by the characteristic function; label A0",
    meaning="What a warp does to the moments of noise, up to the fourth, depends on the noise's law only through "
    "its variance, third and fourth cumulants. Activations after ReLU have large ones, so read the "
    "formulas for them and not for normal values.",
    inputs=tuple(name for name in laws.names() if laws.get(name).variance != 0),
    kernels=("linear",),
    dims=(1,),
)


@result.quantity("variance")
def variance(setting: Setting) -> Variance:
    """State Var x[n]."""
    return Variance(IIDField("x")[PIXEL])


def _cumulant(setting: Setting, order: int) -> JointCumulant:
    """State κ₃ or κ₄ of x[n]."""
    return JointCumulant(IIDField("x")[PIXEL], order=order)


for _name, _order in {"third": 3, "fourth": 4}.items():
    result.quantity(f"{_name} cumulant", smallest_effect=0.05)(partial(_cumulant, order=_order))
