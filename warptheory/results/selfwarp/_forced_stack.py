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
class ForcedLayer:
    """What a layer is given, for a chunk of rows.

    Attributes:
        features: white, of deviation 1, shape (rows, C, *S).
        offsets: in pixels, shape (rows, d, *S).
        filters: of the head, a row's d components each of unit norm, shape (rows·d, C, *K).
        signs: of the branch, shape (rows, C, *S).
        mask: what the shortcut passes, shape (rows, C, *S).
    """

    features: Tensor
    offsets: Tensor
    filters: Tensor
    signs: Tensor
    mask: Tensor


@dataclass(frozen=True)
class ForcedStack:
    """Layers for one chunk of rows, and what is sent back through them.

    Attributes:
        kernel: name of the interpolation kernel.
        layers: in the order of the forward pass.
        sent: random signs, shape (rows, C, *S).
    """

    kernel: str
    layers: tuple[ForcedLayer, ...]
    sent: Tensor

    # Of a row, whose layers have one filter each: the convolution pays for every filter.
    pixels: ClassVar[Mapping[int, int]] = {1: 1024, 2: 32}

    @classmethod
    def draw(
        cls, setting: Setting, generator: np.random.Generator, rows: int, layers: int, kept: float, device: str
    ) -> "ForcedStack":
        """Draw a stack.

        Args:
            setting: kernel and number of axes.
            generator: draws features, offsets, filters, signs and masks.
            rows: how many.
            layers: their number L.
            kept: the share of values that shortcuts pass on; 0 where there is none.
            device: torch device.
        """
        dim = setting.dim
        size = (cls.pixels[dim],) * dim
        shape = (rows, CHANNELS, *size)

        def moved(values: np.ndarray) -> Tensor:
            return torch.from_numpy(values).to(device)

        def signs() -> Tensor:
            return moved(1.0 - 2.0 * generator.integers(0, 2, shape))

        def layer() -> ForcedLayer:
            filters = generator.standard_normal((rows * dim, CHANNELS * 3**dim))
            filters /= np.linalg.norm(filters, axis=1, keepdims=True)
            return ForcedLayer(
                features=moved(generator.standard_normal(shape)),
                offsets=moved(generator.uniform(-0.5, 0.5, (rows, dim, *size))),
                filters=moved(filters.reshape(rows * dim, CHANNELS, *[3] * dim)),
                signs=signs(),
                mask=moved((generator.random(shape) < kept).astype(float)),
            )

        return cls(setting.kernel, tuple(layer() for _ in range(layers)), signs())

    def gains(self, scale: float, branch: float, deviation: float) -> Tensor:
        """Return Σ|g_0|²/Σ|g_L|² of every row, by one backward pass; shape (rows,).

        Args:
            scale: α.
            branch: b, the gain of the branch in energy.
            deviation: of the pixels of the features.
        """
        entering = torch.zeros_like(self.sent, requires_grad=True)
        z = entering
        for layer in self.layers:
            y = self._warped(z - z.detach(), layer, scale, deviation)
            z = layer.mask * z + math.sqrt(branch) * layer.signs * y
        (received,) = torch.autograd.grad((self.sent * z).sum(), entering)
        return received.square().flatten(1).mean(1)

    def _warped(self, nothing: Tensor, layer: ForcedLayer, scale: float, deviation: float) -> Tensor:
        """Return the given features at the given offsets, with the derivative that a self-warp of the input has.

        Args:
            nothing: zero, with the derivative of the layer's input.
            layer: what is given.
            scale: α.
            deviation: of the pixels of the features.
        """
        rows, dim = layer.offsets.shape[:2]
        moved_by = _CONVOLUTIONS[dim](_wrapped(nothing).flatten(0, 1)[None], layer.filters, groups=rows)
        offsets = layer.offsets + scale * moved_by.reshape(layer.offsets.shape)
        return warping.warp(deviation * layer.features + nothing, offsets, self.kernel, "periodic")


def _wrapped(field: Tensor) -> Tensor:
    """Continue a field periodically by one pixel at every edge."""
    return functional.pad(field, (1, 1) * (field.ndim - 2), mode="circular")
