"""What one program does with its block of output pixels, in Triton.

Every kernel takes a tile of pixels n and, in a loop, blocks of channels. The pixels' corners (the 2ᵈ
pixels of x around n + ε[n], with their weights) are found once per tile and reused by every channel:

    gather     y[n]  = Σ_k w_k[n] x[m_k[n]]
    gradients  dx[m_k[n]] += w_k[n] g[n]           dε_i[n] = Σ_c g_c[n] Σ_k ∂ᵢw_k[n] x_c[m_k[n]]

A corner k is a number of d bits: bit i says whether it is the far or the near pixel along axis i.

Blocks of values have the shape (P, K), pixels × channels, where channels are contiguous in memory, else
(K, P), so that neighbouring lanes of a warp read neighbouring addresses; "spread" means brought into
that shape. Names in capitals are compile-time constants:

    DIM                   d
    BOUNDARY              name of the boundary rule
    COMPUTE               dtype of weights, products and sums
    CHANNELS_LAST         whether blocks are (P, K)
    WIDE                  whether element offsets need int64 within an image; they have it between images
    ROWS, COLUMNS         tile of pixels on the last two axes, powers of two, P = ROWS·COLUMNS
    CHANNELS              K, a power of two
    CENTRAL               whether derivatives at knots are central, else right-hand
    NEEDS_X, NEEDS_OFFSETS, EXACT    which gradients, and whether sums may not depend on their order

`no_type_check` because Triton compiles the source of these functions: nothing may wrap them.
"""

from typing import Any, NamedTuple, no_type_check

import triton
import triton.language as tl

# Offsets of this many pixels or more, and NaN, are wild: they read nothing (zeros) or the edge.
WILD = tl.constexpr(2.0**30)


class Strided(NamedTuple):
    """A tensor (B, C, *S): where it starts, and its strides in elements."""

    pointer: Any
    batch: Any
    channel: Any
    space: Any


class Grouped(NamedTuple):
    """Offsets (B, G, d, *T): where they start, and their strides in elements."""

    pointer: Any
    batch: Any
    group: Any
    axis: Any
    space: Any


class AxisPixels(NamedTuple):
    """The near and far pixel along one axis, for a tile of P pixels; every pair is (near, far).

    Attributes:
        floor: ⌊n + ε⌋ before the boundary rule.
        index: the pixels that are read, after it.
        inside: whether they exist; only zeros says no.
        weight: 1 − f and f.
        slope: derivative of the weights in the offset.
        previous: index of the pixel before the near one, and whether the central derivative at a knot
            reads it.
    """

    floor: Any
    index: Any
    inside: Any
    weight: Any
    slope: Any
    previous: Any


@triton.jit
@no_type_check
def _by_pixel(values, CHANNELS_LAST: tl.constexpr):
    """Spread values of pixels (P)."""
    if CHANNELS_LAST:
        return values[:, None]
    else:
        return values[None, :]


@triton.jit
@no_type_check
def _by_channel(values, CHANNELS_LAST: tl.constexpr):
    """Spread values of channels (K)."""
    if CHANNELS_LAST:
        return values[None, :]
    else:
        return values[:, None]


@triton.jit
@no_type_check
def _sum_over_channels(values, CHANNELS_LAST: tl.constexpr):
    """Sum spread values to one value per pixel (P)."""
    if CHANNELS_LAST:
        return tl.sum(values, 1)
    else:
        return tl.sum(values, 0)


@triton.jit
@no_type_check
def _convert(values, KIND: tl.constexpr):
    """Change the dtype; half precision by way of float32, as float64 has no direct conversion everywhere."""
    if values.dtype.primitive_bitwidth == 16 or KIND.primitive_bitwidth == 16:
        return values.to(tl.float32).to(KIND)
    else:
        return values.to(KIND)


@triton.jit
@no_type_check
def _program(size, groups, chunks, DIM: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Return which tile, chunk of channels, group and image this program owns.

    Tiles vary fastest, so programs that run at the same time share an image in the cache. The grid
    has one axis, because CUDA limits the others to 65535.
    """
    tiles = tl.cdiv(size[DIM - 1], COLUMNS)
    if DIM >= 2:
        tiles *= tl.cdiv(size[DIM - 2], ROWS)
    if DIM == 3:
        tiles *= size[0]
    program = tl.program_id(0)
    tile = program % tiles
    program = program // tiles
    chunk = program % chunks
    program = program // chunks
    return tile, chunk, program % groups, (program // groups).to(tl.int64)


@triton.jit
@no_type_check
def _tile_pixels(
    tile,
    size,
    DIM: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
    WIDE: tl.constexpr,
):
    """Return the positions of a tile's pixels, one (P) per axis, and which of them exist (P)."""
    pixel = tl.arange(0, ROWS * COLUMNS)
    # Element offsets are products with these positions, so they decide the width of all of them.
    if WIDE:
        pixel = pixel.to(tl.int64)
    across = tl.cdiv(size[DIM - 1], COLUMNS)
    column = (tile % across) * COLUMNS + pixel % COLUMNS
    if not CHANNELS_LAST:
        # Hides that columns are successive. The compiler would store four pixels per thread, and pass
        # every value through shared memory to do so, since gathering wants successive lanes instead.
        column = tl.max_contiguous(column, 1)
    exists = column < size[DIM - 1]
    if DIM == 1:
        return (column,), exists
    else:
        tile = tile // across
        down = tl.cdiv(size[DIM - 2], ROWS)
        row = (tile % down) * ROWS + pixel // COLUMNS
        exists = exists & (row < size[DIM - 2])
        if DIM == 2:
            return (row, column), exists
        else:
            return (tile // down + 0 * pixel, row, column), exists


@triton.jit
@no_type_check
def _address(positions, strides, DIM: tl.constexpr):
    """Return the element offset of positions (P) in a tensor of these strides."""
    address = positions[0] * strides[0]
    for axis in tl.static_range(1, DIM):
        address += positions[axis] * strides[axis]
    return address


@triton.jit
@no_type_check
def _wrap(index, period):
    """Return the remainder in [0, period); Triton's own has the sign of the index, as in C."""
    remainder = index % period
    return tl.where(remainder < 0, remainder + period, remainder)


@triton.jit
@no_type_check
def _clamp(index, size):
    return tl.minimum(tl.maximum(index, 0), size - 1)


@triton.jit
@no_type_check
def _mirror(near, size, period, last):
    """Return the near and far index (P) on an axis that runs back from its end: phase `last` − m is pixel m again."""
    phase = _wrap(near, period)
    after = tl.where(phase + 1 == period, 0, phase + 1)
    return tl.where(phase < size, phase, last - phase), tl.where(after < size, after, last - after)


@triton.jit
@no_type_check
def _bound(near, size, BOUNDARY: tl.constexpr):
    """Apply a boundary rule: return the near and far index (P), and whether each exists (P)."""
    far = near + 1
    if BOUNDARY == "zeros":
        exists = ((near >= 0) & (near < size), (far >= 0) & (far < size))
    else:
        exists = (near == near, near == near)
    if BOUNDARY == "periodic":
        index = _wrap(near, size)
        return (index, tl.where(index + 1 == size, 0, index + 1)), exists
    elif BOUNDARY == "reflect":
        return _mirror(near, size, 2 * size, 2 * size - 1), exists
    elif BOUNDARY == "mirror":
        return _mirror(near, size, tl.maximum(2 * size - 2, 1), 2 * size - 2), exists
    else:
        return (_clamp(near, size), _clamp(far, size)), exists


@triton.jit
@no_type_check
def _axis(offset, position, size, BOUNDARY: tl.constexpr, CENTRAL: tl.constexpr):
    """Return the `AxisPixels` of pixels at a position (P) with an offset (P)."""
    tame = tl.abs(offset) < WILD  # false for NaN
    points_up = offset > 0
    offset = tl.where(tame, offset, 0.0)
    # The fraction is taken from the offset, not from the position: n + ε would round ε away on wide images.
    whole = tl.floor(offset)
    fraction = offset - whole
    if BOUNDARY == "zeros":
        beyond = tl.full(position.shape, -(2**30), position.dtype)
    else:
        beyond = tl.where(points_up, size - 1, 0).to(position.dtype)
    floor = tl.where(tame, position + whole.to(position.dtype), beyond)
    index, inside = _bound(floor, size, BOUNDARY)
    one = tl.where(tame, 1.0, 0.0).to(offset.dtype)
    if CENTRAL:
        # The mean of the two one-sided derivatives at a knot, x[1] − x[0] and x[0] − x[−1].
        knot = tame & (fraction == 0)
        slope = (tl.where(knot, 0.0, -one), tl.where(knot, 0.5, one))
        before, exists = _bound(floor - 1, size, BOUNDARY)
        previous = (before[0], knot & exists[0])
    else:
        slope = (-one, one)
        previous = (index[0], inside[0])
    return AxisPixels(floor, index, inside, (1.0 - fraction, fraction), slope, previous)


@triton.jit
@no_type_check
def _sample(
    offsets,
    positions,
    exists,
    size,
    DIM: tl.constexpr,
    BOUNDARY: tl.constexpr,
    CENTRAL: tl.constexpr,
    COMPUTE: tl.constexpr,
):
    """Read the offsets of pixels, `Strided` with d as channels, and return an `AxisPixels` for each axis."""
    address = _address(positions, offsets.space, DIM)
    axes = ()
    for axis in tl.static_range(DIM):
        offset = _convert(tl.load(offsets.pointer + address, mask=exists, other=0.0), COMPUTE)
        axes = axes + (_axis(offset, positions[axis], size[axis], BOUNDARY, CENTRAL),)
        address += offsets.channel
    return axes


@triton.jit
@no_type_check
def _corner(axes, strides, CORNER: tl.constexpr, DIM: tl.constexpr):
    """Return element offset, existence and weight (P) of one corner."""
    address = axes[0].index[CORNER & 1] * strides[0]
    inside = axes[0].inside[CORNER & 1]
    weight = axes[0].weight[CORNER & 1]
    for axis in tl.static_range(1, DIM):
        address += axes[axis].index[(CORNER >> axis) & 1] * strides[axis]
        inside = inside & axes[axis].inside[(CORNER >> axis) & 1]
        weight *= axes[axis].weight[(CORNER >> axis) & 1]
    return address, inside, weight


@triton.jit
@no_type_check
def _corner_slope(axes, CORNER: tl.constexpr, AXIS: tl.constexpr, DIM: tl.constexpr):
    """Return the derivative (P) of a corner's weight along an axis."""
    slope = axes[AXIS].slope[(CORNER >> AXIS) & 1]
    for axis in tl.static_range(DIM):
        if axis != AXIS:
            slope *= axes[axis].weight[(CORNER >> axis) & 1]
    return slope


@triton.jit
@no_type_check
def _previous_corner(axes, strides, CORNER: tl.constexpr, AXIS: tl.constexpr, DIM: tl.constexpr):
    """Return `_corner` for the pixel before the near one along an axis, weighted −½; it exists at knots only."""
    address = axes[AXIS].previous[0] * strides[AXIS]
    inside = axes[AXIS].previous[1]
    weight = tl.full(axes[AXIS].weight[0].shape, -0.5, axes[AXIS].weight[0].dtype)
    for axis in tl.static_range(DIM):
        if axis != AXIS:
            address += axes[axis].index[(CORNER >> axis) & 1] * strides[axis]
            inside = inside & axes[axis].inside[(CORNER >> axis) & 1]
            weight *= axes[axis].weight[(CORNER >> axis) & 1]
    return address, inside, weight


@triton.jit
@no_type_check
def _part(tensor, image, channel):
    """Return a tensor (B, C, *S) that starts at an image and a channel; int64, a batch may exceed 2³¹ elements."""
    start = image * tensor.batch + channel.to(tl.int64) * tensor.channel
    return Strided(tensor.pointer + start, tensor.batch, tensor.channel, tensor.space)


@triton.jit
@no_type_check
def _group(offsets, image, group):
    """Return the offsets (d, *T) of an image and a group, as the channels of a `Strided`."""
    start = image * offsets.batch + group.to(tl.int64) * offsets.group
    return Strided(offsets.pointer + start, offsets.batch, offsets.axis, offsets.space)


@triton.jit
@no_type_check
def _channel_block(start, channels, CHANNELS: tl.constexpr, CHANNELS_LAST: tl.constexpr, WIDE: tl.constexpr):
    """Return a block of channels and which of them exist, spread."""
    channel = start + tl.arange(0, CHANNELS)
    if WIDE:
        channel = channel.to(tl.int64)
    return _by_channel(channel, CHANNELS_LAST), _by_channel(channel < channels, CHANNELS_LAST)


@triton.jit
@no_type_check
def gather(
    x,
    offsets,
    y,
    size,
    grid,
    groups,
    channels,
    chunk,
    DIM: tl.constexpr,
    BOUNDARY: tl.constexpr,
    COMPUTE: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
    WIDE: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """Compute y = W x.

    Args:
        x: `Strided` (B, C, *S).
        offsets: `Grouped` (B, G, d, *T).
        y: `Strided` (B, C, *T).
        size: S.
        grid: T.
        groups: G.
        channels: C/G.
        chunk: channels of one program, a multiple of CHANNELS.
    """
    tile, chunk_index, group, image = _program(grid, groups, tl.cdiv(channels, chunk), DIM, ROWS, COLUMNS)
    positions, exists = _tile_pixels(tile, grid, DIM, ROWS, COLUMNS, CHANNELS_LAST, WIDE)
    axes = _sample(_group(offsets, image, group), positions, exists, size, DIM, BOUNDARY, False, COMPUTE)
    x = _part(x, image, group * channels)
    y = _part(y, image, group * channels)
    pixel = _by_pixel(_address(positions, y.space, DIM), CHANNELS_LAST)
    first = chunk_index * chunk
    for start in range(first, tl.minimum(first + chunk, channels), CHANNELS):
        channel, real = _channel_block(start, channels, CHANNELS, CHANNELS_LAST, WIDE)
        block = _by_pixel(exists, CHANNELS_LAST) & real
        value = tl.zeros(block.shape, COMPUTE)
        for corner in tl.static_range(1 << DIM):
            address, inside, weight = _corner(axes, x.space, corner, DIM)
            source = x.pointer + (_by_pixel(address, CHANNELS_LAST) + channel * x.channel)
            found = _convert(tl.load(source, mask=block & _by_pixel(inside, CHANNELS_LAST), other=0.0), COMPUTE)
            value += _by_pixel(weight, CHANNELS_LAST) * found
        value = _convert(value, y.pointer.dtype.element_ty)
        tl.store(y.pointer + (pixel + channel * y.channel), value, mask=block)


@triton.jit
@no_type_check
def _neighbour(positions, exists, grid, BY: tl.constexpr, DIM: tl.constexpr):
    """Return the positions of the pixels BY further along the last axis, and which of them exist (P)."""
    last = positions[DIM - 1] + BY
    if DIM == 1:
        moved = (last,)
    elif DIM == 2:
        moved = (positions[0], last)
    else:
        moved = (positions[0], positions[1], last)
    return moved, exists & (last >= 0) & (last < grid[DIM - 1])


@triton.jit
@no_type_check
def _follows(axes, next_axes, DIM: tl.constexpr):
    """Whether the next pixel's cell comes right after this one's along the last axis (P)."""
    follows = axes[DIM - 1].floor + 1 == next_axes[DIM - 1].floor
    for axis in tl.static_range(DIM - 1):
        follows = follows & (axes[axis].floor == next_axes[axis].floor)
    return follows


@triton.jit
@no_type_check
def _gradient_of_x(
    row,
    channel,
    block,
    here,
    pixel_behind,
    axes,
    axes_behind,
    takes,
    gives,
    dx,
    DIM: tl.constexpr,
    COMPUTE: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
):
    """Add w_k g to dx for every corner, with the pixels of a row merged."""
    kind = dx.pointer.dtype.element_ty
    behind = _convert(tl.load(row + pixel_behind, mask=block & _by_pixel(takes, CHANNELS_LAST), other=0.0), COMPUTE)
    FAR: tl.constexpr = 1 << (DIM - 1)
    for corner in tl.static_range(FAR):
        address, inside, weight = _corner(axes, dx.space, corner, DIM)
        _, _, weight_behind = _corner(axes_behind, dx.space, corner + FAR, DIM)
        value = _by_pixel(weight, CHANNELS_LAST) * here + _by_pixel(weight_behind, CHANNELS_LAST) * behind
        target = dx.pointer + (_by_pixel(address, CHANNELS_LAST) + channel * dx.channel)
        tl.atomic_add(target, value.to(kind), mask=block & _by_pixel(inside, CHANNELS_LAST), sem="relaxed")
    for corner in tl.static_range(FAR, 2 * FAR):
        address, inside, weight = _corner(axes, dx.space, corner, DIM)
        value = _by_pixel(weight, CHANNELS_LAST) * here
        target = dx.pointer + (_by_pixel(address, CHANNELS_LAST) + channel * dx.channel)
        tl.atomic_add(target, value.to(kind), mask=block & _by_pixel(inside & ~gives, CHANNELS_LAST), sem="relaxed")


@triton.jit
@no_type_check
def _exponent(largest, room):
    """Return the power of two that brings sums of values up to `largest` (float64 bits) into int64.

    |value| < 2ᵉ and 2^(62 − room) additions of it stay below 2⁶². At most 1000, so that 2^±s is finite.
    """
    exponent = (largest >> 52) - 1022
    return tl.minimum(room - exponent, 1000)


@triton.jit
@no_type_check
def _power_of_two(exponent):
    """Return 2ᵉ in float64, exactly, |e| < 1022."""
    return ((exponent + 1023) << 52).to(tl.float64, bitcast=True)


@triton.jit
@no_type_check
def _exact_gradient_of_x(
    here,
    channel,
    block,
    axes,
    dx,
    fixed,
    scale,
    DIM: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
):
    """Add w_k g to dx for every corner, in an arithmetic whose sums do not depend on their order.

    Finite values are integers of 2⁻ˢ, added to `fixed`. Infinite values and NaN are added to dx: such
    sums have no order either.
    """
    for corner in tl.static_range(1 << DIM):
        address, inside, weight = _corner(axes, dx.space, corner, DIM)
        value = _by_pixel(weight, CHANNELS_LAST) * here
        place = _by_pixel(address, CHANNELS_LAST) + channel * dx.channel
        finite = tl.abs(value) < float("inf")
        mask = block & _by_pixel(inside, CHANNELS_LAST)
        whole = tl.floor(tl.where(finite, value, 0.0).to(tl.float64) * scale + 0.5).to(tl.int64)
        tl.atomic_add(fixed + place, whole, mask=mask & finite, sem="relaxed")
        value = value.to(dx.pointer.dtype.element_ty)
        tl.atomic_add(dx.pointer + place, value, mask=mask & ~finite, sem="relaxed")


@triton.jit
@no_type_check
def _slopes(
    x,
    channel,
    block,
    axes,
    DIM: tl.constexpr,
    COMPUTE: tl.constexpr,
    CENTRAL: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
):
    """Return ∂ᵢW x for every axis i, spread."""
    slopes = _zeros(block, COMPUTE, DIM)
    for corner in tl.static_range(1 << DIM):
        address, inside, _ = _corner(axes, x.space, corner, DIM)
        source = x.pointer + (_by_pixel(address, CHANNELS_LAST) + channel * x.channel)
        found = _convert(tl.load(source, mask=block & _by_pixel(inside, CHANNELS_LAST), other=0.0), COMPUTE)
        added = ()
        for axis in tl.static_range(DIM):
            weight = _by_pixel(_corner_slope(axes, corner, axis, DIM), CHANNELS_LAST)
            added = added + (slopes[axis] + weight * found,)
        slopes = added
    if CENTRAL:
        added = ()
        for axis in tl.static_range(DIM):
            slope = slopes[axis]
            for corner in tl.static_range(1 << DIM):
                if (corner >> axis) & 1 == 0:
                    address, inside, weight = _previous_corner(axes, x.space, corner, axis, DIM)
                    source = x.pointer + (_by_pixel(address, CHANNELS_LAST) + channel * x.channel)
                    found = _convert(tl.load(source, mask=block & _by_pixel(inside, CHANNELS_LAST), other=0.0), COMPUTE)
                    slope += _by_pixel(weight, CHANNELS_LAST) * found
            added = added + (slope,)
        slopes = added
    return slopes


@triton.jit
@no_type_check
def _zeros(like, COMPUTE: tl.constexpr, DIM: tl.constexpr):
    """Return one block of zeros per axis."""
    blocks = ()
    for _ in tl.static_range(DIM):
        blocks = blocks + (tl.zeros(like.shape, COMPUTE),)
    return blocks


@triton.jit
@no_type_check
def gradients(
    g,
    x,
    offsets,
    dx,
    doffsets,
    fixed,
    largest,
    size,
    grid,
    groups,
    channels,
    chunk,
    room,
    DIM: tl.constexpr,
    BOUNDARY: tl.constexpr,
    COMPUTE: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
    WIDE: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHANNELS: tl.constexpr,
    CENTRAL: tl.constexpr,
    NEEDS_X: tl.constexpr,
    NEEDS_OFFSETS: tl.constexpr,
    EXACT: tl.constexpr,
):
    """Add Wᵀg to dx, and write dε_i[n] = Σ_c g_c[n] (∂ᵢW x_c)[n].

    Args:
        g: `Strided` (B, C, *T).
        x: `Strided` (B, C, *S); read where NEEDS_OFFSETS.
        offsets: `Grouped` (B, G, d, *T).
        dx: `Strided` (B, C, *S), zero before, float32 or wider; written where NEEDS_X.
        doffsets: `Grouped` (B, G, d, *T); written where NEEDS_OFFSETS, and then `chunk` is all channels.
        fixed: where EXACT, int64 with the strides of dx, zero before.
        largest: where EXACT, (B, C), from `largest_finite`.
        size: S.
        grid: T.
        groups: G.
        channels: C/G.
        chunk: channels of one program, a multiple of CHANNELS.
        room: where EXACT, 62 − log₂ of the number of additions.
    """
    tile, chunk_index, group, image = _program(grid, groups, tl.cdiv(channels, chunk), DIM, ROWS, COLUMNS)
    positions, exists = _tile_pixels(tile, grid, DIM, ROWS, COLUMNS, CHANNELS_LAST, WIDE)
    offsets = _group(offsets, image, group)
    axes = _sample(offsets, positions, exists, size, DIM, BOUNDARY, CENTRAL, COMPUTE)
    # Where pixel n + 1 of a row starts in the cell after pixel n's, as it does nearly everywhere in a
    # smooth warp, it adds the far corners of n to its own near ones: half of the atomic additions.
    # Both pixels decide this from the same offsets, so no value is added twice or lost. Which values
    # are rounded together then depends on neighbours, so the exact sums do without.
    MERGE: tl.constexpr = NEEDS_X and not EXACT
    if MERGE:
        behind, has_behind = _neighbour(positions, exists, grid, -1, DIM)
        ahead, has_ahead = _neighbour(positions, exists, grid, 1, DIM)
        axes_behind = _sample(offsets, behind, has_behind, size, DIM, BOUNDARY, False, COMPUTE)
        axes_ahead = _sample(offsets, ahead, has_ahead, size, DIM, BOUNDARY, False, COMPUTE)
        takes = has_behind & _follows(axes_behind, axes, DIM)
        gives = has_ahead & _follows(axes, axes_ahead, DIM)
        pixel_behind = _by_pixel(_address(behind, g.space, DIM), CHANNELS_LAST)
    channel_of_group = group * channels
    pixel = _by_pixel(_address(positions, g.space, DIM), CHANNELS_LAST)
    g = _part(g, image, channel_of_group)
    if EXACT:
        fixed += image * dx.batch + channel_of_group.to(tl.int64) * dx.channel
        largest += image * (groups * channels) + channel_of_group
    if NEEDS_X:
        dx = _part(dx, image, channel_of_group)
    first = chunk_index * chunk
    if NEEDS_OFFSETS:
        x = _part(x, image, channel_of_group)
        _, real = _channel_block(first, channels, CHANNELS, CHANNELS_LAST, WIDE)
        sums = _zeros(_by_pixel(exists, CHANNELS_LAST) & real, COMPUTE, DIM)
    for start in range(first, tl.minimum(first + chunk, channels), CHANNELS):
        channel, real = _channel_block(start, channels, CHANNELS, CHANNELS_LAST, WIDE)
        block = _by_pixel(exists, CHANNELS_LAST) & real
        row = g.pointer + channel * g.channel
        here = _convert(tl.load(row + pixel, mask=block, other=0.0), COMPUTE)
        if NEEDS_OFFSETS:
            slopes = _slopes(x, channel, block, axes, DIM, COMPUTE, CENTRAL, CHANNELS_LAST)
            added = ()
            for axis in tl.static_range(DIM):
                added = added + (sums[axis] + here * slopes[axis],)
            sums = added
        if MERGE:
            _gradient_of_x(
                row,
                channel,
                block,
                here,
                pixel_behind,
                axes,
                axes_behind,
                takes,
                gives,
                dx,
                DIM,
                COMPUTE,
                CHANNELS_LAST,
            )
        if EXACT:
            scale = _power_of_two(_exponent(tl.load(largest + channel, mask=real, other=0), room))
            _exact_gradient_of_x(here, channel, block, axes, dx, fixed, scale, DIM, CHANNELS_LAST)
    if NEEDS_OFFSETS:
        doffsets = _group(doffsets, image, group)
        target = _address(positions, doffsets.space, DIM)
        for axis in tl.static_range(DIM):
            value = _convert(_sum_over_channels(sums[axis], CHANNELS_LAST), doffsets.pointer.dtype.element_ty)
            tl.store(doffsets.pointer + target, value, mask=exists)
            target += doffsets.channel


@triton.jit
@no_type_check
def largest_finite(
    g,
    largest,
    grid,
    channels,
    chunk,
    DIM: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
    WIDE: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """Find max |g| over the finite values of each channel of g, a `Strided` (B, C, *T).

    `largest` (B, C), zero before, receives the bits of float64 values: they order as the values do.
    """
    tile, chunk_index, _, image = _program(grid, 1, tl.cdiv(channels, chunk), DIM, ROWS, COLUMNS)
    positions, exists = _tile_pixels(tile, grid, DIM, ROWS, COLUMNS, CHANNELS_LAST, WIDE)
    g = _part(g, image, chunk_index * 0)
    pixel = _by_pixel(_address(positions, g.space, DIM), CHANNELS_LAST)
    first = chunk_index * chunk
    for start in range(first, tl.minimum(first + chunk, channels), CHANNELS):
        channel, real = _channel_block(start, channels, CHANNELS, CHANNELS_LAST, WIDE)
        block = _by_pixel(exists, CHANNELS_LAST) & real
        size = tl.abs(_convert(tl.load(g.pointer + (pixel + channel * g.channel), mask=block, other=0.0), tl.float64))
        size = tl.where(size < float("inf"), size, 0.0)
        found = tl.max(size, 0 if CHANNELS_LAST else 1).to(tl.int64, bitcast=True)
        every = start + tl.arange(0, CHANNELS)
        tl.atomic_max(largest + image * channels + every, found, mask=every < channels, sem="relaxed")


@triton.jit
@no_type_check
def from_fixed_point(
    fixed,
    total,
    result,
    largest,
    size,
    channels,
    chunk,
    room,
    DIM: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
    WIDE: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """Write the sums of `_exact_gradient_of_x`: total + 2⁻ˢ fixed, `Strided` (B, C, *S) all three."""
    tile, chunk_index, _, image = _program(size, 1, tl.cdiv(channels, chunk), DIM, ROWS, COLUMNS)
    positions, exists = _tile_pixels(tile, size, DIM, ROWS, COLUMNS, CHANNELS_LAST, WIDE)
    fixed = _part(fixed, image, chunk_index * 0)
    total = _part(total, image, chunk_index * 0)
    result = _part(result, image, chunk_index * 0)
    largest += image * channels
    source = _by_pixel(_address(positions, total.space, DIM), CHANNELS_LAST)
    target = _by_pixel(_address(positions, result.space, DIM), CHANNELS_LAST)
    first = chunk_index * chunk
    for start in range(first, tl.minimum(first + chunk, channels), CHANNELS):
        channel, real = _channel_block(start, channels, CHANNELS, CHANNELS_LAST, WIDE)
        block = _by_pixel(exists, CHANNELS_LAST) & real
        unit = _power_of_two(-_exponent(tl.load(largest + channel, mask=real, other=0), room))
        whole = tl.load(fixed.pointer + (source + channel * fixed.channel), mask=block, other=0)
        other = tl.load(total.pointer + (source + channel * total.channel), mask=block, other=0.0)
        value = _convert(whole.to(tl.float64) * unit + other.to(tl.float64), result.pointer.dtype.element_ty)
        tl.store(result.pointer + (target + channel * result.channel), value, mask=block)
