"""What every dynamic sampling operator has in common: where it samples, with which weights, and how it mixes.

An operator is linear in what it samples, once its positions and weights are known: y = A(x) x. A pattern says all of A,

    y_o[n] = Σ_c Σ_k F[o, c, k] m_k[n] (W_k x_c)[n],     W_k reads at origin_k + spacing·n + ε_k[n],

with the output pixels n, the taps k, their offsets ε, weights m and filters F. From it follow what A returns, its
adjoint, its matrix, its statistics and its sampling points. Patterns are combined: one after the other (`Chain`), side
by side on the levels of a pyramid (`Levels`), backwards (`Transposed`), and with a factor on each pixel (`Weighting`).

`SamplingPattern.apply` is a function that torch's function modes see (`sample`), so that a monitor reads the pattern of
every operator in this one place.
"""

from warptheory.core.listing import public_names
from warptheory.patterns._combined import Chain, Levels, Transposed, Weighting
from warptheory.patterns._pattern import Pattern
from warptheory.patterns._sampling_pattern import SamplingPattern, sample
from warptheory.patterns._statistics import (
    OffsetStatistics,
    OperatorStatistics,
    dead_fraction,
    is_inside,
    offset_statistics,
    outside_fraction,
)
from warptheory.patterns.lattice import Lattice

__all__ = [
    "Chain",
    "Lattice",
    "Levels",
    "OffsetStatistics",
    "OperatorStatistics",
    "Pattern",
    "SamplingPattern",
    "Transposed",
    "Weighting",
    "dead_fraction",
    "is_inside",
    "offset_statistics",
    "outside_fraction",
    "sample",
]
__dir__ = public_names(__name__)
