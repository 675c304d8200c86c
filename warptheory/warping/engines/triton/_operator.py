"""W x, Wᵀg and both gradients on tensors: layouts, block sizes, launches.

Nothing here waits for the device, so every function can be captured in a CUDA graph.
"""

import functools
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

import torch
import triton
import triton.language as tl
from torch import Tensor

from warptheory.warping.engines.layout import empty_image, empty_offsets
from warptheory.warping.engines.layout import is_channels_last as _channels_last
from warptheory.warping.engines.triton import _kernels as kernels
from warptheory.warping.shapes import GridTensor, GroupedOffsets, ImageTensor

Knot = Literal["right", "central"]

# Programs per multiprocessor below which tiles shrink: with four warps each, a Hopper multiprocessor
# then holds half of its 64 warps, enough loads in flight to hide the latency of memory.
_PROGRAMS = 8


def gather(x: ImageTensor, offsets: GroupedOffsets, boundary: str) -> GridTensor:
    """Gather W x with the linear kernel.

    Args:
        x: images, shape (B, C, *S), any strides.
        offsets: ε in pixels, shape (B, G, d, *T), any strides, dtype of x or another.
        boundary: "zeros", "border", "reflect", "mirror" or "periodic".

    Returns:
        y, shape (B, C, *T), dtype of x, channels-last where x is; float32 inside, float64 where an input is.
    """
    grid = offsets.shape[3:]
    y = empty_image(x, grid)
    if x.numel() == 0 or y.numel() == 0:
        return y.zero_()
    vectors = _channels_last(x) and x.shape[1] >= 16 * offsets.shape[1]
    work = 2048 if vectors and len(grid) < 3 else 1024
    blocks = _blocks_like(x, grid, offsets.shape[1], work, split=True)
    with _device_of(x):
        kernels.gather[blocks.programs](
            _strided(x),
            _grouped(offsets),
            _strided(y),
            tuple(x.shape[2:]),
            tuple(grid),
            offsets.shape[1],
            x.shape[1] // offsets.shape[1],
            blocks.chunk,
            BOUNDARY=boundary,
            COMPUTE=_compute(x, offsets),
            WIDE=_wide(x, offsets, y),
            **blocks.constants,
        )
    return y


def scatter(
    g: GridTensor, offsets: GroupedOffsets, size: Sequence[int], boundary: str, deterministic: bool | None = None
) -> ImageTensor:
    """Scatter Wᵀg with the linear kernel.

    Args:
        g: values, shape (B, C, *T), any strides.
        offsets: ε in pixels, shape (B, G, d, *T), any strides.
        size: S.
        boundary: "zeros", "border", "reflect", "mirror" or "periodic".
        deterministic: whether the result is the same bits in every run; None asks
            `torch.are_deterministic_algorithms_enabled()`.

    Returns:
        Wᵀg, shape (B, C, *size), dtype of g, channels-last where g is; accumulated in float32 or
        wider, in 63-bit fixed point where deterministic.
    """
    sums = _Sums.zero((*g.shape[:2], *size), g, g, deterministic)
    if g.numel() > 0 and sums.total.numel() > 0:
        _add_gradients(g, sums.total, offsets, sums, None, boundary, "right")  # without offsets, x is not read
    return sums.value(g.dtype)


def gradients(
    g: GridTensor,
    x: ImageTensor,
    offsets: GroupedOffsets,
    boundary: str,
    knot: Knot,
    needs_x: bool,
    needs_offsets: bool,
    deterministic: bool | None = None,
) -> tuple[ImageTensor | None, GroupedOffsets | None]:
    """Differentiate Σ g·(W x) in x and in the offsets, in one pass over g.

    Args:
        g: gradient of y, shape (B, C, *T), any strides.
        x: images, shape (B, C, *S), any strides.
        offsets: ε in pixels, shape (B, G, d, *T), any strides.
        boundary: "zeros", "border", "reflect", "mirror" or "periodic".
        knot: derivative in an offset at integer positions, "right" or "central" (the mean of the
            two one-sided ones).
        needs_x: whether to return the first gradient.
        needs_offsets: whether to return the second.
        deterministic: as in `scatter`; the gradient in the offsets always is.

    Returns:
        Wᵀg, shape (B, C, *S), dtype and layout of x, or None; and dε_i[n] = Σ_c g_c[n] (∂ᵢW x_c)[n],
        shape (B, G, d, *T), dtype and layout of the offsets, or None.
    """
    sums = _Sums.zero(x.shape, x, g, deterministic) if needs_x else None
    doffsets = empty_offsets(offsets) if needs_offsets else None
    if g.numel() == 0 or x.numel() == 0:
        doffsets = None if doffsets is None else doffsets.zero_()
    elif needs_x or needs_offsets:
        _add_gradients(g, x, offsets, sums, doffsets, boundary, knot)
    return None if sums is None else sums.value(x.dtype), doffsets


@dataclass(frozen=True)
class _Sums:
    """Where Wᵀg is summed.

    The order of atomic additions changes from run to run, and so would the rounding of floating-point
    sums. Sums of integers have no rounding: in the deterministic mode every value is first rounded to
    a multiple of 2⁻ˢ, with s from the largest finite |g| of its image and channel and the number of
    pixels, so that no sum leaves 63 bits. Against sorting the additions by address, or letting each
    tile of dx search its sources, this needs one kernel for any offsets and no bound on them, and is
    also more accurate than float32: each value errs by at most 2^(−62 + log₂ N) max|g| for N pixels,
    2⁻⁴² for a million, where float32 keeps 2⁻²⁴ of the running sum.

    Attributes:
        total: floating sums, (B, C, *S); in the deterministic mode of the values that are not finite.
        fixed: sums in units of 2⁻ˢ, int64 (B, C, *S), with the strides of total; None where fast.
        largest: bits of the largest finite |g| as float64, int64 (B, C); None where fast.
        room: 62 − log₂ N: bits that a single value may use.
    """

    total: Tensor
    fixed: Tensor | None
    largest: Tensor | None
    room: int

    @classmethod
    def zero(cls, shape: Sequence[int], like: Tensor, g: Tensor, deterministic: bool | None) -> "_Sums":
        """Return empty sums of a shape, in the layout of a tensor, for contributions of g."""
        total = empty_image(like, shape[2:], torch.promote_types(like.dtype, torch.float32)).zero_()
        if deterministic is None:
            deterministic = torch.are_deterministic_algorithms_enabled()
        if not deterministic or total.numel() == 0 or g.numel() == 0:
            return cls(total, None, None, 0)
        fixed = torch.empty_strided(total.shape, total.stride(), dtype=torch.int64, device=total.device).zero_()
        room = 62 - (math.prod(g.shape[2:]) - 1).bit_length()
        return cls(total, fixed, _largest_finite(g), room)

    def value(self, dtype: torch.dtype) -> Tensor:
        """Return the sums (B, C, *S) as floating values."""
        if self.fixed is None or self.largest is None:
            return self.total.to(dtype)
        result = self.total if self.total.dtype == dtype else torch.empty_like(self.total, dtype=dtype)
        size = self.total.shape[2:]
        blocks = _blocks_like(self.total, size, groups=1, work=1024, split=True)
        with _device_of(self.total):
            kernels.from_fixed_point[blocks.programs](
                _strided(self.fixed),
                _strided(self.total),
                _strided(result),
                self.largest,
                tuple(size),
                self.total.shape[1],
                blocks.chunk,
                self.room,
                WIDE=_wide(self.total),
                **blocks.constants,
            )
        return result


def _largest_finite(g: Tensor) -> Tensor:
    """Return the bits of the largest finite |g| (B, C, *T) of each channel as float64, int64 (B, C)."""
    largest = torch.zeros(g.shape[:2], dtype=torch.int64, device=g.device)
    blocks = _blocks_like(g, g.shape[2:], groups=1, work=2048, split=True)
    with _device_of(g):
        kernels.largest_finite[blocks.programs](
            _strided(g), largest, tuple(g.shape[2:]), g.shape[1], blocks.chunk, WIDE=_wide(g), **blocks.constants
        )
    return largest


def _add_gradients(
    g: Tensor,
    x: Tensor,
    offsets: Tensor,
    sums: _Sums | None,
    doffsets: Tensor | None,
    boundary: str,
    knot: Knot,
) -> None:
    """Launch the kernel of both gradients; what is None is neither read nor written."""
    tensors = [g, x, offsets]
    if sums is not None:
        tensors.append(sums.total)
    if doffsets is not None:
        tensors.append(doffsets)
    groups = offsets.shape[1]
    blocks = _blocks_like(x, g.shape[2:], groups, work=512, split=doffsets is None)
    exact = sums is not None and sums.fixed is not None
    with _device_of(g):
        kernels.gradients[blocks.programs](
            _strided(g),
            _strided(x),
            _grouped(offsets),
            _strided(x if sums is None else sums.total),
            _grouped(offsets if doffsets is None else doffsets),
            None if sums is None else sums.fixed,
            None if sums is None else sums.largest,
            tuple(x.shape[2:]),
            tuple(g.shape[2:]),
            groups,
            g.shape[1] // groups,
            blocks.chunk,
            0 if sums is None else sums.room,
            BOUNDARY=boundary,
            COMPUTE=_compute(g, x, offsets),
            WIDE=_wide(*tensors),
            CENTRAL=knot == "central",
            NEEDS_X=sums is not None,
            NEEDS_OFFSETS=doffsets is not None,
            EXACT=exact,
            **blocks.constants,
        )


@dataclass(frozen=True)
class _Blocks:
    """How work is divided into programs.

    Attributes:
        programs: launch grid.
        chunk: channels of one program.
        constants: compile-time constants of every kernel, and options of the compiler.
    """

    programs: tuple[int]
    chunk: int
    constants: dict[str, object]


def _blocks_like(values: Tensor, space: Sequence[int], groups: int, work: int, split: bool) -> _Blocks:
    """Choose blocks for the batch, channels and layout of a tensor (B, C, *S)."""
    batch, channels = values.shape[:2]
    fill = _PROGRAMS * _multiprocessors(values.device)
    return _blocks(tuple(space), channels, batch, groups, _channels_last(values), work, split, fill)


@functools.lru_cache(maxsize=1024)
def _blocks(
    space: tuple[int, ...], channels: int, batch: int, groups: int, last: bool, work: int, split: bool, fill: int
) -> _Blocks:
    """Choose blocks for the pixels of a grid and the channels of each group.

    A rule rather than autotuning: timings would make the choice, and with it the last bit of float32
    sums, differ from run to run, and could not be taken while a CUDA graph is captured.

    Channels-last: lanes take up to 64 channels (256 bytes of float32), in 128-bit accesses, and a small
    square of pixels, whose corners overlap and are read from the L1 cache. Otherwise a warp takes 32
    pixels of a row, and a thread several channels of its pixel, so that indices and weights are
    computed once for all of them. Small images have few tiles: then channels are split where that is
    allowed, else tiles shrink, and more warps share the channels of a program.

    `work` is set by registers: forward, 16 values per thread where loads are vectors and 8 where they
    are single leave half of them free; backward, with three sets of corners, 4.

    Args:
        space: sizes of the grid whose pixels are divided.
        channels: C.
        batch: B.
        groups: G.
        last: whether channels are contiguous in memory.
        work: values of a program of four warps.
        split: whether channels of a group may go to several programs.
        fill: number of programs that fills the device.
    """
    per_group = channels // groups
    block = min(triton.next_power_of_2(per_group), 64 if last else work // 128)
    pixels = max(16, min(work // block, 256))
    chunk = triton.cdiv(per_group, block) * block
    while True:
        rows, columns, tiles = _tile(space, pixels, last)
        programs = tiles * batch * groups * triton.cdiv(per_group, chunk)
        if programs >= fill:
            break
        if split and chunk > block:
            chunk = triton.cdiv(chunk // 2, block) * block
        elif pixels > (8 if last else 32):
            pixels //= 2
            block *= 1 if last or split or block >= per_group else 2
        elif not (last or split) and block < per_group and pixels * block < 2 * work:
            block *= 2
        else:
            break
    constants = {
        "DIM": len(space),
        "CHANNELS_LAST": last,
        "ROWS": rows,
        "COLUMNS": columns,
        "CHANNELS": block,
        "num_warps": max(1, min(4 * pixels * block // work, 8)),
        # Said aloud because the default of the compiler is about to change.
        "enable_fp_fusion": True,
    }
    return _Blocks((programs,), triton.cdiv(chunk, block) * block, constants)


def _tile(space: Sequence[int], pixels: int, last: bool) -> tuple[int, int, int]:
    """Return rows and columns of a tile, and how many tiles cover the grid: the shape that wastes least.

    Of equal ones, the one nearest to a square for channels-last, to rows of 32 otherwise.
    """
    height, width = space[-2] if len(space) > 1 else 1, space[-1]
    if len(space) == 1:
        return 1, pixels, triton.cdiv(width, pixels)
    wanted = max(8.0, math.sqrt(pixels)) if last else 32.0
    across = [2**power for power in range(pixels.bit_length()) if last or 3 <= power <= 5]
    shapes = [(min(pixels // columns, triton.next_power_of_2(height)), columns) for columns in across]

    def cost(shape: tuple[int, int]) -> tuple[int, float]:
        rows, columns = shape
        covered = triton.cdiv(height, rows) * rows * triton.cdiv(width, columns) * columns
        return covered, abs(columns - wanted)

    rows, columns = min(shapes, key=cost)
    tiles = triton.cdiv(height, rows) * triton.cdiv(width, columns) * math.prod(space[:-2])
    return rows, columns, tiles


def _multiprocessors(device: torch.device) -> int:
    """Return the number of multiprocessors to fill; the interpreter runs programs one by one, and has none."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 0


def _compute(*tensors: Tensor) -> tl.dtype:
    return tl.float64 if any(tensor.dtype == torch.float64 for tensor in tensors) else tl.float32


def _wide(*tensors: Tensor) -> bool:
    """Whether element offsets within one image of a tensor leave int32, with room for a pixel of offset 2³⁰."""
    return any(
        sum((n - 1) * stride for n, stride in zip(tensor.shape[1:], tensor.stride()[1:], strict=True)) >= 2**30
        for tensor in tensors
    )


def _device_of(values: Tensor) -> AbstractContextManager[None]:
    return torch.cuda.device_of(values)  # type: ignore[no-untyped-call]  # torch leaves it untyped


def _strided(values: Tensor) -> kernels.Strided:
    return kernels.Strided(values, values.stride(0), values.stride(1), values.stride()[2:])


def _grouped(offsets: Tensor) -> kernels.Grouped:
    return kernels.Grouped(offsets, offsets.stride(0), offsets.stride(1), offsets.stride(2), offsets.stride()[3:])
