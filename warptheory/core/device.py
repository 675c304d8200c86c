"""The name of what computes, for records."""

import torch

from warptheory.core import records


def device_name(device: str | torch.device) -> str:
    """Return the name of a GPU, or of the processor."""
    place = torch.device(device)
    return torch.cuda.get_device_name(place) if place.type == "cuda" else records.processor()
