"""Handwritten digits under strong random affine maps: a task where moving samples helps."""

import torch

from warptheory.core.checks import check_fits, check_integer
from warptheory.core.streams import Stream
from warptheory.training.data._affine import AffineMaps, AffineRanges
from warptheory.training.data._dataset import Dataset, LabelledImages, normalised
from warptheory.training.data._drawn_digits import split_digits


def affine_digits(
    *,
    seed: int = 0,
    canvas: int = 20,
    rotation: float = 0.6,
    smallest: float = 1.0,
    largest: float = 2.2,
    aspect: float = 1.6,
    shear: float = 0.3,
    copies: int = 2,
    train_digits: int = 1200,
) -> Dataset:
    """Place each of 1797 handwritten digits on canvases of zeros by random affine maps, read bilinearly.

    A digit is stretched, sheared along its rows, turned, and put at a uniform position where its frame of 8×8 pixels,
    mapped, lies within the canvas; along an axis where the frame is longer than the canvas it is in the middle.
    The maps are drawn once: training sees the same images in every epoch. Copies of one digit are in the same part.

    Args:
        seed: seed of the split and of the maps.
        canvas: side of the canvas, in pixels.
        rotation: angles are uniform in ± this, in radians.
        smallest: least size of a digit over its 8 pixels; sizes are log-uniform.
        largest: largest size.
        aspect: ratios of width to height are log-uniform between one over this and this.
        shear: shears are uniform in ± this, without unit.
        copies: images of each digit, with maps of their own.
        train_digits: digits to train on; the others are to test on.

    Returns:
        Images of shape (N, 1, canvas, canvas), normalised by the training images.

    Raises:
        ArgumentError: numbers that bound no range, or a split that leaves a class out of a part.

    Source: the digits are those of `digits`; the task is that of M. Jaderberg, K. Simonyan, A. Zisserman,
    K. Kavukcuoglu, Spatial Transformer Networks, NeurIPS 2015, arXiv:1506.02025, section 4.1 ("RTS"), with shear and
    aspect besides.
    """
    check_integer("copies", copies)
    ranges = AffineRanges(canvas, rotation, smallest, largest, aspect, shear)
    classes, train, test = split_digits(train_digits, seed, "affine_digits/split")
    check_fits("canvas", canvas, 32 * copies * (len(train.labels) + len(test.labels)) * canvas**2)
    placed = [
        _placed(part, ranges, copies, Stream(seed, f"affine_digits/{name}"))
        for name, part in (("train", train), ("test", test))
    ]
    return normalised("affine_digits", classes, *placed)


def _placed(digits: LabelledImages, ranges: AffineRanges, copies: int, stream: Stream) -> LabelledImages:
    repeated = digits.at(torch.arange(len(digits.labels)).repeat(copies))
    height, width = repeated.images.shape[2:]
    maps = AffineMaps.drawn(len(repeated.labels), (height, width), ranges, stream.generator())
    return LabelledImages(maps.place(repeated.images, ranges.canvas).float(), repeated.labels)
