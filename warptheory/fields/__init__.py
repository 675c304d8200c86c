"""Random inputs: laws of single pixels, fields of independent pixels, homogeneous Gaussian fields, real photographs."""

from warptheory.fields import covariance, laws, photographs
from warptheory.fields.covariance import CovarianceFunction
from warptheory.fields.covariance.exponential import Exponential
from warptheory.fields.covariance.matern import Matern
from warptheory.fields.covariance.power_law import PowerLaw
from warptheory.fields.covariance.rational_quadratic import RationalQuadratic
from warptheory.fields.covariance.squared_exponential import SquaredExponential
from warptheory.fields.covariance.white import White
from warptheory.fields.iid import IID
from warptheory.fields.image_spectrum import ImageSpectrum
from warptheory.fields.laws import Law
from warptheory.fields.sampling import FieldSampler, NotPositiveDefinite, kept_sampler

__all__ = [
    "IID",
    "CovarianceFunction",
    "Exponential",
    "FieldSampler",
    "ImageSpectrum",
    "Law",
    "Matern",
    "NotPositiveDefinite",
    "PowerLaw",
    "RationalQuadratic",
    "SquaredExponential",
    "White",
    "covariance",
    "kept_sampler",
    "laws",
    "photographs",
]
