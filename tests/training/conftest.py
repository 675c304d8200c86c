"""A task and a network that train in milliseconds, with everything that a checkpoint has to hold."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn


class Tiny(nn.Module):
    """A convolution, BatchNorm and dropout, with a parameter group "warping"."""

    def __init__(self, dropout: float = 0.2) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.dropout = nn.Dropout(dropout)
        self.last = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        features = self.dropout(self.norm(self.first(x)).relu())
        return self.last(features.mean((2, 3)))

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        warping = list(self.first.parameters())
        return {"warping": warping, "rest": [*self.norm.parameters(), *self.last.parameters()]}


@pytest.fixture
def tiny() -> Callable[..., Tiny]:
    def build(**options: float) -> Tiny:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return Tiny(**options)

    return build


@pytest.fixture
def task() -> tuple[Tensor, Tensor]:
    """Images of three classes, which differ in their mean and spread."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(60) % 3
    images = (
        torch.randn(60, 1, 6, 6, generator=generator) * (1 + labels[:, None, None, None]) + labels[:, None, None, None]
    )
    return images, labels
