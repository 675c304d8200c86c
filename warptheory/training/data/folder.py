"""Any images that lie in one folder per class."""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional

from warptheory.core.checks import check_fits, check_flag, check_integer, check_number
from warptheory.core.errors import ArgumentError
from warptheory.core.streams import Stream
from warptheory.training.data._dataset import Dataset, LabelledImages, normalised, unusable
from warptheory.training.data._preparation import stratified_split

Files = dict[str, list[Path]]  # image files by class
Split = tuple[tuple[str, ...], LabelledImages, LabelledImages]  # names of classes, images to train, images to test

_PARTS = ("train", "test")
_SUFFIXES = {".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
_FORMATS = ("BMP", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
# Pixels of an image as it is decoded: some 100 MB in Pillow's memory, and twice as much while it is turned and cut.
_MOST_PIXELS = 2**25
# Larger squares are averaged over blocks before they are resized, as float32 of four channels takes 16 bytes a pixel.
_MOST_SHARP = 2**22
_OVERSAMPLED = 4  # pixels of what is averaged, or decoded at less than full size, to one of the result, along an axis
_SIXTEEN_BITS = 2**16 - 1
_EIGHT_BITS = 2**8 - 1
_LUMINANCE = (0.2125, 0.7154, 0.0721)  # ITU-R BT.709, as for the photographs


def folder(
    *, data_dir: Path | None = None, seed: int = 0, size: int = 32, colour: bool = True, test_share: float = 0.2
) -> Dataset:
    """Read the images of a folder, whose sub-folders are the classes.

    The images lie in DIR/train/CLASS and DIR/test/CLASS, or in DIR/CLASS, and are then split at random within
    each class. BMP, JPEG, PNG, PGM, PPM, TIFF and WebP are read; files with other endings and hidden ones are left
    alone. The central square of an image, turned upright, is resized; transparency is shown on white;
    of a file with several images, the first is read. Images of more than 2²⁵ = 33 554 432 pixels are refused; JPEG
    files that are not progressive are decoded at down to an eighth of their size first, where that is enough.

    Args:
        data_dir: the folder.
        seed: seed of the split.
        size: side of the resized images, in pixels.
        colour: three channels, equal ones where an image is grey; otherwise one, the luminance.
        test_share: share of the images of each class to test on, where the folder has no split.

    Returns:
        Images of shape (N, 3, size, size), or (N, 1, size, size), each channel of mean zero and variance one over
        the training images; classes in alphabetical order.

    Raises:
        ArgumentError: no such folder, fewer than two classes, a class without images, a folder where an image
            should be, a file that cannot be read, or a link that leaves the folder.
    """
    check_flag("colour", colour)
    check_integer("size", size)
    check_number("test_share", test_share, above=0, below=1)
    if data_dir is None or not data_dir.is_dir():
        raise ArgumentError("data_dir", expected="a folder of images", received=data_dir)
    read = partial(_read_class_folders, size=size, channels=3 if colour else 1)
    if all((data_dir / part).is_dir() for part in _PARTS):
        classes, train, test = _published_split(data_dir, read)
    else:
        classes, train, test = _random_split(data_dir, read, test_share, Stream(seed, "folder/split").generator())
    return normalised("folder", classes, train, test)


def _published_split(root: Path, read: Callable[[Files], LabelledImages]) -> Split:
    train, test = (_image_files(root / part, root) for part in _PARTS)
    if different := sorted(train.keys() ^ test.keys()):
        raise ArgumentError(
            "data_dir", expected="the same classes in train and test", received=f"{', '.join(different)} in one of them"
        )
    return tuple(train), read(train), read(test)


def _random_split(
    root: Path, read: Callable[[Files], LabelledImages], test_share: float, generator: np.random.Generator
) -> Split:
    _check_not_half_split(root)
    files = _image_files(root, root)
    for name, paths in files.items():
        if len(paths) == 1:
            raise unusable(root / name, "two images of each class, to train and to test", "one image")
    whole = read(files)
    train, test = map(whole.at, stratified_split(whole.labels, test_share, generator))
    return tuple(files), train, test


def _check_not_half_split(root: Path) -> None:
    """Tell a part with class folders, beside which the other is missing, from a class of that name."""
    for part, other in (_PARTS, _PARTS[::-1]):
        if (root / part).is_dir() and any(path.is_dir() for path in _visible(root / part)):
            found = ", ".join(path.name for path in _visible(root) if path.is_dir())
            raise unusable(
                root, "class folders in train and in test, or images in class folders", f"{found}, no {other}"
            )


def _image_files(parent: Path, root: Path) -> Files:
    """Return the images in each class folder of `parent`, all of which must lie inside `root`."""
    folders = [path for path in _visible(parent) if path.is_dir()]
    if len(folders) < 2:
        raise unusable(parent, "folders of at least two classes", f"{len(folders)} folders")
    return {folder.name: _images_of_class(folder, root) for folder in folders}


def _images_of_class(folder: Path, root: Path) -> list[Path]:
    _check_inside(folder, root)
    images = []
    for path in _visible(folder):
        _check_inside(path, root)
        if path.exists() and not path.is_file():
            raise unusable(path, "class folders that hold images", "a folder, or no file")
        if path.suffix.lower() in _SUFFIXES:
            images.append(path)
    if not images:
        raise unusable(folder, "images in each class folder", "none")
    return images


def _visible(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise unusable(folder, "a folder that can be read", error.strerror) from error


def _check_inside(path: Path, root: Path) -> None:
    try:
        place = path.resolve()
    except (OSError, RuntimeError) as error:  # links in a circle
        raise unusable(path, "files and folders", error) from error
    if not place.is_relative_to(root.resolve()):
        raise unusable(path, "files and folders inside data_dir", f"a link to {place}")


def _read_class_folders(files: Files, size: int, channels: int) -> LabelledImages:
    count = sum(len(paths) for paths in files.values())
    check_fits("size", size, 4 * count * channels * size**2)
    images = [_read_image(path, size, channels) for paths in files.values() for path in paths]
    counts = torch.tensor([len(paths) for paths in files.values()])
    return LabelledImages(torch.stack(images), torch.arange(len(files)).repeat_interleave(counts))


def _read_image(path: Path, size: int, channels: int) -> Float[Tensor, "C S S"]:
    try:
        with Image.open(path, formats=_FORMATS) as image:
            _bound(image, size)
            # Other formats hold integers of any range; Pillow scales a PGM's, which are 0 … its header's, to 16 bits.
            is_sixteen_bits = image.format == "PPM" or image.mode.startswith("I;16")
            square = _central_square(ImageOps.exif_transpose(image))
            pixels = _pixels(_averaged(square, size), is_sixteen_bits)
    except Exception as error:  # what decoders raise on damaged files is not documented
        raise unusable(path, f"an image ({', '.join(_FORMATS)})", error) from error
    planes = torch.from_numpy(pixels).permute(2, 0, 1)
    if channels == 1:
        planes = torch.tensordot(torch.tensor([_LUMINANCE]), planes, dims=1)
    # Bilinear between the pixels of a small image; of a large one, each pixel is a mean over its surroundings.
    return functional.interpolate(planes.unsqueeze(0), (size, size), mode="bilinear", antialias=True)[0]


def _bound(image: Image.Image, size: int) -> None:
    """Have a large image decoded at less than its full size where the format can; nothing is decoded yet.

    Raises:
        ValueError: too many pixels would be decoded.
    """
    # Of a progressive file all coefficients are held in memory, whatever is made of them.
    if math.prod(image.size) > _MOST_SHARP and image.format == "JPEG" and not image.info.get("progressive"):
        image.draft(image.mode, (_OVERSAMPLED * size, _OVERSAMPLED * size))
    if math.prod(image.size) > _MOST_PIXELS:
        width, height = image.size
        raise ValueError(f"{width} × {height} pixels, more than {_MOST_PIXELS}")


def _averaged(image: Image.Image, size: int) -> Image.Image:
    """Return an image averaged over blocks if it is large, with several pixels left for each of the result."""
    block = min(image.size) // (_OVERSAMPLED * size)
    if math.prod(image.size) <= _MOST_SHARP or block < 2:
        return image
    mode = "I" if image.mode.startswith("I;16") else image.mode
    return image.convert(mode if mode in ("L", "RGB", "I", "F") else "RGBA").reduce(block)


def _central_square(image: Image.Image) -> Image.Image:
    side = min(image.size)
    left, upper = ((length - side) // 2 for length in image.size)
    return image.crop((left, upper, left + side, upper + side))


def _pixels(image: Image.Image, is_sixteen_bits: bool) -> Float[ndarray, "H W 3"]:
    """Return intensities of red, green and blue in [0, 1], float32.

    Args:
        image: of shape (H, W).
        is_sixteen_bits: whether that is the range of the image, if it is one of longer integers.
    """
    if image.mode.startswith("I") and is_sixteen_bits:
        grey = np.asarray(image).astype(np.float32) / _SIXTEEN_BITS
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode in ("I", "F"):
        raise ValueError("its numbers have no known range")
    pixels = np.asarray(image.convert("RGBA"), np.float32) / _EIGHT_BITS
    colour, opacity = pixels[..., :3], pixels[..., 3:]
    return colour * opacity + (1 - opacity)
