"""Handwritten digits at random places among fragments of other digits: what to read has to be found first."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from warptheory.core.checks import check_fits, check_integer
from warptheory.core.streams import Stream
from warptheory.training.data._dataset import Dataset, LabelledImages, normalised
from warptheory.training.data._drawn_digits import split_digits


def cluttered_digits(
    *,
    seed: int = 0,
    canvas: int = 24,
    fragments: int = 6,
    smallest: int = 3,
    largest: int = 6,
    copies: int = 2,
    train_digits: int = 1200,
) -> Dataset:
    """Put each of 1797 handwritten digits on canvases of zeros, at a uniform place, among fragments of other digits.

    Digits keep their 8×8 pixels. A fragment is a square that is cut, at a uniform place, from a digit of another class
    in the same part. It is put at a uniform place beside the frame of the digit, so that no pixel of the frame is
    covered; where fragments overlap, the larger intensity is seen. Images are drawn once.

    Args:
        seed: seed of the split, the places and the fragments.
        canvas: side of the canvas, in pixels.
        fragments: fragments on each canvas.
        smallest: least side of a fragment, in pixels; sides are uniform.
        largest: largest side.
        copies: images of each digit, with places and fragments of their own.
        train_digits: digits to train on; the others are to test on.

    Returns:
        Images of shape (N, 1, canvas, canvas), normalised by the training images.

    Raises:
        ArgumentError: a canvas where a fragment may find no place, fragments larger than a digit, or a split that
            leaves a class out of a part.

    Source: M. Jaderberg, K. Simonyan, A. Zisserman, K. Kavukcuoglu, Spatial Transformer Networks, NeurIPS 2015,
    arXiv:1506.02025, appendix A.4 ("TC"), after V. Mnih, N. Heess, A. Graves, K. Kavukcuoglu, Recurrent Models of
    Visual Attention, NeurIPS 2014, arXiv:1406.6247; the digits are those of `digits`.
    """
    classes, train, test = split_digits(train_digits, seed, "cluttered_digits/split")
    side = train.images.shape[-1]
    check_integer("smallest", smallest, most=side)
    check_integer("largest", largest, least=smallest, most=side)
    # Beside a digit in the middle the largest fragment still finds a place.
    check_integer("canvas", canvas, least=side + 2 * largest)
    check_integer("fragments", fragments, least=0)
    check_integer("copies", copies)
    count = copies * (len(train.labels) + len(test.labels))
    check_fits("canvas", canvas, 8 * count * canvas**2)
    check_fits("fragments", fragments, 56 * count * fragments)
    parts = (
        _cluttered(part, (canvas, fragments, smallest, largest), copies, Stream(seed, f"cluttered_digits/{name}"))
        for name, part in (("train", train), ("test", test))
    )
    return normalised("cluttered_digits", classes, *parts)


@dataclass(frozen=True)
class Clutter:
    """Where digits and fragments lie, corners being (row, column) of the first pixel.

    Attributes:
        digits: corners of the digits on their canvases, shape (N, 2), int64.
        sides: sides of the fragments, shape (N, F), int64.
        sources: index of the digit that a fragment is cut from, shape (N, F), int64.
        cuts: corners of the fragments in those digits, shape (N, F, 2), int64.
        corners: corners of the fragments on the canvases, shape (N, F, 2), int64.
    """

    digits: Int[np.ndarray, "N 2"]
    sides: Int[np.ndarray, "N F"]
    sources: Int[np.ndarray, "N F"]
    cuts: Int[np.ndarray, "N F 2"]
    corners: Int[np.ndarray, "N F 2"]

    @classmethod
    def drawn(
        cls,
        labels: Int[np.ndarray, "N"],
        frame: int,
        chosen: tuple[int, int, int, int],
        generator: np.random.Generator,
    ) -> "Clutter":
        """Draw places and fragments for digits of these classes.

        Args:
            labels: class of each digit, shape (N,).
            frame: side of a digit, in pixels.
            chosen: side of the canvas, fragments on each, least and largest side of a fragment.
            generator: source of all numbers.
        """
        canvas, fragments, smallest, largest = chosen
        count = len(labels)
        digits = generator.integers(0, canvas - frame + 1, (count, 2))
        sides = generator.integers(smallest, largest + 1, (count, fragments))
        sources = generator.integers(0, count, sides.shape)
        while (same := labels[sources] == labels[:, None]).any():
            sources[same] = generator.integers(0, count, int(same.sum()))
        cuts = generator.integers(0, frame - sides[..., None] + 1, (*sides.shape, 2))
        corners = generator.integers(0, canvas - sides[..., None] + 1, cuts.shape)
        while (covers := _meet(corners, sides, digits, frame)).any():
            corners[covers] = generator.integers(0, canvas - sides[covers][:, None] + 1, (int(covers.sum()), 2))
        return cls(digits, sides, sources, cuts, corners)


def _meet(
    corners: Int[np.ndarray, "N F 2"], sides: Int[np.ndarray, "N F"], digits: Int[np.ndarray, "N 2"], frame: int
) -> np.ndarray:
    """Return whether fragments and the digit's frame have a pixel in common, shape (N, F)."""
    first = digits[:, None]
    return np.asarray(((corners < first + frame) & (first < corners + sides[..., None])).all(-1))


def _cluttered(
    digits: LabelledImages, chosen: tuple[int, int, int, int], copies: int, stream: Stream
) -> LabelledImages:
    repeated = digits.at(torch.arange(len(digits.labels)).repeat(copies))
    images = repeated.images[:, 0].numpy()
    drawn = Clutter.drawn(repeated.labels.numpy(), images.shape[-1], chosen, stream.generator())
    canvases = torch.from_numpy(_painted(images, drawn, chosen[0]))
    return LabelledImages(canvases.unsqueeze(1), repeated.labels)


def _painted(images: Float[np.ndarray, "N S S"], drawn: Clutter, canvas: int) -> Float[np.ndarray, "N T T"]:
    frame = images.shape[-1]
    canvases = np.zeros((len(images), canvas, canvas), np.float32)
    for index, target in enumerate(canvases):
        row, column = drawn.digits[index]
        target[row : row + frame, column : column + frame] = images[index]
        fragments = (drawn.sides[index], drawn.sources[index], drawn.cuts[index], drawn.corners[index])
        for side, source, (cut_row, cut_column), (row, column) in zip(*fragments, strict=True):
            fragment = images[source, cut_row : cut_row + side, cut_column : cut_column + side]
            under = target[row : row + side, column : column + side]
            np.maximum(under, fragment, out=under, casting="same_kind")
    return canvases
