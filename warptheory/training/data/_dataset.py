"""What a data set is."""

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from warptheory.core.errors import ArgumentError


@dataclass(frozen=True)
class LabelledImages:
    """Images and their classes.

    Attributes:
        images: shape (N, C, *S), float32.
        labels: index of each image's class, shape (N,), int64.

    Raises:
        ArgumentError: not one label for each image.
    """

    images: Float[Tensor, "N C *S"]
    labels: Int[Tensor, "N"]

    def __post_init__(self) -> None:
        if len(self.labels) != len(self.images):
            raise ArgumentError(
                "labels", expected=f"{len(self.images)} labels, one for each image", received=len(self.labels)
            )


@dataclass(frozen=True)
class Dataset:
    """Labelled images to train on, and others to test on.

    Attributes:
        name: name of the data set in the catalogue.
        classes: names of the classes, by label.
        train: images to train on.
        test: images of the same shape that training must not see.
    """

    name: str
    classes: tuple[str, ...]
    train: LabelledImages
    test: LabelledImages
