"""Bottleneck blocks with deformable convolutions, second version, as open-mmlab/mmcv and mmdetection build them.

mmcv, mmcv/ops/modulated_deform_conv.py (`ModulatedDeformConv2dPack`): one convolution `conv_offset`, zero weight and
bias, predicts offsets [dy₀, dx₀, dy₁, …] and, in its last third, logits of the mask; weights are uniform within
1/√(fan in). mmdet, models/backbones/resnet.py: it is the middle convolution of a bottleneck. The taps, which are
compiled there, are gathered by `grid_sample` here. Groups: paramwise_cfg of mmcv's `DefaultOptimizerConstructor`,
`dcn_offset_lr_mult=0.1` on everything called conv_offset; SGD as in mmdet's schedules.
"""

from functools import partial

import torch
from torch import nn
from torch.nn import functional

from tests.stability.figures import smooth_figures

OFFSET_ONLY = tuple(f"layer{k}.conv2.conv_offset.{kind}[0:18]" for k in (1, 2) for kind in ("weight", "bias"))
SAMPLING = ("layer1.conv2", "layer2.conv2")
WILD = {f"layer{k}.conv2.conv_offset.weight": 5.0 for k in (1, 2)}
FAULT = "layer2.conv2.conv_offset.bias"


def modulated_deform_conv2d(x, offset, mask, weight):
    """Return a 3×3 convolution whose taps of x (B, C, H, W) are moved by offset (B, 18, H, W)."""
    batch, _, height, width = x.shape
    row, column = torch.meshgrid(torch.arange(3.0) - 1, torch.arange(3.0) - 1, indexing="ij")
    y, z = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
    offset = offset.view(batch, 9, 2, height, width)
    y = y + row.reshape(9, 1, 1) + offset[:, :, 0]
    z = z + column.reshape(9, 1, 1) + offset[:, :, 1]
    grid = torch.stack([(2 * z + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1).flatten(1, 2)
    taps = functional.grid_sample(x, grid, align_corners=False).view(batch, -1, 9, height, width)
    return torch.einsum("ocn,bcnhw->bohw", weight.flatten(2), taps * mask[:, None])


class ModulatedDeformConv2dPack(nn.Module):
    """A deformable convolution that predicts its own offsets and mask."""

    def __init__(self, channels):
        super().__init__()
        bound = (channels * 9) ** -0.5
        self.weight = nn.Parameter(torch.empty(channels, channels, 3, 3).uniform_(-bound, bound))
        self.conv_offset = nn.Conv2d(channels, 27, 3, padding=1)
        nn.init.zeros_(self.conv_offset.weight)
        nn.init.zeros_(self.conv_offset.bias)

    def forward(self, x):
        first, second, mask = self.conv_offset(x).chunk(3, dim=1)
        return modulated_deform_conv2d(x, torch.cat([first, second], 1), mask.sigmoid(), self.weight)


class Bottleneck(nn.Module):
    """ResNet's block, its middle convolution deformable."""

    def __init__(self, channels, width):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = ModulatedDeformConv2dPack(width)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)

    def forward(self, x):
        y = functional.relu(self.bn1(self.conv1(x)))
        y = functional.relu(self.bn2(self.conv2(y)))
        return functional.relu(self.bn3(self.conv3(y)) + x)


class Net(nn.Module):
    """A stem, two blocks and a classifier."""

    def __init__(self, channels=16, width=8):
        super().__init__()
        self.conv1 = nn.Conv2d(1, channels, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.layer1 = Bottleneck(channels, width)
        self.layer2 = Bottleneck(channels, width)
        self.fc = nn.Linear(channels, 10)

    def forward(self, x):
        x = functional.relu(self.bn1(self.conv1(x)))
        return self.fc(self.layer2(self.layer1(x)).mean((2, 3)))


def build():
    return Net()


def optimizer(model, multiplier=0.1):
    offsets = [p for name, p in model.named_parameters() if "conv_offset" in name]
    others = [p for name, p in model.named_parameters() if "conv_offset" not in name]
    groups = [{"params": others}, {"params": offsets, "lr": 0.02 * multiplier}]
    return torch.optim.SGD(groups, lr=0.02, momentum=0.9, weight_decay=1e-4)


loss = functional.cross_entropy
batches = partial(smooth_figures, 24)
