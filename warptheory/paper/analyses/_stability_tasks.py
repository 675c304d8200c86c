"""Tasks of the stability study: batches that never end, some of which need a warp, and what they cost.

A batch is drawn anew at every step, so that the loss of training is that of data never seen before. The images behind
it are handwritten digits and patches of photographs that ship with packages.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from warptheory.core.streams import Stream
from warptheory.paper.analyses._stability_parts import warp, warp_signals
from warptheory.training import data

ModelInputs = Tensor | tuple[Tensor, ...]
Example = tuple[ModelInputs, Tensor]
TaskLoss = Callable[[Tensor, Tensor], Tensor]

SIDE = 12  # of images that fill their frame, pixels
LENGTH, CLASSES = 48, 8  # of signals
BORDER = 2  # pixels or samples that do not count where content leaves the frame
SMOOTHNESS = 0.02  # weight of the displacement's squared differences in a registration


@dataclass(frozen=True)
class WarpTask:
    """What a network is trained on.

    Attributes:
        draw: makes a batch of so many examples from a generator.
        loss: of outputs and targets.
        channels: of an input.
        outputs: of the network.
        tells_classes: whether an accuracy can be measured.
        batch: examples in a batch; one with many outputs teaches more.
        steps: of a training.
    """

    draw: Callable[[int, torch.Generator], Example]
    loss: TaskLoss
    channels: int
    outputs: int
    tells_classes: bool = True
    batch: int = 32
    steps: int = 100


@dataclass(frozen=True)
class TaskBatches:
    """Batches of a task, the same whenever they are gone through.

    Attributes:
        task: name of the task.
        size: examples in a batch.
        count: number of batches.
        seed: of what is drawn.
    """

    task: str
    size: int
    count: int
    seed: int

    def __iter__(self) -> Iterator[Example]:
        """Yield inputs and targets."""
        for step in range(self.count):
            number = int(Stream(self.seed, f"stability task {self.task}", step).generator().integers(2**63))
            yield TASKS[self.task].draw(self.size, torch.Generator().manual_seed(number))

    def __len__(self) -> int:
        """Return the number of batches."""
        return self.count


@cache
def _digits() -> tuple[Float[Tensor, "N 1 8 8"], Int[Tensor, "N"]]:
    """Return handwritten digits with a background of zero and a largest value of one, and their classes."""
    train = data.load("digits", seed=0).train
    lowest, highest = train.images.min(), train.images.max()
    return (train.images - lowest) / (highest - lowest), train.labels


@cache
def _patches() -> tuple[Float[Tensor, "N 1 S S"], Int[Tensor, "N"]]:
    train = data.load("patches", seed=0, size=SIDE, train_per_class=300, test_per_class=1).train
    return train.images, train.labels


def _chosen(
    of: tuple[Float[Tensor, "N *S"], Int[Tensor, "N"]], count: int, generator: torch.Generator
) -> tuple[Float[Tensor, "B *S"], Int[Tensor, "B"]]:
    images, labels = of
    chosen = torch.randint(len(images), (count,), generator=generator)
    return images[chosen], labels[chosen]


def _uniform(count: int, low: float, high: float, generator: torch.Generator) -> Float[Tensor, "B"]:
    return low + (high - low) * torch.rand(count, generator=generator)


def _placed(
    images: Float[Tensor, "B 1 8 8"], side: int, jitter: float, sizes: tuple[float, float], generator: torch.Generator
) -> Float[Tensor, "B 1 S S"]:
    """Put digits on a canvas, at a random place and of random size, turned, stretched and sheared by `jitter`."""
    count = len(images)
    angle = _uniform(count, -0.6, 0.6, generator) * jitter
    size = _uniform(count, math.log(sizes[0]), math.log(sizes[1]), generator).exp() * 8 / side
    ratio = (_uniform(count, -0.47, 0.47, generator) * jitter / 2).exp()
    shear = _uniform(count, -0.3, 0.3, generator) * jitter
    place = (1 - size.clamp(max=1)).unsqueeze(1) * (2 * torch.rand(count, 2, generator=generator) - 1)
    turn = torch.stack((angle.cos(), -angle.sin(), angle.sin(), angle.cos()), -1).view(-1, 2, 2)
    bend = torch.stack((ratio, shear, torch.zeros_like(shear), 1 / ratio), -1).view(-1, 2, 2)
    matrix = bend @ turn / size.view(-1, 1, 1)
    theta = torch.cat((matrix, -matrix @ place.unsqueeze(2)), dim=2)
    grid = functional.affine_grid(theta, [count, 1, side, side], align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)


def _displaced_digits(count: int, generator: torch.Generator) -> Example:
    """Digits moved, turned and of another size. Wanted: in the middle, upright and of one size."""
    images, _ = _chosen(_digits(), count, generator)
    plain = functional.pad(images, (BORDER, BORDER, BORDER, BORDER))
    return 3 * _placed(images, SIDE, 0.5, (0.7, 1.1), generator) - 0.5, 3 * plain - 0.5


def _plain_digits(count: int, generator: torch.Generator) -> Example:
    """Digits in the middle, moved by less than a pixel, with noise."""
    images, labels = _chosen(_digits(), count, generator)
    canvas = _placed(images, SIDE, 0.0, (1.3, 1.4), generator)
    return 3 * canvas - 0.9 + 0.3 * torch.randn(canvas.shape, generator=generator), labels


def _photographs(count: int, generator: torch.Generator) -> Example:
    return _chosen(_patches(), count, generator)


def _displacements(count: int, most: float, generator: torch.Generator) -> Float[Tensor, "B 2 S S"]:
    """Draw smooth displacements, in pixels: a shift, and a bend of half its deviation."""
    knots = most / 2 * torch.randn(count, 2, 3, 3, generator=generator)
    shift = most * torch.randn(count, 2, 1, 1, generator=generator)
    return shift + functional.interpolate(knots, (SIDE, SIDE), mode="bicubic", align_corners=True)


@cache
def _signal_templates() -> Float[Tensor, "K N"]:
    """Return the classes of signals: smooth curves that vanish at both ends, shape (K, N)."""
    generator = torch.Generator().manual_seed(
        int(Stream(0, "signals of the stability study").generator().integers(2**63))
    )
    knots = functional.pad(torch.randn(CLASSES, 1, 8, generator=generator), (3, 3))
    curves = functional.interpolate(knots, LENGTH, mode="linear", align_corners=True).squeeze(1)
    return curves / curves.std(dim=1, keepdim=True)


def _time_warps(count: int, most: float, generator: torch.Generator) -> Float[Tensor, "B 1 N"]:
    """Draw smooth changes of time, in samples: a shift, a scale and a bend."""
    knots = most * torch.randn(count, 1, 5, generator=generator)
    shift = 1.5 * most * torch.randn(count, 1, 1, generator=generator)
    return shift + functional.interpolate(knots, LENGTH, mode="linear", align_corners=True)


def _warped_signals(count: int, generator: torch.Generator) -> Example:
    labels = torch.randint(CLASSES, (count,), generator=generator)
    curves = warp_signals(_signal_templates()[labels].unsqueeze(1), _time_warps(count, 4.0, generator))
    return curves + 0.1 * torch.randn(curves.shape, generator=generator), labels


def _plain_signals(count: int, generator: torch.Generator) -> Example:
    labels = torch.randint(CLASSES, (count,), generator=generator)
    curves = warp_signals(_signal_templates()[labels].unsqueeze(1), _time_warps(count, 0.5, generator))
    return curves + 0.5 * torch.randn(curves.shape, generator=generator), labels


def _misaligned_signals(count: int, generator: torch.Generator) -> Example:
    """Rough signals under time warps, with a clock that was warped alike: by how much it is off. Wanted: as before."""
    plain = torch.randn(count, 1, LENGTH // 2, generator=generator).repeat_interleave(2, -1)
    plain = functional.avg_pool1d(functional.pad(plain, (1, 1), mode="replicate"), 3, 1) / 0.88
    shifts = _time_warps(count, 2.0, generator)
    noise = 0.1 * torch.randn(count, 1, LENGTH, generator=generator)
    return torch.cat((warp_signals(plain, shifts), shifts / 3 + noise), dim=1), plain


def _rectified(count: int, generator: torch.Generator) -> Example:
    """Patches under smooth warps, with a ruler that was warped alike: by how much it is off. Wanted: as before."""
    rough = functional.pad(_chosen(_patches(), count, generator)[0], (1, 1, 1, 1), mode="replicate")
    plain = 1.2 * functional.avg_pool2d(rough, 3, 1)
    shifts = _displacements(count, 2.5, generator)
    noise = 0.1 * torch.randn(shifts.shape, generator=generator)
    return torch.cat((warp(plain, shifts), shifts / 2 + noise), dim=1), plain


def _pairs(count: int, generator: torch.Generator) -> Example:
    """Digits, and the same digits under smooth warps: one is to be moved onto the other."""
    images = functional.interpolate(_chosen(_digits(), count, generator)[0], (SIDE, SIDE), mode="bilinear")
    moving, fixed = 3 * images - 1, 3 * warp(images, _displacements(count, 1.4, generator)) - 1
    return (moving, fixed), fixed


def _echoes(count: int, generator: torch.Generator) -> Example:
    """Noise, and the sum of three echoes of it from distances that are always the same."""
    rough = functional.avg_pool2d(torch.randn(count, 1, SIDE + 2, SIDE + 2, generator=generator), 3, 1) * 3
    places = torch.tensor([[3.3, -1.6], [-2.4, 3.1], [-3.2, -2.7]])
    echoes = [warp(rough, place.view(1, 2, 1, 1).expand(count, 2, SIDE, SIDE)) for place in places]
    return rough, sum(echoes, torch.zeros(())) / 3**0.5


def _coarse_photographs(count: int, generator: torch.Generator) -> Example:
    """Patches of half the size; wanted: in full."""
    plain = _chosen(_patches(), count, generator)[0]
    return functional.avg_pool2d(plain, 2), plain


def registration_loss(output: Float[Tensor, "B D H W"], fixed: Float[Tensor, "B C H W"]) -> Float[Tensor, ""]:
    """Return the squared error of the moved image (all but two channels) and the roughness of the displacement."""
    moved, field = output[:, :-2], output[:, -2:]
    rough = field.diff(dim=2).square().mean() + field.diff(dim=3).square().mean()
    return functional.mse_loss(moved, fixed) + SMOOTHNESS * rough


def cross_entropy(output: Float[Tensor, "B K"], target: Int[Tensor, "B"]) -> Float[Tensor, ""]:
    """Return the cross-entropy of classes."""
    return functional.cross_entropy(output, target)


def squared_error(output: Float[Tensor, "B *S"], target: Float[Tensor, "B *S"]) -> Float[Tensor, ""]:
    """Return the mean squared error."""
    return functional.mse_loss(output, target)


def inner_error(output: Float[Tensor, "B *S"], target: Float[Tensor, "B *S"]) -> Float[Tensor, ""]:
    """Return the mean squared error without the border, over which content has left the frame."""
    return _error_within(output, target, BORDER)


def middle_error(output: Float[Tensor, "B *S"], target: Float[Tensor, "B *S"]) -> Float[Tensor, ""]:
    """Return the mean squared error of the middle third, which larger displacements leave in the frame."""
    return _error_within(output, target, SIDE // 3)


def _error_within(output: Float[Tensor, "B *S"], target: Float[Tensor, "B *S"], border: int) -> Float[Tensor, ""]:
    for axis in range(2, output.dim()):
        length = output.shape[axis] - 2 * border
        output, target = output.narrow(axis, border, length), target.narrow(axis, border, length)
    return functional.mse_loss(output, target)


def _classes(draw: Callable[[int, torch.Generator], Example], outputs: int) -> WarpTask:
    return WarpTask(draw, cross_entropy, 1, outputs)


def _images(
    draw: Callable[[int, torch.Generator], Example], channels: int, loss: TaskLoss = squared_error, steps: int = 100
) -> WarpTask:
    return WarpTask(draw, loss, channels, 1, tells_classes=False, batch=16, steps=steps)


TASKS: Mapping[str, WarpTask] = {
    "plain digits": _classes(_plain_digits, 10),
    "photographs": _classes(_photographs, 13),
    "warped signals": _classes(_warped_signals, CLASSES),
    "plain signals": _classes(_plain_signals, CLASSES),
    "misaligned signals": _images(_misaligned_signals, 2, inner_error),
    "rectification": _images(_rectified, 3, middle_error, 200),
    "displaced digits": _images(_displaced_digits, 1),
    "echoes": _images(_echoes, 1, inner_error),
    "coarse photographs": _images(_coarse_photographs, 1),
    "registration": WarpTask(_pairs, registration_loss, 1, 1, tells_classes=False, batch=16),
}


@cache
def chance(name: str) -> float:
    """Return the loss of the best answer that ignores the input, or, of pairs, of leaving them as they are."""
    task = TASKS[name]
    if task.tells_classes:
        return math.log(task.outputs)
    inputs, target = task.draw(2048, torch.Generator().manual_seed(0))
    if isinstance(inputs, tuple):
        return float(functional.mse_loss(inputs[0], target))
    return float(task.loss(target.mean().expand_as(target), target))
