"""The engine of tensors on a GPU: the linear kernel in Triton, and for its higher derivatives the reference.

Triton is an optional dependency: this module loads without it, what it calls does not.
"""

import importlib
import importlib.util
import os
from collections.abc import Sequence
from functools import cache
from types import ModuleType

import torch
from torch import Tensor

from warptheory.warping import reference
from warptheory.warping.interpolation import Interpolation, Orders
from warptheory.warping.shapes import GridTensor, GroupedOffsets, ImageTensor

BOUNDARIES = ("zeros", "border", "reflect", "mirror", "periodic")
_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


def unavailable() -> str | None:
    """Return why this engine cannot run here, or None where it can."""
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed; the extra warptheory[triton] has it"
    if not torch.cuda.is_available() and not interpreting():
        return "no CUDA device, and Triton's interpreter is off (TRITON_INTERPRET=1, set before triton is imported)"
    return None


def interpreting() -> bool:
    """Return whether Triton is asked to interpret kernels on the CPU."""
    return os.environ.get("TRITON_INTERPRET", "0").lower() in ("1", "true", "yes", "on", "y")


def obstacle(
    values: ImageTensor, offsets: GroupedOffsets, interpolation: Interpolation, size: Sequence[int] | None = None
) -> str | None:
    """Return why the kernels cannot take values (B, C, *S) and offsets (B, G, d, *T); None if they can."""
    name, boundary = interpolation.kernel.name, interpolation.boundary.name
    if not interpolation.is_linear:
        if name == "linear":
            return "its kernels are for the catalogue's 'linear', not for another of that name"
        return f"its kernels are for 'linear', not {name!r}"
    if boundary not in BOUNDARIES:
        return f"its kernels know the boundaries {', '.join(BOUNDARIES)}, not {boundary!r}"
    missing = unavailable()
    if missing is not None:
        return missing
    if values.device.type != "cuda" and not interpreting():
        return f"the tensors are on {values.device}"
    if values.dtype not in _DTYPES or offsets.dtype not in _DTYPES:
        return f"its kernels are for {', '.join(str(dtype).removeprefix('torch.') for dtype in _DTYPES)}"
    return None


def gather(x: ImageTensor, offsets: GroupedOffsets, interpolation: Interpolation, orders: Orders) -> GridTensor:
    """Gather ∂ᵅW x, (B, C, *T)."""
    if any(orders):
        return reference.gather(x, offsets, interpolation, orders)
    found: Tensor = _launches().gather(x, offsets, interpolation.boundary.name)
    return found


def scatter(
    g: GridTensor, offsets: GroupedOffsets, size: Sequence[int], interpolation: Interpolation, orders: Orders
) -> ImageTensor:
    """Scatter ∂ᵅWᵀg, (B, C, *size)."""
    if any(orders):
        return reference.scatter(g, offsets, size, interpolation, orders)
    found: Tensor = _launches().scatter(g, offsets, size, interpolation.boundary.name)
    return found


def gradients(
    g: GridTensor, x: ImageTensor, offsets: GroupedOffsets, interpolation: Interpolation, needs: tuple[bool, bool]
) -> tuple[ImageTensor | None, GroupedOffsets | None]:
    """Return Wᵀg (B, C, *S) and Σ_c g_c ∂ᵢWx_c (B, G, d, *T), or the one that is needed."""
    launches = _launches()
    found: tuple[Tensor | None, Tensor | None] = launches.gradients(
        g, x, offsets, interpolation.boundary.name, interpolation.knot, *needs
    )
    return found


@cache
def _launches() -> ModuleType:
    """Import what launches the kernels, and with it Triton."""
    return importlib.import_module("warptheory.warping.engines.triton._operator")
