"""Covariances of homogeneous fields, one file each: the correlation is the definition.

Lengths are in pixels, angular frequencies in radians per pixel, C(τ) = (2π)⁻ᵈ ∫ S(ω) exp(iωτ) dω.
"""

from functools import cache

from warptheory.core.catalogue import Catalogue, load_entry
from warptheory.core.errors import ArgumentError
from warptheory.core.listing import public_names
from warptheory.fields.covariance._covariance import CovarianceFunction, ProductOfCovariances, SumOfCovariances
from warptheory.fields.covariance._radial import RadialCovariance

__all__ = [
    "CovarianceFunction",
    "ProductOfCovariances",
    "RadialCovariance",
    "SumOfCovariances",
    "class_names",
    "get",
    "names",
]
__dir__ = public_names(__name__)


names = Catalogue[type[CovarianceFunction]](__name__).names


def class_names() -> dict[str, str]:
    """Map the name of each covariance's class, such as "PowerLaw", to that of its file, "power_law"."""
    return {name.title().replace("_", ""): name for name in names()}


@cache
def get(name: str, argument: str = "covariance") -> type[CovarianceFunction]:
    """Return the class of a covariance by the name of its file, such as "matern".

    Args:
        name: a name in `names()`.
        argument: the caller's name for `name`, used in errors.

    Raises:
        UnknownNameError: no covariance of that name.
        ArgumentError: not a name.
    """
    if not isinstance(name, str):
        raise ArgumentError(argument, expected="a name", received=type(name).__name__)
    module = load_entry(__name__, name, argument)
    found: type[CovarianceFunction] = getattr(module, name.title().replace("_", ""))
    return found
