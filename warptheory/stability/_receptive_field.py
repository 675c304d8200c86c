"""What of an image an output pixel depends on: its gradient."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from warptheory.core.errors import ArgumentError
from warptheory.stability._sampling._arguments import check_image, start_of
from warptheory.stability._sampling._passage import follow


def receptive_field(
    model: nn.Module,
    image: Float[Tensor, "1 C *S"],
    pixel: Sequence[int],
    layer: str | None = None,
    *,
    call: int = 0,
) -> Float[np.ndarray, "*S"]:
    """Return how strongly an output pixel of a layer depends on each pixel of the image, exactly: shape (*S,).

    The root of Σ (∂y_c/∂x_k)² over channels c of the pixel and k of the image, offsets and shortcuts included. It takes
    a backward pass for each channel.

    Args:
        model: any torch model; it runs in evaluation mode, and is left as it was, gradients included.
        image: one image, shape (1, C, *S).
        pixel: index of the output pixel, on the grid of the layer's output.
        layer: dotted name of the sampling layer; None for the last that ran.
        call: which of the operations in that layer.

    Raises:
        ArgumentError: more than one image, a pixel outside the grid, a model without sampling operations, an outcome
            whose gradient cannot be taken (mmcv's operations).
        UnknownNameError: no sampling operation ran in that layer.
    """
    check_image(image)
    with torch.enable_grad():
        leaf = image.detach().clone().requires_grad_()
        passage, _ = follow(model, leaf, {})
        top = passage.find(layer, call)
        start_of(passage, top, pixel)
        outcome = passage.calls[top].y
        if outcome is None or not outcome.requires_grad:
            raise ArgumentError("layer", expected="an outcome with a gradient", received=passage.calls[top].operator)
        values = outcome[0].flatten(1)[:, int(np.ravel_multi_index(tuple(pixel), outcome.shape[2:]))]
        energy = torch.zeros_like(leaf[0, 0])
        for value in values:
            (gradient,) = torch.autograd.grad(value, leaf, retain_graph=True)
            energy += gradient[0].square().sum(0)
    return energy.sqrt().numpy(force=True)
