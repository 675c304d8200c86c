"""Layers whose features are given, and which a gradient passes all the same: the cascade, and no more.

A layer reads features x that are drawn anew, at offsets that are uniform over a pixel, by the real operator; its head
adds to these offsets, at the features as they are, zero, but has its derivative. So automatic differentiation sends the
gradient back by both ways, as a self-warp does, and forward every layer sees what it is given.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import sympy as sp
import torch
from torch import Tensor
from torch.nn import functional

from warptheory import warping
from warptheory.results._setting import PIXEL, Setting
from warptheory.symbolic import DEVIATION, IIDField, OffsetField, Variance, splat, warp_gradient

SCALE = sp.Symbol("alpha", positive=True)  # α, pixels per unit of the head's output
CHANNELS = 2  # of the features
_CONVOLUTIONS = {1: functional.conv1d, 2: functional.conv2d}


def layer_gain(setting: Setting, roughness: sp.Expr) -> sp.Expr:
    """Derive what a self-warp with a head of unit norm makes of the energy of a gradient.

    Args:
        setting: kernel and number of axes.
        roughness: the variance of the pixels of its features, which are white.

    Returns:
        E(Wᵀg)²/E g² + α² d Var ∂y, both from the algebra.
    """
    eps = OffsetField("uniform", setting.dim, scale="1/2")
    splatted = Variance(splat(IIDField("g", mean=0), eps, setting.kernel)[sp.Symbol("m", integer=True)]).doit()
    slope = Variance(warp_gradient(IIDField("x"), eps, 0, setting.kernel)[PIXEL]).doit()
    return sp.expand(splatted / DEVIATION**2 + SCALE**2 * setting.dim * slope.subs(DEVIATION, sp.sqrt(roughness)))


@dataclass(frozen=True)
class ForcedStack:
    """Layers for one chunk of rows.

    Attributes:
        setting: kernel and number of axes.
        scale: α.
        branch: b, the gain of the branch in energy.
        kept: the share of values that the shortcut passes on; 0 where there is none.
        layers: their number L.
    """

    setting: Setting
    scale: float
    branch: float
    kept: float
    layers: int

    pixels: ClassVar[Mapping[int, int]] = {1: 64, 2: 10}

    def gains(self, generator: np.random.Generator, rows: int, deviation: float, device: str) -> Tensor:
        """Return Σ|g_0|²/Σ|g_L|² of every row, by one backward pass; shape (rows,).

        Args:
            generator: draws features, offsets, weights and what is sent.
            rows: how many.
            deviation: of the pixels of the features.
            device: torch device.
        """
        dim = self.setting.dim
        shape = (rows, CHANNELS, *[self.pixels[dim]] * dim)

        def normal(*size: int) -> Tensor:
            return torch.from_numpy(generator.standard_normal(size)).to(device)

        entering = torch.zeros(shape, dtype=torch.float64, device=device, requires_grad=True)
        z = entering
        for _ in range(self.layers):
            offsets = torch.from_numpy(generator.uniform(-0.5, 0.5, (rows, dim, *shape[2:]))).to(device)
            filters = normal(rows * dim, CHANNELS, *[3] * dim)
            filters = filters / filters.flatten(1).norm(dim=1).reshape(-1, *[1] * (dim + 1))
            z = self._layer(z, deviation * normal(*shape), offsets, filters, generator)
        sent = normal(*shape)
        (received,) = torch.autograd.grad((sent * z).sum(), entering)
        return received.square().flatten(1).sum(1) / sent.square().flatten(1).sum(1).mean()

    def _layer(
        self, z: Tensor, features: Tensor, offsets: Tensor, filters: Tensor, generator: np.random.Generator
    ) -> Tensor:
        """Return what a layer passes on: its derivative is a self-warp's, its value that of the given features."""
        rows, dim = len(z), self.setting.dim
        moved = z - z.detach()
        moved_by = _CONVOLUTIONS[dim](_wrapped(moved).flatten(0, 1)[None], filters, groups=rows)
        offsets = offsets + self.scale * moved_by.reshape(offsets.shape)
        y = warping.warp(features + moved, offsets, self.setting.kernel, "periodic")
        branch = math.sqrt(self.branch) * _drawn(generator.integers(0, 2, z.shape) * 2.0 - 1, z) * y
        return _drawn(generator.random(z.shape) < self.kept, z) * z + branch


def _drawn(values: np.ndarray, like: Tensor) -> Tensor:
    return torch.from_numpy(values).to(like)


def _wrapped(field: Tensor) -> Tensor:
    """Continue a field periodically by one pixel at every edge."""
    return functional.pad(field, (1, 1) * (field.ndim - 2), mode="circular")
