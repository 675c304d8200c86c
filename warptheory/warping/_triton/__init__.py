"""The warping operator on a GPU, for the linear kernel, in Triton.

    operator   gather, scatter and gradients on tensors: layouts, block sizes, launches
    kernels    what one program does with its block of pixels

Triton is an optional dependency: this module loads without it, the two above do not.
"""

import importlib.util
import os

import torch


def unavailable() -> str | None:
    """Return why this backend cannot run here, or None where it can."""
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed; the extra warptheory[triton] has it"
    if not torch.cuda.is_available() and not interpreting():
        return "no CUDA device, and Triton's interpreter is off (TRITON_INTERPRET=1, set before triton is imported)"
    return None


def interpreting() -> bool:
    """Return whether Triton is asked to interpret kernels on the CPU."""
    return os.environ.get("TRITON_INTERPRET", "0").lower() in ("1", "true", "yes", "on", "y")
