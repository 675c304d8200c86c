"""One forward pass of a model on one image: its sampling operations, and how grids lie on each other between them."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from warptheory.core.errors import ArgumentError, UnknownNameError
from warptheory.patterns.layouts import SamplingLayout
from warptheory.stability._sampling._ancestry import Ancestry
from warptheory.stability._sampling._boundaries import as_read
from warptheory.stability._sampling._call import CallSite, SamplingCall
from warptheory.stability._sampling._opaque import scripts, unseen
from warptheory.stability._sampling._resizes import Resize, resize_of, spatial_size
from warptheory.stability._sampling._watch import Watch


@dataclass
class Passage:
    """What a forward pass did.

    Attributes:
        size: spatial size of the image.
        sites: where its sampling operations ran, in their order.
        calls: the operations.
        resizes: layers that changed the grid, in their order.
        ancestors: for each operation, the numbers of those of these layers by which its input was computed.
    """

    size: tuple[int, ...]
    sites: list[CallSite] = field(default_factory=list)
    calls: list[SamplingCall] = field(default_factory=list)
    resizes: list[Resize] = field(default_factory=list)
    ancestors: list[frozenset[int]] = field(default_factory=list)

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
        found = [number for number in known if self.sites[number].layer == layer]
        if not found:
            raise UnknownNameError("layer", layer, {self.sites[number].layer for number in known})
        if not 0 <= call < len(found):
            raise ArgumentError("call", expected=f"a call of {layer!r}, 0 … {len(found) - 1}", received=call)
        return found[call]

    def size_of_input(self, number: int) -> tuple[int, ...]:
        """Return the spatial size of what an operation samples, empty where it is not known."""
        sampled = self.calls[number].x
        return () if sampled is None else spatial_size(sampled)

    def descend(
        self, positions: Float[Tensor, "N d"], upper: int, lower: int | None
    ) -> tuple[Float[Tensor, "N d"], tuple[int, ...]]:
        """Carry positions on the input of one operation down to the output of another, or to the image.

        Layers whose rule is known are followed from above, each where its output has the size that is reached: of
        branches that run side by side, one. Where sizes differ without such a layer, the areas of both grids are laid
        upon each other, as interpolation with align_corners=False does.

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
        for number in sorted(self.ancestors[upper], reverse=True):
            resize = self.resizes[number]
            if first <= resize.before <= upper and resize.size_out == size:
                positions = positions * positions.new_tensor(resize.stride) + positions.new_tensor(resize.shift)
                positions, size = as_read(resize.boundary, positions, resize.size_in), resize.size_in
        if size != target:
            ratio = positions.new_tensor(target) / positions.new_tensor(size)
            positions = (positions + 0.5) * ratio - 0.5
        return positions, target


def follow(
    model: nn.Module, image: Float[Tensor, "1 C *S"], modules: Mapping[str, SamplingLayout]
) -> tuple[Passage, Any]:
    """Run a model in evaluation mode on an image (1, C, *S); return what it did, and its output.

    The model is left in the modes in which it was. A warning names its parts that are TorchScript, and not seen.
    """
    programs = scripts(model)
    if programs:
        warnings.warn(unseen(programs), stacklevel=3)
    passage, ancestry = Passage(spatial_size(image)), Ancestry()

    def on_call(site: CallSite, module: nn.Module, call: SamplingCall) -> None:
        passage.sites.append(site)
        passage.calls.append(call)
        passage.ancestors.append(ancestry.of(call.x))

    def on_module(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        resize = resize_of(module, inputs, output, len(passage.calls))
        if resize is not None:
            passage.resizes.append(resize)
        ancestry.pass_on(inputs, output, *([] if resize is None else [len(passage.resizes) - 1]))

    with _evaluating(model), ancestry, Watch(model, on_call, modules, on_module):
        output = model(image)
    return passage, output


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    # A frozen script has no mode, until it is given one.
    modes = {module: getattr(module, "training", None) for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            if training is None:
                vars(module).pop("training", None)
            else:
                module.training = training
