"""Photographs as `natural_images` takes them: windows, regions, true derivatives, and what their spectra predict."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np
import torch
from jaxtyping import Complex, Float
from numpy import ndarray
from torch import Tensor

from warptheory import kernels, warping
from warptheory.core.streams import Stream
from warptheory.fields import ImageSpectrum, photographs
from warptheory.fields.periodogram import wavenumbers
from warptheory.kernels import error_kernel

SPLINE = "bspline3(prefilter=True)"
GRADIENT = "gradient"
WINDOW = (288, 384)  # pixels; the middle of every photograph, a multiple of all steps
MARGIN = 32  # pixels on each side that kernels and offsets may read, and where nothing is compared
PATCH = 64  # pixels; side of the squares whose spectra are averaged, and between which errors are compared
FREQUENCIES = 256  # of the sums over the band, along each axis
EDGES = 0.05  # share of the pixels, those with the largest gradient
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
REGIONS = (WHOLE, LEFT, RIGHT)


# ---- spectra and what they predict ----------------------------------------------------------------------


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
        without = [replace(spectrum, densities=other[None]).density_at(radii()[0]) for other in others]
        found = np.stack([spectrum.density_at(radii()[0]), *without])
        found[:, 0] = mean**2 * FREQUENCIES**2  # the sums are means over the frequencies
        return cls(found[0], found[1:])

    def predict(self, weight: Float[ndarray, "U"]) -> tuple[float, float]:
        """Return Σ S(|ω|) W(|ω|), both (U,), and its standard error: the jackknife's, over independent patches."""
        return float(self.density @ weight), jackknife(self.without @ weight)


def jackknife(without: Sequence[float] | Float[ndarray, "P"]) -> float:
    """Return the standard error of a number, given what it is without each of its parts, (P,)."""
    return math.sqrt(len(without) - 1) * float(np.std(without))


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
        sizes = {region.name: np.square(region.cut(self.gradient)).sum(0) for region in REGIONS}
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
    parts = {region.name: region.cut(inside(window)) for region in REGIONS}
    return {name: ImageSpectrum.of([torch.from_numpy(part[None])], PATCH) for name, part in parts.items()}


def regional_bands(window: Float[ndarray, "H W"], spectra: dict[str, ImageSpectrum]) -> dict[str, Band]:
    """Return the spectra of a window (H, W) at the frequencies of the sums, with the means of the regions."""
    return {r.name: Band.of(spectra[r.name], float(r.cut(inside(window)).mean())) for r in REGIONS}


def central(photograph: Float[ndarray, "H W"]) -> Float[ndarray, "P Q"]:
    """Return the window (P, Q) in the middle of a photograph (H, W)."""
    top, left = ((have - want) // 2 for have, want in zip(photograph.shape, WINDOW, strict=True))
    return photograph[top : top + WINDOW[0], left : left + WINDOW[1]]


def gaussian_field(spectrum: ImageSpectrum, generator: np.random.Generator) -> Float[ndarray, "H W"]:
    """Return a periodic Gaussian field (H, W) on the window's grid, of the density S at its frequencies, mean zero."""
    amplitude = np.sqrt(spectrum.density_at(wavenumbers(WINDOW)))
    amplitude[0, 0] = 0
    return np.fft.ifft2(amplitude * np.fft.fft2(generator.standard_normal(WINDOW))).real
