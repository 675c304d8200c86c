import os
import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile
from skimage import color, transform

from warptheory.core.errors import ArgumentError
from warptheory.training import data
from warptheory.training.data.folder import _read_image

pytestmark = pytest.mark.usefixtures("as_users_call")


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def flat(level, size=8):
    """An image of one intensity, in colour."""
    return np.full((size, size, 3), level, np.uint8)


@pytest.fixture
def unsplit(tmp_path):
    """Ten images in each of two classes; each image has an intensity of its own."""
    for number in range(10):
        save(tmp_path / "cat" / f"{number}.png", flat(number))
        save(tmp_path / "dog" / f"{number}.png", flat(100 + number))
    return tmp_path


@pytest.fixture
def split(tmp_path):
    """Two classes, three images of each to train on and one to test on."""
    for label, name in enumerate(("cat", "dog")):
        for number in range(3):
            save(tmp_path / "train" / name / f"{number}.png", flat(100 * label + number))
        save(tmp_path / "test" / name / "0.png", flat(100 * label + 50))
    return tmp_path


def levels(dataset, lowest, highest):
    """Undo the normalisation of images of one intensity, given the least and the largest of all."""
    values = torch.cat([dataset.train.images, dataset.test.images])[:, 0, 0, 0].double()
    unit = (values.max() - values.min()) / (highest - lowest)
    found = ((values - values.min()) / unit + lowest).round().int().tolist()
    return found[: len(dataset.train.labels)], found[len(dataset.train.labels) :]


def test_a_folder_that_is_split(split):
    dataset = data.load("folder", data_dir=split, size=8)
    assert dataset.name == "folder"
    assert dataset.classes == ("cat", "dog")
    assert dataset.train.images.shape == (6, 3, 8, 8)
    assert dataset.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert dataset.test.labels.tolist() == [0, 1]
    assert levels(dataset, 0, 150) == ([0, 1, 2, 100, 101, 102], [50, 150])
    assert dataset.train.images.mean((0, 2, 3)).abs().max() < 1e-6
    assert (dataset.train.images.var((0, 2, 3), correction=0) - 1).abs().max() < 1e-6


def test_a_folder_without_a_split(unsplit):
    """Every image is in one part, with its label; the seed decides which."""
    chosen = set()
    for seed in (0, 1, 0):
        dataset = data.load("folder", data_dir=unsplit, size=4, seed=seed)
        train, test = levels(dataset, 0, 109)
        assert sorted(train + test) == [*range(10), *range(100, 110)]
        assert [int(level >= 100) for level in train] == dataset.train.labels.tolist()
        assert [int(level >= 100) for level in test] == dataset.test.labels.tolist()
        assert len(test) == 4
        chosen.add(tuple(test))
    assert len(chosen) == 2


def test_a_class_may_be_called_train(tmp_path):
    for name in ("car", "train"):
        for number in range(2):
            save(tmp_path / name / f"{number}.png", flat(number))
    assert data.load("folder", data_dir=tmp_path).classes == ("car", "train")


def test_hidden_files_and_other_endings_are_left_alone(split):
    (split / "train" / "cat" / ".hidden.png").write_bytes(b"no image")
    (split / "train" / "cat" / "notes.txt").write_text("no image")
    (split / "train" / ".cache").mkdir()
    (split / "readme.png").write_bytes(b"no image")
    assert len(data.load("folder", data_dir=split).train.labels) == 6


def test_grey_and_colour_together(split):
    save(split / "train" / "cat" / "grey.png", np.full((8, 8), 60, np.uint8))
    colour = data.load("folder", data_dir=split, size=8).train.images
    assert colour.shape == (7, 3, 8, 8)
    assert data.load("folder", data_dir=split, size=8, colour=False).train.images.shape == (7, 1, 8, 8)


@pytest.fixture
def photograph():
    return np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8)


def read(path, pixels, size=9, channels=3, **options):
    Image.fromarray(pixels).save(path, **options)
    return _read_image(path, size, channels).permute(1, 2, 0).numpy()


@pytest.mark.parametrize("ending", ["png", "bmp", "ppm", "tiff", "webp"])
def test_pixels_of_lossless_files(tmp_path, photograph, ending):
    """Intensities are the bytes over 255, to float32's rounding."""
    options = {"lossless": True} if ending == "webp" else {}
    np.testing.assert_allclose(read(tmp_path / f"a.{ending}", photograph, **options), photograph / 255, atol=1e-6)


def test_sixteen_bits(tmp_path):
    deep = np.random.default_rng(0).integers(0, 2**16, (9, 9), np.uint16)
    for ending in ("png", "tiff"):
        found = read(tmp_path / f"a.{ending}", deep)
        np.testing.assert_allclose(found, np.repeat(deep[..., None] / 65535, 3, 2), atol=1e-6)


@pytest.mark.parametrize("most", [255, 300, 4095, 65535])
@pytest.mark.parametrize("plain", [False, True])
def test_grey_maps_of_any_depth(tmp_path, most, plain):
    """A PGM says in its header what stands for white; Pillow rounds to steps of 1/65535."""
    deep = np.random.default_rng(0).integers(0, most + 1, (9, 7))
    content = f"P{2 if plain else 5}\n# a comment\n7 9\n{most}\n".encode()
    if plain:
        content += " ".join(map(str, deep.ravel())).encode()
    else:
        content += deep.astype(">u2" if most > 255 else np.uint8).tobytes()
    (tmp_path / "a.pgm").write_bytes(content)
    found = _read_image(tmp_path / "a.pgm", 7, 1)[0].numpy()
    np.testing.assert_allclose(found, deep[1:8] / most, atol=0.51 / 65535)


def test_luminance_and_transparency_as_scikit_image_has_them(tmp_path, photograph):
    """Float32 rounds sums of a few numbers below one."""
    grey = read(tmp_path / "a.png", photograph, channels=1)[..., 0]
    np.testing.assert_allclose(grey, color.rgb2gray(photograph), atol=1e-6)
    opacity = np.random.default_rng(1).integers(0, 256, (9, 9, 1), np.uint8)
    transparent = np.concatenate([photograph, opacity], axis=2)
    np.testing.assert_allclose(read(tmp_path / "b.png", transparent), color.rgba2rgb(transparent), atol=1e-6)


def test_palettes(tmp_path):
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 255, 0, 51])
    image.save(tmp_path / "a.png")
    assert _read_image(tmp_path / "a.png", 8, 3)[:, 0, 0].tolist() == pytest.approx([1, 0, 0.2])


def test_the_central_square(tmp_path):
    """Of 6 by 12 pixels, whose intensity is their column, the columns 3 to 8."""
    columns = np.broadcast_to(np.arange(12, dtype=np.uint8)[None, :, None], (6, 12, 3))
    np.testing.assert_allclose(255 * read(tmp_path / "a.png", columns.copy(), 6)[0, :, 0], range(3, 9), atol=1e-4)


def test_images_are_turned_upright(tmp_path):
    """Orientation 6 of the EXIF standard: the first row is the right side."""
    rows = np.broadcast_to(np.arange(8, dtype=np.uint8)[:, None, None], (8, 8, 3)).copy()
    exif = Image.Exif()
    exif[0x0112] = 6
    found = 255 * read(tmp_path / "a.png", rows, 8, exif=exif)
    np.testing.assert_allclose(found[0, :, 0], range(7, -1, -1), atol=1e-4)


def test_large_images_are_averaged(tmp_path):
    """A ramp of 64 steps resized to 8: away from the edges a symmetric mean of a ramp is its centre, as in skimage."""
    ramp = np.broadcast_to(np.arange(64, dtype=np.uint8)[None, :, None], (64, 64, 3)).copy()
    found = read(tmp_path / "a.png", ramp, 8)
    wanted = transform.resize(ramp / 255, (8, 8), anti_aliasing=True)
    np.testing.assert_allclose(found[2:6, 2:6], wanted[2:6, 2:6], atol=1e-6)
    noise = np.random.default_rng(0).integers(0, 2, (64, 64, 3), np.uint8) * 255
    # The mean over a triangle of 16 by 16 pixels has a variance of (1/12)² of theirs, a deviation of 1/24.
    assert read(tmp_path / "b.png", noise, 8).std() < 1.5 / 24


def refused(folder, message, **options):
    with pytest.raises(ArgumentError, match=f"^data_dir: expected {message}"):
        data.load("folder", data_dir=folder, **options)


def test_no_folder(tmp_path):
    with pytest.raises(ArgumentError, match="^data_dir: expected a folder of images, got None"):
        data.load("folder")
    refused(tmp_path / "nothing", "a folder of images, got .*nothing")


def test_no_classes(tmp_path):
    refused(tmp_path, f"folders of at least two classes, got {tmp_path}: 0 folders")
    (tmp_path / "cat").mkdir()
    refused(tmp_path, f"folders of at least two classes, got {tmp_path}: 1 folders")


def test_an_empty_class(split):
    (split / "train" / "emu").mkdir()
    refused(split, f"images in each class folder, got {split}/train/emu: none")


@pytest.mark.parametrize(("part", "missing"), [("train", "test"), ("test", "train")])
def test_a_part_that_is_missing(split, part, missing):
    (split / missing).rename(split / "val")
    found = ", ".join(sorted([part, "val"]))
    refused(split, f"class folders in train and in test, or images in .*, got {split}: {found}, no {missing}$")


def test_classes_that_are_only_in_one_part(split):
    save(split / "train" / "emu" / "0.png", flat(0))
    refused(split, "the same classes in train and test, got emu in one of them")


def test_one_image_cannot_be_split(unsplit):
    save(unsplit / "emu" / "0.png", flat(0))
    refused(unsplit, f"two images of each class, to train and to test, got {unsplit}/emu: one image")


def test_a_folder_too_deep(split):
    """Images one level below would be left out without a word."""
    save(split / "train" / "cat" / "tabby" / "0.png", flat(0))
    refused(split, f"class folders that hold images, got {split}/train/cat/tabby: a folder, or no file")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="not run: needs named pipes")
def test_a_pipe_is_not_waited_for(split):
    os.mkfifo(split / "train" / "cat" / "pipe.png")
    refused(split, f"class folders that hold images, got {split}/train/cat/pipe.png: a folder, or no file")


def whole_png():
    buffer = BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)).save(buffer, "png")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [b"", b"no image", whole_png()[:40], whole_png()[:1000], b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n"],
    ids=["empty", "text", "header", "half", "another format"],
)
def test_a_file_that_cannot_be_read(split, content):
    path = split / "train" / "cat" / "damaged.png"
    path.write_bytes(content)
    refused(split, f"an image \\(BMP, JPEG, PNG, PPM, TIFF, WEBP\\), got {path}: ")


def test_numbers_without_a_known_range(split):
    path = split / "train" / "cat" / "float.tiff"
    save(path, np.ones((8, 8), np.float32))
    refused(split, f"an image .*, got {path}: its numbers have no known range")


def test_an_image_that_would_fill_the_memory(split):
    """A file of a few bytes that says it has 2³¹ pixels."""
    path = split / "train" / "cat" / "bomb.png"
    content = bytearray(whole_png())
    content[16:24] = struct.pack(">II", 2**16, 2**15)
    header = bytes(content[12:29])
    content[29:33] = struct.pack(">I", zlib.crc32(header))
    path.write_bytes(bytes(content))
    refused(split, f"an image .*, got {path}: .*exceeds limit")


@pytest.mark.parametrize("target", ["file", "class"])
def test_links_that_leave_the_folder(split, tmp_path_factory, target):
    outside = tmp_path_factory.mktemp("outside")
    save(outside / "secret.png", flat(0))
    name = "cat/secret.png" if target == "file" else "emu"
    (split / "train" / name).symlink_to(outside / "secret.png" if target == "file" else outside)
    refused(split, f"files and folders inside data_dir, got {split}/train/{name}: a link to {outside}")


def test_links_inside_the_folder_are_followed(split):
    (split / "train" / "cat" / "again.png").symlink_to(split / "test" / "dog" / "0.png")
    assert len(data.load("folder", data_dir=split).train.labels) == 7


def test_links_to_nothing_and_in_a_circle(split):
    path = split / "train" / "cat" / "lost.png"
    path.symlink_to(split / "nothing.png")
    refused(split, f"an image .*, got {path}: ")
    path.unlink()
    path.symlink_to(path)
    refused(split, f".*, got {path}: ")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="not run: needs a user whom permissions bind")
def test_a_folder_that_cannot_be_listed(split):
    folder = split / "train" / "cat"
    folder.chmod(0)
    try:
        refused(split, f"a folder that can be read, got {folder}: ")
    finally:
        folder.chmod(0o755)


def two_classes(folder, name, save_image):
    for label in ("cat", "dog"):
        for number in range(2):
            (folder / label).mkdir(exist_ok=True)
            save_image(folder / label / f"{number}{name}")


@pytest.fixture
def decoded(monkeypatch):
    """The sizes of all images that are decoded."""
    sizes, load = [], ImageFile.ImageFile.load

    def watched(image):
        sizes.append(image.size)
        return load(image)

    monkeypatch.setattr(ImageFile.ImageFile, "load", watched)
    return sizes


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA", "P", "I;16"])
def test_a_small_file_of_very_many_pixels_is_never_decoded(tmp_path, decoded, mode):
    """A header is enough to know."""
    depth, kind = {"1": (1, 0), "L": (8, 0), "RGB": (8, 2), "RGBA": (8, 6), "P": (8, 3), "I;16": (16, 0)}[mode]
    header = struct.pack(">IIBBBBB", 6000, 6000, depth, kind, 0, 0, 0)
    chunks = [(b"IHDR", header), *([(b"PLTE", bytes(6))] if mode == "P" else []), (b"IDAT", b""), (b"IEND", b"")]
    parts = [struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in chunks]
    two_classes(tmp_path, ".png", lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts)))
    with pytest.raises(
        ArgumentError, match=r"^data_dir: expected an image .*: 6000 × 6000 pixels, more than 33554432$"
    ):
        data.load("folder", data_dir=tmp_path, size=8)
    assert decoded == []


@pytest.mark.parametrize("progressive", [False, True])
def test_a_large_jpeg_is_decoded_at_less_than_its_size(tmp_path, decoded, progressive):
    """Unless it is progressive, and all its coefficients would be held in memory."""
    ramp = np.repeat(np.linspace(0, 255, 6000).astype(np.uint8)[:, None], 6000, axis=1)
    Image.fromarray(ramp).save(tmp_path / "ramp.jpg", quality=90, progressive=progressive)
    decoded.clear()
    if progressive:
        with pytest.raises(ArgumentError, match="6000 × 6000 pixels, more than 33554432"):
            _read_image(tmp_path / "ramp.jpg", 8, 1)
        return
    found = _read_image(tmp_path / "ramp.jpg", 8, 1)[0, :, 0]
    assert set(decoded) == {(750, 750)}
    # Means over eighths of a ramp, but at the ends; one step of 8 bits for the file, one for the decoder.
    expected = (torch.arange(8) + 0.5) / 8
    torch.testing.assert_close(found[1:-1], expected[1:-1], rtol=0, atol=2 / 255)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "I;16", "1"])
def test_large_squares_are_averaged_to_the_same_image(tmp_path, mode, monkeypatch):
    """Of blocks of four by four equal pixels, over which the weights of the resampling are straight lines.

    So the means over blocks change nothing but the rounding of float32 sums over 1024 pixels, and of colours times
    opacities to 8 bits, on the way there and back.
    """
    noise = np.random.default_rng(0).integers(0, 256, (32, 40, 4), np.uint8).repeat(4, 0).repeat(4, 1)
    image = Image.fromarray(noise)
    if mode == "I;16":
        image = Image.fromarray(noise[..., 0].astype(np.uint16) * 257)
    elif mode != "RGBA":
        image = image.convert("RGB").convert(mode, dither=Image.Dither.NONE)
    image.save(tmp_path / "noise.png")
    before = _read_image(tmp_path / "noise.png", 8, 3)
    monkeypatch.setattr("warptheory.training.data.folder._MOST_SHARP", 64)
    after = _read_image(tmp_path / "noise.png", 8, 3)
    torch.testing.assert_close(after, before, rtol=0, atol=2 / 255 if mode == "RGBA" else 1e-4)


def test_an_absurd_size_is_refused(unsplit):
    with pytest.raises(ArgumentError, match="^size: expected a size that fits into .* GiB of memory, got 1000000000"):
        data.load("folder", data_dir=unsplit, size=10**9)
