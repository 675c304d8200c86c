"""What a boundary rule is, and what follows from its index map."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Int
from torch import Tensor

# (integer positions, size of the axis) → (pixels in [0, size), whether they exist or None if all do)
IndexMap = Callable[[Int[Tensor, "*T"], int], tuple[Int[Tensor, "*T"], Bool[Tensor, "*T"] | None]]

_PROBED = 5  # pixels of the axis on which properties of a rule are read off


@dataclass(frozen=True)
class Boundary:
    """A boundary rule: `rule(positions, size)` is its index map.

    Attributes:
        name: the name of its file.
        index_map: of integer positions (*T) and the size of an axis, the pixels that are read, in [0, size), and which
            of them exist, both (*T); None in place of the latter if all do.
    """

    name: str
    index_map: IndexMap

    def __call__(self, positions: Int[Tensor, "*T"], size: int) -> tuple[Int[Tensor, "*T"], Bool[Tensor, "*T"] | None]:
        """Return the pixels (*T) read at positions (*T) of an axis, and whether they exist."""
        return self.index_map(positions, size)

    @cached_property
    def has_outside(self) -> bool:
        """Whether there are positions at which nothing is read."""
        return any(pixel is None for pixel in self._probe)

    @cached_property
    def commutes(self) -> bool:
        """Whether an axis filtered symmetrically continues as the axis does.

        Every symmetric filter is a polynomial in the sum of both neighbours, so this one decides: the neighbours of a
        position have to read the same two pixels as the neighbours of the pixel that is read there.
        """
        probe = self._probe

        def neighbours(place: int) -> set[tuple[int | None, int]]:
            pair = [probe[place - 1], probe[place + 1]]
            return {(pixel, pair.count(pixel)) for pixel in pair}

        return not self.has_outside and all(
            neighbours(place) == neighbours(pixel + _PROBED)
            for place, pixel in enumerate(probe[1:-1], start=1)
            if pixel is not None
        )

    @cached_property
    def _probe(self) -> list[int | None]:
        """The pixels that −N, …, 2N − 1 read on an axis of N = `_PROBED` pixels, None where nothing is read."""

        def read() -> list[int | None]:
            pixels, exist = self.index_map(torch.arange(-_PROBED, 2 * _PROBED, device="cpu"), _PROBED)
            known = [True] * len(pixels) if exist is None else exist.tolist()
            return [pixel if is_there else None for pixel, is_there in zip(pixels.tolist(), known, strict=True)]

        # Modes, transformations and default devices belong to a thread: in one of its own there are none.
        with ThreadPoolExecutor(1) as alone:
            return alone.submit(read).result()
