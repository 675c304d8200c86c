"""Carry images through the warps of a trained self-warp ResNet-56, layer by layer: the data of Figure 5.

Writes `warped_through_network.safetensors`: of each photograph the patch with the most detail among those that the
network is tested on and has not seen; for every such image and every warp the offsets of all warps up to it, composed
into one field on the pixels of the image, and the image read at these offsets. The weights of the network stand in
`warped_through_network_weights.safetensors`. The training takes minutes, so the quick profile draws the committed
records, and carries one of the images through the committed network anew.

The branch of block ℓ reads its input at t + ε_ℓ(t), and that input, followed down through the branches, was read from
the image at t + D_{ℓ−1}(t); so D_ℓ(t) = ε_ℓ(t) + D_{ℓ−1}(t + ε_ℓ(t)). A stage that has s² times fewer pixels has pixel
n over pixel sn of the image, where its strided convolutions are centred: its offsets are s times as long there. What is
read beyond the edge of a layer is the pixel at its edge, as the layer's boundary rule says.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from warptheory import warping
from warptheory.core import records
from warptheory.montecarlo import check_device
from warptheory.paper.committed import digest
from warptheory.paper.entries import Analysis, Cost, LongComputation, RecomputedCell, RunSettings
from warptheory.stability import LayerOffsets, offset_fields
from warptheory.training import TrainingRun, TrainingSettings, train
from warptheory.training.model_state import weights_of

RECORD = "warped_through_network.safetensors"
WEIGHTS = "warped_through_network_weights.safetensors"
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
    path = folder / RECORD
    records.check_free(path, folder / WEIGHTS)
    chosen = training_run(steps, settings.seed)
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
    chosen_images = torch.stack([each[detail(each).argmax()] for each in patches])
    fields = [offset_fields(trained.model, image[None].to(device)) for image in chosen_images]
    height, width = dataset.test.images.shape[2:]
    composed = torch.stack([compose(each, (height, width)) for each in fields])
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
        warping.warp(image.double()[None].expand(len(each), *image.shape), each, boundary="border")
        for image, each in zip(chosen_images, composed, strict=True)
    ]
    arrays = {"images": chosen_images, "offsets": composed, "warped": torch.stack(read)}
    manifest = records.Manifest(__name__, settings.seed, device, measured)
    records.write_arrays(folder / WEIGHTS, weights_of(trained.model), manifest)
    records.write_arrays(path, {name: tensor.float().numpy() for name, tensor in arrays.items()}, manifest)
    return path


def training_run(steps: int, seed: int) -> TrainingRun:
    """Return what is trained on what."""
    settings = TrainingSettings(steps=steps, seed=seed, batch=BATCH)
    return TrainingRun("selfwarp-resnet56", "patches", settings, dict(MODEL_OPTIONS), {"colour": True})


def configuration() -> dict[str, Any]:
    """Return what the committed records depend on: the run of the first seed with its data."""
    chosen = training_run(STEPS, 0)
    loaded = chosen.load_data()
    data = [digest(part.images.numpy()) for part in (loaded.train, loaded.test)]
    return {"run": asdict(chosen), "data": data, "images": IMAGES}


def carried_cell(settings: RunSettings, committed: Path) -> RecomputedCell:
    """Carry the first image through the committed network anew, and compare how far it has been moved."""
    known = records.read_arrays(committed / RECORD)
    image = torch.from_numpy(known["images"][:1])
    offsets = compose(offset_fields(committed_network(committed), image), (image.shape[2], image.shape[3]))[-1]
    length = _mean_length(torch.from_numpy(known["offsets"][0, -1]))
    return RecomputedCell(
        what="mean length, in pixels, of the offsets of the first image after the last warp of the committed network",
        committed=length,
        recomputed=_mean_length(offsets),
        tolerance=1e-3 * length,
        reason="rounding of float32, which warps of rough images at offsets that depend on them carry on",
    )


def committed_network(folder: Path) -> nn.Module:
    """Return the trained network whose weights stand in a folder of records."""
    chosen = training_run(STEPS, 0)
    model = chosen.build_model(chosen.load_data())
    weights = records.read_arrays(folder / WEIGHTS)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    return model.eval()


def _mean_length(offsets: Float[Tensor, "2 H W"]) -> float:
    """Return the mean length of offsets (2, H, W), in pixels."""
    return float(offsets.double().norm(dim=0).mean())


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
    writes=(RECORD, WEIGHTS),
    cost=Cost(quick=6, full=60, cores=2),
    long=LongComputation(configuration=configuration, cell=carried_cell),
)
