"""Calls of `torch.nn.functional.grid_sample` by `warp`: inside a context, with the same outcome or another kernel."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from warptheory import kernels, warping
from warptheory.core.torch_internals import has_autocast
from warptheory.kernels import Kernel

_MODES = ("bilinear", "nearest", "bicubic")
_PADDINGS = ("zeros", "border", "reflection")
_BY_NUMBER: tuple[Callable[..., Any], ...] = (torch.grid_sampler, torch.grid_sampler_2d, torch.grid_sampler_3d)


@dataclass(frozen=True)
class GridSampleCall:
    """A call of `grid_sample` that was replaced.

    Attributes:
        input: shape (B, C, *S) of its images.
        grid: shape (B, *T, d) of its grid.
        mode: its mode, by torch's name.
        padding_mode: its padding, by torch's name.
        align_corners: as it said.
        kernel: the kernel that was used instead.
        boundary: the boundary rule that was used instead.
    """

    input: tuple[int, ...]
    grid: tuple[int, ...]
    mode: str
    padding_mode: str
    align_corners: bool
    kernel: str | Kernel
    boundary: str


class GridSampleConversion(TorchFunctionMode):
    """The context of `convert_grid_sample`.

    Attributes:
        changes: the calls that were replaced, in their order.
    """

    def __init__(self, kernel: str | Kernel | None = None) -> None:
        super().__init__()
        if kernel is not None:
            kernels.get(kernel)
        self._kernel = kernel
        self.changes: list[GridSampleCall] = []

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run a function of torch; `grid_sample` and what it stands on by `warp`."""
        given = kwargs or {}
        if func is functional.grid_sample:
            image, grid, call = self._by_name(*args, **given)
        elif func in _BY_NUMBER:
            image, grid, call = self._by_number(*args, **given)
        else:
            return func(*args, **given)
        if not _is_taken(image, grid, call):
            return func(*args, **given)  # says what is wrong
        self.changes.append(call)
        return _sampled(image, grid, call)

    def _by_name(
        self,
        input: Tensor,  # noqa: A002
        grid: Tensor,
        mode: str = "bilinear",
        padding_mode: str = "zeros",
        align_corners: bool | None = None,
    ) -> tuple[Tensor, Tensor, GridSampleCall]:
        kernel = mode if self._kernel is None else self._kernel
        boundary = "mirror" if padding_mode == "reflection" and align_corners else padding_mode
        shapes = tuple(input.shape), tuple(grid.shape)
        return input, grid, GridSampleCall(*shapes, mode, padding_mode, bool(align_corners), kernel, boundary)

    def _by_number(
        self,
        input: Tensor,  # noqa: A002
        grid: Tensor,
        interpolation_mode: int,
        padding_mode: int,
        align_corners: bool,
    ) -> tuple[Tensor, Tensor, GridSampleCall]:
        names = _MODES[interpolation_mode], _PADDINGS[padding_mode]
        return self._by_name(input, grid, *names, align_corners)


def convert_grid_sample(kernel: str | Kernel | None = None) -> GridSampleConversion:
    """Return a context inside which `torch.nn.functional.grid_sample` is computed by `warp`.

    It returns what torch returns, and has torch's gradients, but for single places. One that is not finite reads 0 with
    zeros outside, where torch returns NaN, and has no gradient. With mode "nearest" and padding "reflection", one
    halfway between two pixels outside of the image may read the other one. At the very centre of an outermost pixel the
    gradient in the place is the right-hand one, where torch's is 0 with "border" and "reflection". Calls that torch
    refuses, and empty ones, are left to torch.

    Args:
        kernel: reads with this kernel instead of the mode's, a name or a `Kernel`; None keeps the mode's.

    Returns:
        The context; its `changes` lists the calls that it replaced.

    Raises:
        UnknownNameError: no such kernel.

    >>> import torch
    >>> from torch.nn import functional
    >>> from warptheory.operators import convert_grid_sample
    >>> with convert_grid_sample(kernel="keys") as conversion:
    ...     y = functional.grid_sample(torch.rand(1, 3, 8, 8), torch.zeros(1, 4, 4, 2), align_corners=False)
    >>> [(call.mode, call.kernel) for call in conversion.changes]
    [('bilinear', 'keys')]
    """
    return GridSampleConversion(kernel)


def _is_taken(image: Any, grid: Any, call: GridSampleCall) -> bool:
    """Return whether torch would take a call, and something is to be sampled."""
    dim = image.ndim - 2
    return (
        dim in (2, 3)
        and call.mode in _MODES[: 3 if dim == 2 else 2]
        and call.padding_mode in _PADDINGS
        and grid.ndim == dim + 2
        and (len(grid), grid.shape[-1]) == (len(image), dim)
        and image.is_floating_point()
        and image.device == grid.device
        and (image.dtype == grid.dtype or has_autocast(image))
        and 0 not in (*image.shape[1:], *grid.shape[1:])
    )


def _sampled(
    image: Float[Tensor, "B C *S"], grid: Float[Tensor, "B *T d"], call: GridSampleCall
) -> Float[Tensor, "B C *T"]:
    if has_autocast(image):
        wide = torch.promote_types(torch.promote_types(image.dtype, grid.dtype), torch.float32)
        image, grid = image.to(wide), grid.to(wide)
    # Half precision has too few digits for places on a large image.
    scaled = grid.flip(-1).to(torch.promote_types(grid.dtype, torch.float32))
    size = scaled.new_tensor(image.shape[2:])
    positions = (scaled + 1) / 2 * (size - 1) if call.align_corners else ((scaled + 1) * size - 1) / 2
    if call.kernel == "nearest":
        positions = positions.round()  # halves to the even pixel, as torch
    axes = [torch.arange(n, dtype=scaled.dtype, device=scaled.device) for n in grid.shape[1:-1]]
    offsets = positions.movedim(-1, 1) - torch.stack(torch.meshgrid(*axes, indexing="ij"))
    return warping.warp(image, offsets, call.kernel, call.boundary)
