"""Warp a photograph by a smooth random offset field: the data of Figure 1.

Writes `warped_image.safetensors`: the photograph, the offsets and the warped photograph, and the
measured spread, slope and folded share of the offsets in the manifest.
"""

from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

import warptheory as wt
from warptheory.core import records
from warptheory.core.analysis import run_as_script
from warptheory.core.streams import Stream
from warptheory.fields import IID, photographs
from warptheory.montecarlo import check_device
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
    return spread * smooth * np.sqrt(2 * np.pi) * correlation


def run(out: Path, seed: int = 0, device: str = "cpu") -> Path:
    """Compute and write the record; return its path."""
    check_device(device)
    photograph = photographs.load(PHOTOGRAPH).to(device)
    height, width = photograph.shape[1:]
    generator = Stream(seed, "warped_image").generator()
    offsets = torch.from_numpy(smooth_offsets((height, width), SPREAD, CORRELATION, generator)).to(device)
    warped = wt.warp(photograph[None], offsets[None], boundary="reflect")[0]
    path = records.output_folder(out) / "warped_image.safetensors"
    settings = {
        "photograph": PHOTOGRAPH,
        "spread_px": SPREAD,
        "correlation_length_px": CORRELATION,
        "boundary": "reflect",
        "measured_spread_px": float(offsets.std()),
        "measured_slope": float(slope_deviation(offsets[None])),
        "measured_fold_fraction": float(fold_fraction(offsets[None])),
    }
    arrays = {"photograph": photograph, "offsets": offsets, "warped": warped}
    manifest = records.Manifest("analyses/warped_image.py", seed, device, settings)
    records.write_arrays(
        path, {name: tensor.to("cpu", torch.float32).numpy() for name, tensor in arrays.items()}, manifest
    )
    return path


if __name__ == "__main__":
    run_as_script(run, __doc__)
