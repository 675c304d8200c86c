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
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import torch
from jaxtyping import Complex, Float
from numpy import ndarray
from torch import Tensor

from warptheory import kernels, warping
from warptheory.core import records
from warptheory.core.streams import Stream
from warptheory.fields import ImageSpectrum, photographs
from warptheory.kernels import error_kernel
from warptheory.montecarlo import check_device
from warptheory.operators.random_field_warp import RandomFieldWarp, displacement_error
from warptheory.paper.analyses._photograph_plots import plot_limits, plot_photographs
from warptheory.paper.entries import Analysis, Cost, Plot, ReadmeTable, RunSettings, Section

SPLINE = "bspline3(prefilter=True)"
VALUE, GRADIENT, DISPLACEMENT = "value", "gradient", "displacement"
# The nearest neighbour has no gradient.
KERNELS: dict[str, tuple[str, ...]] = {
    VALUE: ("nearest", "linear", "gauss", "keys", "lanczos3", SPLINE),
    GRADIENT: ("linear", "gauss", "keys", "lanczos3", SPLINE),
}
STEPS = (2, 4)  # q, pixels of the photograph from one pixel of the grid to the next
WINDOW = (288, 384)  # pixels; the middle of every photograph, a multiple of all steps
MARGIN = 32  # pixels on each side that kernels and offsets may read, and where nothing is compared
PATCH = 64  # pixels; side of the squares whose spectra are averaged, and between which errors are compared
LARGE_PATCH = 128  # the same for C6, which needs low frequencies
FREQUENCIES = 256  # of the sums over the band, along each axis
EDGES = 0.05  # share of the pixels, those with the largest gradient
SPREADS = (0.5, 1.0, 2.0, 4.0, 8.0)  # pixels, standard deviations of random offsets
CORRELATION = 32.0  # pixels, their length
DRAWS = 4  # of the offsets, for each spread
BOUNDARY = "reflect"


@dataclass(frozen=True)
class PhotographRegion:
    """A rectangle of pixels.

    Attributes:
        name: its name.
        rows: first row, and the one after the last.
        columns: the same of the columns.
    """

    name: str
    rows: tuple[int, int]
    columns: tuple[int, int]

    def cut(self, images: Float[ndarray, "*B H W"]) -> Float[ndarray, "*B P Q"]:
        """Return the part (*B, P, Q) of images (*B, H, W) that lies in it."""
        return images[..., slice(*self.rows), slice(*self.columns)]


def inside(window: Float[ndarray, "*B H W"]) -> Float[ndarray, "*B P Q"]:
    """Return a window (*B, H, W) without its margin: (*B, P, Q)."""
    return window[..., MARGIN:-MARGIN, MARGIN:-MARGIN]


# What is compared: all inside the margin, and both halves of that.
HEIGHT, WIDTH = (n - 2 * MARGIN for n in WINDOW)
WHOLE = PhotographRegion("whole", (0, HEIGHT), (0, WIDTH))
LEFT = PhotographRegion("left half", (0, HEIGHT), (0, WIDTH // 2))
RIGHT = PhotographRegion("right half", (0, HEIGHT), (WIDTH // 2, WIDTH))


# ---- prediction -------------------------------------------------------------------------------------


@cache
def transfer() -> Complex[ndarray, "N"]:
    """Return the transfer function of the true derivative, per pixel of the photograph, at the sum's frequencies.

    The operator's answer to one bright pixel of a periodic axis, transformed.
    """
    pixel = torch.zeros(1, 1, FREQUENCIES, dtype=torch.float64)
    pixel[..., 0] = 1
    return np.asarray(np.fft.fft(true_gradient(pixel, "periodic")[0, 0, 0].numpy()))


def true_gradient(images: Float[Tensor, "1 C *S"], boundary: str = BOUNDARY) -> Float[Tensor, "1 C d *S"]:
    """Return the derivative at the pixels of the cubic spline through them, per pixel: (1, C, d, *S)."""
    size = images.shape[2:]
    return warping.warp_gradient(images, images.new_zeros(1, len(size), *size), SPLINE, boundary)


@cache
def radii() -> tuple[Float[ndarray, "U"], ndarray]:
    """Return the different |ω| of the sum's frequencies, in radians per pixel, and which of them each has."""
    cycles = np.rint(np.fft.fftfreq(FREQUENCIES) * FREQUENCIES).astype(int)
    squares, places = np.unique(np.add.outer(cycles**2, cycles**2), return_inverse=True)
    return 2 * math.pi / FREQUENCIES * np.sqrt(squares), places.ravel()


@cache
def weights(kernel: str, quantity: str, step: int, all_phases: bool) -> Float[ndarray, "U"]:
    """Return W with mean squared error = Σ S(|ω|) W(|ω|), the error kernel summed over frequencies of one |ω|.

    Args:
        kernel: name of the kernel.
        quantity: "value", or "gradient", of either axis and per pixel of the grid.
        step: q.
        all_phases: whether positions are uniform over a pixel and the derivative is iω, as in D4 and D5; else both
            are those of the measurement.
    """
    omega = 2 * math.pi * np.fft.fftfreq(FREQUENCIES)
    theta = step * np.stack(np.meshgrid(omega, omega, indexing="ij"), -1)
    order = int(quantity == GRADIENT)
    truth = step * np.broadcast_to(transfer()[:, None], theta.shape[:2]) if order and not all_phases else None
    found = error_kernel(kernels.get(kernel), theta, order, axis=0, phases=None if all_phases else step, truth=truth)
    return np.bincount(radii()[1], found.ravel()) / found.size


@dataclass(frozen=True)
class Band:
    """A measured spectrum at the |ω| of the sums; at ω = 0 it holds the mean, which some kernels change.

    Attributes:
        density: S, shape (U,).
        without: S without each of the patches in turn, shape (P, U).
    """

    density: Float[ndarray, "U"]
    without: Float[ndarray, "P U"]

    @classmethod
    def of(cls, spectrum: ImageSpectrum, mean: float) -> "Band":
        """Evaluate the spectrum of a field of some mean."""
        rows = spectrum.densities
        others = (rows.sum(0) - rows) / (len(rows) - 1)
        without = [density_at(radii()[0], replace(spectrum, densities=other[None])) for other in others]
        found = np.stack([density_at(radii()[0], spectrum), *without])
        found[:, 0] = mean**2 * FREQUENCIES**2  # the sums are means over the frequencies
        return cls(found[0], found[1:])

    def predict(self, weight: Float[ndarray, "U"]) -> tuple[float, float]:
        """Return Σ S(|ω|) W(|ω|), both (U,), and its standard error: the jackknife's, over independent patches."""
        return float(self.density @ weight), math.sqrt(len(self.without) - 1) * float(np.std(self.without @ weight))


def density_at(wavenumber: Float[ndarray, "*N"], spectrum: ImageSpectrum) -> Float[ndarray, "*N"]:
    """Return S at wavenumbers (*N) in radians per pixel: a power law between the rings, as `ImageSpectrum` has it."""
    logarithm = np.log(np.maximum(wavenumber, spectrum.wavenumbers[0]))
    return np.asarray(np.exp(np.interp(logarithm, np.log(spectrum.wavenumbers), np.log(spectrum.density))))


# ---- measurement ------------------------------------------------------------------------------------


def errors(
    windows: Float[ndarray, "C H W"],
    gradients: Float[ndarray, "C 2 P Q"],
    kernel: str,
    quantity: str,
    step: int,
    device: str = "cpu",
) -> Float[ndarray, "C parts P Q"]:
    """Return how far the grid of every `step`-th pixel, moved to all pixels inside the margin, misses the photograph.

    Args:
        windows: the photographs (C, H, W); all share the offsets, so that weights are computed once.
        gradients: the true derivatives along both axes inside the margin, per pixel of the photographs.
        kernel: name of the kernel.
        quantity: "value", or "gradient", with a part for each axis, per pixel of the grid.
        step: q, a divisor of H and W.
        device: torch device of the operator.
    """
    grid = on(device, windows[None, :, ::step, ::step])
    pixels = [torch.arange(n - 2 * MARGIN, dtype=grid.dtype, device=device) for n in windows.shape[1:]]
    offsets = torch.stack(torch.meshgrid(*[(MARGIN + p) / step - p for p in pixels], indexing="ij"))[None]
    if quantity == VALUE:
        return cast(
            "ndarray", (warping.warp(grid, offsets, kernel, BOUNDARY)[0].cpu().numpy() - inside(windows))[:, None]
        )
    return cast("ndarray", warping.warp_gradient(grid, offsets, kernel, BOUNDARY)[0].cpu().numpy() - step * gradients)


def between_blocks(squares: Float[ndarray, "H W"]) -> float:
    """Return the standard error of the mean of (H, W) values between blocks of about a patch, a scalar."""
    rows, columns = (max(2, round(n / PATCH)) for n in squares.shape)
    means = [b.mean() for row in np.array_split(squares, rows) for b in np.array_split(row, columns, axis=1)]
    return float(np.std(means, ddof=1) / math.sqrt(len(means)))


def excess_kurtosis(values: ndarray) -> float:
    """Return E(v − Ev)⁴/(Var v)² − 3 over all values, a scalar."""
    squares = np.square(values - values.mean())
    return float(np.square(squares).mean() / squares.mean() ** 2 - 3)


@dataclass(frozen=True)
class ErrorRow:
    """One error, predicted and measured.

    Attributes:
        image: name of the photograph.
        field: "photograph", or "Gaussian" for a field drawn with its spectrum.
        kernel: name of the kernel.
        quantity: "value", or "gradient", the mean of both axes.
        step: q.
        region: where the error is measured.
        spectrum: "own" for that of the region, "other half" for that of the rest of the window.
        predicted: mean squared error by the spectrum, at the phases and with the truth of the measurement.
        predicted_stderr: its standard error between patches.
        predicted_all_phases: the same for all phases, as in D4, resp. with the derivative iω, as in D5.
        measured: mean squared error of the operator.
        measured_stderr: its standard error between blocks.
        variance: of the truth: Var x, resp. the mean square of ∂x.
        edge_pixels: share of the pixels, those with the largest gradient, that are called edges.
        edge_share: share of the squared error at edges.
        edge_ratio: mean squared error there, over the prediction.
        excess_kurtosis: of the error.
        seed: of the Gaussian field.
    """

    image: str
    field: str
    kernel: str
    quantity: str
    step: int
    region: str
    spectrum: str
    predicted: float
    predicted_stderr: float
    predicted_all_phases: float
    measured: float
    measured_stderr: float
    variance: float
    edge_pixels: float
    edge_share: float
    edge_ratio: float
    excess_kurtosis: float
    seed: int


@dataclass(frozen=True)
class PhotographSource:
    """A photograph, or a Gaussian field, with what predictions need.

    Attributes:
        image: name of the photograph.
        field: "photograph" or "Gaussian".
        window: intensities.
        gradient: the true derivatives along both axes inside the margin, per pixel.
        bands: its spectra by name of the region.
    """

    image: str
    field: str
    window: Float[ndarray, "H W"]
    gradient: Float[ndarray, "2 P Q"]
    bands: dict[str, Band]

    @cached_property
    def at_edges(self) -> dict[str, ndarray]:
        """Where the gradient is among the largest of a region, as masks by its name."""
        sizes = {region.name: np.square(region.cut(self.gradient)).sum(0) for region in (WHOLE, LEFT, RIGHT)}
        return {name: size >= np.quantile(size, 1 - EDGES) for name, size in sizes.items()}


def load(names: Sequence[str], seed: int, device: str = "cpu") -> list[PhotographSource]:
    """Return the photographs, and then for each a Gaussian field of its spectrum."""
    windows = [central(photographs.load(name, grey=True)[0].numpy()) for name in names]
    spectra = [regional_spectra(window) for window in windows]
    fields = [
        gaussian_field(spectrum[WHOLE.name], Stream(seed, "natural_images/Gaussian", chunk).generator())
        for chunk, spectrum in enumerate(spectra)
    ]
    bands = [regional_bands(window, spectrum) for window, spectrum in zip(windows, spectra, strict=True)]
    known = [{WHOLE.name: Band.of(spectrum[WHOLE.name], mean=0.0)} for spectrum in spectra]
    gradients = inside(true_gradient(on(device, np.stack([*windows, *fields])[None]))[0].cpu().numpy())
    kinds = ["photograph"] * len(names) + ["Gaussian"] * len(names)
    given = zip([*names, *names], kinds, [*windows, *fields], gradients, [*bands, *known], strict=True)
    return [PhotographSource(*each) for each in given]


def on(device: str, values: ndarray) -> Tensor:
    """Return an array (*S) as a tensor on a device."""
    return torch.from_numpy(np.ascontiguousarray(values)).to(device)


def regional_spectra(window: Float[ndarray, "H W"]) -> dict[str, ImageSpectrum]:
    """Return the spectra of what is compared of a window (H, W), by name of the region."""
    parts = {region.name: region.cut(inside(window)) for region in (WHOLE, LEFT, RIGHT)}
    return {name: ImageSpectrum.of([torch.from_numpy(part[None])], PATCH) for name, part in parts.items()}


def regional_bands(window: Float[ndarray, "H W"], spectra: dict[str, ImageSpectrum]) -> dict[str, Band]:
    """Return the spectra of a window (H, W) at the frequencies of the sums, with the means of the regions."""
    regions = (WHOLE, LEFT, RIGHT)
    return {r.name: Band.of(spectra[r.name], float(r.cut(inside(window)).mean())) for r in regions}


def central(photograph: Float[ndarray, "H W"]) -> Float[ndarray, "P Q"]:
    """Return the window (P, Q) in the middle of a photograph (H, W)."""
    top, left = ((have - want) // 2 for have, want in zip(photograph.shape, WINDOW, strict=True))
    return photograph[top : top + WINDOW[0], left : left + WINDOW[1]]


def gaussian_field(spectrum: ImageSpectrum, generator: np.random.Generator) -> Float[ndarray, "H W"]:
    """Return a periodic Gaussian field (H, W) on the window's grid, of the density S at its frequencies, mean zero."""
    omega = np.hypot(*np.meshgrid(*(2 * math.pi * np.fft.fftfreq(n) for n in WINDOW), indexing="ij"))
    amplitude = np.sqrt(density_at(omega, spectrum))
    amplitude[0, 0] = 0
    return np.fft.ifft2(amplitude * np.fft.fft2(generator.standard_normal(WINDOW))).real


def error_rows(
    sources: Sequence[PhotographSource], kernel: str, quantity: str, step: int, seed: int, device: str = "cpu"
) -> Iterator[ErrorRow]:
    """Yield the errors of one kernel in all regions of all sources."""
    windows, gradients = np.stack([s.window for s in sources]), np.stack([s.gradient for s in sources])
    found = errors(windows, gradients, kernel, quantity, step, device)
    for source, error in zip(sources, found, strict=True):
        pairs = [(WHOLE, WHOLE), (LEFT, RIGHT), (RIGHT, LEFT)] if source.field == "photograph" else [(WHOLE, WHOLE)]
        for region, known in pairs:
            yield error_row(source, error, region, known, (kernel, quantity, step, seed))


def error_row(
    source: PhotographSource,
    error: Float[ndarray, "P H W"],
    region: PhotographRegion,
    known: PhotographRegion,
    what: tuple[str, str, int, int],
) -> ErrorRow:
    """Compare the error (P, H, W) in a region with the prediction from the spectrum of a region."""
    kernel, quantity, step, seed = what
    here, at_edges, band = region.cut(error), source.at_edges[region.name], source.bands[known.name]
    squares = np.square(here).mean(0)
    predicted, predicted_stderr = band.predict(weights(kernel, quantity, step, False))
    slopes = float(np.square(step * region.cut(source.gradient)).mean())
    return ErrorRow(
        image=source.image,
        field=source.field,
        kernel=kernel,
        quantity=quantity,
        step=step,
        region=region.name,
        spectrum="own" if region == known else "other half",
        predicted=predicted,
        predicted_stderr=predicted_stderr,
        predicted_all_phases=float(band.density @ weights(kernel, quantity, step, True)),
        measured=float(squares.mean()),
        measured_stderr=between_blocks(squares),
        variance=slopes if quantity == GRADIENT else float(region.cut(inside(source.window)).var()),
        edge_pixels=EDGES,
        edge_share=float(squares[at_edges].sum() / squares.sum()),
        edge_ratio=float(squares[at_edges].mean()) / predicted,
        excess_kurtosis=excess_kurtosis(here),
        seed=seed,
    )


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
        "slope_stderr": math.sqrt(len(without) - 1) * float(np.std(without)) if len(without) > 1 else math.nan,
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
    lines = [
        "| quantity | spectrum of | correlation | the same relative to the variance | slope ± standard error "
        "| measured over predicted: median (quartiles) | n |",
        "|---|---|---|---|---|---|---|",
    ]
    names = {"own": "the photograph itself", "other half": "its other half", "Gaussian": "(Gaussian fields instead)"}
    chosen = agreement[(agreement["kernel"] == "all") | ~agreement["quantity"].isin(["value", "gradient"])]
    for row in chosen.to_dict(orient="records"):
        ratio = f"{row['ratio']:.2f} ({row['ratio_low']:.2f} to {row['ratio_high']:.2f})"
        lines.append(
            f"| {row['quantity']} | {names[row['spectrum']]} | {row['correlation']:.4f} "
            f"| {row['correlation_relative']:.3f} | {row['slope']:.3f} ± {row['slope_stderr']:.3f} | {ratio} "
            f"| {row['n']} |"
        )
    return "\n".join([*lines, "", "Correlations and slopes are of logarithms, over photographs and kernels."])


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
    tables=(ReadmeTable("photographs", photographs_table, ("natural_images_agreement.parquet",)),),
)
