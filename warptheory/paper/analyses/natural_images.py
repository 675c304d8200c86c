"""Discretization errors and deformations of photographs, predicted from their spectra (results D4, D5 and C6).

The photographs that ship with scikit-image, in grey, a window of each. Their spectrum is measured as isotropic, and
with it everything is predicted that a homogeneous field of that spectrum would show:

- D4, D5: the error of warping and of its offset gradient. Every q-th pixel of a photograph is the grid, and the
  photograph itself the truth between: `warp` moves the grid to all phases j/q of a pixel, where it has to return the
  photograph. Prediction and measurement are of the same thing, up to the photograph's Nyquist frequency, aliasing
  included: the error kernel is averaged over just these phases. The mean over all phases, as in D4, is given beside
  it. The true gradient is the derivative of the cubic spline through all pixels of the photograph (the cardinal one:
  it is nearly that of the band-limited photograph, where differences of pixels are smoothed); its transfer function,
  read off the operator's answer to one bright pixel, takes the place of iω in the prediction, while the mean over all
  phases is with iω itself, as in D5.
- C6: how far smooth random offsets move a photograph from itself, beside the worst case, mean |∇x|² · max |ε|²: by
  Cauchy–Schwarz along straight paths |x(t + ε) − x(t)|² ≤ |ε|² ∫₀¹|∇x(t + sε)|² ds, up to the Jacobian of the paths.

What agrees, and what that says. A mean square over a whole photograph depends on its own periodogram alone (Parseval),
whether it is homogeneous or not; spectrum "own" therefore tests the isotropic spectrum, the error kernel and the
operator, and not homogeneity. Spectrum "other half" does: the error in one half of a photograph, predicted from the
spectrum of the other. So do errors at edges: 5 % of a homogeneous field's pixels are like any others, and a Gaussian
field drawn with the spectrum of each photograph, on which the same is measured, says what is left of that where the
pixels are chosen for their gradient.

Writes four tables. `natural_images.parquet`: a row for each photograph (or Gaussian field), kernel, quantity, step q
and region: mean squared errors, in squared intensities (for the gradient per pixel² of the grid), with standard errors
between blocks of the region, resp. between patches of the spectrum, and what is seen at edges.
`natural_images_agreement.parquet`: how well predictions and measurements agree, over photographs and kernels.
`natural_images_displacement.parquet`: C6, with standard errors between draws of the offsets.
`natural_images_edges.parquet`: the photographs' edges in numbers.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from markupsafe import Markup
from numpy import ndarray
from torch import Tensor

from warptheory import warping
from warptheory.core import records
from warptheory.fields import ImageSpectrum, photographs
from warptheory.montecarlo import check_device
from warptheory.operators.random_field_warp import RandomFieldWarp, displacement_error
from warptheory.paper.analyses._photograph_errors import error_rows, excess_kurtosis
from warptheory.paper.analyses._photograph_plots import plot_limits, plot_photographs
from warptheory.paper.analyses._photographs import (
    BOUNDARY,
    EDGES,
    GRADIENT,
    MARGIN,
    PATCH,
    SPLINE,
    WHOLE,
    WINDOW,
    PhotographSource,
    inside,
    jackknife,
    load,
    on,
)
from warptheory.paper.entries import Analysis, Cost, DocumentTable, Plot, ReportPassage, RunSettings, Section
from warptheory.report import Columns, fragment, markdown_table, table_rows

VALUE, DISPLACEMENT = "value", "displacement"
# The nearest neighbour has no gradient.
KERNELS: dict[str, tuple[str, ...]] = {
    VALUE: ("nearest", "linear", "gauss", "keys", "lanczos3", SPLINE),
    GRADIENT: ("linear", "gauss", "keys", "lanczos3", SPLINE),
}
STEPS = (2, 4)  # q, pixels of the photograph from one pixel of the grid to the next
LARGE_PATCH = 128  # pixels, of C6, which needs low frequencies
SPREADS = (0.5, 1.0, 2.0, 4.0, 8.0)  # pixels, standard deviations of random offsets
CORRELATION = 32.0  # pixels, their length
DRAWS = 4  # of the offsets, for each spread


# ---- agreement --------------------------------------------------------------------------------------


def agreement(table: pd.DataFrame, moved: pd.DataFrame) -> pd.DataFrame:
    """Return how well predictions and measurements agree on a logarithmic scale.

    A row for each quantity, spectrum ("own"; "other half"; "Gaussian" for the fields) and kernel, and for all kernels
    together, and one for displacements (C6). Photographs of more contrast have larger errors, which alone correlates
    prediction and measurement: `correlation_relative` is that of errors divided by the measured variance of the truth.

    Args:
        table: the errors.
        moved: the displacements.

    Returns:
        Columns quantity, spectrum, kernel, n; correlation, correlation_relative; slope (of log measured on log
        predicted) and slope_stderr (the jackknife's over photographs); ratio (median of measured over predicted),
        ratio_low and ratio_high (its quartiles); correlation_all_phases and ratio_all_phases (with D4, resp. D5, for
        all phases).
    """
    spectrum = table["spectrum"].where(table["field"] == "photograph", "Gaussian")
    rows = []
    for (quantity, known), group in table.groupby(["quantity", spectrum], sort=False):
        for kernel in ("all", *KERNELS[str(quantity)]):
            chosen = group if kernel == "all" else group[group["kernel"] == kernel]
            rows.append({"quantity": quantity, "spectrum": known, "kernel": kernel, **agreement_of(chosen)})
    every_phase = moved.assign(predicted_all_phases=moved["predicted"])  # Gaussian offsets know no others
    rows.append({"quantity": DISPLACEMENT, "spectrum": "own", "kernel": SPLINE, **agreement_of(every_phase)})
    return pd.DataFrame(rows)


def agreement_of(rows: pd.DataFrame) -> dict[str, int | float]:
    """Return the agreement of some errors."""
    predicted, measured, variance = (np.log(rows[name]) for name in ("predicted", "measured", "variance"))
    every_phase = np.log(rows["predicted_all_phases"])
    ratio = rows["measured"] / rows["predicted"]
    images = rows["image"]
    without = [slope(predicted[images != image], measured[images != image]) for image in images.unique()]
    return {
        "n": len(rows),
        "correlation": correlation(predicted, measured),
        "correlation_relative": correlation(predicted - variance, measured - variance),
        "slope": slope(predicted, measured),
        "slope_stderr": jackknife(without) if len(without) > 1 else math.nan,
        "ratio": float(ratio.median()),
        "ratio_low": float(ratio.quantile(0.25)),
        "ratio_high": float(ratio.quantile(0.75)),
        "correlation_all_phases": correlation(every_phase, measured),
        "ratio_all_phases": float((rows["measured"] / rows["predicted_all_phases"]).median()),
    }


def correlation(x: pd.Series, y: pd.Series) -> float:
    """Return the correlation of x and y, NaN for a single point."""
    return float(np.corrcoef(x, y)[0, 1]) if len(x) > 1 else math.nan


def slope(x: pd.Series, y: pd.Series) -> float:
    """Return the slope of the regression of y on x, NaN for a single point."""
    return float(np.cov(x, y)[0, 1] / np.var(x, ddof=1)) if len(x) > 1 else math.nan


# ---- deformation ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DisplacementRow:
    """How far random offsets move a photograph from itself.

    Attributes:
        image: name of the photograph.
        spread: standard deviation of each component of the offsets, in pixels.
        predicted: E|x∘φ − x|² by the spectrum (C6).
        measured: mean of |Wx − x|² over draws and pixels, W with the prefiltered cubic spline.
        measured_stderr: its standard error between draws.
        bound: mean |∇x|² · max |ε|², the mean over draws; the worst case.
        variance: Var x.
        draws: number of draws.
        seed: of the offsets.
    """

    image: str
    spread: float
    predicted: float
    measured: float
    measured_stderr: float
    bound: float
    variance: float
    draws: int
    seed: int


def displacement_rows(
    sources: Sequence[PhotographSource], spreads: Sequence[float], seed: int, device: str = "cpu"
) -> Iterator[DisplacementRow]:
    """Yield C6 for all photographs; they share the offsets of each draw."""
    spectra = [large_spectrum(source) for source in sources]
    windows = on(device, np.stack([source.window for source in sources])[None])
    for spread in spreads:
        warp = RandomFieldWarp(spread, CORRELATION, SPLINE, BOUNDARY, seed=seed)
        changes, farthest = zip(*[move(windows, warp) for _ in range(DRAWS)], strict=True)
        means, errors = np.mean(changes, 0), np.std(changes, 0, ddof=1) / math.sqrt(DRAWS)
        for source, spectrum, mean, error in zip(sources, spectra, means, errors, strict=True):
            yield DisplacementRow(
                image=source.image,
                spread=spread,
                predicted=displacement_error(spectrum, spread),
                measured=float(mean),
                measured_stderr=float(error),
                bound=float(np.square(source.gradient).sum(0).mean() * np.mean(farthest)),
                variance=float(inside(source.window).var()),
                draws=DRAWS,
                seed=seed,
            )


def large_spectrum(source: PhotographSource) -> ImageSpectrum:
    """Return the spectrum of the window by larger patches, which know lower frequencies."""
    return ImageSpectrum.of([torch.from_numpy(source.window[None])], LARGE_PATCH)


def move(windows: Float[Tensor, "1 C H W"], warp: RandomFieldWarp) -> tuple[Float[ndarray, "C"], float]:
    """Warp (1, C, H, W) by the next offsets; return the means (C,) of |Wx − x|² inside, and the largest |ε|²."""
    still = windows[..., MARGIN:-MARGIN, MARGIN:-MARGIN]
    offsets = warp.offsets(still)
    change = warping.warp(windows, offsets + MARGIN, SPLINE, BOUNDARY) - still
    return change[0].square().mean((1, 2)).cpu().numpy(), float(offsets[0].square().sum(0).max())


# ---- edges ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class EdgeRow:
    """The edge map of a photograph, in numbers.

    Attributes:
        image: name of the photograph.
        exponent: β of the power law S ~ |ω|^−β.
        exponent_stderr: its standard error between patches.
        mean_square_gradient: mean |∇x|², in squared intensities per pixel².
        edge_gradient: the smallest |∇x| among the 5 % of pixels with the largest, in intensities per pixel.
        edge_energy: share of |∇x|² in these pixels.
        gaussian_edge_energy: the same for any isotropic Gaussian field: p(1 − log p), p = 5 %.
        excess_kurtosis: of the derivatives along both axes.
    """

    image: str
    exponent: float
    exponent_stderr: float
    mean_square_gradient: float
    edge_gradient: float
    edge_energy: float
    gaussian_edge_energy: float
    excess_kurtosis: float


def edge_row(source: PhotographSource) -> EdgeRow:
    """Return the numbers of one photograph."""
    squares, at_edges = np.square(source.gradient).sum(0), source.at_edges[WHOLE.name]
    fit = large_spectrum(source).power_law()
    return EdgeRow(
        image=source.image,
        exponent=fit.exponent,
        exponent_stderr=fit.exponent_error,
        mean_square_gradient=float(squares.mean()),
        edge_gradient=float(np.sqrt(squares[at_edges].min())),
        edge_energy=float(squares[at_edges].sum() / squares.sum()),
        # |∇x|² is exponentially distributed.
        gaussian_edge_energy=EDGES * (1 - math.log(EDGES)),
        excess_kurtosis=excess_kurtosis(source.gradient),
    )


# ---- the record -------------------------------------------------------------------------------------


def run(settings: RunSettings) -> Path:
    """Compute and write the records, of every `thin`-th photograph, step and spread; return the path of the first."""
    seed, device, thin = settings.seed, settings.device, settings.thin
    check_device(device)
    sources = load(photographs.names()[::thin], seed, device)
    pictures = [source for source in sources if source.field == "photograph"]
    found = pd.DataFrame(
        asdict(row)
        for step in STEPS[::thin]
        for quantity, kernels in KERNELS.items()
        for kernel in kernels
        for row in error_rows(sources, kernel, quantity, step, seed, device)
    )
    moved = pd.DataFrame(asdict(row) for row in displacement_rows(pictures, SPREADS[::thin], seed, device))
    tables = {
        "natural_images": found,
        "natural_images_agreement": agreement(found, moved),
        "natural_images_displacement": moved,
        "natural_images_edges": pd.DataFrame(asdict(edge_row(source)) for source in pictures),
    }
    folder, manifest = records.output_folder(settings.out), records.Manifest(__name__, seed, device, chosen(thin))
    for name, table in tables.items():
        records.write_table(folder / f"{name}.parquet", table, manifest)
    return folder / "natural_images.parquet"


def chosen(thin: int) -> dict[str, object]:
    """Return what was chosen, for the manifest."""
    return {
        "thin": thin,
        "window_px": list(WINDOW),
        "margin_px": MARGIN,
        "patch_px": PATCH,
        "large_patch_px": LARGE_PATCH,
        "edge_share": EDGES,
        "true_gradient": f"derivative of {SPLINE} through all pixels",
        "correlation_px": CORRELATION,
        "boundary": BOUNDARY,
    }


def photographs_table(agreement: pd.DataFrame) -> str:
    """Return a Markdown table of how well errors on photographs are predicted from their spectra."""
    names = {"own": "the photograph itself", "other half": "its other half", "Gaussian": "(Gaussian fields instead)"}
    columns: Columns = {
        "quantity": "{quantity}",
        "spectrum of": lambda row: names[row["spectrum"]],
        "correlation": "{correlation:.4f}",
        "the same relative to the variance": "{correlation_relative:.3f}",
        "slope ± standard error": "{slope:.3f} ± {slope_stderr:.3f}",
        "measured over predicted: median (quartiles)": "{ratio:.2f} ({ratio_low:.2f} to {ratio_high:.2f})",
        "n": "{n}",
    }
    chosen = agreement[(agreement["kernel"] == "all") | ~agreement["quantity"].isin(["value", "gradient"])]
    footer = "Correlations and slopes are of logarithms, over photographs and kernels."
    return markdown_table(table_rows(chosen), columns, footer)


def finding(agreement: pd.DataFrame) -> Markup:
    """Return what was found, in a sentence."""
    values = agreement[(agreement["quantity"] == "value") & (agreement["kernel"] == "all")].set_index("spectrum")
    own, other = values.loc["own"], values.loc["other half"]
    return fragment(
        """The error of values on a photograph over what its spectrum predicts is {{ own }} in the median of
{{ count }} cases, and {{ other }} ({{ low }} to {{ high }}) where the spectrum is of the photograph's
other half (D4).""",
        own=f"{own['ratio']:.2f}",
        count=own["n"],
        other=f"{other['ratio']:.2f}",
        low=f"{other['ratio_low']:.2f}",
        high=f"{other['ratio_high']:.2f}",
    )


ANALYSIS = Analysis(
    run=run,
    writes=(
        "natural_images.parquet",
        "natural_images_agreement.parquet",
        "natural_images_displacement.parquet",
        "natural_images_edges.parquet",
    ),
    cost=Cost(quick=20, full=20),
    section=Section(
        title="Photographs",
        order=70,
        finding=ReportPassage(finding, ("natural_images_agreement.parquet",)),
        parts=(
            """What would a photograph show if it were a homogeneous random field of its own spectrum? Photographs of
scikit-image, in grey; every second or fourth pixel is the grid, the rest the truth.""",
            Plot(
                plot_photographs,
                ("natural_images.parquet", "natural_images_agreement.parquet"),
                alt="Measured against predicted errors on photographs",
                caption="""<b>Errors predicted from spectra.</b> D4 and D5, by kernel. (a, b) From the spectrum of the
same pixels, which tests the isotropic spectrum and the error kernel. (c, d) From the spectrum of the other half of
the photograph, which tests homogeneity.""",
            ),
            Plot(
                plot_limits,
                ("natural_images.parquet", "natural_images_displacement.parquet"),
                alt="Errors at edges, tails of the errors, and deformations of photographs",
                caption="""<b>Where photographs are not homogeneous.</b> (a) Errors gather at edges, and (b) have
heavy tails, compared with Gaussian fields of the same spectra (hollow). (c) C6: measured distances over the predicted
ones, and the worst case over them.""",
            ),
        ),
    ),
    tables=(DocumentTable("photographs", photographs_table, ("natural_images_agreement.parquet",)),),
)
