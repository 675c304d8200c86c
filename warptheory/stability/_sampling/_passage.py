"""One forward pass of a model on one image: its sampling operations, and how grids lie on each other between them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.utils import _ntuple

from warptheory.core.errors import ArgumentError, UnknownNameError
from warptheory.stability._sampling._call import Place, SamplingCall
from warptheory.stability._sampling._layouts import OffsetOutput
from warptheory.stability._sampling._watch import Watch

_CENTRED = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.MaxPool1d,
    nn.MaxPool2d,
    nn.MaxPool3d,
    nn.AvgPool1d,
    nn.AvgPool2d,
    nn.AvgPool3d,
)


@dataclass(frozen=True)
class Resize:
    """A layer that changes the grid: pixel n of its output is centred at stride·n + shift of its input.

    Attributes:
        before: number of sampling operations that ran before it.
        size_in: spatial size of its input.
        size_out: spatial size of its output.
        stride: pixels of the input per pixel of the output, along each axis.
        shift: where the window of output pixel 0 is centred.
    """

    before: int
    size_in: tuple[int, ...]
    size_out: tuple[int, ...]
    stride: tuple[float, ...]
    shift: tuple[float, ...]


@dataclass
class Passage:
    """What a forward pass did.

    Attributes:
        size: spatial size of the image.
        places: where its sampling operations ran, in their order.
        calls: the operations.
        resizes: layers that changed the grid, in their order.
    """

    size: tuple[int, ...]
    places: list[Place] = field(default_factory=list)
    calls: list[SamplingCall] = field(default_factory=list)
    resizes: list[Resize] = field(default_factory=list)

    def find(self, layer: str | None, call: int) -> int:
        """Return the number of a sampling operation of which the input is known; None stands for the last.

        Raises:
            ArgumentError: there is none at all, or not that often.
            UnknownNameError: none ran in that layer.
        """
        known = [number for number, each in enumerate(self.calls) if each.x is not None]
        if not known:
            raise ArgumentError("model", expected="a model that samples", received="no sampling operation")
        if layer is None:
            return known[-1]
        found = [number for number in known if self.places[number].layer == layer]
        if not found:
            raise UnknownNameError("layer", layer, {self.places[number].layer for number in known})
        if not 0 <= call < len(found):
            raise ArgumentError("call", expected=f"a call of {layer!r}, 0 … {len(found) - 1}", received=call)
        return found[call]

    def size_of_input(self, number: int) -> tuple[int, ...]:
        """Return the spatial size of what an operation samples, empty where it is not known."""
        sampled = self.calls[number].x
        return () if sampled is None else _spatial_size(sampled)

    def descend(
        self, positions: Float[Tensor, "N d"], upper: int, lower: int | None
    ) -> tuple[Float[Tensor, "N d"], tuple[int, ...]]:
        """Carry positions on the input of one operation down to the output of another, or to the image.

        A convolution or a pooling leads to the centre of its window. Where sizes differ without such a layer, the areas
        of both grids are laid upon each other, as interpolation with align_corners=False does.

        Args:
            positions: in pixels of the input of operation `upper`, shape (N, d).
            upper: number of that operation.
            lower: number of the operation below, or None for the image.

        Returns:
            The positions (N, d), and the size of the grid on which they lie.
        """
        size = self.size_of_input(upper)
        target = self.size if lower is None else tuple(self.calls[lower].offsets().shape[3:])
        first = 0 if lower is None else lower + 1
        for resize in reversed([each for each in self.resizes if first <= each.before <= upper]):
            if resize.size_out == size and resize.size_in != size:
                positions = positions * positions.new_tensor(resize.stride) + positions.new_tensor(resize.shift)
                size = resize.size_in
        if size != target:
            ratio = positions.new_tensor(target) / positions.new_tensor(size)
            positions = (positions + 0.5) * ratio - 0.5
        return positions, target


def follow(
    model: nn.Module, image: Float[Tensor, "1 C *S"], modules: Mapping[str, OffsetOutput]
) -> tuple[Passage, Any]:
    """Run a model in evaluation mode on an image (1, C, *S); return what it did, and its output.

    The model is left in the modes in which it was.
    """
    passage = Passage(_spatial_size(image))

    def on_call(place: Place, module: nn.Module, call: SamplingCall) -> None:
        passage.places.append(place)
        passage.calls.append(call)

    def on_module(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        resize = _resize(module, inputs, output, len(passage.calls))
        if resize is not None:
            passage.resizes.append(resize)

    with _evaluating(model), Watch(model, on_call, modules, on_module):
        output = model(image)
    return passage, output


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def _resize(module: nn.Module, inputs: Any, output: Any, before: int) -> Resize | None:
    if not isinstance(module, _CENTRED) or not isinstance(output, Tensor) or not inputs:
        return None
    size_in, size_out = _spatial_size(inputs[0]), _spatial_size(output)
    many = _ntuple(len(size_out))
    kernel, stride = many(module.kernel_size), many(module.stride)
    dilation = many(getattr(module, "dilation", 1))
    # "same" changes no grid, and "valid" pads nothing.
    padding = many(0 if isinstance(module.padding, str) else module.padding)
    reaches = [step * (n - 1) / 2 for n, step in zip(kernel, dilation, strict=True)]
    shift = tuple(reach - pad for reach, pad in zip(reaches, padding, strict=True))
    return Resize(before, size_in, size_out, tuple(map(float, stride)), shift)


def _spatial_size(values: Tensor) -> tuple[int, ...]:
    return tuple(values.shape[2:])
