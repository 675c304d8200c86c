"""TRANSITION."""

from warptheory.symbolic.evaluation import _ACCEPTED as _ACCEPTED
from warptheory.symbolic.evaluation import _BLOCK_ELEMENTS as _BLOCK_ELEMENTS
from warptheory.symbolic.evaluation import _FIRST_BLOCK as _FIRST_BLOCK
from warptheory.symbolic.evaluation import _MOST_TERMS as _MOST_TERMS
from warptheory.symbolic.evaluation import _NEGLIGIBLE as _NEGLIGIBLE
from warptheory.symbolic.evaluation import _UNPRINTED as _UNPRINTED
from warptheory.symbolic.evaluation import Interval as Interval
from warptheory.symbolic.evaluation import _check_value as _check_value
from warptheory.symbolic.evaluation import _Compiled as _Compiled
from warptheory.symbolic.evaluation import _compiled as _compiled
from warptheory.symbolic.evaluation import _extrapolate as _extrapolate
from warptheory.symbolic.evaluation import _is_number as _is_number
from warptheory.symbolic.evaluation import _part as _part
from warptheory.symbolic.evaluation import _points as _points
from warptheory.symbolic.evaluation import _range as _range
from warptheory.symbolic.evaluation import _ranges as _ranges
from warptheory.symbolic.evaluation import _series as _series
from warptheory.symbolic.evaluation import _sum as _sum
from warptheory.symbolic.evaluation import _tap_sum as _tap_sum
from warptheory.symbolic.evaluation import _term as _term
from warptheory.symbolic.evaluation import _value as _value
from warptheory.symbolic.evaluation import _window as _window
from warptheory.symbolic.evaluation import check_values as check_values
from warptheory.symbolic.evaluation import evaluate as evaluate
