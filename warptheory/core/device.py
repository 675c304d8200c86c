"""The name and the memory of what computes."""

import os
import sys
from functools import cache

import torch

from warptheory.core import records


def device_name(device: str | torch.device) -> str:
    """Return the name of a GPU, or of the processor."""
    place = torch.device(device)
    return torch.cuda.get_device_name(place) if place.type == "cuda" else records.processor()


@cache
def memory(device: torch.device) -> int:
    """Return the bytes of memory that a device has, whether in use or not; where the system does not say, no bound."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return sys.maxsize
