"""All taps of a linear sampling pattern, weighed and mixed, and the gradients of all that it takes, by compiled loops.

No more is held at a time than the samples of a few taps of a block of pixels, per thread. Images are read
channels-last; a result lies as the image does.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor
from torch.nn import functional

from warptheory.warping.engines.cpu.linear import unsupported as unsupported_image
from warptheory.warping.engines.cpu.plan import BOUNDARIES
from warptheory.warping.engines.cpu.problem import REGISTER_BYTES
from warptheory.warping.engines.layout import empty_offsets, is_channels_last, pixel_stride, spans_pixels
from warptheory.warping.engines.machine import tasks
from warptheory.warping.engines.machine.tasks import Words
from warptheory.warping.engines.taps import loops
from warptheory.warping.engines.taps.problem import LINE_BYTES, Counts
from warptheory.warping.shapes import ImageTensor

_MOST_PIXELS = 2**29  # of a place: with an offset added, it should stay a 32-bit integer
_BLOCK = 64  # pixels of a block, a multiple of the rows of a tile and of a register's lanes
_CHUNK = 96  # samples of a pixel that one product of matrices takes, at least one tap's
_UNITS = 4  # so many occupy the threads, and images need not be cut into shares
_LEAST_SHARE = 256  # pixels
_PARTS = 8  # the most sums of the filters' gradient
# Of one thread, for each of the 2ᵈ corners: of a pixel's plan, of a channel; and of a product of the filters.
_SECONDS_A_PLAN, _SECONDS_A_VALUE, _SECONDS_A_PRODUCT = 1e-9, 0.06e-9, 0.025e-9


@dataclass(frozen=True, eq=False)
class LinearTaps:
    """y_o[n] = Σ_c Σ_k F[o, c, k] m_k[n] x_c(origin_k + pace·n + ε_k[n]), linear between pixels.

    Attributes:
        offsets: ε in pixels, shape (B, G·K, d, *T), K taps for each of G groups of channels.
        origins: where the G·K fields start, in whole pixels.
        pace: whole pixels of the image from one output pixel to the next, along each axis.
        taps: number K of taps.
        weights: m, shape (B, G·K, *T); None for ones.
        filters: F, shape (D, C/groups, K); None: each channel stays by itself, and its taps are added.
        boundary: name of the boundary rule.
    """

    offsets: Float[Tensor, "B F d *T"]
    origins: tuple[tuple[int, ...], ...]
    pace: tuple[int, ...]
    taps: int
    weights: Float[Tensor, "B F *T"] | None
    filters: Float[Tensor, "D I K"] | None
    boundary: str


@dataclass(frozen=True)
class Needs:
    """Which gradients are wanted."""

    image: bool
    offsets: bool
    weights: bool
    filters: bool


def unsupported(x: ImageTensor, taps: LinearTaps) -> str | None:
    """Return why the loops cannot take images (B, C, *S) and taps; None if they can."""
    obstacle = unsupported_image(x, taps.offsets)
    if obstacle is not None:
        return obstacle
    if x.numel() == 0:
        return "there is nothing to sample"
    if taps.boundary not in BOUNDARIES:
        return f"its loops know the boundaries {', '.join(BOUNDARIES)}, not {taps.boundary!r}"
    grid = taps.offsets.shape[3:]
    reach = [abs(pace) * length for pace, length in zip(taps.pace, grid, strict=True)]
    if max(*reach, *(abs(place) for origin in taps.origins for place in origin)) >= _MOST_PIXELS:
        return "places are too far away for 32-bit indices"
    if taps.filters is not None:
        groups, lanes = x.shape[1] // taps.filters.shape[1], REGISTER_BYTES // x.element_size()
        if groups > 1 and (taps.filters.shape[1] % lanes or len(taps.filters) // groups % lanes):
            return "groups of the filters do not fill registers"
    return None


def sample(x: ImageTensor, taps: LinearTaps) -> Float[Tensor, "B D *T"]:
    """Return the outcome (B, D, *T) of images (B, C, *S)."""
    places, counts = _placed(taps), _counts(x, taps)
    image = _packed(x, counts.groups * counts.channels)
    outputs, grid = counts.outputs or x.shape[1], tuple(taps.offsets.shape[3:])
    if is_channels_last(x):
        y = torch.movedim(x.new_empty(len(x), *grid, outputs), -1, 1)
    else:
        y = x.new_empty(len(x), outputs, *grid)
    filters = None if taps.filters is None else _by_input(taps.filters, counts)
    function = loops.sample_function(len(grid), tasks.DTYPES[x.dtype])
    blocks = counts.images * (counts.groups // counts.together) * -(-prod(grid) // counts.block)
    words = (*counts, *places.words(image), *_image_words(image), *_on_grid(y), _address(filters))
    tasks.run(function, blocks, _seconds(counts, grid), words)
    return y


def differentiate(g: Float[Tensor, "B D *T"], x: ImageTensor, taps: LinearTaps, needs: Needs) -> list[Tensor | None]:
    """Return the gradients that are needed, of images (B, C, *S), offsets, weights and filters, given the outcome's."""
    places, counts = _placed(taps), _counts(x, taps)
    image = _packed(x, counts.groups * counts.channels)
    g, grid = g if spans_pixels(g) else g.contiguous(), tuple(taps.offsets.shape[3:])
    of_image = x.new_empty((len(x) * counts.shares, *x.shape[2:], image.shape[1]))
    of_offsets = empty_offsets(places.offsets) if needs.offsets else None
    of_weights = None
    if needs.weights and places.weights is not None:
        of_weights = empty_offsets(places.weights.unsqueeze(2)).squeeze(2)
    filters = of_filters = None
    if taps.filters is not None:
        filters = _by_output(taps.filters, counts)
        shape = (counts.parts, counts.filter_groups, counts.depth, counts.taps, counts.inner)
        of_filters = x.new_empty(shape) if needs.filters else None
    words = (
        *counts,
        *places.words(image),
        *_image_words(image),
        *_on_grid(g),
        *_image_words(torch.movedim(of_image, -1, 1)),
        *_on_grid(of_offsets, 3),
        *_on_grid(of_weights),
        _address(filters),
        _address(of_filters),
    )
    function = loops.differentiate_function(len(grid), tasks.DTYPES[x.dtype])
    tasks.run(function, counts.parts, 3 * _seconds(counts, grid), words)
    return [
        _laid_out(torch.unflatten(of_image, 0, (-1, counts.shares)), x) if needs.image else None,
        None if of_offsets is None else of_offsets.reshape(taps.offsets.shape),
        None if of_weights is None or taps.weights is None else of_weights.reshape(taps.weights.shape),
        None if of_filters is None else _whole(of_filters, counts, x.shape[1]),
    ]


@dataclass(frozen=True, eq=False)
class _Places:
    """Where samples lie, as the kernels take it."""

    grid: tuple[int, ...]
    pace: tuple[int, ...]
    origins: Int[ndarray, "F d"]
    offsets: Float[Tensor, "B F d *T"]
    weights: Float[Tensor, "B F *T"] | None

    def words(self, image: ImageTensor) -> Words:
        """Return them, and the size of the images (B, C, *S), as the kernels read them."""
        steps = (*image.shape[2:], *self.grid, *self.pace, self.origins.ctypes.data)
        return (*steps, *_on_grid(self.offsets, 3), *_on_grid(self.weights))


def _placed(taps: LinearTaps) -> _Places:
    offsets, weights = taps.offsets, taps.weights
    dim = offsets.shape[2]
    # Planned line by line: pixels without places of their own are one line.
    grid = tuple(offsets.shape[3:]) if any(taps.pace) else (*[1] * (dim - 1), prod(offsets.shape[3:]))
    return _Places(
        grid,
        taps.pace,
        _origins(taps.origins, offsets.shape[1]),
        (offsets if spans_pixels(offsets, first_axis=3) else offsets.contiguous()).reshape(*offsets.shape[:3], *grid),
        None
        if weights is None
        else (weights if spans_pixels(weights) else weights.contiguous()).reshape(*weights.shape[:2], *grid),
    )


@lru_cache(maxsize=256)
def _origins(origins: tuple[tuple[int, ...], ...], fields: int) -> Int[ndarray, "F d"]:
    places = np.array(origins, np.int64)
    return np.ascontiguousarray(np.broadcast_to(places, (fields, places.shape[1])))


def _counts(x: Tensor, taps: LinearTaps) -> Counts:
    shapes = None if taps.filters is None else tuple(taps.filters.shape)
    lanes = REGISTER_BYTES // x.element_size()
    return _remembered_counts(tuple(x.shape[:2]), tuple(taps.offsets.shape), taps.taps, shapes, lanes, taps.boundary)


@lru_cache(maxsize=1024)
def _remembered_counts(
    image: Words, offsets: Words, taps: int, filters: Words | None, lanes: int, boundary: str
) -> Counts:
    (images, channels), groups, pixels = image, offsets[1] // taps, prod(offsets[3:])
    units = images * (groups if filters is None else 1)
    shares = max(1, min(-(-_UNITS // units), pixels // _LEAST_SHARE))
    outputs, filter_groups = (0, 1) if filters is None else (filters[0], channels // filters[1])
    inner = depth = 0
    width, chunk = channels // groups, taps
    if filters is not None:
        inner, depth = (-(-each // lanes) * lanes for each in (filters[1], outputs // filter_groups))
        width = filter_groups * inner
        chunk = min(taps, max(1, _CHUNK // width)) if filter_groups == 1 else 1
    if depth and groups == 1 and channels % (lanes // 2) > 1:  # a few channels more take fewer registers
        channels = -(-channels // (lanes // 2)) * (lanes // 2)
    return Counts(
        images=images,
        groups=groups,
        taps=taps,
        channels=channels // groups,
        outputs=outputs,
        filter_groups=filter_groups,
        boundary=BOUNDARIES.index(boundary),
        together=1 if filters is None else groups,
        block=_BLOCK,
        chunk=chunk,
        width=width,
        inner=inner,
        depth=depth,
        shares=shares,
        parts=units * shares if filters is None else min(units * shares, _PARTS),
    )


def _packed(x: Tensor, channels: int) -> Tensor:
    """Return images (B, channels, *S) with channels side by side and dense pixels; channels that x lacks are 0."""
    rows = torch.movedim(x, 1, -1)
    if channels > x.shape[1]:
        return torch.movedim(functional.pad(rows, (0, channels - x.shape[1])).contiguous(), -1, 1)
    steps = [prod(rows.shape[axis + 1 :]) for axis in range(1, rows.ndim)]
    is_packed = all(
        n == 1 or stride == step for n, stride, step in zip(rows.shape[1:], rows.stride()[1:], steps, strict=True)
    )
    return x if is_packed else torch.movedim(rows.clone(memory_format=torch.contiguous_format), -1, 1)


def _by_input(filters: Tensor, counts: Counts) -> Tensor:
    """Return filters (K, groups, inner, depth), zeros where they do not fill registers, rows a line further apart."""
    by_group = torch.unflatten(filters, 0, (counts.filter_groups, -1))
    found = filters.new_zeros(counts.taps, counts.filter_groups, counts.inner, counts.depth + _line(filters))
    found[:, :, : by_group.shape[2], : by_group.shape[1]] = torch.permute(by_group, (3, 0, 2, 1))
    return found


def _by_output(filters: Tensor, counts: Counts) -> Tensor:
    """Return filters (groups, depth, K·inner) likewise."""
    by_group = torch.unflatten(filters, 0, (counts.filter_groups, -1))
    length = counts.taps * counts.inner
    found = filters.new_zeros(counts.filter_groups, counts.depth, length + _line(filters))
    rows = torch.unflatten(found[:, :, :length], 2, (counts.taps, counts.inner))
    rows[:, : by_group.shape[1], :, : by_group.shape[2]] = torch.permute(by_group, (0, 1, 3, 2))
    return found


def _line(values: Tensor) -> int:
    return LINE_BYTES // values.element_size()


def _whole(found: Tensor, counts: Counts, channels: int) -> Tensor:
    """Return the gradient of filters (D, C/groups, K), given its parts (parts, groups, depth, K, inner)."""
    total = found.sum(0)[:, : counts.outputs // counts.filter_groups, :, : channels // counts.filter_groups]
    return torch.permute(total, (0, 1, 3, 2)).flatten(0, 1)


def _laid_out(found: Tensor, like: Tensor) -> Tensor:
    """Return the sum of the shares (B, shares, *S, channels) in the layout of images (B, C, *S)."""
    rows = found.squeeze(1) if found.shape[1] == 1 else found.sum(1)
    rows = rows[..., : like.shape[1]]
    return (
        torch.movedim(rows.contiguous(), -1, 1) if is_channels_last(like) else torch.movedim(rows, -1, 1).contiguous()
    )


def _image_words(image: Tensor) -> Words:
    return (image.data_ptr(), *image.stride())


def _on_grid(values: Tensor | None, first_axis: int = 2) -> Words:
    """Return the address and the strides of values whose grid starts at an axis; zeros for none."""
    if values is None:
        return (0,) * (first_axis + 2)
    strides = values.stride()
    return (values.data_ptr(), *strides[:first_axis], pixel_stride(values.shape[first_axis:], strides[first_axis:]))


def _address(values: Tensor | None) -> int:
    return 0 if values is None else values.data_ptr()


def _seconds(counts: Counts, grid: Words) -> float:
    """Return about how long one thread takes for the forward pass."""
    samples, corners = prod(grid) * counts.images * counts.taps, int(2 ** len(grid))
    sampling = counts.groups * (_SECONDS_A_PLAN + _SECONDS_A_VALUE * counts.channels)
    return samples * (corners * sampling + _SECONDS_A_PRODUCT * counts.width * counts.depth)
