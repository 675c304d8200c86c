"""Convolution with any number of taps, sampled by hand: CV-ZhangXin/LDConv, model.py (`AKConv`).

Weights of the offsets start at zero and their biases at torch's default; taps are read by four gathers, never by
`grid_sample`; positions are (B, H, W, 2N), rows first. A backward hook means to scale the gradients of the offsets by
0.1, and returns nothing: a generator bound to a local name. The hook is the released one. Optimizer: SGD of YOLOv5,
lr 0.01, momentum 0.937.
"""

from functools import partial

import torch
from torch import nn
from torch.nn import functional

from tests.stability.figures import smooth_figures

TAPS = 5
OFFSET_ONLY = ("block.p_conv.weight", "block.p_conv.bias")
SAMPLING = ("block.p_conv",)
OUTPUTS = {"block.p_conv": {"order": "planes"}}  # has to be said of a gather: rows of all taps, then columns
WILD = {"block.p_conv.weight": 30.0}
FAULT = "block.p_conv.bias"


class AKConv(nn.Module):
    """A convolution of taps that move."""

    def __init__(self, inputs, outputs, taps):
        super().__init__()
        self.taps = taps
        self.conv = nn.Sequential(
            nn.Conv2d(inputs, outputs, (taps, 1), stride=(taps, 1), bias=False), nn.BatchNorm2d(outputs), nn.SiLU()
        )
        self.p_conv = nn.Conv2d(inputs, 2 * taps, 3, padding=1)
        nn.init.zeros_(self.p_conv.weight)
        self.p_conv.register_full_backward_hook(self.set_lr)

    @staticmethod
    def set_lr(module, grad_input, grad_output):
        """Bind generators to local names, as released."""
        grad_input = (grad_input[i] * 0.1 for i in range(len(grad_input)))
        grad_output = (grad_output[i] * 0.1 for i in range(len(grad_output)))

    def forward(self, x):
        offset = self.p_conv(x)
        batch, channels, height, width = x.shape
        side = round(self.taps**0.5)
        tap = torch.arange(self.taps)
        row = torch.arange(height).view(1, -1, 1) + (tap // side).view(-1, 1, 1)
        column = torch.arange(width).view(1, 1, -1) + (tap % side).view(-1, 1, 1)
        places = torch.stack([row.expand(-1, -1, width), column.expand(-1, height, -1)]) + offset.unflatten(1, (2, -1))
        limits = torch.tensor([height - 1, width - 1]).view(2, 1, 1, 1)
        low = places.detach().floor()
        corners = [
            low.long().clamp(torch.zeros_like(limits), limits),
            (low + 1).long().clamp(torch.zeros_like(limits), limits),
        ]
        places = places.clamp(torch.zeros_like(limits), limits)
        outcome = 0
        for first in corners:
            for second in corners:
                y, z = first[:, 0], second[:, 1]
                weight = (1 - (y - places[:, 0]).abs()) * (1 - (z - places[:, 1]).abs())
                index = (y * width + z).flatten(1)[:, None].expand(-1, channels, -1)
                values = x.flatten(2).gather(2, index).view(batch, channels, -1, height, width)
                outcome = outcome + weight[:, None] * values
        return self.conv(outcome.transpose(2, 3).flatten(2, 3))


class Net(nn.Module):
    """A stem, the convolution and a classifier."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, stride=2, padding=1)
        self.block = AKConv(8, 16, TAPS)
        self.fc = nn.Linear(16, 10)

    def forward(self, x):
        return self.fc(self.block(functional.relu(self.stem(x))).mean((2, 3)))


def build():
    return Net()


def optimizer(model):
    return torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.937, nesterov=True)


loss = functional.cross_entropy
batches = partial(smooth_figures, 20)
