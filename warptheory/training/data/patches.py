"""Real photographs without a download: which photograph does a patch come from?"""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from warptheory.core.checks import check_fits, check_flag, check_integer
from warptheory.core.errors import ArgumentError
from warptheory.core.streams import Stream
from warptheory.fields import photographs
from warptheory.training.data._dataset import Dataset, LabelledImages

# One step of the photographs' 8 bits: a patch of constant intensity has no contrast to normalise.
_LEAST_CONTRAST = 1 / 255


def patches(
    *, seed: int = 0, size: int = 32, train_per_class: int = 500, test_per_class: int = 200, colour: bool = False
) -> Dataset:
    """Cut patches from scikit-image's photographs; the photograph is the class.

    The upper two thirds of each photograph serve for training, the lower third, less a margin of one patch,
    for testing: no pixel is in both, and no two of them are neighbours. Each patch has mean zero and
    variance one over its pixels and channels together, so that neither brightness nor contrast tells the
    classes apart; patches without contrast stay flat.

    Args:
        seed: seed of the positions.
        size: side of a patch, in pixels.
        train_per_class: training patches from each photograph.
        test_per_class: test patches from each photograph.
        colour: three channels, from the photographs in colour only: a grey photograph among them would be told
            by having no colour. Otherwise one channel, the luminance, from all photographs.

    Returns:
        Images of shape (N, 1, size, size), or (N, 3, size, size) in colour, class by class.

    Raises:
        ArgumentError: options of the wrong kind, or patches that do not fit into the photographs.

    Source: the photographs that scikit-image ships, see `fields.photographs`.
    """
    check_flag("colour", colour)
    check_integer("size", size)
    check_integer("train_per_class", train_per_class)
    check_integer("test_per_class", test_per_class)
    loaded = {name: photographs.load(name, grey=not colour) for name in photographs.names()}
    chosen = {name: image for name, image in loaded.items() if not colour or len(image) == 3}
    parts = {"train": train_per_class, "test": test_per_class}
    largest = min(size, max(side for image in chosen.values() for side in image.shape[1:]))
    for part, count in parts.items():
        check_fits(f"{part}_per_class", count, 8 * len(chosen) * count * (3 if colour else 1) * largest**2)
    train, test = (_part(list(chosen.values()), part, count, size, seed) for part, count in parts.items())
    return Dataset("patches", tuple(chosen), train, test)


def _part(images: list[Float[Tensor, "C _ _"]], part: str, count: int, size: int, seed: int) -> LabelledImages:
    generator = Stream(seed, f"patches/{part}").generator()
    cut = [_cut(image, _corners(image.shape[-2:], part, count, size, generator), size) for image in images]
    labels = torch.arange(len(images)).repeat_interleave(count)
    return LabelledImages(torch.cat([_normalise(patches) for patches in cut]).float(), labels)


def _corners(
    shape: tuple[int, ...], part: str, count: int, size: int, generator: np.random.Generator
) -> Int[np.ndarray, "N 2"]:
    height, width = shape
    border = 2 * height // 3
    first, last = (0, border - size) if part == "train" else (border + size, height - size)
    if last < first or width < size:
        raise ArgumentError("size", expected=f"a patch that fits into {height}×{width} pixels", received=size)
    rows = generator.integers(first, last + 1, count)
    columns = generator.integers(0, width - size + 1, count)
    return np.stack([rows, columns], axis=1)


def _cut(image: Float[Tensor, "C H W"], corners: Int[np.ndarray, "N 2"], size: int) -> Float[Tensor, "N C S S"]:
    return torch.stack([image[:, row : row + size, column : column + size] for row, column in corners])


def _normalise(patches: Float[Tensor, "N C S S"]) -> Float[Tensor, "N C S S"]:
    centred = patches - patches.mean((1, 2, 3), keepdim=True)
    return centred / centred.std((1, 2, 3), keepdim=True, correction=0).clamp_min(_LEAST_CONTRAST)
