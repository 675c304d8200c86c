"""What a diagnosis says of each sampling operation: its positions, and its gains, as measured and as theory has them.

The predictions assume that positions do not depend on values, as A4, B1 and C3 do. Forwards a sample of a homogeneous
field with correlation c has the energy Σ w_a w_b c(a − b) over the pixels a, b that it reads with weights w; the
correlation is measured. Backwards a white gradient has the energy Σ w² (B1). What is measured beside it is of the very
values, so that the difference shows where positions and values, or neighbouring gradients, go together.
"""

import itertools
import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import warping
from warptheory.fields.localisation import share_of_positions
from warptheory.patterns import is_inside
from warptheory.stability._diagnosis._calls import IMAGES, Calls
from warptheory.stability._sampling._call import SamplingCall
from warptheory.stability._sampling._statistics import forward_statistics
from warptheory.stability.diagnosis import LayerDiagnosis

_NEARLY_ALL = 0.9
_FIELDS = 9  # fields of offsets of which gains are taken, spread over all


def layers(calls: Calls, steps: Sequence[float], coasting: Sequence[float]) -> tuple[LayerDiagnosis, ...]:
    """Return what there is to say of each operation.

    Args:
        calls: operations of a run, after its backward pass.
        steps: displacement of each by one step, in pixels.
        coasting: displacement of each by the steps that momentum remembers.
    """
    found = zip(calls.sites, calls.calls, steps, coasting, strict=True)
    with torch.no_grad():
        return tuple(
            LayerDiagnosis(site.layer, site.call, call.operator, displacement=step, coasting=coast, **_numbers(call))
            for site, call, step, coast in found
        )


def _numbers(call: SamplingCall) -> dict[str, float]:
    seen = forward_statistics(call, IMAGES)
    names = ("offset_deviation", "slope_deviation", "fold_fraction", "outside_fraction", "dead_fraction")
    numbers = {name: getattr(seen, name) for name in names}
    if call.x is None or not bool(torch.isfinite(call.raw).all()):
        return numbers
    return numbers | _gains(call)


@torch.no_grad()
def lost_share(calls: Calls) -> float:
    """Return the largest share of samples that parameters throw off the image, of all operations; NaN without any.

    Samples that would be off it without offsets as well are not counted. Operations whose positions have no gradient,
    such as windows about a flow that is given, are counted only where they lose nearly all.
    """
    sampling = [call for call in calls.calls if call.x is not None]
    shares = [(call, _lost_share(call)) for call in sampling]
    return max((share for call, share in shares if call.raw.requires_grad or share > _NEARLY_ALL), default=math.nan)


def _lost_share(call: SamplingCall) -> float:
    assert call.x is not None
    pattern = call.pattern(IMAGES)
    size = tuple(call.x.shape[2:])
    lost = ~is_inside(pattern.positions(), size) & is_inside(call.lattice.identity(pattern.offsets), size)
    return float(lost.double().mean())


def _gains(call: SamplingCall) -> dict[str, float]:
    """Return energies forwards and backwards, of samples before masks and filters."""
    assert call.x is not None
    x = call.x.detach()[:IMAGES]
    offsets = call.offsets(IMAGES)
    displaced = (offsets + call.lattice.displacement(offsets)).to(x.dtype)
    count, groups = offsets.shape[1], max(1, offsets.shape[1] // call.taps)
    if x.shape[1] % groups:
        return {}
    per_group = x.shape[1] // groups
    chosen = range(0, count, -(-count // _FIELDS))
    shares = [(x[:, each // call.taps * per_group :][:, :per_group], displaced[:, each]) for each in chosen]
    sampled = [warping.warp(part, at, kernel=call.kernel, boundary=call.boundary) for part, at in shares]
    energy = sum(_energy(part) for part, _ in shares)
    found = {"forward_gain": _ratio(sum(map(_energy, sampled)), energy)}
    if call.kernel == "linear":
        found["predicted_forward_gain"] = _mean([_predicted_forward(part, at) for part, at in shares])
    return found | _backward_gains(call, displaced)


def _backward_gains(call: SamplingCall, displaced: Float[Tensor, "B F d *T"]) -> dict[str, float]:
    """Return energies of the gradient behind and before an operation that is nothing but a warp."""
    y = call.y
    if y is None or y.grad is None or call.filters is not None or call.taps != 1 or call.mask is not None:
        return {}
    assert call.x is not None
    gradient = y.grad.detach()[:IMAGES]
    size = tuple(call.x.shape[2:])
    back = warping.splat(gradient, displaced, size=size, kernel=call.kernel, boundary=call.boundary)
    found = {"backward_gain": _ratio(_energy(back) * back.numel(), _energy(gradient) * gradient.numel())}
    energy = back.square().sum(1)
    if bool(torch.isfinite(energy).all()) and bool(energy.any()):
        shares = share_of_positions(energy[energy.flatten(1).any(1)])
        found["energy_share"] = float(shares.mean())
    if call.kernel == "linear":
        found["predicted_backward_gain"] = _predicted_backward(gradient, displaced, size)
    return found


def _predicted_forward(x: Float[Tensor, "B C *S"], offsets: Float[Tensor, "B d *T"]) -> float:
    """Return E y²/E x² of linear interpolation at these places, of a homogeneous field as correlated as x."""
    dim = offsets.shape[1]
    weights = dict(_corner_weights(offsets))
    total = 0.0
    for first, second in itertools.product(itertools.product((0, 1), repeat=dim), repeat=2):
        lag = tuple(a - b for a, b in zip(first, second, strict=True))
        total += float((weights[first] * weights[second]).mean()) * _correlation(x, lag)
    return total


def _predicted_backward(
    gradient: Float[Tensor, "B C *T"], offsets: Float[Tensor, "B F d *T"], size: tuple[int, ...]
) -> float:
    """Return Σ |g|² Σ_a w_a² over Σ |g|²: the energy that white gradients keep, by B1."""
    dim = offsets.shape[2]
    energy = gradient.square().reshape(len(gradient), offsets.shape[1], -1, *gradient.shape[2:]).sum(2)
    index = torch.stack(
        torch.meshgrid(*[torch.arange(n, device=offsets.device) for n in offsets.shape[3:]], indexing="ij")
    )
    corner = (offsets + index).floor()
    kept = torch.zeros_like(energy)
    for place, weight in _corner_weights(offsets.flatten(0, 1)):
        at = corner + corner.new_tensor(place).reshape(-1, *[1] * dim)
        kept += weight.reshape(energy.shape).square() * is_inside(at, size)
    return _ratio(float((energy * kept).sum()), float(energy.sum()))


def _corner_weights(offsets: Float[Tensor, "B d *T"]) -> list[tuple[tuple[int, ...], Float[Tensor, "B *T"]]]:
    """Return the pixels about each place, as steps of 0 and 1 along each axis, and their weights."""
    fraction = offsets - offsets.floor()
    sides = (1 - fraction, fraction)
    places = itertools.product((0, 1), repeat=offsets.shape[1])
    return [(place, torch.stack([sides[a][:, axis] for axis, a in enumerate(place)]).prod(0)) for place in places]


def _correlation(x: Float[Tensor, "B C *S"], lag: tuple[int, ...]) -> float:
    """Return E x(t)x(t + lag) / E x²."""
    shape = x.shape[2:]
    if any(abs(step) >= n for step, n in zip(lag, shape, strict=True)):
        return 0.0
    ahead = tuple(slice(max(0, step), n + min(0, step)) for step, n in zip(lag, shape, strict=True))
    behind = tuple(slice(max(0, -step), n + min(0, -step)) for step, n in zip(lag, shape, strict=True))
    whole = (slice(None), slice(None))
    return _ratio(float((x[(*whole, *ahead)] * x[(*whole, *behind)]).double().mean()), _energy(x))


def _energy(values: Tensor) -> float:
    return float(values.double().square().mean())


def _ratio(above: float, below: float) -> float:
    return above / below if below > 0 else math.nan


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
