"""What every pattern offers: the linear map of an operator at its inputs, in whatever way it is put together."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from warptheory.core.errors import ArgumentError
from warptheory.patterns._statistics import OperatorStatistics, operator_statistics
from warptheory.patterns._taps import Taps


class Pattern(ABC):
    """A linear map from images (B, C, *S) to images (B, D, *T), one for each image of a batch."""

    @property
    @abstractmethod
    def batch(self) -> int:
        """Number B of images, each of which has a map of its own."""

    @property
    @abstractmethod
    def input_shape(self) -> tuple[int, ...]:
        """Shape (C, *S) of what is sampled."""

    @property
    @abstractmethod
    def output_shape(self) -> tuple[int, ...]:
        """Shape (D, *T) of the outcome."""

    @abstractmethod
    def apply(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B D *T"]:
        """Return A x for images (B, C, *S), shape (B, D, *T), differentiable in x and in the pattern's tensors.

        Raises:
            ArgumentError: images of another batch, number of channels or size.
        """

    @abstractmethod
    def adjoint(self, g: Float[Tensor, "B D *T"]) -> Float[Tensor, "B C *S"]:
        """Return Aᵀ g for images (B, D, *T), shape (B, C, *S), differentiable likewise.

        Raises:
            ArgumentError: as `apply`.
        """

    @abstractmethod
    def matrix(self) -> Float[Tensor, "B DN CM"]:
        """Return A as a coalesced sparse tensor (B, D·N, C·M), for small grids; N = ∏T, M = ∏S, in C order.

        Raises:
            ArgumentError: entries that do not fit in memory.
        """

    @abstractmethod
    def samplings(self) -> Iterator[Taps]:
        """Yield the taps of the sampling patterns that it is put together of, in the order in which they act."""

    def statistics(self) -> OperatorStatistics:
        """Return the statistics of the matrix and of the offsets (NaN without any), for small grids.

        Raises:
            ArgumentError: as `matrix`.
        """
        matrix = self.matrix()
        offsets = [each.offsets.flatten() for each in self.samplings()] or [matrix.values()[:0]]
        return operator_statistics(matrix, torch.cat(offsets))

    @property
    def inputs(self) -> int:
        """Number C·M of columns."""
        return math.prod(self.input_shape)

    @property
    def outputs(self) -> int:
        """Number D·N of rows."""
        return math.prod(self.output_shape)

    def check_input(self, argument: str, x: Tensor) -> None:
        """Check images (B, C, *S) by the name of the argument.

        Raises:
            ArgumentError: another batch, number of channels or size.
        """
        check_images(argument, x, self.batch, self.input_shape)

    def check_output(self, argument: str, g: Tensor) -> None:
        """Check images (B, D, *T) likewise."""
        check_images(argument, g, self.batch, self.output_shape)


def check_images(argument: str, images: Tensor, batch: int, shape: tuple[int, ...]) -> None:
    """Check that images (B, C, *S) have a batch and a shape (C, *S), by name of the argument.

    Raises:
        ArgumentError: they have not.
    """
    if not isinstance(images, Tensor) or tuple(images.shape) != (batch, *shape):
        received = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise ArgumentError(argument, expected=f"shape {(batch, *shape)}, as the pattern has", received=received)
