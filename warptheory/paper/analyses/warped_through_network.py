"""Carry images through the warps of a trained self-warp ResNet-56, layer by layer: the data of Figure 5.

Writes `warped_through_network.safetensors`: of each photograph the patch with the most detail among those that the
network is tested on and has not seen; for every such image and every warp the offsets of all warps up to it, composed
into one field on the pixels of the image, and the image read at these offsets.

The branch of block ℓ reads its input at t + ε_ℓ(t), and that input, followed down through the branches, was read from
the image at t + D_{ℓ−1}(t); so D_ℓ(t) = ε_ℓ(t) + D_{ℓ−1}(t + ε_ℓ(t)). A stage that has s² times fewer pixels has pixel
n over pixel sn of the image, where its strided convolutions are centred: its offsets are s times as long there. What is
read beyond the edge of a layer is the pixel at its edge, as the layer's boundary rule says.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from warptheory import warping
from warptheory.core import records
from warptheory.montecarlo import check_device
from warptheory.paper.entries import Analysis, Cost, RunSettings
from warptheory.stability import LayerOffsets, offset_fields
from warptheory.training import TrainingRun, TrainingSettings, train

STEPS = 100
IMAGES = 6
BATCH = 64
MODEL_OPTIONS = {"width": 8}


def run(settings: RunSettings) -> Path:
    """Train the network unless it is trained already, carry test images through it, and return the record's path."""
    device = settings.device
    steps = STEPS if settings.most_steps is None else min(STEPS, settings.most_steps)
    check_device(device)
    folder = records.output_folder(settings.out)
    chosen = TrainingRun(
        "selfwarp-resnet56",
        "patches",
        TrainingSettings(steps=steps, seed=settings.seed, batch=BATCH),
        dict(MODEL_OPTIONS),
        {"colour": True},
    )
    trained = train(
        chosen,
        device=torch.device(device),
        out=records.inner_folder(folder.parent, "training") / chosen.name,
        resume=True,
        on_step=lambda measured: settings.on_progress((measured.step + 1) / steps, f"train {chosen.model}"),
    )
    dataset = chosen.load_data()
    shown = dataset.classes[:IMAGES]
    patches = [dataset.test.images[dataset.test.labels == label] for label in range(len(shown))]
    chosen_images = torch.stack([each[detail(each).argmax()] for each in patches]).to(device)
    fields = [offset_fields(trained.model, image[None]) for image in chosen_images]
    height, width = dataset.test.images.shape[2:]
    composed = torch.stack([compose(each, (height, width)) for each in fields])
    path = folder / "warped_through_network.safetensors"
    measured = {
        "network": chosen.model,
        "width": MODEL_OPTIONS["width"],
        "steps": steps,
        "test_accuracy": trained.test_accuracy,
        "photographs": list(shown),
        "layers": [field.layer for field in fields[0]],
        "strides": [height // field.size[0] for field in fields[0]],
    }
    read = [
        warping.warp(image.cpu().double()[None].expand(len(each), *image.shape), each, boundary="border")
        for image, each in zip(chosen_images, composed, strict=True)
    ]
    arrays = {"images": chosen_images.cpu(), "offsets": composed, "warped": torch.stack(read)}
    manifest = records.Manifest(__name__, settings.seed, device, measured)
    records.write_arrays(path, {name: tensor.float().numpy() for name, tensor in arrays.items()}, manifest)
    return path


def detail(images: Float[Tensor, "N C H W"]) -> Int[Tensor, "N"]:
    """Return the number of different values that each image (N, C, H, W) has, shape (N,).

    Of the 256 values of a photograph, flat surfaces and the noise of dark ones have few. Differences of pixels would
    not tell them from others, as every patch is given the same contrast.
    """
    return torch.tensor([len(image.unique()) for image in images])


def compose(fields: Sequence[LayerOffsets], size: tuple[int, int]) -> Float[Tensor, "L 2 H W"]:
    """Return the composed offsets after each of L warps on the pixels of the image, shape (L, 2, H, W), in its pixels.

    Args:
        fields: offsets of the warps from the first to the last, each of one field (1, 2, h, w) on its own grid.
        size: (H, W) of the image.
    """
    total = torch.zeros(1, 2, *size, dtype=torch.float64)
    found = []
    for field in fields:
        own = _within(field, _on_image(torch.from_numpy(field.offsets).double(), size))
        total = own + warping.warp(total, own, boundary="border")
        found.append(total)
    return torch.cat(found)


def _within(field: LayerOffsets, offsets: Float[Tensor, "1 2 H W"]) -> Float[Tensor, "1 2 H W"]:
    """Return offsets (1, 2, H, W) that lead to the edge of a layer where they led beyond it."""
    size = offsets.shape[2:]
    stride, pixels = size[0] // field.size[0], _pixels((size[0], size[1]), offsets.dtype)
    last = stride * (torch.tensor(field.size, dtype=offsets.dtype) - 1).reshape(1, 2, 1, 1)
    # Pixels of the image may lie beyond the last of a coarser layer; those stay where they are.
    return torch.maximum(torch.minimum(pixels + offsets, torch.maximum(last, pixels)), torch.zeros(())) - pixels


def _pixels(size: tuple[int, int], dtype: torch.dtype) -> Float[Tensor, "1 2 H W"]:
    rows, columns = (torch.arange(length, dtype=dtype) for length in size)
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij"))[None]


def _on_image(offsets: Float[Tensor, "1 2 h w"], size: tuple[int, int]) -> Float[Tensor, "1 2 H W"]:
    """Return offsets of a coarser grid on the pixels of the image, interpolated between and in its pixels."""
    stride = size[0] // offsets.shape[2]
    pixels = _pixels(size, offsets.dtype)
    return stride * warping.warp(offsets, pixels / stride - pixels, boundary="border")


ANALYSIS = Analysis(
    run=run,
    writes=("warped_through_network.safetensors",),
    cost=Cost(quick=45, full=45, cores=2),
)
