"""Torch's own samples for `grid_sample`, through a thin shim: values and gradients of every mode are equal."""

import subprocess
import sys

import torch
from torch.nn import functional

import warptheory as wt
from warptheory.core.tolerances import rounding
from warptheory.operators import convert_grid_sample

# By torch's own names, but for the one that stands for two rules there.
KERNELS = {"bilinear": "bilinear", "nearest": "nearest", "bicubic": "bicubic"}
BOUNDARIES = {
    ("zeros", False): "zeros",
    ("zeros", True): "zeros",
    ("border", False): "border",
    ("border", True): "border",
    ("reflection", False): "reflection",
    ("reflection", True): "mirror",
}
# In a process of its own: torch's tests change global switches when they are imported. They also import a package that
# compares printed text, which samples do without.
DRAW = """
import sys, types
try:
    import expecttest
except ImportError:
    sys.modules["expecttest"] = types.ModuleType("expecttest")
    sys.modules["expecttest"].TestCase = object
import torch
from torch.testing._internal.common_methods_invocations import op_db
torch.manual_seed(0)
(info,) = [each for each in op_db if each.name == "nn.functional.grid_sample"]
samples = info.sample_inputs("cpu", torch.float64)
torch.save([(each.input, *each.args, each.kwargs) for each in samples], sys.argv[1])
"""
COUNT = 30


def draw_samples(path):
    subprocess.run([sys.executable, "-c", DRAW, str(path)], check=True, capture_output=True)
    return torch.load(path)


def grid_sample(image, grid, mode, padding_mode, align_corners):
    """`torch.nn.functional.grid_sample` by `warp`: positions in pixels, the axes in the order of the array's."""
    size = torch.tensor(image.shape[2:], dtype=grid.dtype)
    scaled = grid.flip(-1)
    positions = (scaled + 1) / 2 * (size - 1) if align_corners else ((scaled + 1) * size - 1) / 2
    index = torch.meshgrid(*map(torch.arange, grid.shape[1:-1]), indexing="ij")
    offsets = positions.movedim(-1, 1) - torch.stack(index)
    return wt.warp(image, offsets, KERNELS[mode], BOUNDARIES[padding_mode, align_corners])


def converted(image, grid, **options):
    """Torch's function, in a context that runs it by `warp`."""
    with convert_grid_sample() as conversion:
        y = functional.grid_sample(image, grid, **options)
    assert len(conversion.changes) == 1
    return y


def differentiate(function, image, grid, options):
    image, grid = image.clone().requires_grad_(), grid.clone().requires_grad_()
    y = function(image, grid, **options)
    weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
    gradients = torch.autograd.grad(y, (image, grid), weights, allow_unused=True, materialize_grads=True)
    return y.detach(), *gradients


def test_equals_torch(tmp_path):
    """In one test, since torch takes seconds to draw its samples."""
    samples = draw_samples(tmp_path / "samples.pt")
    assert_every_mode_is_among(samples)
    for image, grid, options in samples:
        theirs = differentiate(functional.grid_sample, image, grid, options)
        # Positions of up to 8 pixels are rounded a few times, weights of 4ᵈ taps change by twice that; pixels are below
        # 2. An input pixel may be read by all samples, and an offset's gradient sums three channels, times pixels per
        # unit.
        reads = grid[0, ..., 0].numel()
        magnitudes = (1, reads, 3 * max(image.shape[2:]))
        for function in (grid_sample, converted):
            ours = differentiate(function, image, grid, options)
            for one, other, terms in zip(ours, theirs, magnitudes, strict=True):
                tolerance = rounding(torch.float64, operations=200, magnitude=16.0 * terms)
                torch.testing.assert_close(
                    one,
                    other,
                    rtol=0,
                    atol=tolerance.absolute,
                    msg=lambda found, options=options: f"{options}: {found}",
                )


def assert_every_mode_is_among(samples):
    assert len(samples) == COUNT
    seen = {(o["mode"], o["padding_mode"], o["align_corners"], image.ndim - 2) for image, _, o in samples}
    wanted = {(mode, *rule, dim) for mode in KERNELS for rule in BOUNDARIES for dim in (2, 3)}
    assert seen == {each for each in wanted if each[0] != "bicubic" or each[3] == 2}
