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
from numpy import ndarray
from scipy import stats
from torch import Tensor

from warptheory import matrices, results, warping
from warptheory.core import records
from warptheory.core.streams import Stream
from warptheory.fields import FieldSampler, SquaredExponential, photographs
from warptheory.operators import SelfWarp2d
from warptheory.paper.analyses._orthogonality_plots import plot_ranks, plot_spectra
from warptheory.paper.entries import Analysis, Cost, Plot, ReportPassage, RunSettings, Section
from warptheory.report import fragment
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
    """Return what heads of self-warp layers make of parts of photographs: (1, 2, H, W), of unit spread.

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
