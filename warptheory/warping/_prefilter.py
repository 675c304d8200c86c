"""The prefilter of kernels that interpolate only after one: coefficients in place of pixel values.

A B-spline of degree three is no interpolant: Σₘ k(n − m) x[m] blurs x. The coefficients c that solve
Σₘ k(n − m) c[m] = x[n] at all integers n, the pixels x continued by the boundary rule, make it one
(M. Unser, IEEE Signal Process. Mag. 16(6), 1999). They are x convolved with the inverse h of the kernel's
samples, which decays geometrically and is cut where what is left of it is below rounding.

Where the boundary rule commutes with filters (reflect, mirror, periodic), it continues c as it continues x. Beside an
image in zeros or between copies of its edge, c oscillates on, as far as h reaches. So c is then worked out
on an axis that is longer by that margin at both ends, and the kernel reads coefficient m at m + margin.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache, reduce
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from warptheory.core.errors import ArgumentError
from warptheory.core.torch_internals import constant_when_traced
from warptheory.kernels import CardinalSpline
from warptheory.warping import boundaries, reference
from warptheory.warping._options import WarpOptions, kernel_of, moved_handle
from warptheory.warping.engines.layout import empty_image, is_channels_last
from warptheory.warping.interpolation import Interpolation

_BLOCK = 32  # coefficients of a long line that one product of matrices works out
_SHORT = 128  # pixels of a line for which a block costs no less than all of it


class Prefilter(NamedTuple):
    """How the coefficients of a kernel come about, and what gathers them.

    Attributes:
        boundary: name of the rule that continues pixels.
        response: h[−R], …, h[R].
        margin: coefficients beyond each end of an axis.
        gathers: handle of the kernel that reads coefficients instead of pixels.
    """

    boundary: str
    response: tuple[float, ...]
    margin: int
    gathers: str

    @property
    def reach(self) -> int:
        """R: pixels on each side that a coefficient depends on."""
        return len(self.response) // 2


def prefilter_of(options: WarpOptions, dtype: torch.dtype) -> Prefilter | None:
    """Return the prefilter of a kernel for images of a dtype; None if it has none."""
    found = _remembered(options.kernel, options.boundary, dtype == torch.float64)
    return None if found is None else Prefilter(*found)


def _of(kernel: str, boundary: str, dtype: torch.dtype) -> Prefilter:
    found = _worked_out(kernel, boundary, dtype == torch.float64)
    assert found is not None
    return Prefilter(*found)


@constant_when_traced
def _remembered(kernel: str, boundary: str, is_double: bool) -> tuple[str, tuple[float, ...], int, str] | None:
    return _worked_out(kernel, boundary, is_double)


@lru_cache(maxsize=64)
def _worked_out(kernel: str, boundary: str, is_double: bool) -> tuple[str, tuple[float, ...], int, str] | None:
    cardinal = kernel_of(kernel)
    if cardinal.prefilter is None:
        return None
    if not isinstance(cardinal, CardinalSpline):
        raise ArgumentError("kernel", expected="a CardinalSpline, where it has a prefilter", received=cardinal.name)
    response = cardinal.inverse(tail=torch.finfo(torch.float64 if is_double else torch.float32).eps / 4)
    margin = 0 if boundaries.get(boundary).commutes else len(response) // 2
    return boundary, response, margin, moved_handle(kernel, margin)


def coefficients(x: Float[Tensor, "B C *S"], options: WarpOptions) -> tuple[Float[Tensor, "B C *M"], WarpOptions]:
    """Return what the operator gathers in place of x, and by which rule; x itself for kernels without a prefilter."""
    prefilter = prefilter_of(options, x.dtype)
    if prefilter is None:
        return x, options
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    return _run(wide, options, False), options._replace(kernel=prefilter.gathers)


def adjoint(found: Float[Tensor, "B C *M"], options: WarpOptions) -> Float[Tensor, "B C *S"]:
    """Return the adjoint of `coefficients`, for a kernel that has a prefilter."""
    return _run(found, options, True)


def _run(values: Tensor, options: WarpOptions, adjoint: bool) -> Tensor:
    call = _prefilter if torch.compiler.is_compiling() else _apply
    return call(values, options.kernel, options.boundary, adjoint)


def _apply(values: Tensor, kernel: str, boundary: str, adjoint: bool) -> Tensor:
    prefilter = _of(kernel, boundary, values.dtype)
    along_lines = _filter_adjoint if adjoint else _filter
    found = values
    with _without_autocast(values.device.type):  # it would take the products in half precision
        for axis in range(2, values.ndim):
            found = _by_matrix_if_short(along_lines, found.movedim(axis, -1), prefilter).movedim(-1, axis)
    if is_channels_last(values):
        return found.movedim(1, -1).contiguous().movedim(-1, 1)
    return found.contiguous()


# One node for torch.compile and torch.export: traced, its blocks would fix the sizes of images.
@torch.library.custom_op("warptheory::prefilter", mutates_args=())
def _prefilter(values: Tensor, kernel: str, boundary: str, adjoint: bool) -> Tensor:
    return _apply(values, kernel, boundary, adjoint)


@_prefilter.register_fake
def _fake_prefilter(values: Tensor, kernel: str, boundary: str, adjoint: bool) -> Tensor:
    longer = 2 * _of(kernel, boundary, values.dtype).margin * (-1 if adjoint else 1)
    return empty_image(values, [length + longer for length in values.shape[2:]])


def _save_rule(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, ctx.kernel, ctx.boundary, ctx.adjoint = inputs


def _prefilter_backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None, None]:
    return _prefilter(g, ctx.kernel, ctx.boundary, not ctx.adjoint), None, None, None


_prefilter.register_autograd(_prefilter_backward, setup_context=_save_rule)


def matrix(offsets: Float[Tensor, "B G d *T"], size: Sequence[int], prefilter: Prefilter) -> Float[Tensor, "B G N M"]:
    """Assemble W as a sparse tensor, which is full: a product over the axes, as the kernel and its prefilter are."""
    interpolation = Interpolation(kernel_of(prefilter.gathers), boundaries.get(prefilter.boundary))
    wide, rows = offsets.to(torch.promote_types(offsets.dtype, torch.float32)), []
    for axis, length in enumerate(size):
        on_coefficients = reference.axis_matrix(wide, axis, length + 2 * prefilter.margin, interpolation)
        rows.append(_filter_adjoint(on_coefficients, prefilter))
    product = reduce(lambda left, right: (left.unsqueeze(-1) * right.unsqueeze(-2)).flatten(-2), rows)
    return product.to(offsets.dtype).to_sparse()


def _by_matrix_if_short(
    along_lines: Callable[[Tensor, Prefilter], Tensor], lines: Tensor, prefilter: Prefilter
) -> Tensor:
    """Call a linear function of lines; where these are short and many, by its matrix, whose rows it makes of units."""
    length = lines.shape[-1]
    if length > _SHORT or lines.numel() <= length**2:
        return along_lines(lines, prefilter)
    return lines @ along_lines(torch.eye(length, dtype=lines.dtype, device=lines.device), prefilter)


def _filter(lines: Float[Tensor, "*K N"], prefilter: Prefilter) -> Float[Tensor, "*K M"]:
    """Return the coefficients of lines of pixels, M = N + 2·margin."""
    index, inside = _continued(lines, lines.shape[-1], prefilter)
    continued = lines.index_select(-1, index)
    if inside is not None:
        continued = continued.masked_fill(~inside, 0)
    return _convolve(continued, prefilter.response)


def _filter_adjoint(found: Float[Tensor, "*K M"], prefilter: Prefilter) -> Float[Tensor, "*K N"]:
    length = found.shape[-1] - 2 * prefilter.margin
    index, inside = _continued(found, length, prefilter)
    padded = functional.pad(found, (2 * prefilter.reach, 2 * prefilter.reach))
    spread = _convolve(padded, prefilter.response[::-1])
    if inside is not None:
        spread = spread.masked_fill(~inside, 0)
    return spread.new_zeros(*spread.shape[:-1], length).index_add(-1, index, spread)


def _continued(like: Tensor, length: int, prefilter: Prefilter) -> tuple[Int[Tensor, "E"], Bool[Tensor, "E"] | None]:
    """Return the pixels that the coefficients of a line depend on, and whether they exist."""
    beyond = prefilter.margin + prefilter.reach
    positions = torch.arange(-beyond, length + beyond, device=like.device)
    return boundaries.get(prefilter.boundary)(positions, length)


def _convolve(lines: Float[Tensor, "*K N"], response: Sequence[float]) -> Float[Tensor, "*K M"]:
    """Convolve lines with a response, where all of it lies inside: M = N + 1 − its length.

    A block of results is a product of the values around it with a matrix, the same for every block.
    """
    others = len(response) - 1
    count = lines.shape[-1] - others
    blocks = -(-count // _BLOCK)
    windows = functional.pad(lines, (0, blocks * _BLOCK - count)).unfold(-1, _BLOCK + others, _BLOCK)
    beside = (0.0,) * (_BLOCK - 1)
    taps = torch.tensor((*beside, *response, *beside), dtype=lines.dtype, device=lines.device)
    rows = torch.arange(_BLOCK + others, device=lines.device)[:, None]
    columns = torch.arange(_BLOCK, device=lines.device)
    return (windows @ taps[columns - rows + others + _BLOCK - 1]).flatten(-2)[..., :count]


def _without_autocast(device: str) -> AbstractContextManager[Any]:
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()
