"""Discretization error against the spacing of the grid: theory and simulation of results D3 to D7, with fitted orders.

Writes `discretization_error.parquet`, one row for each value of a parameter: the spacing h, spreads s and lengths in
one unit, frequencies ω in radians per pixel. Fields have mean 0 and variance 1. Errors are mean squares:

- D4, D5: fields of squared-exponential covariance, ℓ = 1.5. Beside D4's spectral form, the same number "on the lag
  side": Σ ww′C(h(m − m′)) − 2Σ wC(h(f − m)) + C(0), integrated over the fraction f with the kernel's own weights w.
- D3: Matérn fields of ℓ = 1 are drawn on a grid eight times as fine, exactly, and the coarse one is warped to all
  of its points, linearly. The lag side at these eight fractions is the theory.
- D6: the power that a wave keeps. D7: the share of a warped field beyond the Nyquist frequency, h = 2.

Writes also `discretization_orders.parquet`: slopes of log error against log h, expected and fitted, by weighted least
squares. Points are independent, so that standard errors follow from those of the points; the interval is ± 1.96 of
them, and the same fit to the closed forms says how far the spacings still are from h → 0.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from markupsafe import Markup
from numpy import ndarray
from torch import Tensor

from warptheory import results, warping
from warptheory.core import records
from warptheory.fields import CovarianceFunction, Exponential, FieldSampler, Matern, SquaredExponential
from warptheory.paper.analyses._discretization_plots import plot_errors, plot_orders
from warptheory.paper.curves import manifest_of, points_of, write_curves
from warptheory.paper.entries import Analysis, Cost, DocumentTable, Plot, ReportPassage, RunSettings, Section
from warptheory.report import Columns, fragment, markdown_table, table_rows
from warptheory.results import Curve, CurvePoint, evenly_spaced, with_estimate

SPLINE = "bspline3(prefilter=True)"
QUANTITIES = {
    "nearest": "mean error, other kernels",
    "linear": "mean error",
    "keys": "mean error",
    SPLINE: "mean error, cubic spline",
}
ORDERS = {"nearest": 1, "linear": 2, "keys": 3, SPLINE: 4}  # of the root mean square error
ON_THE_LAG_SIDE = "mean error, on the lag side"
COMPACT = ("nearest", "linear", "keys")
LENGTH = 1.5
SPACINGS = tuple(round(float(h), 6) for h in np.geomspace(0.06, 3.0, 33))
SIMULATED_SPACINGS = (0.1, 0.2, 0.14, 0.5, 1.2)
FINE = 0.25  # spacings up to here count for the orders of simulated errors
FINEST = (0.02, 0.03, 0.04)  # and these for those of the closed form
ROUGH: dict[str, CovarianceFunction] = {
    "exponential": Exponential(1.0, dim=1),
    "Matérn 1/2": Matern(nu="1/2", length=1.0, dim=1),
    "Matérn 1": Matern(nu="1", length=1.0, dim=1),
    "Matérn 3/2": Matern(nu="3/2", length=1.0, dim=1),
    "Matérn 5/2": Matern(nu="5/2", length=1.0, dim=1),
}
ROUGH_ORDERS = {"exponential": 1, "Matérn 1/2": 1, "Matérn 1": 2, "Matérn 3/2": 3, "Matérn 5/2": 4}  # min(2ν, 4)
ROUGH_ERROR = "mean error, rough field"
ROUGH_SPACINGS = tuple(2.0**-power for power in range(2, 8))
ROUGH_FINE = 2.0**-5  # spacings up to here count for the orders
FRACTIONS = 8  # of a pixel
PIXELS = 64  # of a row; beyond them lie one more on each side
INTERVAL = 1.96  # standard errors to either side: 95 %
SPREADS = tuple(round(float(s), 4) for s in np.geomspace(0.1, 8.0, 33))
WAVE_PERIOD = 14  # pixels; the experiment's grid holds multiples of 2π/14
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)


def errors() -> Iterator[Curve]:
    """Yield the error of the value by kernel (D4), and that of the offset gradient (D5), against the spacing."""
    given = {"l": LENGTH}
    for kernel, quantity in QUANTITIES.items():
        yield Curve(results.get("D4"), quantity, "h", SPACINGS, (*SIMULATED_SPACINGS, 2.4), kernel, 1, given, rtol=1e-2)
    for kernel in ("linear", "keys", SPLINE):
        yield Curve(results.get("D5"), "mean error", "h", SPACINGS, SIMULATED_SPACINGS, kernel, 1, given, rtol=2e-2)


def on_the_lag_side() -> Iterator[CurvePoint]:
    """Yield D4's error from covariances between points, for kernels of finite support."""
    covariance = SquaredExponential(LENGTH, dim=1)
    fraction, weight = np.concatenate([(1 + _NODES) / 4, (3 + _NODES) / 4]), np.tile(_WEIGHTS / 4, 2)
    for kernel in COMPACT:
        curve = Curve(results.get("D4"), ON_THE_LAG_SIDE, "h", kernel=kernel, given={"l": LENGTH})
        for spacing in SIMULATED_SPACINGS:
            yield replace(curve.at(spacing), theory=float(weight @ lag_error(covariance, spacing, fraction, kernel)))


def lag_error(
    covariance: CovarianceFunction, spacing: float, fraction: Float[ndarray, "F"], kernel: str = "linear"
) -> Float[ndarray, "F"]:
    """Return the mean square error of interpolation at fractions (F,), from the covariances of all points that matter.

    Args:
        covariance: covariance of the field, on one axis.
        spacing: h.
        fraction: fractions in [0, 1).
        kernel: name of a kernel of finite support.
    """
    pixels = np.arange(-3, 5)
    number = torch.arange(len(fraction), dtype=torch.float64)
    offsets = torch.from_numpy(fraction) - pixels[0] - number  # the operator's answers to single bright pixels
    weights = warping.warp(torch.eye(8, dtype=torch.float64)[None], offsets[None, None], kernel)[0].numpy().T
    among = covariance(spacing * np.abs(pixels[:, None] - pixels))
    across = covariance(spacing * np.abs(fraction[:, None] - pixels))
    squares = np.einsum("fm,mn,fn->f", weights, among, weights)
    return np.asarray(squares - 2 * (weights * across).sum(1) + float(covariance(0.0)))


# ---- rough fields -----------------------------------------------------------------------------------


def rough_errors(seed: int, device: str, thin: int) -> Iterator[CurvePoint]:
    """Yield the error of linear interpolation of Matérn fields against the spacing (D3)."""
    fraction = np.arange(FRACTIONS) / FRACTIONS
    for name, covariance in ROUGH.items():
        curve = Curve(results.get("D3"), ROUGH_ERROR, "h", given={"field": name})
        for spacing in sorted(kept(ROUGH_SPACINGS, thin)):
            point = replace(curve.at(spacing), theory=float(lag_error(covariance, spacing, fraction).mean()))
            experiment = RoughExperiment(covariance)
            yield with_estimate(point, experiment, {"h": spacing}, rtol=1.2e-2, seed=seed, device=device)


def kept(values: Sequence[float], thin: int) -> tuple[float, ...]:
    """Return about every `thin`-th value, but four at least, from the first to the last: an order needs them."""
    count = max(4, math.ceil(len(values) / thin))
    return tuple(values[round(place)] for place in np.linspace(0, len(values) - 1, count))


@dataclass(frozen=True)
class RoughExperiment:
    """The mean square error of linear interpolation at some fractions of a pixel, over the pixels of a row.

    The field is exact at all points: it is drawn there.

    Attributes:
        covariance: covariance of the field.
    """

    covariance: CovarianceFunction

    @property
    def symbols(self) -> set[str]:
        """The spacing."""
        return {"h"}

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of points that a row draws, on the torus."""
        return self._sampler(values).torus[0]

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw fields on the fine grid, and warp the coarse grid to all of their points; shape (rows,)."""
        fine = self._sampler(values).sample(rows, generator, device=device)
        coarse = fine[..., ::FRACTIONS].transpose(0, 1)  # as channels: all rows share the offsets
        number = torch.arange(PIXELS * FRACTIONS, dtype=fine.dtype, device=device)
        moved = warping.warp(coarse, (number / FRACTIONS - number)[None, None], "linear")[0]
        return (moved - fine[:, 0, : len(number)]).square().mean(1)

    def _sampler(self, values: Mapping[str, float]) -> FieldSampler:
        return sampler_of(self.covariance, (PIXELS + 1) * FRACTIONS, values["h"] / FRACTIONS)


@lru_cache(maxsize=4)
def sampler_of(covariance: CovarianceFunction, points: int, spacing: float) -> FieldSampler:
    """Return what draws a field; its embedding is found once for all rows."""
    return FieldSampler(covariance, (points,), spacing)


# ---- waves and spectra ------------------------------------------------------------------------------


def transfers() -> Iterator[Curve]:
    """Yield the power that a wave keeps against its frequency, by kernel (D6)."""
    simulated = tuple(2 * math.pi * mode / WAVE_PERIOD for mode in (3, 1, 5, 2, 4, 6))
    for kernel in ("linear", "keys", "bspline3"):
        yield Curve(results.get("D6"), "power transfer", "omega", evenly_spaced(0.0, 3.1416, 64), simulated, kernel)


def aliasing() -> Iterator[Curve]:
    """Yield the share of a warped field beyond the Nyquist frequency against the spread of the offsets (D7)."""
    for dim, simulated in ((1, (1.0, 0.3, 4.0, 0.6, 2.0)), (2, (2.0, 1.0, 0.6))):
        values = SPREADS[:: 2 * dim - 1]
        yield Curve(results.get("D7"), "share beyond Nyquist", "s", values, simulated, SPLINE, dim, rtol=2e-2)


# ---- orders -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FittedOrder:
    """The slope of log error against log h.

    Attributes:
        result: label of the result.
        error: which error: of the "value" or of the "gradient".
        scale: "mean square" or "root mean square".
        source: "simulation" or "closed form".
        field: covariance of the field.
        kernel: name of the kernel.
        expected: the order for h → 0.
        fitted: the slope.
        stderr: its standard error; 0 for a closed form.
        low: lower end of its 95 % interval.
        high: upper end.
        closed_form: the slope of the closed form at the same spacings.
        finest: the smallest spacing.
        coarsest: the largest spacing.
        n: number of spacings.
        seed: seed of the simulation.
    """

    result: str
    error: str
    scale: str
    source: str
    field: str
    kernel: str
    expected: float
    fitted: float
    stderr: float
    low: float
    high: float
    closed_form: float
    finest: float
    coarsest: float
    n: int
    seed: int


def fit(rows: pd.DataFrame, *, expected: float, root: bool, simulated: bool, field: str, seed: int) -> FittedOrder:
    """Fit the order of the errors of one curve.

    Args:
        rows: its points.
        expected: the order for h → 0.
        root: whether the order is that of the root of the mean square.
        simulated: whether the estimates are fitted, or the closed form.
        field: covariance of the field.
        seed: seed of the simulation.
    """
    spacing, theory = np.log(rows["value"].to_numpy()), np.log(rows["theory"].to_numpy())
    scale = 0.5 if root else 1.0
    if simulated:
        relative = (rows["stderr"] / rows["estimate"]).to_numpy()
        slope, error = weighted_slope(spacing, np.log(rows["estimate"].to_numpy()), relative)
        same, _ = weighted_slope(spacing, theory, relative)
    else:
        slope, error = weighted_slope(spacing, theory, np.ones(len(rows)))[0], 0.0
        same = slope
    slope, error, same = scale * slope, scale * error, scale * same
    first = rows.iloc[0]
    return FittedOrder(
        result=first["result"],
        error="gradient" if first["result"] == "D5" else "value",
        scale="root mean square" if root else "mean square",
        source="simulation" if simulated else "closed form",
        field=field,
        kernel=first["kernel"],
        expected=expected,
        fitted=slope,
        stderr=error,
        low=slope - INTERVAL * error,
        high=slope + INTERVAL * error,
        closed_form=same,
        finest=float(rows["value"].min()),
        coarsest=float(rows["value"].max()),
        n=len(rows),
        seed=seed,
    )


def weighted_slope(x: Float[ndarray, "N"], y: Float[ndarray, "N"], stderr: Float[ndarray, "N"]) -> tuple[float, float]:
    """Return the slope of the weighted regression of y on x, both (N,), and its standard error from those of y."""
    weight = stderr**-2.0
    centred = x - np.average(x, weights=weight)
    information = float(np.sum(weight * centred**2))
    return float(np.sum(weight * centred * y)) / information, information**-0.5


def orders(table: pd.DataFrame, seed: int) -> Iterator[FittedOrder]:
    """Yield the orders of all errors: by kernel from the closed forms and the simulation, and by field."""
    smooth = "squared exponential"
    for curve in errors():
        label, kernel = curve.result.label, curve.kernel
        expected = ORDERS[kernel] - (label == "D5")
        finest = pd.DataFrame(asdict(replace(curve.at(h), theory=curve.theory(h))) for h in FINEST)
        yield fit(finest, expected=expected, root=True, simulated=False, field=smooth, seed=seed)
        same = (table["result"] == label) & (table["kernel"] == kernel) & (table["n"] > 0)
        fine = table[same & (table["value"] <= FINE)]
        yield fit(fine, expected=expected, root=True, simulated=True, field=smooth, seed=seed)
    rough = table[table["quantity"] == ROUGH_ERROR]
    for name, expected in ROUGH_ORDERS.items():
        rows = rough[rough["given"] == f"field = {name}"]
        yield fit(
            rows[rows["value"] <= ROUGH_FINE], expected=expected, root=False, simulated=True, field=name, seed=seed
        )


def run(settings: RunSettings) -> Path:
    """Compute and write the records, with at least the points that orders need; return the path of the first."""
    seed, device, thin = settings.seed, settings.device, settings.thin
    curves = [
        replace(c, simulated=c.simulated[: max(3, len(c.simulated) // thin)], values=c.values[::thin]) for c in errors()
    ]
    points = list(points_of(curves, replace(settings, thin=1)))
    points += points_of((*transfers(), *aliasing()), settings)
    points += [*on_the_lag_side(), *rough_errors(seed, device, thin)]
    manifest = manifest_of(__name__, settings, length=LENGTH, level=0.95)
    path = write_curves(points, manifest, settings)
    found = pd.DataFrame(asdict(order) for order in orders(records.read_table(path), seed))
    records.write_table(path.with_name("discretization_orders.parquet"), found, manifest)
    return path


def orders_table(orders: pd.DataFrame) -> str:
    """Return a Markdown table of fitted orders in the spacing of the grid, with their 95 % intervals."""

    def fitted(row: Mapping[str, Any]) -> str:
        interval = "" if row["source"] == "closed form" else f" ({row['low']:.3f} to {row['high']:.3f})"
        return f"{row['fitted']:.3f}{interval}"

    columns: Columns = {
        "error": "{result}: {scale}, {error}, {source}",
        "kernel": "{kernel}",
        "field": "{field}",
        "order for h → 0": "{expected:g}",
        "fitted": fitted,
        "its closed form": "{closed_form:.3f}",
    }
    footer = (
        "Slopes of log error against log h; in brackets 95 % intervals from the standard errors between independent "
        "rows, and beside them the slope of the closed form over the same spacings, which differs from the limit by "
        f"higher orders (seed {orders['seed'].iloc[0]})."
    )
    return markdown_table(table_rows(orders), columns, footer)


def finding(orders: pd.DataFrame) -> Markup:
    """Return what was found, in a sentence."""
    linear = orders[(orders["kernel"] == "linear") & (orders["source"] == "simulation")]

    def order(label: str, field: str) -> str:
        row = linear[(linear["result"] == label) & (linear["field"] == field)].iloc[0]
        share = 0.5 if row["scale"] == "mean square" else 1.0  # all of them of the root of the mean square
        return f"{share * row['fitted']:.2f} ± {share * row['stderr']:.2f}"

    return fragment(
        """Linear interpolation of a smooth field errs as the spacing to the power {{ value }} (D4), its offset
gradient to the power {{ gradient }} (D5), and its values of a rough field (Matérn 1/2) to the power {{ rough }} (D3),
each in the root of the mean square.""",
        value=order("D4", "squared exponential"),
        gradient=order("D5", "squared exponential"),
        rough=order("D3", "Matérn 1/2"),
    )


ANALYSIS = Analysis(
    run=run,
    writes=(
        "discretization_error.parquet",
        "discretization_orders.parquet",
    ),
    cost=Cost(quick=40, full=40),
    section=Section(
        title="Discretization",
        order=60,
        finding=ReportPassage(finding, ("discretization_orders.parquet",)),
        parts=(
            """A warped value is compared with the field itself at the position that was asked for.""",
            Plot(
                plot_errors,
                ("discretization_error.parquet",),
                alt="Errors of value and gradient against the spacing, by kernel, and of rough fields",
                caption="""<b>Errors against the spacing of the grid.</b> (a) D4: a smooth field, by kernel. (b) D5:
its offset gradient loses an order of h in the root: linear interpolation errs at h⁴ forward and at h² in the
gradient, mean squares. (c) D3: a rough field leaves the kernel no order to use; linear interpolation of Matérn fields
errs at h<sup>min(2ν, 4)</sup>. The exponential covariance is Matérn 1/2, drawn anew.""",
            ),
            Plot(
                plot_orders,
                ("discretization_error.parquet", "discretization_orders.parquet"),
                alt="Fitted orders, power transfer and aliasing",
                caption="""<b>Orders, waves and aliases.</b> (a) Orders fitted to simulated errors, each row with the
order expected for h → 0: of the root mean square (D4, D5) and of the mean square (D3). Where the interval leaves out
the expected order the closed form does so too: the spacings are not yet small (<code>keys</code> and the spline). (b)
D6: the power of a wave that a layer of uniform fractions keeps. (c) D7: offsets send power beyond the Nyquist
frequency of the grid (h = 2, ℓ = 1.5, ℓ_ε = 3).""",
            ),
        ),
    ),
    tables=(DocumentTable("orders", orders_table, ("discretization_orders.parquet",)),),
)
