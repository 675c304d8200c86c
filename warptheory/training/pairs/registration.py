"""Two photographs of one scene, one of them warped: which offsets make the moving one match the fixed one?"""

import torch

from warptheory.training.pairs._pairs import ImagePairs, PairedImages
from warptheory.training.pairs._warped_photographs import WarpedPhotographs, warped_photographs


def registration(
    *,
    seed: int = 0,
    size: int = 32,
    spread: float = 1.5,
    correlation: float = 8.0,
    train_per_photograph: int = 100,
    test_per_photograph: int = 40,
) -> ImagePairs:
    """Warp patches of photographs by smooth random offsets; the patch moves, and the warped patch is fixed.

    Some offsets match the two exactly: fixed(t) = moving(t + ε(t)). A network is given both, as they come apart by
    `inputs.split(1, 1)`, and what it makes of the moving one is compared with the fixed one.

    Args:
        seed: seed of the positions of the patches and of the offsets.
        size: side of a patch, in pixels.
        spread: standard deviation of each component of the offsets, in pixels.
        correlation: length of the squared exponential that correlates them, in pixels.
        train_per_photograph: training pairs from each photograph.
        test_per_photograph: test pairs from each photograph.

    Returns:
        Inputs of shape (N, 2, size, size), moving and fixed; targets (N, 1, size, size), the fixed one. Moving patches
        have mean zero and variance one each.

    Raises:
        ArgumentError: options of the wrong kind, or patches that do not fit into the photographs.
        NotPositiveDefinite: offsets that are correlated over more than the patch.

    Source: the task of G. Balakrishnan, A. Zhao, M. R. Sabuncu, J. Guttag, A. V. Dalca, VoxelMorph: A Learning
    Framework for Deformable Medical Image Registration, IEEE TMI 2019, arXiv:1809.05231, on photographs.
    """
    parts = warped_photographs(
        "registration",
        seed=seed,
        size=size,
        spread=spread,
        correlation=correlation,
        train_per_photograph=train_per_photograph,
        test_per_photograph=test_per_photograph,
    )
    return ImagePairs("registration", ("moving", "fixed"), *map(_pairs, parts))


def _pairs(warped: WarpedPhotographs) -> PairedImages:
    fixed = warped.warp(warped.images)
    return PairedImages(torch.cat([warped.images, fixed], 1), fixed)
