"""Self-warps: Burgers' equation and folds, statistics of offsets computed from the input, and two instabilities.

Writes `self_warp.parquet`, one row for each value of a parameter (F1, F2, F6, F7, F10); `self_warp_burgers.parquet`,
points of curves of one wave; and `self_warp_mechanisms.parquet`, gains, folds and slopes over the layers of a stack.
Inputs have mean 0 and variance 1, heads weights of unit energy; α, lengths and intervals are in pixels. Seeds of the
streams follow from the run's seed and the name of each point.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float
from markupsafe import Markup
from torch import Tensor

from warptheory import results
from warptheory.core import records
from warptheory.fields import SquaredExponential
from warptheory.fields.sampling import kept_sampler
from warptheory.operators import SelfWarp1d
from warptheory.paper.analyses import _self_warp_plots as plots
from warptheory.paper.analyses._self_warp_burgers import burgers_rows
from warptheory.paper.analyses._self_warp_mechanisms import DEPTH, GAIN, MECHANISMS, RUNS, SLOPES, mechanism_rows
from warptheory.paper.curves import manifest_of, points_of, write_curves
from warptheory.paper.entries import Analysis, Cost, Plot, ReportPassage, RunSettings, Section
from warptheory.report import fragment
from warptheory.results import Curve, CurvePoint, with_estimate
from warptheory.warping.jacobian import jacobian_determinant

LENGTH = 2.0  # ℓ of smooth fields, in pixels
INTERVAL = 6.0  # pixels
SPLINE = "bspline3(prefilter=True)"
SCALES = tuple(round(float(scale), 4) for scale in np.geomspace(0.1, 10.0, 41))
GAINS = tuple(round(float(gain), 4) for gain in np.geomspace(1.25, 32.0, 25))
OF_FIELDS: Mapping[str, float] = {"l": LENGTH}


def folds() -> Iterator[Curve]:
    """Yield folds, their probability and its bound, and pile-ups (F1)."""
    result = results.get("F1")
    scales, interval = tuple(s for s in SCALES if s >= 0.4), {**OF_FIELDS, "T": INTERVAL}
    yield Curve(result, "folds per pixel", "alpha", scales, (1.0, 6.0, 2.0, 4.0), given=OF_FIELDS, rtol=2e-2)
    yield Curve(result, "folds that meet an interval", "alpha", scales, given=interval)
    yield Curve(result, "fold probability", "alpha", scales, (1.0, 8.0, 3.0), given=OF_FIELDS, rtol=2e-2)
    two = "fold probability, orthonormal heads"
    yield Curve(result, two, "alpha", scales, (1.0, 8.0, 3.0), dim=2, given=OF_FIELDS, rtol=2e-2)
    early = "gradients above M times, before the first fold"
    yield Curve(result, early, "M", GAINS, (1.5, 6.0, 3.0), "bspline3", rtol=2e-2)
    late = {**OF_FIELDS, "alpha": 3.0}
    yield Curve(result, "gradients above M times, after folds", "M", GAINS, (1.5, 24.0, 6.0), given=late, rtol=3e-2)
    slopes = tuple(round(float(slope), 4) for slope in np.linspace(0.02, 0.98, 25))
    yield Curve(result, "energy of a wave after a self-warp", "tau", slopes, (0.3, 0.9, 0.6), SPLINE)
    yield Curve(result, "energy of Burgers' solution before the shock", "tau", slopes, (0.3, 0.9, 0.6), SPLINE)


def moments() -> Iterator[Curve]:
    """Yield means and second moments after a self-warp against α (F2, F6, F7, F10), and A4's beside them."""
    simulated = (0.3, 3.0, 1.0)
    shift, second = results.get("F6"), results.get("F7")
    for dim in (1, 2):
        yield Curve(shift, "mean shift", "alpha", SCALES, simulated, dim=dim, rtol=2e-2, atol=2e-3)
    yield Curve(shift, "mean shift, difference heads", "alpha", SCALES, simulated, rtol=2e-2, atol=2e-3)
    yield Curve(second, "second moment, own pixel", "alpha", SCALES, simulated)
    yield Curve(second, "second moment, three taps", "alpha", SCALES, simulated)
    yield Curve(results.get("A4"), "variance", "s", SCALES)
    of_field = "second moment of a field, own pixel"
    yield Curve(second, of_field, "alpha", SCALES, simulated, given=OF_FIELDS, rtol=2e-2)
    continuum = tuple(scale for scale in SCALES if scale >= 0.2)
    yield Curve(results.get("F2"), "second moment", "alpha", continuum, (1.0, 4.0), SPLINE, given=OF_FIELDS, rtol=2e-2)
    rectified = results.get("F10")
    yield Curve(rectified, "mean after ReLU", "alpha", SCALES, simulated)
    yield Curve(rectified, "second moment after ReLU", "alpha", SCALES, simulated, rtol=2e-2)


@dataclass(frozen=True)
class FoldInInterval:
    """P(αx′ < −1 somewhere in an interval), for a field with C(τ) = exp(−τ²/2ℓ²), on a grid of 16 points per length."""

    per_length: int = 16
    points: int = 1024

    @property
    def symbols(self) -> set[str]:
        """The scale."""
        return {"alpha"}

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of points of a field."""
        return self.points

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw fields, and return the share of neighbouring intervals that hold a fold; shape (rows,)."""
        spacing = LENGTH / self.per_length
        sampler = kept_sampler(SquaredExponential(LENGTH, dim=1), (self.points,), spacing, periodic=True)
        x = sampler.sample(rows, generator, device=device)
        layer = SelfWarp1d(1, kernel_size=1, scale=values["alpha"] / spacing, boundary="periodic").double().to(device)
        layer.head.weight.data.fill_(1.0)
        cells = round(INTERVAL / spacing)
        folded = jacobian_determinant(layer.offsets(x)[:, 0].detach()) < 0
        intervals = folded[:, : folded.shape[1] // cells * cells].reshape(rows, -1, cells)
        return intervals.any(2).double().mean(1)


FOUND = "probability of a fold in an interval"


def first_folds(seed: int, device: str, thin: int) -> Iterator[CurvePoint]:
    """Yield the probability that an interval holds a fold, which has no closed form."""
    curve = Curve(results.get("F1"), FOUND, "alpha", given={**OF_FIELDS, "T": INTERVAL})
    for scale in (0.8, 1.0, 1.5, 2.0, 3.0, 5.0)[::thin]:
        point = curve.at(scale)
        yield with_estimate(point, FoldInInterval(), {"alpha": scale}, rtol=2e-2, seed=seed, device=device)


def run(settings: RunSettings) -> Path:
    """Compute and write the records; return the path of the first."""
    seed, device, thin = settings.seed, settings.device, settings.thin
    points = [*points_of((*folds(), *moments()), settings), *first_folds(seed, device, thin)]
    manifest = manifest_of(__name__, settings, lengths=dict(OF_FIELDS), interval=INTERVAL)
    path = write_curves(points, manifest, settings)
    runs = max(2, RUNS // thin)
    for name, rows in (("burgers", burgers_rows()), ("mechanisms", mechanism_rows(seed, device, runs))):
        table = pd.DataFrame([asdict(row) for row in rows]).assign(seed=seed)
        records.write_table(path.with_name(f"self_warp_{name}.parquet"), table, manifest)
    return path


def finding(mechanisms: pd.DataFrame) -> Markup:
    """Return what was found, in a sentence.

    Args:
        mechanisms: the record of the stacks.
    """
    last = mechanisms[(mechanisms["quantity"] == GAIN) & (mechanisms["slope"] == max(SLOPES))]
    end = last[last["layers"] == DEPTH].set_index("mechanism")
    means, errors = end["estimate"], end["stderr"]
    told = {name: f"{float(means[name]):.3g} ± {float(errors[name]):.2g}" for name in MECHANISMS}
    return fragment(
        """A self-warp has two instabilities, and one feeds the other: over {{ depth }} layers of slope {{ slope }} the
head's path alone raises the gradient's energy {{ gradient }} times (F3: {{ theory }}), a folding map alone {{ map }}
times, and both together {{ both }} times.""",
        depth=DEPTH,
        slope=f"{max(SLOPES):g}",
        theory=f"{float(end['theory']['gradient']):.3g}",
        **{name: told[name] for name in ("gradient", "map", "both")},
    )


_CURVES, _BURGERS, _MECHANISMS = "self_warp.parquet", "self_warp_burgers.parquet", "self_warp_mechanisms.parquet"

ANALYSIS = Analysis(
    run=run,
    writes=(_CURVES, _BURGERS, _MECHANISMS),
    cost=Cost(quick=20, full=60),
    section=Section(
        title="Self-warp: offsets computed from the input",
        order=65,
        finding=ReportPassage(finding, (_MECHANISMS,)),
        parts=(
            """A self-warp y(t) = x(t + αh(t)) takes its offsets from a head h that reads the input itself. It moves
features as a fluid moves itself, it has statistics of its own where independent offsets have A4's, and it can become
unstable in two ways: its head hands gradient back (F3), and its map folds and roughens what it reads (F1, B7, C3).""",
            Plot(
                plots.plot_burgers,
                (_BURGERS, _CURVES),
                alt="Characteristics of the Burgers equation, repeated self-warps, their error, the energy of one step",
                caption="""<b>A self-warp is a step of Burgers' equation.</b> (a) Characteristics of ∂ₛu = u ∂ₜu from a
wave of two harmonics; they cross from the shock on (dashed). (b) The exact solution, along characteristics (lines), and
64 self-warps on 256 points (points, every fourth); past the shock the solution has three branches, and self-warps jump
from one of the outer two to the other. (c) Root mean square error at 0.8 of the shock's time: of order 1 in the step.
With the linear kernel and ever smaller offsets the self-warp is the upwind scheme, whose error is of order 1 in the
spacing, and more steps do not help. (d) F1: what one large step keeps of a wave's energy, 1 − J₂(2τ), where the
solution keeps all.""",
            ),
            Plot(
                plots.plot_folds,
                (_CURVES,),
                alt="Folds per pixel, probabilities of folds, and tails of gradients before and after folds",
                caption="""<b>Folds.</b> (a) F1: folds per pixel of t + αx(t), by the Kac–Rice formula, and counted in
fields of length ℓ = 2 pixels. (b) The probability that an interval of 6 pixels holds a fold (points; no closed form) is
bounded by the expected number of folds that meet it (line), and equals it while folds are rare. (c) A point is folded:
one channel for every component folds as on a line, two orthonormal heads as independent offsets do (B7). (d) Inputs
whose gradient is multiplied by more than M: the power −5/2 before a first fold, −2 after folds.""",
            ),
            Plot(
                plots.plot_moments,
                (_CURVES,),
                alt="Mean and second moment after a self-warp against the scale of its head",
                caption="""<b>What a self-warp makes of its input.</b> Linear kernel, unit variance. (a) F6: the mean
moves with the head's direction. (b) F7: the second moment of white pixels, beside that of independent offsets of the
same spread (A4, dashed). (c) Smooth fields of ℓ = 2 pixels that are moved by their own value, on the grid (F7) and in
the continuum (F2). (d) F10: after ReLU, over what entered.""",
            ),
            Plot(
                plots.plot_mechanisms,
                (_MECHANISMS,),
                alt="Gradient gain, folds, slopes, their kurtosis and where gradients gather, for either mechanism",
                caption="""<b>Two instabilities, taken apart.</b> Stacks of self-warps in the plane, 16 channels of
ℓ = 8 pixels, unit heads on the own pixel. <i>Gradient alone</i>: ε − ε.detach(), the map is held at the identity.
<i>Map alone</i>: ε.detach(). Points: means of independent stacks with standard errors. (a, b) Energy of the gradient,
at slopes τ = 0.25 and 0.5 of the first layer. The line of the head's path alone is F3, position by position, known
before anything is run. The line of both is not: it takes F3's mean factors at the slopes that (d) has measured, and
leaves out what the map does to the gradient. (c) Share of folded pixels; lines, known before: C3's growth of slopes put
into B7's law, which is that of normal slopes. (d) Slopes of the features; lines, known before: C3, which knows no grid
that ends their growth. (e) Measured kurtosis of the slopes, 3 for normal ones. After the first layer few places hold
the slope, and B7's law fails even at the slopes of (d): where folds are rare there are more of them (τ = 0.25), for
the steep places fold; where they would be common there are fewer (τ = 0.5), for the other places do not. (f) Measured
least share of positions that holds half of the gradient's energy, marked as in (a): gradients gather, in few
places, which a product of mean factors cannot know. Held still, nothing folds or roughens.""",
            ),
        ),
    ),
)
