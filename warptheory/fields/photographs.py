"""The photographs that ship inside scikit-image, as arrays: real images without a download."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from warptheory.core.checks import check_known

# Photographs of the world (no drawings, text, masks or test charts) among scikit-image's data files.
_PHOTOGRAPHS = (
    "astronaut",
    "brick",
    "camera",
    "chelsea",
    "coffee",
    "coins",
    "grass",
    "gravel",
    "hubble_deep_field",
    "ihc",
    "moon",
    "retina",
    "rocket",
)


@cache
def _installed() -> dict[str, Path]:
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    found = {path.stem: path for path in folder.iterdir() if path.suffix in {".png", ".jpg"}}
    return {name: found[name] for name in _PHOTOGRAPHS if name in found}


def names() -> list[str]:
    """Return the names of the photographs that the installed scikit-image has on disk."""
    return list(_installed())


def load(name: str, *, grey: bool = False, dtype: torch.dtype = torch.float64) -> Float[Tensor, "C H W"]:
    """Read one photograph.

    Args:
        name: a name in `names()`.
        grey: convert colour to luminance (ITU-R BT.709 weights, as scikit-image's rgb2gray).
        dtype: floating dtype of the result.

    Returns:
        Intensities in [0, 1], shape (C, H, W), C = 3 for colour and 1 for grey.

    Raises:
        UnknownNameError: no photograph of that name.

    Source: scikit-image, https://scikit-image.org/docs/stable/api/skimage.data.html, with the
    licence of each picture.
    """
    from skimage import color, io, util

    paths = _installed()
    check_known("name", name, paths)
    as_float: Callable[[ndarray], ndarray] = util.img_as_float64
    pixels = as_float(io.imread(paths[name]))
    if pixels.ndim == 3 and grey:
        pixels = color.rgb2gray(pixels)
    image = torch.from_numpy(pixels).to(dtype)
    return image.unsqueeze(0) if image.ndim == 2 else image.permute(2, 0, 1).contiguous()
