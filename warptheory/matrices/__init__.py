"""What kind of linear map a layer is: its nearest convolution, its commutators, its singular values.

The tools take any matrix A (N, M): a tensor of torch, dense or sparse, such as `warp_matrix(offsets)[0]` or a sample of
`layer.operator_matrix(x)`; an array or sparse array of NumPy and SciPy; or a `LinearOperator`, which is only multiplied
with. They compute in double precision and return what NumPy and SciPy go on with.

>>> import torch
>>> from warptheory import matrices, warp_matrix
>>> offsets = torch.linspace(-2, 2, 64, dtype=torch.float64).reshape(1, 1, 64)
>>> matrix = warp_matrix(offsets, kernel="linear", boundary="periodic")[0]
>>> nearest = matrices.nearest_convolution(matrix, (1, 64))
>>> round(nearest.share_of_energy, 4)  # the rest no convolution does
0.3213
>>> spectrum = matrices.singular_spectrum(matrix)
>>> spectrum.rank, spectrum.nullity
(62, 2)

The energy of a matrix is the sum of its squared entries, the square of its Frobenius norm: what it makes of white
images. Images are flattened in C order, channels first, and periodic where shifts are meant.
"""

from warptheory.core.listing import public_names
from warptheory.matrices._convolutions import NearestConvolution, nearest_convolution
from warptheory.matrices._linear_maps import LinearMap, linear_operator, warp_operator
from warptheory.matrices._reading import MatrixLike, energy, samples
from warptheory.matrices._shifts import shift_commutator, shift_matrix
from warptheory.matrices._singular_values import (
    SingularSpectrum,
    SpectrumError,
    extreme_singular_values,
    nearest_isometry,
    singular_spectrum,
    structural_rank,
)

__all__ = [
    "LinearMap",
    "MatrixLike",
    "NearestConvolution",
    "SingularSpectrum",
    "SpectrumError",
    "energy",
    "extreme_singular_values",
    "linear_operator",
    "nearest_convolution",
    "nearest_isometry",
    "samples",
    "shift_commutator",
    "shift_matrix",
    "singular_spectrum",
    "structural_rank",
    "warp_operator",
]
__dir__ = public_names(__name__)
