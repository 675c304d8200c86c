"""What automatic differentiation makes of losses on warped images, pass by pass as in training (A8, A11)."""

from collections.abc import Mapping, Set
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, func

from warptheory import warping
from warptheory.core.errors import ArgumentError
from warptheory.fields import IID, CovarianceFunction

# Pixels of an image along each axis.
_SIZE = {1: 64, 2: 16, 3: 8}


@dataclass(frozen=True)
class AutomaticCurvature:
    """The second derivative that `torch.func` returns for ½ mean (y(p + Δ) − y(p))², Δ along the first axis.

    It is the first entry of the Hessian in a displacement of all positions of an image: the derivative, forward, of
    the gradient.

    Attributes:
        kernel: name of the kernel.
        dim: number d of axes.
        inputs: law of the pixels.
        displacement: name of the number Δ.
        covariance: of a Gaussian input; None for independent pixels of standard deviation σ.
    """

    kernel: str
    dim: int
    inputs: str
    displacement: str
    covariance: CovarianceFunction | None = None

    @property
    def symbols(self) -> Set[str]:
        """The displacement, and the symbols of the input's covariance."""
        own = {"sigma"} if self.covariance is None else {symbol.name for symbol in self.covariance.free_symbols}
        return {self.displacement, *own}

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels of an image."""
        return int(_SIZE[self.dim] ** self.dim)

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw images and positions, and differentiate the loss of each image twice; shape (rows,)."""
        size = (_SIZE[self.dim],) * self.dim
        x = self._images(generator, rows, size, values, device)
        offsets = torch.from_numpy(generator.random((rows, self.dim, *size))).to(device)
        target = warping.warp(x, offsets, self.kernel, "periodic")

        def loss(displacement: Tensor) -> Tensor:
            moved = offsets + displacement.reshape(rows, self.dim, *[1] * self.dim)
            y = warping.warp(x, moved, self.kernel, "periodic")
            return (y - target).square().flatten(1).mean(1).sum() / 2

        along = torch.zeros((rows, self.dim), dtype=torch.float64, device=device)
        along[:, 0] = 1
        column = func.jvp(func.grad(loss), (values[self.displacement] * along,), (along,))[1]
        return column[:, 0].detach()

    def _images(
        self,
        generator: np.random.Generator,
        rows: int,
        size: tuple[int, ...],
        values: Mapping[str, float],
        device: str,
    ) -> Tensor:
        if self.covariance is None:
            return IID(self.inputs, 0.0, values["sigma"]).sample(rows, size, generator, device=device)
        return self.covariance.subs(values).sample(rows, size, generator, periodic=True, device=device)


@dataclass(frozen=True)
class GroupGradient:
    """The mean square of the gradient, by automatic differentiation, that offsets of G groups get from C channels.

    Attributes:
        kernel: name of the kernel.
        dim: number d of axes.
        inputs: law of the pixels of x and of g.
    """

    kernel: str
    dim: int
    inputs: str

    @property
    def symbols(self) -> Set[str]:
        """Numbers of channels and groups, moments of x, and deviation of g."""
        return {"C", "G", "mu", "sigma", "sigma_g"}

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels of a row, over its channels."""
        return int(values["C"]) * int(_SIZE[self.dim] ** self.dim)

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw x, g and the offsets of every group, and run the loss Σ g·y backward; shape (rows,)."""
        size, channels, groups = (_SIZE[self.dim],) * self.dim, int(values["C"]), int(values["G"])
        drawn = rows * channels
        x = IID(self.inputs, values["mu"], values["sigma"]).sample(drawn, size, generator, device=device)
        g = IID(self.inputs, 0.0, values["sigma_g"]).sample(drawn, size, generator, device=device)
        x, g = (field.reshape(rows, channels, *size) for field in (x, g))
        offsets = torch.from_numpy(generator.uniform(-0.5, 0.5, (rows, groups, self.dim, *size))).to(device)
        offsets.requires_grad_()
        loss = (g * warping.warp(x, offsets, self.kernel, "periodic")).sum()
        (received,) = torch.autograd.grad(loss, offsets)
        return received[:, :, 0].square().flatten(1).mean(1)


def check_groups(values: Mapping[str, float]) -> None:
    """Check that every group has as many channels.

    Raises:
        ArgumentError: numbers that are not whole, or channels that are no multiple of the groups.
    """
    channels, groups = values["C"], values["G"]
    if not (float(channels).is_integer() and float(groups).is_integer() and channels % groups == 0):
        raise ArgumentError("C", expected=f"a whole multiple of the number of groups G = {groups:g}", received=channels)
