"""The setting that an experiment is made for, and symbols that many results share."""

from dataclasses import dataclass
from typing import SupportsFloat

import sympy as sp

from warptheory import kernels
from warptheory.core.errors import ArgumentError
from warptheory.fields import laws

PIXEL = sp.Symbol("n", integer=True)
HALF_WIDTH = sp.Symbol("a", positive=True)  # of uniform offsets
DISPLACEMENT = sp.Symbol("Delta", real=True)  # of one position against another
TAU = sp.Symbol("tau", positive=True)  # slope of the offsets: the largest of a wave, the deviation of Gaussian ones

# A choice of a setting, or a number for a symbol; None takes the default.
SettingValue = str | SupportsFloat | None


@dataclass(frozen=True)
class Setting:
    """The choices that an experiment is made for.

    Attributes:
        kernel: name of the interpolation kernel; that of an alias is put in its place.
        dim: number d of spatial axes.
        offsets: name of the law of the offsets.
        inputs: name of the law of the input pixels in simulations.

    Raises:
        UnknownNameError: an unknown kernel or law.
        ArgumentError: dim is not 1, 2 or 3.
    """

    kernel: str = "linear"
    dim: int = 1
    offsets: str = "normal"
    inputs: str = "normal"

    def __post_init__(self) -> None:
        kernels.get(self.kernel)
        object.__setattr__(self, "kernel", kernels.resolve(self.kernel))  # an alias is no setting of its own
        if self.dim not in (1, 2, 3):
            raise ArgumentError("dim", expected="1, 2 or 3", received=self.dim)
        object.__setattr__(self, "dim", int(self.dim))  # NumPy's integers print otherwise
        laws.get(self.offsets, argument="offsets")
        laws.get(self.inputs, argument="inputs")
