"""What pairs of images are."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from warptheory.core.checks import check_integer
from warptheory.core.errors import ArgumentError
from warptheory.training.batches import batch_positions


@dataclass(frozen=True)
class PairedImages:
    """Inputs and what should come out of them.

    Attributes:
        inputs: shape (N, C, *S), float32.
        targets: shape (N, D, *S), float32.

    Raises:
        ArgumentError: not one target for each input, or targets of another size.
    """

    inputs: Float[Tensor, "N C *S"]
    targets: Float[Tensor, "M D *T"]

    def __post_init__(self) -> None:
        expected = (len(self.inputs), *self.inputs.shape[2:])
        received = (len(self.targets), *self.targets.shape[2:])
        if expected != received:
            raise ArgumentError("targets", expected=f"number and size {expected}", received=received)

    def at(self, chosen: Int[Tensor, "M"]) -> "PairedImages":
        """Return the pairs of some numbers, shape (M,)."""
        return PairedImages(self.inputs[chosen], self.targets[chosen])

    def batches(
        self, batch: int, steps: int, *, seed: int = 0
    ) -> Iterator[tuple[Float[Tensor, "B C *S"], Float[Tensor, "B D *S"]]]:
        """Yield inputs (B, C, *S) and targets (B, D, *S) of each step; every epoch is a fresh permutation.

        Args:
            batch: pairs in a batch B.
            steps: number of batches.
            seed: seed of the order.

        Raises:
            ArgumentError: more pairs in a batch than there are.
        """
        check_integer("batch", batch, most=len(self.inputs))
        check_integer("steps", steps, least=0)
        for step in range(steps):
            chosen = self.at(torch.from_numpy(batch_positions(len(self.inputs), batch, seed, step)))
            yield chosen.inputs, chosen.targets


@dataclass(frozen=True)
class ImagePairs:
    """Pairs to train on, and others to test on.

    Attributes:
        name: name of the pairs in the catalogue.
        channels: what each channel of the inputs is.
        train: pairs to train on.
        test: pairs of the same shape that training must not see.
    """

    name: str
    channels: tuple[str, ...]
    train: PairedImages
    test: PairedImages
