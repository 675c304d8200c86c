"""Repeated self-warps beside Burgers' equation ∂ₛu = u ∂ₜu: the solution, and how fast steps converge to it.

A wave of two harmonics on a period of 2π is warped by itself, n times with the scale s/n. The exact solution follows
the characteristics t = r − s x(r), u = x(r): past the shock, where they cross, it has three branches. Errors are root
mean squares over the period, against roots of u = x(t + su), before the shock.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from warptheory.operators import SelfWarp1d
from warptheory.results.selfwarp.burgers import burgers_solution

SPLINE = "bspline3(prefilter=True)"
CHARACTERISTICS, SOLUTION, WARPED, INITIAL, ERROR = "characteristics", "solution", "self-warps", "initial", "error"
TIMES = (0.5, 1.0, 1.5)  # of the shock's
STEPS = (1, 2, 4, 8, 16, 32, 64, 128)
GRIDS = (("linear", 64), ("linear", 256), (SPLINE, 64))
_DRAWN_POINTS, _DRAWN_STEPS = 256, 64
_ERROR_TIME = 0.8  # of the shock's
_LARGEST = 1.5  # above |x|
_SHIFT = 3.0  # puts the shock in the middle


@dataclass(frozen=True)
class BurgersRow:
    """A row of the record.

    Attributes:
        series: what it is a point of.
        time: s over the time of the shock.
        kernel: name of the interpolation kernel; empty where nothing is read.
        points: points of the grid in a period; 0 where there is none.
        steps: number n of self-warps; 0 where there are none.
        position: t, or the number of the characteristic for a line.
        value: u; for errors, their root mean square over that of x.
    """

    series: str
    time: float
    kernel: str
    points: int
    steps: int
    position: float
    value: float


def initial(t: Float[ndarray, "*N"]) -> Float[ndarray, "*N"]:
    """Return x(t), shape (*N) as given."""
    return np.asarray(np.sin(t + _SHIFT) + 0.35 * np.sin(2 * (t + _SHIFT) + 1.0))


def shock_time() -> float:
    """Return 1/max x′, the time of the shock, to the accuracy of a fine grid."""
    t = np.linspace(0, 2 * math.pi, 100_001)
    return float(1 / np.max(np.cos(t) + 0.7 * np.cos(2 * t + 1.0)))


def self_warped(time: float, steps: int, points: int, kernel: str) -> Float[ndarray, "N"]:
    """Return x after a number of self-warps of equal scale, shape (points,).

    Args:
        time: the sum s of the scales.
        steps: the number of self-warps.
        points: points of the period's grid.
        kernel: name of the interpolation kernel.
    """
    spacing = 2 * math.pi / points
    layer = SelfWarp1d(1, kernel_size=1, scale=time / steps / spacing, kernel=kernel, boundary="periodic").double()
    torch.nn.init.ones_(layer.head.weight)
    x = torch.from_numpy(initial(spacing * np.arange(points)))[None, None]
    with torch.no_grad():
        for _ in range(steps):
            x = layer(x)
    return np.asarray(x[0, 0].numpy())


def burgers_rows() -> Iterator[BurgersRow]:
    """Yield characteristics, the solution and repeated self-warps at some times, and errors against steps."""
    shock = shock_time()
    feet = np.linspace(0, 2 * math.pi, 401)
    for number, foot in enumerate(np.linspace(0, 2 * math.pi, 41)):
        for time in (0.0, max(TIMES)):
            value = float(foot - time * shock * initial(np.array([foot]))[0])
            yield BurgersRow(CHARACTERISTICS, time, "", 0, 0, float(number), value)
    places = 2 * math.pi / _DRAWN_POINTS * np.arange(_DRAWN_POINTS)
    yield from _lines(INITIAL, 0.0, places, initial(places))
    for time in TIMES:
        yield from _lines(SOLUTION, time, feet - time * shock * initial(feet), initial(feet))
        found = self_warped(time * shock, _DRAWN_STEPS, _DRAWN_POINTS, SPLINE)
        yield from _lines(WARPED, time, places, found, SPLINE, _DRAWN_POINTS, _DRAWN_STEPS)
    for kernel, points in GRIDS:
        grid = 2 * math.pi / points * np.arange(points)
        exact = burgers_solution(initial, grid, _ERROR_TIME * shock, _LARGEST)
        size = math.sqrt(float(np.mean(initial(grid) ** 2)))
        for steps in STEPS:
            gap = self_warped(_ERROR_TIME * shock, steps, points, kernel) - exact
            error = math.sqrt(float(np.mean(gap**2))) / size
            yield BurgersRow(ERROR, _ERROR_TIME, kernel, points, steps, 0.0, error)


def _lines(
    series: str,
    time: float,
    places: Float[ndarray, "N"],
    values: Float[ndarray, "N"],
    kernel: str = "",
    points: int = 0,
    steps: int = 0,
) -> Iterator[BurgersRow]:
    for place, value in zip(places, values, strict=True):
        yield BurgersRow(series, time, kernel, points, steps, float(place), float(value))
