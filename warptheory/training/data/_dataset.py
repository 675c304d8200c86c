"""What a data set is."""

from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Int, Num
from torch import Tensor

from warptheory.core.errors import ArgumentError
from warptheory.training.data._preparation import normalise_channels


@dataclass(frozen=True)
class LabelledImages:
    """Images and their classes.

    Attributes:
        images: shape (N, C, *S), float32 in a data set.
        labels: index of each image's class, shape (N,), int64.

    Raises:
        ArgumentError: not one label for each image.
    """

    images: Num[Tensor, "N C *S"]
    labels: Int[Tensor, "N"]

    def __post_init__(self) -> None:
        if len(self.labels) != len(self.images):
            raise ArgumentError(
                "labels", expected=f"{len(self.images)} labels, one for each image", received=len(self.labels)
            )

    def at(self, chosen: Int[Tensor, "M"]) -> "LabelledImages":
        """Return the images of some numbers, shape (M,)."""
        return LabelledImages(self.images[chosen], self.labels[chosen])


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


def normalised(name: str, classes: tuple[str, ...], train: LabelledImages, test: LabelledImages) -> Dataset:
    """Return a data set of these images, each channel of mean zero and variance one over those to train on."""
    images = normalise_channels(train.images, test.images)
    parts = (LabelledImages(each, part.labels) for each, part in zip(images, (train, test), strict=True))
    return Dataset(name, classes, *parts)


def unusable(path: Path, expected: str, received: object) -> ArgumentError:
    """Return the error of a file or folder that is no data."""
    return ArgumentError("data_dir", expected=expected, received=f"{path}: {received}")
