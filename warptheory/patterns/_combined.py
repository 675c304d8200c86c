"""Patterns put together: one after the other, side by side on a pyramid, backwards, and with a factor on each pixel."""

import functools
import math
import operator
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from warptheory.core.errors import ArgumentError
from warptheory.patterns._pattern import Pattern
from warptheory.patterns._sampling_pattern import SamplingPattern
from warptheory.patterns._taps import Taps


@dataclass(frozen=True, eq=False)
class Chain(Pattern):
    """A = A_L ⋯ A_2 A_1: patterns one after the other, the first at the input.

    Attributes:
        parts: the patterns.

    Raises:
        ArgumentError: no parts, or parts whose shapes do not fit.
    """

    parts: tuple[Pattern, ...]

    def __post_init__(self) -> None:
        if not self.parts:
            raise ArgumentError("parts", expected="at least one pattern", received="none")
        for below, above in zip(self.parts, self.parts[1:], strict=False):
            if below.output_shape != above.input_shape or below.batch != above.batch:
                expected = f"{below.batch} inputs of shape {below.output_shape}"
                raise ArgumentError("parts", expected=expected, received=f"{above.batch} of {above.input_shape}")

    @property
    def batch(self) -> int:
        """Number B of images."""
        return self.parts[0].batch

    @property
    def input_shape(self) -> tuple[int, ...]:
        """That of the first part."""
        return self.parts[0].input_shape

    @property
    def output_shape(self) -> tuple[int, ...]:
        """That of the last part."""
        return self.parts[-1].output_shape

    def apply(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B D *T"]:
        """Return A x for images (B, C, *S), shape (B, D, *T)."""
        return functools.reduce(lambda image, part: part.apply(image), self.parts, x)

    def adjoint(self, g: Float[Tensor, "B D *T"]) -> Float[Tensor, "B C *S"]:
        """Return Aᵀ g for images (B, D, *T), shape (B, C, *S)."""
        return functools.reduce(lambda image, part: part.adjoint(image), reversed(self.parts), g)

    def matrix(self) -> Float[Tensor, "B DN CM"]:
        """Return A as a sparse tensor (B, D·N, C·M)."""
        return functools.reduce(_product, [part.matrix() for part in reversed(self.parts)])

    def samplings(self) -> Iterator[Taps]:
        """Yield those of the parts."""
        for part in self.parts:
            yield from part.samplings()


def _product(left: Tensor, right: Tensor) -> Tensor:
    """Multiply sparse matrices (B, N, K) and (B, K, M); torch multiplies no batches of them."""
    if not len(left):
        shape = (0, left.shape[1], right.shape[2])
        return torch.sparse_coo_tensor(left.indices(), left.values(), shape, check_invariants=True).coalesce()
    # Neither half precision nor two dtypes are known to sparse products.
    wide = torch.promote_types(torch.promote_types(left.dtype, right.dtype), torch.float32)
    left, right = left.to(wide), right.to(wide)
    with warnings.catch_warnings(), torch.autocast(left.device.type, enabled=False):
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")  # which the product uses inside
        return torch.stack([a @ b for a, b in zip(left.unbind(), right.unbind(), strict=True)]).coalesce()


@dataclass(frozen=True, eq=False)
class Levels(Pattern):
    """A = (A_1 … A_L): the sum of patterns, each of which samples a level of a pyramid.

    The input has the pixels of all levels in a row, (B, C, M_1 + … + M_L), level after level, each in C order.

    Attributes:
        parts: the patterns, of one batch, number of channels and outcome.

    Raises:
        ArgumentError: no parts, or parts whose shapes do not fit.
    """

    parts: tuple[SamplingPattern, ...]

    def __post_init__(self) -> None:
        if not self.parts:
            raise ArgumentError("parts", expected="at least one pattern", received="none")
        first = self.parts[0]
        for part in self.parts:
            if (part.batch, part.channels, part.output_shape) != (first.batch, first.channels, first.output_shape):
                expected = f"batch {first.batch}, {first.channels} channels, outcome {first.output_shape}"
                received = f"{part.batch}, {part.channels}, {part.output_shape}"
                raise ArgumentError("parts", expected=expected, received=received)

    @property
    def batch(self) -> int:
        """Number B of images."""
        return self.parts[0].batch

    @property
    def pixels(self) -> tuple[int, ...]:
        """Numbers M_1, …, M_L of the pixels of the levels."""
        return tuple(math.prod(part.size) for part in self.parts)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape (C, M_1 + … + M_L)."""
        return (self.parts[0].channels, sum(self.pixels))

    @property
    def output_shape(self) -> tuple[int, ...]:
        """That of every part."""
        return self.parts[0].output_shape

    def apply(self, x: Float[Tensor, "B C M"]) -> Float[Tensor, "B D *T"]:
        """Return A x for a pyramid (B, C, M), shape (B, D, *T)."""
        self.check_input("x", x)
        # Split along the outermost axis of a pixel's values, so that gradients are joined as they lie in memory.
        if x.stride(1) == 1 and x.shape[1] > 1:
            split = [each.transpose(1, 2) for each in torch.split(x.transpose(1, 2), list(self.pixels), 1)]
        else:
            split = list(torch.split(x, list(self.pixels), 2))
        levels = zip(split, self.parts, strict=True)
        return functools.reduce(
            operator.add, [part.apply(torch.unflatten(level, 2, part.size)) for level, part in levels]
        )

    def adjoint(self, g: Float[Tensor, "B D *T"]) -> Float[Tensor, "B C M"]:
        """Return Aᵀ g for images (B, D, *T), shape (B, C, M)."""
        return torch.cat([part.adjoint(g).flatten(2) for part in self.parts], 2)

    def matrix(self) -> Float[Tensor, "B DN CM"]:
        """Return A as a sparse tensor (B, D·N, C·M)."""
        total, first = sum(self.pixels), 0
        indices, values = [], []
        for part, count in zip(self.parts, self.pixels, strict=True):
            found = part.matrix()
            batch, row, column = found.indices()
            moved = column // count * total + first + column % count
            indices.append(torch.stack([batch, row, moved]))
            values.append(found.values())
            first += count
        shape = (self.batch, self.outputs, self.inputs)
        return torch.sparse_coo_tensor(
            torch.cat(indices, 1), torch.cat(values), shape, check_invariants=True
        ).coalesce()

    def samplings(self) -> Iterator[Taps]:
        """Yield the parts."""
        yield from self.parts


@dataclass(frozen=True, eq=False)
class Transposed(Pattern):
    """Aᵀ: a pattern backwards, which scatters what the pattern would gather.

    Attributes:
        pattern: A.
    """

    pattern: Pattern

    @property
    def batch(self) -> int:
        """Number B of images."""
        return self.pattern.batch

    @property
    def input_shape(self) -> tuple[int, ...]:
        """What the pattern returns."""
        return self.pattern.output_shape

    @property
    def output_shape(self) -> tuple[int, ...]:
        """What the pattern samples."""
        return self.pattern.input_shape

    def apply(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B D *T"]:
        """Return Aᵀ x for images (B, C, *S), shape (B, D, *T)."""
        return self.pattern.adjoint(x)

    def adjoint(self, g: Float[Tensor, "B D *T"]) -> Float[Tensor, "B C *S"]:
        """Return A g for images (B, D, *T), shape (B, C, *S)."""
        return self.pattern.apply(g)

    def matrix(self) -> Float[Tensor, "B DN CM"]:
        """Return Aᵀ as a sparse tensor (B, D·N, C·M)."""
        return self.pattern.matrix().transpose(1, 2).coalesce()

    def samplings(self) -> Iterator[Taps]:
        """Yield those of the pattern."""
        yield from self.pattern.samplings()


@dataclass(frozen=True, eq=False)
class Weighting(Pattern):
    """A diagonal map: a factor on each pixel.

    Attributes:
        factors: shape (B, C, *S).
    """

    factors: Float[Tensor, "B C *S"]

    @property
    def batch(self) -> int:
        """Number B of images."""
        return len(self.factors)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape (C, *S)."""
        return tuple(self.factors.shape[1:])

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape (C, *S)."""
        return self.input_shape

    def apply(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B C *S"]:
        """Return the factors times images (B, C, *S)."""
        self.check_input("x", x)
        return self.factors * x

    def adjoint(self, g: Float[Tensor, "B C *S"]) -> Float[Tensor, "B C *S"]:
        """Return the same: factors times images (B, C, *S)."""
        self.check_output("g", g)
        return self.factors * g

    def matrix(self) -> Float[Tensor, "B N N"]:
        """Return the factors on the diagonal of a sparse tensor (B, C·M, C·M)."""
        batch, place = torch.meshgrid(
            *(torch.arange(n, device=self.factors.device) for n in (self.batch, self.inputs)), indexing="ij"
        )
        indices = torch.stack([batch, place, place]).flatten(1)
        shape = (self.batch, self.inputs, self.inputs)
        return torch.sparse_coo_tensor(indices, self.factors.flatten(), shape, check_invariants=True).coalesce()

    def samplings(self) -> Iterator[Taps]:
        """Yield nothing: it samples where it is."""
        yield from ()
