"""Warped photographs and a warped page of regular lines, from which the photograph is to be read straight."""

import torch
from jaxtyping import Float
from torch import Tensor

from warptheory.core.checks import check_integer
from warptheory.training.pairs._pairs import ImagePairs, PairedImages
from warptheory.training.pairs._warped_photographs import WarpedPhotographs, warped_photographs


def rectification(
    *,
    seed: int = 0,
    size: int = 32,
    spread: float = 1.5,
    correlation: float = 8.0,
    period: int = 8,
    train_per_photograph: int = 100,
    test_per_photograph: int = 40,
) -> ImagePairs:
    """Warp patches of photographs by smooth random offsets, and a regular grid of lines by the same.

    The lines say where each pixel came from, as those of a ruled page do: a photograph alone does not, as it has no
    straight line of its own. The target is the photograph before the warp.

    Args:
        seed: seed of the positions of the patches and of the offsets.
        size: side of a patch, in pixels.
        spread: standard deviation of each component of the offsets, in pixels.
        correlation: length of the squared exponential that correlates them, in pixels.
        period: pixels from a line to the next; lines are told apart while offsets stay below half of it.
        train_per_photograph: training pairs from each photograph.
        test_per_photograph: test pairs from each photograph.

    Returns:
        Inputs of shape (N, 2, size, size), the warped photograph and the warped lines; targets (N, 1, size, size), the
        photograph, of mean zero and variance one in each patch.

    Raises:
        ArgumentError: options of the wrong kind, or patches that do not fit into the photographs.
        NotPositiveDefinite: offsets that are correlated over more than the patch.

    Source: the task of K. Ma, Z. Shu, X. Bai, J. Wang, D. Samaras, DocUNet: Document Image Unwarping via a Stacked
    U-Net, CVPR 2018, https://doi.org/10.1109/CVPR.2018.00494, on photographs that scikit-image ships.
    """
    check_integer("period", period, least=2)
    parts = warped_photographs(
        "rectification",
        seed=seed,
        size=size,
        spread=spread,
        correlation=correlation,
        train_per_photograph=train_per_photograph,
        test_per_photograph=test_per_photograph,
    )
    lines = ruled_page(size, period)
    return ImagePairs("rectification", ("photograph", "lines"), *(_pairs(part, lines) for part in parts))


def ruled_page(size: int, period: int) -> Float[Tensor, "S S"]:
    """Return lines along both axes, shape (size, size), float32, of mean zero and variance one.

    A line is brightest where it runs and fades to the middle between two, so that every pixel says how far it is.

    Args:
        size: side of the page, in pixels.
        period: pixels from a line to the next.
    """
    wave = torch.cos(2 * torch.pi * torch.arange(size, dtype=torch.float64) / period)
    page = wave[:, None] + wave
    return ((page - page.mean()) / page.std(correction=0)).float()


def _pairs(warped: WarpedPhotographs, lines: Float[Tensor, "S S"]) -> PairedImages:
    both = torch.cat([warped.images, lines.expand_as(warped.images)], 1)
    return PairedImages(warped.warp(both), warped.images)
