"""Layers that change the grid: where a pixel of their output lies on their input."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.modules import conv, padding, pooling

Size = tuple[int, ...]
StrideAndShift = tuple[list[float], list[float]]  # stride and shift, along each axis


@dataclass(frozen=True)
class Resize:
    """What a layer did to the grid: pixel n of its output is centred at stride·n + shift of its input.

    Attributes:
        before: number of sampling operations that ran before it.
        size_in: spatial size of its input.
        size_out: spatial size of its output.
        stride: pixels of the input per pixel of the output, along each axis.
        shift: where output pixel 0 is centred.
        boundary: what it reads outside its input, as of a `SamplingCall`.
    """

    before: int
    size_in: Size
    size_out: Size
    stride: tuple[float, ...]
    shift: tuple[float, ...]
    boundary: str = "zeros"


def resize_of(module: nn.Module, inputs: Any, output: Any, before: int) -> Resize | None:
    """Return what a module did to the grid, None for a module of which that is not known.

    Args:
        module: a module that ran.
        inputs: its positional arguments.
        output: its output.
        before: number of sampling operations that ran before it.
    """
    if not inputs or not isinstance(inputs[0], Tensor) or not isinstance(output, Tensor):
        return None
    for kinds, rule in _RULES.items():
        if isinstance(module, kinds):
            size_in, size_out = spatial_size(inputs[0]), spatial_size(output)
            stride, shift = rule(module, size_in, size_out)
            return Resize(before, size_in, size_out, tuple(stride), tuple(shift), _boundary(module))
    return None


def spatial_size(values: Tensor) -> Size:
    """Return S of a tensor (B, C, *S)."""
    return tuple(values.shape[2:])


def _window(module: Any, size_in: Size, size_out: Size) -> StrideAndShift:
    """Centre the window of a convolution or a pooling."""
    stride, _, spans = _geometry(module, len(size_out))
    # "same" pads the more on the right, and "valid" nothing.
    named = {"same": [span // 2 for span in spans], "valid": [0] * len(spans)}
    pads = named.get(module.padding) or _along(module.padding, len(spans))
    return stride, [span / 2 - pad for span, pad in zip(spans, pads, strict=True)]


def _transposed(module: Any, size_in: Size, size_out: Size) -> StrideAndShift:
    """Centre the window that input pixel i writes to: its centre is n = stride·i + span/2 − padding."""
    stride, pads, spans = _geometry(module, len(size_out))
    shift = [(pad - span / 2) / step for step, pad, span in zip(stride, pads, spans, strict=True)]
    return [1 / step for step in stride], shift


def _geometry(module: Any, dim: int) -> tuple[list[float], Any, list[int]]:
    """Return stride, padding, and the distance from the first to the last tap, along each axis."""
    dilations = _along(getattr(module, "dilation", 1), dim)
    spans = [step * (n - 1) for n, step in zip(_along(module.kernel_size, dim), dilations, strict=True)]
    return [float(step) for step in _along(module.stride, dim)], module.padding, spans


def _along(value: Any, axes: int) -> tuple[Any, ...]:
    """Return a layer's argument for each axis: torch takes one for all, or one for each."""
    return tuple(value) if isinstance(value, Iterable) else (value,) * axes


def _padded(module: Any, size_in: Size, size_out: Size) -> StrideAndShift:
    """Begin before the input; the module lists left and right, the last axis first."""
    dim = len(size_out)
    left = _along(module.padding, 2 * dim)[::2]
    return [1.0] * dim, [-float(pad) for pad in reversed(left)]


def _upsampled(module: Any, size_in: Size, size_out: Size) -> StrideAndShift:
    """Lay corner upon corner: the centres of the outermost pixels, or their edges."""
    pairs = list(zip(size_in, size_out, strict=True))
    if module.align_corners:
        return [(n - 1) / (m - 1) if m > 1 else 0.0 for n, m in pairs], [0.0] * len(pairs)
    if module.scale_factor is None or module.recompute_scale_factor:
        stride = [n / m for n, m in pairs]
    else:
        stride = [1 / factor for factor in _along(module.scale_factor, len(pairs))]
    return stride, [(step - 1) / 2 for step in stride]


_PADS: dict[type[nn.Module], str] = {
    padding._ConstantPadNd: "zeros",
    padding._ReplicationPadNd: "border",
    padding._ReflectionPadNd: "mirror",
    padding._CircularPadNd: "periodic",
}
_RULES: dict[tuple[type[nn.Module], ...], Callable[[Any, Size, Size], StrideAndShift]] = {
    (conv._ConvTransposeNd,): _transposed,
    (nn.Conv1d, nn.Conv2d, nn.Conv3d, pooling._MaxPoolNd, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d): _window,
    tuple(_PADS): _padded,
    (nn.Upsample,): _upsampled,
}


# The names that convolutions have for the same rules.
_PADDING_MODES = {"replicate": "border", "reflect": "mirror", "circular": "periodic"}


def _boundary(module: nn.Module) -> str:
    own = _PADDING_MODES.get(getattr(module, "padding_mode", "zeros"), "zeros")
    return next((boundary for kind, boundary in _PADS.items() if isinstance(module, kind)), own)
