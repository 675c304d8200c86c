"""Every analysis runs as a script of its own, and writes a record with its manifest."""

import subprocess
import sys
from pathlib import Path

import pytest

import warptheory
from warptheory.core import records

FOLDER = Path(warptheory.__file__).parents[1] / "analyses"


@pytest.mark.parametrize("script", ["warped_image", "operator_accuracy"])
def test_runs_as_a_script(script, tmp_path):
    command = [sys.executable, str(FOLDER / f"{script}.py"), "--out", str(tmp_path), "--seed", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, cwd=FOLDER.parent)
    path = Path(done.stdout.strip())
    assert path.parent == tmp_path
    assert records.read_json(path.with_suffix(".json"))["seed"] == 2


def test_the_warped_image_is_the_operator_on_the_photograph(tmp_path):
    """And its offsets have the spread and slope that were asked for, within the scatter of one field."""
    import numpy as np
    import torch

    from warptheory.core.checkout import load_script

    script = load_script("analyses", "warped_image", "analysis")
    arrays = records.read_arrays(script.run(tmp_path, seed=0))
    photograph, offsets = (torch.from_numpy(arrays[name]).double()[None] for name in ("photograph", "offsets"))
    warped = warptheory.warp(photograph, offsets, boundary="reflect")[0]
    # Stored in float32: offsets of up to 40 pixels are rounded by 2e-6 pixels, times a contrast of one a pixel.
    np.testing.assert_allclose(arrays["warped"], warped.numpy(), atol=1e-4)
    settings = records.read_json(tmp_path / "warped_image.json")["settings"]
    # About (300/32)·(451/32)/(2π) ≈ 21 independent patches a component: 42 values, a relative scatter of 11 %.
    assert settings["measured_spread_px"] == pytest.approx(script.SPREAD, rel=0.5)
    assert settings["measured_slope"] == pytest.approx(script.SPREAD / script.CORRELATION, rel=0.5)


def test_the_filter_gives_the_stated_covariance():
    """Mean square of 200 small fields: 1 within 4.4 standard errors, and exp(−1/2) at one correlation length."""
    import numpy as np

    from warptheory.core.checkout import load_script

    script = load_script("analyses", "warped_image", "analysis")
    generator = np.random.default_rng(0)
    fields = np.stack([script.smooth_offsets((48, 48), 1.0, 6.0, generator) for _ in range(200)])
    for lag, expected in ((0, 1.0), (6, np.exp(-0.5))):
        products = (fields * np.roll(fields, lag, axis=-1)).mean((1, 2, 3))
        # The filter is cut at four widths, which costs it less than 1e-3 of its variance.
        assert abs(products.mean() - expected) <= 4.4 * products.std() / np.sqrt(200) + 2e-3


def test_the_accuracy_of_the_operator_does_not_depend_on_the_width(tmp_path):
    """Ours: rounding of a few operations at any width. Torch's grows with it, and is ten times ours at 1024."""
    from warptheory.core.checkout import load_script

    accuracy = records.read_table(load_script("analyses", "operator_accuracy", "analysis").run(tmp_path))
    quantities = ["forward", "image_gradient", "offset_gradient"]
    ours, theirs = (accuracy[accuracy["operator"] == name].set_index("width") for name in ("warp", "grid_sample"))
    # At most 40 roundings of unit 2⁻²⁴ on the path of a value, whose terms are at most 4 times the largest.
    assert (ours[quantities] <= 4 * 40 * 2.0**-24).all().all()
    assert (theirs.loc[1024, quantities] >= 10 * ours.loc[1024, quantities]).all()
