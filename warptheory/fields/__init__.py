"""Random inputs: laws of single pixels, fields of independent pixels, homogeneous Gaussian fields, real photographs.

The covariances are entries, found in their folder when they are named: `fields.Matern` is the class in
`fields/covariance/matern.py`. A type checker sees the class itself where it is imported from there.
"""

from typing import Any

from warptheory.core.listing import public_names
from warptheory.fields import covariance, laws, photographs
from warptheory.fields.covariance import CovarianceFunction
from warptheory.fields.gradient_sampling import GradientSampler
from warptheory.fields.iid import IID
from warptheory.fields.image_spectrum import ImageSpectrum
from warptheory.fields.laws import Law
from warptheory.fields.sampling import FieldSampler, NotPositiveDefinite, kept_sampler

__all__ = [
    "IID",
    "CovarianceFunction",
    "FieldSampler",
    "GradientSampler",
    "ImageSpectrum",
    "Law",
    "NotPositiveDefinite",
    "covariance",
    "kept_sampler",
    "laws",
    "photographs",
]
__dir__ = public_names(__name__, covariance.class_names)


def __getattr__(name: str) -> Any:
    entries = covariance.class_names()
    if name not in entries:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return covariance.get(entries[name])
