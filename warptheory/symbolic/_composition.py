"""TRANSITION."""

from warptheory.symbolic.composition import ComposedField as ComposedField
from warptheory.symbolic.composition import ComposedSlope as ComposedSlope
from warptheory.symbolic.composition import ComposedValue as ComposedValue
from warptheory.symbolic.composition import OffsetSlope as OffsetSlope
from warptheory.symbolic.composition import SlopeValue as SlopeValue
from warptheory.symbolic.composition import _OfComposition as _OfComposition
from warptheory.symbolic.composition import compose as compose
from warptheory.symbolic.composition import is_of_continuum as is_of_continuum
