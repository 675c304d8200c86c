"""Gather and scatter, registered with torch and closed under differentiation.

With p = n + ε, α derivatives along each axis, and Σ_c over the channels that share an offset:

    ∂/∂εᵢ gather_α(x)  = gather_{α+eᵢ}(x)         adjoint of gather_α in x:   scatter_α
    ∂/∂εᵢ scatter_α(g) = scatter_{α+eᵢ}(g)        adjoint of scatter_α in g:  gather_α

so the derivatives of any order, backward and forward, are again gathers and scatters. One more
operator, `gradients`, is the pair (scatter_0(g), Σ_c g·gather_{eᵢ}(x)) in a single pass, because that is
what training computes; its own derivatives come from the table above.

Each operator is registered with `torch.library` (fake kernels, backward, vmap: `torch.compile` and
`torch.export` see one node) and wrapped by a `torch.autograd.Function` that adds the forward-mode
derivative, for which `torch.library` has no hook. Plain eager calls take a shorter way to the same rules,
because on a tiny image the longer one would cost more than the work.
"""

import functools
import operator
from collections.abc import Callable, Sequence
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import kernels
from warptheory.kernels import CardinalSpline, Kernel
from warptheory.warping import _backends, boundaries
from warptheory.warping._eager import is_plain, is_traced, is_watched
from warptheory.warping._layout import empty_image, empty_offsets

Orders = tuple[int, ...]
NAMESPACE = "warptheory"


class Rule(NamedTuple):
    """How to sample, in words that torch can record.

    Attributes:
        kernel: handle of the kernel.
        boundary: name of the boundary rule.
        knot: which derivative at knots, "right" or "central".
        backend: the one asked for; an empty name leaves the choice to each call (see `_backends`).
    """

    kernel: str
    boundary: str
    knot: str
    backend: str


_own_kernels: dict[str, Kernel] = {}
_handles: dict[Kernel, str] = {}


def kernel_handle(kernel: Kernel) -> str:
    """Return a name for a kernel: its own if the catalogue has it, else one that holds in this process."""
    if kernel.name.partition("(")[0] in kernels.names() and kernels.get(kernel.name) == kernel:
        return kernel.name
    handle = _handles.setdefault(kernel, f"{kernel.name}#{len(_handles)}")
    _own_kernels[handle] = kernel
    return handle


_MOVED = ">>"


def moved_handle(handle: str, pixels: int) -> str:
    """Return a handle for the spline of a cardinal spline, moved by some pixels."""
    return f"{handle}{_MOVED}{pixels}"


@cache
def kernel_of(handle: str) -> Kernel:
    """Return the kernel of a handle."""
    if handle in _own_kernels:
        return _own_kernels[handle]
    name, _, pixels = handle.rpartition(_MOVED)
    if not name:
        return kernels.get(handle)
    cardinal = kernel_of(name)
    assert isinstance(cardinal, CardinalSpline)
    return cardinal.gathering(int(pixels))


# ---- the operators, as torch records them -----------------------------------------------------------

_SCHEMAS = {
    "gather": "(Tensor x, Tensor offsets, int[] orders, {rule}) -> Tensor",
    "scatter": "(Tensor g, Tensor offsets, SymInt[] size, int[] orders, {rule}) -> Tensor",
    "gradients": "(Tensor g, Tensor x, Tensor offsets, bool needs_x, bool needs_offsets, {rule}) -> (Tensor, Tensor)",
}
_LIBRARY = torch.library.Library(NAMESPACE, "DEF")
for _name, _schema in _SCHEMAS.items():
    _LIBRARY.define(
        _name + _schema.format(rule="str kernel, str boundary, str knot, str backend"),
        tags=(torch.Tag.needs_fixed_stride_order, torch.Tag.pt2_compliant_tag),
    )
_OPERATORS = torch.ops.warptheory


def _resolve(
    values: Tensor, offsets: Tensor, names: Sequence[str], size: Sequence[int] | None = None
) -> tuple[Rule, Kernel, ModuleType | None, ModuleType]:
    """Return the rule, its kernel, the fast backend of a call if it has one, and who takes what that does not.

    `size` is that of the image, where `values` are what is scattered into it.
    """
    rule = Rule(*names)
    kernel = kernel_of(rule.kernel)
    name = _backends.name_of_choice(values, offsets, kernel, rule.backend or None, size)
    has_fast = name != _backends.REFERENCE and _backends.is_fast_kernel(kernel)
    return rule, kernel, _backends.load(name) if has_fast else None, _backends.load_general(name)


def _raising(orders: Sequence[int]) -> dict[str, Sequence[int]]:
    """Return the keyword of derivatives, which only backends with derivatives of their own know."""
    return {"orders": orders} if any(orders) else {}


def _gather(x: Tensor, offsets: Tensor, orders: Sequence[int], *names: str) -> Tensor:
    rule, kernel, backend, general = _resolve(x, offsets, names)
    if backend is not None and backend.computes(orders, rule.knot):
        return backend.gather(x, offsets, rule.boundary, **_raising(orders))
    found = general.gather(x, offsets, kernel, boundaries.get(rule.boundary), tuple(orders), rule.knot)
    return _laid_out(found, like=x)


def _scatter(g: Tensor, offsets: Tensor, size: Sequence[int], orders: Sequence[int], *names: str) -> Tensor:
    rule, kernel, backend, general = _resolve(g, offsets, names, size)
    if backend is not None and backend.computes(orders, rule.knot):
        return backend.scatter(g, offsets, size, rule.boundary, **_raising(orders))
    found = general.scatter(g, offsets, size, kernel, boundaries.get(rule.boundary), tuple(orders), rule.knot)
    return _laid_out(found, like=g)


def _gradients(
    g: Tensor, x: Tensor, offsets: Tensor, needs_x: bool, needs_offsets: bool, *names: str
) -> tuple[Tensor, Tensor]:
    rule, _, backend, _ = _resolve(x, offsets, names)
    if backend is not None:
        found = backend.gradients(g, x, offsets, rule.boundary, rule.knot, needs_x, needs_offsets)
        return _given(found[0], x), _given(found[1], x)
    return _gradients_by_gathers(g, x, offsets, needs_x, needs_offsets, rule)


def _gradients_by_gathers(
    g: Tensor, x: Tensor, offsets: Tensor, needs_x: bool, needs_offsets: bool, rule: Rule
) -> tuple[Tensor, Tensor]:
    image_gradient, offset_gradient = _nothing(x), _nothing(x)
    zero = (0,) * offsets.shape[2]
    if needs_x:
        found = _scatter(g, offsets, x.shape[2:], zero, *rule)
        image_gradient = _laid_out(found, like=x)
    if needs_offsets:
        parts = [_sum_channels(g * _gather(x, offsets, raised, *rule), offsets) for raised in _raised(zero)]
        offset_gradient = empty_offsets(offsets).copy_(torch.stack(parts, dim=2))
    return image_gradient, offset_gradient


def _laid_out(found: Tensor, like: Tensor) -> Tensor:
    """Return a result in the layout that `empty_image` promises for it."""
    promised = empty_image(like, found.shape[2:])
    return found if found.stride() == promised.stride() else promised.copy_(found)


def _given(part: Tensor | None, like: Tensor) -> Tensor:
    return _nothing(like) if part is None else part


def _nothing(like: Tensor) -> Tensor:
    """Return the stand-in for a gradient that is not needed: operators cannot return None."""
    return like.new_empty(0)


for _name, _implementation in {"gather": _gather, "scatter": _scatter, "gradients": _gradients}.items():
    _LIBRARY.impl(_name, _implementation, "CPU")
    _LIBRARY.impl(_name, _implementation, "CUDA")


@torch.library.register_fake(f"{NAMESPACE}::gather", lib=_LIBRARY)
def _fake_gather(x: Tensor, offsets: Tensor, orders: Sequence[int], *names: str) -> Tensor:
    return empty_image(x, offsets.shape[3:])


@torch.library.register_fake(f"{NAMESPACE}::scatter", lib=_LIBRARY)
def _fake_scatter(g: Tensor, offsets: Tensor, size: Sequence[int], orders: Sequence[int], *names: str) -> Tensor:
    return empty_image(g, size)


@torch.library.register_fake(f"{NAMESPACE}::gradients", lib=_LIBRARY)
def _fake_gradients(
    g: Tensor, x: Tensor, offsets: Tensor, needs_x: bool, needs_offsets: bool, *names: str
) -> tuple[Tensor, Tensor]:
    return (
        empty_image(x, x.shape[2:]) if needs_x else _nothing(x),
        empty_offsets(offsets) if needs_offsets else _nothing(x),
    )


# ---- the operators, as the library calls them -------------------------------------------------------


def gather(
    x: Float[Tensor, "B C *S"], offsets: Float[Tensor, "B *GdT"], orders: Orders, rule: Rule
) -> Float[Tensor, "B C *T"]:
    """Compute (∂ᵅW x)[n] = Σₘ ∂ᵅk(p(n) − m) x[m], differentiably; `orders` is α.

    Offsets of a single group may come without the group's axis, as (B, d, *T).
    """
    # torch.compile traces no Function with a forward-mode rule, and needs none.
    if is_traced():
        return _OPERATORS.gather(x, _grouped(offsets, x), orders, *rule)
    if torch._C._are_functorch_transforms_active():
        return _Gather.apply(x, _grouped(offsets, x), orders, rule)
    if is_plain(x, offsets) and not is_watched(x, offsets):
        return _gather(x, _grouped(offsets, x), orders, *rule)
    return _EagerGather.apply(x, offsets, orders, rule)


def _grouped(offsets: Tensor, like: Tensor) -> Tensor:
    return offsets if offsets.ndim > like.ndim else offsets.unsqueeze(1)


def scatter(
    g: Float[Tensor, "B C *T"], offsets: Float[Tensor, "B G d *T"], size: Sequence[int], orders: Orders, rule: Rule
) -> Float[Tensor, "B C *S"]:
    """Compute (∂ᵅWᵀg)[m] = Σₙ ∂ᵅk(p(n) − m) g[n], differentiably; `orders` is α."""
    if is_traced():
        return _OPERATORS.scatter(g, offsets, size, orders, *rule)
    if torch._C._are_functorch_transforms_active():
        return _Scatter.apply(g, offsets, size, orders, rule)
    if is_plain(g, offsets) and not is_watched(g, offsets):
        return _scatter(g, offsets, size, orders, *rule)
    return _EagerScatter.apply(g, offsets, size, orders, rule)


def gradients(
    g: Float[Tensor, "B C *T"],
    x: Float[Tensor, "B C *S"],
    offsets: Float[Tensor, "B G d *T"],
    needs: tuple[bool, bool],
    rule: Rule,
) -> tuple[Tensor, Tensor]:
    """Compute Wᵀg and ∂L/∂εᵢ = Σ_c g_c ∂ᵢWx_c in one pass, differentiably; empty tensors for what is not needed."""
    if is_traced():
        return _OPERATORS.gradients(g, x, offsets, *needs, *rule)
    if torch._C._are_functorch_transforms_active():
        return _Gradients.apply(g, x, offsets, needs, rule)
    if is_plain(g, x, offsets) and not is_watched(g, x, offsets):
        return _gradients(g, x, offsets, *needs, *rule)
    return _EagerGradients.apply(g, x, offsets, needs, rule)


def _raised(orders: Orders) -> list[Orders]:
    """Return α + eᵢ for every axis i."""
    return [tuple(order + (axis == raised) for axis, order in enumerate(orders)) for raised in range(len(orders))]


def _sum_channels(values: Tensor, offsets: Tensor) -> Tensor:
    """Sum (B, C, *T) over the channels that share an offset: (B, G, *T)."""
    batch, channels, *grid = values.shape
    groups = offsets.shape[1]
    return values.reshape(batch, groups, channels // groups, *grid).sum(2)


def _spread(tangent: Tensor, axis: int, channels: int) -> Tensor:
    """Repeat component `axis` of offsets (B, G, d, *T) for every channel: (B, C, *T)."""
    return tangent[:, :, axis].repeat_interleave(channels // tangent.shape[1], dim=1)


def _total(terms: list[Tensor]) -> Tensor:
    return functools.reduce(operator.add, terms)


# ---- derivatives, each rule once --------------------------------------------------------------------


def _gather_backward(
    g: Tensor, x: Tensor, offsets: Tensor, orders: Orders, rule: Rule, needs: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    if not any(orders):
        found = gradients(g, x, offsets, needs, rule)
        return (found[0] if needs[0] else None, found[1] if needs[1] else None)
    dx = scatter(g, offsets, x.shape[2:], orders, rule) if needs[0] else None
    return dx, _offset_gradient(g, x, offsets, orders, rule) if needs[1] else None


def _offset_gradient(g: Tensor, x: Tensor, offsets: Tensor, orders: Orders, rule: Rule) -> Tensor:
    parts = [_sum_channels(g * gather(x, offsets, raised, rule), offsets) for raised in _raised(orders)]
    return torch.stack(parts, dim=2).to(offsets.dtype)


def _along(tangent: Tensor, x: Tensor, offsets: Tensor, orders: Orders, rule: Rule) -> Tensor:
    """Differentiate gather_α(x) in the offsets, along a tangent."""
    parts = [
        _spread(tangent, axis, x.shape[1]) * gather(x, offsets, raised, rule)
        for axis, raised in enumerate(_raised(orders))
    ]
    return _total(parts).to(x.dtype)


def _scatter_along(
    tangent: Tensor, g: Tensor, offsets: Tensor, size: Sequence[int], orders: Orders, rule: Rule
) -> Tensor:
    """Differentiate scatter_α(g) in the offsets, along a tangent; also the adjoint of `_along` in x."""
    parts = [
        scatter((_spread(tangent, axis, g.shape[1]) * g).to(g.dtype), offsets, size, raised, rule)
        for axis, raised in enumerate(_raised(orders))
    ]
    return _total(parts)


def _gather_forward(
    x: Tensor, offsets: Tensor, tangents: tuple[Tensor | None, Tensor | None], orders: Orders, rule: Rule
) -> Tensor:
    dx, doffsets = tangents
    terms = []
    if dx is not None:
        terms.append(gather(dx, offsets, orders, rule))
    if doffsets is not None:
        terms.append(_along(doffsets, x, offsets, orders, rule))
    return _total(terms)


def _scatter_backward(
    u: Tensor, g: Tensor, offsets: Tensor, orders: Orders, rule: Rule, needs: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    dg = gather(u, offsets, orders, rule) if needs[0] else None
    if not needs[1]:
        return dg, None
    if any(orders):
        return dg, _offset_gradient(g, u, offsets, orders, rule)
    return dg, gradients(g, u, offsets, (False, True), rule)[1]


def _scatter_forward(
    g: Tensor,
    offsets: Tensor,
    tangents: tuple[Tensor | None, Tensor | None],
    size: Sequence[int],
    orders: Orders,
    rule: Rule,
) -> Tensor:
    dg, doffsets = tangents
    terms = []
    if dg is not None:
        terms.append(scatter(dg, offsets, size, orders, rule))
    if doffsets is not None:
        terms.append(_scatter_along(doffsets, g, offsets, size, orders, rule))
    return _total(terms)


def _gradients_backward(
    cotangents: tuple[Tensor | None, Tensor | None],
    g: Tensor,
    x: Tensor,
    offsets: Tensor,
    rule: Rule,
    needs: tuple[bool, bool, bool],
) -> list[Tensor | None]:
    """Differentiate ⟨u, Wᵀg⟩ + Σᵢ⟨vᵢ, Σ_c g_c ∂ᵢWx_c⟩ in g, x and ε."""
    u, v = cotangents
    zero = (0,) * offsets.shape[2]
    found: list[list[Tensor]] = [[], [], []]
    if u is not None:
        for place, part in zip((0, 2), _scatter_backward(u, g, offsets, zero, rule, (needs[0], needs[2])), strict=True):
            if part is not None:
                found[place].append(part)
    if v is not None:
        if needs[0]:
            found[0].append(_along(v, x, offsets, zero, rule))
        if needs[1]:
            found[1].append(_scatter_along(v, g, offsets, x.shape[2:], zero, rule))
        if needs[2]:
            for axis, raised in enumerate(_raised(zero)):
                weighted = (_spread(v, axis, x.shape[1]) * g).to(g.dtype)
                found[2].append(_offset_gradient(weighted, x, offsets, raised, rule))
    return [_total(terms) if terms else None for terms in found]


def _gradients_forward(
    g: Tensor,
    x: Tensor,
    offsets: Tensor,
    tangents: tuple[Tensor | None, Tensor | None, Tensor | None],
    needs: tuple[bool, bool],
    rule: Rule,
) -> tuple[Tensor, Tensor]:
    dg, dx, doffsets = tangents
    zero = (0,) * offsets.shape[2]
    images: list[Tensor] = []
    fields: list[Tensor] = []
    if needs[0] and (dg is not None or doffsets is not None):
        images.append(_scatter_forward(g, offsets, (dg, doffsets), x.shape[2:], zero, rule))
    if needs[1]:
        if dg is not None:
            fields.append(gradients(dg, x, offsets, (False, True), rule)[1])
        if dx is not None:
            fields.append(gradients(g, dx, offsets, (False, True), rule)[1])
        if doffsets is not None:
            for axis, raised in enumerate(_raised(zero)):
                weighted = (_spread(doffsets, axis, x.shape[1]) * g).to(g.dtype)
                fields.append(_offset_gradient(weighted, x, offsets, raised, rule))
    image = _total(images) if images else (torch.zeros_like(x) if needs[0] else _nothing(x))
    field = _total(fields) if fields else (torch.zeros_like(offsets) if needs[1] else _nothing(x))
    return image, field


# ---- the same rules, told to autograd, to forward mode and to vmap ----------------------------------


def _over_batches(
    batch_size: int, in_dims: Sequence[Any], tensors: Sequence[Tensor], call: Callable[..., Any]
) -> tuple[Any, Any]:
    """Fold the mapped axis into the batch, call, and unfold: every operator treats its batch independently."""
    folded = []
    for tensor, axis in zip(tensors, in_dims, strict=False):
        mapped = tensor.expand(batch_size, *tensor.shape) if axis is None else tensor.movedim(axis, 0)
        folded.append(mapped.flatten(0, 1))
    found = call(*folded)
    parts = found if isinstance(found, tuple) else (found,)
    # A gradient that is not needed is an empty vector, the same for all.
    unfolded = [
        part.unflatten(0, (batch_size, part.shape[0] // batch_size)) if part.ndim > 1 else part for part in parts
    ]
    out_dims = [0 if part.ndim > 1 else None for part in parts]
    return (tuple(unfolded), tuple(out_dims)) if isinstance(found, tuple) else (unfolded[0], out_dims[0])


def _save(ctx: Any, *tensors: Tensor) -> None:
    ctx.save_for_backward(*tensors)
    if _has_tangents():
        ctx.save_for_forward(*tensors)


def _has_tangents() -> bool:
    """Return whether forward-mode derivatives may be under way."""
    return torch.autograd.forward_ad._current_level >= 0 or torch._C._are_functorch_transforms_active()


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, offsets: Tensor, orders: Orders, rule: Rule) -> Tensor:
        return _OPERATORS.gather(x, offsets, orders, *rule)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, offsets, ctx.orders, ctx.rule = inputs
        ctx.set_materialize_grads(False)
        _save(ctx, x, offsets)

    @staticmethod
    def backward(ctx: Any, g: Tensor | None) -> tuple[Tensor | None, ...]:
        if g is None:
            return None, None, None, None
        x, offsets = ctx.saved_tensors
        return *_gather_backward(g, x, offsets, ctx.orders, ctx.rule, ctx.needs_input_grad[:2]), None, None

    @staticmethod
    def jvp(ctx: Any, dx: Tensor | None, doffsets: Tensor | None, *_: Any) -> Tensor:
        x, offsets = ctx.saved_tensors
        return _gather_forward(x, offsets, (dx, doffsets), ctx.orders, ctx.rule)

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Tensor, offsets: Tensor, orders: Orders, rule: Rule) -> tuple[Any, Any]:
        return _over_batches(
            info.batch_size, in_dims, (x, offsets), lambda x, offsets: gather(x, offsets, orders, rule)
        )


class _Scatter(torch.autograd.Function):
    @staticmethod
    def forward(g: Tensor, offsets: Tensor, size: Sequence[int], orders: Orders, rule: Rule) -> Tensor:
        return _OPERATORS.scatter(g, offsets, size, orders, *rule)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        g, offsets, ctx.size, ctx.orders, ctx.rule = inputs
        ctx.set_materialize_grads(False)
        _save(ctx, g, offsets)

    @staticmethod
    def backward(ctx: Any, u: Tensor | None) -> tuple[Tensor | None, ...]:
        if u is None:
            return None, None, None, None, None
        g, offsets = ctx.saved_tensors
        return *_scatter_backward(u, g, offsets, ctx.orders, ctx.rule, ctx.needs_input_grad[:2]), None, None, None

    @staticmethod
    def jvp(ctx: Any, dg: Tensor | None, doffsets: Tensor | None, *_: Any) -> Tensor:
        g, offsets = ctx.saved_tensors
        return _scatter_forward(g, offsets, (dg, doffsets), ctx.size, ctx.orders, ctx.rule)

    @staticmethod
    def vmap(
        info: Any, in_dims: Any, g: Tensor, offsets: Tensor, size: Sequence[int], orders: Orders, rule: Rule
    ) -> tuple[Any, Any]:
        return _over_batches(
            info.batch_size, in_dims, (g, offsets), lambda g, offsets: scatter(g, offsets, size, orders, rule)
        )


class _Gradients(torch.autograd.Function):
    @staticmethod
    def forward(g: Tensor, x: Tensor, offsets: Tensor, needs: tuple[bool, bool], rule: Rule) -> tuple[Tensor, Tensor]:
        return _OPERATORS.gradients(g, x, offsets, *needs, *rule)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        g, x, offsets, ctx.needs, ctx.rule = inputs
        ctx.set_materialize_grads(False)
        _save(ctx, g, x, offsets)

    @staticmethod
    def backward(ctx: Any, u: Tensor | None, v: Tensor | None) -> tuple[Tensor | None, ...]:
        cotangents = (u if ctx.needs[0] else None, v if ctx.needs[1] else None)
        g, x, offsets = ctx.saved_tensors
        return *_gradients_backward(cotangents, g, x, offsets, ctx.rule, ctx.needs_input_grad[:3]), None, None

    @staticmethod
    def jvp(ctx: Any, dg: Tensor | None, dx: Tensor | None, doffsets: Tensor | None, *_: Any) -> tuple[Tensor, Tensor]:
        g, x, offsets = ctx.saved_tensors
        return _gradients_forward(g, x, offsets, (dg, dx, doffsets), ctx.needs, ctx.rule)

    @staticmethod
    def vmap(
        info: Any, in_dims: Any, g: Tensor, x: Tensor, offsets: Tensor, needs: tuple[bool, bool], rule: Rule
    ) -> tuple[Any, Any]:
        return _over_batches(
            info.batch_size, in_dims, (g, x, offsets), lambda g, x, offsets: gradients(g, x, offsets, needs, rule)
        )


# torch inspects the signature of every Function with a separate `setup_context`, at every call, and
# dispatches every registered operator through Python several times. Where no transformation and no
# tracing is active, the Functions below do without both.


class _EagerGather(torch.autograd.Function):
    # The axis of a single group is added in here: one node less for autograd.
    @staticmethod
    def forward(ctx: Any, x: Tensor, offsets: Tensor, orders: Orders, rule: Rule) -> Tensor:
        call = _gather if is_plain(x, offsets) else _OPERATORS.gather
        y = call(x, _grouped(offsets, x), orders, *rule)
        _Gather.setup_context(ctx, (x, offsets, orders, rule), y)
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor | None) -> tuple[Tensor | None, ...]:
        if g is None:
            return None, None, None, None
        x, offsets = ctx.saved_tensors
        needs = ctx.needs_input_grad[:2]
        dx, doffsets = _gather_backward(g, x, _grouped(offsets, x), ctx.orders, ctx.rule, needs)
        return dx, None if doffsets is None else doffsets.view(offsets.shape), None, None

    @staticmethod
    def jvp(ctx: Any, dx: Tensor | None, doffsets: Tensor | None, *_: Any) -> Tensor:
        x, offsets = ctx.saved_tensors
        tangents = (dx, None if doffsets is None else _grouped(doffsets, x))
        return _gather_forward(x, _grouped(offsets, x), tangents, ctx.orders, ctx.rule)


class _EagerScatter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, g: Tensor, offsets: Tensor, size: Sequence[int], orders: Orders, rule: Rule) -> Tensor:
        call = _scatter if is_plain(g, offsets) else _OPERATORS.scatter
        found = call(g, offsets, size, orders, *rule)
        _Scatter.setup_context(ctx, (g, offsets, size, orders, rule), found)
        return found

    backward = _Scatter.backward
    jvp = _Scatter.jvp


class _EagerGradients(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, g: Tensor, x: Tensor, offsets: Tensor, needs: tuple[bool, bool], rule: Rule
    ) -> tuple[Tensor, Tensor]:
        call = _gradients if is_plain(g, x, offsets) else _OPERATORS.gradients
        found = call(g, x, offsets, *needs, *rule)
        _Gradients.setup_context(ctx, (g, x, offsets, needs, rule), found)
        return found

    backward = _Gradients.backward
    jvp = _Gradients.jvp


def _save_gather(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, offsets, ctx.orders, *names = inputs
    ctx.rule = Rule(*names)
    ctx.save_for_backward(x, offsets)


def _registered_gather_backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
    x, offsets = ctx.saved_tensors
    found = _gather_backward(g, x, offsets, tuple(ctx.orders), ctx.rule, ctx.needs_input_grad[:2])
    return *found, None, None, None, None, None


def _save_scatter(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    g, offsets, _, ctx.orders, *names = inputs
    ctx.rule = Rule(*names)
    ctx.save_for_backward(g, offsets)


def _registered_scatter_backward(ctx: Any, u: Tensor) -> tuple[Any, ...]:
    g, offsets = ctx.saved_tensors
    found = _scatter_backward(u, g, offsets, tuple(ctx.orders), ctx.rule, ctx.needs_input_grad[:2])
    return *found, None, None, None, None, None, None


def _save_gradients(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    g, x, offsets, *needs, kernel, boundary, knot, backend = inputs
    ctx.needs, ctx.rule = needs, Rule(kernel, boundary, knot, backend)
    ctx.save_for_backward(g, x, offsets)


def _registered_gradients_backward(ctx: Any, u: Tensor | None, v: Tensor | None) -> tuple[Any, ...]:
    cotangents = (u if ctx.needs[0] else None, v if ctx.needs[1] else None)
    g, x, offsets = ctx.saved_tensors
    found = _gradients_backward(cotangents, g, x, offsets, ctx.rule, ctx.needs_input_grad[:3])
    return *found, None, None, None, None, None, None


torch.library.register_autograd(
    f"{NAMESPACE}::gather", _registered_gather_backward, setup_context=_save_gather, lib=_LIBRARY
)
torch.library.register_autograd(
    f"{NAMESPACE}::scatter", _registered_scatter_backward, setup_context=_save_scatter, lib=_LIBRARY
)
torch.library.register_autograd(
    f"{NAMESPACE}::gradients", _registered_gradients_backward, setup_context=_save_gradients, lib=_LIBRARY
)


def _register_vmap(name: str, tensors: int) -> None:
    def rule(info: Any, in_dims: Any, *arguments: Any) -> tuple[Any, Any]:
        rest = arguments[tensors:]
        call = getattr(_OPERATORS, name)
        return _over_batches(info.batch_size, in_dims, arguments[:tensors], lambda *folded: call(*folded, *rest))

    torch.library.register_vmap(f"{NAMESPACE}::{name}", rule, lib=_LIBRARY)


for _name, _tensors in {"gather": 2, "scatter": 2, "gradients": 3}.items():
    _register_vmap(_name, _tensors)
