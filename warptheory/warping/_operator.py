"""Gather and scatter, closed under differentiation.

With p = n + ε, α derivatives along each axis, and Σ_c over the channels that share an offset:

    ∂/∂εᵢ gather_α(x)  = gather_{α+eᵢ}(x)         adjoint of gather_α in x:   scatter_α
    ∂/∂εᵢ scatter_α(g) = scatter_{α+eᵢ}(g)        adjoint of scatter_α in g:  gather_α

so the derivatives of any order, backward and forward, are again gathers and scatters. One more
operator, `gradients`, is the pair (scatter_0(g), Σ_c g·gather_{eᵢ}(x)) in a single pass, because that is
what training computes; its own derivatives come from the table above.
"""

import functools
import operator
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from warptheory.warping._autograd import MaybeTensors, Operator, Options
from warptheory.warping._dispatch import engine_for
from warptheory.warping._options import WarpOptions
from warptheory.warping.engines.layout import empty_image, empty_offsets
from warptheory.warping.interpolation import Orders
from warptheory.warping.reference import raised, sum_channels
from warptheory.warping.shapes import GridTensor, GroupedOffsets, ImageTensor

_WORDS = "str kernel, str boundary, str knot, str backend"


def gather(x: ImageTensor, offsets: Float[Tensor, "B *GdT"], orders: Orders, options: WarpOptions) -> GridTensor:
    """Compute (∂ᵅW x)[n] = Σₘ ∂ᵅk(p(n) − m) x[m], differentiably; `orders` is α."""
    found: Tensor = _GATHER(x, offsets, options=(orders, *options))
    return found


def scatter(
    g: GridTensor, offsets: GroupedOffsets, size: Sequence[int], orders: Orders, options: WarpOptions
) -> ImageTensor:
    """Compute (∂ᵅWᵀg)[m] = Σₙ ∂ᵅk(p(n) − m) g[n], differentiably; `orders` is α."""
    found: Tensor = _SCATTER(g, offsets, options=(size, orders, *options))
    return found


def gradients(
    g: GridTensor, x: ImageTensor, offsets: GroupedOffsets, needs: tuple[bool, bool], options: WarpOptions
) -> tuple[Tensor, Tensor]:
    """Compute Wᵀg and ∂L/∂εᵢ = Σ_c g_c ∂ᵢWx_c in one pass, differentiably; empty tensors for what is not needed."""
    found: tuple[Tensor, Tensor] = _GRADIENTS(g, x, offsets, options=(*needs, *options))
    return found


class _Gather(Operator):
    name, tensors = "gather", 2
    schema = f"(Tensor x, Tensor offsets, int[] orders, {_WORDS}) -> Tensor"

    def compute(self, *arguments: Any) -> Tensor:
        x, offsets, orders, *words = arguments
        options = WarpOptions(*words)
        interpolation = options.interpolation()
        engine = engine_for(x, offsets, interpolation, options.backend or None)
        return engine.gather(x, offsets, interpolation, tuple(orders))

    def shaped(self, *arguments: Any) -> Tensor:
        x, offsets, *_ = arguments
        return empty_image(x, offsets.shape[3:])

    def backward(
        self, cotangents: MaybeTensors, tensors: Sequence[Tensor], options: Options, needs: Sequence[bool]
    ) -> MaybeTensors:
        (g,), (x, offsets), (orders, words) = cotangents, tensors, _split(options)
        assert g is not None
        if not any(orders):
            found = gradients(g, x, offsets, (needs[0], needs[1]), words)
            return [part if need else None for part, need in zip(found, needs, strict=True)]
        dx = scatter(g, offsets, x.shape[2:], orders, words) if needs[0] else None
        return dx, _offset_gradient(g, x, offsets, orders, words) if needs[1] else None

    def forward(self, tangents: MaybeTensors, tensors: Sequence[Tensor], options: Options) -> Tensor:
        (dx, doffsets), (x, offsets), (orders, words) = tangents, tensors, _split(options)
        terms = []
        if dx is not None:
            terms.append(gather(dx, offsets, orders, words))
        if doffsets is not None:
            terms.append(_gather_along(doffsets, x, offsets, orders, words))
        return _total(terms)


class _Scatter(Operator):
    name, tensors = "scatter", 2
    schema = f"(Tensor g, Tensor offsets, SymInt[] size, int[] orders, {_WORDS}) -> Tensor"

    def compute(self, *arguments: Any) -> Tensor:
        g, offsets, size, orders, *words = arguments
        options = WarpOptions(*words)
        interpolation = options.interpolation()
        engine = engine_for(g, offsets, interpolation, options.backend or None, size)
        return engine.scatter(g, offsets, size, interpolation, tuple(orders))

    def shaped(self, *arguments: Any) -> Tensor:
        g, _, size, *_ = arguments
        return empty_image(g, size)

    def backward(
        self, cotangents: MaybeTensors, tensors: Sequence[Tensor], options: Options, needs: Sequence[bool]
    ) -> MaybeTensors:
        (u,), (g, offsets), (orders, words) = cotangents, tensors, _split(options[1:])
        assert u is not None
        return _scatter_backward(u, g, offsets, orders, words, needs)

    def forward(self, tangents: MaybeTensors, tensors: Sequence[Tensor], options: Options) -> Tensor:
        (g, offsets), (orders, words) = tensors, _split(options[1:])
        return _scatter_forward(tangents, g, offsets, options[0], orders, words)


class _Gradients(Operator):
    name, tensors = "gradients", 3
    schema = f"(Tensor g, Tensor x, Tensor offsets, bool needs_x, bool needs_offsets, {_WORDS}) -> (Tensor, Tensor)"

    def compute(self, *arguments: Any) -> tuple[Tensor, Tensor]:
        g, x, offsets, needs_x, needs_offsets, *words = arguments
        options = WarpOptions(*words)
        interpolation = options.interpolation()
        engine = engine_for(x, offsets, interpolation, options.backend or None)
        image, field = engine.gradients(g, x, offsets, interpolation, (needs_x, needs_offsets))
        return _nothing(x) if image is None else image, _nothing(x) if field is None else field

    def shaped(self, *arguments: Any) -> tuple[Tensor, Tensor]:
        _, x, offsets, needs_x, needs_offsets, *_ = arguments
        image = empty_image(x, x.shape[2:]) if needs_x else _nothing(x)
        return image, empty_offsets(offsets) if needs_offsets else _nothing(x)

    def backward(
        self, cotangents: MaybeTensors, tensors: Sequence[Tensor], options: Options, needs: Sequence[bool]
    ) -> MaybeTensors:
        """Differentiate ⟨u, Wᵀg⟩ + Σᵢ⟨vᵢ, Σ_c g_c ∂ᵢWx_c⟩ in g, x and ε."""
        u, v = (each if need else None for each, need in zip(cotangents, options, strict=False))
        (g, x, offsets), words = tensors, WarpOptions(*options[2:])
        zero = (0,) * offsets.shape[2]
        found: list[list[Tensor]] = [[], [], []]
        if u is not None:
            parts = _scatter_backward(u, g, offsets, zero, words, (needs[0], needs[2]))
            for place, part in zip((0, 2), parts, strict=True):
                if part is not None:
                    found[place].append(part)
        if v is not None:
            if needs[0]:
                found[0].append(_gather_along(v, x, offsets, zero, words))
            if needs[1]:
                found[1].append(_scatter_along(v, g, offsets, x.shape[2:], zero, words))
            if needs[2]:
                found[2] += _second_derivatives(v, g, x, offsets, words)
        return [_total(terms) if terms else None for terms in found]

    def forward(self, tangents: MaybeTensors, tensors: Sequence[Tensor], options: Options) -> tuple[Tensor, Tensor]:
        dg, dx, doffsets = tangents
        (g, x, offsets), (needs_x, needs_offsets, *words) = tensors, options
        names, zero = WarpOptions(*words), (0,) * offsets.shape[2]
        image = torch.zeros_like(x) if needs_x else _nothing(x)
        field = torch.zeros_like(offsets) if needs_offsets else _nothing(x)
        if needs_x and (dg is not None or doffsets is not None):
            image = _scatter_forward((dg, doffsets), g, offsets, x.shape[2:], zero, names)
        if needs_offsets:
            pairs = [(dg, x)] if dg is not None else []
            pairs += [(g, dx)] if dx is not None else []
            terms = [gradients(*pair, offsets, (False, True), names)[1] for pair in pairs]
            if doffsets is not None:
                terms += _second_derivatives(doffsets, g, x, offsets, names)
            field = _total(terms) if terms else field
        return image, field


# ---- the table of the module's docstring ------------------------------------------------------------


def _scatter_backward(
    u: Tensor, g: Tensor, offsets: Tensor, orders: Orders, options: WarpOptions, needs: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None]:
    dg = gather(u, offsets, orders, options) if needs[0] else None
    if not needs[1]:
        return dg, None
    if any(orders):
        return dg, _offset_gradient(g, u, offsets, orders, options)
    return dg, gradients(g, u, offsets, (False, True), options)[1]


def _scatter_forward(
    tangents: MaybeTensors, g: Tensor, offsets: Tensor, size: Sequence[int], orders: Orders, options: WarpOptions
) -> Tensor:
    dg, doffsets = tangents
    terms = []
    if dg is not None:
        terms.append(scatter(dg, offsets, size, orders, options))
    if doffsets is not None:
        terms.append(_scatter_along(doffsets, g, offsets, size, orders, options))
    return _total(terms)


def _offset_gradient(g: Tensor, x: Tensor, offsets: Tensor, orders: Orders, options: WarpOptions) -> Tensor:
    """Differentiate ⟨g, gather_α(x)⟩ in the offsets."""
    parts = [sum_channels(g * gather(x, offsets, each, options), offsets) for each in raised(orders)]
    return torch.stack(parts, dim=2).to(offsets.dtype)


def _gather_along(tangent: Tensor, x: Tensor, offsets: Tensor, orders: Orders, options: WarpOptions) -> Tensor:
    """Differentiate gather_α(x) in the offsets, along a tangent."""
    parts = [
        _spread(tangent, axis, x.shape[1]) * gather(x, offsets, each, options)
        for axis, each in enumerate(raised(orders))
    ]
    return _total(parts).to(x.dtype)


def _scatter_along(
    tangent: Tensor, g: Tensor, offsets: Tensor, size: Sequence[int], orders: Orders, options: WarpOptions
) -> Tensor:
    """Differentiate scatter_α(g) in the offsets, along a tangent; also the adjoint of `_gather_along` in x."""
    parts = [
        scatter((_spread(tangent, axis, g.shape[1]) * g).to(g.dtype), offsets, size, each, options)
        for axis, each in enumerate(raised(orders))
    ]
    return _total(parts)


def _second_derivatives(tangent: Tensor, g: Tensor, x: Tensor, offsets: Tensor, options: WarpOptions) -> list[Tensor]:
    """Differentiate ⟨g, W x⟩ twice in the offsets, once along a tangent; one term for each axis of this."""
    return [
        _offset_gradient((_spread(tangent, axis, x.shape[1]) * g).to(g.dtype), x, offsets, each, options)
        for axis, each in enumerate(raised((0,) * offsets.shape[2]))
    ]


def _split(options: Options) -> tuple[Orders, WarpOptions]:
    orders, *words = options
    return tuple(orders), WarpOptions(*words)


def _spread(tangent: Tensor, axis: int, channels: int) -> Tensor:
    """Repeat component `axis` of offsets (B, G, d, *T) for every channel: (B, C, *T)."""
    return tangent[:, :, axis].repeat_interleave(channels // tangent.shape[1], dim=1)


def _total(terms: list[Tensor]) -> Tensor:
    return functools.reduce(operator.add, terms)


def _nothing(like: Tensor) -> Tensor:
    """Return the stand-in for a gradient that is not needed: operators cannot return None."""
    return like.new_empty(0)


_GATHER, _SCATTER, _GRADIENTS = _Gather(), _Scatter(), _Gradients()
