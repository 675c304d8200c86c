"""Warp a photograph by a smooth random offset field: the data of Figure 1.

Writes `warped_image.safetensors`: the photograph, the offsets and the warped photograph, and the
measured spread, slope and folded share of the offsets in the manifest.
"""

from pathlib import Path
from typing import cast

import numpy as np
import torch
from scipy import ndimage

from warptheory import warping
from warptheory.core import records
from warptheory.core.streams import Stream
from warptheory.fields import IID, photographs
from warptheory.montecarlo import check_device
from warptheory.paper.entries import Analysis, Cost, RunSettings
from warptheory.stability import fold_fraction, slope_deviation

PHOTOGRAPH = "chelsea"
SPREAD = 9.0  # pixels, standard deviation of each offset component
CORRELATION = 32.0  # pixels, correlation length of the offset field


def smooth_offsets(
    size: tuple[int, int], spread: float, correlation: float, generator: np.random.Generator
) -> np.ndarray:
    """Return a periodic Gaussian offset field (2, H, W) in pixels.

    White noise filtered by a Gaussian of width ℓ/√2 has the covariance spread²·exp(−r²/2ℓ²).

    Args:
        size: (H, W).
        spread: standard deviation of each component, in pixels.
        correlation: correlation length ℓ, in pixels.
        generator: source of the noise.
    """
    noise = IID("normal").sample(2, size, generator)[:, 0].numpy()
    smooth = np.stack(
        [ndimage.gaussian_filter(component, correlation / np.sqrt(2), mode="wrap") for component in noise]
    )
    # A Gaussian filter of width w has Σ weights² = 1/(4πw²), with w² = ℓ²/2.
    return cast("np.ndarray", spread * smooth * np.sqrt(2 * np.pi) * correlation)


def run(settings: RunSettings) -> Path:
    """Compute and write the record; return its path."""
    seed, device = settings.seed, settings.device
    check_device(device)
    photograph = photographs.load(PHOTOGRAPH).to(device)
    height, width = photograph.shape[1:]
    generator = Stream(seed, "warped_image").generator()
    offsets = torch.from_numpy(smooth_offsets((height, width), SPREAD, CORRELATION, generator)).to(device)
    warped = warping.warp(photograph[None], offsets[None], boundary="reflect")[0]
    path = records.output_folder(settings.out) / "warped_image.safetensors"
    measured = {
        "photograph": PHOTOGRAPH,
        "spread_px": SPREAD,
        "correlation_length_px": CORRELATION,
        "boundary": "reflect",
        "measured_spread_px": float(offsets.std()),
        "measured_slope": float(slope_deviation(offsets[None])),
        "measured_fold_fraction": float(fold_fraction(offsets[None])),
    }
    arrays = {"photograph": photograph, "offsets": offsets, "warped": warped}
    manifest = records.Manifest(__name__, seed, device, measured)
    records.write_arrays(
        path, {name: tensor.to("cpu", torch.float32).numpy() for name, tensor in arrays.items()}, manifest
    )
    return path


ANALYSIS = Analysis(
    run=run,
    writes=("warped_image.safetensors",),
    cost=Cost(quick=4, full=4),
)
