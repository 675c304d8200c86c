"""The convolution nearest to an operator, and what is left of it.

Convolutions of periodic images are the matrices that commute with all shifts. The nearest one, in the Frobenius norm,
is the mean of SₖᵀA Sₖ over all shifts k: entries of the same distance between input and output pixel are averaged. It
is an orthogonal projection, so that the rest has no scalar product with any convolution, and energies add up.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from warptheory.core.presented import Presented
from warptheory.matrices._images import Images, checked_images
from warptheory.matrices._reading import MatrixLike, column_blocks, read, sum_of_squares


@dataclass(frozen=True, eq=False)
class NearestConvolution(Presented):
    """The periodic convolution that is nearest to an operator A, and what is left.

    Attributes:
        filters: h, shape (D, C, *S): (H x)_o[n] = Σ_c Σ_u h[o, c, u] x_c[stride·n + u], u counted modulo S.
        energy: that of A, Σ A²; infinite beyond double precision, where shares still are right.
        operator: A, shape (D·N, C·M), as it was read.
    """

    filters: Float[np.ndarray, "D C *S"]
    energy: float
    operator: sparse.csr_array | LinearOperator
    _images: Images = field(repr=False)
    _norm: float = field(repr=False)  # of A, which is finite where its square is not

    @property
    def explained_energy(self) -> float:
        """The energy of the convolution, N Σ h² for N output pixels."""
        return math.prod(self._images.outputs[1:]) * sum_of_squares(self.filters)

    @property
    def share_of_energy(self) -> float:
        """The share of A's energy that the convolution explains, from 0 to 1; it is 1 for a zero matrix."""
        norm = math.sqrt(math.prod(self._images.outputs[1:])) * _norm(self.filters)
        return (norm / self._norm) ** 2 if self._norm > 0 else 1.0

    def matrix(self) -> sparse.csr_array:
        """Return the convolution as a sparse array (D·N, C·M)."""
        images = self._images
        outcome, channel, *steps = np.nonzero(self.filters)
        values = self.filters[outcome, channel, *steps]
        grid = np.indices(images.outputs[1:]).reshape(len(steps), 1, -1)
        places = [
            (stride * at + step[:, None]) % length
            for stride, at, step, length in zip(images.stride, grid, steps, images.inputs[1:], strict=True)
        ]
        pixels_out, pixels_in = math.prod(images.outputs[1:]), math.prod(images.inputs[1:])
        rows = outcome[:, None] * pixels_out + np.arange(pixels_out)
        columns = channel[:, None] * pixels_in + np.ravel_multi_index(tuple(places), images.inputs[1:])
        entries = np.broadcast_to(values[:, None], rows.shape)
        return sparse.csr_array((entries.ravel(), (rows.ravel(), columns.ravel())), shape=self.operator.shape)

    def remainder(self) -> sparse.csr_array | LinearOperator:
        """Return what is left, A − H, shape (D·N, C·M): its product with every convolution has no trace."""
        if isinstance(self.operator, LinearOperator):
            return self.operator - aslinearoperator(self.matrix())
        rest: sparse.csr_array = self.operator - self.matrix()
        return rest


def nearest_convolution(
    matrix: MatrixLike, input_shape: Sequence[int], output_shape: Sequence[int] | None = None
) -> NearestConvolution:
    """Return the convolution of periodic images that is nearest to an operator in the Frobenius norm.

    A linear operator is asked for its columns, a few at a time, so that its matrix is never held.

    Args:
        matrix: A, shape (D·N, C·M).
        input_shape: (C, *S) of what A takes; M = ∏S in C order.
        output_shape: (D, *T) of what it returns, lengths that divide those of the input, where the convolution has a
            stride; None takes the shape of the input. For finer outputs take the transpose of A.

    Returns:
        The convolution, of filters (D, C, *S), with the share of A's energy that it explains.

    Raises:
        ArgumentError: no matrix of finite real numbers, or shapes that do not fit it.
    """
    found = read(matrix)
    images = checked_images(found.shape, input_shape, output_shape)
    channels, size = images.inputs[0], images.inputs[1:]
    sums = np.zeros(images.outputs[0] * channels * math.prod(size))
    energy, norm = 0.0, 0.0
    for first, block in column_blocks(found):
        entries = block.tocoo()
        sums += np.bincount(_distance(images, entries.row, entries.col + first), entries.data, len(sums))
        energy += sum_of_squares(entries.data)
        norm = math.hypot(norm, _norm(entries.data))
    filters = sums.reshape(images.outputs[0], channels, *size) / math.prod(images.outputs[1:])
    return NearestConvolution(filters, energy, found, images, norm)


def _norm(entries: Float[np.ndarray, "*E"]) -> float:
    """Return the root of the sum of squares of entries (*E), none of which can leave double precision."""
    largest = float(np.abs(entries).max(initial=0.0))
    return largest * float(np.linalg.norm((entries / largest).ravel())) if largest else 0.0


def _distance(images: Images, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return for entries (E,) the place of their outcome, channel and distance among filters (D, C, *S), shape (E,)."""
    outcome, *at = np.unravel_index(rows, images.outputs)
    channel, *source = np.unravel_index(columns, images.inputs)
    steps = [
        (place - stride * pixel) % length
        for place, stride, pixel, length in zip(source, images.stride, at, images.inputs[1:], strict=True)
    ]
    return np.ravel_multi_index((outcome, channel, *steps), (images.outputs[0], *images.inputs))
