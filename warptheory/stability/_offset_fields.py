"""The offset fields of a model at one image."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from warptheory.core import html
from warptheory.core.presented import Presented
from warptheory.patterns.layouts import SamplingLayout
from warptheory.stability._sampling._arguments import check_image
from warptheory.stability._sampling._passage import follow
from warptheory.stability._sampling._watch import check_modules


@dataclass(frozen=True, eq=False)
class LayerOffsets(Presented):
    """The offsets of one layer at one image.

    Attributes:
        layer: dotted name of the layer.
        call: number of the operation among those of the layer.
        depth: number of the operation among all.
        operator: name of the operation.
        offsets: ε for each of F fields (offset groups × taps), in pixels of the layer's input, shape (F, d, *T).
        positions: where they lead to, in the same pixels, same shape.
        size: size of the layer's input, empty where it is not known.
    """

    layer: str
    call: int
    depth: int
    operator: str
    offsets: Float[np.ndarray, "F d *T"]
    positions: Float[np.ndarray, "F d *T"]
    size: tuple[int, ...]

    def _parts(self) -> Iterable[str]:
        counts = f"fields={len(self.offsets)}, grid={self.offsets.shape[2:]}"
        return [repr(self.layer), f"call={self.call}", repr(self.operator), counts]

    def _subtitle(self) -> str:
        return f"{self.layer or 'of the model itself'}, {self.operator}"

    def _card(self) -> Iterable[object]:
        lengths = np.linalg.norm(self.offsets, axis=1)
        finite = lengths[np.isfinite(lengths)]
        yield html.properties(
            [
                ("fields (offset groups × taps)", len(self.offsets)),
                ("output pixels", " × ".join(map(str, self.offsets.shape[2:]))),
                ("pixels of the input", " × ".join(map(str, self.size)) or "not known"),
                ("root mean square length", f"{np.sqrt(np.mean(finite**2)):.3g} pixels" if len(finite) else ""),
                ("longest", f"{finite.max():.3g} pixels" if len(finite) else ""),
                ("not finite", f"{lengths.size - finite.size} offsets" if finite.size < lengths.size else ""),
            ]
        )


def offset_fields(
    model: nn.Module, image: Float[Tensor, "1 C *S"], modules: Mapping[str, SamplingLayout] | None = None
) -> list[LayerOffsets]:
    """Return the offsets of every sampling operation of a model at an image, in the order in which they ran.

    Args:
        model: any torch model; it runs once, in evaluation mode, and is left as it was.
        image: one image, shape (1, C, *S).
        modules: as for `monitor`.

    Raises:
        ArgumentError: more than one image.
        UnknownNameError: no module of that name.
    """
    check_image(image)
    with torch.no_grad():
        passage, _ = follow(model, image, check_modules(model, modules))
        found: list[LayerOffsets] = []
        for site, each in zip(passage.sites, passage.calls, strict=True):
            pattern = each.pattern(1)
            size = passage.size_of_input(len(found))
            arrays = (pattern.offsets[0].numpy(force=True), pattern.positions()[0].numpy(force=True))
            found.append(LayerOffsets(site.layer, site.call, site.depth, each.operator, *arrays, size))
    return found
