"""Independent inputs: theory and simulation of results A4, A5, A6, A9 and A11.

Writes `iid_statistics.parquet`, one row for each value of a parameter: the closed form's number and, at
some of the values, the estimate with its standard error. Offsets and displacements are in pixels, the
input has mean 0 and variance 1.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from warptheory import montecarlo, results, symbolic
from warptheory.core import records
from warptheory.core.analysis import run_as_script
from warptheory.montecarlo import Claim
from warptheory.results import Result, Setting
from warptheory.results.iid import stacks
from warptheory.symbolic import Statistic, Variance, WideOffsets

SCRIPT = "analyses/iid_statistics.py"
KERNELS = ("linear", "keys", "gauss(0.5)")
DIMS = (1, 2)
STANDARD: Mapping[str, Any] = {"mu": 0.0, "sigma": 1.0}
PIXEL_STEP = 0.1  # finite step of the curvature, in pixels
LAYERS = (1, 2, 3, 4)


def grid(first: float, last: float, points: int) -> tuple[float, ...]:
    """Return evenly spaced values, rounded so that they can be printed."""
    return tuple(float(value) for value in np.round(np.linspace(first, last, points), 4))


@dataclass(frozen=True)
class Curve:
    """A quantity of a result against one of its parameters.

    Attributes:
        result: the result.
        quantity: name of the quantity.
        parameter: name of the parameter's symbol; pixels, or without unit for slopes.
        values: where the closed form is evaluated.
        simulated: where it is simulated as well.
        kernel: name of the interpolation kernel.
        dim: number of axes.
        given: what else is chosen: a law, or numbers for other symbols.
        rtol: relative precision of the simulation.
        atol: absolute precision of the simulation; the coarser of the two decides.
    """

    result: Result
    quantity: str
    parameter: str = ""
    values: tuple[float, ...] = ()
    simulated: tuple[float, ...] = ()
    kernel: str = "linear"
    dim: int = 1
    given: Mapping[str, Any] = field(default_factory=dict)
    rtol: float = 1e-2
    atol: float = 0.0

    def claim(self, value: float) -> Claim:
        """Return the result's claim at a value of the parameter."""
        at = {self.parameter: value} if self.parameter else {}
        return self.result.claim(self.quantity, kernel=self.kernel, dim=self.dim, **{**STANDARD, **self.given, **at})

    def theories(self, values: Sequence[float], claim: Claim) -> list[float]:
        """Return the closed form's numbers at values where no claim is made; other symbols are as in `claim`."""
        if not values:
            return []
        choices = {name: choice for name, choice in self.given.items() if isinstance(choice, str)}
        derived = self.result.derive(self.quantity, kernel=self.kernel, dim=self.dim, **choices).result
        return [symbolic.evaluate(derived, {**claim.values, self.parameter: value}) for value in values]

    def row(self, value: float) -> dict[str, Any]:
        """Return the columns that name a point of the curve."""
        given = ", ".join(f"{name} = {choice}" for name, choice in self.given.items())
        names = {"result": self.result.label, "quantity": self.quantity, "kernel": self.kernel, "dim": self.dim}
        return {**names, "given": given, "parameter": self.parameter, "value": value}


@dataclass(frozen=True)
class Layers(Curve):
    """A quantity of stacked layers against their number, in the limit of wide offsets.

    Attributes:
        stacked: makes the statistic from a setting and the number of layers.
    """

    stacked: Callable[[Setting, int], Statistic] | None = None

    def claim(self, value: float) -> Claim:
        """Return the claim for a number of layers, at offsets as wide as those of the result's own quantity."""
        make, number = self.stacked, int(value)
        if make is None:
            raise TypeError("stacked: expected a function, received None")
        own = self.result.quantity(self.quantity)
        layered = replace(own, name=f"{number} layers", experiment=lambda setting: make(setting, number))
        stack = replace(self.result, quantities=(layered,))
        return stack.claim(kernel=self.kernel, dim=self.dim, **STANDARD)


def limit(result: Result, quantity: str, parameter: str, kernel: str = "linear", dim: int = 1) -> dict[str, Any]:
    """Return the row of a limit: the parameter is infinite there, and nothing is simulated."""
    row = Curve(result, quantity, parameter, kernel=kernel, dim=dim).row(np.inf)
    theory = result.claim(quantity, kernel=kernel, dim=dim, **STANDARD).theory
    return {**row, "theory": theory, "estimate": np.nan, "stderr": np.nan, "n": 0}


def points(curve: Curve, seed: int, device: str, thin: int = 1) -> Iterator[dict[str, Any]]:
    """Yield the rows of a curve, in the order of the parameter.

    Args:
        curve: the curve.
        seed: seed of every random number.
        device: torch device on which the operator runs.
        thin: keep every `thin`-th value only, and as many of the simulated ones.
    """
    claims = {value: curve.claim(value) for value in curve.simulated[::thin]}
    rest = [value for value in curve.values[::thin] if value not in claims]
    theories = {value: claim.theory for value, claim in claims.items()}
    theories |= zip(rest, curve.theories(rest, next(iter(claims.values()))), strict=True)
    for value, theory in sorted(theories.items()):
        row = {**curve.row(value), "theory": theory, "estimate": np.nan, "stderr": np.nan, "n": 0}
        if value in claims:
            claim = claims[value]
            found = montecarlo.estimate(
                claim.experiment,
                claim.values,
                rtol=curve.rtol,
                atol=curve.atol,
                seed=seed,
                label=claim.label,
                device=device,
            )
            row |= {"estimate": found.value, "stderr": found.stderr, "n": found.n}
        yield row


def write(path: Path, rows: list[dict[str, Any]], script: str, seed: int, device: str, thin: int) -> Path:
    """Write rows and their manifest; return the path."""
    table = pd.DataFrame(rows).assign(seed=seed)
    records.write_table(path, table, records.Manifest(script, seed, device, {"thin": thin, **STANDARD}))
    return path


def forward_gain() -> Iterator[Curve]:
    """Yield Var y against the spread of normal offsets (A4)."""
    for kernel in KERNELS:
        smooth = kernel == "gauss(0.5)"  # its ρ varies little, and takes longer
        for dim in DIMS:
            values = grid(0.02, 0.8, 7 if smooth else 27)
            simulated = grid(0.02, 0.8, 3 if smooth else 5)
            given = {"offsets": "normal"}
            yield Curve(results.get("A4"), "variance", "s", values, simulated, kernel, dim, given, rtol=4e-3)


def kurtosis() -> Iterator[Curve]:
    """Yield the excess kurtosis of y for normal input, by kernel and number of axes (A5)."""
    for kernel in KERNELS:
        for dim in (1,) if kernel == "gauss(0.5)" else DIMS:  # on two axes it takes too long
            once = (0.0,)
            yield Curve(
                results.get("A5"),
                "excess kurtosis",
                "",
                once,
                once,
                kernel,
                dim,
                {},
                rtol=1e-2,
                atol=4e-3 if kernel == "gauss(0.5)" else 2e-3 * dim,
            )


def covariance() -> Iterator[Curve]:
    """Yield the covariance of two values against the displacement between them (A6)."""
    for kernel in KERNELS:
        for dim in DIMS:
            simulated = grid(0.0, 2.4, 3 if kernel == "gauss(0.5)" else 5)
            yield Curve(
                results.get("A6"),
                "covariance at a displacement",
                "Delta",
                grid(0.0, 2.4, 33),
                simulated,
                kernel,
                dim,
                rtol=1e-2,
                atol=4e-3,
            )


def curvature() -> Iterator[Curve]:
    """Yield the curvature of the alignment loss, by finite steps and by automatic differentiation (A11)."""
    precision = {"rtol": 1e-2, "atol": 1e-2}
    result, simulated = results.get("A11"), grid(0.05, 1.95, 6)
    for kernel in ("linear", "keys"):
        values = grid(0.0, 2.0, 41 if kernel == "linear" else 21)
        given = {"step": PIXEL_STEP}
        yield Curve(result, "curvature at a finite step", "Delta", values, simulated, kernel, 1, given, **precision)
        # It is constant between the kinks of the interpolated signal, or as smooth as the curvature itself.
        name = "curvature by automatic differentiation"
        yield Curve(result, name, "Delta", grid(0.0, 2.0, 21), simulated, kernel, 1, {}, **precision)


def stacked_variance(setting: Setting, layers: int) -> WideOffsets:
    """State the variance after some layers of wide offsets."""
    return WideOffsets(Variance(stacks.stack(setting, layers)[results.PIXEL]), stacks.HALF_WIDTH)


def stacked() -> Iterator[Curve]:
    """Yield the variance after some layers of wide offsets (A9)."""
    layers = tuple(float(number) for number in LAYERS)
    name = "variance after three layers, wide offsets"
    for dim in DIMS:
        yield Layers(results.get("A9"), name, "L", layers, layers, "linear", dim, {}, 1e-2, stacked=stacked_variance)


def run(out: Path, seed: int = 0, device: str = "cpu", thin: int = 1) -> Path:
    """Compute and write the record; return its path.

    Args:
        out: folder of the record.
        seed: seed of every random number.
        device: torch device on which the operator runs.
        thin: keep every `thin`-th value of the parameters only.
    """
    montecarlo.check_device(device)
    curves = [*forward_gain(), *kurtosis(), *covariance(), *curvature(), *stacked()]
    rows = [row for curve in curves for row in points(curve, seed, device, thin)]
    return write(records.output_folder(out) / "iid_statistics.parquet", rows, SCRIPT, seed, device, thin)


if __name__ == "__main__":
    run_as_script(run, __doc__)
