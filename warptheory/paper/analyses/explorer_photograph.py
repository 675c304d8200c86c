"""What the page of `warptheory explore` warps in the browser: pictures, offsets, and the weights of kernels.

Writes `explorer_photograph.safetensors`; H and W are the sides of the pictures.

    picture.NAME       (C, H, W) uint8    photographs made smaller, and white noise
    levels             (d, H, W) uint16   which of 1024 equally likely values an independent offset takes
    quantiles.LAW      (1024,) float32    those values for a law with standard deviation 1
    wavevectors        (waves, d)         of smooth Gaussian offsets, in radians for a correlation length of 1
    amplitudes         (layers, d, 2, waves)   of their cosines and sines, for a standard deviation of 1
    taps.KERNEL        (K,) int32         the pixels j that a position with fraction f reads
    weights.KERNEL     (K, 256) float32   k(f − j) for f = 0, 1/256, …

Offsets are rounded to 1/256 of a pixel, so that the weights in the tables are those of the operator.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy import ndarray
from skimage import transform

from warptheory import kernels
from warptheory.core import records
from warptheory.core.streams import Stream
from warptheory.fields import laws, photographs
from warptheory.kernels import tap_weights
from warptheory.paper.analyses import explorer_curves
from warptheory.paper.entries import Analysis, Cost, RunSettings

RECORD = "explorer_photograph.safetensors"
PHOTOGRAPHS = ("chelsea", "astronaut", "coffee")
NOISE = "white noise"
SIZE = (144, 192)  # pixels
LEVELS = 1024
WAVES = 48
FRACTIONS = 256
BOUNDARY = "reflect"
DIM = len(SIZE)


def picture(name: str) -> ndarray:
    """Return the middle of a photograph with the pictures' proportions, made smaller, shape (3, H, W), uint8."""
    image = photographs.load(name).permute(1, 2, 0).numpy()
    scale = min(side / wanted for side, wanted in zip(image.shape, SIZE, strict=False))
    rows, columns = (round(scale * wanted) for wanted in SIZE)
    top, left = (image.shape[0] - rows) // 2, (image.shape[1] - columns) // 2
    resize: Callable[..., ndarray] = transform.resize
    smaller = resize(image[top : top + rows, left : left + columns], SIZE, anti_aliasing=True)
    return as_bytes(smaller.transpose(2, 0, 1))


def as_bytes(intensities: Float[ndarray, "C H W"]) -> UInt8[ndarray, "C H W"]:
    """Return intensities (C, H, W) in [0, 1] as the bytes that a screen shows, of the same shape."""
    return np.asarray(np.rint(255 * np.clip(intensities, 0, 1)), np.uint8)


def levels(generator: np.random.Generator) -> ndarray:
    """Return which value every offset takes, each of them as often as the others, shape (d, H, W)."""
    pixels = SIZE[0] * SIZE[1]
    return np.stack([generator.permutation(pixels) * LEVELS // pixels for _ in SIZE]).reshape(DIM, *SIZE)


def quantiles(law: str) -> ndarray:
    """Return equally likely values of a law with standard deviation 1, shape (1024,)."""
    middles = (np.arange(LEVELS) + 0.5) / LEVELS
    return laws.get(law).of_uniform(middles) / explorer_curves.deviation(law)


def smooth_waves(generator: np.random.Generator) -> tuple[ndarray, ndarray]:
    """Return wave vectors (waves, d) and amplitudes (layers, d, 2, waves) of Gaussian offsets.

    Frequencies of the squared exponential covariance are normal; those drawn are stretched to their exact mean square,
    so that slopes have the deviation that is asked for.
    """
    wavevectors = generator.standard_normal((WAVES, DIM))
    wavevectors /= np.sqrt((wavevectors**2).mean(0))
    layers = len(explorer_curves.LAYERS)
    return wavevectors, generator.standard_normal((layers, DIM, 2, WAVES)) / np.sqrt(WAVES)


def table(kernel: str) -> tuple[ndarray, ndarray]:
    """Return the taps (K,) of a kernel and their weights (K, 256) at equally spaced fractions."""
    fractions = torch.arange(FRACTIONS, dtype=torch.float64) / FRACTIONS
    found = tap_weights(kernels.get(kernel), fractions)
    return np.array([tap for tap, _ in found]), np.stack([weights.numpy() for _, weights in found])


def run(settings: RunSettings) -> Path:
    """Compute and write the record; return its path."""
    generator = Stream(settings.seed, "explorer_photograph").generator()
    wavevectors, amplitudes = smooth_waves(generator)
    noise = as_bytes(0.5 + 0.15 * generator.standard_normal((1, *SIZE)))
    families = explorer_curves.families()
    names = [*families, *(member for family in families for member in explorer_curves.members(family))]
    tables = {name: table(name) for name in names}
    arrays: dict[str, ndarray] = {
        **{f"picture.{name}": picture(name) for name in PHOTOGRAPHS},
        f"picture.{NOISE}": noise,
        "levels": levels(generator).astype(np.uint16),
        **{f"quantiles.{law}": quantiles(law).astype(np.float32) for law in explorer_curves.varied_laws()},
        "wavevectors": wavevectors,
        "amplitudes": amplitudes,
        **{f"taps.{name}": taps.astype(np.int32) for name, (taps, _) in tables.items()},
        **{f"weights.{name}": weights.astype(np.float32) for name, (_, weights) in tables.items()},
    }
    path = records.output_folder(settings.out) / RECORD
    manifest = records.Manifest(__name__, settings.seed, settings.device, {"boundary": BOUNDARY})
    records.write_arrays(path, {name: np.ascontiguousarray(array) for name, array in arrays.items()}, manifest)
    return path


ANALYSIS = Analysis(run=run, writes=(RECORD,), cost=Cost(quick=4, full=4))
