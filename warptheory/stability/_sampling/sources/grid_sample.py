"""`torch.nn.functional.grid_sample`, and the functions below it that torch offers to callers."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from warptheory.patterns import Lattice
from warptheory.patterns.layouts import NormalisedGrid
from warptheory.stability._sampling._call import FunctionSource, SamplingCall

# torch's bicubic kernel is that of Keys with a = −3/4.
_KERNELS = {"bilinear": "linear", "nearest": "nearest", "bicubic": "keys(-3/4)"}
_BOUNDARIES = {"zeros": "zeros", "border": "border", "reflection": "reflect"}


def sources() -> list[FunctionSource]:
    """Return the function of torch.nn.functional, and those that take its choices as numbers."""
    numbered = (torch.grid_sampler, torch.grid_sampler_2d, torch.grid_sampler_3d)
    return [FunctionSource(functional.grid_sample, _read), *(FunctionSource(each, _read_numbered) for each in numbered)]


def _read(
    output: Tensor,
    input: Tensor,  # noqa: A002
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> SamplingCall:
    size, corners = tuple(input.shape[2:]), bool(align_corners)
    # With aligned corners torch mirrors at the centres of the outermost pixels, not at their edges.
    mirrors = padding_mode == "reflection" and corners
    return SamplingCall(
        "grid_sample",
        input,
        output,
        grid,
        NormalisedGrid(size, corners),
        Lattice.of_resize(size, tuple(output.shape[2:]), corners),
        kernel=_KERNELS[mode],
        boundary="mirror" if mirrors else _BOUNDARIES[padding_mode],
    )


def _read_numbered(
    output: Tensor,
    input: Tensor,  # noqa: A002
    grid: Tensor,
    interpolation_mode: int,
    padding_mode: int,
    align_corners: bool,
    **_: Any,
) -> SamplingCall:
    mode = list(_KERNELS)[interpolation_mode]
    # torch counts bilinear, nearest, bicubic and zeros, border, reflection, as the tables above do.
    return _read(output, input, grid, mode, list(_BOUNDARIES)[padding_mode], align_corners)
