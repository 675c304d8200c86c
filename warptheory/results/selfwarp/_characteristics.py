"""Burgers' equation ∂ₛu = u ∂ₜu, solved along its characteristics by root finding, and nothing that warps."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.optimize import elementwise

from warptheory.core.errors import ArgumentError


def burgers_solution(
    initial: Callable[[Float[ndarray, "*N"]], Float[ndarray, "*N"]],
    points: Float[ndarray, "*N"],
    time: float,
    bound: float,
) -> Float[ndarray, "*N"]:
    """Return the smooth solution u of ∂ₛu = u ∂ₜu at a time, by the root of u = x(t + su) at every point t.

    The root is bracketed and found to rounding (Chandrupatla's method). It is unique before the shock, while
    s max x′ < 1.

    Args:
        initial: x, a smooth function of arrays, shape (*N) to (*N).
        points: t, shape (*N).
        time: s ≥ 0, the scale α of one self-warp.
        bound: an upper bound of |x|.

    Raises:
        ArgumentError: a bound that |x| exceeds at a characteristic's foot, so that the root is not bracketed.
    """
    find_root: Any = elementwise.find_root  # whose stubs know of no arguments

    def gap(value: ndarray, point: ndarray) -> ndarray:
        return np.asarray(value - initial(point + time * value))

    ends = np.full_like(points, -bound), np.full_like(points, bound)
    with np.errstate(invalid="ignore"):  # in interpolations that the method then rejects
        found = find_root(gap, ends, args=(points,))
    if not np.all(found.success):
        raise ArgumentError("bound", expected="an upper bound of |x|", received=bound)
    return np.asarray(found.x)
