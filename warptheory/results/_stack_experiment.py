"""Stacks of layers on the real operator, for the forward and the backward pass alike."""

from abc import abstractmethod
from collections.abc import Mapping, Set
from typing import ClassVar

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory.results._depth import LAYERS
from warptheory.results._experiment import DerivedExperiment


class StackExperiment(DerivedExperiment):
    """Pixels of a periodic grid, which pass L layers of offsets that are independent and uniform.

    Attributes:
        setting: the setting.
        half_width: symbol of the half-width a of the offsets; None spreads them over the whole grid, the limit of wide
            offsets.
    """

    half_width: ClassVar[sp.Symbol | None] = None
    pixels: ClassVar[Mapping[int, int]] = {1: 8192, 2: 96}

    @property
    def layers(self) -> int | None:
        """The number L of layers; None takes it from the values."""
        return None

    @property
    def symbols(self) -> Set[str]:
        """The number of layers and the half-width, those that are open."""
        open_ones = (LAYERS if self.layers is None else None, self.half_width)
        return {symbol.name for symbol in open_ones if symbol is not None}

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels of a row, over its layers."""
        return self._number(values) * super().row_elements(values)

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw what enters and the offsets of all layers, and return what is seen of each row; shape (rows,)."""
        field = self.start(generator, rows, values, device)
        reach = self.grid[0] / 2 if self.half_width is None else values[self.half_width.name]
        for _ in range(self._number(values)):
            offsets = generator.uniform(-reach, reach, (rows, self.setting.dim, *self.grid))
            field = self.layer(field, torch.from_numpy(offsets).to(device))
        return self.seen(field, values)

    def _number(self, values: Mapping[str, float]) -> int:
        return int(values[LAYERS.name]) if self.layers is None else self.layers

    @abstractmethod
    def start(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str
    ) -> Float[Tensor, "rows 1 *S"]:
        """Draw what enters the first layer, shape (rows, 1, *S)."""

    @abstractmethod
    def layer(
        self, field: Float[Tensor, "rows 1 *S"], offsets: Float[Tensor, "rows d *S"]
    ) -> Float[Tensor, "rows 1 *S"]:
        """Return what a layer makes of a field, shape (rows, 1, *S)."""

    @abstractmethod
    def seen(self, field: Float[Tensor, "rows 1 *S"], values: Mapping[str, float]) -> Float[Tensor, "rows"]:
        """Return a number for each row of what comes out, shape (rows,)."""
