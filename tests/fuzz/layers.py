"""Cases of the layers that have loops of their own: convolutions with few outputs, and self-warps in one pass."""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.fuzz.draws import Draws
from tests.fuzz.operators import MismatchError
from warptheory.core.tolerances import rounding
from warptheory.operators import SelfWarp1d, SelfWarp2d, self_warp
from warptheory.operators._thin_convolution import ThinConvolution2d
from warptheory.warping import boundaries

# Numbers of filters and their sizes; each pair is compiled once.
_FILTERS = ((2, 3), (3, 5), (8, 3), (1, 1))
_LAYOUTS = ("contiguous", "channels last", "transposed", "strided", "reversed axes", "expanded", "unaligned")


def convolution_case(draws: Draws) -> None:
    """Draw a convolution and its derivatives: those of torch in float64, and torch's refusal where it refuses."""
    outputs, size = draws.choice(_FILTERS)
    channels = draws.choice((1, 2, 3, 7, 16, 17, 33), (3, 3, 2, 2, 3, 2, 1))
    layer = ThinConvolution2d(channels, outputs, size)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(draws.normal(layer.weight.shape)))
        layer.bias.copy_(torch.from_numpy(draws.normal(layer.bias.shape)))
    shape = (0 if draws.chance(0.03) else draws.integer(1, 3), channels, draws.integer(1, 20), draws.integer(1, 20))
    wrong = draws.chance(0.06)
    if wrong:
        shape = draws.choice((shape[1:], (*shape, 2), (shape[0], channels + 1, *shape[2:]), shape[:2]))
    values = draws.normal(shape)
    if draws.chance(0.1) and values.size:
        values.flat[draws.integer(0, values.size - 1)] = draws.choice((math.nan, math.inf))
    x = draws.tensor(values, torch.float32, draws.choice(_LAYOUTS, (4, 4, 1, 1, 1, 1, 1)))
    mode = draws.choice(("forward", "backward", "twice", "jvp", "vmap"), (4, 5, 1, 1, 1))
    weight, bias = layer.weight.detach().double(), layer.bias.detach().double()

    def exact(images: Tensor, filters: Tensor = weight, shifts: Tensor = bias) -> Tensor:
        return functional.conv2d(images, filters, shifts, padding=size // 2)

    if wrong:
        if _refusal(lambda: layer(x)) != _refusal(lambda: exact(x.double())):
            raise MismatchError(f"images {tuple(x.shape)}: {_refusal(lambda: layer(x))}, unlike torch")
        return
    if mode == "vmap" and len(x):
        _close(torch.func.vmap(lambda image: layer(image[None])[0])(x), exact(x.double()), exact_of(exact, x), size, x)
        return
    if mode == "jvp":
        x = x.clone()  # torch takes no tangents of expanded tensors
        tangent = torch.from_numpy(draws.normal(x.shape)).float()
        mine = torch.func.jvp(layer, (x,), (tangent,))
        true = torch.func.jvp(exact, (x.double(),), (tangent.double(),))
        for one, other, at in zip(mine, true, (x, tangent), strict=True):
            _close(one, other, exact_of(exact, at), size, x)
        return
    mode = "forward" if mode == "vmap" else mode
    leaf = x.detach().requires_grad_(mode != "forward")
    y = layer(leaf) if mode != "forward" else layer.requires_grad_(False)(leaf)
    _close(y.detach(), exact(x.double()), exact_of(exact, x), size, x)
    if mode == "forward" or not bool(x.isfinite().all()):
        return
    g = draws.tensor(draws.normal(y.shape), torch.float32)
    _compare_gradients(layer, leaf, y, g, exact, twice=mode == "twice")


def exact_of(exact: object, x: Tensor) -> Tensor:
    """Return the convolution of absolute values, which bounds what rounding can do."""
    filters, shifts = (each.abs() for each in exact.__defaults__)  # type: ignore[attr-defined]
    return exact(x.double().nan_to_num(0, 0, 0).abs(), filters, shifts)  # type: ignore[operator]


def _refusal(call: object) -> str:
    try:
        call()  # type: ignore[operator]
    except (RuntimeError, ValueError, TypeError) as error:
        return "refused" if not isinstance(error, TypeError) else "TypeError"
    return "taken"


def _close(mine: Tensor, true: Tensor, magnitude: Tensor, size: int, x: Tensor) -> None:
    if mine.shape != true.shape or mine.dtype != torch.float32:
        raise MismatchError(f"convolution returned {tuple(mine.shape)}, {mine.dtype}")
    finite = true.isfinite()
    if not torch.equal(mine.isfinite(), finite):
        raise MismatchError("convolution: finite at other places than torch's")
    bound = rounding(torch.float32, x.shape[1] * size**2 + 2).relative * magnitude + 1e-30
    if not bool(((mine.double() - true).abs() <= bound)[finite].all()):
        raise MismatchError("convolution: another value than torch's")


def _compare_gradients(
    layer: ThinConvolution2d, leaf: Tensor, y: Tensor, g: Tensor, exact: object, *, twice: bool
) -> None:
    leaves = [leaf, layer.weight, layer.bias]
    wide = [each.detach().double().requires_grad_() for each in leaves]
    true_y = exact(*wide)  # type: ignore[operator]
    mine = torch.autograd.grad(y, leaves, g, create_graph=twice)
    true = torch.autograd.grad(true_y, wide, g.double(), create_graph=twice)
    if twice:
        mine = torch.autograd.grad(sum((each**2).sum() for each in mine), leaves, allow_unused=True)
        true = torch.autograd.grad(sum((each**2).sum() for each in true), wide, allow_unused=True)
    terms = y.numel() * layer.weight[0].numel() + 1
    for one, other in zip(mine, true, strict=True):
        if (one is None) != (other is None) or (one is not None and one.shape != other.shape):
            raise MismatchError("convolution: another gradient than torch's")
        if one is None or one.numel() == 0:
            continue
        # Sums over outputs and pixels of products; bounded by the norms of their factors.
        largest = math.prod(
            max(1.0, float(each.detach().abs().max())) for each in (leaf, layer.weight, g) if each.numel()
        )
        largest = largest ** (4 if twice else 1)
        bound = rounding(torch.float32, terms).relative * largest * terms
        if not float((one.detach().double() - other).abs().max()) <= bound:
            raise MismatchError("convolution: another gradient than torch's")


def self_warp_case(draws: Draws) -> None:
    """Draw a self-warp: in one pass it gives, to the last bit, what head and warp give one after the other."""
    if draws.chance(0.1):
        _self_warp_of_signals(draws)
        return
    groups = draws.integer(1, 2)
    channels = groups * draws.choice((1, 2, 3, 8, 20))
    layer = SelfWarp2d(channels, groups, boundary=draws.choice(boundaries.names()))
    with torch.no_grad():
        layer.head.weight.copy_(torch.from_numpy(draws.normal(layer.head.weight.shape)) / math.sqrt(9 * channels))
        layer.head.bias.copy_(torch.from_numpy(draws.normal(layer.head.bias.shape)))
    shape = (draws.integer(1, 6) if draws.chance(0.3) else draws.integer(4, 6), channels)
    shape = (*shape, draws.integer(1, 16), draws.integer(1, 16))
    values = draws.normal(shape)
    if draws.chance(0.1):
        values.flat[draws.integer(0, values.size - 1)] = draws.choice((math.nan, math.inf, 1e30))
    x = draws.tensor(values, torch.float32, draws.choice(_LAYOUTS, (5, 5, 1, 1, 1, 1, 1)))
    g = draws.tensor(draws.normal(shape), torch.float32)
    needs = draws.chance(0.7)
    fused = _self_warp_results(layer, x, g if needs else None)
    before = self_warp.fused_self_warp
    self_warp.fused_self_warp = lambda *_: None
    try:
        apart = _self_warp_results(layer, x, g if needs else None)
    finally:
        self_warp.fused_self_warp = before
    for number, (one, other) in enumerate(zip(fused, apart, strict=True)):
        if one.shape != other.shape or not _identical(one, other):
            raise MismatchError(f"self-warp: result {number} depends on whether it is one pass")
    if fused[0].shape != x.shape:
        raise MismatchError(f"self-warp returned {tuple(fused[0].shape)}")


def _identical(one: Tensor, other: Tensor) -> bool:
    same = (one == other) | (one.isnan() & other.isnan())
    return bool(same.all())


def _self_warp_results(layer: nn.Module, x: Tensor, g: Tensor | None) -> list[Tensor]:
    if g is None:
        with torch.no_grad():
            return [layer(x)]
    leaf = x.detach().requires_grad_()
    y = layer(leaf)
    return [y.detach(), *torch.autograd.grad(y, (leaf, *layer.head.parameters()), g)]


def _self_warp_of_signals(draws: Draws) -> None:
    """A self-warp of signals is the warp by its own offsets; a hook on the field sees them."""
    channels = draws.integer(1, 5)
    layer = SelfWarp1d(channels, kernel=draws.choice(("linear", "keys")))
    with torch.no_grad():
        layer.head.weight.copy_(torch.from_numpy(draws.normal(layer.head.weight.shape)))
    x = draws.tensor(draws.normal((draws.integer(1, 3), channels, draws.integer(1, 30))), torch.float32)
    seen: list[Tensor] = []
    layer.field.register_forward_hook(lambda *arguments: seen.append(arguments[2]))
    y = layer(x)
    from warptheory.warping import warp

    if y.shape != x.shape or not _identical(y, warp(x, seen[0], layer.kernel, layer.boundary)):
        raise MismatchError("self-warp of signals: not the warp by its own offsets")
    if not bool(np.isfinite(y.detach().numpy()).all()):
        raise MismatchError("self-warp of signals: not finite")
