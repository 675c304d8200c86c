"""The CPU backend of the linear kernel: numba kernels on torch's memory, without a copy."""

from collections.abc import Sequence
from math import prod

import numpy as np
import torch
from torch import Tensor

from warptheory.warping._cpu import _kernels as kernels
from warptheory.warping._cpu._kernels import Gradients, Problem, Values
from warptheory.warping._cpu._plan import BOUNDARIES

_REAL = {torch.float32: np.empty(0, np.float32), torch.float64: np.empty(0, np.float64)}
# Fewer output values than this are not worth waking threads for.
_SERIAL = 20_000
# Images and groups that suffice to occupy the threads, so that none is cut into units.
_MANY = 8


def _threads(tasks: int, work: int) -> int:
    return 1 if work < _SERIAL else min(torch.get_num_threads(), tasks)
