"""A classification task from real photographs: which photograph does a patch come from?"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from warptheory.core.errors import ArgumentError
from warptheory.core.streams import Stream
from warptheory.fields import photographs


@dataclass(frozen=True)
class Patches:
    """Labelled patches.

    Attributes:
        images: grey patches of zero mean and unit variance, shape (N, 1, size, size), float32.
        labels: index of the photograph, shape (N,).
        classes: names of the photographs.
    """

    images: Float[Tensor, "N 1 H W"]
    labels: Int[Tensor, "N"]
    classes: tuple[str, ...]


def photograph_patches(part: str, per_class: int = 100, size: int = 32, seed: int = 0) -> Patches:
    """Cut labelled patches from scikit-image's photographs.

    The upper two thirds of each photograph serve for training, the lower third, less a margin of one
    patch, for testing, so that no pixel is in both.

    Args:
        part: "train" or "test".
        per_class: number of patches per photograph.
        size: side of a patch, in pixels.
        seed: seed of the positions.

    Returns:
        Patches of shape (N, 1, size, size), N = per_class × number of photographs, class by class.

    Raises:
        ArgumentError: an unknown part, or patches that do not fit into the photographs.
    """
    if part not in ("train", "test"):
        raise ArgumentError("part", expected="'train' or 'test'", received=repr(part))
    if per_class < 1:
        raise ArgumentError("per_class", expected="a positive integer", received=per_class)
    generator = Stream(seed, f"photograph_patches/{part}").generator()
    names = photographs.names()
    cut = [_cut(photographs.load(name, grey=True)[0], part, per_class, size, generator) for name in names]
    labels = torch.arange(len(names)).repeat_interleave(per_class)
    return Patches(torch.cat(cut).unsqueeze(1).float(), labels, tuple(names))


def _cut(image: Float[Tensor, "H W"], part: str, count: int, size: int, generator: np.random.Generator) -> Tensor:
    height, width = image.shape
    border = 2 * height // 3
    first, last = (0, border - size) if part == "train" else (border + size, height - size)
    if size < 1 or last < first or width < size:
        raise ArgumentError("size", expected=f"a patch that fits into {height}×{width} pixels", received=size)
    rows = generator.integers(first, last + 1, count)
    columns = generator.integers(0, width - size + 1, count)
    patches = torch.stack([image[r : r + size, c : c + size] for r, c in zip(rows, columns, strict=True)])
    centred = patches - patches.mean((1, 2), keepdim=True)
    # A patch of constant grey has no contrast to normalise; 1/255 is one step of the photographs' 8 bits.
    return centred / centred.std((1, 2), keepdim=True).clamp_min(1 / 255)
