"""Linear interpolation at one shift of a whole image, written out: padded, cut, and mixed."""

import itertools
import math

from torch.nn import functional

MARGIN = 12


def interpolated(x, shift, stride=1, grid=None):
    """Return x(stride·n + shift) for images (B, C, *S) and a shift (d,), zeros outside; derivatives are right-hand."""
    dim = x.ndim - 2
    grid = grid or x.shape[2:]
    padded = functional.pad(x, [MARGIN, MARGIN] * dim)
    whole = shift.detach().floor()
    fraction, total = shift - whole, 0
    for corner in itertools.product((0, 1), repeat=dim):
        first = [MARGIN + int(w) + c for w, c in zip(whole, corner, strict=True)]
        cut = padded[(..., *[slice(f, f + stride * n, stride) for f, n in zip(first, grid, strict=True)])]
        total = total + cut * math.prod(fraction[a] if c else 1 - fraction[a] for a, c in enumerate(corner))
    return total
