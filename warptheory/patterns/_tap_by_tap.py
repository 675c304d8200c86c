"""A sampling pattern applied to numbers, holding the samples of one tap at a time, in training as well.

Where the compiled loops of `_blocks` can take a pattern, theirs are its values and its first derivatives. Elsewhere all
values are channels-last, so that the samples of a pixel are one row of a matrix product and lie side by side for the
warp, and the backward pass takes the samples of each tap again. Derivatives that are to be differentiated themselves
are those of the definition.
"""

from dataclasses import replace
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor

from warptheory.core.torch_internals import has_autocast, is_eager, is_watched
from warptheory.patterns import _blocks, _definition
from warptheory.patterns._taps import Taps


def applies(x: Tensor, pattern: Taps) -> bool:
    """Return whether a call on images (B, C, *S) is one of numbers alone, and has more than one tap or filters."""
    if pattern.taps == 1 and pattern.filters is None and pattern.weights is None:
        return False
    tensors = [each for each in (x, pattern.offsets, pattern.weights, pattern.filters) if each is not None]
    return is_eager(*tensors) and not has_autocast(x)


def sampled(x: Float[Tensor, "B C *S"], pattern: Taps) -> Float[Tensor, "B D *T"]:
    """Return what `_definition.sampled` returns, to rounding, laid out as x is."""
    tensors = (x, pattern.offsets, pattern.weights, pattern.filters)
    if is_watched(*[each for each in tensors if each is not None]):
        watched: Tensor = cast("Any", _TapByTap).apply(*tensors, pattern)
        return watched
    return _forward(x, pattern)


class _TapByTap(torch.autograd.Function):
    """(x, offsets, weights, filters) ↦ y."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, offsets: Tensor, weights: Tensor | None, filters: Tensor | None, pattern: Taps
    ) -> Tensor:
        ctx.save_for_backward(x, offsets, weights, filters)
        # Only what is no tensor is read of it later: a graph must not hold its own inputs' history.
        ctx.pattern = replace(pattern, offsets=offsets.detach(), weights=None, filters=None)
        return _forward(x, pattern)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, offsets, weights, filters = ctx.saved_tensors
        pattern = replace(ctx.pattern, offsets=offsets, weights=weights, filters=filters)
        needs = ctx.needs_input_grad[:4]
        tensors = [each for each in (g, x, offsets, weights, filters) if each is not None]
        if is_eager(*tensors) and not is_watched(*tensors):
            with torch.no_grad():
                compute = _blocks.gradients if _blocks.applies(x, pattern) else _backward
                return *compute(g, x, pattern, needs), None
        return *_differentiated(g, x, pattern, needs), None


def _forward(x: Tensor, pattern: Taps) -> Tensor:
    with torch.no_grad():
        if _blocks.applies(x, pattern):
            return _blocks.sampled(x, pattern)
        steps, weights, filters = _definition.placed(pattern), pattern.weights, pattern.filters
        image = _channels_last(x)
        total: Tensor | None = None
        for tap in range(pattern.taps):
            samples = _definition.read(image, steps[:, tap :: pattern.taps], pattern)
            total = _added(total, _weighed(samples, weights, pattern, tap), filters, pattern, tap)
        assert total is not None
        return _laid_out(total.movedim(-1, 1), like=x)


def _added(total: Tensor | None, samples: Tensor, filters: Tensor | None, pattern: Taps, tap: int) -> Tensor:
    """Add what a tap's samples (B, C, *T) give to the outcome (B, *T, D)."""
    rows = samples.movedim(1, -1)
    if filters is None:
        return rows.contiguous() if total is None else total.add_(rows)
    if pattern.groups > 1:
        mixed = _definition.mixed(samples, pattern, tap).movedim(1, -1)
        return mixed.contiguous() if total is None else total.add_(mixed)
    flat, matrix = rows.reshape(-1, rows.shape[-1]), filters[:, :, tap].T
    if total is None:
        return (flat @ matrix).reshape(*rows.shape[:-1], -1)
    total.reshape(-1, total.shape[-1]).addmm_(flat, matrix)
    return total


def _weighed(samples: Tensor, weights: Tensor | None, pattern: Taps, tap: int) -> Tensor:
    """Multiply samples (B, C, *T) that belong to nobody else by a tap's weights, in place and channels-last."""
    if weights is None:
        return samples
    rows = torch.unflatten(samples.movedim(1, -1), -1, (pattern.offset_groups, -1))
    rows.mul_(weights[:, tap :: pattern.taps].to(samples.dtype).movedim(1, -1).unsqueeze(-1))
    return samples


def _backward(g: Tensor, x: Tensor, pattern: Taps, needs: Any) -> list[Tensor | None]:
    steps, weights, filters = _definition.placed(pattern), pattern.weights, pattern.filters
    image, outcome = _channels_last(x), _channels_last(g)
    found: list[Tensor | None] = [
        torch.zeros_like(image) if needs[0] else None,
        torch.empty(steps.shape, dtype=steps.dtype, device=steps.device) if needs[1] else None,
        torch.empty(weights.shape, dtype=weights.dtype, device=x.device) if needs[2] and weights is not None else None,
        torch.empty(filters.shape, dtype=filters.dtype, device=x.device) if needs[3] and filters is not None else None,
    ]
    for tap in range(pattern.taps):
        of_tap = slice(tap, None, pattern.taps)
        with torch.enable_grad():
            read = image.detach().requires_grad_(needs[0])
            places = steps[:, of_tap].detach().requires_grad_(needs[1])
            samples = _definition.read(read, places, pattern)
        values = samples.detach()
        of_mixed = _unmixed(outcome, filters, pattern, tap)
        if found[3] is not None:
            found[3][:, :, tap] = _filter_gradient(outcome, _definition.weighed(values, pattern, tap), pattern)
        if found[2] is not None:
            products = torch.unflatten(of_mixed * values, 1, (pattern.offset_groups, -1)).sum(2)
            found[2][:, of_tap] = products.to(found[2].dtype)
        if not (needs[0] or needs[1]):
            continue
        of_samples = _definition.weighed(of_mixed, pattern, tap)
        wanted = [each for each, need in ((read, needs[0]), (places, needs[1])) if need]
        gradients = list(torch.autograd.grad(samples, wanted, of_samples))
        if found[0] is not None:
            found[0].add_(gradients.pop(0))
        if found[1] is not None:
            found[1][:, of_tap] = gradients.pop(0)
    if found[0] is not None:
        found[0] = _laid_out(found[0], like=x)
    if found[1] is not None:
        found[1] = _definition.unplaced(found[1], pattern)
    return found


def _unmixed(g: Tensor, filters: Tensor | None, pattern: Taps, tap: int) -> Tensor:
    """Return the gradient (B, C, *T), channels-last, of a tap's weighed samples, given that of the outcome."""
    if filters is None or pattern.groups > 1:
        return _definition.unmixed(g, pattern, tap)
    return (g.movedim(1, -1) @ filters[:, :, tap]).movedim(-1, 1)


def _filter_gradient(g: Tensor, samples: Tensor, pattern: Taps) -> Tensor:
    """Return the gradient (D, C/groups) of a tap's filters, given those of the outcome and the weighed samples."""
    rows, columns = (each.movedim(1, -1).flatten(0, -2) for each in (g, samples))
    if pattern.groups == 1:
        return rows.T @ columns
    by_group = (torch.unflatten(each, 1, (pattern.groups, -1)) for each in (rows, columns))
    return torch.einsum("ngo,ngi->goi", *by_group).flatten(0, 1)


def _differentiated(g: Tensor, x: Tensor, pattern: Taps, needs: Any) -> list[Tensor | None]:
    """Return the gradients that are needed by differentiating the definition; they can be differentiated again."""
    is_asked = torch.is_grad_enabled()
    with torch.enable_grad(), torch.autocast(g.device.type, enabled=False):
        # Views, so that the gradients end here and do not run on into what the inputs were made of.
        tensors = (x, pattern.offsets, pattern.weights, pattern.filters)
        views = [
            each.view_as(each) if each is not None and need else each for each, need in zip(tensors, needs, strict=True)
        ]
        x, offsets, weights, filters = cast("tuple[Tensor, Tensor, Tensor | None, Tensor | None]", tuple(views))
        y = _definition.sampled(x, replace(pattern, offsets=offsets, weights=weights, filters=filters))
        wanted = [each for each, need in zip(views, needs, strict=True) if need and each is not None]
        gradients = iter(torch.autograd.grad(y, wanted, g, create_graph=is_asked))
    return [next(gradients) if need and each is not None else None for each, need in zip(views, needs, strict=True)]


def _channels_last(values: Tensor) -> Tensor:
    """Return images (B, C, *S) whose channels lie side by side."""
    return values.movedim(1, -1).contiguous().movedim(-1, 1)


def _laid_out(found: Float[Tensor, "B D *T"], like: Tensor) -> Float[Tensor, "B D *T"]:
    """Return images (B, D, *T) channels-last if others are, else in planes."""
    is_last = like.stride(1) == 1 and like.shape[1] > 1
    return found if is_last else found.contiguous()
