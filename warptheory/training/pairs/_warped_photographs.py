"""Patches of photographs and smooth random offsets, from which pairs are made."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import warping
from warptheory.core.checks import check_fits, check_integer, check_number
from warptheory.core.streams import Stream
from warptheory.fields import kept_sampler
from warptheory.fields.covariance.squared_exponential import SquaredExponential
from warptheory.training.data.patches import patches

# Pixels; no patch for testing that is larger fits into the lower third of the lowest photograph.
_LARGEST = 100


@dataclass(frozen=True)
class WarpedPhotographs:
    """Patches x and what the warp x(t + ε(t)) makes of them.

    Attributes:
        images: x, each of mean zero and variance one, shape (N, 1, S, S), float32.
        offsets: ε, in pixels, shape (N, 2, S, S), float32.
    """

    images: Float[Tensor, "N 1 S S"]
    offsets: Float[Tensor, "N 2 S S"]

    def warp(self, images: Float[Tensor, "N C S S"]) -> Float[Tensor, "N C S S"]:
        """Return images of shape (N, C, S, S) read at t + ε(t), bilinearly, with the edge pixel beyond the edge."""
        return warping.warp(images, self.offsets, "linear", "border")


def warped_photographs(
    name: str,
    *,
    seed: int,
    size: int,
    spread: float,
    correlation: float,
    train_per_photograph: int,
    test_per_photograph: int,
) -> tuple[WarpedPhotographs, WarpedPhotographs]:
    """Cut patches to train and to test on, and draw smooth offsets for each.

    Args:
        name: what they are for, the label of the offsets' random streams.
        seed: seed of positions and offsets.
        size: side of a patch, in pixels.
        spread: standard deviation of each component of the offsets, in pixels.
        correlation: length of the squared exponential that correlates them, in pixels.
        train_per_photograph: training patches from each photograph.
        test_per_photograph: test patches from each photograph.

    Raises:
        ArgumentError: options of the wrong kind, or patches that do not fit into the photographs.
        NotPositiveDefinite: offsets that are correlated over more than the patch.
    """
    check_integer("size", size)
    check_number("spread", spread, least=0)
    check_number("correlation", correlation, above=0)
    counts = {"train_per_photograph": train_per_photograph, "test_per_photograph": test_per_photograph}
    for argument, count in counts.items():
        check_integer(argument, count)
        check_fits(argument, count, 24 * count * min(size, _LARGEST) ** 2)
    cut = patches(seed=seed, size=size, train_per_class=train_per_photograph, test_per_class=test_per_photograph)
    sampler = kept_sampler(SquaredExponential(length=correlation, dim=2), (size, size))
    train, test = (
        WarpedPhotographs(
            images, spread * sampler.sample(len(images), Stream(seed, label).generator(), 2, dtype=torch.float32)
        )
        for images, label in ((cut.train.images, f"{name}/train"), (cut.test.images, f"{name}/test"))
    )
    return train, test
