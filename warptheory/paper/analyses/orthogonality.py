"""How far warps are from convolutions and from isometries, and what they forget: results E1, E4 and E5.

Writes `orthogonality.parquet`, one row for each point, by the part of the page that it belongs to:

- "share": the share of a warp's energy that its nearest convolution explains, over the spread of the offsets, in
  pixels per component, bilinear on a periodic grid in the plane. Offsets are independent normal numbers; a smooth
  homogeneous field; or what the head of a self-warp layer, drawn as at its start, makes of photographs, scaled to the
  spread. Theory is E1 for independent normal offsets.
- "smooth spectrum": singular values of φ = t + τ sin t on band-limited signals, against the share of larger ones.
- "white spectrum": the same on all frequencies of a grid, slopes → 0, by kernel. Theory is that of the linear one.
- "hits": how often pixels are read by a nearest warp whose outputs are scattered, the squares of its singular values;
  theory is the binomial law of E4 on a line of 64 pixels.
- "lost": the share of dimensions that a linear warp with independent offsets loses, over their spread, in structural
  ranks; a spread of ∞ is uniform over the whole grid. "dead" is the share of pixels that no output reads.
- "composition": the mean square of W_φ W_ψ x − W_{ψ∘φ} x for waves x, by kernel, over their frequency in radians per
  pixel, which falls with the spacing of the grid (E5).
- "checked": how often a numerical rank was less than the structural one, on small grids.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray
from scipy import stats
from torch import Tensor

from warptheory import matrices, results, warping
from warptheory.core import records
from warptheory.core.streams import Stream
from warptheory.fields import FieldSampler, SquaredExponential, photographs
from warptheory.operators import SelfWarp2d
from warptheory.paper.entries import Analysis, Cost, Plot, ReportPassage, RunSettings, Section
from warptheory.report import fragment
from warptheory.report.panels import Look, draw, letter, mark
from warptheory.report.style import BLUE, GREEN, GREY, ORANGE, VERMILION, house_style
from warptheory.results import Curve
from warptheory.results.orthogonality.singular_values import band_limited_spectrum, white_spectrum

RECORD = "orthogonality.parquet"
SIDE = 40  # pixels of the images of the first part
LENGTH = 3.0  # pixels, of smooth offsets
SPREADS = (0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)  # pixels
DRAWS = 12
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")
SLOPES = (0.2, 0.5, 0.8)
MODES, PERIOD = 257, 1536
WHITE_PIXELS = 256
KERNELS = ("linear", "keys", "bspline3(prefilter=True)", "sinc")
SHARES = tuple((np.arange(64) + 0.5) / 64)  # at which spectra are recorded
RANKED = {1: (4096,), 2: (96, 96), 3: (16, 16, 16)}
RANK_SPREADS = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0)
RANK_DRAWS = {1: 24, 2: 16, 3: 12}
HIT_PIXELS = 64
FREQUENCIES = tuple(round(float(omega), 4) for omega in np.geomspace(0.2, 2.5, 17))  # radians per pixel
CHECKED = {1: (64,), 2: (9, 9), 3: (5, 5, 5)}
CHECKS = 60


@dataclass(frozen=True)
class Point:
    """A point of a plot.

    Attributes:
        part: the part of the record.
        kind: what is drawn in it: the kind of offsets, the slope, or the kernel.
        dim: number d of axes.
        value: what it is drawn over.
        estimate: the mean of what was measured.
        stderr: its standard error; 0 where there is nothing random in it.
        theory: what the theory gives; NaN for nothing.
        n: number of independent draws.
    """

    part: str
    kind: str
    dim: int
    value: float
    estimate: float
    stderr: float
    theory: float
    n: int


def run(settings: RunSettings) -> Path:
    """Compute and write the record; return its path."""
    points: list[Point] = []
    parts = (shares, smooth_spectra, white_spectra, hits, lost, checked, compositions)
    for number, part in enumerate(parts):
        settings.on_progress(number / len(parts), part.__name__.replace("_", " "))
        points += part(settings)
    chosen = {"side_px": SIDE, "length_px": LENGTH, "modes": MODES, "photographs": PHOTOGRAPHS, "thin": settings.thin}
    path = records.output_folder(settings.out) / RECORD
    table = pd.DataFrame([asdict(point) for point in points])
    records.write_table(path, table, records.Manifest(__name__, settings.seed, settings.device, chosen))
    return path


def _mean(part: str, kind: str, dim: int, value: float, drawn: ndarray, theory: float = math.nan) -> Point:
    """Return the point of what independent draws gave, shape (n,)."""
    error = float(drawn.std(ddof=1) / math.sqrt(len(drawn)))
    return Point(part, kind, dim, value, float(drawn.mean()), error, theory, len(drawn))


# --- the share of energy in a convolution -----------------------------------------------------------------------------


def shares(settings: RunSettings) -> Iterator[Point]:
    """Yield the share of energy in the nearest convolution, by kind of offsets and their spread."""
    laws = {spread: _share_of_independent(spread) for spread in SPREADS[:: settings.thin]}
    for kind, unit in _unit_offsets(settings.seed).items():
        for spread, law in laws.items():
            found = [_share(spread * offsets) for offsets in unit]
            yield _mean("share", kind, 2, spread, np.array(found), law)


def _share_of_independent(spread: float) -> float:
    """Return E1's share on the grid, where each output is one of those that the convolution is made of."""
    law = results.get("E1")
    inside, rest = (
        law.evaluate(f"energy of the {part}", dim=2, offsets="normal", s=spread, N=SIDE)
        for part in ("nearest convolution", "rest")
    )
    return inside / (inside + rest)


def _share(offsets: Float[Tensor, "1 2 H W"]) -> float:
    matrix = warping.warp_matrix(offsets, boundary="periodic")[0]
    return matrices.nearest_convolution(matrix, (1, *offsets.shape[2:])).share_of_energy


def _unit_offsets(seed: int) -> dict[str, list[Float[Tensor, "1 2 H W"]]]:
    """Return offsets of unit spread per component, `DRAWS` fields of each kind."""
    generator = Stream(seed, "orthogonality, offsets", 0).generator()
    size = (SIDE, SIDE)
    field = FieldSampler(SquaredExponential(LENGTH, dim=2), size, periodic=True)
    return {
        "independent": [torch.from_numpy(generator.standard_normal((1, 2, *size))) for _ in range(DRAWS)],
        "smooth field": [field.sample(1, generator, 2) for _ in range(DRAWS)],
        "photographs": photograph_offsets(generator),
    }


def photograph_offsets(generator: np.random.Generator) -> list[Float[Tensor, "1 2 H W"]]:
    """Return what heads of self-warp layers make of parts of photographs, with unit spread per component.

    Each head is drawn as at the start of training, for a part of its own.
    """
    found = []
    for number in range(DRAWS):
        image = photographs.load(PHOTOGRAPHS[number % len(PHOTOGRAPHS)], grey=True)
        row, column = (int(generator.integers(0, length - SIDE)) for length in image.shape[1:])
        part = image[None, :, row : row + SIDE, column : column + SIDE]
        layer = SelfWarp2d(1, head_gain=1.0).double()
        layer.reset_head(torch.Generator().manual_seed(int(generator.integers(2**31))))
        with torch.no_grad():
            offsets = layer.offsets((part - part.mean()) / part.std())[:, 0]
        found.append(offsets / offsets.square().mean((2, 3), keepdim=True).sqrt())
    return found


# --- spectra ----------------------------------------------------------------------------------------------------------


def smooth_spectra(settings: RunSettings) -> Iterator[Point]:
    """Yield singular values of waves on band-limited signals beside the law |J|^(−1/2)."""
    for tau in SLOPES:
        found = band_limited_spectrum(tau, MODES, PERIOD)
        yield from _at_shares("smooth spectrum", f"τ = {tau:g}", found, _quantiles_of_wave(tau))


def white_spectra(settings: RunSettings) -> Iterator[Point]:
    """Yield singular values of slow offsets on white pixels, by kernel."""
    fraction, frequency = (np.arange(1, 1000, 2) / 1000 for _ in range(2))
    response = np.abs(1 - fraction[:, None] + fraction[:, None] * np.exp(2j * np.pi * frequency))
    law = np.quantile(response, 1 - np.array(SHARES))
    for kernel in KERNELS:
        theory = law if kernel == "linear" else np.full(len(SHARES), math.nan)
        yield from _at_shares("white spectrum", kernel, white_spectrum(kernel, WHITE_PIXELS), theory)


def _at_shares(part: str, kind: str, values: Float[ndarray, "M"], theory: Float[ndarray, "K"]) -> Iterator[Point]:
    """Yield the quantiles of singular values, the largest first."""
    found = np.quantile(values, 1 - np.array(SHARES), method="hazen")
    for share, measured, expected in zip(SHARES, found, theory, strict=True):
        yield Point(part, kind, 1, float(share), float(measured), 0.0, float(expected), len(values))


def _quantiles_of_wave(tau: float) -> Float[ndarray, "K"]:
    """Return the law's quantiles: J < 1 + τ cos a at the share 1 − (a + τ sin a)/π of places."""
    angle = np.linspace(0, np.pi, 4001)
    smaller_jacobian = 1 - (angle + tau * np.sin(angle)) / np.pi
    values = (1 + tau * np.cos(angle)) ** -0.5
    return np.asarray(np.interp(np.array(SHARES), smaller_jacobian[::-1], values[::-1]))


# --- ranks ------------------------------------------------------------------------------------------------------------


def hits(settings: RunSettings) -> Iterator[Point]:
    """Yield the law of σ² of a nearest warp whose outputs are scattered, beside the law of the hits."""
    generator = Stream(settings.seed, "orthogonality, hits", 0).generator()
    matrices_drawn = [_scattered(generator, (HIT_PIXELS,), math.inf, "nearest") for _ in range(150)]
    squares = np.stack([np.rint(np.linalg.svd(m.to_dense().numpy(), compute_uv=False) ** 2) for m in matrices_drawn])
    for count in range(6):
        yield _mean(
            "hits",
            "nearest",
            1,
            count,
            (squares == count).mean(1),
            float(stats.binom.pmf(count, HIT_PIXELS, 1 / HIT_PIXELS)),
        )


def lost(settings: RunSettings) -> Iterator[Point]:
    """Yield the share of dimensions that linear warps lose, and of pixels that they never read."""
    generator = Stream(settings.seed, "orthogonality, ranks", 0).generator()
    wide = results.get("E4").evaluate("lost share, linear, large grid", N=2**14)
    for dim, size in RANKED.items():
        for spread in (*RANK_SPREADS[:: settings.thin], math.inf):
            theory_known = math.isinf(spread)
            drawn = np.array([_lost_and_dead(generator, size, spread) for _ in range(RANK_DRAWS[dim])])
            theory = wide if dim == 1 and theory_known else math.nan
            yield _mean("lost", "lost", dim, spread, drawn[:, 0], theory)
            dead = (
                results.get("B4").evaluate("share of dead inputs, wide offsets", dim=dim) if theory_known else math.nan
            )
            yield _mean("lost", "dead", dim, spread, drawn[:, 1], dead)


def _lost_and_dead(generator: np.random.Generator, size: tuple[int, ...], spread: float) -> tuple[float, float]:
    matrix = _scattered(generator, size, spread, "linear")
    pixels = math.prod(size)
    return 1 - matrices.structural_rank(matrix) / pixels, 1 - len(np.unique(matrix.indices()[1])) / pixels


def checked(settings: RunSettings) -> Iterator[Point]:
    """Yield how often the rank that NumPy finds was not the structural one; no theory is wrong by one part of it."""
    generator = Stream(settings.seed, "orthogonality, checks", 0).generator()
    for dim, size in CHECKED.items():
        drawn = [_scattered(generator, size, math.inf, "linear") for _ in range(CHECKS)]
        other = [np.linalg.matrix_rank(m.to_dense().numpy()) != matrices.structural_rank(m) for m in drawn]
        yield Point("checked", "linear", dim, math.prod(size), float(np.mean(other)), 0.0, 0.0, CHECKS)


def compositions(settings: RunSettings) -> Iterator[Point]:
    """Yield the defect of the composition of two warps on a grid, by kernel, over the frequency of a wave (E5)."""
    for kernel in ("linear", "keys"):
        curve = Curve(
            results.get("E5"), "defect of the composition", "omega", FREQUENCIES, FREQUENCIES[::8], kernel, rtol=3e-2
        )
        for point in curve.points(settings.seed, settings.device, settings.thin):
            yield Point("composition", kernel, 1, point.value, point.estimate, point.stderr, point.theory, point.n)


def _scattered(generator: np.random.Generator, size: tuple[int, ...], spread: float, kernel: str) -> Tensor:
    """Return a warp by independent offsets, normal of a spread in pixels or, for ∞, uniform over the grid."""
    shape = (1, len(size), *size)
    drawn = size[0] * generator.random(shape) if math.isinf(spread) else spread * generator.standard_normal(shape)
    return warping.warp_matrix(torch.from_numpy(drawn), kernel=kernel, boundary="periodic")[0].coalesce()


# --- plots ------------------------------------------------------------------------------------------------------------

_KINDS = {
    "independent": Look("independent", BLUE, marker="o"),
    "smooth field": Look("smooth field", GREEN, marker="^"),
    "photographs": Look("photographs", VERMILION, marker="s"),
}
_OF_KERNELS = {
    "linear": (BLUE, "-"),
    "keys": (ORANGE, "--"),
    "bspline3(prefilter=True)": (GREEN, "-."),
    "sinc": (GREY, ":"),
}
_OF_SLOPES = (BLUE, ORANGE, VERMILION)
_OF_DIMS = {1: (BLUE, "o"), 2: (VERMILION, "s"), 3: (GREEN, "^")}


def plot_spectra(table: pd.DataFrame) -> Figure:
    """Draw the share of energy in convolutions, and the singular values of smooth and of slow warps (E1, E4).

    Args:
        table: the record.
    """
    with house_style():
        figure = Figure(figsize=(7.2, 2.9), layout="constrained")
        first, second, third = figure.subplots(1, 3)
        _draw_shares(first, table[table["part"] == "share"])
        letter(first, "a", "E1: energy in a convolution")
        _draw_smooth(second, table[table["part"] == "smooth spectrum"])
        letter(second, "b", "E4: smooth features")
        _draw_white(third, table[table["part"] == "white spectrum"])
        letter(third, "c", "E4: white pixels")
    return figure


def plot_ranks(table: pd.DataFrame) -> Figure:
    """Draw what scattered offsets lose, and what composition costs on a grid (E4, E5).

    Args:
        table: the record.
    """
    with house_style():
        figure = Figure(figsize=(7.2, 2.9), layout="constrained")
        first, second, third = figure.subplots(1, 3, width_ratios=(2, 3, 2))
        _draw_hits(first, table[table["part"] == "hits"])
        letter(first, "a", "E4: nearest kernel")
        _draw_lost(second, table[table["part"] == "lost"])
        letter(second, "b", "E4: linear kernel")
        _draw_compositions(third, table[table["part"] == "composition"])
        letter(third, "c", "E5: composition")
    return figure


def _draw_shares(axes: Axes, rows: pd.DataFrame) -> None:
    theory = rows[rows["kind"] == "independent"].sort_values("value")
    (line,) = axes.plot(theory["value"], theory["theory"], color=BLUE, linewidth=1.2, label="E1")
    handles = [line]
    for kind, look in _KINDS.items():
        of_kind = rows[rows["kind"] == kind].assign(theory=math.nan).sort_values("value")
        handle = draw(axes, of_kind, look)
        handle.set_linestyle("")
        handles.append(handle)
    axes.set(
        xlabel="spread of the offsets (pixels)",
        ylabel="share of the energy",
        xscale="log",
        ylim=(0, 1.04),
    )
    mark(axes.xaxis, 0.1, 0.3, 1, 3)
    axes.legend(handles=handles, loc="upper right", fontsize=6.5, handlelength=1.2)


def _draw_smooth(axes: Axes, rows: pd.DataFrame) -> None:
    for colour, (kind, of_slope) in zip(_OF_SLOPES, rows.groupby("kind", sort=False), strict=True):
        axes.plot(of_slope["value"], of_slope["theory"], color=colour, linewidth=1.2, label=kind)
        axes.plot(of_slope["value"], of_slope["estimate"], "o", color=colour, markersize=2.5, markerfacecolor="white")
    axes.axhline(1, color=GREY, linestyle=":", linewidth=0.9)
    axes.set(xlabel="share of larger singular values", ylabel="singular value σ", xlim=(0, 1), ylim=(0.6, 2.35))
    axes.legend(loc="upper right")


def _draw_white(axes: Axes, rows: pd.DataFrame) -> None:
    for kernel, (colour, style) in _OF_KERNELS.items():
        of_kernel = rows[rows["kind"] == kernel]
        label = "bspline3, prefiltered" if kernel.startswith("bspline3") else kernel
        if kernel == "linear":
            axes.plot(of_kernel["value"], of_kernel["theory"], color=colour, linewidth=1.2, label="linear (E4)")
            axes.plot(
                of_kernel["value"], of_kernel["estimate"], "o", color=colour, markersize=2.5, markerfacecolor="white"
            )
        else:
            axes.plot(of_kernel["value"], of_kernel["estimate"], style, color=colour, linewidth=1.2, label=label)
    axes.set(xlabel="share of larger singular values", ylabel="singular value σ", xlim=(0, 1), ylim=(0, 1.2))
    axes.legend(loc="lower left")


def _draw_hits(axes: Axes, rows: pd.DataFrame) -> None:
    axes.bar(rows["value"], rows["theory"], width=0.7, color="white", edgecolor=BLUE, label="law of the hits")
    axes.errorbar(
        rows["value"], rows["estimate"], 2 * rows["stderr"], fmt="o", color=BLUE, markersize=4, label="measured"
    )
    axes.set(xlabel="σ², reading outputs", ylabel="share of singular values", ylim=(0, 0.52))
    axes.set_xticks(range(6))
    axes.legend(loc="upper right", fontsize=6.5)


def _draw_lost(axes: Axes, rows: pd.DataFrame) -> None:
    finite = rows[np.isfinite(rows["value"])]
    last = 2.0 * finite["value"].max()
    for dim, (colour, marker) in _OF_DIMS.items():
        for kind, style in (("lost", "-"), ("dead", "--")):
            of_kind = finite[(finite["dim"] == dim) & (finite["kind"] == kind)].sort_values("value")
            axes.plot(of_kind["value"], of_kind["estimate"], style, color=colour, linewidth=1.2)
        wide = rows[(rows["dim"] == dim) & (rows["kind"] == "lost")]
        shown = wide.replace({"value": {math.inf: last}})
        axes.errorbar(
            shown["value"],
            shown["estimate"],
            2 * shown["stderr"],
            fmt=marker,
            color=colour,
            markersize=4,
            label=f"lost, d = {dim}",
        )
    axes.plot([], [], "--", color=GREY, label="pixels never read")
    theory = rows["theory"][(rows["dim"] == 1) & (rows["kind"] == "lost") & np.isinf(rows["value"])]
    axes.axhline(float(theory.iloc[0]), color=BLUE, linestyle=":", linewidth=0.9)
    axes.set(xlabel="spread of the offsets (pixels)", ylabel="share of dimensions", xscale="log")
    axes.set_yscale("symlog", linthresh=1e-3)
    axes.set_ylim(0, 1)
    mark(axes.xaxis, 0.1, 0.3, 1, 3)
    axes.set_xticks([0.1, 0.3, 1, 3, last], ["0.1", "0.3", "1", "3", "∞"])
    axes.set_yticks([0, 1e-3, 1e-2, 1e-1], ["0", "0.001", "0.01", "0.1"])
    axes.legend(loc="center right", bbox_to_anchor=(1.0, 0.4), fontsize=6)


def _draw_compositions(axes: Axes, rows: pd.DataFrame) -> None:
    handles = []
    for kernel, colour, marker in (("linear", BLUE, "o"), ("keys", ORANGE, "s")):
        look = Look(kernel, colour, marker=marker)
        handles.append(draw(axes, rows[rows["kind"] == kernel].sort_values("value"), look))
    axes.set(
        xlabel="frequency (radians/pixel)",
        ylabel=r"E $(W_\varphi W_\psi x - W_{\psi\circ\varphi} x)^2$",
        xscale="log",
        yscale="log",
    )
    mark(axes.xaxis, 0.2, 0.5, 1, 2)
    mark(axes.yaxis, 1e-8, 1e-6, 1e-4, 1e-2, 1)
    axes.legend(handles=handles, loc="upper left")


def finding(table: pd.DataFrame) -> Markup:
    """Return what was found, in a sentence."""
    share = table[(table["part"] == "share") & (table["value"] == table["value"][table["part"] == "share"].max())]
    wide = table[(table["part"] == "lost") & (table["kind"] == "lost") & np.isinf(table["value"])].set_index("dim")

    def of(kind: str) -> str:
        row = share[share["kind"] == kind].iloc[0]
        return f"{row['estimate']:.3f} ± {row['stderr']:.3f}"

    return fragment(
        """At a spread of {{ spread }} pixels a convolution explains {{ independent }} of the energy of a warp by
independent offsets (E1: {{ theory }}) and {{ photographs }} of one by heads on photographs; offsets scattered over the
grid lose {{ line }} of the dimensions on a line (E4: {{ law }}), {{ plane }} in the plane and {{ space }} in space.""",
        spread=f"{share['value'].iloc[0]:g}",
        independent=of("independent"),
        theory=f"{share['theory'].iloc[0]:.3f}",
        photographs=of("photographs"),
        line=f"{wide['estimate'][1]:.4f} ± {wide['stderr'][1]:.4f}",
        law=f"{wide['theory'][1]:.4f}",
        plane=f"{wide['estimate'][2]:.4f} ± {wide['stderr'][2]:.4f}",
        space=f"{wide['estimate'][3]:.5f} ± {wide['stderr'][3]:.5f}",
    )


ANALYSIS = Analysis(
    run=run,
    writes=(RECORD,),
    cost=Cost(quick=20, full=20),
    section=Section(
        title="Another class of orthogonal operators",
        order=70,
        finding=ReportPassage(finding, (RECORD,)),
        parts=(
            """A convolution that keeps all frequencies is orthogonal, and so is a warp that keeps areas; both at once
are only translations. How much of a warp a convolution can be, how far a warp is from an isometry, and what it
forgets for good:""",
            Plot(
                plot_spectra,
                (RECORD,),
                alt="Energy of warps in convolutions, and singular values of smooth and of slow warps",
                caption="""<b>Neither a convolution nor quite an isometry.</b> (a) The share of a bilinear warp's energy
that the nearest convolution explains falls as offsets spread. Heads on photographs leave more of it: most of their
offsets are near zero, a few are large. (b) On band-limited features the singular values of t + τ sin t (points) follow
|J|^(−1/2) (lines), and slopes alone say how far they are from 1. (c) On white pixels slow offsets lose what
interpolation takes; the law of the linear kernel, mean π/4, is exact in the limit.""",
            ),
            Plot(
                plot_ranks,
                (RECORD,),
                alt="Hits of a nearest warp, the dimensions that linear warps lose, and the defect of compositions",
                caption="""<b>What scattered offsets forget.</b> (a) Squared singular values of a nearest warp count how
often pixels are read: 1/e of them are zero. (b) Dimensions that linear warps by independent normal offsets lose, by
structural ranks (points, two standard errors; ∞: uniform), above the pixels that no output reads (dashed). Dotted:
e^(−2)/(1 − e^(−1)) for wide offsets on a line. Ranks that NumPy finds on small grids were the structural ones in
every draw. (c) Two warps in a row are the warp of the composed offsets up to interpolation, of order ω⁴ for the
linear kernel and ω⁶ for Keys'.""",
            ),
        ),
    ),
)
