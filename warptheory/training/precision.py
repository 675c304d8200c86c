"""Mixed precision: which type a step computes in, and the scale of its loss."""

import torch
from jaxtyping import Float
from torch import Tensor

from warptheory.core.checks import check_known
from warptheory.core.errors import ArgumentError

_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def names() -> tuple[str, ...]:
    """Return the names of the precisions."""
    return tuple(_TYPES)


class Precision:
    """The precision of a run.

    Weights and updates are float32; bf16 and fp16 say what convolutions and products compute in. fp16 scales the loss
    so that small gradients do not vanish, and skips updates whose gradients overflow.

    Args:
        name: "fp32", "bf16" or "fp16".
        device: where the run computes.

    Raises:
        ArgumentError: an unknown name, or fp16 on a CPU, which has no fast arithmetic for it.

    Source: P. Micikevicius et al., ICLR 2018.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        check_known("precision", name, _TYPES)
        if name == "fp16" and device.type == "cpu":
            raise ArgumentError("precision", expected="fp32 or bf16 on a CPU", received=name)
        self._name, self._device = name, device
        self.scaler = torch.amp.GradScaler(device.type, enabled=name == "fp16")

    def autocast(self) -> torch.autocast:
        """Return the context in which a step computes."""
        return torch.autocast(self._device.type, _TYPES[self._name], enabled=self._name != "fp32")

    def exact(self, scores: Float[Tensor, "B K"]) -> Float[Tensor, "B K"]:
        """Return class scores (B, K) at least in float32, in which the loss is summed."""
        return scores.float() if scores.dtype in (torch.bfloat16, torch.float16) else scores

    def may_skip(self) -> bool:
        """Whether gradients that are not finite are a sign of a loss scale that is too large, and no more."""
        return self.scaler.is_enabled() and self.scaler.get_scale() > 1.0
