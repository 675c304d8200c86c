"""Homogeneous random fields: theory and simulation of results C2, C3, C4 and C6, and of layers on a grid (C3, D6).

Writes `random_fields.parquet`, one row for each value of a parameter. Spreads s of the offsets, lengths and lags are in
pixels; the pixel is the unit of length (h = 1), so that ℓ is ℓ/h. Fields have mean 0, variance 1 and a covariance that
is squared-exponential. Fields of the continuum are read from a finer grid with cubic splines.

Gradient variances after L layers are mean squares of the differences of neighbouring pixels, on one periodic grid that
every layer reads and writes, C(0) = 1. Theory is C3's growth without a grid, and for the linear kernel D6's chain of
distances, with what interpolation takes away; the ceiling 2C(0)/h² is C4's number for a white field. It bounds what a
grid can hold and is far from reached: interpolation takes away what roughening makes, and where it takes nothing
("nearest") neighbours come to read the same pixel.

The worst case beside C6 is that of `analyses/natural_images.py`: E|∇x|² · max |ε|², the maximum over a region.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float
from torch import Tensor

from warptheory import montecarlo, results
from warptheory.core import records
from warptheory.core.analysis import run_as_script
from warptheory.fields import FieldSampler, SquaredExponential
from warptheory.results._curves import STANDARD, Curve, Point, grid, simulate, write
from warptheory.results.discretization._diffusion_experiments import LayersExperiment

SCRIPT = "analyses/random_fields.py"
DIMS = (1, 2)
SPLINE = "bspline3(prefilter=True)"
LAG_SPREADS = (0.3, 1.0, 3.0)  # pixels
SPREADS = tuple(round(float(s), 4) for s in np.geomspace(0.1, 16, 41))  # pixels
SIMULATED_SPREADS = (0.1, 6.0, 1.0, 2.5, 0.4)
LENGTHS = tuple(round(float(length), 4) for length in np.geomspace(0.2, 12.8, 41))  # pixels
SIMULATED_LENGTHS = (0.2, 0.5, 1.0, 2.5, 8.0)
# Layers on a grid: a field that the grid resolves well, so that there is room for growth.
LAYERED: Mapping[str, float] = {"tau": 0.6, "ell": 6.0, "ell_epsilon": 6.0}
LAYERS = (0, 1, 2, 3, 4, 6, 8, 12, 16)
SIMULATED_LAYERS = (1, 4, 16, 2, 8, 3, 12, 6)  # the first are kept when every n-th is
ON_GRID = "gradient variance on the grid after L layers"
CONTINUUM = "gradient variance of the continuum after L layers"
CEILING = "largest gradient variance on the grid"
WORST_CASE = "worst case of the displacement error"
REGION = {1: (256,), 2: (64, 64)}  # pixels
PIXEL_SPACING: Mapping[str, float] = {"h": 1.0}  # lengths in pixels


def moved_covariance() -> Iterator[Curve]:
    """Yield the covariance of a moved field against the lag along every axis, for spreads of the offsets (C2)."""
    result, values, simulated = results.get("C2"), grid(0.0, 10.0, 41), (0.0, 4.0, 1.0, 8.0, 2.0)
    for spread in LAG_SPREADS:
        for dim in DIMS if spread == 1 else (1,):
            given = {"s": spread}
            yield Curve(result, "covariance", "t", values, simulated, SPLINE, dim, given, rtol=2e-2, atol=1.5e-2)


def roughening() -> Iterator[Curve]:
    """Yield the slope variance against the spread of the offsets (C3)."""
    values, simulated = grid(0.05, 4.0, 41), (0.4, 2.0, 1.2, 3.0, 4.0)
    for dim in DIMS:
        yield Curve(results.get("C3"), "slope variance", "s", values, simulated, SPLINE, dim, rtol=2e-2)


def displacements() -> Iterator[Curve]:
    """Yield how far offsets move a field from itself against their spread, and its law for small ones (C6)."""
    result = results.get("C6")
    for dim in DIMS:
        yield Curve(result, "displacement error", "s", SPREADS, SIMULATED_SPREADS, SPLINE, dim, rtol=2e-2)
    yield Curve(result, "displacement error, small offsets", "s", SPREADS, (), SPLINE)


def interpolation() -> Iterator[Curve]:
    """Yield the variance of an interpolated field and of its offset derivative against the field's length (C4)."""
    result = results.get("C4")
    for kernel in ("linear", "keys"):
        for quantity in ("variance", "variance of the offset derivative"):
            for dim in DIMS if kernel == "linear" else (1,):  # of keys on two axes the derivation takes long
                yield Curve(result, quantity, "l", LENGTHS, SIMULATED_LENGTHS, kernel, dim, PIXEL_SPACING, rtol=1.5e-2)


def worst_cases(seed: int, device: str, thin: int) -> Iterator[Point]:
    """Yield E|∇x|² · E max |ε|², simulated for a spread of one pixel; both grow with its square."""
    for dim in DIMS:
        curve = Curve(results.get("C6"), WORST_CASE, "s", kernel=SPLINE, dim=dim)
        unit = simulate(curve.at(1.0), WorstCaseExperiment(dim), {}, rtol=1e-2, seed=seed, device=device)
        for spread in SPREADS[::thin]:
            scale = spread**2
            yield replace(unit, value=spread, estimate=scale * unit.estimate, stderr=scale * unit.stderr)


@dataclass(frozen=True)
class WorstCaseExperiment:
    """E|∇x|² · max |ε|² over a region, for offsets of unit spread and the lengths of C6.

    Attributes:
        dim: number d of axes.
    """

    dim: int

    @property
    def symbols(self) -> set[str]:
        """None: all is fixed."""
        return set()

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels of the region, over the components."""
        return self.dim * math.prod(REGION[self.dim])

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw offsets over the region, and return the bound; shape (rows,)."""
        lengths = results.get("C6").values
        sampler = FieldSampler(SquaredExponential(lengths["l_e"], 1.0, self.dim), REGION[self.dim])
        offsets = sampler.sample(rows, generator, channels=self.dim, device=device)
        gradient = self.dim / lengths["l"] ** 2
        return gradient * offsets.square().sum(1).flatten(1).amax(1)


def layers(seed: int, device: str, thin: int) -> Iterator[Point]:
    """Yield gradient variances after L layers: of the continuum, on the grid for three kernels, and its ceiling."""
    length, spread = LAYERED["ell"], LAYERED["tau"] * LAYERED["ell_epsilon"]
    field = SquaredExponential(length, dim=1)
    start = 2 * float(field(0.0) - field(1.0))
    one = Curve(
        results.get("C3"), "slope variance", "s", kernel=SPLINE, given={"l": length, "l_e": LAYERED["ell_epsilon"]}
    )
    slopes = float(field.second_moment())
    growth = one.theory(spread) / slopes
    continuum = Curve(results.get("C3"), CONTINUUM, "L", kernel=SPLINE, given=LAYERED)
    yield from (replace(continuum.at(float(n)), theory=slopes * growth**n) for n in LAYERS)
    white = Curve(results.get("C4"), "variance of the offset derivative", "l", given=PIXEL_SPACING)
    yield replace(Curve(results.get("C4"), CEILING, "L").at(math.inf), theory=white.theory(1e-3))
    chain = Curve(results.get("D6"), "growth of the gradient variance in L layers", "L", given=LAYERED)
    on_grid = Curve(results.get("D6"), ON_GRID, "L", given=LAYERED)
    chosen = SIMULATED_LAYERS[::thin]
    for number in LAYERS:
        point = replace(on_grid.at(float(number)), theory=start * (chain.theory(float(number)) if number else 1.0))
        yield grown(point, start, seed, device) if number in chosen else point
    for kernel in (SPLINE, "nearest"):
        for number in sorted(chosen):
            yield grown(replace(on_grid, kernel=kernel).at(float(number)), start, seed, device)


def grown(point: Point, start: float, seed: int, device: str) -> Point:
    """Return a point with its estimate: the growth in its layers, times the gradient variance at the start."""
    experiment, values = LayersExperiment(point.kernel, 1, gradient=True, layers=None), {**LAYERED, "L": point.value}
    found = simulate(point, experiment, values, rtol=3e-2, seed=seed, device=device)
    return replace(found, estimate=start * found.estimate, stderr=start * found.stderr)


def run(out: Path, seed: int = 0, device: str = "cpu", thin: int = 1) -> Path:
    """Compute and write the record; return its path.

    Args:
        out: folder of the record.
        seed: seed of every random number.
        device: torch device on which the operator runs.
        thin: keep every `thin`-th value of the parameters only.
    """
    montecarlo.check_device(device)
    curves = (*moved_covariance(), *roughening(), *displacements(), *interpolation())
    points = [point for curve in curves for point in curve.points(seed, device, thin)]
    points += [*worst_cases(seed, device, thin), *layers(seed, device, thin)]
    manifest = records.Manifest(SCRIPT, seed, device, {"thin": thin, "layers": dict(LAYERED), **STANDARD})
    return write(records.output_folder(out) / "random_fields.parquet", points, manifest)


if __name__ == "__main__":
    run_as_script(run, __doc__)
