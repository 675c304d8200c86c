"""TRANSITION."""

from warptheory.symbolic.quadrature import _LAST_EXPONENT as _LAST_EXPONENT
from warptheory.symbolic.quadrature import _MOST_HARMONICS as _MOST_HARMONICS
from warptheory.symbolic.quadrature import _MOST_PIXELS as _MOST_PIXELS
from warptheory.symbolic.quadrature import _MOST_POINTS as _MOST_POINTS
from warptheory.symbolic.quadrature import _NO_MASS as _NO_MASS
from warptheory.symbolic.quadrature import _NORMAL_REACH as _NORMAL_REACH
from warptheory.symbolic.quadrature import _REACH as _REACH
from warptheory.symbolic.quadrature import CorrelatedNormal as CorrelatedNormal
from warptheory.symbolic.quadrature import Environment as Environment
from warptheory.symbolic.quadrature import Evaluate as Evaluate
from warptheory.symbolic.quadrature import NotConverged as NotConverged
from warptheory.symbolic.quadrature import _compiled as _compiled
from warptheory.symbolic.quadrature import _fourier_coefficients as _fourier_coefficients
from warptheory.symbolic.quadrature import _massive_interval as _massive_interval
from warptheory.symbolic.quadrature import _quadrature_of_part as _quadrature_of_part
from warptheory.symbolic.quadrature import _split as _split
from warptheory.symbolic.quadrature import correlated_average as correlated_average
from warptheory.symbolic.quadrature import gauss_legendre as gauss_legendre
from warptheory.symbolic.quadrature import quadrature as quadrature
from warptheory.symbolic.quadrature import tensor_grid as tensor_grid
