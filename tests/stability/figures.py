"""What public models are tried on: smooth figures in noise."""

import torch
from torch.nn import functional


def smooth_figures(side, count=4, seed=0, size=16):
    """Yield images of smooth figures, one for each of ten classes, in noise, with their labels."""
    generator = torch.Generator().manual_seed(seed)
    shapes = torch.randn(10, 1, 6, 6, generator=torch.Generator().manual_seed(7))
    for _ in range(count):
        labels = torch.randint(10, (size,), generator=generator)
        images = functional.interpolate(shapes[labels], size=side, mode="bicubic")
        yield images + 0.3 * torch.randn(images.shape, generator=generator), labels
