"""Independent inputs: theory and simulation of results A4, A5, A6, A9 and A11.

Writes `iid_statistics.parquet`, one row for each value of a parameter: the closed form's number and, at
some of the values, the estimate with its standard error. Offsets and displacements are in pixels, the
input has mean 0 and variance 1.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from warptheory import montecarlo, results
from warptheory.core import records
from warptheory.core.analysis import run_as_script
from warptheory.results import Setting
from warptheory.results._curves import STANDARD, Curve, grid, write
from warptheory.results.iid import stacks
from warptheory.symbolic import Variance, WideOffsets

SCRIPT = "analyses/iid_statistics.py"
KERNELS = ("linear", "keys", "gauss(0.5)")
DIMS = (1, 2)
PIXEL_STEP = 0.1  # finite step of the curvature, in pixels
LAYERS = (1, 2, 3, 4)
STACKED = "variance after L layers, wide offsets"


def forward_gain() -> Iterator[Curve]:
    """Yield Var y against the spread of normal offsets (A4)."""
    for kernel in KERNELS:
        smooth = kernel == "gauss(0.5)"  # its ρ varies little, and takes longer
        values, simulated = grid(0.02, 0.8, 17 if smooth else 41), grid(0.02, 0.8, 3 if smooth else 5)
        for dim in DIMS:
            yield Curve(results.get("A4"), "variance", "s", values, simulated, kernel, dim, {"offsets": "normal"})


def kurtosis() -> Iterator[Curve]:
    """Yield the excess kurtosis of y for normal input, by kernel and number of axes (A5)."""
    once = (0.0,)
    for kernel in KERNELS:
        for dim in (1,) if kernel == "gauss(0.5)" else DIMS:  # on two axes it takes too long
            yield Curve(results.get("A5"), "excess kurtosis", "", once, once, kernel, dim, atol=4e-3)


def covariance() -> Iterator[Curve]:
    """Yield the covariance of two values against the displacement between them (A6)."""
    name, values = "covariance at a displacement", grid(0.0, 2.4, 41)
    for kernel in KERNELS:
        simulated = grid(0.0, 2.4, 3 if kernel == "gauss(0.5)" else 5)
        for dim in DIMS:
            yield Curve(results.get("A6"), name, "Delta", values, simulated, kernel, dim, atol=8e-3)


def curvature() -> Iterator[Curve]:
    """Yield the curvature of the alignment loss, by finite steps and by automatic differentiation (A11)."""
    result, values = results.get("A11"), grid(0.0, 2.0, 61)
    steps, automatic = "curvature at a finite step", "curvature by automatic differentiation"
    for kernel in ("linear", "keys"):
        given = {"step": PIXEL_STEP}
        yield Curve(result, steps, "Delta", values, grid(0.05, 1.95, 6), kernel, given=given, atol=3e-2)
        yield Curve(result, automatic, "Delta", values, grid(0.24, 1.76, 5), kernel, atol=3e-2)


def stacked(numbers: Sequence[int]) -> Iterator[Curve]:
    """Yield the variance after some numbers of layers of wide offsets (A9), a curve of one point for each."""
    result = results.get("A9")
    three = result.get("variance after three layers, wide offsets")
    for layers in numbers:
        quantity = replace(three, name=STACKED, states=partial(stacked_variance, layers=layers))
        for dim in DIMS:
            at = (float(layers),)
            yield Curve(replace(result, quantities=(quantity,)), STACKED, "L", at, at, dim=dim, rtol=2e-2)


def stacked_variance(setting: Setting, layers: int) -> WideOffsets:
    """State the variance after some layers of wide offsets."""
    return WideOffsets(Variance(stacks.stack(setting, layers)[results.PIXEL]), stacks.HALF_WIDTH)


def run(out: Path, seed: int = 0, device: str = "cpu", thin: int = 1) -> Path:
    """Compute and write the record; return its path.

    Args:
        out: folder of the record.
        seed: seed of every random number.
        device: torch device on which the operator runs.
        thin: keep every `thin`-th value of the parameters only.
    """
    montecarlo.check_device(device)
    curves = [*forward_gain(), *kurtosis(), *covariance(), *curvature(), *stacked(LAYERS[::thin])]
    points = [point for curve in curves for point in curve.points(seed, device, thin)]
    manifest = records.Manifest(SCRIPT, seed, device, {"thin": thin, **STANDARD})
    return write(records.output_folder(out) / "iid_statistics.parquet", points, manifest)


if __name__ == "__main__":
    run_as_script(run, __doc__)
