"""TRANSITION."""

from warptheory.symbolic.covariance_nodes import FieldCovariance as FieldCovariance
from warptheory.symbolic.covariance_nodes import GaussianMoment as GaussianMoment
from warptheory.symbolic.covariance_nodes import SpectralMoment as SpectralMoment
from warptheory.symbolic.covariance_nodes import _absolute as _absolute
from warptheory.symbolic.covariance_nodes import _covariance_derivative as _covariance_derivative
from warptheory.symbolic.covariance_nodes import _is_isotropic as _is_isotropic
from warptheory.symbolic.covariance_nodes import _is_negative as _is_negative
from warptheory.symbolic.covariance_nodes import _lag_symbols as _lag_symbols
from warptheory.symbolic.covariance_nodes import _representative as _representative
from warptheory.symbolic.covariance_nodes import covariance_name as covariance_name
from warptheory.symbolic.covariance_nodes import field_covariance as field_covariance
from warptheory.symbolic.covariance_nodes import known_covariances as known_covariances
from warptheory.symbolic.covariance_nodes import point_covariance as point_covariance
from warptheory.symbolic.nodes import _FRACTION_NODES as _FRACTION_NODES
from warptheory.symbolic.nodes import ExpectedValue as ExpectedValue
from warptheory.symbolic.nodes import FractionMean as FractionMean
from warptheory.symbolic.nodes import KernelValue as KernelValue
from warptheory.symbolic.nodes import Node as Node
from warptheory.symbolic.nodes import OffsetAverage as OffsetAverage
from warptheory.symbolic.nodes import Opaque as Opaque
from warptheory.symbolic.nodes import PixelMoment as PixelMoment
from warptheory.symbolic.nodes import Side as Side
from warptheory.symbolic.nodes import TapSum as TapSum
from warptheory.symbolic.nodes import _fraction_grid as _fraction_grid
from warptheory.symbolic.nodes import _inner_knots as _inner_knots
from warptheory.symbolic.nodes import _law_symbols as _law_symbols
from warptheory.symbolic.nodes import _periodic_function as _periodic_function
from warptheory.symbolic.nodes import _raw_moments as _raw_moments
from warptheory.symbolic.nodes import _tap_sum as _tap_sum
from warptheory.symbolic.nodes import _taps_at as _taps_at
from warptheory.symbolic.nodes import edges_of as edges_of
from warptheory.symbolic.nodes import kernel_argument as kernel_argument
from warptheory.symbolic.nodes import kernel_function as kernel_function
from warptheory.symbolic.nodes import kernel_label as kernel_label
from warptheory.symbolic.nodes import pairings as pairings
from warptheory.symbolic.nodes import set_partitions as set_partitions
from warptheory.symbolic.nodes import sided_tap_sum as sided_tap_sum
from warptheory.symbolic.nodes import tap_sum as tap_sum

_edges = edges_of
_kernel_function = kernel_function
